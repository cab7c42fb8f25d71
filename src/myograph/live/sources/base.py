"""What every source of live samples gives, and what becomes of gaps.

A source numbers its samples. The number of a chunk's first sample says whether samples are missing before it, so that a gap
is counted in samples and never guessed from time stamps, which jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from myograph._common.registry import Registry
from myograph.errors import ConfigError, ShapeError, SignalError
from myograph.recording import Layout

SOURCES = Registry("source", "myograph.live.sources")
RESTARTED_S = 1.0  # packets are never late by as much as this


@dataclass(frozen=True)
class StreamInfo:
    """What a source delivers.

    n_channels, rate_hz, unit : as of a Recording. channels : names, where the source knows them. name : for messages.
    """

    n_channels: int
    rate_hz: float
    unit: str = "adc"
    channels: tuple[str, ...] = ()
    layout: Layout | None = None
    name: str = ""


class Chunk(NamedTuple):
    """Samples as they came.

    samples : (channel, time). first : number of the first sample, counted by the device from 0. stamps : (time,) seconds of
    the source's own clock, for the record; nothing is decided by them. breaks : whether these samples do not follow on the
    ones before, although the numbers do, as at a break of a recording.
    """

    samples: np.ndarray
    first: int
    stamps: np.ndarray
    breaks: bool = False


class Source:
    """Base of all sources. `open`, then `read` again and again, then `close`; or `with source as info:`.

    A source is a frozen dataclass whose fields are its options; what it holds while open is made in `open`.
    """

    def open(self) -> StreamInfo:
        """Connect, and say what will come.

        Raises
        ------
        SourceError : nothing answers, or what answers is not what the options say.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define open()")

    def read(self) -> Chunk | None:
        """The samples that have arrived since the last call, at once; None where none have.

        Raises
        ------
        SourceEnded : the source has ended and every sample was read. SourceError : the connection was lost.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define read()")

    def close(self) -> None:
        """Disconnect; a second call does nothing."""

    def __enter__(self) -> StreamInfo:
        return self.open()

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True)
class Gaps:
    """What becomes of missing samples.

    Parameters
    ----------
    policy : "fill" puts the last sample of each channel in their place; "restart" forgets all samples before the gap, so
        that no window spans it; "refuse" raises SignalError.
    most_ms : a longer gap than this restarts even where the policy is "fill".

    >>> keeper = Gaps().start(n_channels=1, rate_hz=1000.0)
    >>> keeper.take(Chunk(np.array([[1.0, 2.0]]), 0, np.zeros(2)))[0].tolist()
    [[1.0, 2.0]]
    >>> keeper.take(Chunk(np.array([[5.0]]), 4, np.zeros(1)))[0].tolist()
    [[2.0, 2.0, 5.0]]
    >>> keeper.counts
    {'samples': 3, 'filled': 2, 'lost': 0, 'repeated': 0, 'restarts': 0}
    """

    policy: Literal["fill", "restart", "refuse"] = "fill"
    most_ms: float = 50.0

    def __post_init__(self) -> None:
        if self.policy not in ("fill", "restart", "refuse"):
            raise ConfigError(f"Gaps: policy is 'fill', 'restart' or 'refuse', got {self.policy!r}")
        if not self.most_ms >= 0:
            raise ConfigError(f"Gaps: most_ms is a duration of 0 or more, got {self.most_ms!r}")

    def start(self, n_channels: int, rate_hz: float) -> GapKeeper:
        """A fresh count for samples of that many channels and that rate."""
        return GapKeeper(self, n_channels, rate_hz)


class GapKeeper:
    """Turns chunks into samples without a gap, or says that the stream starts again; made by `Gaps.start`.

    Attributes
    ----------
    counts : samples received, filled, lost (missing and not filled) and repeated (received twice, taken once), and restarts.
        How many samples were lost while a device was off is not known; it is counted as one restart.
    """

    def __init__(self, settings: Gaps, n_channels: int, rate_hz: float):
        self.settings = settings
        self.counts: dict[str, int] = dict.fromkeys(("samples", "filled", "lost", "repeated", "restarts"), 0)
        self._n_channels = n_channels
        self._most = round(settings.most_ms * rate_hz / 1000)
        self._back = round(RESTARTED_S * rate_hz)
        self._next: int | None = None
        self._shift = 0  # from the device's numbers to ours, which never go back
        self._new_connection = False
        self._last = np.zeros((n_channels, 1))

    @property
    def next(self) -> int:
        """Number of the next sample."""
        return self._next or 0

    def reconnected(self) -> None:
        """Say that the connection was lost and made again: numbers that go back mean that the device counts from 0 again."""
        self._new_connection = True

    def take(self, chunk: Chunk) -> tuple[np.ndarray, int | None]:
        """(channel, time) samples to decide on, and the number of the first one where the stream starts again, else None.

        Numbers that go back by more than a second mean that the device was started again.

        Raises
        ------
        ShapeError : another number of channels. SignalError : samples are missing and the policy refuses that.
        """
        samples = np.asarray(chunk.samples)
        if samples.ndim != 2 or samples.shape[0] != self._n_channels:
            raise ShapeError(f"a chunk is (channel, time) with {self._n_channels} channels, got shape {samples.shape}")
        first, restart = int(chunk.first) + self._shift, None
        if self._next is None:
            self._next = restart = first
        elif chunk.breaks:
            restart = max(first, self._next)
        elif first < self._next - (0 if self._new_connection else self._back):
            restart = self._start_again(self._next - first)
            first = self._next
        repeated = min(max(self._next - first, 0), samples.shape[1])
        samples, first = samples[:, repeated:], first + repeated
        self.counts["repeated"] += repeated
        if not samples.shape[1]:
            return samples, restart
        missing = first - self._next
        if missing > 0 and restart is None:
            samples, restart = self._bridge(samples, first, missing)
        self._new_connection = False
        self.counts["samples"] += chunk.samples.shape[1] - repeated
        self._next = first + chunk.samples.shape[1] - repeated
        self._last = samples[:, -1:]
        return samples, restart

    def _start_again(self, back: int) -> int | None:
        if self.settings.policy == "refuse":
            raise SignalError(
                f"the device started again at sample {self._next}; use Gaps('fill') or Gaps('restart') to go on after gaps"
            )
        self._shift += back
        self.counts["restarts"] += 1
        return self._next

    def _bridge(self, samples: np.ndarray, first: int, missing: int) -> tuple[np.ndarray, int | None]:
        if self.settings.policy == "refuse":
            raise SignalError(
                f"{missing} samples are missing before sample {first}; use Gaps('fill') or Gaps('restart') to go on after gaps"
            )
        if self.settings.policy == "restart" or missing > self._most:
            self.counts["lost"] += missing
            self.counts["restarts"] += 1
            return samples, first
        self.counts["filled"] += missing
        return np.hstack([np.repeat(self._last, missing, axis=1).astype(samples.dtype), samples]), None
