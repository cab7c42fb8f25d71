"""Data sets: each file here names one (or one family), says where it comes from and reads it into Recordings.

`load("3dc", subjects=["1", "2"])` finds the files, decodes them once and gives memory-mapped Recordings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from myograph._registry import Registry
from myograph.errors import ConfigError, DataError, MissingExtraError, MyographError, unknown_name
from myograph.protocols import Protocol, WithinSubject
from myograph.quality import Finding
from myograph.recording import Recording
from myograph.windows import Windowing

DATASETS = Registry("data set", "myograph.datasets")

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
    version : raise it when the reader changes, so that decoded copies are made anew.
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

        By default every file in the folder; narrow it where a subject has files of its own.
        """
        return sorted(p for p in Path(folder).rglob("*") if p.is_file())

    def examine(self, folder: Path, subject: str) -> Iterator[Recording | Finding]:
        """What can be read of a subject, and a Finding for what cannot or is odd. Override it to go on after each file."""
        try:
            yield from self.read(folder, [subject])
        except MyographError as error:
            yield as_finding(error, f"subject {subject}")

    def check(self, folder: Path, progress: Progress | None = None) -> list[Finding]:
        """Everything missing, damaged or odd in the folder, going on after each."""
        from myograph.datasets._check import check

        return check(self, Path(folder), progress)


def of_subject(found: Mapping[str, Found], subject: str, name: str) -> Found:
    """What was found of one subject; UnknownNameError, with the nearest names, where the data set `name` lacks it."""
    if subject not in found:
        raise unknown_name(f"subject of {name}", subject, found)
    return found[subject]


def aside(path: Path, folder: Path) -> bool:
    """Is a file below `folder` in a folder that is no data: a Mac's second set of names, or one being unpacked?"""
    return any(p == "__MACOSX" or p.startswith(".") for p in path.relative_to(folder).parts[:-1])


def natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key under which "S10" follows "S9"."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", str(name)) if part]


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


def cache_folder() -> Path:
    """Where decoded and unpacked copies live: $MYOGRAPH_CACHE, else the platform's cache folder."""
    given = os.environ.get("MYOGRAPH_CACHE")
    return Path(given).expanduser() if given else _user_cache()


def data_folder() -> Path:
    """Where data sets' own files live: $MYOGRAPH_DATA, else `data` in the platform's cache folder."""
    given = os.environ.get("MYOGRAPH_DATA")
    return Path(given).expanduser() if given else _user_cache() / "data"


def _user_cache() -> Path:
    try:
        from platformdirs import user_cache_dir
    except ImportError as error:
        raise MissingExtraError(
            "this needs 'platformdirs': pip install platformdirs, or set MYOGRAPH_CACHE and MYOGRAPH_DATA"
        ) from error
    return Path(user_cache_dir("myograph", appauthor=False))


def locate(dataset: str | Dataset) -> Path:
    """The folder that holds a data set's files, unpacked into the cache first where only an archive is there.

    Raises DataError, saying where it looked and what to do, if neither is there or the archive is damaged.
    """
    from myograph.datasets._store import find

    dataset = get(dataset)
    own = dataset.own_folder()
    if own is None and not dataset.needs_files:
        return data_folder() / dataset.name
    if own is not None:
        if not Path(own).is_dir():
            raise DataError(f"{dataset.name}: there is no folder {own}; give the folder that holds the recordings")
        return Path(own)
    return find(dataset, data_folder(), cache_folder())


def is_here(dataset: str | Dataset) -> bool:
    """Are a data set's files (or their archive) where `load` looks for them? Nothing is unpacked."""
    from myograph.datasets._store import source

    dataset = get(dataset)
    own = dataset.own_folder()
    if own is not None:
        return Path(own).is_dir()
    return not dataset.needs_files or source(dataset, data_folder()) is not None


def fetch(
    dataset: str | Dataset, confirm: Callable[[str], Any] | None = None, progress: Progress | None = None
) -> Path:
    """Download a data set's files into the data folder; see `myograph._download.fetch`. Returns their folder."""
    from myograph import _download

    return _download.fetch(get(dataset), confirm=confirm, progress=progress)


def load(
    dataset: str | Dataset,
    subjects: str | Iterable[str | int] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Recording]:
    """Recordings of a data set, their signals memory-mapped.

    The first time each subject's files are decoded into the cache; later only that copy is read. It is made anew
    when the files, the options or the reader's version change, or when its hash does not fit.

    Parameters
    ----------
    dataset : a name that `DATASETS` knows, or a Dataset.
    subjects : names, or text such as "1-6,9"; all if None.
    progress : called as progress(message, done, total).
    options : fields of the data set.

    Raises
    ------
    UnknownNameError : a data set, an option or a subject that is not there; the nearest names are given.
    DataError : files are missing, damaged or not in the expected layout.
    """
    from myograph.datasets._store import decoded

    dataset = get(dataset, **options)
    folder = locate(dataset)
    wanted = choose_subjects(dataset.subjects(folder), subjects, dataset.name)
    return decoded(dataset, folder, wanted, cache_folder(), progress or (lambda message, done, total: None))


def choose_subjects(known: list[str], wanted: str | Iterable[str | int] | None, name: str = "") -> list[str]:
    """The known subjects that are wanted: names, or text with commas and ranges ("1-6,9"); all if None."""
    if wanted is None:
        return list(known)
    if isinstance(wanted, (int, np.integer)):
        wanted = [int(wanted)]
    if isinstance(wanted, str):
        wanted = [wanted] if wanted in known else [w.strip() for w in wanted.split(",") if w.strip()]
    chosen: list[str] = []
    for given in map(str, wanted):
        span = re.fullmatch(r"(\d+)-(\d+)", given)
        if given in known or not span:
            names = [given]
        else:
            names = [str(i) for i in range(int(span[1]), int(span[2]) + 1)]
        for subject in names:
            if subject not in known:
                raise unknown_name(f"subject of {name}" if name else "subject", subject, known)
            chosen.append(subject)
    if not chosen:
        raise ConfigError(f"no subject was chosen; {name or 'the data set'} has {', '.join(known)}")
    return list(dict.fromkeys(chosen))
