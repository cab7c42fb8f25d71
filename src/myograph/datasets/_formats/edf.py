"""Reads EDF and BDF files as a Table, with pyedflib."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph._common.units import microvolts_per
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.table import ANNOTATIONS, Table, distinct
from myograph.errors import DataError, need


@dataclass(frozen=True)
class Signal:
    """One signal of a file: its name, rate in samples per second, and unit in the file's spelling."""

    name: str
    rate_hz: float
    unit: str


def signals(path: Path) -> list[Signal]:
    """Return the signals that a file lists, without reading samples."""
    pyedflib = need("pyedflib", "formats")
    _check_length(path)
    with pyedflib.EdfReader(str(path)) as file:
        names = distinct(file.getSignalLabels())
        rates = file.getSampleFrequencies()
        return [Signal(n, float(f"{rates[i]:.12g}"), file.getPhysicalDimension(i).strip()) for i, n in enumerate(names)]


def read_edf(path: Path, description: Description) -> Table:
    """Read the chosen signals, or all voltages, of one rate, and the annotations as a column of text.

    Raises
    ------
    DataError : the signals differ in rate, or there are none. MissingExtraError : pyedflib is not installed.
    """
    pyedflib = need("pyedflib", "formats")
    _check_length(path)
    with pyedflib.EdfReader(str(path)) as file:
        names = distinct(file.getSignalLabels())
        rates = [float(f"{r:.12g}") for r in file.getSampleFrequencies()]  # removes the rounding error of a division
        stated = {n: file.getPhysicalDimension(i).strip() for i, n in enumerate(names)}
        voltages = {n for n, u in stated.items() if microvolts_per(u) is not None}
        rate_hz = chosen_rate(path, names, rates, voltages, description)
        columns = {
            n: np.asarray(file.readSignal(i)) if rates[i] == rate_hz else np.empty(0) for i, n in enumerate(names)
        }
        onsets, durations, texts = file.readAnnotations()
    return with_annotations(columns, rate_hz, stated, onsets, durations, [str(t) for t in texts])


def _check_length(path: Path) -> None:
    """Raise ValueError if a file's length differs from its header, for which edflib would print to stdout."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        top = file.read(256)
        try:
            header, n_records, n_signals = int(top[184:192]), int(top[236:244]), int(top[252:256])
            file.seek(256 + 216 * n_signals)
            samples = sum(int(file.read(8)) for _ in range(n_signals))
        except ValueError:
            raise ValueError("its header is damaged") from None
    expected = header + max(n_records, 0) * samples * (3 if top[:1] == b"\xff" else 2)
    if header != 256 * (n_signals + 1) or (n_records >= 0 and size != expected):
        raise ValueError(f"it has {size} bytes, but its header states {expected}")


def with_annotations(
    columns: dict[str, np.ndarray],
    rate_hz: float,
    stated: dict[str, str],
    onsets: np.ndarray,
    durations: np.ndarray,
    texts: list[str],
) -> Table:
    """Return the Table of signals, with the file's units and annotations; signals of other rates are empty."""
    to_uv = {n: microvolts_per(u) for n, u in stated.items() if len(columns[n])}
    columns[ANNOTATIONS] = spans(max(map(len, columns.values())), rate_hz, onsets, durations, texts)
    return Table(columns, True, rate_hz, {n: f for n, f in to_uv.items() if f is not None}, stated)


def chosen_rate(
    path: Path, names: list[str], rates: list[float], voltages: set[str], description: Description
) -> float:
    """Return the common rate of the signals in `channels`, or else of all voltages, or else of all signals.

    Raises
    ------
    DataError : the rates differ, or a signal is missing.
    """
    if description.channels:
        missing = [
            c for c in description.channels if (c not in names if isinstance(c, str) else not 1 <= c <= len(names))
        ]
        if missing:
            raise DataError(f"{path} has no signal {missing[0]!r}, it has {', '.join(names[:20])}; correct channels")
        kept = [names.index(c) if isinstance(c, str) else c - 1 for c in description.channels]
    else:
        kept = [i for i, n in enumerate(names) if n in voltages] or list(range(len(names)))
    if not kept:
        raise ValueError("it holds no signals")
    if len({rates[i] for i in kept}) != 1:
        listed = ", ".join(f"{names[i]} {rates[i]:g} Hz" for i in kept)
        raise DataError(f"{path} holds signals of several rates ({listed}); name those of one rate in channels")
    return rates[kept[0]]


def spans(n: int, rate_hz: float, onsets: np.ndarray, durations: np.ndarray, texts: list[str]) -> np.ndarray:
    """Return (time,) the text of the annotation at each sample, or "" without one.

    onsets, durations : seconds, in any order. An annotation without a duration lasts until the next one.

    >>> spans(6, 1.0, np.array([1, 4]), np.array([0, 1]), ["a", "b"]).tolist()
    ['', 'a', 'a', 'a', 'b', '']
    """
    track = np.full(n, "", object)
    order = np.argsort(np.asarray(onsets, float), kind="stable")
    starts = np.rint(np.asarray(onsets, float)[order] * rate_hz).astype(int)
    for i, start in enumerate(starts):
        duration = float(durations[order[i]])
        following = starts[i + 1] if i + 1 < len(starts) else n
        stop = start + round(duration * rate_hz) if duration > 0 else following
        track[max(0, start) : max(0, stop)] = texts[order[i]]
    return track
