"""BIDS-EMG: any folder in the Brain Imaging Data Structure with recordings of surface EMG."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets._files import File, OneFileARecording
from myograph.datasets._formats.description import Description, word
from myograph.datasets._formats.edf import read_edf, spans
from myograph.datasets._formats.guard import reading
from myograph.datasets._formats.table import ANNOTATIONS, channels
from myograph.datasets._formats.tables import Table
from myograph.datasets._labels import codes, counted, numbered
from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS, of_subject
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording

AGAIN = "correct it as the BIDS specification says, or leave the file out"


@DATASETS.register
@dataclass(frozen=True)
class Bids(OneFileARecording):
    """One Recording per `_emg.edf` or `_emg.bdf` file: the channels of type EMG, in µV.

    path : your folder; None looks for `bids` in the data folder.
    task : only recordings of this task; None takes all.

    Labels are the `trial_type` of `_events.tsv`, from an event's onset for its duration (until the next event if it has
    none); "n/a" and blank are unlabelled. A column `repetition` gives the repetition, otherwise the n-th event of a label
    in a file is its repetition n. Without events a recording is unlabelled. Channels whose status is "bad" are read and
    reported by `check`. Side files may stand in a folder above (the inheritance principle).

    Source: BIDS 1.11, electromyography.
    """

    path: str | None = None
    task: str | None = None

    name = "bids"
    title = "Any BIDS-EMG folder: EDF or BDF with channels and events"
    licence = "that of the data set: see its dataset_description.json"
    citation = "that of the data set: see its dataset_description.json"
    homepage = "https://bids-specification.readthedocs.io"
    rest = "rest"
    protocol = KFoldRepetitions()

    def __post_init__(self) -> None:
        for key in ("path", "task"):
            value = getattr(self, key)
            if value is not None and not isinstance(value, (str, Path)):
                raise ConfigError(f"{key} is text, got {value!r}")

    def own_folder(self) -> Path | None:
        return None if self.path is None else Path(self.path).expanduser()

    def listed(self, folder: Path) -> Iterator[File]:
        found: dict[tuple[str, str], int] = {}
        for path in sorted(folder.rglob("sub-*_emg.*"), key=lambda p: natural(str(p))):
            entities = _entities(path)
            if path.suffix not in (".edf", ".bdf") or self.task not in (None, entities.get("task")):
                continue
            who = entities["sub"], entities.get("ses", "1")
            found[who] = found.get(who, 0) + 1
            beside = [_beside(path, folder, end) for end in ("channels.tsv", "events.tsv")]
            yield File(path, *who, found[who], tuple(p for p in beside if p is not None))

    def expected(self) -> str:
        return "files such as sub-01/emg/sub-01_task-grasp_emg.edf; give the folder that holds dataset_description.json"

    def read(self, folder: Path, subjects: Any = None) -> Iterator[Recording]:
        known = self._labels(Path(folder))
        files = self._by_subject(folder)
        for subject in files if subjects is None else subjects:
            for file in of_subject(files, subject, self.name):
                yield self._record(file, known)

    def record(self, file: File) -> Recording:
        root = next((p for p in file.path.parents if (p / "dataset_description.json").is_file()), file.path.parent)
        return self._record(file, self._labels(root))

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        rows = _rows(file.beside, "channels.tsv")
        bad = [r.get("name", "") for r in rows if r.get("status", "").lower() == "bad"]
        if bad:
            yield Finding("warning", str(file.path), f"channels marked as bad: {', '.join(bad)}", "leave them out")

    def _labels(self, folder: Path) -> list[str]:
        """Every trial_type below the folder, so that labels have the same numbers in all files."""
        found = {_label(row) for p in folder.rglob("*events.tsv") for row in _table(p)}
        return sorted(found - {""}, key=natural)

    def _record(self, file: File, known: list[str]) -> Recording:
        rows = _rows(file.beside, "channels.tsv")
        emg = [r.get("name", "") for r in rows if r.get("type", "").upper() == "EMG"]
        if rows and not emg:
            raise DataError(f"{file.path}: its channels.tsv lists no channel of type EMG; {AGAIN}")
        description = Description(files="", channels=tuple(emg) or None)
        with reading(file.path):
            table = read_edf(file.path, description)
        signal = channels(table, description, file.path)
        label, repetition = _events(file, table, signal.shape[1], known)
        return Recording(
            signal,
            float(table.rate_hz or 0),
            label,
            subject=file.subject,
            repetition=repetition,
            session=file.session,
            unit="uV",
            label_names=tuple(known),
            name=f"bids, {file.path.stem.removesuffix('_emg')}",
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        import pyedflib

        folder.mkdir(parents=True, exist_ok=True)
        facts = {"Name": "miniature", "BIDSVersion": "1.11.0", "DatasetType": "raw"}
        (folder / "dataset_description.json").write_text(json.dumps(facts))
        names = [f"EMG{i}" for i in range(1, 5)]
        common = {"dimension": "mV", "sample_frequency": 200, "physical_min": -2, "physical_max": 2}
        for subject in ("01", "02"):
            place = folder / f"sub-{subject}" / "emg"
            place.mkdir(parents=True)
            stem = place / f"sub-{subject}_task-grasp"
            events = [(i, g) for i, g in enumerate(("rest", "fist", "rest", "point") * 3)]
            loud = np.repeat(
                [[0.005 + 0.05 * (g == "fist"), 0.005 + 0.05 * (g == "point")] for _, g in events], 200, axis=0
            )
            samples = rng.normal(size=(4, len(loud))) * np.repeat(loud.T, 2, axis=0)
            with pyedflib.EdfWriter(f"{stem}_emg.edf", 4) as file:
                file.setSignalHeaders(
                    [{"label": n, **common, "digital_min": -32768, "digital_max": 32767} for n in names]
                )
                file.writeSamples(list(np.ascontiguousarray(samples)))
            Path(f"{stem}_channels.tsv").write_text(
                "name\ttype\tunits\n" + "".join(f"{n}\tEMG\tmV\n" for n in names), encoding="utf-8"
            )
            Path(f"{stem}_events.tsv").write_text(
                "onset\tduration\ttrial_type\trepetition\n"
                + "".join(f"{i}\t1\t{g}\t{i // 4 + 1}\n" for i, g in events),
                encoding="utf-8",
            )


def _entities(path: Path) -> dict[str, str]:
    """The parts of a BIDS name.

    >>> _entities(Path("sub-01_ses-2_task-grasp_emg.edf"))
    {'sub': '01', 'ses': '2', 'task': 'grasp'}
    """
    return dict(re.findall(r"(?:^|_)([a-z]+)-([^_.]+)", path.name))


def _beside(path: Path, folder: Path, ending: str) -> Path | None:
    """The side file of a recording: in its own folder, else in the nearest above whose name fits."""
    own = _entities(path).items()
    for place in (path.parent, *path.parents):
        fitting = [p for p in place.glob(f"*{ending}") if _entities(p).items() <= own]
        if fitting:
            return max(fitting, key=lambda p: len(_entities(p)))
        if place == folder:
            break
    return None


def _rows(beside: tuple[Path, ...], ending: str) -> list[dict[str, str]]:
    return next((_table(p) for p in beside if p.name.endswith(ending)), [])


def _table(path: Path) -> list[dict[str, str]]:
    with reading(path), open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", strict=True))
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise DataError(f"{path}, line {number}: another number of cells than the header; {AGAIN}")
        return rows


def _label(row: dict[str, str]) -> str:
    text = word(row.get("trial_type", ""))
    return "" if text.lower() == "n/a" else text


def _events(file: File, table: Table, n: int, known: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """(time,) label and repetition of a recording."""
    rows = _rows(file.beside, "events.tsv")
    if not rows or table.columns[ANNOTATIONS].shape != (n,):
        return np.full(n, -1, np.int32), np.ones(n, np.int32)
    with reading(file.path):
        onsets = np.array([float(r["onset"]) for r in rows])
        durations = np.array([float(r["duration"]) if r["duration"].lower() != "n/a" else 0.0 for r in rows])
    rate_hz = float(table.rate_hz or 0)
    labels = spans(n, rate_hz, onsets, durations, [_label(r) for r in rows]).astype(str)
    label = codes(labels, known, file.path)
    if "repetition" not in rows[0]:
        return label, counted(label, {})
    numbers = [word(r["repetition"]) if r["repetition"].lower() != "n/a" else "" for r in rows]
    track = spans(n, rate_hz, onsets, durations, numbers).astype(str)
    rest = known.index("rest") if "rest" in known else None
    return label, numbered(track, label, rest, file.path)
