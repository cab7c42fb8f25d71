"""CSL-HDEMG: 27 finger gestures under an 8 x 24 electrode array on five days, 168 bipolar channels at 2048 Hz."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets import DATASETS, Dataset, natural
from myograph.datasets._matlab import read_matlab, write_matlab
from myograph.datasets._trials import find_folders
from myograph.errors import DataError, MyographError
from myograph.protocols import KFoldRepetitions
from myograph.quality import Finding
from myograph.recording import Layout, Recording
from myograph.windows import Windowing

N_ROWS = 192
# Neighbouring electrodes of a column are subtracted, so every eighth row spans two columns and means nothing.
KEPT = np.flatnonzero(np.arange(N_ROWS) % 8 != 7)
N_GESTURES = 27


@DATASETS.register
@dataclass(frozen=True)
class CslHdemg(Dataset):
    """A Recording a gesture and session (five days): its trials of about 3 s one after another, 10 of each, 30 idle.

    Layout: `subject{s}/session{k}/gest{g}.mat`, a cell array `gestures` of (192, time) trials, gest0 the idle gesture.
    Rows 8, 16, …, 192 carry no signal and are left out: 168 = 7 x 24, row 0 at the proximal end. The scale is not
    stated: "adc".
    """

    name = "csl_hdemg"
    title = "CSL-HDEMG: 5 people x 5 days x 27 finger gestures x 10 trials, 168 channels (7 x 24) @ 2048 Hz"
    licence = "unknown; the authors ask to cite the paper"
    citation = (
        "Amma, Krings, Böer, Schultz, Advancing Muscle-Computer Interfaces with High-Density Electromyography, CHI 2015"
    )
    doi = "10.1145/2702123.2702501"
    homepage = "https://www.uni-bremen.de/csl/"
    rest = "idle"
    protocol = KFoldRepetitions(n_splits=10, within="session")
    windowing = Windowing(length_ms=150, step_ms=50)
    label_names = ("idle", *(f"gesture {i}" for i in range(1, N_GESTURES)))
    layout = Layout(tuple(i % 7 for i in range(168)), tuple(i // 7 for i in range(168)))

    def _files(self, folder: Path) -> dict[str, list[tuple[str, int, Path]]]:
        found = {}
        for name, home in find_folders(Path(folder), r"subject\d+").items():
            files = []
            for session, place in find_folders(home, r"session\d+").items():
                for path in place.glob("gest*.mat"):
                    match = re.fullmatch(r"gest(\d+)\.mat", path.name)
                    if match and int(match[1]) < N_GESTURES:
                        files.append((session.removeprefix("session"), int(match[1]), path))
            if files:
                found[name.removeprefix("subject")] = sorted(files, key=lambda f: (natural(f[0]), f[1]))
        if not found:
            raise DataError(
                f"csl_hdemg: {folder} holds no files such as subject1/session1/gest1.mat; unpack the data set there"
            )
        return {s: found[s] for s in sorted(found, key=natural)}

    def subjects(self, folder: Path) -> list[str]:
        return list(self._files(folder))

    def sources(self, folder: Path, subject: str) -> list[Path]:
        return [path for _, _, path in self._files(folder)[subject]]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        files = self._files(folder)
        for subject in files if subjects is None else subjects:
            for session, gesture, path in files[subject]:
                yield self._recording(subject, session, gesture, path)

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        files = self._files(folder)[subject]
        for session in dict.fromkeys(s for s, _, _ in files):
            missing = set(range(N_GESTURES)) - {g for s, g, _ in files if s == session}
            if missing:
                yield Finding(
                    "warning",
                    f"csl_hdemg, subject {subject}, session {session}",
                    f"no files of gestures {', '.join(map(str, sorted(missing)))}",
                    "copy them if you need them; the others can be used without",
                )
        for session, gesture, path in files:
            try:
                yield self._recording(subject, session, gesture, path)
            except MyographError as error:
                what, _, advice = str(error).partition("; ")
                yield Finding("error", str(path), what, advice)

    def _recording(self, subject: str, session: str, gesture: int, path: Path) -> Recording:
        (cells,) = read_matlab(path, ("gestures",))
        trials = [np.asarray(c) for c in cells.ravel()] if cells.dtype == object else []
        shapes = [t.shape for t in trials]
        if not trials or any(len(s) != 2 or s[0] != N_ROWS or s[1] == 0 for s in shapes):
            raise DataError(
                f"{path}: 'gestures' is a cell array of ({N_ROWS}, time) trials, got {shapes[:3] or cells.dtype}; "
                "copy or download it again"
            )
        lengths = [t.shape[1] for t in trials]
        return Recording(
            np.concatenate([t[KEPT] for t in trials], axis=1).astype(np.float32),
            2048.0,
            np.full(sum(lengths), gesture, np.int32),
            subject=subject,
            repetition=np.repeat(np.arange(1, len(trials) + 1), lengths),
            session=session,
            unit="adc",
            label_names=self.label_names,
            layout=self.layout,
            name=f"csl_hdemg, subject {subject}, session {session}, {self.label_names[gesture]}",
        )

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        for subject in (1, 2):
            for session in (1, 2):
                for gesture in range(3):
                    loud = 3 + 30 * (np.arange(N_ROWS)[:, None] // 8 % 3 == gesture) * (gesture > 0)
                    cells = np.empty((1, 30 if gesture == 0 else 10), object)
                    for i in range(cells.size):
                        cells[0, i] = np.rint(rng.normal(size=(N_ROWS, 320 + i % 3)) * loud).astype(np.int16)
                    write_matlab(
                        folder / f"subject{subject}" / f"session{session}" / f"gest{gesture}.mat",
                        {"gestures": cells},
                        compress=False,
                    )
