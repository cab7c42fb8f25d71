"""Base of data sets of which each file is a Recording of its own."""

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
    """One file, and what its place and name say of it.

    part : exercise, gesture, trial or muscle: tells the files of a session apart and puts them in order.
    beside : other files that are needed to read it.
    """

    path: Path
    subject: str
    session: str = "1"
    part: int = 0
    beside: tuple[Path, ...] = ()


class OneFileARecording(Dataset):
    """Subjects in natural order; of each its sessions, and of each session its parts.

    A subclass gives `listed`, `expected` and `record`, and where there is more to say `lacking` and `remarks`. One whose
    files were not recorded without a break overrides `records`.
    """

    def listed(self, folder: Path) -> Iterable[File]:
        """The data set's files in a folder, in any order; none is opened. Others are passed over."""
        raise NotImplementedError(f"{type(self).__name__} defines no listed(folder)")

    def expected(self) -> str:
        """The end of the error "... holds no": which files are expected, and what to do."""
        raise NotImplementedError(f"{type(self).__name__} defines no expected()")

    def record(self, file: File) -> Recording:
        """Read one file. Raises DataError where it is damaged or not in the expected layout."""
        raise NotImplementedError(f"{type(self).__name__} defines no record(file)")

    def records(self, file: File) -> Iterable[Recording]:
        """The recordings of one file, each without a break in time."""
        return [self.record(file)]

    def lacking(self, subject: str, files: list[File]) -> Iterator[Finding]:
        """What a subject's files lack as a set."""
        return iter(())

    def remarks(self, file: File, recordings: list[Recording]) -> Iterator[Finding]:
        """What is odd about a file that could be read."""
        return iter(())

    def order(self, file: File) -> Any:
        """Sort key among one subject's files."""
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
                    f"{self.name}: by their names {other.path} and {file.path} are one recording; keep one of them, or "
                    "rename it"
                )
        if not found:
            raise DataError(f"{self.name}: {folder} holds no {self.expected()}")
        return {s: sorted(found[s].values(), key=self.order) for s in sorted(found, key=natural)}
