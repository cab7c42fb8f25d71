"""The leakage audit: train and test of a fold must not share samples, a repetition, or anything else that the protocol
separates.

Samples are compared by content, not by the name of their recording. The audit finds a copy even if its position, scale,
offset, polarity, number type or channel order differs, and a part of one recording inside another.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from myograph._common.seen import reaching
from myograph.errors import LeakageError, ProtocolError
from myograph.recording import Recording
from myograph.windows import Windows

if TYPE_CHECKING:
    from myograph._common.audited import AuditedEstimator
    from myograph._common.content import Marks, Match

REPETITION = ("subject", "session", "repetition")
CLAIMS = {"subject": ("subject",), "session": ("subject", "session")}


@dataclass(frozen=True)
class Audit:
    """Result of the audit of one fold: how many test windows share something with train.

    Attributes
    ----------
    n_train, n_test : number of windows in each part.
    n_sharing_samples, n_sharing_repetition, n_sharing_subject, n_sharing_session : number of test windows that share
        samples, a repetition, a subject or a session with train.
    claims : what the protocol declares to separate besides samples and repetitions: "subject", "session" or both.

    Examples
    --------
    >>> found = Audit(10, 5, 0, 0, n_sharing_subject=5, n_sharing_session=0, claims=("subject",))
    >>> found.passed
    False
    >>> found.as_dict()["n_sharing_subject"]
    5
    """

    n_train: int
    n_test: int
    n_sharing_samples: int
    n_sharing_repetition: int
    n_sharing_subject: int
    n_sharing_session: int
    claims: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether train and test share neither samples, nor a repetition, nor anything in `claims`."""
        claimed = {"subject": self.n_sharing_subject, "session": self.n_sharing_session}
        return not (self.n_sharing_samples or self.n_sharing_repetition or any(claimed[c] for c in self.claims))

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, the claims and `passed` as a dictionary for JSON."""
        return {**asdict(self), "claims": list(self.claims), "passed": self.passed}


def audit(
    windows: Windows,
    train: np.ndarray,
    test: np.ndarray,
    disjoint: Sequence[str] = (),
    leaky: bool = False,
    name: str = "this split",
) -> Audit:
    """Check one split for leakage.

    Parameters
    ----------
    windows : the Windows.
    train, test : (n,) integer row positions in `windows`, or (window,) boolean masks.
    disjoint : what the protocol separates besides samples and repetitions: "subject", "session" or both.
    leaky : return the counts instead of raising an error; for protocols that are declared to leak.
    name : name of the split, for the error message.

    Returns
    -------
    The counts, as an `Audit` object.

    Raises
    ------
    LeakageError : train and test share something and `leaky` is False. The message names one pair of windows as an example.
        If two recordings contain the same samples, it names both, and says how much they share and which one to leave out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> label = np.repeat([0, 1, 0, 1], 500)
    >>> recording = Recording(rng.normal(size=(4, 2000)), rate_hz=1000, label=label, subject="1")
    >>> windows = Windows.cut(recording)
    >>> first = windows.column("repetition") == 1
    >>> audit(windows, first, ~first).passed
    True
    >>> copy = Recording(1000 * recording.signal[::-1], rate_hz=1000, label=label, subject="2")
    >>> both = Windows.cut([recording, copy])
    >>> audit(both, both.groups == "1", both.groups == "2", ("subject",))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.LeakageError: this split: 28 of 28 test windows share samples with train: ...
    """
    table = windows.table
    train, test = (_positions(rows) for rows in (train, test))
    copies = copies_in(windows)
    shared = {
        "samples": overlapping(table, test, train, copies, widened(windows)),
        "repetition": _sharing(table, REPETITION, test, train),
        **{claim: _sharing(table, columns, test, train) for claim, columns in CLAIMS.items()},
    }
    result = Audit(len(train), len(test), *(int(rows.sum()) for rows in shared.values()), claims=tuple(disjoint))
    if not leaky:
        for what in ("samples", "repetition", *disjoint):
            if shared[what].any():
                raise LeakageError(_explain(windows, name, what, train, test, shared[what], copies))
    return result


class AuditedSplit:
    """Audit each split of a scikit-learn splitter before it is used: `cross_validate(..., cv=AuditedSplit(cv))`.

    Parameters
    ----------
    cv : a splitter with `split(X, y, groups)`, such as `KFold(5)` or `GroupKFold(5)`.
    disjoint : what train and test must not share besides samples and repetitions: "subject", "session" or both.

    Examples
    --------
    >>> from sklearn.model_selection import KFold
    >>> recording = Recording(np.zeros((1, 2000)), 1000, np.repeat([0, 1], 1000), subject="1")
    >>> windows = Windows.cut(recording)
    >>> AuditedSplit(KFold(5)).get_n_splits()
    5
    >>> next(AuditedSplit(KFold(5)).split(windows, windows.y))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.LeakageError: KFold, split 1: 3 of 7 test windows share samples with train, ...
    """

    def __init__(self, cv: Any, disjoint: Sequence[str] = ()):
        self.cv, self.disjoint = cv, disjoint

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (train, test) row positions of each split.

        Raises
        ------
        LeakageError : train and test share samples, a repetition, or anything in `disjoint`.
        ProtocolError : X is not Windows.
        """
        if not isinstance(X, Windows):
            raise ProtocolError(
                f"AuditedSplit needs Windows, but got {type(X).__name__}, which does not say which samples of a recording "
                "it contains; pass the Windows themselves"
            )
        for i, (train, test) in enumerate(self.cv.split(X, y, groups), 1):
            audit(X, train, test, self.disjoint, name=f"{type(self.cv).__name__}, split {i}")
            yield train, test

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits of the wrapped splitter."""
        return self.cv.get_n_splits(X, y, groups)


def audited(estimator: Any) -> AuditedEstimator:
    """Wrap any scikit-learn estimator or pipeline for `Windows`, so that it warns of leakage.

    The wrapped estimator gives a `LeakageWarning` when it is applied to windows that share samples or a repetition with those
    that it was fitted on. myograph's own estimators give this warning without the wrapper. Recordings are recognised by a
    fingerprint of some of their samples, and windows are compared by their position in the recording. `evaluate` and
    `AuditedSplit` compare all samples instead.

    Parameters
    ----------
    estimator : is cloned, not changed. Its parameters are set as `estimator__name`.

    Examples
    --------
    >>> import warnings
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from myograph import KFoldRepetitions
    >>> label = np.tile(np.repeat([0, 1], 500), 3)
    >>> signal = np.random.default_rng(0).normal(size=(2, 3000)) * (1 + 9 * label)
    >>> windows = Windows.cut(Recording(signal, 1000, label, subject="1"))
    >>> power = FunctionTransformer(lambda X: np.log(np.asarray(X).var(axis=2)))
    >>> method = audited(make_pipeline(power, LogisticRegression()))
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     honest = cross_validate(method, windows, windows.y, cv=KFoldRepetitions())
    ...     count = len(said)
    ...     dealt = cross_validate(method, windows, windows.y, cv=5)
    >>> count, said[0].category.__name__
    (0, 'LeakageWarning')
    """
    from myograph._common.audited import AuditedEstimator

    return AuditedEstimator(estimator)


def _positions(rows: Any) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)


def overlapping(
    table: pd.DataFrame,
    rows: np.ndarray,
    others: np.ndarray,
    copies: Sequence[Match] = (),
    wide: pd.DataFrame | None = None,
) -> np.ndarray:
    """Find the rows that share samples with any of the other rows. The samples of a row are [start, stop).

    Parameters
    ----------
    table : DataFrame with the columns recording, start and stop, one row per window.
    rows, others : row positions.
    copies : samples that occur in two recordings or twice in one, from `copies_in`.
    wide : table from `widened` to use for `others`; None uses `table`.

    Returns
    -------
    (len(rows),) boolean array, true for the rows that share samples.

    Examples
    --------
    >>> table = pd.DataFrame({"recording": 0, "start": [0, 50, 100], "stop": [100, 150, 200]})
    >>> overlapping(table, rows=np.array([0, 1]), others=np.array([2]))
    array([False,  True])
    """
    owner, recording, start, stop = _places(table, rows, copies)
    _, of, starts, stops = _places(table if wide is None else wide, others, copies)
    meets = np.zeros(len(rows), bool)
    for number in np.intersect1d(recording, of):
        mine, theirs = recording == number, of == number
        order = np.argsort(starts[theirs], kind="stable")
        sorted_starts = starts[theirs][order]
        latest_stop = np.maximum.accumulate(stops[theirs][order])
        # Two rows overlap if the other starts before this row stops, and stops after this row starts.
        before = np.searchsorted(sorted_starts, stop[mine], side="left")
        meet = (before > 0) & (latest_stop[np.maximum(before - 1, 0)] > start[mine])
        meets[owner[mine][meet]] = True
    return meets


def widened(windows: Windows) -> pd.DataFrame:
    """Return the table with each window extended on both sides by the reach of the filters applied to its recording.

    Windows are not extended across a break, because filters restart there.

    >>> recording = Recording(np.zeros((1, 1000)), 1000, np.zeros(1000, int), subject="1", reach_samples=10)
    >>> widened(Windows.cut(recording)).loc[1, ["start", "stop"]].tolist()
    [40, 260]
    """
    start, stop = reaching(windows)
    return windows.table.assign(start=start, stop=stop)


def _places(
    table: pd.DataFrame, rows: np.ndarray, copies: Sequence[Match]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (position in `rows`, recording, start, stop) of all places where the samples of the rows occur, with copies."""
    recording, start, stop = (table[name].to_numpy()[rows] for name in ("recording", "start", "stop"))
    owner = np.arange(len(rows))
    order = np.argsort(recording, kind="stable")
    found = [(owner, recording, start, stop)]
    for first, begin, second, other, n in _both_ways(copies):
        here = order[slice(*np.searchsorted(recording, [first, first + 1], sorter=order))]
        here = here[(start[here] < begin + n) & (stop[here] > begin)]
        lag = other - begin
        place = np.maximum(start[here], begin) + lag, np.minimum(stop[here], begin + n) + lag
        found.append((owner[here], np.full(len(here), second, recording.dtype), *place))
    a, b, c, d = (np.concatenate(column) for column in zip(*found))
    return a, b, c, d


def _both_ways(copies: Sequence[Match]) -> Iterator[tuple[int, int, int, int, int]]:
    for m in copies:
        yield m.first, m.start, m.second, m.other_start, m.n
        yield m.second, m.other_start, m.first, m.start, m.n


def _sharing(table: pd.DataFrame, columns: Sequence[str], rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    part = table[list(columns)].iloc[np.concatenate([rows, others])]  # the rows of other subjects need not be grouped
    group = part.groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
    return np.isin(group[: len(rows)], np.unique(group[len(rows) :]))


SHORTEST, INSTEAD = 16, 64  # for windows shorter than 16 samples, copies of at least 64 samples are searched
_last: tuple[tuple[weakref.ref[Recording], ...], int, list[Match]] | None = None


def copies_in(windows: Windows) -> list[Match]:
    """Find copies: segments of samples, at least one window long, that occur twice in the recordings of these windows.

    If windows are shorter than 16 samples, only copies of 64 samples or more are found. Over fewer samples the electrodes
    of a grid are often similar by chance, and comparing all of them would take minutes.

    Copies are found at any position, scale, offset and polarity, with any number type and channel order, and if single
    samples were changed or clipped. Constant, slowly drifting or periodic signals contain too little information to
    distinguish a copy from a coincidence. They count as copies only if two whole recordings are equal.

    Returns
    -------
    list of `Match`: the indices of two recordings, the start sample in each, and the number of samples.

    Examples
    --------
    >>> signal = np.random.default_rng(0).normal(size=(2, 2000))
    >>> recordings = [Recording(s, 1000, np.zeros(s.shape[1], int), subject="1") for s in (signal, -signal[:, 500:])]
    >>> [found] = copies_in(Windows.cut(recordings))
    >>> found.first, found.second, found.start, found.other_start, found.n
    (0, 1, 500, 0, 1500)
    """
    global _last
    if not len(windows):
        return []
    present = np.unique(windows.column("recording"))
    length = int((windows.column("stop") - windows.column("start")).min())
    if length < SHORTEST:
        length = INSTEAD
    recordings = [windows.recordings[i] for i in present]
    last = _last  # reused for the next fold of a protocol, which has the same recordings
    changed = any("_marks" not in vars(r) for r in recordings)
    if changed or last is None or last[1] != length or [ref() for ref in last[0]] != recordings:
        last = tuple(map(weakref.ref, recordings)), length, _copies(recordings, length)
        _last = last
    places = [int(i) for i in present]
    return [type(m)(places[m.first], places[m.second], m.start, m.other_start, m.n) for m in last[2]]


def _copies(recordings: Sequence[Recording], length: int) -> list[Match]:
    from myograph._common.content import Match, matches

    looks = [(r.signal.shape, r.signal[:, :16].tobytes(), r.signal[:, -16:].tobytes()) for r in recordings]
    first_of: dict[Any, int] = {}
    found = []
    for i, (recording, look) in enumerate(zip(recordings, looks)):
        vars(recording).setdefault("_marks", {})
        # Whole signals are hashed only if two are equal at both ends.
        key = recording.samples_hash if looks.count(look) > 1 else look
        if first_of.setdefault(key, i) != i:
            found.append(Match(first_of[key], i, 0, 0, recording.n_samples))
    kept = sorted(first_of.values())
    signals, marks = [recordings[i].signal for i in kept], [_marks(recordings[i], length) for i in kept]
    starts = [(0, *recordings[i].breaks) for i in kept]
    for m in matches(signals, marks, length, starts):
        found.append(Match(kept[m.first], kept[m.second], m.start, m.other_start, m.n))
    return found


def _marks(recording: Recording, length: int) -> Marks:
    """Return the marks of a recording's samples, and store them with the recording."""
    from myograph._common.content import marks_of

    kept = recording.__dict__.setdefault("_marks", {})
    if length not in kept:
        kept[length] = marks_of(recording.signal, length)
    return kept[length]


def _explain(
    windows: Windows,
    name: str,
    what: str,
    train: np.ndarray,
    test: np.ndarray,
    shared: np.ndarray,
    copies: Sequence[Match],
) -> str:
    table, wide = windows.table, widened(windows)
    count = f"{name}: {int(shared.sum())} of {len(test)} test windows share {'a ' if what != 'samples' else ''}{what} with train"
    direct = overlapping(table, test, train, wide=wide) if what == "samples" else shared
    if not direct.any():
        return f"{count}: {_explain_copies(windows, train, test, copies)}"
    row = int(test[np.argmax(direct)])
    if what == "samples":
        meets = overlapping(table, train, np.array([row]), wide=wide)
    else:
        meets = _sharing(table, REPETITION if what == "repetition" else CLAIMS[what], train, np.array([row]))
    partner = int(train[np.argmax(meets)])
    first = table.iloc[row]
    where = f"subject {first['subject']}, session {first['session']}, repetition {first['repetition']}"
    advice = f"keep each {what} entirely in train or entirely in test"
    if what in ("samples", "repetition"):
        advice = "split by repetition with a protocol from myograph.protocols"
    through = ""
    if what == "samples" and not overlapping(table, test, train).any():
        reach = windows.recordings[int(first["recording"])].reach_samples
        through = f" through filters, or a method that reads earlier windows, with a reach of {reach} samples"
    return (
        f"{count}{through}, for example test window {row} and train window {partner} ({where}, samples {first['start']} to "
        f"{first['stop']}); {advice}"
    )


def _explain_copies(
    windows: Windows, train: np.ndarray, test: np.ndarray, copies: Sequence[Match], most: int = 4
) -> str:
    """Name the recordings in train and test that contain the same samples, how much they share, and what to do."""
    table = windows.table
    of = windows.column("recording")
    pairs: dict[tuple[int, int], list[Match]] = {}
    for m in copies:
        pairs.setdefault((m.first, m.second), []).append(m)
    said, out = [], []
    for (first, second), some in pairs.items():
        sides = [np.isin(of[rows], (first, second)) for rows in (test, train)]
        n = int(overlapping(table, test[sides[0]], train[sides[1]], some).sum())
        if not n:
            continue
        a, b = windows.recordings[first], windows.recordings[second]
        seconds = sum(m.n for m in some) / b.rate_hz
        starts = [f"{some[0].other_start / b.rate_hz:.1f} s", f"{some[0].start / a.rate_hz:.1f} s"]
        them = f"{b.name} and {a.name} contain" if a is not b else f"{a.name} contains twice"
        at = " and ".join(starts if a is not b else starts[::-1])
        said.append(f"{them} the same samples ({seconds:.1f} s, starting at {at}; {n} test windows)")
        if a is not b:
            out.append(b.name)
    rest = f"; and {len(said) - most} more pairs" if len(said) > most else ""
    listed = ", ".join(dict.fromkeys(out[:most])) + (" and others" if rest else "")
    advice = f"leave out {listed}, or " if out else ""
    return f"{'; '.join(said[:most])}{rest}. They are the same data: {advice}keep both copies in train or both in test"
