"""BIDS-EMG: any folder in the Brain Imaging Data Structure with recordings of surface EMG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets._bids.electrodes import CoordinateSystem, Electrode, layout_of, read_electrodes
from myograph.datasets._bids.events import labels_of, read_events
from myograph.datasets._bids.side_files import (
    AGAIN,
    beside,
    cell,
    entities,
    number,
    read_facts,
    read_table,
    write_facts,
)
from myograph.datasets._bids.signal import signal_of, without_padding
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.edf import read_edf
from myograph.datasets._formats.guard import reading
from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS, of_subject
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording

SIDES = ("channels.tsv", "events.tsv", "_emg.json", "electrodes.tsv", "coordsystem.json", "sessions.tsv")
RATE_TOLERANCE = 1e-3
HEADER_TOLERANCE = 1e-4


@DATASETS.register
@dataclass(frozen=True)
class Bids(FilePerRecording):
    """One Recording per `_emg.edf` or `_emg.bdf` file: the channels of type EMG, in µV, or in the unit "adc" or
    "normalised" if the file states it.

    path : your folder; None looks for `bids` in the data folder.
    task : only recordings of this task; None takes all.

    Labels are the `trial_type` of `_events.tsv`. Each applies from the onset of its event for its duration, or until
    the next event if it has no duration; "n/a" and blank are unlabelled. A column `repetition` gives the repetition,
    otherwise the n-th event of a label in a file is its repetition n. Without events a recording is unlabelled.
    Channels whose status is "bad" are read and reported by `check`. Side files may be in a parent folder (the
    inheritance principle). An event `boundary` is a break. If the electrodes form an evenly spaced grid or ring, they
    give the layout; `electrodes` returns all positions.

    Source: BIDS 1.11, electromyography.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> Bids().write_miniature(folder, np.random.default_rng(0))
    >>> Bids().subjects(folder)
    ['01', '02']
    >>> next(iter(Bids().read(folder)))
    <Recording bids, sub-01_task-grasp: 4 channels x 12.0 s @ 200 Hz, uV, 3 labels>
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
                raise ConfigError(f"{key} must be text, got {value!r}")

    def own_folder(self) -> Path | None:
        return None if self.path is None else Path(self.path).expanduser()

    def listed(self, folder: Path) -> Iterator[File]:
        found: dict[tuple[str, str], int] = {}
        for path in sorted(folder.rglob("sub-*_emg.*"), key=lambda p: natural(str(p))):
            parts = entities(path)
            if path.suffix not in (".edf", ".bdf") or "sub" not in parts or self.task not in (None, parts.get("task")):
                continue
            who = parts["sub"], parts.get("ses", "1")
            found[who] = found.get(who, 0) + 1
            sides = [p for end in SIDES for p in beside(path, folder, end)]
            yield File(path, *who, found[who], tuple(sides))

    def expected(self) -> str:
        return "files such as sub-01/emg/sub-01_task-grasp_emg.edf; give the folder that holds dataset_description.json"

    def order(self, file: File) -> Any:
        """Return the sort key: sessions in the order of sessions.tsv, or else in natural order."""
        listed = [cell(r, "session_id").removeprefix("ses-") for r in _rows(file, "sessions.tsv")]
        place = listed.index(file.session) if file.session in listed else len(listed)
        return place, natural(file.session), file.part

    def read(self, folder: Path, subjects: Any = None) -> Iterator[Recording]:
        known = self._labels(Path(folder))
        files = self._by_subject(folder)
        for subject in files if subjects is None else subjects:
            for file in of_subject(files, subject, self.name):
                yield self._record(file, known)

    def record(self, file: File) -> Recording:
        return self._record(file, self._labels(_root(file.path)))

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        where = str(file.path)
        rows = [r for r in _rows(file, "channels.tsv") if cell(r, "type").upper() == "EMG"]
        bad = [
            f"{cell(r, 'name')} ({cell(r, 'status_description')})".replace(" ()", "")
            for r in rows
            if cell(r, "status").lower() == "bad"
        ]
        if bad:
            yield Finding("warning", where, f"channels marked as bad: {', '.join(bad)}", "leave them out")
        rate_hz = recordings[0].rate_hz
        stated = {number(r, "sampling_frequency", _side(file, "channels.tsv")) for r in rows} | {
            _number(_facts(file).get("SamplingFrequency"))
        }
        other = sorted(r for r in stated - {None} if r is not None and abs(r / rate_hz - 1) > RATE_TOLERANCE)
        if other:
            yield Finding(
                "warning",
                where,
                f"its side files state {other[0]:g} Hz, but the signals have {rate_hz:g} Hz",
                "correct the side files",
            )

    def electrodes(self, path: Path) -> tuple[list[Electrode], dict[str, CoordinateSystem]]:
        """Return the electrodes of one recording, and the coordinate systems by name; empty if the data set has none.

        path : the recording's `_emg.edf` or `_emg.bdf` file.

        Raises
        ------
        DataError : a side file is damaged.

        Examples
        --------
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> Bids().write_miniature(folder, np.random.default_rng(0))
        >>> electrodes, systems = Bids().electrodes(min(folder.rglob("*_emg.*df")))
        >>> len(electrodes), len(systems)  # this set has no electrodes.tsv
        (0, 0)
        """
        return read_electrodes(Path(path), _root(Path(path)))

    def _labels(self, folder: Path) -> list[str]:
        """Return every trial_type below the folder, so that labels have the same numbers in all files."""
        return sorted(labels_of([read_table(p) for p in sorted(folder.rglob("*events.tsv"))]), key=natural)

    def _record(self, file: File, known: list[str]) -> Recording:
        rows = _rows(file, "channels.tsv")
        emg = [r for r in rows if cell(r, "type").upper() == "EMG"]
        if rows and not emg:
            raise DataError(f"{file.path}: its channels.tsv lists no channel of type EMG; {AGAIN}")
        description = Description(files="", channels=tuple(cell(r, "name") for r in emg) or None)
        with reading(file.path):
            table = read_edf(file.path, description)
        signal, unit = signal_of(table, description, emg, file.path)
        facts = _facts(file)
        rate_hz = float(table.rate_hz or 0)
        exact = _number(facts.get("SamplingFrequency"))
        if exact and abs(exact / rate_hz - 1) < HEADER_TOLERANCE:
            rate_hz = exact  # the file's header holds only about seven digits
        signal = without_padding(signal, _number(facts.get("RecordingDuration")), rate_hz)
        label, repetition, breaks = read_events(
            _rows(file, "events.tsv"), signal.shape[1], rate_hz, known, _side(file, "events.tsv")
        )
        return Recording(
            signal,
            rate_hz,
            label,
            subject=file.subject,
            repetition=repetition,
            session=file.session,
            unit=unit,
            label_names=tuple(known),
            layout=layout_of(emg, *self.electrodes(file.path)) if emg else None,
            name=f"bids, {file.path.stem.removesuffix('_emg')}",
            breaks=breaks,
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        import pyedflib

        folder.mkdir(parents=True, exist_ok=True)
        facts = {"Name": "miniature", "BIDSVersion": "1.11.0", "DatasetType": "raw"}
        write_facts(folder / "dataset_description.json", facts)
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


def _root(path: Path) -> Path:
    return next((p for p in path.parents if (p / "dataset_description.json").is_file()), path.parent)


def _side(file: File, ending: str) -> Path:
    return next((p for p in file.beside if p.name.endswith(ending)), file.path)


def _rows(file: File, ending: str) -> list[dict[str, str]]:
    """Return the rows of the nearest table with this ending."""
    return next((read_table(p) for p in file.beside if p.name.endswith(ending)), [])


def _facts(file: File) -> dict[str, Any]:
    return read_facts(p for p in file.beside if p.name.endswith("_emg.json"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None
