"""The 3DC data set: 22 people, 11 held gestures, a dry-electrode armband of 10 channels at 1 kHz, two sessions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets.base import DATASETS, RemoteFile
from myograph.datasets.file_per_trial import FilePerTrial, Trial, find_folders, read_rows
from myograph.errors import DataError
from myograph.protocols import CrossSession
from myograph.recording import Layout
from myograph.windows import Windowing

SESSIONS = ("train", "test")
N_REPETITIONS = 4


@DATASETS.register
@dataclass(frozen=True)
class ThreeDC(FilePerTrial):
    """Sessions `train` and `test`, five minutes apart without removing the armband; 11 held gestures of 5 s, 4
    repetitions each.

    Layout: `Participant{p}/{train,test}/EMG/3dc_EMG_gesture_{repetition}_{gesture}.txt`, integers separated by commas,
    one row per sample. Repetitions are 0..3 in the file names and 1..4 here. "no motion" is a gesture like the others
    in the published scores, so `rest` is None.

    Signal (10, time): the converter's counts at 1000 Hz; the files do not state their size in µV ("adc"). Electrodes
    are in the armband's order, the last next to the first. Source: Côté-Allard et al. 2019, doi:10.3390/s19122811, and
    its repository.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> ThreeDC().write_miniature(folder, np.random.default_rng(0))
    >>> ThreeDC().subjects(folder)
    ['1', '2']
    >>> next(iter(ThreeDC().read(folder)))
    <Recording 3dc, subject 1, session train: 10 channels x 17.6 s @ 1000 Hz, adc, 11 labels>
    """

    name = "3dc"
    title = "3DC armband: 22 people x 11 held gestures x 4 repetitions x 2 sessions, 10 channels @ 1000 Hz"
    licence = "free to use in research; cite Côté-Allard et al. 2019"
    citation = "Côté-Allard et al., A Low-Cost, Wireless, 3-D-Printed Custom Armband for sEMG Hand Gesture Recognition, Sensors 2019"
    doi = "10.3390/s19122811"
    homepage = "https://github.com/LibEMG/3DCDataset"
    files = (RemoteFile("3dc.zip", ("https://github.com/LibEMG/3DCDataset/archive/refs/heads/main.zip",)),)
    rest = None
    known_defects = (
        "participants 19 and 21 have the same 88 files; leave out one of them",
        "in the session test, 13 of the 44 files of participant 14 are those of participant 13; leave out that "
        "session of 14",
    )
    protocol = CrossSession(train_sessions=("train",), test_sessions=("test",))
    windowing = Windowing(length_ms=250, step_ms=50)
    rate_hz = 1000.0
    n_channels = 10
    layout = Layout.ring(10)
    label_names = (
        "no motion",
        "radial deviation",
        "wrist flexion",
        "ulnar deviation",
        "wrist extension",
        "supination",
        "pronation",
        "power grip",
        "open hand",
        "chuck grip",
        "pinch grip",
    )

    def people(self, folder: Path) -> dict[str, Path]:
        found = find_folders(folder, r"Participant\d+")
        if not found:
            raise DataError(
                f"3dc: {folder} holds no folder named Participant1, Participant2, …; unpack the data set there"
            )
        return {name.removeprefix("Participant"): path for name, path in found.items()}

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        return {
            session: [
                Trial(home / session / "EMG" / f"3dc_EMG_gesture_{repetition}_{gesture}.txt", gesture, repetition + 1)
                for repetition in range(N_REPETITIONS)
                for gesture in range(len(self.label_names))
            ]
            for session in SESSIONS
        }

    def parse(self, path: Path) -> np.ndarray:
        return read_rows(path)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (1, 2):
            for trials in self.trials(folder / "3DCDataset-main" / f"Participant{subject}").values():
                for trial in trials:
                    trial.path.parent.mkdir(parents=True, exist_ok=True)
                    loud = 20 + 100 * (np.arange(10) == trial.label % 10)
                    samples = np.rint(rng.normal(size=(400, 10)) * loud).astype(int)
                    np.savetxt(trial.path, samples, fmt="%d", delimiter=",")
