"""The leakage audit: no fold's train and test may share samples, a repetition, or what its protocol keeps apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from myograph.errors import LeakageError
from myograph.windows import Windows

REPETITION = ("subject", "session", "repetition")
CLAIMS = {"subject": ("subject",), "session": ("subject", "session")}


@dataclass(frozen=True)
class Audit:
    """What the audit of one fold found: counts of test windows that share something with train."""

    n_train: int
    n_test: int
    n_sharing_samples: int
    n_sharing_repetition: int
    n_sharing_subject: int
    n_sharing_session: int
    claims: tuple[str, ...]

    @property
    def passed(self) -> bool:
        claimed = {"subject": self.n_sharing_subject, "session": self.n_sharing_session}
        return not (self.n_sharing_samples or self.n_sharing_repetition or any(claimed[c] for c in self.claims))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "claims": list(self.claims), "passed": self.passed}


def audit(
    windows: Windows,
    train: np.ndarray,
    test: np.ndarray,
    disjoint: Sequence[str] = (),
    leaky: bool = False,
    name: str = "this split",
) -> Audit:
    """Check one split.

    Parameters
    ----------
    windows : the Windows that `train` and `test` are row positions (or masks) of.
    disjoint : what else the protocol keeps apart: "subject" and/or "session".
    leaky : count instead of raising, for protocols that say they leak.
    name : what to call the split in the message.

    Recordings that hold the same samples count as one, under whatever name they come.

    Raises
    ------
    LeakageError : with the first rows that share, unless `leaky`.
    """
    table = windows.table
    train, test = (np.flatnonzero(r) if np.asarray(r).dtype == bool else np.asarray(r) for r in (train, test))
    source = _sources(windows)
    shared = {
        "samples": overlapping(table, test, train, source),
        "repetition": _sharing(table, REPETITION, test, train),
        **{claim: _sharing(table, columns, test, train) for claim, columns in CLAIMS.items()},
    }
    result = Audit(len(train), len(test), *(int(rows.sum()) for rows in shared.values()), claims=tuple(disjoint))
    if not leaky:
        for what in ("samples", "repetition", *disjoint):
            if shared[what].any():
                raise LeakageError(_explain(table, name, what, train, test, shared[what], source))
    return result


def overlapping(
    table: pd.DataFrame, rows: np.ndarray, others: np.ndarray, source: np.ndarray | None = None
) -> np.ndarray:
    """For each of `rows`: does its [start, stop) meet that of any of `others` in the same recording?

    source : (recording,) number that recordings with the same samples share; by default each is its own.
    """
    recording = table["recording"].to_numpy()
    source = np.arange(recording.max() + 1 if len(recording) else 0) if source is None else source
    start, stop = table["start"].to_numpy(), table["stop"].to_numpy()
    meets = np.zeros(len(rows), bool)
    of_row, of_other = source[recording[rows]], source[recording[others]]
    for number in np.intersect1d(of_row, of_other):
        mine, theirs = of_row == number, others[of_other == number]
        order = np.argsort(start[theirs], kind="stable")
        starts = start[theirs][order]
        latest_stop = np.maximum.accumulate(stop[theirs][order])
        # Among the others that start before this row ends, one that stops after this row starts meets it.
        before = np.searchsorted(starts, stop[rows[mine]], side="left")
        meets[mine] = (before > 0) & (latest_stop[np.maximum(before - 1, 0)] > start[rows[mine]])
    return meets


def _sharing(table: pd.DataFrame, columns: Sequence[str], rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    part = table[list(columns)].iloc[np.concatenate([rows, others])]  # a fold of one subject looks at no other's rows
    group = part.groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
    return np.isin(group[: len(rows)], np.unique(group[len(rows) :]))


def _sources(windows: Windows) -> np.ndarray:
    """(recording,) numbers, equal where two recordings hold the same samples."""
    looks = [(r.signal.shape, r.signal[:, :16].tobytes(), r.signal[:, -16:].tobytes()) for r in windows.recordings]
    keys: list[Any] = []
    for recording, look in zip(windows.recordings, looks):
        # Hashing whole signals is only worth it where two look alike at both ends.
        keys.append(recording.samples_hash if looks.count(look) > 1 else look)
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def _explain(
    table: pd.DataFrame,
    name: str,
    what: str,
    train: np.ndarray,
    test: np.ndarray,
    shared: np.ndarray,
    source: np.ndarray,
) -> str:
    row = int(test[np.argmax(shared)])
    if what == "samples":
        meets = overlapping(table, train, np.array([row]), source)
    else:
        meets = _sharing(table, REPETITION if what == "repetition" else CLAIMS[what], train, np.array([row]))
    partner = int(train[np.argmax(meets)])
    first = table.iloc[row]
    where = f"subject {first['subject']}, session {first['session']}, repetition {first['repetition']}"
    pair = f"test window {row} and train window {partner}"
    advice = (
        "split by repetition with a protocol from myograph.protocols"
        if what in ("samples", "repetition")
        else (f"keep each {what} on one side")
    )
    return (
        f"{name}: {int(shared.sum())} of {len(test)} test windows share {'a ' if what != 'samples' else ''}{what} with train, "
        f"first {pair} ({where}, samples {first['start']} to {first['stop']}); {advice}"
    )
