"""A source for tests of the studio: it performs what is asked, one chunk per read, without a clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from myograph.errors import SourceEnded, SourceError
from myograph.live.sources.base import Chunk, Source, StreamInfo
from myograph.recording import Layout

GESTURES = ("fist", "open", "pinch")
KNOWN = (*GESTURES, "grip")
HOST = "127.0.0.1:8765"


@dataclass
class Person(Source):
    """Noise that is loud on one channel per gesture.

    lost_at : numbers of reads that fail as a device that was unplugged. skip : read to samples that are missing before it.
    ends_at : number of the read at which the source ends.
    """

    n_channels: int = 4
    rate_hz: float = 500.0
    step: int = 20
    lost_at: tuple[int, ...] = ()
    skip: dict[int, int] = field(default_factory=dict)
    ends_at: int | None = None
    given: list = field(default_factory=list)

    def open(self):
        self.reads, self.first, self.gesture = getattr(self, "reads", 0), 0, "rest"
        self.rng = np.random.default_rng(7)
        return StreamInfo(self.n_channels, self.rate_hz, "uV", (), Layout.ring(self.n_channels), "test person")

    def perform(self, gesture, at=None):
        self.gesture, self.asked_at = gesture, at

    def read(self):
        self.reads += 1
        if self.reads in self.lost_at:
            raise SourceError("the device was unplugged")
        if self.ends_at is not None and self.reads >= self.ends_at:
            raise SourceEnded("that was all")
        self.first += self.skip.get(self.reads, 0)
        gain = np.full(self.n_channels, 5.0)
        if self.gesture in KNOWN:
            gain[KNOWN.index(self.gesture)] = 60.0
        samples = (gain[:, None] * self.rng.normal(size=(self.n_channels, self.step))).astype(np.float32)
        self.given.append(samples)
        first, self.first = self.first, self.first + self.step
        return Chunk(samples, first, np.arange(first, first + self.step) / self.rate_hz)

    def close(self):
        pass


def until(studio, true, most=100_000):
    """Let samples come until something holds."""
    for _ in range(most):
        if true():
            return
        studio.engine.step()
    raise AssertionError("it did not happen")
