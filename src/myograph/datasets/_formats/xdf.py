"""Reads XDF files (Lab Streaming Layer) as a Table, with pyxdf: one stream of samples, and text streams as annotations."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.units import microvolts_per
from myograph.datasets._formats import clock
from myograph.datasets._formats.description import Description, word
from myograph.datasets._formats.edf import chosen_rate, with_annotations
from myograph.datasets._formats.table import Table, distinct
from myograph.errors import ConfigError, need

RESET_S = 10.0  # clocks of two computers drift less than this between two measurements
DEFAULT_TYPE = "EMG"


def read_xdf(path: Path, description: Description) -> Table:
    """Read the stream that `stream` in the description gives by name, source_id or type; by default that of type EMG.

    The times of all streams are converted to the recording computer's clock with the clock offsets in the file, so that
    markers are at the right samples. A gap becomes a break.

    Raises
    ------
    ConfigError : no stream, or several, have that name or type. MissingExtraError : pyxdf is not installed.
    """
    streams = _streams(path)
    stream = _chosen(streams, description, path)
    samples = np.asarray(stream["time_series"])
    rate_hz = float(_text(stream, "nominal_srate") or 0) or description.rate_hz or 0.0
    if samples.ndim != 2 or samples.dtype.kind not in "iuf" or not len(samples) or rate_hz <= 0:
        raise ConfigError(
            f"{path}: the stream {_text(stream, 'name')!r} holds no samples at a fixed rate; set stream to another of "
            f"{_listed(streams)}, or give rate_hz if it was sent without a rate"
        )
    labels, stated = _channel_facts(stream, samples.shape[1])
    chosen_rate(path, labels, [rate_hz] * len(labels), {n for n in labels if microvolts_per(stated[n])}, description)
    times = corrected(stream)
    notes, gaps = clock.compare(times, rate_hz, "time stamps")
    resets = (np.flatnonzero(np.diff(times) < 0) + 1).tolist()
    onsets, texts = [], []
    steady = np.maximum.accumulate(times)
    for other in streams:
        if other is not stream and _is_marker(other):
            at = np.searchsorted(steady, corrected(other) - 0.5 / rate_hz)
            onsets += (at / rate_hz).tolist()
            texts += [
                " ".join(word(v) for v in np.ravel(np.asarray(row, object))).strip() for row in other["time_series"]
            ]
    columns = {name: samples[:, i] for i, name in enumerate(labels)}
    table = with_annotations(columns, rate_hz, stated, np.array(onsets), np.zeros(len(onsets)), texts)
    breaks = tuple(sorted({*gaps, *resets}))
    return Table(table.columns, True, rate_hz, table.to_uv, stated, notes, breaks)


@dataclass(frozen=True)
class Stream:
    """A stream of samples at a fixed rate: its name, type and rate in samples per second."""

    name: str
    type: str
    rate_hz: float


def sampled(path: Path) -> list[Stream]:
    """Return the streams of a file that hold numbers at a fixed rate."""
    found = [s for s in _streams(path) if np.asarray(s["time_series"]).dtype.kind in "iuf" and len(s["time_series"])]
    listed = [Stream(_text(s, "name"), _text(s, "type"), float(_text(s, "nominal_srate") or 0)) for s in found]
    return [s for s in listed if s.rate_hz > 0]


def _streams(path: Path) -> list[dict[str, Any]]:
    pyxdf = need("pyxdf", "formats")
    problems: list[str] = []
    # pyxdf 1.17 fits clock offsets from uninitialised memory (NumPy 2.4 warns), so they are applied here.
    with _logged(problems):
        streams, _ = pyxdf.load_xdf(
            str(path), synchronize_clocks=False, handle_clock_resets=False, dejitter_timestamps=False, verbose=False
        )
    if problems:  # pyxdf skips damaged chunks and continues
        raise ValueError(problems[0])
    return streams


@contextlib.contextmanager
def _logged(problems: list[str]) -> Iterator[None]:
    """Collect pyxdf's log of errors, and of warnings while it reads chunks, instead of printing it."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            problems.append(record.getMessage())

    logger, collector = logging.getLogger("pyxdf"), Collector(logging.WARNING)
    kept = logger.level, logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(collector)
        logger.setLevel(kept[0])
        logger.propagate = kept[1]


def corrected(stream: dict[str, Any]) -> np.ndarray:
    """Return (sample,) times on the recording computer's clock: each stretch between two resets of the sender's clock
    is shifted by a line fitted to the offsets measured in it.
    """
    stamps = np.asarray(stream["time_stamps"], np.float64)
    at, offset = (np.asarray(stream.get(key, []), np.float64) for key in ("clock_times", "clock_values"))
    if not len(at) or not len(stamps):
        return stamps
    new = np.flatnonzero((np.diff(at) < 0) | (np.abs(np.diff(offset)) > RESET_S)) + 1
    measured = [(a, o) for a, o in zip(np.split(at, new), np.split(offset, new))]
    starts = np.flatnonzero(np.abs(np.diff(stamps)) > RESET_S) + 1
    found = []
    for piece in np.split(stamps, starts):
        times, offsets = min(measured, key=lambda m: abs(np.median(m[0]) - np.median(piece)))
        middle = times.mean()
        slope, level = (
            np.polyfit(times - middle, offsets, 1) if len(times) > 2 and np.ptp(times) else (0, offsets.mean())
        )
        found.append(piece + level + slope * (piece - middle))
    return np.concatenate(found)


def _is_marker(stream: dict[str, Any]) -> bool:
    """Return whether a stream holds texts, or single numbers without a fixed rate (trigger codes)."""
    single = _text(stream, "channel_count") == "1" and not float(_text(stream, "nominal_srate") or 0)
    return _text(stream, "channel_format") == "string" or (single and len(stream["time_series"]) > 0)


def _chosen(streams: list[dict[str, Any]], description: Description, path: Path) -> dict[str, Any]:
    wanted = description.stream or DEFAULT_TYPE
    found = [s for s in streams if _text(s, "name") == wanted]
    found = found or [s for s in streams if _text(s, "source_id") == wanted]
    found = found or [s for s in streams if _text(s, "type").lower() == wanted.lower()]
    if len(found) != 1:
        raise ConfigError(
            f"{path} holds {len(found)} streams of name or type {wanted!r}; set stream to one of {_listed(streams)}"
        )
    return found[0]


def _listed(streams: list[dict[str, Any]]) -> str:
    names = [_text(s, "name") for s in streams]
    twice = {n for n in names if names.count(n) > 1}  # two devices of one kind are distinguished by source_id
    source = lambda s: f", source_id {_text(s, 'source_id')!r}" if _text(s, "name") in twice else ""  # noqa: E731
    return ", ".join(f"{_text(s, 'name')!r} ({_text(s, 'type')}{source(s)})" for s in streams) or "none"


def _text(stream: dict[str, Any], key: str) -> str:
    value = stream["info"].get(key) or [""]
    return str(value[0] if isinstance(value, list) else value).strip()


def _channel_facts(stream: dict[str, Any], n: int) -> tuple[list[str], dict[str, str]]:
    """Return the channel names, and the unit that the file states for each."""
    description = (stream["info"].get("desc") or [None])[0]
    rows: list[dict[str, Any]] = []
    if isinstance(description, dict) and description.get("channels") and isinstance(description["channels"][0], dict):
        rows = [r for r in description["channels"][0].get("channel", []) if isinstance(r, dict)]
    value = lambda row, key: str((row.get(key) or [""])[0] or "")  # noqa: E731
    if len(rows) != n:
        names = [str(i + 1) for i in range(n)]
        return names, dict.fromkeys(names, "")
    names = distinct(value(r, "label") or str(i + 1) for i, r in enumerate(rows))
    return names, {name: value(r, "unit") for name, r in zip(names, rows)}
