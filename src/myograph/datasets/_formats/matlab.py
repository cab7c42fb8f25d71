"""Variables out of MATLAB files, of version 5 (SciPy) and 7.3 (HDF5), with errors that name the file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from myograph.errors import DataError

AGAIN = "copy or download it again"


def read_matlab(path: Path, keys: Sequence[str]) -> list[np.ndarray]:
    """The arrays of the given names, in MATLAB's axes; no other variable is decoded.

    Raises DataError for a file that is missing, cut short or damaged, or that lacks a variable.
    """
    found = find_matlab(path, keys)
    missing = [k for k in keys if k not in found]
    if missing:
        raise lacks(path, missing)
    return [found[k] for k in keys]


def find_matlab(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """As `read_matlab`, but only those of the names that the file has."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path, variable_names=list(keys))
    except NotImplementedError:  # version 7.3
        return _read_hdf5(path, keys)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {AGAIN}, or leave the subject out") from error
    except (OSError, ValueError, TypeError, KeyError, EOFError, IndexError, zlib.error, MatReadError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise DataError(f"{path} ({size} bytes) is cut short or damaged: {error}; {AGAIN}") from error
    return {k: np.asarray(found[k]) for k in keys if k in found}


def lacks(path: Path, names: Sequence[str]) -> DataError:
    """The error that says which variables a file has in place of those that are not there."""
    have = ", ".join(k for k in names_in(path) if not k.startswith("__")) or "nothing"
    return DataError(f"{path} lacks {', '.join(map(repr, names))}, it has {have}; {AGAIN}")


def matrix(array: np.ndarray, path: Path, name: str, expected: str) -> np.ndarray:
    """(channel, time) float32 samples out of a (time, channel) variable.

    Raises DataError, quoting `expected`, where the variable is no matrix of real numbers or is empty.
    """
    if array.ndim != 2 or not array.size or array.dtype.kind not in "iufb":
        raise DataError(
            f"{path}: {name!r} is {array.dtype} of shape {array.shape}, numbers of shape {expected} were expected; {AGAIN}"
        )
    return np.ascontiguousarray(array.T, dtype=np.float32)


def _read_hdf5(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return {k: _array(file, file[k]) for k in keys if k in file}
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{path} is cut short or damaged: {error}; {AGAIN}") from error


def _array(file: Any, dataset: Any) -> np.ndarray:
    """MATLAB writes columns first, so HDF5 has the axes reversed; a cell array holds references to its cells."""
    import h5py

    found = np.asarray(dataset)
    if h5py.check_ref_dtype(dataset.dtype) is None:
        return found.T
    cells = np.empty(found.shape, object)
    for place in np.ndindex(found.shape):
        cells[place] = np.asarray(file[found[place]]).T
    return cells.T


def track(array: np.ndarray, path: Path, name: str) -> np.ndarray:
    """(time,) int32 out of a variable of labels or repetitions, one a sample.

    Raises DataError where they are no whole numbers.
    """
    flat = array.ravel()
    if array.dtype.kind == "f":
        whole = bool((np.rint(flat) == flat).all() and (np.abs(flat) < 2**31).all())
    else:
        whole = array.dtype.kind in "iub"
    if not whole:
        some = flat[:3].tolist() if array.dtype.kind == "f" else array.dtype
        raise DataError(f"{path}: {name!r} is a whole number a sample, got {some} of shape {array.shape}; {AGAIN}")
    return flat.astype(np.int32)


def names_in(path: Path) -> list[str]:
    """Names of the variables of a MATLAB or HDF5 file; none where they cannot be read."""
    import h5py
    from scipy.io import whosmat

    try:
        return [name for name, _, _ in whosmat(path)]
    except Exception:  # a listing for messages only: what is wrong with the file is said by who reads it
        found: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    except Exception:  # as above
        pass
    return found


def write_matlab(path: Path, variables: Mapping[str, np.ndarray], compress: bool = True) -> None:
    """Write a version 5 file, compressed as MATLAB does by default."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(variables), do_compression=compress)
