"""Variables out of MATLAB files, of version 5 (SciPy) and 7.3 (HDF5), with errors that name the file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from myograph.errors import DataError


def read_matlab(path: Path, keys: Sequence[str]) -> list[np.ndarray]:
    """The arrays of the given names, in MATLAB's axes; no other variable is decoded.

    Raises DataError for a file that is missing, cut short or damaged, or that lacks a variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    advice = "copy or download it again"
    try:
        found = loadmat(path, variable_names=list(keys))
    except NotImplementedError:  # version 7.3
        found = _read_hdf5(path, keys)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {advice}, or leave the subject out") from error
    except (OSError, ValueError, TypeError, KeyError, EOFError, IndexError, zlib.error, MatReadError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise DataError(f"{path} ({size} bytes) is cut short or damaged: {error}; {advice}") from error
    missing = [k for k in keys if k not in found]
    if missing:
        have = ", ".join(k for k in _names(path) if not k.startswith("__")) or "nothing"
        raise DataError(f"{path} lacks {', '.join(map(repr, missing))}, it has {have}; {advice}")
    return [np.asarray(found[k]) for k in keys]


def _read_hdf5(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            # MATLAB writes columns first, so HDF5 has the axes reversed.
            return {k: np.asarray(file[k]).T for k in keys if k in file}
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path} is cut short or damaged: {error}; copy or download it again") from error


def _names(path: Path) -> list[str]:
    from scipy.io import whosmat

    try:
        return [name for name, _, _ in whosmat(path)]
    except Exception:  # a listing for the message only: whatever is wrong with the file is said already
        return []


def write_matlab(path: Path, variables: Mapping[str, np.ndarray], compress: bool = True) -> None:
    """Write a version 5 file, compressed as MATLAB does by default."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(variables), do_compression=compress)
