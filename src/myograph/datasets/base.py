"""`Dataset`: the base of every data set, and the registry that names them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from myograph._common.registry import Registry
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError, MyographError, unknown_name
from myograph.protocols import Protocol, WithinSubject
from myograph.recording import Recording
from myograph.windows import Windowing

DATASETS = Registry("data set", "myograph.datasets", "DATASETS")

Progress = Callable[[str, int, int], None]
"""Called as progress(message, done, total)."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set's own distribution.

    name : file name to keep it under.
    urls : where it is, mirrors after the first.
    sha256 : 64 hexadecimal digits, None where the publisher's hash is not known.
    size_bytes : length, where it is known.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size_bytes: int | None = None


def stop_at_errors(finding: Finding) -> None:
    """Raise a finding that keeps data from being read; others pass. What `read` does where `examine` collects."""
    if finding.level == "error":
        raise DataError(f"{finding.where}: {finding.what}; {finding.advice}")


def as_finding(error: MyographError, where: str | Path) -> Finding:
    """An error as a Finding: what `examine` collects where `read` raises. Its advice is what follows the first "; "."""
    what, _, advice = str(error).partition("; ")
    return Finding("error", str(where), what, advice or "put this right, then check again")


class Dataset:
    """Base of all data sets. A data set is a frozen dataclass; its fields are its options.

    Class attributes
    ----------------
    name, title, licence, citation, doi, homepage : shown to the user; `name` is what `load` takes.
    files : what `fetch` downloads; empty where the publisher offers no direct links.
    rest : the label name of rest, None where there is none, or where it counts as a gesture like the others.
    sessions : of every subject as published, so that `check` can name missing ones; empty where people differ in them.
    known_defects : what is wrong with the published files, one sentence each; `load` warns of it.
    version : raise it when the reader changes, so that decoded copies are made again.
    needs_files : False for a generator.
    protocol, windowing : what a baseline on it uses when the user says nothing else.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    doi: ClassVar[str] = ""
    homepage: ClassVar[str] = ""
    files: ClassVar[tuple[RemoteFile, ...]] = ()
    rest: ClassVar[str | None] = None
    sessions: ClassVar[tuple[str, ...]] = ()
    known_defects: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_files: ClassVar[bool] = True
    protocol: ClassVar[Protocol] = WithinSubject(test_repetitions=(2, 5))
    windowing: ClassVar[Windowing] = Windowing(length_ms=250.0, step_ms=50.0)

    def subjects(self, folder: Path) -> list[str]:
        """Names of the subjects whose files are in `folder`, in natural order, without parsing them.

        Raises DataError where there are none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no subjects(folder)")

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        """Recordings of the given subjects (all if None), subject by subject; no other subject is parsed.

        Raises DataError where a file is missing, damaged or not in the expected layout, UnknownNameError for a subject
        that is not there.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no read(folder, subjects)")

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        """Write a tiny set (two subjects or more) in the original's own layout and format."""
        raise NotImplementedError(f"{type(self).__name__} defines no write_miniature(folder, rng)")

    def own_folder(self) -> Path | None:
        """The folder to read, for a data set that says so itself; None looks for its name in the data folder."""
        return None

    def sources(self, folder: Path, subject: str) -> list[Path]:
        """Files that the subject's recordings come from: when one changes, the subject is decoded again.

        By default every file in the folder; override it if a subject has files of its own.
        """
        return sorted(p for p in Path(folder).rglob("*") if p.is_file())

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        """What can be read of a subject, and a Finding for what cannot or is odd. Override it to continue after a file with an error."""
        try:
            yield from self.read(folder, [subject])
        except MyographError as error:
            yield as_finding(error, f"subject {subject}")

    def check(self, folder: Path, progress: Progress | None = None) -> list[Finding]:
        """Everything missing, damaged or odd in the folder; an error in one file does not end the check."""
        from myograph.datasets.checks import check

        return check(self, Path(folder), progress)


def of_subject(found: Mapping[str, Found], subject: str, name: str) -> Found:
    """What was found of one subject; UnknownNameError, with the nearest names, where the data set `name` lacks it."""
    if subject not in found:
        raise unknown_name(f"subject of {name}", subject, found)
    return found[subject]


def get(dataset: str | Dataset, **options: Any) -> Dataset:
    """A data set by name with options, or a data set itself with options changed.

    Raises UnknownNameError, with the nearest names, for a name or an option that is not known.
    """
    if isinstance(dataset, str):
        if dataset.endswith(".toml"):  # a description of the user's own folder
            return DATASETS.create("folder", **{"path": dataset, **options})
        return DATASETS.create(dataset, **options)
    try:
        return replace(dataset, **options) if options else dataset  # type: ignore[type-var]
    except TypeError as error:
        raise ConfigError(f"data set {dataset.name!r} does not take these options: {error}") from error
