"""Guesses for files that state names, units and rates: EDF, BDF, WFDB and XDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from myograph.datasets._formats.description import Description
from myograph.datasets._formats.table import ANNOTATIONS, Table
from myograph.datasets._formats.tables import read_table
from myograph.datasets._guess import columns
from myograph.datasets._guess.notes import Notes
from myograph.datasets._guess.words import COLUMNS, EMG, OTHER, plain
from myograph.errors import ConfigError, DataError


def guess_signals(path: Path, notes: Notes) -> None:
    """Note channels, unit and labels of a file that states them."""
    table = _table(path, notes)
    names = [n for n, values in table.columns.items() if n != ANNOTATIONS and len(values)]
    notes.found.append(
        f"{path.name}: {len(names)} signals of {len(table)} samples at {table.rate_hz:g} Hz: {', '.join(names[:16])}"
    )
    voltages = [n for n in names if n in (table.to_uv or {})]
    emg = [n for n in names if EMG.search(n.lower())]
    chosen = emg or [n for n in voltages or names if not OTHER.search(n.lower())] or names
    if set(chosen) != set(voltages) or "channels" in notes.values:
        notes.values["channels"] = chosen
    out = [n for n in names if n not in chosen]
    if out:
        notes.unsure.append(f"left out of the channels: {', '.join(map(repr, out[:12]))}. Is one of them EMG?")
    unknown = [n for n in chosen if n not in voltages]
    if unknown:
        stated = ", ".join(sorted({repr(table.stated.get(n, "")) for n in unknown}))
        notes.found.append(f"the unit of {', '.join(unknown[:8])} is stated as {stated}, which is not a voltage")
        columns.unit(unknown, np.stack([np.asarray(table.columns[n], np.float64) for n in unknown]), notes)
    else:
        notes.found.append(f"the file states the unit: {', '.join(sorted({table.stated[n] for n in chosen}))}")
    words = list(dict.fromkeys(t for t in table.columns[ANNOTATIONS].tolist() if t))
    if words:
        notes.values["label"] = ANNOTATIONS
        notes.unsure.append(f"the annotations ({', '.join(words[:8])}) are taken for labels: is that right?")


def guess_preset(path: Path, preset: str, notes: Notes) -> None:
    """Note channels and labels of a text file of a known program."""
    notes.values["preset"] = preset
    table = read_table(path, Description("*", label=False, preset=preset, unit="adc" if preset == "myo" else None))
    notes.found.append(
        f"{path.name} has the format of {preset}: {len(table.to_uv or {})} channels of {len(table)} samples at "
        f"{table.rate_hz:g} Hz"
    )
    if not table.to_uv:
        notes.unsure.append(f"no column is known to be EMG in a known unit; which of {', '.join(table.columns)} are?")
    words = [t for t in table.columns.get(ANNOTATIONS, np.zeros(0, object)).tolist() if t]
    named = [n for n in table.columns if table.named and COLUMNS["label"].fullmatch(plain(n))]
    if words or named:
        notes.values["label"] = ANNOTATIONS if words else named[0]
        notes.unsure.append(f"{notes.values['label']!r} is taken for the label: is that right?")


def _table(path: Path, notes: Notes) -> Table:
    """Read a file; if the choice of stream or channels is ambiguous, use those that fit best."""
    try:
        return read_table(path, Description("*", label=False))
    except (ConfigError, DataError) as error:
        if path.suffix.lower() == ".xdf" and "streams of name or type" in str(error):
            return _stream(path, notes)
        if path.suffix.lower() in (".edf", ".bdf") and "several rates" in str(error):
            return _one_rate(path, notes)
        raise


def _stream(path: Path, notes: Notes) -> Table:
    from myograph.datasets._formats.xdf import sampled

    streams = sampled(path)
    if not streams:
        raise DataError(f"{path} holds no stream of samples at a fixed rate; name another file")
    ranked = sorted(streams, key=lambda s: (not EMG.search(f"{s.name} {s.type}".lower()), -s.rate_hz))
    notes.values["stream"] = ranked[0].name
    listed = ", ".join(f"{s.name!r} ({s.type}, {s.rate_hz:g} Hz)" for s in ranked)
    notes.unsure.append(f"the file holds the streams {listed}: is {ranked[0].name!r} the EMG?")
    return read_table(path, Description("*", label=False, stream=ranked[0].name))


def _one_rate(path: Path, notes: Notes) -> Table:
    """Read the EMG of an EDF file with several rates, or else the fastest signals."""
    from myograph.datasets._formats.edf import signals

    found = signals(path)
    emg = [s for s in found if EMG.search(s.name.lower())] or found
    rate_hz = max(s.rate_hz for s in emg)
    chosen = [s.name for s in emg if s.rate_hz == rate_hz]
    notes.values["channels"] = chosen
    rates = ", ".join(f"{r:g}" for r in sorted({s.rate_hz for s in found}))
    notes.unsure.append(f"the file holds signals at {rates} Hz; those at {rate_hz:g} Hz are used: are they the EMG?")
    return read_table(path, Description("*", label=False, channels=tuple(chosen)))
