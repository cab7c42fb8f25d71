"""`simulated`: a simulated person who performs requested gestures, in real time or faster; needs no hardware."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from myograph.datasets.simulation.performer import Asked, Performer, Wearer
from myograph.errors import ConfigError
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo

MOST_S = 0.1  # longest chunk
RAIL_UV = 5000.0
NOISE_UV, MAINS_UV, MAINS_HZ = 100.0, 300.0, 50.0


@dataclass(frozen=True)
class Fault:
    """A channel that fails for a while.

    Parameters
    ----------
    channel : its index, from 0.
    kind : "dead" (constant 0), "rail" (at the amplifier's limit), "noise" (loose electrode) or "mains" (50 Hz).
    start_s, stop_s : begin and end, in seconds from the first sample.
    """

    channel: int
    kind: Literal["dead", "rail", "noise", "mains"] = "dead"
    start_s: float = 0.0
    stop_s: float = math.inf

    def __post_init__(self) -> None:
        if self.kind not in ("dead", "rail", "noise", "mains"):
            raise ConfigError(f"Fault: kind must be 'dead', 'rail', 'noise' or 'mains', got {self.kind!r}")


@SOURCES.register("simulated")
@dataclass(frozen=True)
class Simulated(Wearer, Source):
    """A simulated person; samples are in uV. `Wearer` describes the options of the person.

    `perform(gesture)` requests a gesture and may be called from another thread than `read`. With the same seed and
    clock the samples are the same, however they are read.

    Parameters
    ----------
    speed : 1 for real time, 4 for four times as fast, `inf` for as fast as samples are read.
    faults : channels that fail.
    loss : share of the 10 ms packets that never arrive; they show as gaps.
    buffer_s : largest delay of the reader; older samples are lost.
    clock : function that returns increasing seconds; tests replace it.

    >>> source = Simulated(n_channels=8, speed=float("inf"))
    >>> info = source.open()
    >>> source.perform("hand_close")
    >>> chunk = source.read()
    >>> info.rate_hz, chunk.samples.shape, chunk.first, source.asked[-1].gesture
    (1000.0, (8, 10), 0, 'hand_close')
    >>> source.close()
    """

    speed: float = 1.0
    faults: tuple[Fault, ...] = ()
    loss: float = 0.0
    buffer_s: float = 10.0
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False, compare=False)
    _at: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.speed > 0 or not self.buffer_s > 0:
            raise ConfigError(
                f"simulated: speed and buffer_s must be positive, got {self.speed!r} and {self.buffer_s!r}"
            )
        if not 0 <= self.loss < 1:
            raise ConfigError(f"simulated: loss must be a share from 0 to below 1, got {self.loss!r}")
        if wrong := [f for f in self.faults if not 0 <= f.channel < self.n_channels]:
            raise ConfigError(f"simulated: channels of faults must be below {self.n_channels}, got {wrong[0]!r}")

    def open(self) -> StreamInfo:
        performer = Performer(self)
        rng = np.random.default_rng([self.seed, 77])
        self._at.update(performer=performer, sample=0, rng=rng, begun=self.clock())
        layout = self.electrodes.layout
        names = tuple(f"EMG{i + 1}" for i in range(self.n_channels))
        return StreamInfo(self.n_channels, self.rate_hz, "uV", names, layout, f"simulated person {self.subject}")

    def perform(self, gesture: str, effort: float = 1.0, at: int | None = None) -> None:
        """Request a gesture, or "rest"; the person reacts after `reaction_s`.

        Parameters
        ----------
        effort : 1 is the person's usual effort for this gesture.
        at : number of the sample at which the gesture is requested, not before the next sample to be read; None is
            the present time of the clock. Prompts that depend on the samples should pass the next sample, so that the
            reaction has the same delay if the reader is late.

        Raises
        ------
        UnknownNameError : the simulator does not have the gesture. ConfigError : not open, or a negative effort.
        """
        performer = self._performer
        performer.perform(gesture, self._now() if at is None else max(at, self._at["sample"]), effort)

    def move_electrodes(self, rotation_deg: float = 0.0, shift_mm: float = 0.0) -> None:
        """Displace the electrodes around and along the forearm, as if they had been removed and put on again."""
        self._performer.move_electrodes(rotation_deg, shift_mm)

    @property
    def asked(self) -> tuple[Asked, ...]:
        """The requests so far, each as (number of the sample, gesture, effort)."""
        return tuple(self._performer.asked)

    def read(self) -> Chunk | None:
        performer, first = self._performer, self._at["sample"]
        size = performer.block_samples
        due = first + size if math.isinf(self.speed) else self._now()
        skipped = (due - round(self.buffer_s * self.rate_hz) - first) // size
        if skipped > 0:
            performer.skip(skipped)
            first += skipped * size
        # A late reader gets its samples in pieces, so that it can request gestures between them.
        due = min(due, first + max(size, round(MOST_S * self.rate_hz)))
        found: list[np.ndarray] = []
        at = first
        while at + size <= due:
            block = self._fail(performer.block(), at)
            at += size
            if self._at["rng"].random() >= self.loss:
                found.append(block)
            elif found:
                break  # a chunk has no gap inside; the next call reads the samples after the gap
            else:
                first = at
        self._at["sample"] = at
        if not found:
            return None
        samples = np.hstack(found)
        stamps = self._at["begun"] + (first + np.arange(samples.shape[1])) / self.rate_hz / min(self.speed, 1e9)
        return Chunk(samples, first, stamps)

    def close(self) -> None:
        self._at.clear()

    @property
    def _performer(self) -> Performer:
        if "performer" not in self._at:
            raise ConfigError("simulated: call open() first")
        return self._at["performer"]

    def _now(self) -> int:
        """Return the number of the present sample."""
        if math.isinf(self.speed):
            return self._at["sample"]
        return int((self.clock() - self._at["begun"]) * self.speed * self.rate_hz)

    def _fail(self, block: np.ndarray, start: int) -> np.ndarray:
        t = (start + np.arange(block.shape[1])) / self.rate_hz
        for fault in self.faults:
            there = (t >= fault.start_s) & (t < fault.stop_s)
            if fault.kind == "dead":
                block[fault.channel, there] = 0.0
            elif fault.kind == "rail":
                block[fault.channel, there] = RAIL_UV
            elif fault.kind == "mains":
                block[fault.channel, there] += (MAINS_UV * np.sin(2 * np.pi * MAINS_HZ * t[there])).astype(np.float32)
            else:
                noise = np.random.default_rng([self.seed, 78, fault.channel, start]).standard_normal(len(t))
                block[fault.channel, there] += (NOISE_UV * noise[there]).astype(np.float32)
        return block
