"""Finds the variables of a MATLAB, NumPy or HDF5 file that hold samples and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from myograph.datasets._formats import matlab
from myograph.datasets._formats.arrays import load_variables, read_npy, variable_names
from myograph.datasets._formats.clock import is_time
from myograph.datasets._formats.description import ORIENTATIONS, Description
from myograph.datasets._guess import columns
from myograph.datasets._guess.notes import Notes
from myograph.datasets._guess.words import COLUMNS, EMG, RATE, plain
from myograph.errors import DataError, MyographError


def guess_npy(path: Path, notes: Notes) -> None:
    """Note orientation and columns of a .npy file."""
    try:
        table = read_npy(path, Description("*", label=False))
    except DataError as error:
        if "set orientation" not in str(error):
            raise
        notes.values["orientation"] = ORIENTATIONS[1]
        table = read_npy(path, Description("*", label=False, orientation=ORIENTATIONS[1]))
    notes.found.append(f"{path.name}: {len(table)} samples of {len(table.columns)} columns")
    columns.assign(table.columns, False, notes)


def guess_variables(path: Path, notes: Notes) -> None:
    """Note the variables that hold samples, labels and the rate.

    Raises
    ------
    DataError : no variable can hold samples.
    """
    found = _loaded(path)
    signals = {
        n: a
        for n, a in found.items()
        if a.ndim == 2 and min(a.shape) >= 1 and max(a.shape) >= 32 and a.dtype.kind in "iuf"
    }
    signals |= {n: a for n, a in found.items() if a.ndim == 1 and len(a) >= 32 and a.dtype.kind in "iuf"}
    roles = {n for n in signals if any(w.fullmatch(_last(n)) for w in COLUMNS.values()) or is_time(_last(n))}
    candidates = {n: a for n, a in signals.items() if n not in roles} or signals
    if not candidates:
        listed = ", ".join(f"{n} {a.shape}" for n, a in found.items()) or "nothing that can be read"
        raise DataError(
            f"{path} holds no array of samples, it has {listed}; write the description by hand (docs/your-own-data.md)"
        )
    rank = lambda n: (bool(EMG.search(n.lower())), _last(n) in ("data", "signal", "x"), candidates[n].size)  # noqa: E731
    chosen = max(candidates, key=rank)
    signal = candidates[chosen]
    notes.values["signal"] = chosen
    notes.found.append(f"{path.name}: {chosen!r} {signal.shape} holds the samples")
    others = [f"{n} {a.shape}" for n, a in candidates.items() if n != chosen]
    if others:
        notes.unsure.append(f"other arrays are left out: {', '.join(others[:8])}. Is {chosen!r} the EMG?")
    signal = signal[:, None] if signal.ndim == 1 else signal
    if signal.shape[1] > signal.shape[0]:
        notes.values["orientation"] = ORIENTATIONS[1]
        signal = signal.T
    _facts(found, path, chosen, len(signal), notes)
    notes.found.append(f"{signal.shape[1]} channels of {len(signal)} samples")
    columns.unit([chosen], signal.T.astype(np.float64), notes)


def _last(name: str) -> str:
    return plain(name.split("/")[-1])


def _loaded(path: Path) -> dict[str, np.ndarray]:
    """Return all readable variables; fields of structs as "struct/field"."""
    found: dict[str, np.ndarray] = {}
    for name in variable_names(path):
        try:
            array = np.asarray(load_variables(path, [name])[name])
        except MyographError:
            continue
        if array.dtype.names and array.size == 1:  # a struct of MATLAB
            for field in array.dtype.names:
                inner = matlab.find_matlab(path, [f"{name}/{field}"])
                found |= {k: np.asarray(v) for k, v in inner.items()}
        else:
            found[name] = array
    return found


def _facts(found: dict[str, np.ndarray], path: Path, chosen: str, n: int, notes: Notes) -> None:
    """Note labels, repetitions and other facts (one value per sample, or one for the file), and the rate."""
    for fact, words in COLUMNS.items():
        fitting = [k for k, a in found.items() if k != chosen and words.fullmatch(_last(k)) and a.size in (1, n)]
        if not fitting:
            continue
        fitting.sort(key=lambda k: not _last(k).startswith("re") if fact == "label" else _last(k) != "rerepetition")
        notes.values[fact] = fitting[0]
        flat = found[fitting[0]].ravel()
        notes.found.append(f"{fitting[0]!r} gives the {fact}, by its name: {columns.some(flat)}")
        if len(fitting) > 1:
            notes.unsure.append(
                f"{', '.join(map(repr, fitting[1:]))} could also give the {fact}: is {fitting[0]!r} the right one?"
            )
    for name, array in {**found, **_attributes(path)}.items():
        number = float(array.ravel()[0]) if array.size == 1 and array.dtype.kind in "iuf" else 0.0
        if number > 1 and RATE.fullmatch(_last(name)):
            notes.values["rate_hz"] = number
            notes.found.append(f"{name!r} states {number:g} Hz")
            return
    for name, array in found.items():
        if is_time(_last(name)) and array.size == n and array.dtype.kind in "iuf":
            if columns.note_rate(name, array.ravel(), notes):
                notes.values["time"] = name
            return


def _attributes(path: Path) -> dict[str, np.ndarray]:
    """Return the attributes of an HDF5 file, its groups and data sets by name."""
    if path.suffix.lower() not in (".h5", ".hdf5"):
        return {}
    import h5py

    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:
        found |= {k: np.asarray(v) for k, v in file.attrs.items()}
        file.visititems(lambda _, item: found.update({k: np.asarray(v) for k, v in item.attrs.items()}))
    return found
