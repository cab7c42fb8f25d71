"""How a method is judged: scikit-learn cross-validators that see the table of windows and never a signal.

Each protocol says in `disjoint` what its train and test never share besides samples and repetitions; `audit` holds
it to that. Train rows whose samples reach into a test row (windows that straddle a boundary) are left out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from myograph.audit import overlapping, widened
from myograph.errors import ProtocolError
from myograph.windows import Windows


@dataclass(frozen=True)
class Fold:
    """One split: a name for tables and reports, and row positions of train and test."""

    name: str
    train: np.ndarray
    test: np.ndarray


class Protocol:
    """Base of all protocols: give `_folds(table)`; `split`, `get_n_splits` and purging come with it.

    disjoint : what else than samples and repetitions train and test never share: "subject", "session".
    leaky : it shares samples, and says so.
    sequential : folds with the same train rows are steps of one stream: fitted once, adapted after each.
    """

    disjoint: ClassVar[tuple[str, ...]] = ()
    leaky: ClassVar[bool] = False
    sequential: ClassVar[bool] = False

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield (name, train mask, test mask)."""
        raise TypeError(f"{type(self).__name__} gives no folds: a protocol defines _folds(table)")

    def folds(self, windows: Windows | pd.DataFrame) -> Iterator[Fold]:
        """The folds, each with its name.

        Raises
        ------
        ProtocolError : the table lacks a subject, session or repetition that the protocol needs.
        """
        table = table_of(windows, self)
        wide = widened(windows) if isinstance(windows, Windows) else table
        stream: dict[bytes, np.ndarray] = {}  # what the folds with the same train rows test in all
        if self.sequential:
            for _, train, test in self._folds(table):
                key = np.packbits(train).tobytes()
                stream[key] = stream.get(key, False) | test
        empty = True
        for name, train, test in self._folds(table):
            empty = False
            # Steps of a stream are purged alike: with other train rows they would not be one stream any more.
            near = np.flatnonzero(stream[np.packbits(train).tobytes()] if self.sequential else test)
            train, test = np.flatnonzero(train), np.flatnonzero(test)
            for part, rows in (("train", train), ("test", test)):
                if not len(rows):
                    raise ProtocolError(f"{self}: fold {name!r} has no {part} windows; {_inventory(table)}")
            if not self.leaky:
                train = train[~overlapping(table, train, near, wide=wide)]
                if not len(train):
                    raise ProtocolError(
                        f"{self}: every train window of fold {name!r} shares samples with a test window, or lies within "
                        "the reach of the filters of one; use shorter windows or filters, or leave rest between them"
                    )
            yield Fold(name, train, test)
        if empty:
            raise ProtocolError(f"{self} gives no folds; {_inventory(table)}")

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """scikit-learn's interface: (train, test) row positions of `X`, a Windows or its table."""
        for fold in self.folds(X):
            yield fold.train, fold.test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        if X is None:
            raise ProtocolError(f"{type(self).__name__} needs the windows to count its folds: get_n_splits(windows)")
        return sum(1 for _ in self._folds(table_of(X, self)))


@dataclass(frozen=True)
class WithinSubject(Protocol):
    """One fold per subject: some repetitions test, all others train. NinaPro's own split is `test_repetitions=(2, 5)`
    (`(2, 5, 7)` for DB1), Atzori et al. 2014, doi:10.1038/sdata.2014.53.

    train_repetitions : restricts train to these; by default all that do not test.
    """

    test_repetitions: tuple[int, ...] = (2, 5)
    train_repetitions: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _as_tuples(self, int, "test_repetitions", "train_repetitions")
        both = set(self.test_repetitions) & set(self.train_repetitions or ())
        if both or not self.test_repetitions:
            raise ProtocolError(
                f"train and test repetitions are disjoint and there is at least one to test, got "
                f"train {self.train_repetitions}, test {self.test_repetitions}"
            )

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        repetition = table["repetition"].to_numpy()
        test = np.isin(repetition, self.test_repetitions)
        train = ~test if self.train_repetitions is None else np.isin(repetition, self.train_repetitions)
        for subject, rows in _groups(table, "subject"):
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
    """K folds over the repetitions of each subject (or each session): consecutive numbers are dealt in turn.

    n_splits : folds; None leaves one repetition out at a time.
    within : "subject" pools a subject's sessions, "session" cross-validates inside each.
    """

    n_splits: int | None = None
    within: str = "subject"

    def __post_init__(self) -> None:
        if self.n_splits is not None and not _whole(self.n_splits, 2):
            raise ProtocolError(
                f"n_splits is a whole number of at least 2, or None to leave one repetition out at a time, got "
                f"{self.n_splits!r}"
            )
        if self.within not in ("subject", "session"):
            raise ProtocolError(f"within is 'subject' or 'session', got {self.within!r}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        repetition = table["repetition"].to_numpy()
        by = ("subject",) if self.within == "subject" else ("subject", "session")
        for key, rows in _groups(table, *by):
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
    """All subjects in one training set and one test set; of each recording session's repetitions a random
    `test_fraction` tests (at least one).

    n_repeats : number of such splits to draw.
    """

    test_fraction: float = 0.2
    n_repeats: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise ProtocolError(f"test_fraction lies between 0 and 1, got {self.test_fraction}")
        if not _whole(self.n_repeats, 1):
            raise ProtocolError(f"n_repeats is a whole number of at least 1, got {self.n_repeats!r}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(self.seed)
        repetition = table["repetition"].to_numpy()
        for i in range(self.n_repeats):
            test = np.zeros(len(table), bool)
            for key, rows in _groups(table, "subject", "session"):
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
    """All subjects in one training set; the last `test_fraction` of each subject's repetitions (at least one) test.

    All of a subject's training repetitions come before all of their test repetitions, as in real use.
    """

    test_fraction: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise ProtocolError(f"test_fraction lies between 0 and 1, got {self.test_fraction}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        numbers = table.groupby("subject", sort=False, observed=True)["repetition"]
        n = numbers.transform("nunique").to_numpy()
        test = numbers.rank("dense").to_numpy() > np.minimum(np.round(n * (1 - self.test_fraction)), n - 1)
        yield "last repetitions", ~test, test


@dataclass(frozen=True)
class LeaveOneSubjectOut(Protocol):
    """One fold per subject: all others train, it tests.

    calibration : fraction of the left-out subject's repetitions, the first ones of each session, that join train
        (at least one when above 0); the rest test. Then train and test share the subject, but no repetition.
    """

    calibration: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.calibration < 1:
            raise ProtocolError(f"calibration is a fraction from 0 up to, not including, 1, got {self.calibration}")

    @property
    def disjoint(self) -> tuple[str, ...]:  # type: ignore[override]
        return () if self.calibration else ("subject",)

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        repetition = table["repetition"].to_numpy()
        groups = list(_groups(table, "subject"))
        if len(groups) < 2:
            raise ProtocolError(
                f"LeaveOneSubjectOut needs two or more subjects, got {groups[0][0] if groups else 'none'}"
            )
        for subject, rows in groups:
            test = rows.copy()
            if self.calibration:
                for key, part in _groups(table, "subject", "session", within=rows):
                    numbers = np.unique(repetition[part])
                    if len(numbers) < 2:
                        raise ProtocolError(f"subject {key} has one repetition: none is left to test after calibration")
                    n = min(max(round(self.calibration * len(numbers)), 1), len(numbers) - 1)
                    test &= ~(part & np.isin(repetition, numbers[:n]))
            yield f"subject {subject}", ~test, test


@dataclass(frozen=True)
class CrossSession(Protocol):
    """One fold per subject: some sessions train, others test. Sessions are ordered by appearance.

    train_sessions : names; by default the first of each subject.
    test_sessions : names; by default all that do not train.
    """

    train_sessions: tuple[str, ...] | None = None
    test_sessions: tuple[str, ...] | None = None
    disjoint: ClassVar[tuple[str, ...]] = ("session",)

    def __post_init__(self) -> None:
        _as_tuples(self, str, "train_sessions", "test_sessions")
        both = set(self.train_sessions or ()) & set(self.test_sessions or ())
        if both:
            raise ProtocolError(
                f"sessions {sorted(both)} both train and test; give disjoint train_sessions and test_sessions"
            )

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        session = table["session"].astype(str).to_numpy()
        for subject, rows in _groups(table, "subject"):
            names = list(dict.fromkeys(session[rows].tolist()))
            train = self.train_sessions
            if train is None:
                train = tuple([n for n in names if n not in (self.test_sessions or ())][:1])
            test = self.test_sessions or tuple(n for n in names if n not in train)
            missing = [n for n in (*train, *test) if n not in names]
            if missing or not train or not test:
                raise ProtocolError(
                    f"subject {subject} has sessions {', '.join(names)}; CrossSession needs "
                    f"{'session ' + ', '.join(missing) if missing else 'at least one to train and one to test'}"
                )
            yield f"subject {subject}", rows & np.isin(session, train), rows & np.isin(session, test)


@dataclass(frozen=True)
class SessionStream(Protocol):
    """Train on a subject's first sessions, then score the others one by one, in order of appearance; an estimator
    with `adapt` learns from each, unlabelled, after its score has been taken (Zhai et al. 2017).

    by : "session", or "repetition" where repetitions stand for sessions, as in that paper.
    n_initial : how many of the first train.
    """

    by: str = "session"
    n_initial: int = 1
    sequential: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.by not in ("session", "repetition") or not _whole(self.n_initial, 1):
            raise ProtocolError(
                f"by is 'session' or 'repetition' and n_initial a whole number of at least 1, got {self.by!r} and "
                f"{self.n_initial!r}"
            )

    @property
    def disjoint(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("session",) if self.by == "session" else ()

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        column = table[self.by].astype(str).to_numpy() if self.by == "session" else table[self.by].to_numpy()
        for subject, rows in _groups(table, "subject"):
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
    """What many papers did: windows dealt to train and test at random, so that overlapping windows fall on both
    sides. Its scores are marked LEAKY everywhere; `honest` is the protocol reported beside it.

    within : "subject" gives one fold per subject, "pooled" a single fold.
    """

    test_fraction: float = 0.5
    within: str = "subject"
    seed: int = 0
    honest: Protocol | None = None
    leaky: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise ProtocolError(f"test_fraction lies between 0 and 1, got {self.test_fraction}")
        if self.within not in ("subject", "pooled"):
            raise ProtocolError(f"within is 'subject' or 'pooled', got {self.within!r}")

    def _folds(self, table: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(self.seed)
        test = rng.random(len(table)) < self.test_fraction
        if self.within == "pooled":
            yield "pooled", ~test, test
            return
        for subject, rows in _groups(table, "subject"):
            yield f"subject {subject}", rows & ~test, rows & test


def table_of(windows: Any, asker: Any) -> pd.DataFrame:
    """The table of a Windows, or a table itself."""
    table = windows.table if isinstance(windows, Windows) else windows
    if not isinstance(table, pd.DataFrame):
        raise ProtocolError(
            f"{type(asker).__name__} splits a Windows or its table, got {type(windows).__name__}; "
            "an array has lost subjects and repetitions, pass the Windows themselves"
        )
    return table


def _groups(table: pd.DataFrame, *columns: str, within: np.ndarray | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """(name, row mask) of each combination of columns, in order of appearance."""
    codes = table.groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
    for code in np.unique(codes if within is None else codes[within]):
        rows = codes == code
        first = table.iloc[int(np.argmax(rows))]
        yield ", session ".join(str(first[c]) for c in columns), rows


def _as_tuples(protocol: Any, kind: type, *fields: str) -> None:
    """One number or name, or several, as a tuple of `kind`: sessions are names, whoever writes them as numbers."""
    for field in fields:
        value = getattr(protocol, field)
        if value is None:
            continue
        try:
            several = tuple(map(kind, [value] if isinstance(value, (str, int, np.integer)) else value))
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"{field} holds {'numbers' if kind is int else 'names'}, got {value!r}") from error
        object.__setattr__(protocol, field, several)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def _inventory(table: pd.DataFrame) -> str:
    parts = [
        f"{column}s {', '.join(map(str, list(table[column].unique())[:12]))}"
        for column in ("subject", "session", "repetition")
    ]
    return "the windows have " + "; ".join(parts)
