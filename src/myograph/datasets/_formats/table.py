"""`Table`: the columns of a user's own file, with one row per sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import numpy as np

from myograph.datasets._formats.description import FACTS, UNITS, Description
from myograph.errors import ConfigError, DataError

ANNOTATIONS = "annotations"


@dataclass(frozen=True)
class Table:
    """Columns of one file, each (time,).

    columns : name to values; the names are "1", "2", ... if the file has none.
    named : whether the file has column names.
    rate_hz : samples per second, if the file states it.
    to_uv : factor to µV of each column that is a voltage according to the file; None if the file format has no units.
    stated : the unit of each column in the file's spelling.
    notes : what is unusual about the file, as (what, advice).
    breaks : samples at which recording restarted.
    """

    columns: dict[str, np.ndarray]
    named: bool
    rate_hz: float | None = None
    to_uv: dict[str, float] | None = None
    stated: dict[str, str] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    breaks: tuple[int, ...] = ()

    def __len__(self) -> int:
        return max((len(c) for c in self.columns.values()), default=0)  # EDF: signals of other rates are not read

    def name_of(self, which: str | int, path: Path) -> str:
        """Return the name of a column, given its name or its number from 1.

        Raises
        ------
        DataError : there is no such column.
        """
        names = list(self.columns)
        if isinstance(which, str) and which in names:
            return which
        if isinstance(which, int) and 1 <= which <= len(names):
            return names[which - 1]
        raise DataError(
            f"{path} has no column {which!r}, it has {len(names)}: {', '.join(names[:20])}; correct the "
            "description or the file"
        )

    def column(self, which: str | int, path: Path) -> np.ndarray:
        """Return a column by name, or by number from 1; DataError if it does not exist."""
        return self.columns[self.name_of(which, path)]

    def numbers(self, which: str | int, path: Path) -> np.ndarray:
        """Return a column as numbers; blanks are NaN. DataError names the first cell that is not a number."""
        column = self.column(which, path)
        if column.dtype.kind in "iufb":
            return column
        found = np.full(len(column), np.nan)
        for row, cell in enumerate(column):
            text = str(cell).strip()
            try:
                found[row] = float(text) if text else np.nan
            except ValueError:
                raise DataError(
                    f"{path}: {text!r} in sample {row + 1} of column {which!r} is not a number; correct the cell, or "
                    "set delimiter, decimal or skip_rows in the description"
                ) from None
        return found


def distinct(names: Iterable[str]) -> list[str]:
    """Return distinct names: the second "EMG" becomes "EMG.1".

    >>> distinct(["EMG", "EMG ", "time", "EMG"])
    ['EMG', 'EMG.1', 'time', 'EMG.2']
    """
    found: list[str] = []
    for name in (str(n).strip() for n in names):
        free = (f"{name}.{i}" if i else name for i in count())
        found.append(next(n for n in free if n not in found))
    return found


def channels(table: Table, description: Description, path: Path) -> np.ndarray:
    """Return (channel, time) float32 samples in µV, or unscaled for "adc" and "normalised".

    Raises
    ------
    ConfigError : the description does not say which columns are channels, or lacks a unit that the file does not state.
    DataError : a column is missing, or a cell is blank or not a number.
    """
    chosen = _chosen(table, description, path)
    factor = UNITS[description.unit or "uV"] * description.scale
    rows = []
    for name in chosen:
        own = 1.0
        if description.unit is None and table.to_uv is not None:
            if name not in table.to_uv:
                raise ConfigError(
                    f"{path}: the unit of {name!r} is {table.stated.get(name, '')!r}, which is not known; add unit = … to the "
                    f"description, one of {', '.join(UNITS)}, or leave {name!r} out of channels"
                )
            own = table.to_uv[name]
        with np.errstate(over="ignore"):  # too large values become infinite, which is refused below
            rows.append(np.asarray(table.numbers(name, path) * (factor * own), np.float32))
    signal = np.stack(rows)
    bad = ~np.isfinite(signal)
    if bad.any():
        channel, sample = np.argwhere(bad)[0]
        raise DataError(
            f"{path}: {int(bad.sum())} cells are blank, NaN or infinite, the first in sample {sample + 1} of column "
            f"{chosen[channel]!r}; fill or cut them"
        )
    return signal


def _chosen(table: Table, description: Description, path: Path) -> list[str]:
    used = {
        table.name_of(where, path)
        for where in (*(getattr(description, fact) for fact in FACTS), description.time)
        if where is not None and not isinstance(where, bool)
    }
    if description.channels:
        chosen = [table.name_of(c, path) for c in description.channels]
        clash = [c for c in chosen if c in used]
        if clash:
            raise ConfigError(f"{path}: {clash} are both channels and facts; name other channels in the description")
    elif table.to_uv is not None:
        chosen = [n for n in table.to_uv if n not in used]
        if not chosen and description.unit is not None:  # the file states no unit: take every signal that was read
            chosen = [n for n, values in table.columns.items() if len(values) and n not in {*used, ANNOTATIONS}]
        if not chosen:
            units = ", ".join(f"{n} ({table.stated.get(n, '')!r})" for n in table.columns if n != ANNOTATIONS)
            raise ConfigError(f"{path} holds no signal in a known unit of voltage: {units}; give channels and unit = …")
    elif table.named:
        names = ", ".join(list(table.columns)[:20])
        raise ConfigError(f'{path} has columns {names}; say which are channels: channels = ["…", "…"]')
    else:
        chosen = [n for n in table.columns if n not in used]
        if not chosen:
            raise ConfigError(f"{path}: no columns are left as channels; name the channels in the description")
    if len(set(chosen)) != len(chosen):
        raise ConfigError(f"{path}: channels contains a column twice: {chosen}; give each column once")
    return chosen
