"""`Scores`: what a run found, on disk as Parquet and JSON, never without its audit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from myograph._common.files import plain, write_atomically, write_json
from myograph.errors import ResultsError
from myograph.evaluation.metrics import TITLES, confusion, per_class_recall, score, summarise

PREDICTIONS, FOLDS, RUN = "predictions.parquet", "scores.parquet", "run.json"


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """A finished evaluation.

    Attributes
    ----------
    predictions : a row a test window: fold, row (in the Windows), recording, start, stop, subject, session,
        repetition, y_true, y_pred, confidence.
    folds : a row a fold: its name, every metric, sizes, seconds, and the audit's counts.
    info : recipe, identity, seed, versions, data hashes, audits, protocol, leaky, wall_s, peak_memory_bytes.
    honest : the same recipe under an honest protocol, where this one is LEAKY.
    """

    predictions: pd.DataFrame
    folds: pd.DataFrame
    info: dict[str, Any]
    folder: Path | None = None
    honest: Scores | None = None

    def __post_init__(self) -> None:
        if len(self.info.get("audit", ())) != len(self.folds):
            raise ResultsError("scores without an audit of every fold do not exist; make them with evaluate(recipe)")

    @property
    def leaky(self) -> bool:
        return bool(self.info["leaky"])

    @cached_property
    def subjects(self) -> pd.DataFrame:
        """A row a test subject: every metric over all windows it was tested on."""
        groups = self.predictions.groupby("subject", sort=False, observed=True)
        return pd.DataFrame([{"subject": str(name), **score(rows), "n": len(rows)} for name, rows in groups])

    @property
    def unit(self) -> str:
        """What means, deviations and intervals are taken over: subjects, or folds where there is one subject."""
        return "subject" if len(self.subjects) > 1 else "fold"

    @cached_property
    def summary(self) -> dict[str, dict[str, Any]]:
        """metric -> mean, std, low, high (bootstrap 95 %), n, over subjects (over folds with one subject)."""
        table = self.subjects if self.unit == "subject" else self.folds
        return {name: summarise(table[name].to_numpy()) for name in TITLES}

    @property
    def labels(self) -> list[str]:
        """Labels that were true or predicted, in the data set's own order."""
        seen = set(self.predictions["y_true"]) | set(self.predictions["y_pred"])
        known = [n for n in self.info["labels"] if n in seen]
        return known + sorted(seen - set(known))

    @cached_property
    def confusion(self) -> np.ndarray:
        """(true, predicted) counts in the order of `labels`."""
        return confusion(
            self.predictions["y_true"].to_numpy(str), self.predictions["y_pred"].to_numpy(str), self.labels
        )

    @cached_property
    def classes(self) -> pd.DataFrame:
        """A row a label: recall and number of test windows."""
        found = per_class_recall(self.predictions["y_true"].to_numpy(str), self.predictions["y_pred"].to_numpy(str))
        order = {name: i for i, name in enumerate(self.labels)}
        return found.sort_values("label", key=lambda s: s.map(order)).reset_index(drop=True)

    def __repr__(self) -> str:
        found, info = self.summary["accuracy"], self.info
        spread = f" ± {found['std']:.3f}" if found["n"] > 1 else ""
        leaky = "LEAKY " if self.leaky else ""
        return (
            f"<Scores {info['recipe']}: {info['method']} on {info['dataset']}, {info['protocol']}, {leaky}accuracy "
            f"{found['mean']:.3f}{spread} over {found['n']} {self.unit}{'s' if found['n'] != 1 else ''}>"
        )

    def as_dict(self) -> dict[str, Any]:
        """What `myograph run --json` prints: plain numbers, NaN as null."""
        info = self.info
        found = {
            "recipe": info["recipe"],
            "run": str(self.folder) if self.folder else None,
            "dataset": info["dataset"],
            "method": info["method"],
            "protocol": info["protocol"],
            "leaky": self.leaky,
            "seed": info["seed"],
            "n_windows": info["n_windows"],
            "n_test_windows": len(self.predictions),
            "n_classes": len(self.labels),
            "metrics": self.summary,
            "over": self.unit,
            "subjects": self.subjects.to_dict("records"),
            "folds": self.folds.to_dict("records"),
            "audit": {
                "passed": all(a["passed"] for a in info["audit"]),
                "folds": info["audit"],
            },
            "wall_s": info["wall_s"],
            "peak_memory_bytes": info["peak_memory_bytes"],
            "honest": self.honest.as_dict() if self.honest else None,
        }
        return plain(found)

    def save(self, folder: Path) -> None:
        """Write tables and facts; a file that was there is replaced only by a whole one."""
        write_atomically(folder / PREDICTIONS, lambda path: self.predictions.to_parquet(path, index=False))
        write_atomically(folder / FOLDS, lambda path: self.folds.to_parquet(path, index=False))
        if self.honest:
            self.honest.save(folder / "honest")
        write_json(folder / RUN, plain(self.info))  # last: its presence says that the run is whole

    @classmethod
    def load(cls, folder: str | Path) -> Scores:
        """Read a run folder.

        Raises
        ------
        ResultsError : no finished run there, or a damaged one.
        """
        folder = Path(folder)
        if not (folder / RUN).is_file():
            unfinished = (folder / "folds").is_dir()
            raise ResultsError(
                f"{folder} holds {'an unfinished run; start the same command again to finish it' if unfinished else 'no run'}"
                + ("" if unfinished else f" (no {RUN} there); give the folder that `myograph run` printed")
            )
        try:
            info = json.loads((folder / RUN).read_text())
            tables = [pd.read_parquet(folder / name) for name in (PREDICTIONS, FOLDS)]
        except (OSError, ValueError) as error:
            raise ResultsError(f"the run in {folder} is damaged ({error}); delete the folder and run again") from error
        honest = cls.load(folder / "honest") if (folder / "honest" / RUN).is_file() else None
        return cls(*tables, info, folder, honest)
