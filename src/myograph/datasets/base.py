"""`Dataset`, the base class of every data set, and `DATASETS`, their registry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from myograph._common.progress import Progress
from myograph._common.registry import Registry
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError, MyographError, unknown_name
from myograph.protocols import Protocol, WithinSubject
from myograph.recording import Recording
from myograph.windows import Windowing

DATASETS = Registry("data set", "myograph.datasets", "DATASETS")

Found = TypeVar("Found")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set's distribution.

    Parameters
    ----------
    name : file name on disk.
    urls : addresses of the file: the first, then mirrors.
    sha256 : 64 hexadecimal digits; None if the publisher states no hash.
    size_bytes : length, if known.

    >>> RemoteFile("part1.zip", ("https://example.org/part1.zip",), size_bytes=1000).name
    'part1.zip'
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size_bytes: int | None = None


def stop_at_errors(finding: Finding) -> None:
    """Raise DataError for a finding that prevents reading, and ignore others. `read` calls this function, whereas
    `examine` collects the findings.

    >>> stop_at_errors(Finding("warning", "subject 1", "clipped", "lower the gain"))
    >>> stop_at_errors(Finding("error", "a.mat", "no samples", "copy it again"))
    Traceback (most recent call last):
    myograph.errors.DataError: a.mat: no samples; copy it again
    """
    if finding.level == "error":
        raise DataError(f"{finding.where}: {finding.what}; {finding.advice}")


def as_finding(error: MyographError, where: str | Path) -> Finding:
    """Return an error of `read` as a Finding for `examine`. The advice is the text after the first "; ".

    >>> print(as_finding(DataError("no samples; copy it again"), "a.mat"))
    error: a.mat: no samples; copy it again
    """
    what, _, advice = str(error).partition("; ")
    return Finding("error", str(where), what, advice or "correct this, then check again")


class Dataset:
    """Base class of all data sets. A data set is a frozen dataclass whose fields are its options.

    Attributes
    ----------
    name, title, licence, citation, doi, homepage : shown to the user; `load` takes `name`.
    files : what `fetch` downloads; empty if the publisher offers no direct links.
    rest : name of the rest label; None if there is none, or if it is treated as a gesture like the others.
    sessions : published sessions of every subject, with which `check` finds missing ones; empty if subjects differ.
    known_defects : defects of the published files, one sentence each; `load` warns of them.
    version : version of the reader; increase it when the reader changes, so that the data are decoded again.
    needs_files : False for a data set that generates its recordings.
    protocol, windowing : defaults for this data set.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Noise(Dataset):
    ...     name = "noise"
    ...     needs_files = False
    ...
    ...     def subjects(self, folder):
    ...         return ["1", "2"]
    ...
    ...     def read(self, folder, subjects=None):
    ...         for subject in subjects or self.subjects(folder):
    ...             yield Recording(np.random.default_rng(0).normal(size=(2, 1000)), 1000, None, subject)
    >>> data = Noise()
    >>> [recording.subject for recording in data.read(Path("."), subjects=["2"])]
    ['2']
    >>> [type(found).__name__ for found in data.examine(Path("."), "1")]
    ['Recording']
    >>> data.own_folder() is None
    True
    >>> data.write_miniature(Path("."), np.random.default_rng(0))
    Traceback (most recent call last):
    NotImplementedError: Noise defines no write_miniature(folder, rng)
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
        """Return the names of the subjects whose files are in `folder`, in natural order, without parsing the files.

        DataError if there are none.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no subjects(folder)")

    def read(self, folder: Path, subjects: Iterable[str] | None = None) -> Iterator[Recording]:
        """Yield the recordings of the given subjects (all if None), subject by subject; no other subject is parsed.

        Raises
        ------
        DataError : a file is missing, damaged or not in the expected layout.
        UnknownNameError : an unknown subject.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no read(folder, subjects)")

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        """Write a tiny set (two subjects or more) in the original layout and format."""
        raise NotImplementedError(f"{type(self).__name__} defines no write_miniature(folder, rng)")

    def own_folder(self) -> Path | None:
        """Return the folder to read if the data set states it, or None to look for its name in the data folder."""
        return None

    def sources(self, folder: Path, subject: str) -> list[Path]:
        """Return the files of a subject's recordings. When one of them changes, the subject is decoded again.

        By default these are all files in the folder; override it if each subject has separate files.

        >>> from myograph.datasets.longterm_myo import LongtermMyo
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> LongtermMyo().write_miniature(folder, np.random.default_rng(0))
        >>> sorted({path.parent.parent.name for path in LongtermMyo().sources(folder, "1")})
        ['sub1']
        """
        return sorted(p for p in Path(folder).rglob("*") if p.is_file())

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        """Yield the readable recordings of a subject, and a Finding for everything unreadable or unusual.

        Override it to continue after a file with an error.
        """
        try:
            yield from self.read(folder, [subject])
        except MyographError as error:
            yield as_finding(error, f"subject {subject}")

    def check(self, folder: Path, progress: Progress | None = None) -> list[Finding]:
        """Return everything that is missing, damaged or unusual in the folder; an error in one file does not end the
        check.

        >>> from myograph.datasets.three_dc import ThreeDC
        >>> [str(finding) for finding in ThreeDC().check(Path("no such folder"))]  # doctest: +ELLIPSIS
        ['error: no such folder: ...']
        """
        from myograph.datasets.checks import check

        return check(self, Path(folder), progress)


def of_subject(found: Mapping[str, Found], subject: str, name: str) -> Found:
    """Return the entry of one subject; UnknownNameError, with the nearest names, if the data set `name` lacks it.

    >>> of_subject({"1": "files of subject 1"}, "1", "3dc")
    'files of subject 1'
    """
    if subject not in found:
        raise unknown_name(f"subject of {name}", subject, found)
    return found[subject]


def get(dataset: str | Dataset, **options: Any) -> Dataset:
    """Return a data set by name, or a data set itself, with options changed.

    A name that ends in .toml is the description of your own folder. UnknownNameError, with the nearest names, for an
    unknown name or option.

    >>> get("simulated", n_subjects=2).n_subjects
    2
    """
    if isinstance(dataset, str):
        if dataset.endswith(".toml"):  # a description of the user's own folder
            return DATASETS.create("folder", **{"path": dataset, **options})
        return DATASETS.create(dataset, **options)
    try:
        return replace(dataset, **options) if options else dataset  # type: ignore[type-var]
    except TypeError as error:
        raise ConfigError(f"data set {dataset.name!r} does not take these options: {error}") from error
