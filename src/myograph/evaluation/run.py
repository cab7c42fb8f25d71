"""`evaluate(recipe)`: from recordings to audited scores, in a folder from which an interrupted run resumes."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from myograph._common.files import only_run_in, plain
from myograph._common.pipelines import past_ms
from myograph._common.progress import Progress, silent
from myograph.audit import Audit
from myograph.errors import ConfigError, LeakageError, ProtocolError
from myograph.evaluation.continuous import check_continuous
from myograph.evaluation.continuous import continuous as find_continuous
from myograph.evaluation.folds import KeptFolds, fitted_before, refuse_fitted_on, run_folds
from myograph.evaluation.info import taken, versions
from myograph.evaluation.metrics import score
from myograph.evaluation.prepared import (
    Split,
    Splitter,
    check,
    hashes_of,
    make_method,
    prepare,
    read,
    rest_label,
    split,
    with_past,
)
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.scores import TARGET_ONLY, Scores
from myograph.protocols import CrossSession, Fold, KFoldRepetitions, LeaveOneSubjectOut, Protocol
from myograph.recording import Recording
from myograph.windows import Windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def evaluate(
    recipe: Recipe,
    recordings: Recording | Sequence[Recording] | None = None,
    out: str | Path | None = None,
    root: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str | None = None,
    continuous: bool = False,
    shared: Splitter | None = None,
) -> Scores:
    """Run a recipe: read, filter, cut windows, split, audit, fit, predict, score.

    If the protocol gives labelled windows of the tested person or session (calibration), the method is also scored when
    trained on these windows alone; see `Scores.target_only`.

    A method never sees a test label: the windows that it predicts, transforms or adapts to have no labels, and in `fit`
    the recordings are labelled only inside the train windows.

    Parameters
    ----------
    recordings : used instead of the recipe's data set, which may then have any name; all are used, independent of the
        recipe's `subjects`.
    out : the run's folder. Finished folds are kept there with their checksums; if a run is interrupted, evaluate the
        same recipe again: it resumes after the last finished fold. None keeps the results in memory only, unless
        `root` is given.
    root : a folder in which the run creates its own folder, named after the recipe and its identity.
    jobs : number of folds that run in parallel processes; -1 for one per core.
    progress : called as progress(message, done, total).
    command : command line of the run, for its report.
    continuous : whether to also score decisions at every step of the tested stretches; needs one more fit per fold.
    shared : function called instead of `prepared.split`, for runs that share windows and folds.

    Raises
    ------
    LeakageError : train and test of a fold share samples or a repetition, or a part of the method was fitted before
        this run on test windows. The audit cannot be turned off.
    ConfigError : the recordings or the method are unusable, or there are fewer than two labels.
    ProtocolError, DataError, WindowError : the protocol, the data set or the windowing does not fit the recordings.
    ResultsError : the folder holds another run, is in use, or cannot be written.

    >>> from myograph import LeaveOneSubjectOut
    >>> recipe = Recipe("example", "simulated", LeaveOneSubjectOut(), "lda", subjects=("1", "2"))
    >>> scores = evaluate(recipe)
    >>> scores.folds["fold"].tolist(), scores.leaky
    (['subject 1', 'subject 2'], False)
    """
    started = time.perf_counter()
    if continuous:
        check_continuous(recipe)
    progress = progress or silent
    recordings = _recordings(recipe, recordings, progress)
    ready = _make_ready(recipe, recordings, (shared or split)(recipe, recordings, progress))
    own = None if root is None else Path(root) / f"{recipe.name}-{ready.info['identity'][:10]}"
    folder = own if out is None else Path(out)
    with nullcontext() if folder is None else only_run_in(folder, ready.info["identity"]):
        kept = None if folder is None else KeptFolds(folder, ready.info["identity"], resume=_may_resume(ready, folder))
        sequential, transfer = recipe.protocol.sequential, recipe.how_to_transfer()
        parts = run_folds(ready.estimator, ready.windows, ready.folds, sequential, kept, jobs, progress, transfer)
        predictions = pd.concat([p.drop(columns="seconds") for p in parts], ignore_index=True)
        table = _fold_table(parts, ready.folds, ready.audits)
        inside = lambda name: None if folder is None else folder / name  # noqa: E731
        again = lambda r, name: evaluate(r, recordings, inside(name), None, jobs, progress, shared=shared)  # noqa: E731
        honest, target_only = _beside(recipe, ready.folds, again, progress)
        every = evaluate_continuously(recipe, recordings, jobs, progress) if continuous else None
        info = plain({**ready.info, "command": command, "continuous": every, **taken(started)})
        scores = Scores(predictions, table, {**info, "glimpse": ready.glimpse}, folder, honest, target_only)
        if folder is not None:
            scores.save(folder)
    return scores


def evaluate_continuously(
    recipe: Recipe, recordings: Sequence[Recording], jobs: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Score every decision over the stretches of signal that the recipe's protocol tests, including rest and
    transitions.

    The method always learns rest here, independent of `recipe.rest`, because a decoder without rest moves all the time.

    Parameters
    ----------
    recordings : unfiltered.
    jobs, progress : as in `evaluate`.

    Returns
    -------
    Plain values, see `myograph.evaluation.continuous.continuous`.

    Raises
    ------
    ConfigError, ProtocolError, WindowError : the recipe, protocol or recordings do not allow it.

    >>> from myograph.testing import make_recording
    >>> recipe = Recipe("example", "mine", KFoldRepetitions(2), "lda")
    >>> found = evaluate_continuously(recipe, [make_recording()])
    >>> found["rest"], found["decisions"]
    ('rest', 76)
    """
    windowing = check_continuous(recipe)
    progress = progress or silent
    method = make_method(recipe)
    windows = with_past(prepare(dataclasses.replace(recipe, rest="keep"), recordings, progress), past_ms(method))
    folds = list(recipe.protocol.folds(windows))
    check(windows, folds, recipe.protocol)
    rest = rest_label(recipe) or "rest"
    return find_continuous(method, windows, folds, windowing, rest, recipe.how_to_transfer(), jobs, progress)


def _beside(
    recipe: Recipe, folds: Sequence[Fold], evaluate_as: Callable[[Recipe, str], Scores], progress: Progress
) -> tuple[Scores | None, Scores | None]:
    """Return the honest counterpart of a LEAKY run, and the scores of training on the calibration windows, if any."""
    honest, target_only = None, None
    if recipe.transfer != "target only" and all(len(f.calibration) for f in folds):
        progress("target only", 0, 1)
        alone = dataclasses.replace(recipe, transfer="target only", adapt_on="each session", adapt_seconds=None)
        target_only = evaluate_as(alone, TARGET_ONLY)
    if recipe.protocol.leaky:
        progress("the honest counterpart", 0, 1)
        fair = dataclasses.replace(recipe, protocol=getattr(recipe.protocol, "honest", None) or KFoldRepetitions(2))
        honest = evaluate_as(fair, "honest")
    return honest, target_only


@dataclass(frozen=True)
class SideBySide:
    """The same recipe under several honest protocols, see `evaluate_all`.

    Attributes
    ----------
    scores : question ("new repetitions", "new sessions", "new people") to the `Scores` that answer it.
    skipped : question to the reason why the data do not allow it.

    >>> SideBySide({}, {"new people": "there is one person"}).as_dict()["skipped"]
    {'new people': 'there is one person'}
    """

    scores: dict[str, Scores]
    skipped: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"scores": {name: s.as_dict() for name, s in self.scores.items()}, "skipped": dict(self.skipped)}


def evaluate_all(
    recipe: Recipe,
    recordings: Recording | Sequence[Recording] | None = None,
    root: str | Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    command: str | None = None,
) -> SideBySide:
    """Run a recipe once for each question that its data can answer: new repetitions, new sessions, new people.

    If the recipe's own protocol is honest, it is used for its question; for the others, the protocols are
    `KFoldRepetitions(2)`, `CrossSession()` and `LeaveOneSubjectOut()`. Parameters and errors are those of `evaluate`;
    every run has its own folder in `root`.

    Raises
    ------
    ProtocolError : the data allow none of the three protocols.

    >>> found = evaluate_all(Recipe("example", "simulated", method="lda", subjects=("1",)))
    >>> list(found.scores), list(found.skipped)
    (['new repetitions', 'new sessions'], ['new people'])
    """
    progress = progress or silent
    recordings = _recordings(recipe, recordings, progress)
    windows = prepare(recipe, recordings)
    scores, skipped = {}, {}
    for question, protocol in honest_protocols(recipe.protocol).items():
        try:
            list(protocol.folds(windows))
        except ProtocolError as error:
            skipped[question] = str(error)
            continue
        asked = recipe if protocol == recipe.protocol else dataclasses.replace(recipe, protocol=protocol)
        name = lambda what, done, total, question=question: progress(f"{question}: {what}", done, total)  # noqa: E731
        scores[question] = evaluate(asked, recordings, None, root, jobs, name, command)
    if not scores:
        raise ProtocolError(f"{recipe.name}: no honest protocol fits these recordings; {'; '.join(skipped.values())}")
    return SideBySide(scores, skipped)


def honest_protocols(own: Protocol) -> dict[str, Protocol]:
    """Return the protocol for each question; a recipe's own protocol is used for its question.

    >>> from myograph import WithinSubject
    >>> honest_protocols(WithinSubject((2, 5)))["new repetitions"]
    WithinSubject(test_repetitions=(2, 5), train_repetitions=None)
    """
    found: dict[str, Protocol] = {
        "new repetitions": KFoldRepetitions(2),
        "new sessions": CrossSession(),
        "new people": LeaveOneSubjectOut(),
    }
    if not own.leaky:
        kept_apart = "new people" if "subject" in own.disjoint else "new sessions" if "session" in own.disjoint else ""
        found[kept_apart or "new repetitions"] = own
    return found


def _recordings(recipe: Recipe, given: Recording | Sequence[Recording] | None, progress: Progress) -> list[Recording]:
    if given is None:
        return read(recipe, progress)
    given = [given] if isinstance(given, Recording) else list(given)
    if strange := [type(r).__name__ for r in given if not isinstance(r, Recording)]:
        raise ConfigError(
            f"recordings must be Recording objects, got {strange[0]}; make one with Recording(signal, ...)"
        )
    for recording in given:
        recording.forget_if_changed()
    return given


@dataclass(frozen=True)
class _Ready:
    """A recipe before anything is fitted: its audited windows and folds, and the info of the run."""

    windows: Windows
    folds: list[Fold]
    audits: list[Audit]
    estimator: BaseEstimator
    info: dict[str, Any]
    glimpse: dict[str, Any]


def _make_ready(recipe: Recipe, recordings: Sequence[Recording], parts: Split) -> _Ready:
    windows, folds, audits = parts.windows, parts.folds, parts.audits
    estimator = make_method(recipe)
    if not recipe.protocol.leaky:
        if not all(a.passed for a in audits):
            raise LeakageError(
                f"these folds share samples or repetitions; {recipe.protocol} is honest, so they are not its"
            )
        refuse_fitted_on(estimator, windows, np.unique(np.concatenate([f.test for f in folds])))
    facts = {
        **parts.facts,
        "fitted_before": fitted_before(estimator, parts.people),
        "past_ms": past_ms(estimator),
        "not_resumable": recipe.unknown_parts(),
    }
    info = _info(recipe, recordings, parts)
    before = facts["fitted_before"]
    info["audit"] = [{"fold": f.name, **a.as_dict(), "fitted_before": before} for f, a in zip(folds, audits)]
    return _Ready(windows, folds, audits, estimator, {**info, "facts": facts}, parts.glimpse)


def _may_resume(ready: _Ready, folder: Path) -> bool:
    unknown = ready.info["facts"]["not_resumable"]
    if unknown and (folder / "folds").is_dir():
        warnings.warn(
            f"the run in {folder} cannot resume, so every fold is run again: whether these parts of the recipe are "
            "still "
            f"the same cannot be determined: {', '.join(unknown)}; give them as values, functions or classes",
            stacklevel=3,
        )
    return not unknown


def _info(recipe: Recipe, recordings: Sequence[Recording], parts: Split) -> dict[str, Any]:
    hashes = hashes_of(recordings)
    return {
        "recipe": recipe.name,
        "settings": recipe.as_dict(),
        "identity": recipe.identity(hashes),
        "data_hashes": hashes,
        "n_recordings": len(recordings),
        "dataset": name_of(recipe.dataset),
        "method": name_of(recipe.method),
        "protocol": type(recipe.protocol).__name__,
        "leaky": bool(recipe.protocol.leaky),
        "seed": recipe.seed,
        "labels": parts.labels,
        "n_windows": len(parts.windows),
        "versions": versions(),
        "published": [dataclasses.asdict(p) for p in recipe.published],
    }


def _fold_table(parts: list[pd.DataFrame], folds: list[Fold], audits: list[Audit]) -> pd.DataFrame:
    rows = []
    for part, fold, found in zip(parts, folds, audits):
        subjects = part["subject"].unique()
        rows.append(
            {
                "fold": fold.name,
                "subject": subjects[0] if len(subjects) == 1 else None,
                **score(part),
                "n_train": found.n_train,
                "n_test": found.n_test,
                "seconds": float(part["seconds"].iloc[0]),
                "sharing_samples": found.n_sharing_samples,
                "sharing_repetition": found.n_sharing_repetition,
            }
        )
    return pd.DataFrame(rows)


def name_of(thing: Any) -> str:
    """Return the name of a data set or a method in tables: its registered name, or its type.

    >>> name_of("lda"), name_of(object())
    ('lda', 'object')
    """
    return thing if isinstance(thing, str) else str(getattr(thing, "name", None) or type(thing).__name__)
