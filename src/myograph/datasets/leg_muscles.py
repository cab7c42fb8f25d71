"""Leg muscles: 13 muscles of the right leg during a treadmill walk of six gait cycles, 1 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from myograph.datasets._formats.description import Description
from myograph.datasets._formats.guard import AGAIN, reading
from myograph.datasets._formats.text import read_text
from myograph.datasets._names import aside
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.errors import ConfigError, DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording
from myograph.windows import Windowing

MUSCLES = {
    "ME": "gluteus medius",
    "MA": "gluteus maximus",
    "FL": "tensor fasciae latae",
    "RF": "rectus femoris",
    "VM": "vastus medialis",
    "VL": "vastus lateralis",
    "ST": "semitendinosus",
    "BF": "biceps femoris",
    "TA": "tibialis anterior",
    "PL": "peroneus longus",
    "GM": "gastrocnemius medialis",
    "GL": "gastrocnemius lateralis",
    "SO": "soleus",
}
PHASES = ("stance", "swing")
RATE_HZ = 1000.0
CYCLE_MS = 400.0


@DATASETS.register
@dataclass(frozen=True)
class LegMuscles(FilePerRecording):
    """One Recording per muscle, (1, time). Its label is the muscle and its repetition the gait cycle.

    Samples before the first touchdown are unlabelled; the last cycle ends with the recording. Signal in µV: the source
    states no unit, and steps of 0.1007 correspond to a 16-bit converter with a range of ±3.3 mV.

    Layout: `walk.csv` with `time` in s and one column per muscle, `cycles.csv` with `touchdown_s` and `second_event_s`,
    which hold the R data `RAW_DATA` of the package unchanged. There is one person; recordings of others in the same
    form may be added, with one folder per person.

    Source: Santuz 2022, doi:10.21105/joss.04439 (musclesyneRgies). Licence: MIT.

    Parameters
    ----------
    task : "muscle" as above, or "phase": one Recording (13, time) with the labels stance (from touchdown to the second
        event, lift-off) and swing (until the next touchdown).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> LegMuscles().write_miniature(folder, np.random.default_rng(0))
    >>> LegMuscles().subjects(folder)
    ['1', '2']
    >>> next(iter(LegMuscles().read(folder)))
    <Recording leg_muscles, subject 1, gluteus medius: 1 channels x 6.2 s @ 1000 Hz, uV, 13 labels>
    """

    task: Literal["muscle", "phase"] = "muscle"

    name = "leg_muscles"
    title = "Leg muscles: 13 muscles of one leg, a walk of 6 gait cycles, 1 person, 13 channels @ 1000 Hz"
    licence = "MIT"
    citation = "Santuz, musclesyneRgies: factorization of electromyographic data in R with sensible defaults, JOSS 2022"
    doi = "10.21105/joss.04439"
    homepage = "https://github.com/alesantuz/musclesyneRgies"
    rest = None
    protocol = KFoldRepetitions(n_splits=3)
    windowing = Windowing(length_ms=CYCLE_MS, step_ms=100.0)

    def __post_init__(self) -> None:
        if self.task not in ("muscle", "phase"):
            raise ConfigError(f"task must be 'muscle' or 'phase', got {self.task!r}")

    def listed(self, folder: Path) -> Iterator[File]:
        found = sorted(p for p in folder.rglob("walk.csv") if not aside(p, folder))
        for path in found:
            subject = "1" if len(found) == 1 else path.parent.name
            yield File(path, subject, beside=(path.with_name("cycles.csv"),))

    def expected(self) -> str:
        return "walk.csv with its cycles.csv; export RAW_DATA of musclesyneRgies to these two files"

    def records(self, file: File) -> list[Recording]:
        signal, cycles = _read(file)
        n = signal.shape[1]
        bounds = np.append(cycles[:, 0], n)
        repetition = np.zeros(n, np.int32)
        for number, (start, stop) in enumerate(pairwise(bounds.tolist()), 1):
            repetition[start:stop] = number
        walks = repetition > 0
        common = {"subject": file.subject, "repetition": repetition}
        if self.task == "phase":
            label = np.where(walks, 1, -1).astype(np.int32)
            for start, lift_off in cycles:
                label[start:lift_off] = 0
            name = f"leg_muscles, subject {file.subject}, walk"
            return [Recording(signal, RATE_HZ, label, label_names=PHASES, name=name, **common)]
        return [
            Recording(
                signal[i : i + 1],
                RATE_HZ,
                np.where(walks, i, -1).astype(np.int32),
                label_names=tuple(MUSCLES.values()),
                name=f"leg_muscles, subject {file.subject}, {muscle}",
                **common,
            )
            for i, muscle in enumerate(MUSCLES.values())
        ]

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        n, per_cycle, start = 6200, 1000, 200
        touchdown = start + per_cycle * np.arange(6)
        for subject in ("1", "2"):
            place = folder / "leg_muscles" / subject
            place.mkdir(parents=True, exist_ok=True)
            phase = (np.arange(n)[:, None] - start) / per_cycle - np.arange(len(MUSCLES)) / len(MUSCLES)
            loud = 3 + 60 * np.exp(-(((phase + 0.5) % 1 - 0.5) ** 2) / 0.02)
            samples = rng.normal(size=loud.shape) * loud
            rows = np.c_[np.arange(n) / RATE_HZ + 0.014, samples]
            header = ",".join(["time", *MUSCLES])
            np.savetxt(place / "walk.csv", rows, fmt="%.6g", delimiter=",", header=header, comments="")
            events = np.c_[touchdown, touchdown + 600] / RATE_HZ + 0.014
            np.savetxt(
                place / "cycles.csv",
                events,
                fmt="%.6g",
                delimiter=",",
                header="touchdown_s,second_event_s",
                comments="",
            )


def _read(file: File) -> tuple[np.ndarray, np.ndarray]:
    """(muscle, time) float32 samples, and (cycle, 2) sample indices of touchdown and lift-off.

    Raises
    ------
    DataError : a file is missing, truncated or damaged, or the two files are inconsistent.
    """
    walk, cycles = file.path, file.beside[0]
    description = Description("*", label=False, header=True)
    for path in (walk, cycles):
        with reading(path):
            if not path.read_bytes().endswith((b"\n", b"\r")):
                raise DataError(f"{path} is cut short: its last row has no line end; {AGAIN}")
    with reading(walk):
        table = read_text(walk, description)
        lacking = [name for name in ("time", *MUSCLES) if name not in table.columns]
        if lacking:
            raise DataError(
                f"{walk} lacks the columns {', '.join(lacking)}, it has {', '.join(table.columns)}; {AGAIN}"
            )
        times = np.asarray(table.numbers("time", walk), np.float64)
        signal = np.stack([np.asarray(table.numbers(name, walk), np.float32) for name in MUSCLES])
    if not np.allclose(np.diff(times), 1 / RATE_HZ, atol=0.1 / RATE_HZ):
        at = int(np.argmax(~np.isclose(np.diff(times), 1 / RATE_HZ, atol=0.1 / RATE_HZ)))
        raise DataError(f"{walk}: samples {at + 1} and {at + 2} are not 1 ms apart; {AGAIN}")
    with reading(cycles):
        events = read_text(cycles, description)
        columns = [np.asarray(events.numbers(n, cycles), np.float64) for n in ("touchdown_s", "second_event_s")]
    at_sample = np.rint((np.stack(columns, axis=1) - times[0]) * RATE_HZ).astype(int)
    if (np.diff(at_sample.ravel()) <= 0).any() or at_sample.min() < 0:
        raise DataError(f"{cycles}: touchdown and second event do not alternate in time; {AGAIN}")
    if at_sample.max() >= len(times):
        raise DataError(
            f"{walk} is cut short: it ends after {times[-1]:g} s, and {cycles.name} has an event at "
            f"{float(np.max(columns)):g} s; {AGAIN}"
        )
    return signal, at_sample
