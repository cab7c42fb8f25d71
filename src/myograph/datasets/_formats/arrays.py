"""Reads files of named arrays as a Table: NumPy, MATLAB and HDF5."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from myograph.datasets._formats import hdf5, matlab
from myograph.datasets._formats.description import FACTS, Description
from myograph.datasets._formats.guard import OWN_AGAIN, check_size
from myograph.datasets._formats.table import Table
from myograph.errors import ConfigError, DataError


def read_npy(path: Path, description: Description) -> Table:
    """Read a NumPy array of samples, optionally with facts, with one row per sample."""
    with open(path, "rb") as file:
        array = _npy(file, path, path.stat().st_size)
    return Table(_columns(path, array, description), named=False)


def read_variables(path: Path, description: Description) -> Table:
    """Read the columns of the signal, then each variable that gives a fact.

    Raises
    ------
    ConfigError : the description does not name the variables. DataError : a variable is missing or does not fit.
    """
    tracks = [getattr(description, f) for f in FACTS]
    tracks = [t for t in (*tracks, description.time) if t is not None and t is not False]
    names = list(dict.fromkeys(t for t in tracks if isinstance(t, str)))
    if any(not isinstance(t, str) for t in tracks):
        raise ConfigError(f"{path}: for a file of variables, facts must be names of variables, got {tracks}; use names")
    if description.signal is None:
        raise ConfigError(
            f'{path}: say which variable holds the samples: signal = "…"; it has {", ".join(variable_names(path))}'
        )
    arrays = load_variables(path, list(dict.fromkeys([description.signal, *names])))
    columns = _columns(path, arrays[description.signal], description)
    n = len(columns["1"])
    for name in names:
        flat = _flat(arrays[name])
        if flat.size not in (1, n):
            raise DataError(
                f"{path}: {name!r} has {flat.size} values and {description.signal!r} {n} samples; give one value per "
                "sample or one for the file, or set orientation in the description"
            )
        columns[name] = np.broadcast_to(flat, n)
    return Table(columns, named=False)


def _flat(array: np.ndarray) -> np.ndarray:
    """Return (value,) numbers or text; each cell of a cell array gives its first value."""
    flat = np.asarray(array).ravel()
    if flat.dtype == object:
        flat = np.array([np.ravel(v)[0] if np.size(v) else "" for v in flat], object)
        odd = [type(v).__name__ for v in flat if not isinstance(v, (str, bytes, float, int, np.generic))]
        if odd:
            raise ValueError(f"cells hold {odd[0]}, expected text or numbers")
    return flat


def variable_names(path: Path) -> list[str]:
    """Return the names of the variables of a .npz, .mat or HDF5 file."""
    if path.suffix.lower() == ".npz":
        with zipfile.ZipFile(path) as file:
            return sorted(n.removesuffix(".npy") for n in file.namelist())
    return matlab.names_in(path)


def load_variables(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Return variables by name; DataError if one is missing."""
    ending = path.suffix.lower()
    if ending == ".mat":
        return dict(zip(names, matlab.read_matlab(path, names)))
    found: dict[str, np.ndarray] = {}
    if ending == ".npz":
        with zipfile.ZipFile(path) as packed:
            inside = {i.filename.removesuffix(".npy"): i for i in packed.infolist()}
            for name in (n for n in names if n in inside):
                with packed.open(inside[name]) as file:
                    found[name] = _npy(file, path, inside[name].file_size, name)
    else:
        import h5py

        with h5py.File(path, "r") as file:
            for name in names:
                dataset = hdf5.find(file, name, path)
                if dataset is not None:
                    found[name] = hdf5.values(dataset, path, name)
    missing = [n for n in names if n not in found]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(map(repr, missing))}, it has {', '.join(variable_names(path))}; correct this in "
            "the "
            "description or in the file"
        )
    return found


def _npy(file: IO[bytes], path: Path, size: int, name: str = "the array") -> np.ndarray:
    """Return the array of a .npy file of `size` bytes, which must agree with its header. Objects and pickles are
    refused.
    """
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of the .npy format")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject or dtype.kind not in "iufbSUM":
        raise DataError(f"{path}: {name} is of type {dtype}, expected numbers or text; save it as plain numbers")
    n_bytes = math.prod(shape) * dtype.itemsize
    check_size(n_bytes, path, name, OWN_AGAIN)
    if min(shape, default=0) < 0 or file.tell() + n_bytes != size:
        raise ValueError(f"the header states {shape} of {dtype}, but {size - file.tell()} bytes follow")
    flat = np.frombuffer(bytearray(file.read(n_bytes)), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _columns(path: Path, array: np.ndarray, description: Description) -> dict[str, np.ndarray]:
    array = np.asarray(array)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind not in "iufb" or not array.size:
        raise DataError(
            f"{path} holds an array of {array.dtype} {array.shape}, expected numbers ({description.orientation}); "
            "name another variable or convert it"
        )
    if description.orientation == "channel, time":
        array = array.T
    if array.shape[1] > array.shape[0]:
        raise DataError(
            f"{path} holds {array.shape[1]} channels of {array.shape[0]} samples when read as "
            f"({description.orientation}); set orientation in the description"
        )
    return {str(i + 1): array[:, i] for i in range(array.shape[1])}
