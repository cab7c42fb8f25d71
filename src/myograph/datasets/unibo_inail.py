"""UniBo-INAIL: six classes in four arm postures on eight days, 4 electrodes at 500 Hz, amplitude envelope."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from myograph.datasets import DATASETS, Dataset, RemoteFile, natural
from myograph.datasets._matlab import read_matlab, write_matlab
from myograph.errors import ConfigError, DataError, MyographError
from myograph.protocols import CrossSession
from myograph.quality import Finding
from myograph.recording import Recording
from myograph.windows import Windowing

NAMES = ("rest", "power grip", "2-finger pinch", "3-finger pinch", "pointing index", "open hand")
TRIM = 50  # samples that `relabel` takes off either side of a gesture


@DATASETS.register
@dataclass(frozen=True)
class UniboInail(Dataset):
    """A session a day and posture, `day1 posture1` …; 9 to 16 repetitions of five gestures, one gesture after the other.

    label_track : "relabel", whose gestures lack the first and last 50 samples (they are rest there), or "label".
    postures : which of the four arm postures; None reads all whose files are there.

    Layout: `data/user_{u}_day_{d}_posture_{p}.mat` with `emg` (time, 4), `label`, `relabel` and `gestureCounter`.
    The repetition is `gestureCounter`: it runs on during the rest after a gesture and restarts with the next gesture,
    so that splitting on it keeps every class on both sides; the rest before the first gesture (0 there) is given to
    repetition 1. The envelope's scale is not known: "adc", and crossings of zero mean nothing in it.
    """

    label_track: Literal["relabel", "label"] = "relabel"
    postures: tuple[int, ...] | None = None

    name = "unibo_inail"
    title = "UniBo-INAIL: 7 people x 8 days x 4 arm postures x 6 classes, 4 channels @ 500 Hz, envelope"
    licence = "LGPL-2.1"
    citation = (
        "Zanghieri et al., Online Unsupervised Arm Posture Adaptation for sEMG-based Gesture Recognition on a Parallel "
        "Ultra-Low-Power Microcontroller, IEEE BioCAS 2023"
    )
    doi = "10.1109/BioCAS58349.2023.10388902"
    homepage = "https://github.com/pulp-bio/unibo-inail-semg-dataset"
    files = (
        RemoteFile(
            "unibo_inail.zip",
            ("https://github.com/pulp-bio/unibo-inail-semg-dataset/archive/refs/heads/master.zip",),
        ),
    )
    rest = "rest"
    protocol = CrossSession()
    windowing = Windowing(length_ms=250, step_ms=50)

    def __post_init__(self) -> None:
        if self.label_track not in ("relabel", "label"):
            raise ConfigError(f"label_track is 'relabel' or 'label', got {self.label_track!r}")
        if self.postures is not None:
            given = (self.postures,) if isinstance(self.postures, int) else tuple(int(p) for p in self.postures)
            object.__setattr__(self, "postures", given)

    def _files(self, folder: Path) -> dict[str, list[tuple[int, int, Path]]]:
        found: dict[str, list[tuple[int, int, Path]]] = {}
        for path in Path(folder).rglob("user_*_day_*_posture_*.mat"):
            match = re.fullmatch(r"user_(\d+)_day_(\d+)_posture_(\d+)\.mat", path.name)
            if match and (self.postures is None or int(match[3]) in self.postures):
                found.setdefault(match[1], []).append((int(match[2]), int(match[3]), path))
        if not found:
            which = f" of postures {', '.join(map(str, self.postures))}" if self.postures else ""
            raise DataError(
                f"unibo_inail: {folder} holds no files{which} such as user_1_day_1_posture_1.mat; "
                "unpack the data set there"
            )
        return {user: sorted(found[user]) for user in sorted(found, key=natural)}

    def subjects(self, folder: Path) -> list[str]:
        return list(self._files(folder))

    def sources(self, folder: Path, subject: str) -> list[Path]:
        return [path for _, _, path in self._files(folder)[subject]]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        files = self._files(folder)
        for subject in files if subjects is None else subjects:
            for day, posture, path in files[subject]:
                yield self._recording(subject, f"day{day} posture{posture}", path)

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        for day, posture, path in self._files(folder)[subject]:
            try:
                yield self._recording(subject, f"day{day} posture{posture}", path)
            except MyographError as error:
                what, _, advice = str(error).partition("; ")
                yield Finding("error", str(path), what, advice)

    def _recording(self, subject: str, session: str, path: Path) -> Recording:
        emg, label, counter = read_matlab(path, ("emg", self.label_track, "gestureCounter"))
        label, counter = label.ravel(), counter.ravel()
        if emg.ndim != 2 or not len(emg) == len(label) == len(counter):
            raise DataError(
                f"{path}: emg is {emg.shape}, {self.label_track} {label.shape}, gestureCounter {counter.shape}, one "
                "sample of each was expected a row; copy or download it again"
            )
        odd = np.setdiff1d(label, np.arange(1, len(NAMES) + 1))
        if len(odd):
            raise DataError(
                f"{path} holds labels {odd[:5]}, 1 to {len(NAMES)} were expected; copy or download it again"
            )
        return Recording(
            np.ascontiguousarray(emg.T, dtype=np.float32),
            500.0,
            label.astype(np.int32) - 1,
            subject=subject,
            repetition=np.maximum(counter, 1).astype(np.int32),
            session=session,
            unit="adc",
            label_names=NAMES,
            name=f"unibo_inail, user {subject}, {session}",
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for user in (1, 2):
            for day in (1, 2):
                self._write(folder / "unibo-inail-semg-dataset-master" / "data", user, day, rng)

    def _write(self, place: Path, user: int, day: int, rng: np.random.Generator) -> None:
        label, counter = [np.ones(100)], [np.zeros(100)]
        for gesture in range(2, len(NAMES) + 1):
            for repetition in range(1, 7):
                label += [np.full(300, gesture), np.ones(200)]
                counter += [np.full(500, repetition)]
        cue = np.concatenate(label)
        relabel = cue.copy()
        edges = np.flatnonzero(np.diff(cue)) + 1
        for start, stop in zip(edges[::2], edges[1::2]):
            relabel[start : start + TRIM] = relabel[stop - TRIM : stop] = 1
        level = 500 + 8000 * (np.arange(1, 5) == cue[:, None] % 5)
        tracks = {
            "label": cue[:, None],
            "relabel": relabel[:, None],
            "gestureCounter": np.concatenate(counter)[:, None],
        }
        emg = np.abs(level * (1 + 0.1 * rng.normal(size=level.shape)))
        write_matlab(
            place / f"user_{user}_day_{day}_posture_1.mat",
            {k: np.asarray(v, np.float32) for k, v in {"emg": emg, **tracks}.items()},
        )
