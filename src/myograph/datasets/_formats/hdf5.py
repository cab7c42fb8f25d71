"""Reads HDF5 files without reading anything outside the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myograph.datasets._formats.guard import AGAIN, check_size
from myograph.errors import DataError

if TYPE_CHECKING:
    import h5py

MAX_LINKS = 32


def find(file: h5py.File, name: str, path: Path) -> h5py.Dataset | None:
    """Return the data set of a name such as "group/emg", or None if it does not exist.

    Links inside the file are followed, up to a limit; links to other files are not.

    Raises
    ------
    DataError : the name leads out of the file, back to itself, or to a group.
    """
    import h5py

    group: Any = file
    parts = [p for p in name.split("/") if p]
    followed = 0
    while parts:
        part = parts.pop(0)
        if not isinstance(group, h5py.Group) or part in (".", "..") or group.get(part, getlink=True) is None:
            return None
        link = group.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise DataError(
                f"{path}: {name!r} is a link to another file, {link.filename!r}, which is not followed; store the data "
                "in the file itself"
            )
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > MAX_LINKS:
                raise DataError(f"{path}: {name!r} is a link that leads back to itself; {AGAIN}")
            parts = [p for p in str(link.path).split("/") if p] + parts
            group = file if str(link.path).startswith("/") else group
            continue
        group = group[part]
    if isinstance(group, h5py.Group):
        inside = ", ".join(f"{name}/{k}" for k in list(group)[:10]) or "nothing"
        raise DataError(
            f"{path}: {name!r} is a group (a struct in MATLAB) of {inside}; name one of them, e.g. "
            f'signal = "{name}/{next(iter(group), "…")}"'
        )
    if not isinstance(group, h5py.Dataset):
        raise DataError(f"{path}: {name!r} is not a data set but {type(group).__name__}; name another variable")
    return group


def values(dataset: h5py.Dataset, path: Path, name: str) -> np.ndarray:
    """Return the values of a data set, with the axes of the file.

    Raises
    ------
    DataError : the data set is empty, stored in other files, or does not fit into memory.
    """
    import h5py

    if dataset.shape is None:
        raise DataError(f"{path}: {name!r} is empty; {AGAIN}")
    layout = dataset.id.get_create_plist()
    if dataset.is_virtual or (layout.get_layout() == h5py.h5d.CONTIGUOUS and layout.get_external_count()):
        raise DataError(
            f"{path}: the values of {name!r} are stored in other files, which are not read; store the data in the file "
            "itself"
        )
    check_size(dataset.size * dataset.dtype.itemsize, path, repr(name))
    return np.asarray(dataset[()])


def names_in(path: Path) -> list[str]:
    """Return the names of a file's data sets, or none if it cannot be read."""
    import h5py

    found: list[str] = []
    note: Callable[[str, Any], None] = lambda name, item: (  # noqa: E731
        found.append(name) if isinstance(item, h5py.Dataset) and not name.startswith("#refs#") else None
    )
    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
    except Exception:  # the list is only for messages; the reader reports what is wrong with the file
        pass
    return found
