"""Base class of data sets that keep each trial, one gesture held once, in a separate file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from myograph.datasets._formats.matlab import AGAIN
from myograph.datasets._names import natural
from myograph.datasets.base import Dataset, as_finding, of_subject, stop_at_errors
from myograph.datasets.quality import Finding
from myograph.errors import DataError
from myograph.recording import Layout, Recording, Unit


@dataclass(frozen=True)
class Trial:
    """One file: an index into the data set's label names, and the number of the repetition.

    >>> Trial(Path("fist_3.csv"), label=1, repetition=3).repetition
    3
    """

    path: Path
    label: int
    repetition: int


class FilePerTrial(Dataset):
    """Base class of data sets that keep each trial, one gesture held once, in a separate file.

    There is one Recording per session: its trials in sequence, with a break between two files. A subclass defines the
    class attributes below, `people`, `trials` and `parse`.

    >>> import tempfile
    >>> class Presses(FilePerTrial):
    ...     name, rate_hz, n_channels, label_names = "presses", 200.0, 2, ("rest", "fist")
    ...
    ...     def people(self, folder):
    ...         return {"1": folder}
    ...
    ...     def trials(self, home):
    ...         return {"1": [Trial(home / f"{label}.csv", label, repetition=1) for label in (0, 1)]}
    ...
    ...     def parse(self, path):
    ...         return read_rows(path)
    >>> folder = Path(tempfile.mkdtemp())
    >>> for label in (0, 1):
    ...     np.savetxt(folder / f"{label}.csv", np.random.default_rng(label).normal(size=(50, 2)), delimiter=",")
    >>> [recording] = Presses().read(folder)
    >>> recording.n_samples, recording.breaks
    (100, (50,))
    """

    rate_hz: ClassVar[float]
    n_channels: ClassVar[int]
    label_names: ClassVar[tuple[str, ...]]
    unit: ClassVar[Unit] = "adc"
    layout: ClassVar[Layout | None] = None
    equal_lengths: ClassVar[bool] = False  # as published, all trials have the same number of samples

    def people(self, folder: Path) -> dict[str, Path]:
        """Return the name and the folder of each subject."""
        raise NotImplementedError(f"{type(self).__name__} defines no people(folder)")

    def trials(self, home: Path) -> dict[str, list[Trial]]:
        """Return, for each session that a subject should have, all trials that it should have, in order."""
        raise NotImplementedError(f"{type(self).__name__} defines no trials(home)")

    def parse(self, path: Path) -> np.ndarray:
        """Return the (channel, time) float32 samples of one file; ValueError if they are not as expected."""
        raise NotImplementedError(f"{type(self).__name__} defines no parse(path)")

    def subjects(self, folder: Path) -> list[str]:
        return sorted(self.people(Path(folder)), key=natural)

    def sources(self, folder: Path, subject: str) -> list[Path]:
        trials = self.trials(of_subject(self.people(Path(folder)), subject, self.name))
        return [t.path for session in trials.values() for t in session if t.path.is_file()]

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        people = self.people(Path(folder))
        for subject in self.subjects(folder) if subjects is None else subjects:
            for session, trials in self.trials(of_subject(people, subject, self.name)).items():
                recording = self._session(subject, session, trials, stop_at_errors)
                if recording is not None:
                    yield recording

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        try:
            sessions = self.trials(of_subject(self.people(Path(folder)), subject, self.name))
        except DataError as error:  # if the list of trials is read from a file of the data set
            yield as_finding(error, f"{self.name}, subject {subject}")
            return
        for session, trials in sessions.items():
            findings: list[Finding] = []
            recording = self._session(subject, session, trials, findings.append)
            yield from findings
            if recording is not None:
                yield recording

    def _session(
        self, subject: str, session: str, trials: list[Trial], report: Callable[[Finding], None]
    ) -> Recording | None:
        parts: list[np.ndarray] = []
        kept: list[Trial] = []
        for trial in trials:
            try:
                parts.append(self._samples(trial.path))
                kept.append(trial)
            except DataError as error:
                report(as_finding(error, trial.path))
        if not parts:
            return None
        lengths = np.array([p.shape[1] for p in parts])
        usual = int(np.median(lengths))
        for trial, length in zip(kept, lengths):
            if self.equal_lengths and length < usual:
                report(
                    Finding(
                        "error",
                        str(trial.path),
                        f"this file is truncated: it has {length} samples, the others of this session {usual}",
                        f"{AGAIN}, or leave the subject out",
                    )
                )
            elif not 0.5 * usual <= length <= 1.5 * usual:
                report(
                    Finding(
                        "warning",
                        str(trial.path),
                        f"{length} samples ({length / self.rate_hz:.2f} s), whereas {usual} are usual in this session",
                        "it is read unchanged and gives fewer or more windows; leave it out if it should not be used",
                    )
                )
        return Recording(
            np.concatenate(parts, axis=1),
            self.rate_hz,
            np.repeat(np.array([t.label for t in kept], np.int32), lengths),
            subject=subject,
            repetition=np.repeat(np.array([t.repetition for t in kept], np.int32), lengths),
            session=session,
            unit=self.unit,
            label_names=self.label_names,
            layout=self.layout,
            name=f"{self.name}, subject {subject}, session {session}",
            breaks=tuple(np.cumsum(lengths)[:-1].tolist()),
        )

    def _samples(self, path: Path) -> np.ndarray:
        try:
            signal = self.parse(path)
        except FileNotFoundError:
            raise DataError(f"this file is missing; {AGAIN}, or leave the subject out") from None
        except DataError:
            raise
        except (OSError, ValueError) as error:
            raise DataError(f"this file is cut short or damaged: {error}; {AGAIN}") from error
        if signal.shape[0] != self.n_channels or not signal.shape[1]:
            raise DataError(
                f"this file holds {signal.shape[0]} channels x {signal.shape[1]} samples, expected "
                f"{self.n_channels} channels and at least one sample; {AGAIN}"
            )
        if not np.isfinite(signal).all():
            raise DataError(f"this file holds {int((~np.isfinite(signal)).sum())} samples that are NaN; {AGAIN}")
        return signal


def find_folders(root: Path, pattern: str) -> dict[str, Path]:
    """Return, by name, the folders below `root` whose full name matches; their subfolders are not searched.

    Raises
    ------
    DataError : two folders have the same name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "data" / "subject1").mkdir(parents=True)
    >>> list(find_folders(folder, r"subject\\d+"))
    ['subject1']
    """
    found: dict[str, Path] = {}
    for place, folders, _ in os.walk(root):
        matching = sorted(f for f in folders if re.fullmatch(pattern, f))
        for name in matching:
            if name in found:
                raise DataError(
                    f"{found[name]} and {Path(place) / name} have the same name; keep one of them, or rename one"
                )
            found[name] = Path(place) / name
        # As in `aside`: archives made on a Mac contain every folder twice, and another process may be unpacking
        # archives.
        folders[:] = [f for f in folders if f not in matching and f != "__MACOSX" and not f.startswith(".")]
    return found


def read_rows(path: Path, ended: bool = False) -> np.ndarray:
    """Return the (column, row) float32 numbers of a text file with commas and without a header. Missing cells at the
    end of a row are NaN.

    ended : whether every published file ends with a line end; a file without one is then truncated in its last number.

    Raises
    ------
    ValueError : a cell is not a number, or the last line has no end although `ended`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "trial.csv"
    >>> _ = path.write_text("1,2\\n3,4\\n")
    >>> read_rows(path, ended=True)
    array([[1., 3.],
           [2., 4.]], dtype=float32)
    """
    import pandas as pd

    if ended:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 1))
            if file.read() not in (b"\n", b"\r"):
                raise ValueError("its last row has no line end, so the last number may lack digits")
    return np.ascontiguousarray(pd.read_csv(path, header=None, dtype=np.float32).to_numpy().T)


def numbered(paths: Iterable[Path]) -> dict[int, dict[tuple[int, int], Path]]:
    """Return paths by the numbers in names such as 001-002-003.mat: for each subject, those of (gesture, repetition).

    Other names are ignored.

    Raises
    ------
    DataError : two files have the same numbers.

    >>> numbered([Path("001-002-003.mat"), Path("notes.mat")])[1][2, 3].name
    '001-002-003.mat'
    """
    found: dict[int, dict[tuple[int, int], Path]] = {}
    for path in sorted(paths):
        match = re.fullmatch(r"(\d{3})-(\d{3})-(\d{3})\.mat", path.name)
        if match is None:
            continue
        subject, gesture, repetition = map(int, match.groups())
        first = found.setdefault(subject, {}).setdefault((gesture, repetition), path)
        if first is not path:
            raise DataError(f"{first} and {path} have the same numbers; keep one of them")
    return found
