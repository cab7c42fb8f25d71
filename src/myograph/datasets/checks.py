"""`check` finds missing, damaged or unusual files of a data set; an error in one file does not end the check.

`check_run` checks the recordings that a run uses, and keeps the findings in the cache until the files change.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myograph._common.files import written_beside
from myograph._common.progress import Progress
from myograph.datasets._names import natural
from myograph.datasets._places import cache_folder
from myograph.datasets._store import options_of, state_of
from myograph.datasets.quality import Finding, inspect
from myograph.errors import MyographError
from myograph.recording import Recording

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset

ONE_OF = 128  # one stretch per this number of samples represents a recording
LEAST_SHARED, LEAST_PART = 3, 0.05
CHECKS_VERSION = 1  # increase it when the checks change

Prints = list[tuple[str, np.ndarray]]


def check(dataset: Dataset, folder: Path, progress: Progress | None = None) -> list[Finding]:
    """Return the findings on a whole data set: errors in files, missing repetitions, unusual signals, and copied
    recordings.

    >>> from myograph.datasets.simulated import Simulated
    >>> small = Simulated(n_subjects=1, n_sessions=1, n_gestures=1, n_repetitions=2, hold_s=0.5, rest_s=0.5)
    >>> check(small, Path("."))
    []
    """
    try:
        subjects = dataset.subjects(folder)
    except MyographError as error:
        return [Finding("error", str(folder), str(error), "put the files there, then check again")]
    findings: list[Finding] = []
    prints: Prints = []
    for done, subject in enumerate(subjects):
        if progress:
            progress(f"checking {dataset.name}, subject {subject}", done, len(subjects))
        found, marks = of_items(dataset, subject, dataset.examine(folder, subject))
        findings += found
        prints += marks
    return merged([*findings, *copies(prints)])


def check_run(
    dataset: Dataset, folder: Path, recordings: Sequence[Recording], progress: Progress | None = None
) -> list[Finding]:
    """Return the findings on the recordings of a run.

    For your own data (a data set with a `path`) the files are read, so that time columns and gaps are checked as well;
    for other data sets the decoded copy is checked. A generated data set has no findings.

    Parameters
    ----------
    dataset, folder : the data set and the folder of its files.
    recordings : the recordings of the run, as returned by `load`.
    progress : called as progress(message, done, total).

    >>> from myograph.datasets.simulated import Simulated
    >>> check_run(Simulated(), Path("."), [])
    []
    """
    if not dataset.needs_files:
        return []
    findings: list[Finding] = []
    prints: Prints = []
    subjects = list(dict.fromkeys(r.subject for r in recordings))
    for done, subject in enumerate(subjects):
        state = json.dumps([dataset.name, options_of(dataset), str(folder), subject])
        key = hashlib.sha256((state + state_of(dataset, folder, subject, CHECKS_VERSION)).encode()).hexdigest()
        place = cache_folder() / "checked" / f"{key[:32]}.json"
        found = _kept(place)
        if found is None:
            if progress:
                progress(f"checking the signals of {dataset.name}", done, len(subjects))
            own = dataset.own_folder() is not None
            items = dataset.examine(folder, subject) if own else [r for r in recordings if r.subject == subject]
            found = of_items(dataset, subject, items)
            _keep(place, *found)
        findings += found[0]
        prints += found[1]
    return merged([*findings, *copies(prints)])


def of_items(dataset: Dataset, subject: str, items: Iterable[Recording | Finding]) -> tuple[list[Finding], Prints]:
    """Return the findings on one subject, and the name and fingerprint of each of its recordings.

    items : the subject's recordings, and the findings while they were read.

    >>> from myograph.datasets.three_dc import ThreeDC
    >>> found = Finding("warning", "a.txt", "clipped by 3 %", "lower the gain")
    >>> of_items(ThreeDC(), "1", [found]) == ([found], [])
    True
    """
    findings: list[Finding] = []
    prints: Prints = []
    sessions: dict[str, set[tuple[str, int]]] = {}
    for item in items:
        if isinstance(item, Finding):
            findings.append(item)
        else:
            findings += inspect(item)
            prints.append((item.name, fingerprint(item)))
            sessions.setdefault(item.session, set()).update(repeated(item))
    missing = [s for s in dataset.sessions if s not in sessions]
    if missing and sessions:  # if nothing can be read, errors have already been found
        findings.append(
            Finding(
                "warning",
                f"{dataset.name}, subject {subject}",
                f"no recording of session {', '.join(missing)}",
                "copy them if you need them; the others can be used without them",
            )
        )
    for session, pairs in sessions.items():
        findings += repetitions(pairs, f"{dataset.name}, subject {subject}, session {session}")
    return findings, prints


def fingerprint(recording: Recording) -> np.ndarray:
    """Return sorted numbers that represent short stretches of the samples.

    The stretches are chosen by their samples, so two recordings that share a part share these numbers, wherever that
    part is in each of them.

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


def copies(prints: Prints) -> list[Finding]:
    """Return findings on recordings that hold the same samples, completely or in part, under any name.

    Parameters
    ----------
    prints : the name and the `fingerprint` of each recording.

    >>> x = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32)
    >>> prints = [(name, fingerprint(Recording(x, 1000.0, None, "1"))) for name in ("a", "b")]
    >>> copies(prints)[0].where
    'a and b'
    """
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
                    f"about {part:.0%} of the samples of one are also in the other",
                    "is it one file under two names? Leave one out: otherwise the same samples are used for training "
                    "and test",
                )
            )
    return found


def merged(findings: list[Finding]) -> list[Finding]:
    """Join findings that differ only in their places and numbers into one with all places; leave the others unchanged.

    >>> a = Finding("warning", "subject 1", "clipped by 3 %", "lower the gain")
    >>> b = Finding("warning", "subject 2", "clipped by 5 %", "lower the gain")
    >>> [(f.where, f.what) for f in merged([a, b])]
    [('2 places: subject 1; subject 2', 'clipped by 3 % (the first; the others are similar)')]
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
            what = first.what if same else f"{first.what} (the first; the others are similar)"
            first = Finding(first.level, where, what, first.advice)
        found.append(first)
    return found


def repeated(recording: Recording) -> set[tuple[str, int]]:
    """Return each label of a recording with each of its repetition numbers.

    >>> sorted(repeated(Recording(np.zeros((1, 4)), 100.0, np.array([0, 1, 0, 1]), "1", label_names=("rest", "fist"))))
    [('fist', 1), ('fist', 2), ('rest', 1), ('rest', 2)]
    """
    known = (recording.label >= 0) & (recording.repetition >= 0)
    pairs = np.unique(np.stack([recording.label[known], recording.repetition[known]]), axis=1)
    return {(recording.label_names[label], number) for label, number in pairs.T.tolist()}


def repetitions(pairs: set[tuple[str, int]], where: str) -> list[Finding]:
    """Return findings on labels that lack a repetition that at least half of the session's labels have, or have an
    extra one.

    >>> pairs = {("rest", 1), ("fist", 1), ("rest", 2), ("fist", 2), ("rest", 3), ("open", 1)}
    >>> [finding.what for finding in repetitions(pairs, "session 1")]
    ["only 'rest' of 3 labels has a repetition 3", "'open' has no repetition 2, other labels have"]
    """
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
            "a movement was repeated once too often, or was split: leave it out if all labels should have equal weight",
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


def _kept(place: Path) -> tuple[list[Finding], Prints] | None:
    try:
        rows = json.loads(place.read_text(encoding="utf-8"))
        findings = [Finding(**{k: str(v) for k, v in row.items()}) for row in rows["findings"]]  # type: ignore[arg-type]
        prints = [(str(name), np.array(numbers, np.uint64)) for name, numbers in rows["prints"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None  # missing or damaged: the checks are repeated
    return findings, prints


def _keep(place: Path, findings: list[Finding], prints: Prints) -> None:
    rows = {"findings": [asdict(f) for f in findings], "prints": [(name, p.tolist()) for name, p in prints]}
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(place) as temporary:
            temporary.write_text(json.dumps(rows), encoding="utf-8")
