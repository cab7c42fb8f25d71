"""Long-term Myo: 22 forearm motions on 30 days, with the armband at three positions, 8 channels at 200 Hz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from myograph.datasets._names import natural
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_trial import FilePerTrial, Trial, find_folders, read_rows
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError
from myograph.protocols import CrossSession
from myograph.recording import Layout, Recording
from myograph.windows import Windowing

N_TRIALS = 4
# Position of the armband on day 1, 2, …: neutral, or rotated inwards or outwards.
POSITIONS = tuple({"N": "neutral", "I": "inner", "O": "outer"}[p] for p in "NIONIIOONNONNOOIIINOOIOIINNINO")


@DATASETS.register
@dataclass(frozen=True)
class LongtermMyo(FilePerTrial):
    """One session per day, `day01` … `day30`; 4 trials of 22 motions, each 1.5 s of a held motion without its onset.

    The position of the armband is the same for all subjects and part of each recording's name: neutral, or rotated
    inwards or outwards (the files do not state by how much). Neutral on days 1, 4, 9, 10, 12, 13, 19, 26, 27, 29; inner
    on 2, 5, 6, 16-18, 22, 24, 25, 28; outer on 3, 7, 8, 11, 14, 15, 20, 21, 23, 30 (the authors' `set_config.m`).

    Signal (8, time): a Myo armband's electrodes in its own order, 200 Hz, counts divided by the full scale
    ("normalised"). Layout: `sub{s}/day{d}/D{d}M{motion}T{trial}.csv`, 300 rows of 8 numbers, no header. Missing days
    are left out. In the published scores rest (motion 1) is one of the 22 motions, so `rest` is None.

    motions : number of motions to read, from the first on; 8 leaves out those with a rotated forearm or a closed hand.

    Source: the paper (five men, 30 sessions in 40-42 days, three positions; 1.5 s cut out of each motion by multiscale
    sample entropy) and its repository.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> LongtermMyo().write_miniature(folder, np.random.default_rng(0))
    >>> LongtermMyo().subjects(folder)
    ['1', '2']
    >>> next(iter(LongtermMyo().read(folder))).name
    'longterm_myo, subject 1, session day01 (neutral position)'
    """

    motions: int = 22

    name = "longterm_myo"
    title = "Long-term Myo: 5 people x 30 days x 22 motions x 4 trials, 8 channels @ 200 Hz"
    licence = "Apache-2.0"
    citation = (
        "Kanoga, Kanemura, Asoh, Are armband sEMG devices dense enough for long-term use? Sensor placement shifts cause "
        "significant reduction in recognition accuracy, Biomed Signal Process Control 2020"
    )
    homepage = "https://www.sciencedirect.com/science/article/pii/S1746809420301373"
    rest = None
    sessions = tuple(f"day{day:02d}" for day in range(1, len(POSITIONS) + 1))
    protocol = CrossSession(train_sessions=("day01",))
    windowing = Windowing(length_ms=250, step_ms=50)
    rate_hz = 200.0
    equal_lengths = True
    n_channels = 8
    unit = "normalised"
    layout = Layout.ring(8)
    label_names = (
        "rest",
        "wrist flexion",
        "wrist extension",
        "radial deviation",
        "ulnar deviation",
        "pronation",
        "supination",
        "hand close",
        *(
            f"{motion}, {posture}"
            for posture in ("pronated", "supinated", "hand closed")
            for motion in ("wrist flexion", "wrist extension", "radial deviation", "ulnar deviation")
        ),
        "pronation, hand closed",
        "supination, hand closed",
    )

    def __post_init__(self) -> None:
        if not isinstance(self.motions, int) or not 2 <= self.motions <= len(self.label_names):
            raise ConfigError(f"motions must be a whole number from 2 to {len(self.label_names)}, got {self.motions!r}")

    def people(self, folder: Path) -> dict[str, Path]:
        found = find_folders(folder, r"sub\d+")
        if not found:
            raise DataError(f"longterm_myo: {folder} holds no folder named sub1, sub2, …; unpack the data set there")
        return {name.removeprefix("sub"): path for name, path in found.items()}

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        days = sorted(find_folders(home, r"day\d+").items(), key=lambda item: natural(item[0]))
        if not days:
            raise DataError(f"longterm_myo: {home} holds no folder named day1, day2, …; unpack the data set there")
        sessions = {}
        for name, place in days:
            day = int(name.removeprefix("day"))
            sessions[f"day{day:02d}"] = [
                Trial(place / f"D{day}M{label + 1}T{trial}.csv", label, trial)
                for trial in range(1, N_TRIALS + 1)
                for label in range(self.motions)
            ]
        return sessions

    def parse(self, path: Path) -> np.ndarray:
        return read_rows(path, ended=True)

    def _session(
        self, subject: str, session: str, trials: list[Trial], report: Callable[[Finding], None]
    ) -> Recording | None:
        recording = super()._session(subject, session, trials, report)
        day = int(session.removeprefix("day"))
        if recording is None or not 1 <= day <= len(POSITIONS):
            return recording
        return replace(recording, name=f"{recording.name} ({POSITIONS[day - 1]} position)")

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        root = folder / "Wearable_Sensor_Long-term_sEMG_Dataset-main" / "data"
        for subject in (1, 2):
            for day in (1, 2):
                place = root / f"sub{subject}" / f"day{day}"
                place.mkdir(parents=True, exist_ok=True)
                for motion in range(1, len(self.label_names) + 1):
                    loud = 0.02 + 0.2 * (np.arange(8) == motion % 8) + 0.1 * (np.arange(8) == motion // 8)
                    for trial in range(1, N_TRIALS + 1):
                        samples = rng.normal(size=(100, 8)) * loud
                        np.savetxt(place / f"D{day}M{motion}T{trial}.csv", samples, fmt="%.5g", delimiter=",")
