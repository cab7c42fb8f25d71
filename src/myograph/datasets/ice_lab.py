"""ICE Lab HD-sEMG: three 8 x 8 grids on the forearm, 192 channels at 2560 Hz, one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets._formats.matlab import find_matlab, lacks, matrix, write_matlab
from myograph.datasets._names import aside, natural
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_trial import FilePerTrial, Trial, numbered
from myograph.errors import DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Layout
from myograph.windows import Windowing

N_CHANNELS = 192


@DATASETS.register
@dataclass(frozen=True)
class IceLab(FilePerTrial):
    """Gestures held for about 5 s, with a separate file for each repetition.

    Signal (192, time): three grids of 8 x 8 electrodes on the forearm, 10 mm apart within a grid. The layout fills 8
    rows x 24 columns row by row, as the authors' images do. The position of each channel on the skin is not stated, so
    neighbours in the layout need not be neighbours on the arm, and the layout has no spacing. The unit is not stated:
    "adc".

    Layout: `{subject:03d}-{gesture:03d}-{repetition:03d}.mat` with `Data` (or `data`), (time, 192). Some files have a
    193rd column, which is left out. The description lists 7 gestures (one of them is "no movement"), and the authors'
    programs read 8, in orders that differ between the sources. Labels are therefore the numbers in the file names, and
    `rest` is None.

    Source: the repository of the MIC Laboratory, which does not contain the data. Licence: not known.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> IceLab().write_miniature(folder, np.random.default_rng(0))
    >>> IceLab().subjects(folder)
    ['1', '2']
    >>> next(iter(IceLab().read(folder)))
    <Recording ice_lab, subject 1, session 1: 192 channels x 6.6 s @ 2560 Hz, adc, 8 labels>
    """

    name = "ice_lab"
    title = "ICE Lab HD-sEMG: 1 person, 8 gestures x 5 repetitions or more, 192 channels (8 x 24) @ 2560 Hz"
    licence = "unknown"
    citation = "MIC Laboratory, CNN-HD-sEMG-Classifier (description of the ICE Lab data set)"
    homepage = "https://github.com/MIC-Laboratory/CNN-HD-sEMG-Classifier"
    rest = None
    protocol = KFoldRepetitions()
    windowing = Windowing(length_ms=150, step_ms=50)
    rate_hz = 2560.0
    n_channels = N_CHANNELS
    layout = Layout.grid(8, 24)
    version = 2
    label_names = tuple(f"gesture {i}" for i in range(1, 9))

    def _files(self, folder: Path) -> dict[str, list[Trial]]:
        paths = (p for p in Path(folder).rglob("*.mat") if not aside(p, Path(folder)))
        found = {
            str(number): sorted(
                (Trial(path, g - 1, r) for (g, r), path in files.items() if 1 <= g <= len(self.label_names)),
                key=lambda t: (t.repetition, t.label),
            )
            for number, files in numbered(paths).items()
        }
        if not any(found.values()):
            raise DataError(f"ice_lab: {folder} holds no files such as 001-001-001.mat; put the data set's files there")
        return {subject: found[subject] for subject in sorted(found, key=natural) if found[subject]}

    def people(self, folder: Path) -> dict[str, Path]:
        # People have no separate folders, so "home" is the whole folder and its name identifies the person.
        return {subject: Path(folder) / subject for subject in self._files(folder)}

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        return {"1": self._files(home.parent)[home.name]}

    def parse(self, path: Path) -> np.ndarray:
        found = find_matlab(path, ("Data", "data"))
        if not found:
            raise lacks(path, ["Data"])
        data = found["Data"] if "Data" in found else found["data"]
        if data.ndim == 2 and data.shape[1] == N_CHANNELS + 1:
            data = data[:, :N_CHANNELS]
        return matrix(data, path, "Data", f"(time, {N_CHANNELS})")

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (1, 2):
            for label in range(len(self.label_names)):
                loud = 5 + 50 * (np.arange(N_CHANNELS) % 24 // 3 == label)
                for repetition in range(1, 6):
                    samples = np.rint(rng.normal(size=(420, N_CHANNELS)) * loud)
                    if repetition == 5:
                        samples = np.c_[samples, np.arange(420)]
                    path = folder / f"{subject:03d}-{label + 1:03d}-{repetition:03d}.mat"
                    write_matlab(
                        path, {"Data" if repetition % 2 else "data": samples.astype(np.float32)}, compress=False
                    )
