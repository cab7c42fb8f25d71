"""Evaluation protocols: scikit-learn cross-validators that split the table of windows and never see a signal.

Each protocol declares in `disjoint` what its train and test parts never share besides samples and repetitions; `audit`
checks this. Protocols leave out train windows that share samples with a test window (windows across a boundary).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from myograph._common.calibration import calibration_rows, check_calibration, left_out_subject
from myograph._common.fields import ADDED, repr_of_decisive
from myograph._common.splits import Fold, groups_of, inventory, is_whole, set_tuples, train_and_test_sessions
from myograph.audit import overlapping, widened
from myograph.errors import ProtocolError
from myograph.windows import Windows


class Protocol:
    """Base class of all protocols: a subclass defines `_folds(table)` and inherits the rest.

    `folds` removes from train the windows that share samples with a test window of the same fold.

    Attributes
    ----------
    disjoint : what train and test never share, besides samples and repetitions: "subject", "session" or both.
    leaky : whether train and test may share samples; scores are then marked LEAKY.
    sequential : whether folds with the same train rows are the steps of one stream. The method is then fitted once and
        adapts after each step.

    >>> class EvenRepetitions(Protocol):
    ...     def _folds(self, table):
    ...         even = table["repetition"].to_numpy() % 2 == 0
    ...         yield "even repetitions", ~even, even
    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> [(fold.name, len(fold.train), len(fold.test)) for fold in EvenRepetitions().folds(windows)]
    [('even repetitions', 28, 28)]
    >>> train, test = next(EvenRepetitions().split(windows))
    >>> np.unique(windows.column("repetition")[test])
    array([2, 4], dtype=int32)
    >>> EvenRepetitions().get_n_splits(windows)
    1
    """

    disjoint: ClassVar[tuple[str, ...]] = ()
    leaky: ClassVar[bool] = False
    sequential: ClassVar[bool] = False

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
        """Yield (name, train mask, test mask) and, if train has calibration rows, their mask."""
        raise TypeError(f"{type(self).__name__} does not define _folds(table)")

    def folds(self, windows: Windows | pd.DataFrame) -> Iterator[Fold]:
        """Yield the folds of the Windows, or of their table with one row per window.

        Raises
        ------
        ProtocolError : the table lacks a subject, session or repetition that the protocol needs, a part of a fold is
            empty, or every train window shares samples with a test window.
        """
        table = table_of(windows, self)
        wide = widened(windows) if isinstance(windows, Windows) else table
        table.attrs["rates_hz"] = tuple(r.rate_hz for r in windows.recordings) if isinstance(windows, Windows) else None
        stream: dict[bytes, np.ndarray] = {}  # all rows tested by the folds with the same train rows
        if self.sequential:
            for _, train, test, *_ in self._folds(table):
                key = np.packbits(train).tobytes()
                stream[key] = stream.get(key, False) | test
        empty = True
        for name, train, test, *calibration in self._folds(table):
            empty = False
            # All steps of a stream must keep the same train rows, so the same rows are removed from each.
            near = np.flatnonzero(stream[np.packbits(train).tobytes()] if self.sequential else test)
            train, test = np.flatnonzero(train), np.flatnonzero(test)
            for part, rows in (("train", train), ("test", test)):
                if not len(rows):
                    raise ProtocolError(f"{self}: fold {name!r} has no {part} windows; {inventory(table)}")
            if not self.leaky:
                train = train[~overlapping(table, train, near, wide=wide)]
                if not len(train):
                    raise ProtocolError(
                        f"{self}: every train window of fold {name!r} shares samples with a test window, or lies within "
                        "the reach of the filters or of the method; use shorter windows or filters, or leave rest between them"
                    )
            yield Fold(name, train, test, train[np.isin(train, np.flatnonzero(calibration))])
        if empty:
            raise ProtocolError(f"{self} gives no folds; {inventory(table)}")

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (train, test) row positions of `X`, the Windows or their table, as scikit-learn's splitters do."""
        for fold in self.folds(X):
            yield fold.train, fold.test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds of `X`, the Windows or their table; ProtocolError if `X` is None."""
        if X is None:
            raise ProtocolError(f"{type(self).__name__} needs the windows to count its folds: get_n_splits(windows)")
        return sum(1 for _ in self._folds(table_of(X, self)))


@dataclass(frozen=True)
class WithinSubject(Protocol):
    """One fold per subject: some repetitions are tested, the others train.

    NinaPro's split is `test_repetitions=(2, 5)`, and `(2, 5, 7)` for DB1 (Atzori et al. 2014,
    doi:10.1038/sdata.2014.53).

    Parameters
    ----------
    test_repetitions : numbers of the repetitions to test.
    train_repetitions : numbers of the repetitions to train on; by default all that are not tested.

    Raises
    ------
    ProtocolError : train and test share a repetition, none is tested, or a subject lacks one (from `folds`).

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=6)
    >>> [fold] = WithinSubject(test_repetitions=(2, 5)).folds(windows)
    >>> fold.name, np.unique(windows.column("repetition")[fold.test])
    ('subject 1', array([2, 5], dtype=int32))
    """

    test_repetitions: tuple[int, ...] = (2, 5)
    train_repetitions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        set_tuples(self, int, "test_repetitions", "train_repetitions")
        both = set(self.test_repetitions) & set(self.train_repetitions or ())
        if both or not self.test_repetitions:
            raise ProtocolError(
                f"train and test repetitions must be disjoint, with at least one to test, got "
                f"train {self.train_repetitions}, test {self.test_repetitions}"
            )

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        repetition = table["repetition"].to_numpy()
        test = np.isin(repetition, self.test_repetitions)
        train = ~test if self.train_repetitions is None else np.isin(repetition, self.train_repetitions)
        for subject, rows in groups_of(table, "subject"):
            wanted = [*self.test_repetitions, *(self.train_repetitions or ())]
            missing = sorted(set(wanted) - set(repetition[rows].tolist()))
            if missing:
                have = sorted(set(repetition[rows].tolist()))
                raise ProtocolError(
                    f"subject {subject} has no repetition {', '.join(map(str, missing))}: it has "
                    f"{', '.join(map(str, have))}; change the protocol's repetitions or leave the subject out"
                )
            yield f"subject {subject}", rows & train, rows & test


@dataclass(frozen=True)
class KFoldRepetitions(Protocol):
    """K folds over the repetitions of each subject or session; fold i tests every k-th repetition from the i-th on.

    Parameters
    ----------
    n_splits : number of folds; None leaves out one repetition at a time.
    within : "subject" pools the sessions of a subject; "session" cross-validates within each session.

    Raises
    ------
    ProtocolError : `n_splits` is below 2, `within` is unknown, or there are too few repetitions (from `folds`).

    >>> from myograph.testing import make_windows
    >>> [fold.name for fold in KFoldRepetitions(n_splits=2).folds(make_windows(n_repetitions=4))]
    ['subject 1, repetition 1, 3', 'subject 1, repetition 2, 4']
    """

    n_splits: int | None = None
    within: str = "subject"

    def __post_init__(self) -> None:
        if self.n_splits is not None and not is_whole(self.n_splits, 2):
            raise ProtocolError(
                f"n_splits must be a whole number of at least 2, or None to leave out one repetition at a time, got "
                f"{self.n_splits!r}"
            )
        if self.within not in ("subject", "session"):
            raise ProtocolError(f"within must be 'subject' or 'session', got {self.within!r}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        repetition = table["repetition"].to_numpy()
        by = ("subject",) if self.within == "subject" else ("subject", "session")
        for key, rows in groups_of(table, *by):
            numbers = np.unique(repetition[rows])
            k = len(numbers) if self.n_splits is None else self.n_splits
            if len(numbers) < max(k, 2):
                raise ProtocolError(
                    f"{self.within} {key} has {len(numbers)} repetitions, too few for {max(k, 2)} folds; "
                    "lower n_splits or leave it out"
                )
            for i in range(k):
                held = numbers[i::k]
                test = rows & np.isin(repetition, held)
                yield f"subject {key}, repetition {', '.join(map(str, held))}", rows & ~test, test


@dataclass(frozen=True)
class PooledSubjects(Protocol):
    """One training set and one test set over all subjects. A random `test_fraction` of the repetitions of each session
    (at least one) is tested.

    Parameters
    ----------
    test_fraction : fraction of repetitions to test, between 0 and 1.
    n_repeats : number of random splits to draw.
    seed : seed of the random choice.

    Raises
    ------
    ProtocolError : a parameter is out of range, or a session has fewer than two repetitions (from `folds`).

    >>> from myograph.testing import make_windows
    >>> [fold.name for fold in PooledSubjects(n_repeats=2).folds(make_windows(n_subjects=2))]
    ['pooled 1', 'pooled 2']
    """

    test_fraction: float = 0.2
    n_repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise ProtocolError(f"test_fraction must be between 0 and 1, got {self.test_fraction}")
        if not is_whole(self.n_repeats, 1):
            raise ProtocolError(f"n_repeats must be a whole number of at least 1, got {self.n_repeats!r}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(self.seed)
        repetition = table["repetition"].to_numpy()
        for i in range(self.n_repeats):
            test = np.zeros(len(table), bool)
            for key, rows in groups_of(table, "subject", "session"):
                numbers = np.unique(repetition[rows])
                if len(numbers) < 2:
                    raise ProtocolError(
                        f"subject {key} has only repetition {numbers[0]}; PooledSubjects needs two or more"
                    )
                n_test = min(max(round(self.test_fraction * len(numbers)), 1), len(numbers) - 1)
                test |= rows & np.isin(repetition, rng.choice(numbers, n_test, replace=False))
            yield f"pooled {i + 1}", ~test, test


@dataclass(frozen=True)
class LastRepetitions(Protocol):
    """One training set and one test set over all subjects. The last `test_fraction` of each subject's repetitions (at
    least one) is tested.

    All training repetitions of a subject come before all of their test repetitions, as in real use.

    Parameters
    ----------
    test_fraction : fraction of repetitions to test, between 0 and 1; ProtocolError if it is not.

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_repetitions=4)
    >>> [fold] = LastRepetitions(test_fraction=0.25).folds(windows)
    >>> np.unique(windows.column("repetition")[fold.test])
    array([4], dtype=int32)
    """

    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise ProtocolError(f"test_fraction must be between 0 and 1, got {self.test_fraction}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        numbers = table.groupby("subject", sort=False, observed=True)["repetition"]
        n = numbers.transform("nunique").to_numpy()
        test = numbers.rank("dense").to_numpy() > np.clip(np.round(n * (1 - self.test_fraction)), 1, n - 1)
        yield "last repetitions", ~test, test


@dataclass(frozen=True, repr=False)
class LeaveOneSubjectOut(Protocol):
    """One fold per subject: the subject is tested, all others train.

    With calibration, some labelled repetitions of the left-out subject join the training set, and `evaluate` reports the
    score of training on these repetitions only ("target only") as well.

    Parameters
    ----------
    calibration : fraction of the left-out subject's repetitions that calibrate (at least one if above 0): the first ones
        of each session. The rest are tested.
    calibration_repetitions : number of repetitions that calibrate, instead of a fraction.
    calibration_seconds : number of seconds of each label to use, from the start of these repetitions.
    calibration_sessions : "each" takes the repetitions from each of the subject's sessions, "first" from the first.
    reserved_repetitions : number of first repetitions that are never tested, whether they calibrate or not, so that
        scores with different numbers of calibration repetitions are of the same test windows.

    Raises
    ------
    ProtocolError : a parameter is out of range; fewer than two subjects, or too few repetitions (from `folds`).

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_subjects=3, n_repetitions=4)
    >>> [fold.name for fold in LeaveOneSubjectOut().folds(windows)]
    ['subject 1', 'subject 2', 'subject 3']
    >>> first = next(LeaveOneSubjectOut(calibration_repetitions=1).folds(windows))
    >>> np.unique(windows.column("repetition")[first.calibration]), np.unique(windows.column("repetition")[first.test])
    (array([1], dtype=int32), array([2, 3, 4], dtype=int32))
    """

    calibration: float = 0.0
    calibration_repetitions: int = field(default=0, metadata=ADDED)
    calibration_seconds: float | None = field(default=None, metadata=ADDED)
    calibration_sessions: str = field(default="each", metadata=ADDED)
    reserved_repetitions: int = field(default=0, metadata=ADDED)
    __repr__ = repr_of_decisive  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if not 0 <= self.calibration < 1:
            raise ProtocolError(f"calibration must be a fraction of at least 0 and below 1, got {self.calibration}")
        check_calibration(self)

    @property
    def disjoint(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.calibration or self.calibration_repetitions else ("subject",)

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
        groups = list(groups_of(table, "subject"))
        if len(groups) < 2:
            found = groups[0][0] if groups else "none"
            raise ProtocolError(f"LeaveOneSubjectOut needs two or more subjects, got {found}")
        for subject, rows in groups:
            yield f"subject {subject}", *left_out_subject(self, table, rows)


@dataclass(frozen=True, repr=False)
class CrossSession(Protocol):
    """One fold per subject: some sessions train, others are tested. Sessions are ordered by appearance.

    Parameters
    ----------
    train_sessions : names of the sessions to train on; by default the first session of each subject.
    test_sessions : names of the sessions to test; by default all that do not train.
    calibration_repetitions : number of labelled repetitions, the first ones of the tested session, that join the training
        set. Each tested session is then a separate fold, with a score "target only" as in `LeaveOneSubjectOut`.
    calibration_seconds : use only the first so many seconds of each label in these repetitions.
    reserved_repetitions : never test the first so many repetitions of a session, whether they calibrate or not, so that
        scores with different numbers of calibration repetitions are of the same test windows.

    Raises
    ------
    ProtocolError : a session both trains and tests, or a subject lacks one of the sessions (from `folds`).

    >>> from myograph.testing import make_windows
    >>> windows = make_windows(n_sessions=3)
    >>> [fold] = CrossSession().folds(windows)
    >>> np.unique(windows.column("session")[fold.test])
    array(['2', '3'], dtype='<U1')
    """

    train_sessions: tuple[str, ...] | None = None
    test_sessions: tuple[str, ...] | None = None
    calibration_repetitions: int = field(default=0, metadata=ADDED)
    calibration_seconds: float | None = field(default=None, metadata=ADDED)
    reserved_repetitions: int = field(default=0, metadata=ADDED)
    __repr__ = repr_of_decisive  # type: ignore[assignment]

    @property
    def disjoint(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.calibration_repetitions else ("session",)

    def __post_init__(self) -> None:
        check_calibration(self)
        set_tuples(self, str, "train_sessions", "test_sessions")
        both = set(self.train_sessions or ()) & set(self.test_sessions or ())
        if both:
            raise ProtocolError(
                f"sessions {sorted(both)} both train and test; give disjoint train_sessions and test_sessions"
            )

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
        session = table["session"].astype(str).to_numpy()
        for subject, rows in groups_of(table, "subject"):
            names = list(dict.fromkeys(session[rows].tolist()))
            train, test = train_and_test_sessions(subject, names, self.train_sessions, self.test_sessions)
            known = rows & np.isin(session, train)
            if not (self.calibration_repetitions or self.reserved_repetitions):
                yield f"subject {subject}", known, rows & np.isin(session, test)
                continue
            for name in test:
                new = rows & (session == name)
                calibrate, spent = calibration_rows(self, table, new, f"{subject}, session {name}")
                yield f"subject {subject}, session {name}", known | calibrate, new & ~spent, calibrate


@dataclass(frozen=True)
class SessionStream(Protocol):
    """Train on a subject's first sessions, then score the later ones in order of appearance.

    An estimator with `adapt` learns from each scored session without its labels, after the score has been computed
    (Zhai et al. 2017, doi:10.3389/fnins.2017.00379).

    Parameters
    ----------
    by : "session", or "repetition" if repetitions represent sessions, as in that paper.
    n_initial : number of sessions (or repetitions) to train on.

    Raises
    ------
    ProtocolError : a parameter is out of range, or a subject has no session left to test (from `folds`).

    >>> from myograph.testing import make_windows
    >>> [fold.name for fold in SessionStream().folds(make_windows(n_sessions=3))]
    ['subject 1, session 2', 'subject 1, session 3']
    """

    by: str = "session"
    n_initial: int = 1
    sequential: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.by not in ("session", "repetition") or not is_whole(self.n_initial, 1):
            raise ProtocolError(
                f"by must be 'session' or 'repetition' and n_initial a whole number of at least 1, got {self.by!r} and "
                f"{self.n_initial!r}"
            )

    @property
    def disjoint(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("session",) if self.by == "session" else ()

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        column = table[self.by].astype(str).to_numpy() if self.by == "session" else table[self.by].to_numpy()
        for subject, rows in groups_of(table, "subject"):
            steps = list(dict.fromkeys(column[rows].tolist())) if self.by == "session" else np.unique(column[rows])
            if len(steps) <= self.n_initial:
                raise ProtocolError(
                    f"subject {subject} has {len(steps)} {self.by}s, SessionStream needs more than {self.n_initial}; "
                    "lower n_initial or leave the subject out"
                )
            train = rows & np.isin(column, steps[: self.n_initial])
            for step in steps[self.n_initial :]:
                yield f"subject {subject}, {self.by} {step}", train, rows & (column == step)


@dataclass(frozen=True)
class LeakyShuffledWindows(Protocol):
    """Assign windows to train and test at random, so that overlapping windows fall on both sides.

    Many papers evaluated in this way. The scores are too high and are marked LEAKY everywhere.

    Parameters
    ----------
    test_fraction : fraction of windows to test, between 0 and 1; ProtocolError if it is not.
    within : "subject" gives one fold per subject, "pooled" a single fold.
    seed : seed of the random choice.
    honest : the protocol to report beside this one.

    >>> from myograph.testing import make_windows
    >>> [fold.name for fold in LeakyShuffledWindows(within="pooled").folds(make_windows())]
    ['pooled']
    """

    test_fraction: float = 0.5
    within: str = "subject"
    seed: int = 0
    honest: Protocol | None = None
    leaky: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise ProtocolError(f"test_fraction must be between 0 and 1, got {self.test_fraction}")
        if self.within not in ("subject", "pooled"):
            raise ProtocolError(f"within must be 'subject' or 'pooled', got {self.within!r}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(self.seed)
        test = rng.random(len(table)) < self.test_fraction
        if self.within == "pooled":
            yield "pooled", ~test, test
            return
        for subject, rows in groups_of(table, "subject"):
            yield f"subject {subject}", rows & ~test, rows & test


def table_of(windows: Any, asker: Any) -> pd.DataFrame:
    """Return the table of Windows, or a DataFrame unchanged; anything else raises ProtocolError for `asker`.

    >>> table_of(pd.DataFrame({"label": ["rest"]}), asker=WithinSubject())
      label
    0  rest
    """
    table = windows.table if isinstance(windows, Windows) else windows
    if not isinstance(table, pd.DataFrame):
        raise ProtocolError(
            f"{type(asker).__name__} needs Windows or their table, got {type(windows).__name__}; "
            "an array does not contain subjects and repetitions; pass the Windows themselves"
        )
    return table
