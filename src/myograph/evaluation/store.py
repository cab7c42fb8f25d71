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
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
    "leaky": tables.TRUTH,
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
        content = {
            "predictions": tables.to_parquet(scores.predictions),
            "scores": tables.rows_to_parquet(rows_of(scores), ROWS),
        }
        for kind, data in content.items():
            write_bytes(self._path(kind, identity), data)
        info = plain({k: v for k, v in scores.info.items() if k != "glimpse"})
        info["n_channels"] = scores.info["glimpse"]["n_channels"]
        cell = {
            "schema": SCHEMA,
            "identity": identity,
            "info": info,
            "folds": plain(scores.folds.to_dict("records")),
            "beside": beside,
            "files": {kind: sha256(data) for kind, data in content.items()},
        }
        write_json(self._path("cells", identity), {**cell, "sha256": _checksum(cell)})
        return identity

    def put_failure(self, identity: str, what: Mapping[str, Any]) -> None:
        """Store why a cell failed: `what` holds kind, message and traceback, and the description of the cell."""
        self.begin()
        write_json(self._path("failures", identity), {"schema": SCHEMA, "identity": identity, **plain(dict(what))})

    def forget_failure(self, identity: str) -> None:
        """Remove the stored failure of a cell, if there is one.

        >>> import tempfile
        >>> Store(tempfile.mkdtemp()).forget_failure("0" * 64)
        """
        self._path("failures", identity).unlink(missing_ok=True)

    def __contains__(self, identity: object) -> bool:
        return self._path("cells", str(identity)).is_file()

    def cells(self) -> list[str]:
        """Return the identities of the finished cells, sorted."""
        return self._names("cells")

    def failures(self) -> list[dict[str, Any]]:
        """Return the stored failures of cells that have not been finished since."""
        done = set(self.cells())
        return [self._read("failures", name) for name in self._names("failures") if name not in done]

    def scores(self, identity: str) -> Scores:
        """Return the scores of one cell.

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
        """Return the stored description of a finished cell, without its tables: info, folds, checksums.

        Raises
        ------
        ResultsError : there is no such cell, or it is damaged.
        """
        if identity not in self:
            raise ResultsError(f"{self.folder} has no cell {identity[:12]}; `myograph runs` lists its cells")
        return self._read("cells", identity)

    def results(self) -> pd.DataFrame:
        """Return one row per cell and person, with the description of the cell and every metric.

        Raises
        ------
        ResultsError : a file is missing or damaged.
        """
        import pyarrow as pa

        found = [self._rows(identity) for identity in self.cells()]
        return (pa.concat_tables(found) if found else tables.arrow_schema(ROWS).empty_table()).to_pandas()

    def _rows(self, identity: str) -> Any:
        """Return the rows of one cell as an Arrow table."""
        try:
            return tables.read_rows(self._path("scores", identity), ROWS)
        except (OSError, ValueError) as error:
            raise self._damaged(identity, error) from error

    def query(self, question: str) -> pd.DataFrame:
        """Query the results.

        Parameters
        ----------
        question : SQL on the tables `results` (as from `results()`) and `runs` (as from `runs()`), which needs DuckDB
            (`pip install 'myograph[suites]'`); or a condition for `pandas.DataFrame.query` on `results()`, such as
            "accuracy > 0.9".

        Raises
        ------
        ConfigError : the question cannot be answered. MissingExtraError : SQL without DuckDB.
        """
        if not re.match(r"\s*(select|with)\b", question, re.IGNORECASE):
            return _filtered(self.results(), question)
        duckdb = need("duckdb", "suites")
        # The query must not read other files, nor download extensions.
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
        """Return one row per finished cell: description, mean accuracy over people, wall time (s), peak memory (bytes)."""
        rows = []
        for identity in self.cells():
            info = self._read("cells", identity)["info"]
            people = self._rows(identity).to_pylist()
            rows.append(
                {
                    "cell": identity,
                    **{k: people[0][k] for k in _NAMES},
                    "people": len(people),
                    "accuracy": statistics.fmean(row["accuracy"] for row in people),
                    **{k: info[k] for k in ("wall_s", "peak_memory_bytes", "finished")},
                }
            )
        return pd.DataFrame(
            rows, columns=["cell", *_NAMES, "people", "accuracy", "wall_s", "peak_memory_bytes", "finished"]
        )

    def add(self, other: str | Path) -> int:
        """Import every cell and failure of another store; return the number of new cells.

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
        """Return what is compared between two stores: for each cell the checksums of its files and its info, without
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
        """Lock a cell while it is computed; yields False if another process holds the lock.

        The operating system releases the lock when the process ends. On file systems without locks, two processes may
        compute the same cell; both write the same content.
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
                    path.unlink()  # a process that has already opened it finds the cell in the store
        finally:
            os.close(handle)

    def begin(self) -> None:
        """Initialise the folder as a store, unless it is one; ResultsError if it cannot be written."""
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


def rows_of(scores: Scores) -> list[dict[str, Any]]:
    """Return the rows of a run in `Store.results`: one per person.

    >>> from myograph.evaluation import Recipe, evaluate
    >>> found = rows_of(evaluate(Recipe("example", "simulated", method="lda", subjects=("1", "2"))))
    >>> [(row["person"], row["question"]) for row in found]
    [('1', 'new repetitions of the same people and sessions'), ('2', 'new repetitions of the same people and sessions')]
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
    return [
        {**fixed, "person": row["subject"], "windows": int(row["n"]), **{k: float(row[k]) for k in TITLES}}
        for row in scores.subjects.to_dict("records")
    ]


def in_short(described: Any) -> str:
    """Return the description of a protocol, windowing or filter in one line.

    >>> in_short({"type": "WithinSubject", "test_repetitions": [2, 5], "train_repetitions": None})
    'WithinSubject(test_repetitions=[2, 5])'
    """
    if not isinstance(described, dict) or "type" not in described:
        return str(described)
    given = {k: v for k, v in described.items() if k not in ("type", "code") and v is not None}
    return f"{described['type']}({', '.join(f'{k}={in_short(v)}' for k, v in given.items())})"


def merged(into: Store, others: Iterable[str | Path]) -> dict[str, int]:
    """Import several stores; return the number of new cells of each.

    >>> import tempfile
    >>> merged(Store(tempfile.mkdtemp()), [])
    {}
    """
    return {str(other): into.add(other) for other in others}


def _short(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, default=str)


def _checksum(cell: Mapping[str, Any]) -> str:
    return sha256(json.dumps({k: v for k, v in cell.items() if k != "sha256"}, sort_keys=True).encode())


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
