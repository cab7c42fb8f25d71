"""Find a data set's files, decode them once, and give memory-mapped Recordings."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from myograph.datasets._places import cache_folder, data_folder
from myograph.datasets.base import Dataset, Progress, get
from myograph.errors import ConfigError, DataError, unknown_name
from myograph.recording import Recording


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
    """Download a data set's files into the data folder; see `myograph.datasets._download.fetch`. Returns their folder."""
    from myograph.datasets import _download

    return _download.fetch(get(dataset), confirm=confirm, progress=progress)


def load(
    dataset: str | Dataset,
    subjects: str | Iterable[str | int] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Recording]:
    """Recordings of a data set, their signals memory-mapped.

    The first time each subject's files are decoded into the cache; later only that copy is read. It is made again
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

    A UserWarning names each known defect of the set as published.
    """
    from myograph.datasets._store import decoded

    dataset = get(dataset, **options)
    folder = locate(dataset)
    wanted = choose_subjects(dataset.subjects(folder), subjects, dataset.name)
    for defect in dataset.known_defects:
        warnings.warn(f"{dataset.name} as published has a known defect: {defect}", UserWarning, stacklevel=2)
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
