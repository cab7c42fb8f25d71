"""Delsys EMGworks exports as CSV: header lines, then a pair of columns (time, value) for each signal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets.quality import Finding
from myograph.errors import DataError

HEADER = re.compile(
    r"Label: (?P<label>.*?) Sampling frequency: (?P<rate>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?) (?:Number of points: (?P<points>\d+) )?"
    r".*?Unit: (?P<unit>.*?) Domain Unit:"
)
# The last is the micro sign of a file that is not in UTF-8, the one before it the Greek letter.
TO_UV = {"V": 1e6, "mV": 1e3, "uV": 1.0, "\u00b5V": 1.0, "\u03bcV": 1.0, "\ufffdV": 1.0}
MAX_HEADER_LINES = 2000


@dataclass(frozen=True)
class Export:
    """The EMG signals of one export: names, rate and (channel, time) float32 samples in µV."""

    names: tuple[str, ...]
    rate_hz: float
    signal: np.ndarray


def is_export(path: Path) -> bool:
    """Return whether the file begins like an EMGworks export."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return file.readline().startswith("Label: ")
    except OSError:
        return False


def read_emgworks(path: Path) -> Export:
    """Read the EMG signals of an export, shortened to the shortest; other sensors and rates are not decoded.

    Lengths are those of the columns, because the header counts the points of the whole recording even if only a part
    was exported.

    Raises DataError if the file is missing, damaged or not an export, or if its EMG signals differ in rate.
    """
    import pandas as pd

    again = "export it from EMGworks again"
    try:
        signals, n_header = _header(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}; {again}") from error
    emg = [i for i, s in enumerate(signals) if _is_emg(s)]
    if not emg:
        raise DataError(f"{path} names no EMG signal in V, mV or uV among its {len(signals)} header lines; {again}")
    rates = {float(signals[i]["rate"]) for i in emg}
    if len(rates) != 1:
        raise DataError(f"{path} holds EMG at {sorted(rates)} Hz; export sensors of one rate together")
    try:
        table = pd.read_csv(
            path,
            skiprows=n_header,
            header=None,
            usecols=[2 * i + 1 for i in emg],
            dtype=np.float64,
            encoding_errors="replace",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path} is cut short or damaged: {error}; {again}") from error
    columns = [table[2 * i + 1].to_numpy() * TO_UV[signals[i]["unit"]] for i in emg]
    lengths = []
    for i, column in zip(emg, columns):
        blank = np.isnan(column)
        length = len(column) if not blank.any() else int(np.argmax(blank))
        if not blank[length:].all():
            raise DataError(
                f"{path}: {signals[i]['label']!r} has a blank cell in row {length + 1} and numbers after it; {again}"
            )
        lengths.append(length)
    if not min(lengths):
        raise DataError(f"{path} holds no samples of {signals[emg[int(np.argmin(lengths))]]['label']!r}; {again}")
    return Export(
        tuple(signals[i]["label"] for i in emg),
        rates.pop(),
        np.stack([c[: min(lengths)] for c in columns]).astype(np.float32),
    )


def not_exported(path: Path, n_samples: int) -> Iterator[Finding]:
    """Yield a note if the header of a readable export counts more EMG samples than there are.

    This is normal if only a part of the recording was exported, and the only sign of a file truncated at a row's end.
    """
    counts = [int(s["points"]) for s in _header(path)[0] if _is_emg(s) and s["points"]]
    if counts and max(counts) > n_samples:
        yield Finding(
            "note",
            str(path),
            f"the header counts {max(counts)} samples of EMG, but there are {n_samples}",
            "correct if a part of the recording was exported; if not, the file is truncated: export it again",
        )


def _is_emg(signal: dict[str, str]) -> bool:
    return "EMG" in signal["label"].upper() and signal["unit"] in TO_UV


def _header(path: Path) -> tuple[list[dict[str, str]], int]:
    """Return the label, rate and unit of each signal, and the number of lines before the samples."""
    signals = []
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in zip(range(1, MAX_HEADER_LINES), file):
            if line.startswith("Label: "):
                match = HEADER.match(line)
                if match is None:
                    raise DataError(
                        f"{path}, line {number}: {line[:120]!r} is not a header line; export it from EMGworks again"
                    )
                signals.append(match.groupdict())
            elif line.lstrip().startswith("X[") and signals:
                return signals, number
            elif not signals:
                break
    raise DataError(
        f"{path} is not an EMGworks export: it lacks lines 'Label: … Sampling frequency: …' and a line of column "
        "names; "
        "export the recording as CSV from EMGworks"
    )


def write_emgworks(
    path: Path, emg: np.ndarray, rate_hz: float, sensor: str = "Trigno sensor", accelerometer: bool = True
) -> None:
    """Write an export like EMGworks: (channel, time) µV as volts, and for each sensor a slower accelerometer axis."""
    n_channels, n_samples = emg.shape
    slow = rate_hz * 2 / 17
    columns, header, names = [], [], []
    for channel in range(n_channels):
        for kind, unit, rate, samples in (
            ("EMG", "V", rate_hz, emg[channel] / 1e6),
            ("ACC.X", "g", slow, np.zeros(max(1, int(n_samples * 2 / 17)))),
        )[: 1 + accelerometer]:
            label = f"{sensor} {channel + 1}: {kind} {channel + 1}"
            header.append(
                f"Label: {label} Sampling frequency: {rate:e} Number of points: {2 * len(samples)} "
                f"start: {0:e} Unit: {unit} Domain Unit: s\n"
            )
            names += ["X[s]", f'"{label}"']
            columns += [np.arange(len(samples)) / rate, samples]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines([*header, "Start Trigger Method: None\n", "Stop Trigger Method: None\n", "\n"])
        file.write(",".join(names) + "\n")
        for row in range(n_samples):
            file.write(",".join(f"{c[row]:.7g}" if row < len(c) else "" for c in columns) + "\n")
