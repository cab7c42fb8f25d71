"""Learning curves of calibration: accuracy over the number of labelled repetitions of a new person or session."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from myograph._common.files import plain, write_bytes
from myograph._common.progress import Progress, silent
from myograph._common.svg import lines, standalone
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation.prepared import Splitter, make_method, prepare_with_rest, read, split
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.evaluation.transfer import HOW
from myograph.recording import Recording
from myograph.windows import Windows


@dataclass(frozen=True)
class LearningCurve:
    """Scores of one recipe for several numbers of calibration repetitions, see `learning_curve`.

    Attributes
    ----------
    recipe : name of the recipe.
    table : one row per transfer, number of repetitions and person: `transfer`, `repetitions`, `subject`, `accuracy`.
    question : the question that the scores answer.

    >>> table = pd.DataFrame({"transfer": "pool", "repetitions": [0, 1], "subject": "1", "accuracy": [0.5, 0.75]})
    >>> curve = LearningCurve("example", table, "new people")
    >>> curve.means["pool"].tolist(), curve.as_dict()["mean_accuracy"]
    ([0.5, 0.75], {'pool': {'0': 0.5, '1': 0.75}})
    >>> curve.to_svg()[:4]
    '<svg'
    """

    recipe: str
    table: pd.DataFrame
    question: str

    @property
    def means(self) -> pd.DataFrame:
        """Mean accuracy over people: one row per number of repetitions, one column per transfer, NaN if missing."""
        each: Any = self.table.groupby(["repetitions", "transfer"], sort=False)["accuracy"].mean()
        mean: pd.DataFrame = each.unstack()
        return mean.reindex(columns=[how for how in HOW if how in mean.columns]).sort_index()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        means = self.means
        found = {str(how): dict(zip(map(str, means.index), means[how].tolist())) for how in means.columns}
        people = self.table.to_dict("records")
        return plain({"recipe": self.recipe, "question": self.question, "mean_accuracy": found, "people": people})

    def to_svg(self) -> str:
        """Return the means as one line chart in SVG."""
        means = self.means
        series = {str(how): [None if v != v else float(v) for v in means[how]] for how in means.columns}
        return lines(means.index.tolist(), series, "accuracy over labelled repetitions of the tested person or session")

    def save_svg(self, path: str | Path) -> Path:
        """Write the chart as an SVG file; ResultsError if it cannot be written.

        >>> import tempfile
        >>> table = pd.DataFrame({"transfer": "pool", "repetitions": [0, 1], "subject": "1", "accuracy": [0.5, 0.75]})
        >>> LearningCurve("example", table, "new people").save_svg(Path(tempfile.mkdtemp()) / "curve.svg").name
        'curve.svg'
        """
        write_bytes(Path(path), standalone(self.to_svg()).encode())
        return Path(path)


USUAL = (0, 1, 2, 4)


def learning_curve(
    recipe: Recipe,
    repetitions: Sequence[int] | None = None,
    transfers: Sequence[str] | None = None,
    recordings: Sequence[Recording] | None = None,
    root: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> LearningCurve:
    """Evaluate a recipe with several numbers of calibration repetitions, each in several ways of using them.

    All scores are of the same test windows: the largest number of repetitions is reserved and never tested. Without
    repetitions only "pool" and "adapt" are possible.

    Parameters
    ----------
    recipe : its protocol is `LeaveOneSubjectOut` or `CrossSession`.
    repetitions : by default 0, 1, 2 and 4, or those of them that leave every tested person and session a repetition to
        test.
    transfers : values of `Recipe.transfer`; by default all that the method allows.
    recordings, root, jobs, progress : as in `evaluate`.

    Raises
    ------
    ConfigError : the protocol takes no calibration repetitions, or a transfer does not exist.
    ProtocolError : someone has too few repetitions for the numbers given.

    >>> from myograph import LeaveOneSubjectOut
    >>> recipe = Recipe("example", "simulated", LeaveOneSubjectOut(), "lda", subjects=("1", "2"))
    >>> curve = learning_curve(recipe, repetitions=(0, 1), transfers=("pool", "target only"))
    >>> curve.means.shape, bool(curve.means.loc[1, "target only"] > curve.means.loc[0, "pool"])
    ((2, 2), True)
    """
    if not hasattr(recipe.protocol, "calibration_repetitions"):
        raise ConfigError(
            f"{type(recipe.protocol).__name__} takes no calibration repetitions; choose LeaveOneSubjectOut or CrossSession"
        )
    if wrong := set(transfers or ()) - set(HOW):
        raise ConfigError(f"transfers must be {', '.join(HOW)}, got {', '.join(sorted(wrong))}")
    method = make_method(recipe)
    usual = [how for how in HOW if how != "adapt" or (hasattr(method, "adapt") and hasattr(method, "calibrate"))]
    progress = progress or silent
    recordings = read(recipe, progress) if recordings is None else recordings
    ready = prepare_with_rest(recipe, recordings, progress)
    repetitions = _possible(recipe.protocol, ready[0]) if repetitions is None else sorted(set(repetitions))
    share: Splitter = lambda asked, given, told: split(asked, given, told, ready)  # noqa: E731
    rows, question = [], ""
    for n in repetitions:
        protocol = _calibrated(recipe.protocol, n, reserved=repetitions[-1])
        for how in transfers or usual:
            if n == 0 and how in ("weight", "target only"):
                continue
            asked = dataclasses.replace(recipe, protocol=protocol, transfer=how)
            scores = evaluate(asked, recordings, None, root, jobs, progress, shared=share)
            question = scores.question
            rows += [
                {"transfer": how, "repetitions": n, "subject": person["subject"], "accuracy": person["accuracy"]}
                for person in scores.subjects.to_dict("records")
            ]
    return LearningCurve(recipe.name, pd.DataFrame(rows), question)


def _calibrated(protocol: Any, repetitions: int, reserved: int) -> Any:
    return dataclasses.replace(protocol, calibration_repetitions=repetitions, reserved_repetitions=reserved)


def _possible(protocol: Any, windows: Windows) -> list[int]:
    """Return those of the `USUAL` numbers of repetitions that leave everybody something to test."""
    for most in range(len(USUAL), 1, -1):
        with contextlib.suppress(ProtocolError):
            list(_calibrated(protocol, USUAL[most - 1], reserved=USUAL[most - 1]).folds(windows))
            return list(USUAL[:most])
    return [0]
