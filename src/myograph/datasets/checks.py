"""`check`: everything missing, damaged or odd in a data set's files, going on after each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myograph.datasets._names import natural
from myograph.datasets.quality import Finding, inspect
from myograph.errors import MyographError
from myograph.recording import Recording

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset, Progress


def check(dataset: Dataset, folder: Path, progress: Progress | None = None) -> list[Finding]:
    """Findings of a whole data set: what each subject's files say, then repetitions and signals of what can be read."""
    try:
        subjects = dataset.subjects(folder)
    except MyographError as error:
        return [Finding("error", str(folder), str(error), "put the files there, then check again")]
    findings: list[Finding] = []
    for done, subject in enumerate(subjects):
        if progress:
            progress(f"checking {dataset.name}, subject {subject}", done, len(subjects))
        sessions: dict[str, set[tuple[str, int]]] = {}
        for item in dataset.examine(folder, subject):
            if isinstance(item, Finding):
                findings.append(item)
            else:
                findings += inspect(item)
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
    return findings


def repeated(recording: Recording) -> set[tuple[str, int]]:
    """Each label of a recording with each number of its repetitions."""
    known = (recording.label >= 0) & (recording.repetition > 0)
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
            "a movement made once too often, or cut in two: leave it out where all labels are to weigh alike",
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
