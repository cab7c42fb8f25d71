"""flexemg: four gestures, a flexible 16 x 4 grid around the forearm that was placed again for each session, 64 channels
at 1 kHz.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets._formats.matlab import AGAIN, matrix, read_matlab, write_matlab
from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS, RemoteFile
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.errors import ConfigError, DataError
from myograph.protocols import CrossSession
from myograph.recording import Layout, Recording
from myograph.windows import Windowing

RATE_HZ = 1000.0
N_CHANNELS = 64
MINIATURE_HOLD_S = 0.45
MAP = "arraymap.mat"
NAMES = ("Rest", "Fist", "Raise", "Lower", "Open")


@DATASETS.register
@dataclass(frozen=True)
class FlexEmg(FilePerRecording):
    """One Recording per file: 5 s of rest, then each gesture for 5 s in the order that the file states. A file is a
    repetition.

    Layout: `data/{subject}-{session}/{subject}-{trial}.mat`, sessions named as in the folder ("Session1Train"), with
    `raw` (time, 96), of which columns 0-63 are electrodes, and `p` (names, order and durations in ms, and `lsbmV`).
    `arraymap.mat` places the channels on the grid. µV = (raw - mean of the channel over the file) x lsbmV x 1000. The
    mean is an offset of the converter; subtracting it uses later samples of the same file. Samples after the last
    gesture are unlabelled. Signal (64, time) in µV. The files do not state the spacing of the grid, or whether its last
    column is next to the first.

    Source: the data set's repository and Moin et al. 2018, its paper.

    Parameters
    ----------
    trim : fraction of each rest or gesture that is left unlabelled at each end, where the hand moves between postures.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> FlexEmg().write_miniature(folder, np.random.default_rng(0))
    >>> FlexEmg().subjects(folder)
    ['1', '2']
    >>> next(iter(FlexEmg().read(folder)))
    <Recording flexemg, subject 1, Session1Train, trial 1: 64 channels x 2.7 s @ 1000 Hz, uV, 5 labels>
    """

    trim: float = 0.2

    name = "flexemg"
    title = "flexemg: 3 people x 5 sessions, 4 gestures and rest, 64 channels (16 x 4) @ 1000 Hz"
    licence = "GPL-3.0 (data and programs)"
    citation = (
        "Moin et al., An EMG Gesture Recognition System with Flexible High-Density Sensors and Brain-Inspired "
        "High-Dimensional Classifier, IEEE ISCAS 2018"
    )
    homepage = "https://github.com/a-moin/flexemg"
    files = (RemoteFile("flexemg.zip", ("https://github.com/a-moin/flexemg/archive/refs/heads/master.zip",)),)
    rest = "Rest"
    sessions = ("Session1Train", "Session1Test", "Session2Test", "Session3Train", "Session3Test")
    protocol = CrossSession()
    windowing = Windowing(length_ms=250, step_ms=50)

    def __post_init__(self) -> None:
        if not 0 <= self.trim < 0.5:
            raise ConfigError(f"trim must be a share from 0 up to, not including, 0.5, got {self.trim}")

    def listed(self, folder: Path) -> list[File]:
        files = []
        for path in folder.rglob("*.mat"):
            home = re.fullmatch(r"(\d+)-(.+)", path.parent.name)
            trial = re.fullmatch(r"(\d+)-(\d+)\.mat", path.name)
            if home and trial and home[1] == trial[1]:
                files.append(File(path, str(int(home[1])), home[2], int(trial[2])))
        maps = sorted(folder.rglob(MAP))
        if files and not maps:
            raise DataError(f"flexemg: {folder} holds no {MAP}, which states the place of each channel; copy it there")
        return [replace(f, beside=(maps[0],)) for f in files]

    def expected(self) -> str:
        return "files such as 001-Session1Train/001-001.mat; unpack the data set there"

    def order(self, file: File) -> Any:
        return natural(file.session.replace("Train", "")), file.part  # Session1Train comes before Session1Test

    def record(self, file: File) -> Recording:
        path = file.path
        raw, p = read_matlab(path, ("raw", "p"))
        if raw.ndim != 2 or raw.shape[1] < N_CHANNELS:
            raise DataError(f"{path}: raw must be (time, {N_CHANNELS} or more), got {raw.shape}; {AGAIN}")
        counts = matrix(raw[:, :N_CHANNELS], path, "raw", f"(time, {N_CHANNELS} or more)").astype(np.float64)
        try:
            facts = {key: p[key].ravel()[0] for key in ("labelnames", "sequence", "timegest", "timerest", "lsbmV")}
            words = [str(np.ravel(w)[0]) for w in np.ravel(facts["labelnames"])]
            sequence = np.ravel(facts["sequence"]).astype(int)
            rest, gesture = (round(float(np.ravel(facts[k])[0]) * RATE_HZ / 1000) for k in ("timerest", "timegest"))
            if sequence.min() < 1 or min(rest, gesture) < 1:
                raise ValueError(f"sequence {sequence.tolist()}, rest of {rest} and gestures of {gesture} samples")
            order = [words[i - 1] for i in sequence]
            codes = [0, *(NAMES.index(word) for word in order)]
            microvolts = float(np.ravel(facts["lsbmV"])[0]) * 1000
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"{path}: 'p' does not state order and durations of the gestures {NAMES[1:]} ({error}); {AGAIN}"
            ) from error
        edges = np.cumsum([0, rest, *[gesture] * len(order)])
        if edges[-1] > len(raw):
            raise DataError(f"{path} holds {len(raw)} samples, but its gestures need {edges[-1]}; {AGAIN}")
        label = np.full(len(raw), -1, np.int32)
        for code, start, stop in zip(codes, edges, edges[1:]):
            cut = round(self.trim * (stop - start))
            label[start + cut : stop - cut] = code
        return Recording(
            ((counts - counts.mean(axis=1, keepdims=True)) * microvolts).astype(np.float32),
            RATE_HZ,
            label,
            subject=file.subject,
            repetition=np.full(len(raw), file.part, np.int32),
            session=file.session,
            unit="uV",
            label_names=NAMES,
            layout=_layout(file.beside[0]),
            name=f"flexemg, subject {file.subject}, {file.session}, trial {file.part}",
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        root = folder / "flexemg-master"
        # Each half of the array has its own connector, and one of them is wired in reverse.
        upper = np.arange(32).reshape(8, 4)[::-1] + 1
        write_matlab(root / "arraymap.mat", {"arraymap": np.vstack([upper, 65 - upper[::-1]]).astype(np.uint8)})
        duration = round(MINIATURE_HOLD_S * RATE_HZ)
        for subject in (1, 2):
            for session in ("Session1Train", "Session1Test"):
                for trial in range(1, 5):
                    order = rng.permutation(4) + 1
                    active = np.repeat(np.concatenate([[0], order, [0]]), duration)[:, None]
                    loud = 3 + 20 * (np.arange(96) // 16 == active - 1) * (active > 0)
                    raw = np.rint(9500 + rng.normal(size=loud.shape) * loud).astype(np.uint16)
                    names = np.array(NAMES[1:], object)[None]
                    p = {
                        "lsbmV": 100 / 2**15,
                        "labelnames": names,
                        "numlabels": 4,
                        "sequence": order.astype(np.uint8)[None],
                        "reps": 1,
                        "timegest": duration,
                        "timerest": duration,
                    }
                    path = root / "data" / f"{subject:03d}-{session}" / f"{subject:03d}-{trial:03d}.mat"
                    write_matlab(path, {"raw": raw, "p": p})


def _layout(path: Path) -> Layout:
    (grid,) = read_matlab(path, ("arraymap",))
    places = grid.ravel().tolist() if grid.ndim == 2 and grid.dtype.kind in "iuf" else []
    if sorted(places) != list(range(1, N_CHANNELS + 1)):
        raise DataError(f"{path}: 'arraymap' must place each of {N_CHANNELS} channels once on a grid; {AGAIN}")
    place = np.argsort(grid.ravel())
    return Layout(tuple((place // grid.shape[1]).tolist()), tuple((place % grid.shape[1]).tolist()))
