"""One file of a user's own as a table: CSV, TSV, text, NumPy, MATLAB, HDF5, EDF, BDF or WFDB; a row a sample."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myograph.datasets._formats.description import UNITS, Description
from myograph.datasets._formats.matlab import names_in, read_matlab
from myograph.errors import ConfigError, DataError, need

if TYPE_CHECKING:
    import pandas as pd

TEXT = {".csv": ",", ".tsv": "\t", ".txt": r"\s+"}
ENDINGS = (*TEXT, ".npy", ".npz", ".mat", ".h5", ".hdf5", ".edf", ".bdf", ".hea")
ANNOTATIONS = "annotations"
AGAIN = "copy the file again, or leave it out with 'ignore'"
_VOLTS = {"uv": 1.0, "µv": 1.0, "μv": 1.0, "mv": 1e3, "v": 1e6}


@dataclass(frozen=True)
class Table:
    """Columns of one file. `named`: they have names of their own. `to_uv`: factor of each voltage, if the file says."""

    columns: pd.DataFrame
    named: bool
    rate_hz: float | None = None
    to_uv: dict[str, float] | None = None

    def column(self, which: str | int, path: Path) -> np.ndarray:
        """A column by name, or by number from 1."""
        names = [str(c) for c in self.columns.columns]
        if isinstance(which, str) and which in names:
            return self.columns.iloc[:, names.index(which)].to_numpy()
        if isinstance(which, int) and 1 <= which <= len(names):
            return self.columns.iloc[:, which - 1].to_numpy()
        raise DataError(
            f"{path} has no column {which!r}, it has {len(names)}: {', '.join(names[:20])}; put this right in the "
            "description or in the file"
        )

    def numbers(self, which: str | int, path: Path) -> np.ndarray:
        """A column of numbers; a cell that is none is named."""
        import pandas as pd

        column = self.column(which, path)
        if column.dtype.kind in "iufb":
            return column
        found = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(np.float64)
        if np.isnan(found).any():
            row = int(np.argmax(np.isnan(found)))
            raise DataError(
                f"{path}: {column[row]!r} in sample {row + 1} of column {which!r} is not a number; put the cell right, "
                "or set delimiter, decimal or skip_rows in the description"
            )
        return found


def read_table(path: Path, description: Description) -> Table:
    """Read one file as its ending says.

    Raises DataError for a file that is damaged or lacks a variable, ConfigError where the description does not say
    enough, MissingExtraError for EDF, BDF and WFDB files where their library is not installed.
    """
    ending = path.suffix.lower()
    try:
        if ending in TEXT:
            return _text(path, description)
        if ending == ".npy":
            return Table(_frame(path, np.load(path, allow_pickle=False), description), named=False)
        if ending in (".npz", ".mat", ".h5", ".hdf5"):
            return _variables(path, description)
        if ending in (".edf", ".bdf"):
            return _edf(path)
        if ending == ".hea":
            return _wfdb(path)
    except (DataError, ConfigError):
        raise
    except (OSError, ValueError, EOFError, IndexError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is cut short or damaged: {error}; {AGAIN}") from error
    raise ConfigError(f"{path}: files of this kind are not read; convert them to one of {', '.join(ENDINGS)}")


def _text(path: Path, description: Description) -> Table:
    import pandas as pd

    delimiter = description.delimiter or TEXT[path.suffix.lower()]
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        first = next((line for i, line in enumerate(file) if i >= description.skip_rows and line.strip()), "")
    cells = first.split() if delimiter == r"\s+" else next(csv.reader([first], delimiter=delimiter), [])
    if not cells:
        raise DataError(f"{path} holds no rows; {AGAIN}")
    named = not any(_is_number(c, description.decimal) for c in cells)
    columns = pd.read_csv(
        path,
        sep=delimiter,
        decimal=description.decimal,
        skiprows=description.skip_rows,
        header=0 if named else None,
        skipinitialspace=True,
        encoding="utf-8-sig",
        encoding_errors="replace",
        low_memory=False,
    )
    if not named:
        columns.columns = range(1, columns.shape[1] + 1)
    else:
        columns.columns = [str(c).strip() for c in columns.columns]
    if not len(columns):
        raise DataError(f"{path} holds no samples; {AGAIN}")
    return Table(columns, named)


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.strip().replace(decimal, "."))
        return True
    except ValueError:
        return False


def _variables(path: Path, description: Description) -> Table:
    """The signal's columns, then each variable that gives a fact."""
    tracks = [t for t in (getattr(description, f) for f in ("subject", "session", "label", "repetition")) if t]
    names = [t for t in tracks if isinstance(t, str)]
    if len(names) != len(tracks):
        raise ConfigError(
            f"{path}: facts in a file of variables are given by name, got {tracks}; use a variable's name"
        )
    if description.signal is None:
        raise ConfigError(
            f'{path}: say which variable holds the samples: signal = "…"; it has {", ".join(_names(path))}'
        )
    arrays = _load(path, [description.signal, *names])
    columns = _frame(path, arrays[0], description)
    for name, array in zip(names, arrays[1:]):
        flat = np.asarray(array).ravel()
        if flat.size not in (1, len(columns)):
            raise DataError(
                f"{path}: {name!r} has {flat.size} values and {description.signal!r} {len(columns)} samples; give one "
                "value a sample or one for the file, or set orientation in the description"
            )
        if flat.dtype == object:
            flat = np.array([np.ravel(v)[0] if np.size(v) else "" for v in flat], object)
        columns[name] = np.broadcast_to(flat, len(columns))
    return Table(columns, named=False)


def _names(path: Path) -> list[str]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return sorted(file.files)
    return names_in(path)


def _load(path: Path, names: list[str]) -> list[np.ndarray]:
    if path.suffix == ".mat":
        return read_matlab(path, names)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            found = {n: file[n] for n in names if n in file.files}
    else:
        import h5py

        with h5py.File(path, "r") as file:
            found = {n: np.asarray(file[n]) for n in names if n in file}
    missing = [n for n in names if n not in found]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(map(repr, missing))}, it has {', '.join(_names(path))}; put this right in the "
            "description or in the file"
        )
    return [found[n] for n in names]


def _frame(path: Path, array: np.ndarray, description: Description) -> pd.DataFrame:
    import pandas as pd

    array = np.asarray(array)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.dtype.kind not in "iufb":
        raise DataError(
            f"{path} holds an array of {array.dtype} {array.shape}, numbers ({description.orientation}) needed"
        )
    if description.orientation == "channel, time":
        array = array.T
    if array.shape[1] > array.shape[0]:
        raise DataError(
            f"{path} holds {array.shape[1]} channels of {array.shape[0]} samples when read as "
            f"({description.orientation}); set orientation in the description"
        )
    return pd.DataFrame(array, columns=range(1, array.shape[1] + 1))


def _edf(path: Path) -> Table:
    import pandas as pd

    pyedflib = need("pyedflib", "formats")
    with pyedflib.EdfReader(str(path)) as file:
        labels = _distinct(file.getSignalLabels())
        rates = np.asarray(file.getSampleFrequencies(), float)
        units = [file.getPhysicalDimension(i).strip().lower() for i in range(len(labels))]
        to_uv = {n: _VOLTS[u] for n, u in zip(labels, units) if u in _VOLTS}
        used = {rates[i] for i, n in enumerate(labels) if n in to_uv} or set(rates.tolist())
        if len(used) != 1:
            raise DataError(f"{path} holds voltages at {sorted(used)} Hz; keep signals of one rate in a file")
        rate_hz = used.pop()
        kept = [i for i in range(len(labels)) if rates[i] == rate_hz]
        columns = pd.DataFrame({labels[i]: file.readSignal(i) for i in kept})
        onsets, durations, texts = file.readAnnotations()
    columns[ANNOTATIONS] = _spans(len(columns), rate_hz, onsets, durations, texts)
    return Table(columns, True, rate_hz, to_uv)


def _wfdb(path: Path) -> Table:
    import pandas as pd

    wfdb = need("wfdb", "formats")
    try:
        record = wfdb.rdrecord(str(path.with_suffix("")))
        names = _distinct(record.sig_name)
    except (TypeError, AttributeError) as error:  # what the library meets where lines of the header are missing
        raise DataError(f"{path} is cut short or damaged: it describes no signals ({error}); {AGAIN}") from error
    columns = pd.DataFrame(record.p_signal, columns=names)
    units = [str(u).strip().lower() for u in record.units]
    to_uv = {n: _VOLTS[u] for n, u in zip(names, units) if u in _VOLTS}
    onsets, texts = np.zeros(0), []
    if path.with_suffix(".atr").is_file():
        notes = wfdb.rdann(str(path.with_suffix("")), "atr")
        onsets = np.asarray(notes.sample) / record.fs
        texts = [aux.strip("\x00 ") or symbol for aux, symbol in zip(notes.aux_note, notes.symbol)]
    columns[ANNOTATIONS] = _spans(len(columns), record.fs, onsets, np.zeros(len(onsets)), texts)
    return Table(columns, True, float(record.fs), to_uv)


def _distinct(names: Iterable[str]) -> list[str]:
    """Names that differ: the second "EMG" is "EMG.1", as pandas calls columns of a CSV file."""
    found: list[str] = []
    for name in (str(n).strip() for n in names):
        free = (f"{name}.{i}" if i else name for i in count())
        found.append(next(n for n in free if n not in found))
    return found


def _spans(n: int, rate_hz: float, onsets: Any, durations: Any, texts: Any) -> np.ndarray:
    """(time,) text of the annotation at each sample, "" where none is; one without a duration lasts until the next."""
    track = np.full(n, "", object)
    order = np.argsort(np.asarray(onsets, float), kind="stable")
    starts = np.rint(np.asarray(onsets, float)[order] * rate_hz).astype(int)
    for i, start in enumerate(starts):
        duration = float(durations[order[i]])
        following = starts[i + 1] if i + 1 < len(starts) else n
        stop = start + round(duration * rate_hz) if duration > 0 else following
        track[max(0, start) : max(0, stop)] = str(texts[order[i]])
    return track


def channels(table: Table, description: Description, path: Path) -> np.ndarray:
    """(channel, time) float32 samples in µV, or as they are for "adc" and "normalised"."""
    used = {getattr(description, f) for f in ("subject", "session", "label", "repetition")} - {None, False, True}
    chosen: list[str | int] = list(description.channels or ())
    if not chosen:
        if table.to_uv is not None:
            chosen = list(table.to_uv)
        elif table.named:
            names = ", ".join(map(str, table.columns.columns[:20]))
            raise ConfigError(f'{path} has columns {names}; say which are channels: channels = ["…", "…"]')
        else:
            columns = range(1, len(table.columns.columns) + 1)
            taken = {list(table.columns.columns).index(u) + 1 if isinstance(u, str) else u for u in used}
            chosen = [c for c in columns if c not in taken]
    clash = [c for c in chosen if c in used]
    if clash or not chosen:
        raise ConfigError(f"{path}: {clash or 'no columns'} left as channels; name the channels in the description")
    factor = UNITS[description.unit or "uV"] * description.scale
    rows = []
    for which in chosen:
        samples = table.numbers(which, path)
        own = (table.to_uv or {}).get(str(which), 1.0) if description.unit is None else 1.0
        rows.append(np.asarray(samples * (factor * own), np.float32))
    signal = np.stack(rows)
    bad = ~np.isfinite(signal)
    if bad.any():
        channel, sample = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: {int(bad.sum())} cells are blank or NaN, the first in sample {sample + 1} of column "
            f"{chosen[channel]!r}; fill or cut them"
        )
    return signal
