"""`Recipe.transfer`: how a method uses labelled and unlabelled windows of a new person or session."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from myograph.errors import ConfigError, ProtocolError
from myograph.protocols import Fold
from myograph.windows import Windows

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

How = Literal["pool", "weight", "adapt", "target only"]
AdaptOn = Literal["each session", "first session", "everything"]
HOW, ADAPT_ON = get_args(How), get_args(AdaptOn)


@dataclass(frozen=True)
class Transfer:
    """How the windows of the tested person or session are used.

    Parameters
    ----------
    how : "pool" fits on all train windows with equal weight. "weight" repeats the calibration windows, so that they
        have the same total weight as all others. "adapt" fits on the other windows, calls `calibrate` with the
        calibration windows, and calls `adapt` with the unlabelled test windows before they are predicted. "target only"
        fits on the calibration windows only.
    adapt_on : the unlabelled windows for "adapt": those of "each session" before that session is predicted, those of
        the person's "first session" for all sessions, or "everything".
    adapt_seconds : number of seconds of these windows, from the first on, that "adapt" uses; None uses all.

    Raises
    ------
    ConfigError : an invalid value.

    >>> from myograph.methods import lda
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> train = windows.column("repetition") < 4
    >>> fold = Fold("a", np.flatnonzero(train), np.flatnonzero(~train), np.flatnonzero(windows.column("repetition") == 3))
    >>> [settled] = Transfer("target only").settle([fold])
    >>> len(fold.train), len(settled.train)
    (42, 14)
    >>> transfer = Transfer("pool")
    >>> model = transfer.fit(lda(), fold, lambda rows: windows[rows])
    >>> [rows.size for model, rows in transfer.parts(model, windows[fold.test].without_labels())]
    [14]
    """

    how: How = "pool"
    adapt_on: AdaptOn = "each session"
    adapt_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise ConfigError(f"transfer must be {', '.join(map(repr, HOW))}, got {self.how!r}")
        if self.adapt_on not in ADAPT_ON:
            raise ConfigError(f"adapt_on must be {', '.join(map(repr, ADAPT_ON))}, got {self.adapt_on!r}")
        if self.adapt_seconds is not None and not self.adapt_seconds > 0:
            raise ConfigError(f"adapt_seconds must be a positive number of seconds or None, got {self.adapt_seconds!r}")
        if self.how != "adapt" and (self.adapt_on != "each session" or self.adapt_seconds is not None):
            raise ConfigError(f"adapt_on and adapt_seconds need transfer='adapt', got transfer={self.how!r}")

    def settle(self, folds: Sequence[Fold]) -> list[Fold]:
        """Return the folds to fit and audit: under "target only" their train windows are the calibration windows.

        Raises
        ------
        ProtocolError : "target only" or "weight" without calibration windows.
        """
        if self.how in ("weight", "target only"):
            for fold in folds:
                if not len(fold.calibration):
                    raise ProtocolError(
                        f"transfer={self.how!r} needs labelled windows of the tested person or session, but fold "
                        f"{fold.name!r} has none; set the protocol's calibration_repetitions"
                    )
        if self.how == "target only":
            return [Fold(f.name, f.calibration, f.test, f.calibration) for f in folds]
        return list(folds)

    def fit(self, estimator: BaseEstimator, fold: Fold, take: Callable[[np.ndarray], Windows]) -> Any:
        """Return the fitted method.

        Parameters
        ----------
        take : returns the windows of some rows, with labels only in these rows.
        """
        from sklearn.base import clone

        model, rows = cast(Any, clone(estimator)), fold.train
        calibrates = self.how == "adapt" and len(fold.calibration) > 0
        if self.how == "adapt":
            _need(model, "adapt")
        if calibrates:
            _need(model, "calibrate")
            rows = np.setdiff1d(fold.train, fold.calibration)
        elif self.how == "weight":
            others = np.setdiff1d(fold.train, fold.calibration)
            times = max(round(len(others) / len(fold.calibration)), 1)
            rows = np.concatenate([others, np.tile(fold.calibration, times)])
        train = take(rows)
        if len(np.unique(train.y)) < 2:
            raise ConfigError(
                f"{fold.name}: the train windows have only one label ({train.y[0]}), but a classifier needs two or more"
            )
        model.fit(train, train.y)
        if calibrates:
            known = take(fold.calibration)
            model.calibrate(known, known.y)
        return model

    def parts(self, model: Any, test: Windows) -> Iterator[tuple[Any, np.ndarray]]:
        """Yield (model, positions in `test`) until every unlabelled test window was yielded; the model adapts if
        requested.
        """
        if self.how != "adapt":
            yield model, np.arange(len(test))
            return
        subject, session = test.column("subject"), test.column("session")
        for person in dict.fromkeys(subject.tolist()):
            of_person = subject == person
            sessions = list(dict.fromkeys(session[of_person].tolist()))
            for group in [[s] for s in sessions] if self.adapt_on == "each session" else [sessions]:
                rows = np.flatnonzero(of_person & np.isin(session, group))
                seen = rows[session[rows] == group[0]] if self.adapt_on == "first session" else rows
                adapted = copy.deepcopy(model)
                adapted.adapt(test[self._first(test, seen)])
                yield adapted, rows

    def _first(self, windows: Windows, rows: np.ndarray) -> np.ndarray:
        """Return the rows whose samples are within the first `adapt_seconds` of signal covered by the rows."""
        if self.adapt_seconds is None:
            return rows
        start, stop, of = (windows.column(name)[rows] for name in ("start", "stop", "recording"))
        order = np.lexsort((start, of))
        start, stop, of = start[order], stop[order], of[order]
        rate = np.array([r.rate_hz for r in windows.recordings])[of]
        reached = np.where(np.append(False, of[1:] == of[:-1]), np.append(0, stop[:-1]), 0)
        seen = np.cumsum((stop - np.maximum(start, reached)) / rate) <= self.adapt_seconds + 1e-9
        if not seen.any():
            raise ConfigError(f"adapt_seconds={self.adapt_seconds:g} is shorter than one window; increase it")
        return np.sort(rows[order[seen]])


def _need(model: Any, name: str) -> None:
    if not hasattr(model, name):
        raise ConfigError(
            f"transfer='adapt' calls {name}, but {type(model).__name__} has no such method; use 'aligned_lda', "
            "'coral' or another adapter (docs/adaptation.md), or another transfer"
        )
