"""`replay`: plays a recording as a live source, in real time, several times as fast, or as fast as samples are read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from myograph.errors import ConfigError, SourceEnded
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo
from myograph.recording import Recording


@SOURCES.register("replay")
@dataclass(frozen=True)
class Replay(Source):
    """Samples of a recording, delivered when they are due.

    The breaks of the recording are kept, and each repetition of a loop starts with a break; no window spans a break.

    Parameters
    ----------
    recording : the recording to play.
    speed : 1 for real time, 4 for four times as fast, `inf` for as fast as samples are read.
    chunk_ms : duration of the chunks in the recording's time; with a finite speed, a late reader gets longer chunks.
    loop : whether to start again at the end of the recording. The numbers of the samples continue to increase.
    clock : function that returns increasing seconds; tests replace it.

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
    loop: bool = False
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False, compare=False)
    _at: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.speed > 0 or not self.chunk_ms > 0:
            raise ConfigError(f"replay: speed and chunk_ms must be positive, got {self.speed!r} and {self.chunk_ms!r}")
        if not self.recording.n_samples:
            raise ConfigError(f"replay: {self.recording.name} has no samples")

    def open(self) -> StreamInfo:
        r = self.recording
        starts = np.array([start for start, _ in r.stretches()])
        self._at.update(begun=self.clock(), sample=0, starts=starts)
        return StreamInfo(r.n_channels, r.rate_hz, r.unit, (), r.layout, r.name)

    def read(self) -> Chunk | None:
        if "sample" not in self._at:
            raise ConfigError("replay: call open() before read()")
        r, first = self.recording, self._at["sample"]
        if first >= r.n_samples and not self.loop:
            raise SourceEnded(f"{r.name} has been played to its end")
        step = max(round(self.chunk_ms * r.rate_hz / 1000), 1)
        stop = first + step
        if math.isfinite(self.speed):
            due = int((self.clock() - self._at["begun"]) * self.speed * r.rate_hz)
            stop = first + (due - first) // step * step  # complete chunks, except at the end of the recording
            if not self.loop and due >= r.n_samples:
                stop = r.n_samples
        stop = min(stop, self._end_of_stretch(first))
        if stop <= first:
            return None
        self._at["sample"] = stop
        at = first % r.n_samples
        samples = r.signal[:, at : at + stop - first]
        breaks = bool(first > 0 and at in self._at["starts"])
        return Chunk(samples, first, np.arange(first, stop) / r.rate_hz, breaks)

    def close(self) -> None:
        self._at.clear()

    def _end_of_stretch(self, first: int) -> int:
        """Return the sample number at which the stretch with sample `first` ends."""
        n = self.recording.n_samples
        starts = self._at["starts"]
        at = first % n
        later = starts[starts > at]
        return first - at + (int(later[0]) if len(later) else n)


def joined(recordings: Sequence[Recording]) -> Recording:
    """Join several recordings into one, with a break between consecutive recordings.

    Raises
    ------
    ConfigError : there are no recordings, or they differ in channels, rate, unit or label names.

    >>> one = Recording(np.zeros((2, 5)), 100.0, None, "1")
    >>> joined([one, one]).breaks
    (5,)
    """
    kinds = {(r.n_channels, r.rate_hz, r.unit, r.label_names) for r in recordings}
    if len(kinds) != 1:
        listed = "; ".join(f"{n} channels, {rate:g} Hz, {unit}, labels {names}" for n, rate, unit, names in kinds)
        raise ConfigError(f"replay: recordings must have equal channels, rate, unit and labels, got {listed or 'none'}")
    first, starts = recordings[0], np.cumsum([0, *(r.n_samples for r in recordings)]).tolist()
    inner = [start + b for start, r in zip(starts, recordings) for b in r.breaks]
    return replace(
        first,
        signal=np.hstack([r.signal for r in recordings]),
        label=np.concatenate([r.label for r in recordings]),
        repetition=None,
        breaks=tuple(sorted([*starts[1:-1], *inner])),
        name=first.name if len(recordings) == 1 else f"{first.name} and {len(recordings) - 1} more",
    )
