"""`Store`: the results of many runs in one folder, written by any number of processes at once.

A cell is one finished run. Its name is the identity of its recipe and data, so the same run is always the same cell:

    store.json                       what the folder is, and the version of its schema
    predictions/IDENTITY.parquet     one row per test window
    scores/IDENTITY.parquet          one row per person
    cells/IDENTITY.json              how it was run, with the checksums of both; written last, it makes the cell finished
    failures/IDENTITY.json           a cell that raised an error, with its traceback
    claims/IDENTITY                  a file that the process at work on a cell holds locked

Files are only added, each as a whole. Two writers of one cell write the same content. Merging stores is copying files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pandas as pd

from myograph._common.files import cannot_write, hold, plain, sha256, write_bytes, write_json
from myograph.errors import ConfigError, ResultsError, need
from myograph.evaluation import tables
from myograph.evaluation.metrics import TITLES
from myograph.evaluation.question import what_is_new
from myograph.evaluation.scores import Scores

SCHEMA = 1
KIND = "myograph results"
VOLATILE = ("wall_s", "peak_memory_bytes", "finished", "command")
"""What differs between two runs of one cell: when it ran, and how long it took."""
TEXTS = (
    "cell",
    "recipe",
    "dataset",
    "method",
    "options",
    "protocol",
    "transfer",
    "question",
    "windowing",
    "filters",
    "rest",
)
ROWS = {
    **dict.fromkeys(TEXTS, tables.TEXT),
    "seed": tables.WHOLE,
    "leaky": "bool",
    "person": tables.TEXT,
    "windows": tables.WHOLE,
    **dict.fromkeys(TITLES, tables.REAL),
}
_ENDING = {"predictions": ".parquet", "scores": ".parquet", "cells": ".json", "failures": ".json", "claims": ""}
_NAMES = ("recipe", "dataset", "method", "protocol", "transfer", "question", "seed", "leaky")
_IDENTITY = re.compile(r"[0-9a-f]{64}")


class Store:
    """A folder of results.

    Parameters
    ----------
    folder : made at the first write, if it does not exist.

    Raises
    ------
    ResultsError : the folder holds something else, or a later version of myograph wrote it.

    >>> import tempfile
    >>> from myograph.evaluation import Recipe, evaluate
    >>> store = Store(tempfile.mkdtemp())
    >>> cell = store.put(evaluate(Recipe("example", "simulated", method="lda", subjects=("1", "2"))))
    >>> cell in store, store.cells() == [cell], store.cell(cell)["info"]["method"]
    (True, True, 'lda')
    >>> store.results()["person"].tolist(), store.query("windows > 0 and person == '2'")["method"].tolist()
    (['1', '2'], ['lda'])
    >>> store.scores(cell).subjects["subject"].tolist(), store.runs()["people"].tolist()
    (['1', '2'], [2])
    >>> store.put_failure("0" * 64, {"state": "failed", "kind": "ValueError", "message": "no"})
    >>> [failure["message"] for failure in store.failures()]
    ['no']
    >>> other = Store(tempfile.mkdtemp())
    >>> other.begin()
    >>> other.add(store.folder), other.contents() == store.contents()
    (1, True)
    >>> with store.claim(cell) as mine:
    ...     mine
    True
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        mark = self.folder / "store.json"
        try:
            found = json.loads(mark.read_bytes())
            schema = found["schema"] if found["kind"] == KIND else None
        except FileNotFoundError:
            if self.folder.is_file() or (
                self.folder.is_dir() and not {p.name for p in self.folder.iterdir()} <= {*_ENDING, "reports"}
            ):
                raise ResultsError(
                    f"{self.folder} is not a store of results and is not empty; give another folder"
                ) from None
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"{mark} cannot be read ({error}); give the folder of a store") from error
        if schema != SCHEMA:
            raise ResultsError(
                f"{self.folder} has schema {schema}, and this version of myograph reads {SCHEMA}; update myograph"
            )

    def put(self, scores: Scores) -> str:
        """Add a finished run, and the runs that belong to it (`honest`, `target_only`). Returns the cell's identity.

        Raises
        ------
        ResultsError : a file cannot be written. ConfigError : the run cannot be identified.
        """
        self.begin()
        if unknown := scores.info["facts"]["not_resumable"]:
            raise ConfigError(f"a store keeps runs by their identity, and these parts have none: {', '.join(unknown)}")
        others = {"honest": scores.honest, "target_only": scores.target_only}
        beside = {name: None if other is None else self.put(other) for name, other in others.items()}
        identity = str(scores.info["identity"])
        rows = rows_of(scores)
        content = {
            "predictions": tables.to_parquet(scores.predictions),
            "scores": rows.to_parquet(index=False),
        }
        for kind, data in content.items():
            write_bytes(self._path(kind, identity), cast(bytes, data))
        info = plain({k: v for k, v in scores.info.items() if k != "glimpse"})
        info["n_channels"] = scores.info["glimpse"]["n_channels"]
        cell = {
            "schema": SCHEMA,
            "identity": identity,
            "info": info,
            "folds": plain(scores.folds.to_dict("records")),
            "beside": beside,
            "files": {kind: sha256(cast(bytes, data)) for kind, data in content.items()},
        }
        write_json(self._path("cells", identity), {**cell, "sha256": _checksum(cell)})
        return identity

    def put_failure(self, identity: str, what: Mapping[str, Any]) -> None:
        """Keep why a cell gave no scores: `what` has kind, message and traceback, and what the cell was."""
        self.begin()
        write_json(self._path("failures", identity), {"schema": SCHEMA, "identity": identity, **plain(dict(what))})

    def __contains__(self, identity: object) -> bool:
        return self._path("cells", str(identity)).is_file()

    def cells(self) -> list[str]:
        """Identities of the finished cells, sorted."""
        return self._names("cells")

    def failures(self) -> list[dict[str, Any]]:
        """What is known of the cells that failed and have not been finished since."""
        done = set(self.cells())
        return [self._read("failures", name) for name in self._names("failures") if name not in done]

    def scores(self, identity: str) -> Scores:
        """The scores of one cell.

        Raises
        ------
        ResultsError : there is no such cell, or a file of it is damaged.
        """
        cell = self.cell(identity)
        try:
            content = self._path("predictions", identity).read_bytes()
            if sha256(content) != cell["files"]["predictions"]:
                raise ValueError("the predictions do not match their checksum")
            predictions = tables.from_parquet(content, tables.PREDICTIONS)
            folds = pd.DataFrame(cell["folds"], columns=list(tables.FOLDS)).astype(
                dict.fromkeys(TITLES, float)  # None where a method gives no confidence
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._damaged(identity, error) from error
        beside = {name: None if other is None else self.scores(other) for name, other in cell["beside"].items()}
        return Scores(predictions, folds, cell["info"], None, **beside)

    def cell(self, identity: str) -> dict[str, Any]:
        """What is known of one finished cell besides its tables: info, folds, checksums.

        Raises
        ------
        ResultsError : there is no such cell, or it is damaged.
        """
        if identity not in self:
            raise ResultsError(f"{self.folder} has no cell {identity[:12]}; `myograph runs` lists its cells")
        return self._read("cells", identity)

    def results(self) -> pd.DataFrame:
        """One row per cell and person: what the cell was, and every metric.

        Raises
        ------
        ResultsError : a file is missing or damaged.
        """
        found = []
        for identity in self.cells():
            try:
                found.append(_check_rows(pd.read_parquet(self._path("scores", identity))))
            except (OSError, ValueError) as error:
                raise self._damaged(identity, error) from error
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(ROWS))

    def query(self, question: str) -> pd.DataFrame:
        """Ask the results.

        Parameters
        ----------
        question : SQL over the tables `results` (as `results()`) and `runs` (as `runs()`), for which DuckDB is needed
            (`pip install 'myograph[suites]'`); or else a condition of `pandas.DataFrame.query` over `results()`, such as
            "accuracy > 0.9".

        Raises
        ------
        ConfigError : the question cannot be answered. MissingExtraError : SQL without DuckDB.
        """
        if not re.match(r"\s*(select|with)\b", question, re.IGNORECASE):
            return _filtered(self.results(), question)
        duckdb = need("duckdb", "suites")
        # Without access to other files, and without extensions that could be fetched.
        with duckdb.connect(":memory:") as database:
            files = [str(self._path("scores", identity)) for identity in self.cells()]
            if files:
                database.execute("CREATE TABLE results AS SELECT * FROM read_parquet(?)", [files])
            else:
                database.register("results", self.results())
            database.register("runs", self.runs())
            database.execute("SET enable_external_access = false")
            try:
                return database.execute(question).df()
            except duckdb.Error as error:
                raise ConfigError(f"the query cannot be answered: {error}") from error

    def runs(self) -> pd.DataFrame:
        """One row per finished cell: what it was, mean accuracy over people, wall time in s, peak memory in bytes."""
        rows = []
        for identity in self.cells():
            info = self._read("cells", identity)["info"]
            score = pd.read_parquet(self._path("scores", identity))
            first = score.iloc[0]
            rows.append(
                {
                    "cell": identity,
                    **{k: first[k] for k in _NAMES},
                    "people": len(score),
                    "accuracy": float(score["accuracy"].mean()),
                    **{k: info[k] for k in ("wall_s", "peak_memory_bytes", "finished")},
                }
            )
        return pd.DataFrame(
            rows, columns=["cell", *_NAMES, "people", "accuracy", "wall_s", "peak_memory_bytes", "finished"]
        )

    def add(self, other: str | Path) -> int:
        """Import every cell and failure of another store; returns how many cells were new.

        Raises
        ------
        ResultsError : a cell of the other store is damaged; cells before it are imported.
        """
        source, new = Store(other), 0
        self.begin()
        for identity in source.cells():
            if identity in self:
                continue
            cell = source._read("cells", identity)
            for kind in ("predictions", "scores"):
                content = source._path(kind, identity).read_bytes()
                if sha256(content) != cell["files"][kind]:
                    raise source._damaged(identity, f"the {kind} do not match their checksum")
                write_bytes(self._path(kind, identity), content)
            write_bytes(self._path("cells", identity), source._path("cells", identity).read_bytes())
            new += 1
        for failure in source.failures():
            if failure["identity"] not in self:
                write_json(self._path("failures", failure["identity"]), failure)
        return new

    def contents(self) -> dict[str, Any]:
        """Everything that decides whether two stores are equal: cell to its files' checksums and its info, without
        times; and the errors of failed cells."""
        found: dict[str, Any] = {}
        for identity in self.cells():
            cell = self._read("cells", identity)
            for key in VOLATILE:
                cell["info"].pop(key, None)
            cell.pop("sha256")
            folds = [{k: v for k, v in fold.items() if k != "seconds"} for fold in cell["folds"]]
            found[identity] = {**cell, "folds": folds}
        failed = {f["identity"]: (f.get("kind"), f.get("message")) for f in self.failures()}
        return {"cells": found, "failures": failed}

    @contextlib.contextmanager
    def claim(self, identity: str) -> Iterator[bool]:
        """Hold a cell while computing it; yields False where another process holds it.

        The operating system releases the claim when the process dies. On file systems without locks two processes may
        compute a cell twice; they write the same content.
        """
        path = self._path("claims", identity)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            mine = hold(handle)
            yield mine
            if mine:
                with contextlib.suppress(OSError):
                    path.unlink()  # whoever opened it before finds the cell in the store
        finally:
            os.close(handle)

    def begin(self) -> None:
        """Make the folder a store, if it is not one yet; ResultsError if it cannot be written."""
        if not (self.folder / "store.json").is_file():
            write_json(self.folder / "store.json", {"kind": KIND, "schema": SCHEMA})

    def _path(self, kind: str, identity: str) -> Path:
        return self.folder / kind / (identity + _ENDING[kind])

    def _names(self, kind: str) -> list[str]:
        ending = _ENDING[kind]
        try:
            names = os.listdir(self.folder / kind)
        except FileNotFoundError:
            return []
        return sorted(n.removesuffix(ending) for n in names if _IDENTITY.fullmatch(n.removesuffix(ending)))

    def _read(self, kind: str, identity: str) -> dict[str, Any]:
        try:
            found = json.loads(self._path(kind, identity).read_bytes())
            if found["identity"] != identity or found["schema"] != SCHEMA:
                raise ValueError("it is another cell's, or of another schema")
            if kind == "cells" and found["sha256"] != _checksum(found):
                raise ValueError("its content does not match its checksum")
            return found
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(identity, error) from error

    def _damaged(self, identity: str, why: object) -> ResultsError:
        return ResultsError(
            f"cell {identity[:12]} of {self.folder} is damaged ({why}); delete cells/{identity}.json and repeat the "
            "command that made it"
        )


def rows_of(scores: Scores) -> pd.DataFrame:
    """The rows of a run in `Store.results`: one per person.

    >>> from myograph.evaluation import Recipe, evaluate
    >>> rows_of(evaluate(Recipe("example", "simulated", method="lda", subjects=("1", "2"))))["question"].tolist()
    ['new repetitions of the same people and sessions', 'new repetitions of the same people and sessions']
    """
    info = scores.info
    settings = info["settings"]
    fixed = {
        "cell": info["identity"],
        "recipe": info["recipe"],
        "dataset": info["dataset"],
        "method": info["method"],
        "options": _short({"dataset": settings["dataset_options"], "method": settings["method_options"]}),
        "protocol": in_short(settings["protocol"]),
        "transfer": ", ".join(str(settings[k]) for k in ("transfer", "adapt_on", "adapt_seconds") if k in settings),
        "question": what_is_new(info["audit"]),
        "windowing": in_short(settings["windowing"]),
        "filters": ", ".join(map(in_short, settings["filters"])),
        "rest": settings["rest"],
        "seed": int(info["seed"]),
        "leaky": bool(info["leaky"]),
    }
    rows = [
        {**fixed, "person": row["subject"], "windows": int(row["n"]), **{k: float(row[k]) for k in TITLES}}
        for row in scores.subjects.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=list(ROWS))


def in_short(described: Any) -> str:
    """A description of a protocol, windowing or filter in one line.

    >>> in_short({"type": "WithinSubject", "test_repetitions": [2, 5], "train_repetitions": None})
    'WithinSubject(test_repetitions=[2, 5])'
    """
    if not isinstance(described, dict) or "type" not in described:
        return str(described)
    given = {k: v for k, v in described.items() if k not in ("type", "code") and v is not None}
    return f"{described['type']}({', '.join(f'{k}={in_short(v)}' for k, v in given.items())})"


def merged(into: Store, others: Iterable[str | Path]) -> dict[str, int]:
    """Import several stores; returns the number of new cells of each.

    >>> import tempfile
    >>> merged(Store(tempfile.mkdtemp()), [])
    {}
    """
    return {str(other): into.add(other) for other in others}


def _short(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, default=str)


def _checksum(cell: Mapping[str, Any]) -> str:
    return sha256(json.dumps({k: v for k, v in cell.items() if k != "sha256"}, sort_keys=True).encode())


def _check_rows(rows: pd.DataFrame) -> pd.DataFrame:
    if list(rows.columns) != list(ROWS):
        raise ValueError(f"its columns are {', '.join(map(str, rows.columns))}; expected {', '.join(ROWS)}")
    return rows


def _filtered(rows: pd.DataFrame, condition: str) -> pd.DataFrame:
    # pandas evaluates Python expressions; only comparisons of columns with values are let through.
    if re.search(r"[@`\[\]{}]|__|\(|\.\s*[A-Za-z_]", condition):
        raise ConfigError(
            f"a condition compares columns with values, such as \"method == 'lda' and accuracy > 0.9\", got "
            f"{condition!r}; for more, ask in SQL: SELECT … FROM results"
        )
    try:
        return rows.query(condition, engine="python")
    except Exception as error:  # whatever pandas makes of a condition
        raise ConfigError(
            f"the condition cannot be answered: {error}; columns are {', '.join(rows.columns)}"
        ) from error
