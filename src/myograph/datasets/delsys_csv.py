"""Any folder of Delsys EMGworks CSV exports: the EMG signals of each file, unlabelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets._formats.emgworks import is_export, not_exported, read_emgworks, write_emgworks
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording


@DATASETS.register
@dataclass(frozen=True)
class DelsysCsv(FilePerRecording):
    """One Recording per file. The subject is the file's name without its ending; all samples are unlabelled (-1).

    Signal (sensor, time): only the EMG signals, in the file's order, at their own rate and in µV, shortened to
    the shortest signal. Accelerometers and gyroscopes, which are slower, are left out. To add labels, describe the
    folder for the data set `folder` instead.

    Parameters
    ----------
    path : your folder; None looks for `delsys_csv` in the data folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> DelsysCsv().write_miniature(folder, np.random.default_rng(0))
    >>> DelsysCsv().subjects(folder)
    ['recording 1', 'recording 2']
    >>> next(iter(DelsysCsv().read(folder)))
    <Recording delsys_csv, recording 1: 2 channels x 4.0 s @ 1259.26 Hz, uV, 0 labels>
    """

    path: str | None = None

    name = "delsys_csv"
    title = "Delsys EMGworks CSV exports: EMG of each file, unlabelled"
    licence = "your own; the sample of the emgio project is BSD-3-Clause"
    citation = "none; state the sensors (Delsys Trigno) and the software (EMGworks)"
    homepage = "the EMGworks software, from which recordings are exported as CSV"
    rest = None
    protocol = KFoldRepetitions()

    def __post_init__(self) -> None:
        if self.path is not None and not isinstance(self.path, (str, Path)):
            raise ConfigError(f"path must be a folder, got {self.path!r}")

    def own_folder(self) -> Path | None:
        return None if self.path is None else Path(self.path).expanduser()

    def listed(self, folder: Path) -> Iterator[File]:
        return (File(p, p.stem) for p in folder.rglob("*.csv") if is_export(p))

    def expected(self) -> str:
        return "EMGworks exports (.csv whose first line begins 'Label: '); export the recordings as CSV there"

    def record(self, file: File) -> Recording:
        export = read_emgworks(file.path)
        label = np.full(export.signal.shape[1], -1, np.int32)
        return Recording(export.signal, export.rate_hz, label, subject=file.subject, name=f"delsys_csv, {file.subject}")

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        return not_exported(file.path, recordings[0].n_samples)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (1, 2):
            active = np.tile(np.repeat([0, 1], [1500, 1000]), 2)
            emg = rng.normal(size=(2, len(active))) * np.where(active, 80.0, 4.0)
            write_emgworks(folder / f"recording {subject}.csv", emg, 1259.259, sensor="Mini sensor")
