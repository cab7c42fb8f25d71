"""CSL-HDEMG: 27 finger gestures under an 8 x 24 electrode array on five days, 168 bipolar channels at 2048 Hz."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from myograph._common.fields import ADDED
from myograph.datasets._formats.matlab import AGAIN, read_matlab, write_matlab
from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.datasets.file_per_trial import find_folders
from myograph.datasets.quality import Finding
from myograph.errors import DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Layout, Recording
from myograph.windows import Windowing

N_ROWS = 192
# Neighbouring electrodes of a column are subtracted, so every eighth row spans two columns and is meaningless.
KEPT = np.flatnonzero(np.arange(N_ROWS) % 8 != 7)
N_GESTURES = 27
MINIATURE_SAMPLES = 320  # per trial
MINIATURE_SUBJECTS = MINIATURE_SESSIONS = (1, 2)


@DATASETS.register
@dataclass(frozen=True)
class CslHdemg(FilePerRecording):
    """One Recording per gesture and session (five days): its trials of about 3 s in sequence, 10 per gesture and 30 for
    idle.

    Signal (168, time): 24 columns of 8 electrodes; the amplifier subtracts neighbours within a column. Channel 7 c + r
    is electrode r + 1 minus electrode r + 2 of column c, with r = 0 at the proximal end. Every eighth row of the files
    (8, 16, …, 192) spans two columns, has no meaning and is left out, as the data set's own description asks.

    Layout: `subject{s}/session{k}/gest{g}.mat`, g from 0 to 26, with a cell array `gestures`, (trial, 1), of (192,
    time) trials at 2048 Hz. We take gest0 as the idle gesture, because other programs do so and only it has 30
    trials; the description does not state its number. The description names no other gesture, so these are "gesture 1"
    to "gesture 26". The source does not state the unit (hence "adc"; the authors' example shows RMS values up to
    0.0035), the spacing, or whether the last column is next to the first.

    Source: Amma et al. 2015, doi:10.1145/2702123.2702501, and the description in the archive. Licence: none stated; the
    authors ask to cite the paper.

    Parameters
    ----------
    dead_rows : keep every eighth row, with zeros in the place of its values, so that a sample fills an image of 8 x 24
        electrodes. Row r of column c is then channel 8 c + r.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> CslHdemg().write_miniature(folder, np.random.default_rng(0))
    >>> CslHdemg().subjects(folder)
    ['1', '2']
    >>> next(iter(CslHdemg().read(folder)))
    <Recording csl_hdemg, subject 1, session 1, idle: 168 channels x 4.7 s @ 2048 Hz, adc, 27 labels>
    >>> next(iter(CslHdemg(dead_rows=True).read(folder))).n_channels
    192
    """

    dead_rows: bool = field(default=False, metadata=ADDED)

    name = "csl_hdemg"
    title = "CSL-HDEMG: 5 people x 5 days x 27 finger gestures x 10 trials, 168 channels (7 x 24) @ 2048 Hz"
    licence = "unknown; the authors ask to cite the paper"
    citation = (
        "Amma, Krings, Böer, Schultz, Advancing Muscle-Computer Interfaces with High-Density Electromyography, CHI 2015"
    )
    doi = "10.1145/2702123.2702501"
    homepage = "https://www.uni-bremen.de/csl/"
    rest = "idle"
    sessions = ("1", "2", "3", "4", "5")
    protocol = KFoldRepetitions(n_splits=10, within="session")
    windowing = Windowing(length_ms=150, step_ms=50)
    label_names = ("idle", *(f"gesture {i}" for i in range(1, N_GESTURES)))
    layout = Layout(tuple(i % 7 for i in range(168)), tuple(i // 7 for i in range(168)))
    whole_layout = Layout(tuple(i % 8 for i in range(N_ROWS)), tuple(i // 8 for i in range(N_ROWS)))

    def listed(self, folder: Path) -> Iterator[File]:
        for name, home in find_folders(folder, r"subject\d+").items():
            for session, place in find_folders(home, r"session\d+").items():
                for path in place.glob("gest*.mat"):
                    match = re.fullmatch(r"gest(\d+)\.mat", path.name)
                    if match and int(match[1]) < N_GESTURES:
                        subject, session = name.removeprefix("subject"), session.removeprefix("session")
                        yield File(path, subject, session, int(match[1]))

    def expected(self) -> str:
        return "files such as subject1/session1/gest1.mat; unpack the data set there"

    def lacking(self, subject: str, files: list[File]) -> Iterator[Finding]:
        for session in dict.fromkeys(f.session for f in files):
            missing = set(range(N_GESTURES)) - {f.part for f in files if f.session == session}
            if missing:
                yield Finding(
                    "warning",
                    f"csl_hdemg, subject {subject}, session {session}",
                    f"no files of gestures {', '.join(map(str, sorted(missing)))}",
                    "copy them if you need them; the others can be used without them",
                )

    def record(self, file: File) -> Recording:
        subject, session, gesture = file.subject, file.session, file.part
        (cells,) = read_matlab(file.path, ("gestures",))
        trials = [np.asarray(c) for c in cells.ravel()] if cells.dtype == object else []
        odd = [
            f"trial {i}: {t.dtype} of shape {t.shape}"
            for i, t in enumerate(trials, 1)
            if t.ndim != 2 or t.shape[0] != N_ROWS or not t.size or t.dtype.kind not in "iuf"
        ]
        if odd or not trials:
            raise DataError(
                f"{file.path}: 'gestures' holds {odd[0] if odd else f'{cells.dtype} of shape {cells.shape}'}, expected "
                f"a cell array of trials, each numbers of shape ({N_ROWS}, time); {AGAIN}"
            )
        lengths = [t.shape[1] for t in trials]
        signal = np.concatenate([t[KEPT] for t in trials], axis=1).astype(np.float32)
        if self.dead_rows:
            whole = np.zeros((N_ROWS, signal.shape[1]), np.float32)
            whole[KEPT] = signal
            signal = whole
        return Recording(
            signal,
            2048.0,
            np.full(sum(lengths), gesture, np.int32),
            subject=subject,
            repetition=np.repeat(np.arange(1, len(trials) + 1), lengths),
            session=session,
            unit="adc",
            label_names=self.label_names,
            layout=self.whole_layout if self.dead_rows else self.layout,
            name=f"csl_hdemg, subject {subject}, session {session}, {self.label_names[gesture]}",
            breaks=tuple(np.cumsum(lengths)[:-1].tolist()),
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in MINIATURE_SUBJECTS:
            for session in MINIATURE_SESSIONS:
                for gesture in range(3):
                    loud = 1e-4 + 1e-3 * (np.arange(N_ROWS)[:, None] // 8 % 3 == gesture) * (gesture > 0)
                    cells = np.empty((30 if gesture == 0 else 10, 1), object)
                    for i in range(len(cells)):
                        cells[i, 0] = (rng.normal(size=(N_ROWS, MINIATURE_SAMPLES + i % 3)) * loud).round(6)
                    write_matlab(
                        folder / f"subject{subject}" / f"session{session}" / f"gest{gesture}.mat",
                        {"gestures": cells},
                        compress=False,
                    )
