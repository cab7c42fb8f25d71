"""Recorded sessions on disk. Samples and events are appended as they arrive, so that a crash loses nothing.

One folder per session: `info.json` (channels, rate, unit, plan), `samples.f32` (float32 little-endian, one row of channels
per sample) and `events.jsonl` (one JSON object per line). Nothing is rewritten. `export` writes a data set of all
sessions, which `myograph run` reads.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.files import write_atomically, write_json, write_text
from myograph.cli.studio.plan import REACTION_S, REST, Attempt
from myograph.errors import ConfigError, DataError, ResultsError
from myograph.live.sources.base import StreamInfo
from myograph.recording import Layout, Recording

INFO, SAMPLES, EVENTS = "info.json", "samples.f32", "events.jsonl"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
SYNC_S = 1.0  # the most that a power cut can lose; a killed process loses nothing
BREAK_S = 10.0  # time between the samples before and after a break in the exported files


class SessionWriter:
    """Appends to the files of one session; creates them, or continues those of an interrupted session.

    Raises
    ------
    ConfigError : a name that is not a valid file name. DataError : the session was recorded with another device.
    ResultsError : the folder cannot be written.
    """

    def __init__(self, root: Path, subject: str, session: str, info: StreamInfo, plan: Mapping[str, Any] | None = None):
        self.folder = session_folder(root, subject, session)
        self.n_channels = info.n_channels
        kind = {
            "subject": subject,
            "session": session,
            "n_channels": info.n_channels,
            "rate_hz": info.rate_hz,
            "unit": info.unit,
            "source": info.name,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if (self.folder / INFO).exists():
                self._check(kind)
            else:
                layout = None if info.layout is None else vars(info.layout)
                write_json(self.folder / INFO, {**kind, "layout": layout, "plan": plan, "version": 1})
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._samples = os.open(self.folder / SAMPLES, flags, 0o644)
            self._events = os.open(self.folder / EVENTS, flags, 0o644)
        except OSError as error:
            raise ResultsError(f"the session cannot be written to {self.folder}: {error}") from error
        row = 4 * self.n_channels
        size = os.fstat(self._samples).st_size
        os.ftruncate(self._samples, size - size % row)  # removes an incomplete last row after a crash
        self.n_samples = size // row
        self._synced = time.monotonic()
        if self.n_samples:
            _end_line(self.folder / EVENTS, self._events)
            self.event("break")

    def _check(self, kind: dict[str, Any]) -> None:
        before = read_info(self.folder)
        if differ := [k for k in ("n_channels", "rate_hz", "unit") if before[k] != kind[k]]:
            raise DataError(
                f"session {kind['session']} of {kind['subject']} was recorded with {differ[0]} {before[differ[0]]}, but "
                f"the source has {kind[differ[0]]}; choose another session name"
            )

    def append(self, samples: np.ndarray, restarted: bool = False) -> None:
        """Write (channel, time) samples; `restarted` says that samples are missing before them."""
        if restarted and self.n_samples:
            self.event("break")
        data = np.ascontiguousarray(samples.T, "<f4").tobytes()
        while data:
            data = data[os.write(self._samples, data) :]
        self.n_samples += samples.shape[1]
        if time.monotonic() - self._synced > SYNC_S:
            os.fsync(self._samples)
            self._synced = time.monotonic()

    def event(self, kind: str, sample: int | None = None, **values: Any) -> None:
        """Write an event at a sample; by default the next one."""
        line = json.dumps({"event": kind, "sample": self.n_samples if sample is None else sample, **values})
        os.write(self._events, line.encode() + b"\n")

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        if self._samples >= 0:
            os.fsync(self._samples)
            os.close(self._samples)
            os.close(self._events)
            self._samples = self._events = -1


def session_folder(root: Path, subject: str, session: str) -> Path:
    """Return the folder of a session.

    Raises
    ------
    ConfigError : a name that is not a valid file name.
    """
    for what, name in (("subject", subject), ("session", session)):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigError(f"the name of a {what} must be 1 to 40 letters, digits, - and _, got {name!r}")
    return root / "sessions" / subject / session


def list_sessions(root: Path) -> list[Path]:
    """Return the folders of all sessions, the oldest first."""
    found = [path.parent for path in (root / "sessions").glob(f"*/*/{INFO}")]
    return sorted(found, key=lambda folder: ((folder / INFO).stat().st_mtime, str(folder)))


def sampled_sessions(root: Path) -> list[Path]:
    """Return the folders of the sessions that hold samples."""
    return [folder for folder in list_sessions(root) if n_samples(folder, read_info(folder)["n_channels"])]


def read_info(folder: Path) -> dict[str, Any]:
    """Return the contents of `info.json`.

    Raises
    ------
    DataError : it is missing or damaged.
    """
    try:
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
        if not isinstance(info, dict) or info["n_channels"] < 1:
            raise ValueError("it does not describe a session")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / INFO} cannot be read: {error}") from error
    return info


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return all complete events; an incomplete last line after a crash is skipped."""
    events = []
    path = folder / EVENTS
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and _usable(event):
            events.append(event)
    return events


def _usable(event: dict[str, Any]) -> bool:
    if not isinstance(event.get("sample"), int) or not isinstance(event.get("event"), str):
        return False
    kinds = {"gesture": str, "repetition": int, "attempt": int, "labelled_s": list} if event["event"] == "begin" else {}
    return all(isinstance(event.get(key), kind) for key, kind in kinds.items())


def n_samples(folder: Path, n_channels: int) -> int:
    """Return the number of complete samples on disk."""
    path = folder / SAMPLES
    return path.stat().st_size // (4 * n_channels) if path.exists() else 0


def finished_attempts(events: list[dict[str, Any]]) -> list[Attempt]:
    """Return all prompts that were completed and not undone."""
    return [(b["attempt"], (b["gesture"], b["repetition"])) for b, _ in _attempts(events)]


def read_session(folder: Path) -> Recording:
    """Return a session with its labels, as far as it was recorded.

    The samples of a prompt, or of the rest after it, are labelled from the end of the reaction time on. The countdown,
    pauses and undone repetitions are unlabelled. Rest has the repetition number of the prompt before it.

    Raises
    ------
    DataError : there are no samples, or `info.json` is damaged.
    """
    info, events = read_info(folder), read_events(folder)
    n = n_samples(folder, info["n_channels"])
    if not n:
        raise DataError(f"{folder} holds no samples")
    data = np.fromfile(folder / SAMPLES, "<f4", n * info["n_channels"]).reshape(n, -1)
    label, repetition, names = _tracks(events, n, info["rate_hz"])
    breaks = sorted({e["sample"] for e in events if e["event"] == "break" and 0 < e["sample"] < n})
    return Recording(
        np.ascontiguousarray(data.T),
        info["rate_hz"],
        label,
        subject=info["subject"],
        repetition=repetition,
        session=info["session"],
        unit=info["unit"],
        label_names=names,
        layout=_layout(info.get("layout")),
        breaks=tuple(breaks),
    )


def _layout(given: Mapping[str, Any] | None) -> Layout | None:
    if given is None:
        return None
    return Layout(tuple(given["row"]), tuple(given["column"]), bool(given["wraps"]), given["spacing_mm"])


def _attempts(events: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    """Return ("begin" event, sample at the end) of each attempt that ended and was not undone, in order."""
    begun: dict[int, dict[str, Any]] = {}
    kept: dict[int, tuple[dict[str, Any], int]] = {}
    for event in events:
        number = int(event.get("attempt", 0))
        if event["event"] == "begin":
            begun[number] = event
        elif event["event"] == "end" and number in begun:
            kept[number] = (begun[number], event["sample"])
        elif event["event"] == "void":
            kept.pop(number, None)
    return list(kept.values())


def _tracks(events: list[dict[str, Any]], n: int, rate_hz: float) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    attempts = _attempts(events)
    names = (REST, *dict.fromkeys(begin["gesture"] for begin, _ in attempts))
    label, repetition = np.full(n, -1, np.int32), np.ones(n, np.int32)
    stops = [e["sample"] for e in events if e["event"] in ("begin", "pause", "done", "break", "ready", "stop")]
    for begin, end in attempts:
        first, last = (begin["sample"] + round(s * rate_hz) for s in begin["labelled_s"])
        label[first : min(last, end)] = names.index(begin["gesture"])
        relaxed = end + round(REACTION_S * rate_hz)
        until = min((s for s in stops if s >= end), default=n)
        label[relaxed : max(until, relaxed)] = 0
        repetition[begin["sample"] : max(until, end)] = begin["repetition"]
    return label, repetition, names


def export(root: Path) -> Path | None:
    """Write a data set of all labelled sessions and return the path of its `dataset.toml`, or None if there are none.

    Samples are stored in `recordings/SUBJECT/SESSION.npz` as (time, channel) with the tracks `label` (NaN where
    unlabelled), `repetition` and `time`, which jumps where recording was interrupted.
    """
    recordings = [r for r in map(read_session, sampled_sessions(root)) if (r.label >= 0).any()]
    if not recordings:
        return None
    names = list(dict.fromkeys([REST, *(name for r in recordings for name in r.label_names)]))
    for recording in recordings:
        codes = np.array([names.index(name) for name in recording.label_names], np.float32)
        label = np.where(recording.label >= 0, codes[np.maximum(recording.label, 0)], np.float32(np.nan))
        seconds = np.arange(recording.n_samples) / recording.rate_hz
        for at in recording.breaks:
            seconds[at:] += BREAK_S
        arrays = {
            "signal": recording.signal.T,
            "label": label.astype(np.float32),
            "repetition": recording.repetition,
            "time": seconds,
        }
        path = root / "recordings" / recording.subject / f"{recording.session}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda to, arrays=arrays: _save(to, arrays))
    rates, units = {r.rate_hz for r in recordings}, {r.unit for r in recordings}
    if len(rates) > 1 or len(units) > 1:
        raise DataError(
            f"the sessions in {root} differ in rate or unit; move those of one device to a folder of their own"
        )
    lines = [
        'files = "recordings/{subject}/{session}.npz"',
        f"rate_hz = {rates.pop():g}",
        f"unit = {json.dumps(units.pop())}",
        'signal = "signal"',
        'label = "label"',
        'repetition = "repetition"',
        'time = "time"',
        "rest = 0",
        'ignore = ["sessions/*", "decoders/*", "tests/*"]',
        "",
        "[labels]",
        *(f"{code} = {json.dumps(name)}" for code, name in enumerate(names)),
    ]
    path = root / "dataset.toml"
    write_text(path, "\n".join(lines) + "\n")
    return path


def _save(to: Path, a: dict[str, np.ndarray]) -> None:
    with open(to, "wb") as file:
        np.savez(file, signal=a["signal"], label=a["label"], repetition=a["repetition"], time=a["time"])


def _end_line(path: Path, handle: int) -> None:
    """End an incomplete last line after a crash, so that the next event starts on a new line."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.write(handle, b"\n")
