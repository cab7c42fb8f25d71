"""The MyoArmband data set: 7 held gestures, 8 channels at 200 Hz, with one group of people for pre-training and one for
evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from myograph.datasets.base import DATASETS, RemoteFile
from myograph.datasets.file_per_trial import FilePerTrial, Trial, find_folders
from myograph.errors import ConfigError, DataError
from myograph.protocols import CrossSession
from myograph.recording import Layout
from myograph.windows import Windowing

FOLDERS = {"pretraining": "PreTrainingDataset", "evaluation": "EvaluationDataset"}
SESSIONS = {"pretraining": ("training0",), "evaluation": ("training0", "Test0", "Test1")}
N_FILES = 28
REPOSITORY = "https://github.com/UlysseCoteAllard/MyoArmbandDataset"


@DATASETS.register
@dataclass(frozen=True)
class MyoArmband(FilePerTrial):
    """Sessions `training0`, `Test0` and `Test1` of the evaluation people, `training0` of the pre-training people.

    Layout: `{PreTraining,Evaluation}Dataset/{person}/{session}/classe_{i}.dat`, little-endian int16, 8 interleaved
    channels, 5 s; gesture i % 7, repetition i // 7 + 1. In the published scores "neutral" is a gesture like the others,
    so `rest` is None.

    Signal (8, time): a Myo armband's counts from -128 to 127 ("adc") at 200 Hz, electrodes in the armband's order, the
    last next to the first. Source: Côté-Allard et al. 2019, doi:10.1109/TNSRE.2019.2896269, and its repository, which
    also gives the licence.

    Parameters
    ----------
    part : "evaluation" people (named `Female0`, `Male0`, …), "pretraining" people (named `pretraining Female0`, …,
        because the numbers of both groups start at 0), or "all".

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> MyoArmband().write_miniature(folder, np.random.default_rng(0))
    >>> MyoArmband().subjects(folder)
    ['Female0', 'Male0']
    >>> next(iter(MyoArmband().read(folder)))
    <Recording myoarmband, subject Female0, session training0: 8 channels x 28.0 s @ 200 Hz, adc, 7 labels>
    """

    part: Literal["evaluation", "pretraining", "all"] = "evaluation"

    name = "myoarmband"
    title = "MyoArmband: people to pre-train on and people to evaluate on, 7 held gestures, 8 channels @ 200 Hz"
    licence = "GPL-3.0 (code and data)"
    citation = "Côté-Allard et al., Deep Learning for Electromyographic Hand Gesture Signal Classification Using Transfer Learning, IEEE TNSRE 2019"
    doi = "10.1109/TNSRE.2019.2896269"
    homepage = REPOSITORY
    files = (RemoteFile("myoarmband.zip", (f"{REPOSITORY}/archive/refs/heads/master.zip",)),)
    rest = None
    known_defects = (
        "the session training0 of evaluation person Female0 holds the same files as pre-training Female7, Female8 and "
        "Female9; leave those three out of pre-training, or Female0 out of evaluation",
    )
    protocol = CrossSession(train_sessions=("training0",), test_sessions=("Test0", "Test1"))
    windowing = Windowing(length_ms=250, step_ms=50)
    rate_hz = 200.0
    n_channels = 8
    layout = Layout.ring(8)
    label_names = (
        "neutral",
        "radial deviation",
        "wrist flexion",
        "ulnar deviation",
        "wrist extension",
        "hand close",
        "hand open",
    )

    def __post_init__(self) -> None:
        if self.part not in (*FOLDERS, "all"):
            raise ConfigError(f"part must be 'evaluation', 'pretraining' or 'all', got {self.part!r}")

    def people(self, folder: Path) -> dict[str, Path]:
        people: dict[str, Path] = {}
        for part, name in FOLDERS.items():
            if self.part not in (part, "all"):
                continue
            for home in find_folders(folder, name).values():
                prefix = "pretraining " if part == "pretraining" else ""
                people |= {prefix + n: path for n, path in find_folders(home, r"(Fem|M)ale\d+").items()}
        if not people:
            raise DataError(
                f"myoarmband: {folder} holds no folder EvaluationDataset or PreTrainingDataset with people "
                f"(Female0, Male0, …) for part={self.part!r}; unpack the data set there"
            )
        return people

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        part = next(p for p, name in FOLDERS.items() if home.parent.name == name)
        n = len(self.label_names)
        return {
            session: [Trial(home / session / f"classe_{i}.dat", i % n, i // n + 1) for i in range(N_FILES)]
            for session in SESSIONS[part]
        }

    def parse(self, path: Path) -> np.ndarray:
        raw = path.read_bytes()
        if len(raw) % (2 * self.n_channels):
            raise ValueError(f"{len(raw)} bytes are not whole rows of {self.n_channels} int16 values")
        return np.frombuffer(raw, "<i2").reshape(-1, self.n_channels).T.astype(np.float32)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        root = folder / "MyoArmbandDataset-master"
        for person in ("EvaluationDataset/Female0", "EvaluationDataset/Male0", "PreTrainingDataset/Female0"):
            for trials in self.trials(root / person).values():
                for trial in trials:
                    trial.path.parent.mkdir(parents=True, exist_ok=True)
                    loud = 4 + 20 * (np.arange(8) == trial.label)
                    samples = np.clip(np.rint(rng.normal(size=(200, 8)) * loud), -128, 127)
                    samples.astype("<i2").tofile(trial.path)
