"""UniBo-INAIL: six classes in four arm postures on eight days, 4 electrodes at 500 Hz, amplitude envelope."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from myograph.datasets._formats.matlab import AGAIN, matrix, read_matlab, track, write_matlab
from myograph.datasets.base import DATASETS, RemoteFile
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.errors import ConfigError, DataError
from myograph.protocols import CrossSession
from myograph.recording import Recording
from myograph.windows import Windowing

NAMES = ("rest", "power grip", "2-finger pinch", "3-finger pinch", "pointing index", "open hand")
N_CHANNELS = 4
TRIM = 50  # samples that `relabel` removes at each end of a gesture


@DATASETS.register
@dataclass(frozen=True)
class UniboInail(FilePerRecording):
    """One session per day and posture, `day1 posture1` …; 9 to 16 repetitions of five gestures, one gesture after the
    other.

    Signal (4, time): Otto Bock 13E200 electrodes over the extensor carpi ulnaris, extensor digitorum communis, flexor
    carpi radialis and flexor carpi ulnaris; the files do not state that the channels are in this order. The scale of
    the envelope is not stated either ("adc"), and zero crossings have no meaning for an envelope. The postures are
    proximal, distal, distal with the palm down, and distal with the arm 45° up; the files do not state that 1 to 4 are
    in this order.

    Layout: `data/user_{u}_day_{d}_posture_{p}.mat` with `emg` (time, 4) at 500 Hz, `label`, `relabel` and
    `gestureCounter`, all (time, 1). The repetition is `gestureCounter`. It continues during the rest after a gesture
    and restarts with the next gesture, so a split by it has every class in both parts. The rest before the first
    gesture (0 in the files) belongs to repetition 1.

    Source: the data set's repository and Zanghieri et al. 2023, doi:10.1109/BioCAS58349.2023.10388902.

    Parameters
    ----------
    label_track : "relabel", in which the first and last 50 samples of a gesture are rest, or "label".
    postures : the arm postures to read, of four; None reads all that have files.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> UniboInail().write_miniature(folder, np.random.default_rng(0))
    >>> UniboInail().subjects(folder)
    ['1', '2']
    >>> next(iter(UniboInail().read(folder)))
    <Recording unibo_inail, user 1, day1 posture1: 4 channels x 30.2 s @ 500 Hz, adc, 6 labels>
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
            raise ConfigError(f"label_track must be 'relabel' or 'label', got {self.label_track!r}")
        if self.postures is not None:
            given = (self.postures,) if isinstance(self.postures, int) else tuple(int(p) for p in self.postures)
            object.__setattr__(self, "postures", given)

    @property
    def sessions(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"day{d} posture{p}" for d in range(1, 9) for p in self.postures or range(1, 5))

    def listed(self, folder: Path) -> Iterator[File]:
        for path in folder.rglob("user_*_day_*_posture_*.mat"):
            match = re.fullmatch(r"user_(\d+)_day_(\d+)_posture_(\d+)\.mat", path.name)
            if match and (self.postures is None or int(match[3]) in self.postures):
                yield File(path, match[1], f"day{match[2]} posture{match[3]}")

    def expected(self) -> str:
        which = f" of postures {', '.join(map(str, self.postures))}" if self.postures else ""
        return f"files{which} such as user_1_day_1_posture_1.mat; unpack the data set there"

    def record(self, file: File) -> Recording:
        path = file.path
        emg, label, counter = read_matlab(path, ("emg", self.label_track, "gestureCounter"))
        label, counter = track(label, path, self.label_track), track(counter, path, "gestureCounter")
        if emg.ndim != 2 or emg.shape[1] != N_CHANNELS or not len(emg) == len(label) == len(counter):
            raise DataError(
                f"{path}: emg is {emg.shape}, {self.label_track} {label.shape}, gestureCounter {counter.shape}, "
                f"expected emg (time, {N_CHANNELS}) and one label and counter per sample; {AGAIN}"
            )
        odd = np.setdiff1d(label, np.arange(1, len(NAMES) + 1))
        if len(odd):
            raise DataError(f"{path} holds labels {odd[:5]}, expected 1 to {len(NAMES)}; {AGAIN}")
        return Recording(
            matrix(emg, path, "emg", f"(time, {N_CHANNELS})"),
            500.0,
            label - 1,
            subject=file.subject,
            repetition=np.maximum(counter, 1),
            session=file.session,
            unit="adc",
            label_names=NAMES,
            name=f"unibo_inail, user {file.subject}, {file.session}",
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
