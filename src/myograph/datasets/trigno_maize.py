"""Trigno Maize muscle recordings: a 4 x 4 grid of 16 channels at 1 kHz over one muscle at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets._formats.emgworks import not_exported, read_emgworks, write_emgworks
from myograph.datasets._formats.matlab import find_matlab, lacks, matrix, write_matlab
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.datasets.quality import Finding
from myograph.errors import DataError
from myograph.protocols import LeaveOneSubjectOut
from myograph.recording import Layout, Recording

MUSCLES = ("left_biceps", "right_biceps", "left_tibialis", "right_tibialis")
N_CHANNELS = 16
RATE_HZ = 1000.0


@DATASETS.register
@dataclass(frozen=True)
class TrignoMaize(FilePerRecording):
    """One Recording per muscle: about 10 minutes with a contraction of about 1 s every 5 s. The label is the muscle.

    The recordings (9 people) were never published, so the layout is our choice: `subject{s}/{muscle}.csv`, an EMGworks
    export, or `subject{s}/{muscle}.mat` with `emg` (time, 16) in volts and optionally `rate_hz`. Muscles are
    left_biceps, right_biceps, left_tibialis and right_tibialis. Every sample has the muscle's label, also between
    contractions; use a burst detector to find the contractions. Without one, the whole file is one repetition.

    Signal (16, time) in µV, at the rate of the export or of `rate_hz`; 1000 Hz if a .mat file has none. Channels run
    row by row over the 4 x 4 grid, 5 mm apart (the order is our choice, since none is stated). Source: Velasquez Rendon
    et al., DSP 2023. Licence: none known.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> TrignoMaize().write_miniature(folder, np.random.default_rng(0))
    >>> TrignoMaize().subjects(folder)
    ['1', '2']
    >>> next(iter(TrignoMaize().read(folder)))
    <Recording trigno_maize, subject 1, left_biceps: 16 channels x 10.0 s @ 1000 Hz, uV, 4 labels>
    """

    name = "trigno_maize"
    title = "Trigno Maize: biceps and tibialis anterior, left and right, 16 channels (4 x 4) @ 1000 Hz"
    licence = "unknown (not published)"
    citation = "Velasquez Rendon et al., DSP 2023, which describes the recordings"
    homepage = "not public; record or copy files in the layout that the data set's description states"
    rest = None
    protocol = LeaveOneSubjectOut()
    layout = Layout.grid(4, 4, spacing_mm=5.0)

    def listed(self, folder: Path) -> Iterator[File]:
        for path in folder.rglob("*"):
            home = re.fullmatch(r"subject(\d+)", path.parent.name)
            if home and path.stem in MUSCLES and path.suffix in (".csv", ".mat"):
                yield File(path, home[1], part=MUSCLES.index(path.stem))

    def expected(self) -> str:
        return f"files such as subject1/left_biceps.csv; the muscles are {', '.join(MUSCLES)}, the endings .csv or .mat"

    def lacking(self, subject: str, files: list[File]) -> Iterator[Finding]:
        missing = [m for i, m in enumerate(MUSCLES) if i not in {f.part for f in files}]
        if missing:
            yield Finding(
                "warning",
                f"trigno_maize, subject {subject}",
                f"no recording of {', '.join(missing)}",
                "leave the subject out if a comparison needs every muscle",
            )

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        if file.path.suffix == ".csv":
            yield from not_exported(file.path, recordings[0].n_samples)

    def record(self, file: File) -> Recording:
        path = file.path
        if path.suffix == ".csv":
            export = read_emgworks(path)
            signal, rate_hz = export.signal, export.rate_hz
        else:
            signal, rate_hz = _read_volts(path)
        if signal.shape[0] != N_CHANNELS:
            raise DataError(
                f"{path} holds {signal.shape[::-1]}, expected (time, {N_CHANNELS}); give all {N_CHANNELS} channels "
                "of the grid"
            )
        return Recording(
            signal,
            rate_hz,
            np.full(signal.shape[1], file.part, np.int32),
            subject=file.subject,
            label_names=MUSCLES,
            layout=self.layout,
            name=f"trigno_maize, subject {file.subject}, {MUSCLES[file.part]}",
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (1, 2):
            for number, muscle in enumerate(MUSCLES):
                active = np.tile(np.repeat([0, 1, 0], [900, 600, 500]), 5)
                shape = 1 + 0.5 * np.cos(np.arange(N_CHANNELS)[:, None] * (1 + number // 2))
                emg = rng.normal(size=(N_CHANNELS, len(active))) * np.where(active, 60.0, 3.0) * shape
                place = folder / f"subject{subject}"
                if subject == 1:
                    write_emgworks(place / f"{muscle}.csv", emg, RATE_HZ, sensor="Maize sensor", accelerometer=False)
                else:
                    write_matlab(place / f"{muscle}.mat", {"emg": emg.T / 1e6, "rate_hz": np.array([[RATE_HZ]])})


def _read_volts(path: Path) -> tuple[np.ndarray, float]:
    """Return the (channel, time) float32 samples of a .mat file in µV, and its rate."""
    found = find_matlab(path, ("emg", "rate_hz"))
    if "emg" not in found:
        raise lacks(path, ["emg"])
    rate = found.get("rate_hz", np.array([RATE_HZ]))
    if rate.size != 1 or rate.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: 'rate_hz' must be one number of samples per second, got {rate.dtype} of shape {rate.shape}"
        )
    emg = found["emg"]
    scaled = emg * 1e6 if emg.dtype.kind in "iuf" else emg
    return matrix(scaled, path, "emg", f"(time, {N_CHANNELS})"), float(rate.item())
