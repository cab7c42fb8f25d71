"""Variables of MATLAB files, version 5 (SciPy) and 7.3 (HDF5), with errors that name the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myograph.datasets._formats import hdf5
from myograph.datasets._formats.guard import AGAIN, check_size, reading
from myograph.errors import DataError

if TYPE_CHECKING:
    import h5py

__all__ = ["AGAIN", "find_matlab", "lacks", "matrix", "names_in", "read_matlab", "track", "write_matlab"]

ITEM_BYTES = {"double": 8, "int64": 8, "uint64": 8, "single": 4, "int32": 4, "uint32": 4, "int16": 2, "uint16": 2}


def read_matlab(path: Path, keys: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays of the given names, in MATLAB's axes; no other variable is decoded.

    "emg/data" is the field `data` of the struct `emg`. Text becomes text, and a cell array an array of objects.

    Raises
    ------
    DataError : the file is missing, truncated or damaged, or lacks a variable.
    """
    found = find_matlab(path, keys)
    missing = [k for k in keys if k not in found]
    if missing:
        raise lacks(path, missing)
    return [found[k] for k in keys]


def find_matlab(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Like `read_matlab`, but without the names that the file lacks."""
    from scipy.io import loadmat, whosmat

    if not path.is_file():
        raise DataError(f"{path} is missing; {AGAIN}, or leave the subject out")
    size = path.stat().st_size
    if _is_hdf5(path):
        return _read_hdf5(path, keys)
    tops = list(dict.fromkeys(k.split("/")[0] for k in keys))
    try:
        with reading(path):
            for name, shape, kind in whosmat(path):
                if name in tops:
                    n_bytes = ITEM_BYTES.get(kind, 1)
                    for length in shape:
                        n_bytes *= int(length)
                    check_size(n_bytes, path, repr(name))
            found = loadmat(path, variable_names=tops, verify_compressed_data_integrity=True)
            return {k: v for k in keys if (v := _field(found, k)) is not None}
    except DataError as error:
        raise DataError(str(error).replace(f"{path} ", f"{path} ({size} bytes) ", 1)) from error


def _is_hdf5(path: Path) -> bool:
    """Return whether the file has version 7.3: a text block of MATLAB, followed by HDF5."""
    import h5py

    with open(path, "rb") as file:
        head = file.read(128)
    return head[124:126] in (b"\x00\x02", b"\x02\x00") or bool(h5py.is_hdf5(path))


def _field(found: Mapping[str, Any], key: str) -> np.ndarray | None:
    """Return a variable, or by "struct/field" a field of a struct with one element."""
    top, *fields = key.split("/")
    if top not in found:
        return None
    value = np.asarray(found[top])
    for field in fields:
        if value.dtype.names is None or field not in value.dtype.names or value.size != 1:
            return None
        value = np.asarray(value[field].ravel()[0])
    return value


def lacks(path: Path, names: Sequence[str]) -> DataError:
    """Return the error for missing variables, which lists the variables in the file."""
    have = ", ".join(k for k in names_in(path) if not k.startswith("__")) or "nothing"
    return DataError(f"{path} lacks {', '.join(map(repr, names))}, it has {have}; {AGAIN}")


def matrix(array: np.ndarray, path: Path, name: str, expected: str) -> np.ndarray:
    """Return (channel, time) float32 samples from a (time, channel) variable.

    Raises
    ------
    DataError : the variable is empty or not a matrix of real numbers; the message quotes `expected`.
    """
    if array.ndim != 2 or not array.size or array.dtype.kind not in "iufb":
        raise DataError(
            f"{path}: {name!r} is {array.dtype} of shape {array.shape}, expected numbers of shape {expected}; {AGAIN}"
        )
    return np.ascontiguousarray(array.T, dtype=np.float32)


def _read_hdf5(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    import h5py

    with reading(path), h5py.File(path, "r") as file:
        found = {k: hdf5.find(file, k, path) for k in keys}
        return {k: _array(file, d, path, k) for k, d in found.items() if d is not None}


def _array(file: h5py.File, dataset: h5py.Dataset, path: Path, name: str) -> np.ndarray:
    """Return one variable in MATLAB's axes, which HDF5 has in reverse. A cell array holds references to its cells."""
    import h5py

    if dataset.attrs.get("MATLAB_empty", 0):
        return np.zeros((0, 0), object if h5py.check_ref_dtype(dataset.dtype) else float)
    found = hdf5.values(dataset, path, name)
    if h5py.check_ref_dtype(dataset.dtype) is None:
        return _text(found) if _matlab_class(dataset) == "char" else found.T
    cells = np.empty(found.shape, object)
    for place in np.ndindex(found.shape):
        cell = file[found[place]]
        if not isinstance(cell, h5py.Dataset) or h5py.check_ref_dtype(cell.dtype) is not None:
            raise DataError(
                f"{path}: a cell of {name!r} is a struct or contains cells, which is not supported; {AGAIN}"
            )
        cells[place] = _array(file, cell, path, name)
    return cells.T


def _matlab_class(dataset: h5py.Dataset) -> str:
    kind = dataset.attrs.get("MATLAB_class", b"")
    return kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)


def _text(codes: np.ndarray) -> np.ndarray:
    """Return text from UTF-16 codes, (column, row) as in HDF5: one string per row, as `loadmat` returns it."""
    rows = np.atleast_2d(codes.T).astype("<u2")
    return np.array([row.tobytes().decode("utf-16-le", errors="replace") for row in rows])


def track(array: np.ndarray, path: Path, name: str) -> np.ndarray:
    """Return (time,) int32 from a variable that holds one label or repetition per sample.

    Raises
    ------
    DataError : the values are not whole numbers.
    """
    flat = array.ravel()
    if array.dtype.kind == "f":
        whole = bool((np.rint(flat) == flat).all() and (np.abs(flat) < 2**31).all())
    else:
        whole = array.dtype.kind in "iub"
    if not whole:
        some = flat[:3].tolist() if array.dtype.kind == "f" else array.dtype
        raise DataError(
            f"{path}: {name!r} should hold one whole number per sample, got {some} of shape {array.shape}; {AGAIN}"
        )
    return flat.astype(np.int32)


def names_in(path: Path) -> list[str]:
    """Return the names of the variables of a MATLAB or HDF5 file, or none if they cannot be read."""
    from scipy.io import whosmat

    try:
        if not _is_hdf5(path):
            return [name for name, _, _ in whosmat(path)]
    except Exception:  # the list is only for messages; the reader reports what is wrong with the file
        return []
    return hdf5.names_in(path)


def write_matlab(path: Path, variables: Mapping[str, Any], compress: bool = True) -> None:
    """Write a version 5 file, compressed as MATLAB does by default."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(variables), do_compression=compress)
