"""`replay`: a recording as if it came live, at its own pace, several times as fast, or as fast as it is read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from myograph.errors import ConfigError, SourceEnded
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo
from myograph.recording import Recording


@SOURCES.register("replay")
@dataclass(frozen=True)
class Replay(Source):
    """Samples of a recording, delivered when they are due.

    Parameters
    ----------
    recording : what to play.
    speed : 1 for its own pace, 4 for four times as fast, `inf` for as fast as it is read.
    chunk_ms : duration of the chunks, in the recording's time; with a finite speed a late reader gets longer ones.

    >>> recording = Recording(np.arange(20.0)[None], 1000.0, None, "1")
    >>> source = Replay(recording, speed=float("inf"), chunk_ms=8)
    >>> source.open().rate_hz
    1000.0
    >>> [source.read().samples.shape[1] for _ in range(3)]
    [8, 8, 4]
    """

    recording: Recording
    speed: float = 1.0
    chunk_ms: float = 10.0
    _at: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.speed > 0 or not self.chunk_ms > 0:
            raise ConfigError(f"replay: speed and chunk_ms are positive, got {self.speed!r} and {self.chunk_ms!r}")

    def open(self) -> StreamInfo:
        r = self.recording
        self._at.update(begun=time.perf_counter(), sample=0)
        return StreamInfo(r.n_channels, r.rate_hz, r.unit, (), r.layout, r.name)

    def read(self) -> Chunk | None:
        if "sample" not in self._at:
            raise ConfigError("replay: open() comes before read()")
        r, first = self.recording, self._at["sample"]
        if first >= r.n_samples:
            raise SourceEnded(f"{r.name} has been played to its end")
        step = max(round(self.chunk_ms * r.rate_hz / 1000), 1)
        due = r.n_samples
        if np.isfinite(self.speed):
            due = int((time.perf_counter() - self._at["begun"]) * self.speed * r.rate_hz)
        whole = first + step if not np.isfinite(self.speed) else first + (due - first) // step * step
        stop = min(whole if due < r.n_samples or not np.isfinite(self.speed) else r.n_samples, r.n_samples)
        if stop <= first:
            return None
        self._at["sample"] = stop
        return Chunk(r.signal[:, first:stop], first, np.arange(first, stop) / r.rate_hz)

    def close(self) -> None:
        self._at.clear()
