"""The samples of a BIDS recording, their unit, and the removal of padding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from myograph._common.units import microvolts_per
from myograph.datasets._bids.side_files import cell
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.table import Table, channels
from myograph.recording import Unit

# Spelling of the units of a Recording in exported files, in the 8 characters of the header.
DIMENSIONS: dict[Unit, str] = {"uV": "uV", "adc": "adc", "normalised": "norm"}


def signal_of(table: Table, description: Description, emg: list[dict[str, str]], path: Path) -> tuple[np.ndarray, Unit]:
    """Return (channel, time) samples, and their unit: that of the file, or else that of channels.tsv.

    emg : the rows of channels.tsv that are read.

    Raises
    ------
    ConfigError : neither of them states a unit of voltage. DataError : a channel is missing.
    """
    known = table.to_uv or {}
    names = [table.name_of(c, path) for c in description.channels or ()]
    if names and not any(n in known for n in names):
        unit: Unit | None = next(
            (u for u, d in DIMENSIONS.items() if {table.stated.get(n, "") for n in names} == {d}), None
        )
        if unit is not None:
            return channels(table, replace(description, unit=str(unit)), path), unit
    if any(n not in known for n in names):
        factors = {n: microvolts_per(table.stated.get(n) or cell(row, "units")) for n, row in zip(names, emg)}
        table = replace(table, to_uv={n: f for n, f in {**factors, **known}.items() if f is not None})
    return channels(table, description, path), "uV"


def without_padding(signal: np.ndarray, duration_s: float | None, rate_hz: float) -> np.ndarray:
    """Return a signal without the padding of the last data record: a constant tail after the stated duration."""
    n = round((duration_s or 0) * rate_hz)
    if not 0 < n < signal.shape[1]:
        return signal
    tail = signal[:, n:]
    return signal[:, :n] if (tail == tail[:, :1]).all() else signal
