"""Continuous evaluation: decisions at every step over whole stretches of signal, including rest and transitions.

The score of a run is computed over windows that lie inside one movement or inside rest, but a decoder in use decides at
every step of the signal. Here the method is fitted on the train windows of each fold and then decides at every step of
the stretches that the fold tests: whole recordings if the person or the session is new, otherwise the tested
repetitions. A train
window is left out if it shares samples with a window to decide, or is within the reach of its filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from myograph._common.files import plain
from myograph._common.progress import Progress, silent
from myograph._common.runs import run_starts
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation.apart import each_apart
from myograph.evaluation.folds import POOL, labelled_in, predictions_of
from myograph.evaluation.sealed import sealer
from myograph.evaluation.transfer import Transfer
from myograph.live.metrics import all_metrics, risk_curve
from myograph.protocols import Fold
from myograph.windows import Windowing, Windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from myograph.evaluation.recipe import Recipe

COVERAGES = tuple(round(0.05 * i, 2) for i in range(1, 21))


def check_continuous(recipe: Recipe) -> Windowing:
    """Return the windowing of a recipe that can be evaluated continuously.

    Raises
    ------
    ConfigError : the windows are not cut at a constant step, a filter is not causal, or the protocol is LEAKY.

    >>> from myograph.evaluation.recipe import Recipe
    >>> check_continuous(Recipe("example", "simulated", windowing=Windowing(200, 50))).step_ms
    50
    """
    if not isinstance(recipe.windowing, Windowing):
        raise ConfigError(
            f"continuous evaluation needs windows at a constant step, but {recipe.name} has {recipe.windowing!r}; use "
            "Windowing(length_ms, step_ms)"
        )
    if recipe.protocol.leaky:
        raise ConfigError(
            f"{recipe.protocol} is LEAKY, so train and test share stretches of signal; use an honest protocol such as "
            "KFoldRepetitions"
        )
    if ahead := [f for f in recipe.filters if not getattr(f, "causal", False)]:
        raise ConfigError(f"{ahead[0]!r} is not causal, so a decoder could not use it live; use a causal filter")
    return recipe.windowing


def continuous(
    estimator: BaseEstimator,
    windows: Windows,
    folds: Sequence[Fold],
    windowing: Windowing,
    rest: str,
    transfer: Transfer = POOL,
    jobs: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit an estimator on each fold and score its decisions at every step of the stretches that the fold tests.

    The true class of a decision is the label at the last sample of its window. Decisions at unlabelled samples are not
    included in the metrics.

    Parameters
    ----------
    estimator : unfitted estimator over windows.
    windows : the windows, including rest.
    folds : audited folds of these windows.
    windowing : length and step of the decisions.
    rest : the name of rest.
    transfer, jobs, progress : as in `myograph.evaluate`.

    Returns
    -------
    Plain values: `metrics` over all decisions, `subjects` with one entry per person (see
    `myograph.live.metrics.all_metrics`), `selective` (coverage and risk), and the numbers of decisions, hours and train
    windows that were left out.

    Raises
    ------
    ProtocolError : a repetition has both train and test windows, or no train window is left.

    >>> from myograph.methods import METHODS
    >>> from myograph.protocols import KFoldRepetitions
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> folds = list(KFoldRepetitions(2).folds(windows))
    >>> found = continuous(METHODS.create("lda"), windows, folds, Windowing(200, 50), "rest")
    >>> found["decisions"] > len(windows)
    True
    """
    progress = progress or silent
    calls = [(windows, fold, windowing, transfer) for fold in folds]
    done: dict[int, tuple[pd.DataFrame, int]] = {}
    for i, found in each_apart(decide_fold, estimator, calls, jobs):
        done[i] = found
        progress("continuous evaluation", len(done), len(folds))
    tables = [done[i][0].assign(part=done[i][0]["part"] + 1_000_000 * i) for i in range(len(folds))]
    return plain(_summary(pd.concat(tables, ignore_index=True), windowing, rest, sum(n for _, n in done.values())))


def decide_fold(
    estimator: BaseEstimator, windows: Windows, fold: Fold, windowing: Windowing, transfer: Transfer
) -> tuple[pd.DataFrame, int]:
    """Fit and decide one fold; return the decisions and the number of train windows that were left out.

    The decisions are one row each with the columns subject, part (number of the stretch), time_s (of the window's last
    sample), truth ("" if it is unlabelled), decided and confidence.

    >>> from myograph.methods import METHODS
    >>> from myograph.protocols import KFoldRepetitions
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> fold = next(KFoldRepetitions(2).folds(windows))
    >>> table, n_left_out = decide_fold(METHODS.create("lda"), windows, fold, Windowing(200, 50), POOL)
    >>> list(table)
    ['subject', 'part', 'time_s', 'truth', 'decided', 'confidence']
    """
    tested = samples_tested(windows, fold)
    decided, part = every_window(windows, tested, windowing)
    near = sharing_samples(windows, fold.train, decided)
    train = fold.train[~near]
    if not len(train):
        raise ProtocolError(
            f"in fold {fold.name!r} every train window shares samples with a tested stretch; use a protocol that "
            "leaves more for training"
        )
    own = Fold(fold.name, train, fold.test, fold.calibration[np.isin(fold.calibration, train)])
    seal = sealer(estimator)
    model = transfer.fit(estimator, own, lambda rows: seal(labelled_in(windows, rows)))
    bare = seal(decided.without_labels())
    predicted, confidence = np.empty(len(bare), object), np.empty(len(bare))
    for adapted, rows in transfer.parts(model, bare):
        predicted[rows], confidence[rows] = predictions_of(adapted, bare[rows])
    of, last = decided.column("recording"), decided.column("stop") - 1
    truth = np.empty(len(decided), object)
    for k, recording in enumerate(windows.recordings):
        names = np.array([*recording.label_names, ""], object)
        truth[of == k] = names[recording.label[last[of == k]]]
    rates = np.array([r.rate_hz for r in windows.recordings])
    columns = {"subject": decided.column("subject"), "part": part, "time_s": (last + 1) / rates[of]}
    table = pd.DataFrame({**columns, "truth": truth, "decided": predicted.astype(str), "confidence": confidence})
    return table, int(near.sum())


def samples_tested(windows: Windows, fold: Fold) -> list[np.ndarray]:
    """Return one (time,) mask per recording: the samples that a fold tests.

    These are all samples of a recording without train windows, otherwise the samples of the tested repetitions.

    Raises
    ------
    ProtocolError : a repetition of a recording has both train and test windows.

    >>> from myograph.protocols import KFoldRepetitions
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> mask = samples_tested(windows, next(KFoldRepetitions(2).folds(windows)))[0]
    >>> sorted(set(windows.recordings[0].repetition[mask].tolist()))
    [1, 3]
    """
    of, repetition = windows.column("recording"), windows.column("repetition")
    masks = []
    for k, recording in enumerate(windows.recordings):
        test, train = (np.unique(repetition[rows[of[rows] == k]]) for rows in (fold.test, fold.train))
        if both := np.intersect1d(test, train).tolist():
            raise ProtocolError(
                f"fold {fold.name!r} tests and trains on repetition {both[0]} of {recording.name}; continuous evaluation "
                "needs whole repetitions, sessions or people"
            )
        whole = len(test) > 0 and len(train) == 0
        masks.append(np.ones(recording.n_samples, bool) if whole else np.isin(recording.repetition, test))
    return masks


def every_window(windows: Windows, tested: Sequence[np.ndarray], windowing: Windowing) -> tuple[Windows, np.ndarray]:
    """Return all windows whose last sample is tested, and the number of each window's stretch, (window,).

    Windows start at the same samples as in a decoder: at the first sample of each recording and after each break, then
    every step. A window has the label of its last sample.

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> tested = [np.ones(r.n_samples, bool) for r in windows.recordings]
    >>> decided, part = every_window(windows, tested, Windowing(200, 50))
    >>> len(decided) == len(part), set(part.tolist())
    (True, {1})
    """
    found: list[dict[str, Any]] = []
    parts: list[np.ndarray] = []
    n_parts = 0
    for k, (recording, mask) in enumerate(zip(windows.recordings, tested)):
        length, step, _ = windowing.samples(recording.rate_hz)
        starts = [np.arange(a, b - length + 1, step) for a, b in recording.stretches()]
        start = np.concatenate(starts)
        stretch = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
        last = start + length - 1
        keep = mask[last] if len(last) else np.zeros(0, bool)
        # Decisions that are not neighbours on the grid belong to different parts.
        place = np.flatnonzero(keep) if len(keep) else np.zeros(0, np.intp)
        gap = (np.diff(place, prepend=place[:1] - 2) != 1) | (np.diff(stretch[place], prepend=-1) != 0)
        parts.append(n_parts + np.cumsum(gap))
        n_parts += int(gap.sum())
        start, last = start[keep], last[keep]
        names = np.array([*recording.label_names, "unknown"], object)
        found.append(
            {
                "recording": np.full(len(start), k),
                "start": start,
                "stop": start + length,
                "label": names[recording.label[last]],
                "subject": np.full(len(start), recording.subject, object),
                "session": np.full(len(start), recording.session, object),
                "repetition": recording.repetition[last],
                "position": np.arange(len(start)),
                "channel": np.full(len(start), -1),
            }
        )
    table = {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}
    return Windows(windows.recordings, table), np.concatenate(parts)


def sharing_samples(windows: Windows, rows: np.ndarray, decided: Windows) -> np.ndarray:
    """Return (row,): whether a window shares samples with a decided one, or is within the reach of its filters.

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> sharing_samples(windows, np.arange(3), windows[:1]).tolist()[0]
    True
    """
    of, start, stop = (windows.column(name)[rows] for name in ("recording", "start", "stop"))
    near = np.zeros(len(rows), bool)
    for k, recording in enumerate(windows.recordings):
        mine = decided.column("recording") == k
        covered = np.zeros(recording.n_samples + 1, np.int64)
        reach = recording.reach_samples
        np.add.at(covered, np.maximum(decided.column("start")[mine] - reach, 0), 1)
        np.add.at(covered, decided.column("stop")[mine], -1)
        before = np.concatenate([[0], np.cumsum(np.cumsum(covered[:-1]) > 0)])
        here = of == k
        near[here] = before[stop[here]] > before[np.maximum(start[here] - reach, 0)]
    return near


def _summary(table: pd.DataFrame, windowing: Windowing, rest: str, n_left_out: int) -> dict[str, Any]:
    known = table.loc[table["truth"] != ""]
    step_ms = windowing.step_ms
    usable = bool(np.isfinite(known["confidence"]).all())

    def metrics(rows: pd.DataFrame) -> dict[str, Any]:
        # unlabelled samples between two decisions also end a part
        broken = np.flatnonzero(np.diff(rows["time_s"]) > 1.5e-3 * step_ms) + 1
        part = np.zeros(len(rows), np.int64)
        part[np.union1d(broken, run_starts(rows["part"].to_numpy())).astype(int)] = 1
        columns = (rows["truth"].to_numpy(), rows["decided"].to_numpy(), rows["time_s"].to_numpy())
        confidence = rows["confidence"].to_numpy() if usable else None
        return all_metrics(*columns, step_ms, rest, confidence, part=np.cumsum(part))

    selective: list[dict[str, float]] = []
    if usable and len(known):
        coverage, risk = risk_curve(known["confidence"].to_numpy(), (known["truth"] == known["decided"]).to_numpy())
        at = np.minimum(np.searchsorted(coverage, np.array(COVERAGES) - 1e-12), len(risk) - 1)
        selective = [{"coverage": c, "risk": float(risk[i])} for c, i in zip(COVERAGES, at)]
    people = [(name, cast(pd.DataFrame, rows)) for name, rows in known.groupby("subject", sort=False)]
    return {
        "decisions": len(known),
        "unlabelled": len(table) - len(known),
        "hours": len(known) * step_ms / 3.6e6,
        "step_ms": step_ms,
        "length_ms": windowing.length_ms,
        "rest": rest,
        "train_windows_left_out": n_left_out,
        "metrics": metrics(known),
        "selective": selective,
        "subjects": [{"subject": str(name), **metrics(rows)} for name, rows in people],
    }
