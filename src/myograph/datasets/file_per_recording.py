"""Base class of data sets in which each file is a separate Recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myograph.datasets._names import aside, natural
from myograph.datasets.base import Dataset, as_finding, of_subject
from myograph.datasets.quality import Finding
from myograph.errors import DataError, MyographError
from myograph.recording import Recording


@dataclass(frozen=True)
class File:
    """One file, and the facts given by its path.

    part : exercise, gesture, trial or muscle; it distinguishes and orders the files of a session.
    beside : other files that are needed to read this one.

    >>> File(Path("s1/fist.csv"), subject="1", part=2).session
    '1'
    """

    path: Path
    subject: str
    session: str = "1"
    part: int = 0
    beside: tuple[Path, ...] = ()


class FilePerRecording(Dataset):
    """Base class of data sets in which each file is a separate Recording.

    Recordings are ordered by subject in natural order, then by session, then by part. A subclass defines `listed`,
    `expected` and `record`, and optionally `lacking`, `remarks` and `order`. If its files contain breaks, it overrides
    `records`.

    >>> import tempfile
    >>> import numpy as np
    >>> class Arrays(FilePerRecording):
    ...     name = "arrays"
    ...
    ...     def listed(self, folder):
    ...         return [File(path, subject=path.stem) for path in folder.glob("*.npy")]
    ...
    ...     def expected(self):
    ...         return "files such as 1.npy; copy them there"
    ...
    ...     def record(self, file):
    ...         return Recording(np.load(file.path), 1000.0, None, file.subject)
    >>> folder = Path(tempfile.mkdtemp())
    >>> for subject in ("10", "9"):
    ...     np.save(folder / f"{subject}.npy", np.random.default_rng(0).normal(size=(2, 500)))
    >>> [recording.subject for recording in Arrays().read(folder)]
    ['9', '10']
    >>> file = File(folder / "9.npy", "9")
    >>> [len(list(found)) for found in (Arrays().records(file), Arrays().lacking("9", [file]), Arrays().remarks(file, []))]
    [1, 0, 0]
    >>> Arrays().order(file) < Arrays().order(File(folder / "9.npy", "9", session="2"))
    True
    """

    def listed(self, folder: Path) -> Iterable[File]:
        """Yield the data set's files in a folder, in any order, without opening them. Other files are ignored."""
        raise NotImplementedError(f"{type(self).__name__} defines no listed(folder)")

    def expected(self) -> str:
        """Return the end of the error message "... holds no": the expected files, and what to do."""
        raise NotImplementedError(f"{type(self).__name__} defines no expected()")

    def record(self, file: File) -> Recording:
        """Read one file; DataError if it is damaged or not in the expected layout."""
        raise NotImplementedError(f"{type(self).__name__} defines no record(file)")

    def records(self, file: File) -> Iterable[Recording]:
        """Return the recordings of one file, each without a break in time."""
        return [self.record(file)]

    def lacking(self, subject: str, files: list[File]) -> Iterator[Finding]:
        """Yield what is missing from a subject's files."""
        return iter(())

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        """Yield what is unusual about a file that could be read."""
        return iter(())

    def order(self, file: File) -> Any:
        """Return the sort key of one of a subject's files."""
        return natural(file.session), file.part

    def subjects(self, folder: Path) -> list[str]:
        return list(self._by_subject(folder))

    def sources(self, folder: Path, subject: str) -> list[Path]:
        files = of_subject(self._by_subject(folder), subject, self.name)
        return list(dict.fromkeys(p for file in files for p in (*file.beside, file.path)))

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        files = self._by_subject(folder)
        for subject in files if subjects is None else subjects:
            for file in of_subject(files, subject, self.name):
                yield from self.records(file)

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        files = of_subject(self._by_subject(folder), subject, self.name)
        yield from self.lacking(subject, files)
        for file in files:
            try:
                recordings = list(self.records(file))
            except MyographError as error:  # NaN in the samples is a SignalError
                yield as_finding(error, file.path)
                continue
            yield from self.remarks(file, recordings)
            yield from recordings

    def _by_subject(self, folder: Path) -> dict[str, list[File]]:
        found: dict[str, dict[tuple[str, int], File]] = {}
        listed = (f for f in self.listed(Path(folder)) if not aside(f.path, Path(folder)))
        for file in sorted(listed, key=lambda f: f.path):
            mine = found.setdefault(file.subject, {})
            other = mine.setdefault((file.session, file.part), file)
            if other is not file:
                raise DataError(
                    f"{self.name}: according to their names, {other.path} and {file.path} are the same recording; keep "
                    "one of them, or "
                    "rename it"
                )
        if not found:
            raise DataError(f"{self.name}: {folder} holds no {self.expected()}")
        return {s: sorted(found[s].values(), key=self.order) for s in sorted(found, key=natural)}
