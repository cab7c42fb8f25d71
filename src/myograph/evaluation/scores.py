"""`Scores`: the results of a run, stored as Parquet and JSON with their checksums, and always with their audit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from myograph._common.files import plain, sha256, write_bytes
from myograph.errors import ResultsError
from myograph.evaluation import question, tables
from myograph.evaluation.info import RUN, read_info, write_info
from myograph.evaluation.metrics import TITLES, confusion, per_class_recall, reliability, score, summarise

PREDICTIONS, FOLDS = "predictions.parquet", "scores.parquet"
TARGET_ONLY = "target-only"
BESIDE = ("honest", TARGET_ONLY)  # folders of runs that belong to a run


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """A finished evaluation.

    Attributes
    ----------
    predictions : one row per test window: fold, row (position in the Windows), recording, start, stop, subject,
        session, repetition, y_true, y_pred, confidence (NaN if the method has none).
    folds : one row per fold: its name, its subject if there is only one, every metric, sizes, seconds, and the audit's
        counts.
    info : recipe, identity, seed, versions, data hashes, audits, protocol, leaky, wall_s, peak_memory_bytes, and the
        `facts` behind `question`.
    folder : folder of the run; None if it is in memory only.
    honest : the same recipe under an honest protocol, if this one is LEAKY.
    target_only : the same recipe fitted on the calibration windows alone, if the protocol has any.

    Examples
    --------
    >>> import tempfile
    >>> from myograph import LeaveOneSubjectOut, Recipe, evaluate
    >>> from myograph.testing import make_recording
    >>> recordings = [make_recording(name, seed=i) for i, name in enumerate(["anna", "ben"])]
    >>> scores = evaluate(Recipe("example", "mine", LeaveOneSubjectOut(), "lda", rest="keep"), recordings)
    >>> scores.over, scores.labels, scores.leaky, scores.chance
    ('subject', ['rest', 'fist'], False, 0.5)
    >>> scores.subjects["subject"].tolist(), scores.summary["accuracy"]["n"]
    (['anna', 'ben'], 2)
    >>> int(scores.reliability["n"].sum()) == len(scores.predictions)
    True
    >>> int(scores.confusion.sum()), scores.classes["label"].tolist()
    (96, ['rest', 'fist'])
    >>> print(scores.question)  # doctest: +ELLIPSIS
    new people; 1 session per person; rest is a class (48 windows); chance 50.0 %; 2 people tested, each ...
    >>> print(scores.interval)
    no interval: 2 people, and six are needed
    >>> scores.notes, scores.as_dict()["over"]
    ([], 'subject')
    >>> folder = tempfile.mkdtemp()
    >>> scores.save(folder)
    >>> Scores.load(folder).chance
    0.5
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    info: dict[str, Any]
    folder: Path | None = None
    honest: Scores | None = None
    target_only: Scores | None = None

    def __post_init__(self) -> None:
        if len(self.info.get("audit", ())) != len(self.folds):
            raise ResultsError("Scores need the audit of every fold; create them with evaluate(recipe)")

    @property
    def _beside(self) -> dict[str, Scores | None]:
        return {name: getattr(self, _key(name)) for name in BESIDE}

    @property
    def leaky(self) -> bool:
        """Whether the protocol let train and test share samples or repetitions."""
        return bool(self.info["leaky"])

    @cached_property
    def subjects(self) -> pd.DataFrame:
        """One row per test subject: every metric over all of the subject's test windows, and their number."""
        of_fold = self.folds["subject"].tolist()
        if self.predictions["subject"].unique().tolist() == of_fold:  # one fold per person: nothing to compute
            return self.folds[["subject", *TITLES]].assign(n=self.folds["n_test"]).reset_index(drop=True)
        groups = self.predictions.groupby("subject", sort=False, observed=True)
        return pd.DataFrame([{"subject": str(name), **score(rows), "n": len(rows)} for name, rows in groups])

    @property
    def over(self) -> Literal["subject", "fold"]:
        """Whether means and deviations are over subjects, or over folds if there is only one subject."""
        return "subject" if len(self.subjects) > 1 else "fold"

    @cached_property
    def summary(self) -> dict[str, dict[str, Any]]:
        """metric -> mean, std, low, high, n, over subjects (over folds if there is one subject).

        `low` and `high` are a bootstrap percentile 95 % interval of the mean over people. They are NaN for fewer than
        six people, and over folds, which share their training windows; see `interval`.
        """
        table = self.subjects if self.over == "subject" else self.folds
        found = {name: summarise(table[name].to_numpy(float)) for name in TITLES}
        if self.over == "fold":
            found = {name: {**values, "low": float("nan"), "high": float("nan")} for name, values in found.items()}
        return found

    @cached_property
    def chance(self) -> float:
        """Accuracy of always predicting the most frequent label of the test windows.

        It is the largest fraction of one label among a subject's test windows, averaged over subjects (over folds if
        there is one subject), like accuracy.
        """
        counts = self.predictions.groupby([self.over, "y_true"], observed=True).size().unstack(fill_value=0).to_numpy()
        return float((counts.max(axis=1) / counts.sum(axis=1)).mean())

    @property
    def question(self) -> str:
        """The question that the scores answer: what is new in the test, sessions, rest, chance level, people."""
        return question.in_words(self.info, self.chance, len(self.subjects))

    @property
    def interval(self) -> str:
        """The kind of interval in `summary`, or the reason why there is none."""
        return question.interval_in_words(self.over, len(self.subjects))

    @property
    def notes(self) -> list[str]:
        """Remarks that are needed to interpret the scores, one sentence each.

        For example classes that are missing in training, parts that were fitted before the run, and why a run cannot
        resume.
        """
        return question.notes(self.info)

    @property
    def labels(self) -> list[str]:
        """Labels that were true or predicted, in the data set's own order."""
        seen = set(self.predictions["y_true"]) | set(self.predictions["y_pred"])
        known = [n for n in self.info["labels"] if n in seen]
        return known + sorted(seen - set(known))

    @cached_property
    def confusion(self) -> np.ndarray:
        """The confusion matrix: (true, predicted) counts of test windows over all folds, in the order of `labels`."""
        return confusion(
            self.predictions["y_true"].to_numpy(str), self.predictions["y_pred"].to_numpy(str), self.labels
        )

    @cached_property
    def classes(self) -> pd.DataFrame:
        """One row per label: recall and number of test windows."""
        found = per_class_recall(self.predictions["y_true"].to_numpy(str), self.predictions["y_pred"].to_numpy(str))
        order = {name: i for i, name in enumerate(self.labels)}
        return found.sort_values("label", key=lambda s: s.map(order)).reset_index(drop=True)

    @cached_property
    def reliability(self) -> pd.DataFrame:
        """The reliability diagram over all test windows: one row per bin of the confidence, see
        `myograph.evaluation.metrics.reliability`. Empty if the method gives no probabilities.
        """
        right = self.predictions["y_true"].to_numpy(str) == self.predictions["y_pred"].to_numpy(str)
        return reliability(right, self.predictions["confidence"].to_numpy(float))

    def __repr__(self) -> str:
        found, info = self.summary["accuracy"], self.info
        spread = f" ± {found['std']:.3f}" if found["n"] > 1 else ""
        leaky = "LEAKY " if self.leaky else ""
        return (
            f"<Scores {info['recipe']}: {info['method']} on {info['dataset']}, {info['protocol']}, {leaky}accuracy "
            f"{found['mean']:.3f}{spread} over {found['n']} {self.over}{'s' if found['n'] != 1 else ''}>"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON of `myograph run --json`: plain values, with NaN as None."""
        info = self.info
        found = {
            "recipe": info["recipe"],
            "run": str(self.folder) if self.folder else None,
            "dataset": info["dataset"],
            "method": info["method"],
            "protocol": info["protocol"],
            "question": self.question,
            "notes": self.notes,
            "leaky": self.leaky,
            "seed": info["seed"],
            "n_windows": info["n_windows"],
            "n_test_windows": len(self.predictions),
            "n_classes": len(self.labels),
            "chance": self.chance,
            "metrics": self.summary,
            "reliability": self.reliability.to_dict("records"),
            "over": self.over,
            "interval": self.interval,
            "subjects": self.subjects.to_dict("records"),
            "folds": self.folds.to_dict("records"),
            "audit": {
                "passed": all(a["passed"] for a in info["audit"]),
                "folds": info["audit"],
            },
            "continuous": info.get("continuous"),
            "wall_s": info["wall_s"],
            "peak_memory_bytes": info.get("peak_memory_bytes"),
            "honest": self.honest.as_dict() if self.honest else None,
            "target_only": self.target_only.as_dict() if self.target_only else None,
        }
        return plain(found)

    def save(self, folder: str | Path) -> None:
        """Write the run's files, each atomically. `run.json` is written last and marks the run as finished.

        Raises
        ------
        ResultsError : a file cannot be written.
        """
        folder = Path(folder)
        for name, other in self._beside.items():
            if other:
                other.save(folder / name)
        contents = {PREDICTIONS: tables.to_parquet(self.predictions), FOLDS: tables.to_parquet(self.folds)}
        files = {name: sha256(content) for name, content in contents.items()}
        beside = {_key(name): other.info["identity"] if other else None for name, other in self._beside.items()}
        info = plain({**self.info, "files": files, **beside})
        if (folder / RUN).exists() and _files_noted(folder) != files:
            (folder / RUN).unlink()  # if the process is killed after this, the run is unfinished, not damaged
        for name, content in contents.items():
            write_bytes(folder / name, content)
        write_info(folder, info)

    @classmethod
    def load(cls, folder: str | Path) -> Scores:
        """Read a run's folder, and compare its files with their checksums.

        Raises
        ------
        ResultsError : there is no finished run, it is damaged, or a file belongs to another run.
        """
        folder = Path(folder)
        if not (folder / RUN).is_file():
            if (folder / "folds").is_dir():
                raise ResultsError(f"{folder} holds an unfinished run; repeat the same command to finish it")
            raise ResultsError(
                f"{folder} holds no run (there is no {RUN}); give the folder that `myograph run` printed"
            )
        try:
            info = read_info(folder)
            files = info.pop("files")
            identities = {name: info.pop(_key(name)) for name in BESIDE}
            kept = (
                _read_table(folder / PREDICTIONS, files, tables.PREDICTIONS),
                _read_table(folder / FOLDS, files, tables.FOLDS),
            )
            _check_fits(info, *kept)
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ResultsError(
                f"the run in {folder} is damaged ({error}); repeat the command that made it, or delete the folder"
            ) from error
        beside = {_key(n): _load_beside(cls, folder, n, identity) for n, identity in identities.items() if identity}
        return cls(*kept, info, folder, **beside)


def _key(name: str) -> str:
    """Return the name of the attribute for a subfolder of the run."""
    return name.replace("-", "_")


def _load_beside(cls: type[Scores], folder: Path, name: str, identity: str) -> Scores:
    found = cls.load(folder / name)
    if found.info["identity"] != identity:
        raise ResultsError(f"{folder / name} holds another run than the one that belongs to {folder}")
    return found


def _files_noted(folder: Path) -> Any:
    try:
        return read_info(folder)["files"]
    except (OSError, ValueError, RecursionError):
        return None


def _read_table(path: Path, files: dict[str, str], columns: dict[str, str]) -> pd.DataFrame:
    content = path.read_bytes()
    if sha256(content) != files[path.name]:
        raise ValueError(f"{path.name} does not match its checksum")
    return tables.from_parquet(content, columns)


def _check_fits(info: dict[str, Any], predictions: pd.DataFrame, folds: pd.DataFrame) -> None:
    names = [audit["fold"] for audit in info["audit"]]
    sizes = predictions.groupby("fold", sort=False).size().reindex(names)
    if folds["fold"].tolist() != names or not predictions["fold"].isin(names).all():
        raise ValueError(f"the folds of {FOLDS}, {PREDICTIONS} and {RUN} are not the same")
    if not np.array_equal(sizes.to_numpy(), folds["n_test"].to_numpy()):
        raise ValueError(f"{PREDICTIONS} and {FOLDS} differ in the number of test windows")
