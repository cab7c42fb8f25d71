"""Find a data set's files, decode them once, and return memory-mapped Recordings."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.progress import Progress
from myograph.datasets._places import cache_folder, data_folder
from myograph.datasets.base import Dataset, get
from myograph.errors import ConfigError, DataError, unknown_name
from myograph.recording import Recording


def locate(dataset: str | Dataset) -> Path:
    """Return the folder of a data set's files; if there is only an archive, it is first unpacked into the cache.

    Raises
    ------
    DataError : there is neither a folder nor an archive, or the archive is damaged; the message says where it was
        searched and what to do.

    >>> from myograph.datasets.folder import Folder
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> locate(Folder(path=str(folder))) == folder
    True
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
    """Return whether `load` would find a data set's files or their archive. Nothing is unpacked.

    >>> is_here("simulated")
    True
    """
    from myograph.datasets._store import source

    dataset = get(dataset)
    own = dataset.own_folder()
    if own is not None:
        return Path(own).is_dir()
    return not dataset.needs_files or source(dataset, data_folder()) is not None


def fetch(
    dataset: str | Dataset, confirm: Callable[[str], Any] | None = None, progress: Progress | None = None
) -> Path:
    """Download a data set's files into the data folder and return their folder; see
    `myograph.datasets._download.fetch`.

    >>> fetch("trigno_maize")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.DownloadError: ...
    """
    from myograph.datasets import _download

    return _download.fetch(get(dataset), confirm=confirm, progress=progress)


def load(
    dataset: str | Dataset,
    subjects: str | Iterable[str | int] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> list[Recording]:
    """Return the recordings of a data set, with memory-mapped signals.

    On the first call, each subject's files are decoded into the cache; later calls read only that copy. The
    files are decoded again when they, the options or the reader's version change, or when the copy's hash is wrong. A
    UserWarning names each known defect of the published data set.

    Parameters
    ----------
    dataset : a name in `DATASETS`, or a Dataset.
    subjects : names, or text such as "1-6,9"; all if None.
    progress : called as progress(message, done, total).
    options : fields of the data set.

    Raises
    ------
    UnknownNameError : an unknown data set, option or subject; the message gives the nearest names.
    DataError : files are missing, damaged or not in the expected layout.

    Examples
    --------
    >>> small = {"n_sessions": 1, "n_gestures": 1, "n_repetitions": 1, "hold_s": 0.5, "rest_s": 0.5}
    >>> load("simulated", subjects="1", **small)
    [<Recording simulated, subject 1, session 1: 12 channels x 2.0 s @ 1000 Hz, uV, 2 labels>]
    """
    from myograph.datasets._store import decoded

    dataset = get(dataset, **options)
    folder = locate(dataset)
    wanted = choose_subjects(dataset.subjects(folder), subjects, dataset.name)
    for defect in dataset.known_defects:
        warnings.warn(f"{dataset.name} as published has a known defect: {defect}", UserWarning, stacklevel=2)
    return decoded(dataset, folder, wanted, cache_folder(), progress or (lambda message, done, total: None))


def choose_subjects(known: list[str], wanted: str | Iterable[str | int] | None, name: str = "") -> list[str]:
    """Return the requested subjects: names, or text with commas and ranges ("1-6,9"); all if None.

    UnknownNameError for an unknown subject; ConfigError if no subject is left.

    >>> choose_subjects(["1", "2", "3", "9"], "1-2,9")
    ['1', '2', '9']
    """
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
