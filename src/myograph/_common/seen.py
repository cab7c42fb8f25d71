"""Remember which samples and repetitions a method was fitted on, and warn if it is applied to windows that share them.

An estimator stores merged sample ranges and names, but no samples. Recordings are recognised by a fingerprint of a few of
their samples. A copy under another name is therefore found, but not one that was cropped or scaled; only `audit` finds these.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from myograph._common.columns import distinct
from myograph.errors import LeakageWarning

N_TAKEN = 64  # evenly spaced samples per channel in a fingerprint, in addition to the first and the last ENDS samples
ENDS = 16
FAR = 1 << 40  # more samples than a recording has
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
OURS = ("myograph", "sklearn", "joblib")  # a warning points at the first line outside these packages


@dataclass(frozen=True)
class Seen:
    """The windows that a method was fitted on, reduced to what later comparisons need.

    Parameters
    ----------
    prints : (recording,) sorted fingerprints of all recordings of the Windows, including recordings without a row.
    start, stop : (range,) separate ranges of the samples that the windows cover, including the reach of the filters. Sample
        i of the recording with the k-th fingerprint has the number k * FAR + i.
    repetitions : (subject, session, repetition) of the windows.
    n : number of windows.

    Examples
    --------
    >>> from myograph import Recording, Windowing, Windows
    >>> signal = np.random.default_rng(0).normal(size=(2, 2000))
    >>> windows = Windows.cut(Recording(signal, 1000, np.repeat([0, 1], 1000), "anna"), Windowing(200, 100))
    >>> samples, repetition = Seen.of(windows[:6]).shared_by(windows)
    >>> samples[:9].tolist()
    [True, True, True, True, True, True, True, False, False]
    >>> int(repetition.sum())  # both labels have one repetition, number 1
    18
    """

    prints: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    repetitions: frozenset[tuple[str, str, int]]
    n: int = 0

    @classmethod
    def of(cls, windows: Any) -> Seen:
        """Return what these `Windows` cover."""
        prints = np.array([fingerprint(r) for r in windows.recordings], np.uint64)
        seen = frozenset(repetitions_of(windows)[1].values())
        return cls._merged(prints, prints[windows.column("recording")], *reaching(windows), seen, len(windows))

    @classmethod
    def _merged(
        cls, prints: np.ndarray, of: np.ndarray, start: np.ndarray, stop: np.ndarray, repetitions: frozenset, n: int
    ) -> Seen:
        """Merge ranges that overlap. prints : of all recordings. of : (range,) fingerprint of each range's recording."""
        prints = np.unique(prints)
        begin = FAR * np.searchsorted(prints, of)
        order = np.argsort(begin + start, kind="stable")
        start, last = (begin + start)[order], np.maximum.accumulate((begin + stop)[order])
        opens = np.flatnonzero(np.append(True, start[1:] > last[:-1]))
        closes = np.append(opens[1:], len(start)) - 1
        return cls(prints, start[opens], last[closes], repetitions, n)

    def joined(self, other: Seen) -> Seen:
        """Return the union of both, for a method that was fitted on one and then on the other."""
        both = (self, other)
        of = np.concatenate([s.prints[s.start // FAR] for s in both])
        start = np.concatenate([s.start % FAR for s in both])
        stop = np.concatenate([s.stop - s.start + s.start % FAR for s in both])
        prints = np.concatenate([s.prints for s in both])
        return self._merged(prints, of, start, stop, self.repetitions | other.repetitions, self.n + other.n)

    def shared_by(self, windows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return two (window,) arrays: whether each window shares samples with these, and whether it shares a repetition.

        Repetitions are compared only if at least one recording is the same, because other recordings may use the same names
        for other people.
        """
        of, recordings = windows.column("recording"), windows.recordings
        present = distinct(of)
        place = np.full(len(recordings), -1, np.int64)
        place[present] = self._begin([recordings[i] for i in present])
        begin = place[of]
        start, stop = begin + windows.column("start"), begin + windows.column("stop")
        before = np.searchsorted(self.start, stop, side="left")  # number of ranges that start before the window stops
        samples = (begin >= 0) & (before > 0) & (self.stop[np.maximum(before - 1, 0)] > start)
        repetition = np.zeros(len(of), bool)
        if (begin >= 0).any() or (self._begin(recordings) >= 0).any():
            codes, names = repetitions_of(windows)
            known = np.zeros(max(names) + 1, bool)
            known[[code for code, name in names.items() if name in self.repetitions]] = True
            repetition = known[codes]
        return samples, repetition

    def _begin(self, recordings: Any) -> np.ndarray:
        """Return the (recording,) number of each recording's first sample; -1 if the recording is unknown."""
        prints = np.array([fingerprint(r) for r in recordings], np.uint64)
        at = np.minimum(np.searchsorted(self.prints, prints), len(self.prints) - 1)
        return np.where(self.prints[at] == prints, FAR * at, -1)


def fingerprint(recording: Any) -> int:
    """Return a hash of a few of a recording's samples. It is stored with the recording.

    >>> from myograph import Recording
    >>> one, other = (Recording(np.full((1, 9), i, float), 100, None, "anna") for i in (1, 2))
    >>> fingerprint(one) == fingerprint(one.with_signal(one.signal.copy())), fingerprint(one) == fingerprint(other)
    (True, False)
    """
    kept = recording.__dict__.get("_fingerprint")
    if kept is None:
        signal = recording.signal
        n = signal.shape[1]
        digest = hashlib.blake2b(f"{signal.shape}{signal.dtype}".encode(), digest_size=8)
        for part in (signal[:, :ENDS], signal[:, :: max(n // N_TAKEN, 1)], signal[:, -ENDS:]):
            digest.update(part.tobytes())
        kept = recording.__dict__["_fingerprint"] = int.from_bytes(digest.digest(), "big")
    return kept


def reaching(windows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the (window,) start and stop, moved outwards by the reach of the filters applied to each recording.

    They are not moved across a break, because filters restart there."""
    of, start, stop = (windows.column(name) for name in ("recording", "start", "stop"))
    reach = np.array([r.reach_samples for r in windows.recordings], np.int64)
    if not reach.any():
        return start, stop
    begin, end = np.zeros(len(of), np.int64), np.array([r.n_samples for r in windows.recordings], np.int64)[of]
    for i, recording in enumerate(windows.recordings):
        if recording.breaks and reach[i]:
            here = np.flatnonzero(of == i)
            borders = np.array([0, *recording.breaks, recording.n_samples])
            stretch = np.searchsorted(borders, start[here], side="right") - 1
            begin[here], end[here] = borders[stretch], borders[stretch + 1]
    return np.maximum(start - reach[of], begin), np.minimum(stop + reach[of], end)


def repetitions_of(windows: Any) -> tuple[np.ndarray, dict[int, tuple[str, str, int]]]:
    """Return a (window,) code of each window's (subject, session, repetition), and the meaning of each code that occurs."""
    subjects, sessions = windows._names["subject"], windows._names["session"]
    repetition = windows._columns["repetition"].astype(np.int64)
    low = int(repetition.min(initial=0))
    several = int(repetition.max(initial=0)) - low + 1
    codes = (windows._columns["subject"] * len(sessions) + windows._columns["session"]) * several + repetition - low
    names = {}
    for code in distinct(codes).tolist():
        rest, number = divmod(code, several)
        subject, session = divmod(rest, len(sessions))
        names[code] = subjects[subject], sessions[session], number + low
    return codes, names


def remember(estimator: Any, X: Any, more: bool = False) -> None:
    """Store with an estimator which windows it is fitted on.

    Nothing is stored for arrays, because the origin of their samples is unknown.

    more : whether the windows are added to those of an earlier fit.
    """
    seen = Seen.of(X) if hasattr(X, "recordings") and len(X) else None
    before = getattr(estimator, "_seen", None) if more else None
    estimator._seen = before if seen is None else seen if before is None else before.joined(seen)


def warn_of_leakage(estimator: Any, X: Any) -> None:
    """Give a LeakageWarning if X is Windows that share samples or a repetition with those stored by `remember`."""
    seen: Seen | None = getattr(estimator, "_seen", None)
    if seen is None or _quiet.get() or not hasattr(X, "recordings") or not len(X):
        return
    samples, repetition = seen.shared_by(X)
    either = samples | repetition
    if not either.any():
        return
    codes, names = repetitions_of(X)
    subject, session, number = names[int(codes[np.argmax(either)])]
    warnings.warn(
        f"{int(samples.sum())} of {len(X)} windows share samples with the windows that this method was fitted on, and "
        f"{int(repetition.sum())} share a repetition with them (the first: subject {subject}, session {session}, repetition "
        f"{number}), so a score on them is too high. Split with a protocol such as KFoldRepetitions, CrossSession or "
        "LeaveOneSubjectOut, or call evaluate, which audits every fold; AuditedSplit(cv) raises an error instead",
        LeakageWarning,
        stacklevel=_outside(),
    )


@contextlib.contextmanager
def no_leakage_warning() -> Iterator[None]:
    """Silence `warn_of_leakage` within the context: for steps of `fit`, and for folds that were audited."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def _outside() -> int:
    """Return the stacklevel at which `warnings.warn` in the caller points at the first line outside the packages in `OURS`."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        frame, level = frame.f_back, level + 1
    return level
