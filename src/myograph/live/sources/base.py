"""The interface of all sources of live samples, and the handling of gaps.

A source numbers its samples. The number of a chunk's first sample shows whether samples are missing before it. The
length of a gap is therefore known in samples, not estimated from time stamps, which jitter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from myograph._common.registry import Registry
from myograph.errors import ConfigError, ShapeError, SignalError
from myograph.recording import Layout

SOURCES = Registry("source", "myograph.live.sources")
RESTARTED_S = 1.0  # packets are never this late


@dataclass(frozen=True)
class StreamInfo:
    """The properties of a source's samples.

    Attributes
    ----------
    n_channels, rate_hz, unit, layout : as for a Recording.
    channels : names of the channels, if the source knows them.
    name : name of the source in messages.

    >>> StreamInfo(n_channels=8, rate_hz=200.0).unit
    'adc'
    """

    n_channels: int
    rate_hz: float
    unit: str = "adc"
    channels: tuple[str, ...] = ()
    layout: Layout | None = None
    name: str = ""


class Chunk(NamedTuple):
    """Consecutive samples of a source.

    Attributes
    ----------
    samples : (channel, time).
    first : number of the first sample, counted by the device from 0.
    stamps : (time,) seconds of the source's own clock, for information only.
    breaks : whether there is a break before these samples although the numbers continue, as at a break of a
        recording.

    >>> Chunk(np.zeros((8, 20)), first=0, stamps=np.zeros(20)).breaks
    False
    """

    samples: np.ndarray
    first: int
    stamps: np.ndarray
    breaks: bool = False


class Source:
    """Base class of all sources: call `open`, then `read` repeatedly, then `close`; or use `with source as info:`.

    A source is a frozen dataclass whose fields are its options; the state of a connection is created in `open`.

    >>> class Silence(Source):
    ...     def open(self):
    ...         return StreamInfo(n_channels=2, rate_hz=1000.0)
    ...
    ...     def read(self):
    ...         return Chunk(np.zeros((2, 10)), 0, np.zeros(10))
    >>> source = Silence()
    >>> with source as info:
    ...     print(info.n_channels, source.read().samples.shape)
    2 (2, 10)
    >>> source.close()
    """

    def open(self) -> StreamInfo:
        """Connect, and return the properties of the samples.

        Raises
        ------
        SourceError : there is no answer, or it does not fit the options.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define open()")

    def read(self) -> Chunk | None:
        """Return the samples that have arrived since the last call, without waiting; None if there are none.

        Raises
        ------
        SourceEnded : the source has ended and all samples were read.
        SourceError : the connection was lost.
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
    """How missing samples are handled.

    Parameters
    ----------
    policy : "fill" repeats the last sample of each channel; "restart" discards all samples before the gap, so that
        no window spans it; "refuse" raises SignalError.
    most_ms : a gap longer than this causes a restart even under "fill".

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
            raise ConfigError(f"Gaps: policy must be 'fill', 'restart' or 'refuse', got {self.policy!r}")
        if not self.most_ms >= 0:
            raise ConfigError(f"Gaps: most_ms must be a duration of 0 or more, got {self.most_ms!r}")

    def start(self, n_channels: int, rate_hz: float) -> GapKeeper:
        """Return a new `GapKeeper` for samples of this number of channels and this rate."""
        return GapKeeper(self, n_channels, rate_hz)


class GapKeeper:
    """Turns chunks into samples without gaps, or reports that the stream restarts; created by `Gaps.start`.

    Attributes
    ----------
    counts : samples received, filled, lost (missing and not filled) and repeated (received twice, used once), and
        restarts. The number of samples lost while a device was off is unknown; this counts as one restart.

    >>> keeper = Gaps("restart").start(n_channels=1, rate_hz=1000.0)
    >>> samples, restart = keeper.take(Chunk(np.ones((1, 5)), 0, np.zeros(5)))
    >>> keeper.next
    5
    >>> keeper.reconnected()
    >>> samples, restart = keeper.take(Chunk(np.ones((1, 5)), 8, np.zeros(5)))
    >>> restart, keeper.counts["lost"]
    (8, 3)
    """

    def __init__(self, settings: Gaps, n_channels: int, rate_hz: float):
        self.settings = settings
        self.counts: dict[str, int] = dict.fromkeys(("samples", "filled", "lost", "repeated", "restarts"), 0)
        self._n_channels = n_channels
        self._most = round(settings.most_ms * rate_hz / 1000)
        self._back = round(RESTARTED_S * rate_hz)
        self._next: int | None = None
        self._shift = 0  # from the device's sample numbers to ours, which never decrease
        self._new_connection = False
        self._last = np.zeros((n_channels, 1))

    @property
    def next(self) -> int:
        """Number of the next sample."""
        return self._next or 0

    def reconnected(self) -> None:
        """Report a new connection: if the sample numbers then decrease, the device counts from 0 again."""
        self._new_connection = True

    def take(self, chunk: Chunk) -> tuple[np.ndarray, int | None]:
        """Return (channel, time) samples, and the number of the first one if the stream restarts, or else None.

        If the numbers decrease by more than a second, the device was restarted.

        Raises
        ------
        ShapeError : another number of channels.
        SignalError : samples are missing and the policy is "refuse".
        """
        samples = np.asarray(chunk.samples)
        if samples.ndim != 2 or samples.shape[0] != self._n_channels:
            raise ShapeError(
                f"a chunk must be (channel, time) with {self._n_channels} channels, got shape {samples.shape}"
            )
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
                f"the device restarted at sample {self._next}; use Gaps('fill') or Gaps('restart') to continue after "
                "gaps"
            )
        self._shift += back
        self.counts["restarts"] += 1
        return self._next

    def _bridge(self, samples: np.ndarray, first: int, missing: int) -> tuple[np.ndarray, int | None]:
        if self.settings.policy == "refuse":
            raise SignalError(
                f"{missing} samples are missing before sample {first}; use Gaps('fill') or Gaps('restart') to continue "
                "after gaps"
            )
        if self.settings.policy == "restart" or missing > self._most:
            self.counts["lost"] += missing
            self.counts["restarts"] += 1
            return samples, first
        self.counts["filled"] += missing
        return np.hstack([np.repeat(self._last, missing, axis=1).astype(samples.dtype), samples]), None
