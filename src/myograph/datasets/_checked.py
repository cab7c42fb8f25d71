"""Findings on the recordings that a run uses, kept in the cache until the files change."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from myograph._common.files import written_beside
from myograph._common.progress import Progress
from myograph.datasets._places import cache_folder
from myograph.datasets._store import options_of, state_of
from myograph.datasets.checks import copies, merged, of_items
from myograph.datasets.quality import Finding

if TYPE_CHECKING:
    from myograph.datasets.base import Dataset
    from myograph.recording import Recording

CHECKS_VERSION = 1  # increase it when the checks change

Prints = list[tuple[str, np.ndarray]]


def used(
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
