"""Trigno Maize muscle recordings: a 4 x 4 grid of 16 channels at 1 kHz over one muscle at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets import DATASETS, Dataset, natural
from myograph.datasets._emgworks import read_emgworks, write_emgworks
from myograph.datasets._matlab import read_matlab, write_matlab
from myograph.errors import DataError, MyographError
from myograph.protocols import LeaveOneSubjectOut
from myograph.quality import Finding
from myograph.recording import Layout, Recording, Unit

MUSCLES = ("left_biceps", "right_biceps", "left_tibialis", "right_tibialis")
N_CHANNELS = 16
RATE_HZ = 1000.0


@DATASETS.register
@dataclass(frozen=True)
class TrignoMaize(Dataset):
    """A Recording a muscle: about 10 minutes with a contraction of about 1 s every 5 s; its label is the muscle.

    The recordings (9 people) were never published, so the layout is our choice: `subject{s}/{muscle}.csv`, an
    EMGworks export, or `subject{s}/{muscle}.mat` with `emg` (time, 16) in volts and optionally `rate_hz`; muscles are
    left_biceps, right_biceps, left_tibialis and right_tibialis. Every sample carries the muscle's label, also between
    contractions: cut the contractions out with a burst detector. All of a file is one repetition until then.
    """

    name = "trigno_maize"
    title = "Trigno Maize: biceps and tibialis anterior, left and right, 16 channels (4 x 4) @ 1000 Hz"
    licence = "unknown (not published)"
    citation = "none known"
    homepage = "nowhere public; record or copy files in the layout that the data set's description gives"
    rest = None
    protocol = LeaveOneSubjectOut()
    layout = Layout.grid(4, 4, spacing_mm=5.0)

    def _files(self, folder: Path) -> dict[str, list[tuple[str, Path]]]:
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(Path(folder).rglob("*")):
            home = re.fullmatch(r"subject(\d+)", path.parent.name)
            if home and path.stem in MUSCLES and path.suffix in (".csv", ".mat"):
                mine = found.setdefault(home[1], {})
                if path.stem in mine:
                    raise DataError(f"trigno_maize: {mine[path.stem]} and {path} are one recording; keep one of them")
                mine[path.stem] = path
        if not found:
            raise DataError(
                f"trigno_maize: {folder} holds no files such as subject1/left_biceps.csv; the muscles are "
                f"{', '.join(MUSCLES)}, the endings .csv or .mat"
            )
        return {
            s: sorted(found[s].items(), key=lambda item: MUSCLES.index(item[0])) for s in sorted(found, key=natural)
        }

    def subjects(self, folder: Path) -> list[str]:
        return list(self._files(folder))

    def sources(self, folder: Path, subject: str) -> list[Path]:
        return [path for _, path in self._files(folder)[subject]]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        files = self._files(folder)
        for subject in files if subjects is None else subjects:
            for muscle, path in files[subject]:
                yield self._recording(subject, muscle, path)

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        files = self._files(folder)[subject]
        missing = [m for m in MUSCLES if m not in dict(files)]
        if missing:
            yield Finding(
                "warning",
                f"trigno_maize, subject {subject}",
                f"no recording of {', '.join(missing)}",
                "leave the subject out where a comparison needs every muscle",
            )
        for muscle, path in files:
            try:
                yield self._recording(subject, muscle, path)
            except MyographError as error:
                what, _, advice = str(error).partition("; ")
                yield Finding("error", str(path), what, advice)

    def _recording(self, subject: str, muscle: str, path: Path) -> Recording:
        unit: Unit = "uV"
        if path.suffix == ".csv":
            export = read_emgworks(path)
            signal, rate_hz = export.signal, export.rate_hz
        else:
            (emg,) = read_matlab(path, ("emg",))
            signal, rate_hz = (emg.T * 1e6).astype(np.float32), _rate(path)
        if signal.ndim != 2 or signal.shape[0] != N_CHANNELS or not signal.shape[1]:
            raise DataError(
                f"{path} holds {signal.shape[::-1]}, (time, {N_CHANNELS}) was expected; give all {N_CHANNELS} channels "
                "of the grid"
            )
        return Recording(
            signal,
            rate_hz,
            np.full(signal.shape[1], MUSCLES.index(muscle), np.int32),
            subject=subject,
            unit=unit,
            label_names=MUSCLES,
            layout=self.layout,
            name=f"trigno_maize, subject {subject}, {muscle}",
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (1, 2):
            for number, muscle in enumerate(MUSCLES):
                active = np.tile(np.repeat([0, 1, 0], [300, 600, 100]), 5)
                shape = 1 + 0.5 * np.cos(np.arange(N_CHANNELS)[:, None] * (1 + number // 2))
                emg = rng.normal(size=(N_CHANNELS, len(active))) * np.where(active, 60.0, 3.0) * shape
                place = folder / f"subject{subject}"
                if subject == 1:
                    write_emgworks(place / f"{muscle}.csv", emg, RATE_HZ, sensor="Maize sensor", accelerometer=False)
                else:
                    write_matlab(place / f"{muscle}.mat", {"emg": emg.T / 1e6, "rate_hz": np.array([[RATE_HZ]])})


def _rate(path: Path) -> float:
    try:
        return float(read_matlab(path, ("rate_hz",))[0].ravel()[0])
    except DataError as error:
        if "lacks" in str(error):
            return RATE_HZ
        raise
