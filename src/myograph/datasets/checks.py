"""`check`: everything missing, damaged or odd in a data set's files; an error in one file does not end it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myograph.datasets._names import natural
from myograph.datasets.quality import Finding, inspect
from myograph.errors import MyographError
from myograph.recording import Recording

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset, Progress


ONE_OF = 128  # one stretch in so many samples stands for a recording
LEAST_SHARED, LEAST_PART = 3, 0.05


def check(dataset: Dataset, folder: Path, progress: Progress | None = None) -> list[Finding]:
    """Findings of a whole data set: errors in files, missing repetitions, odd signals, and recordings that are copies."""
    try:
        subjects = dataset.subjects(folder)
    except MyographError as error:
        return [Finding("error", str(folder), str(error), "put the files there, then check again")]
    findings: list[Finding] = []
    prints: list[tuple[str, np.ndarray]] = []
    for done, subject in enumerate(subjects):
        if progress:
            progress(f"checking {dataset.name}, subject {subject}", done, len(subjects))
        sessions: dict[str, set[tuple[str, int]]] = {}
        for item in dataset.examine(folder, subject):
            if isinstance(item, Finding):
                findings.append(item)
            else:
                findings += inspect(item)
                prints.append((item.name, fingerprint(item)))
                sessions.setdefault(item.session, set()).update(repeated(item))
        missing = [s for s in dataset.sessions if s not in sessions]
        if missing and sessions:  # where nothing can be read, the errors say so
            findings.append(
                Finding(
                    "warning",
                    f"{dataset.name}, subject {subject}",
                    f"no recording of session {', '.join(missing)}",
                    "copy them if you need them; the others can be used without",
                )
            )
        for session, pairs in sessions.items():
            findings += repetitions(pairs, f"{dataset.name}, subject {subject}, session {session}")
    return merged([*findings, *copies(prints)])


def fingerprint(recording: Recording) -> np.ndarray:
    """Sorted numbers that stand for short stretches of the samples. Which stretches is decided by the samples themselves,
    so two recordings that share a part share these numbers, wherever the part lies in each.

    >>> x = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32)
    >>> whole, part = (fingerprint(Recording(s, 1000.0, None, "1")) for s in (x, x[:, 5000:9000]))
    >>> len(whole) > 50, bool(np.isin(part, whole).all())
    (True, True)
    """
    bits = np.ascontiguousarray(recording.signal[:4], np.float32).view(np.uint32)
    width = max(16, 64 // len(bits))
    n = bits.shape[1] - width
    if n < 1:
        return np.zeros(0, np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**32, (2, len(bits), width), dtype=np.uint64) | np.uint64(1)
    mixed = np.zeros(n, np.uint32)
    for row, some in zip(bits, factors[0].astype(np.uint32)):
        for k in range(4):
            mixed += row[k : k + n] * some[k]
    at = np.flatnonzero((mixed ^ (mixed >> np.uint32(15))) % np.uint32(ONE_OF) == 0)
    windows = np.lib.stride_tricks.sliding_window_view(bits, width, axis=1)[:, at]  # (channel, place, sample)
    moving = (windows != windows[:, :, :1]).mean(axis=(0, 2)) > 0.5
    return np.unique((windows[:, moving].astype(np.uint64) * factors[1][:, None, :]).sum(axis=(0, 2), dtype=np.uint64))


def copies(prints: list[tuple[str, np.ndarray]]) -> list[Finding]:
    """Recordings that hold the same samples, whole or in part, under whatever name they come."""
    holders: dict[int, list[int]] = {}
    for i, (_, numbers) in enumerate(prints):
        for number in numbers.tolist():
            holders.setdefault(number, []).append(i)
    shared: dict[tuple[int, int], int] = {}
    for recordings in holders.values():
        for k, a in enumerate(recordings[:20]):
            for b in recordings[k + 1 : 20]:
                shared[a, b] = shared.get((a, b), 0) + 1
    found = []
    for (a, b), n in sorted(shared.items()):
        part = n / min(len(prints[a][1]), len(prints[b][1]))
        if n >= LEAST_SHARED and part >= LEAST_PART:
            found.append(
                Finding(
                    "warning",
                    f"{prints[a][0]} and {prints[b][0]}",
                    f"about {part:.0%} of the samples of one are in the other too",
                    "one file under two names? Leave one out: else the same samples train and test",
                )
            )
    return found


def merged(findings: list[Finding]) -> list[Finding]:
    """Findings that differ only in where they are and in their numbers, as one, with all places; the rest unchanged.

    >>> a = Finding("warning", "subject 1", "clipped by 3 %", "lower the gain")
    >>> b = Finding("warning", "subject 2", "clipped by 5 %", "lower the gain")
    >>> [(f.where, f.what) for f in merged([a, b])]
    [('2 places: subject 1; subject 2', 'clipped by 3 % (the first; the others are alike)')]
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.level, re.sub(r"\d+([.,]\d+)*", "#", f.what), f.advice), []).append(f)
    found = []
    for alike in groups.values():
        first = alike[0]
        if len(alike) > 1:
            same = len({f.what for f in alike}) == 1
            where = f"{len(alike)} places: {'; '.join(f.where for f in alike)}"
            what = first.what if same else f"{first.what} (the first; the others are alike)"
            first = Finding(first.level, where, what, first.advice)
        found.append(first)
    return found


def repeated(recording: Recording) -> set[tuple[str, int]]:
    """Each label of a recording with each number of its repetitions."""
    known = (recording.label >= 0) & (recording.repetition >= 0)
    pairs = np.unique(np.stack([recording.label[known], recording.repetition[known]]), axis=1)
    return {(recording.label_names[label], number) for label, number in pairs.T.tolist()}


def repetitions(pairs: set[tuple[str, int]], where: str) -> list[Finding]:
    """Labels that lack a repetition which at least half of the session's labels have, and those fewer have."""
    labels = {label for label, _ in pairs}
    few: dict[tuple[str, ...], list[int]] = {}
    lacking: dict[str, list[int]] = {}
    for number in sorted({number for _, number in pairs}):
        have = {label for label, other in pairs if other == number}
        if 2 * len(have) < len(labels):
            few.setdefault(tuple(sorted(have, key=natural)), []).append(number)
            continue
        for label in labels - have:
            lacking.setdefault(label, []).append(number)
    return [
        Finding(
            "note",
            where,
            f"only {', '.join(map(repr, names))} of {len(labels)} labels has a repetition {_listed(numbers)}",
            "a movement was made once too often, or cut in two: leave it out if all labels should count equally",
        )
        for names, numbers in few.items()
    ] + [
        Finding(
            "warning",
            where,
            f"{label!r} has no repetition {_listed(lacking[label])}, other labels have",
            "leave the repetition or the label out, or choose a protocol that does not need it",
        )
        for label in sorted(lacking, key=natural)
    ]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
