"""Electrode shift (CIIL): five held gestures before and after a Myo armband was shifted, 8 channels at 200 Hz."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets.base import DATASETS, RemoteFile
from myograph.datasets.file_per_trial import FilePerTrial, Trial, find_folders, read_rows
from myograph.errors import DataError
from myograph.protocols import CrossSession
from myograph.recording import Layout
from myograph.windows import Windowing

SESSIONS = ("training", "trial_1", "trial_2", "trial_3", "trial_4")


@DATASETS.register
@dataclass(frozen=True)
class ElectrodeShift(FilePerTrial):
    """Session `training` before the shift (5 repetitions), `trial_1` … `trial_4` after it (2 repetitions each).

    Layout: `subject{s}/{session}/R_{repetition}_C_{class}.csv`, whole numbers, one row per sample, no header. The
    class of a number is stated only in the session's `metadata.json` (other software swaps wrist flexion and
    extension). Repetitions are counted from 0 in the files and from 1 here. "No motion" is one of the five published
    classes, so `rest` is None.

    Signal (8, time): a Myo armband's counts ("adc") at 200 Hz, electrodes in the armband's order. The files do not
    state how far the armband was shifted. Licence: none stated; cite the paper, doi:10.1186/s12984-024-01355-4.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> ElectrodeShift().write_miniature(folder, np.random.default_rng(0))
    >>> ElectrodeShift().subjects(folder)
    ['0', '1']
    >>> next(iter(ElectrodeShift().read(folder)))
    <Recording electrode_shift, subject 0, session training: 8 channels x 18.8 s @ 200 Hz, adc, 5 labels>
    """

    name = "electrode_shift"
    title = "Electrode shift (CIIL): 21 people x 5 gestures before and after a shift of the Myo, 8 channels @ 200 Hz"
    licence = "unknown; cite the paper"
    citation = (
        "Context-informed incremental learning improves both the performance and resilience of myoelectric control, J "
        "NeuroEng Rehabil 2024 (the paper that LibEMG names for these data)"
    )
    doi = "10.1186/s12984-024-01355-4"
    homepage = "https://github.com/LibEMG/CIILData"
    files = (RemoteFile("electrode_shift.zip", ("https://github.com/LibEMG/CIILData/archive/refs/heads/main.zip",)),)
    rest = None
    sessions = SESSIONS
    protocol = CrossSession(train_sessions=("training",))
    windowing = Windowing(length_ms=250, step_ms=50)
    rate_hz = 200.0
    n_channels = 8
    layout = Layout.ring(8)
    label_names = ("hand close", "hand open", "no motion", "wrist extension", "wrist flexion")

    def people(self, folder: Path) -> dict[str, Path]:
        # The archive also holds another study, with folders of the same names.
        roots = find_folders(folder, "ElectrodeShift") or {"": Path(folder)}
        found = find_folders(roots.popitem()[1], r"subject\d+")
        if not found:
            raise DataError(
                f"electrode_shift: {folder} holds no folder named subject0, subject1, …; unpack the data set there"
            )
        return {name.removeprefix("subject"): path for name, path in found.items()}

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        return {session: self._listed(home / session) for session in SESSIONS if (home / session).is_dir()}

    def _listed(self, place: Path) -> list[Trial]:
        path = place / "metadata.json"
        again = "copy or download the folder again"
        try:
            entries = {k: v for k, v in json.loads(path.read_text()).items() if isinstance(v, dict)}
            known = [(k.rsplit("/", 1)[-1], v["class_name"], int(v["rep_idx"])) for k, v in entries.items()]
        except FileNotFoundError:
            raise DataError(
                f"{path} is missing, and only this file states the classes of the recordings; {again}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is cut short or damaged: {error!r}; {again}") from error
        if not known:
            raise DataError(f"{path} names no files, and only this file states the classes of the recordings; {again}")
        trials = []
        for name, words, repetition in known:
            label = str(words).replace("_", " ").lower()
            if label not in self.label_names:
                raise DataError(
                    f"{path} names the unknown class {words!r}, the known classes are {self.label_names}; {again}"
                )
            trials.append(Trial(place / name, self.label_names.index(label), repetition + 1))
        return sorted(trials, key=lambda t: (t.repetition, t.label))

    def parse(self, path: Path) -> np.ndarray:
        return read_rows(path, ended=True)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (0, 1):
            for session in SESSIONS:
                place = folder / "CIILData-main" / "ElectrodeShift" / f"subject{subject}" / session
                place.mkdir(parents=True, exist_ok=True)
                entries: dict[str, object] = {"continuous": False, "randomize": False, "gifs": False}
                for repetition in range(5 if session == "training" else 2):
                    for label, words in enumerate(self.label_names):
                        file = f"R_{repetition}_C_{label}.csv"
                        loud = 3 + 30 * (np.arange(8) == label) * (label != 2)
                        samples = np.rint(rng.normal(size=(150, 8)) * loud).astype(int)
                        np.savetxt(place / file, samples, fmt="%d", delimiter=",")
                        entries[f"data/subject{subject}/sgt/{session}/{file}"] = {
                            "rep_idx": repetition,
                            "class_idx": label,
                            "class_name": words.title().replace(" ", "_"),
                            "file_type": "png",
                        }
                (place / "metadata.json").write_text(json.dumps(entries))
