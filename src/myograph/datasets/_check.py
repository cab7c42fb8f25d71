"""`check`: everything missing, damaged or odd in a data set's files, going on after each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myograph.errors import MyographError
from myograph.quality import Finding, inspect
from myograph.recording import Recording

if TYPE_CHECKING:
    from myograph.datasets import Dataset, Progress


def check(dataset: Dataset, folder: Path, progress: Progress | None = None) -> list[Finding]:
    """Findings of a whole data set: what each subject's files say, then repetitions and signals of what can be read."""
    try:
        subjects = dataset.subjects(folder)
    except MyographError as error:
        return [Finding("error", str(folder), str(error), "put the files there, then check again")]
    findings = []
    for done, subject in enumerate(subjects):
        if progress:
            progress(f"checking {dataset.name}, subject {subject}", done, len(subjects))
        for item in dataset.examine(folder, subject):
            findings += [item] if isinstance(item, Finding) else [*repetitions(item), *inspect(item)]
    return findings


def repetitions(recording: Recording) -> list[Finding]:
    """Labels that lack a repetition which at least half of the labels have, and repetitions that fewer have."""
    labels, numbers = recording.label.astype(np.int64), recording.repetition.astype(np.int64)
    known = (labels >= 0) & (numbers > 0)
    pairs = np.unique(np.stack([labels[known], numbers[known]]), axis=1)
    present = np.unique(pairs[0])
    lacking: dict[int, list[int]] = {}
    findings = []
    for number in np.unique(pairs[1]):
        have = pairs[0, pairs[1] == number]
        if 2 * len(have) < len(present):
            names = ", ".join(repr(recording.label_names[label]) for label in have)
            findings.append(
                Finding(
                    "note",
                    recording.name,
                    f"only {names} of {len(present)} labels has a repetition {number}",
                    "a movement made once too often, or cut in two: leave it out where all labels are to weigh alike",
                )
            )
            continue
        for label in np.setdiff1d(present, have):
            lacking.setdefault(int(label), []).append(int(number))
    for label, missing in lacking.items():
        findings.append(
            Finding(
                "warning",
                recording.name,
                f"{recording.label_names[label]!r} has no repetition {', '.join(map(str, missing))}, other labels have",
                "leave the repetition or the label out, or choose a protocol that does not need it",
            )
        )
    return findings
