"""`decide_live`: a decoder on a source, with gaps counted and every decision's latency measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from myograph.errors import ShapeError, SignalError, SourceEnded
from myograph.live.decisions import Decisions
from myograph.live.decoder import Decoder
from myograph.live.sources.base import Gaps, Source, StreamInfo

PAUSE_S = 0.001


@dataclass
class Session:
    """A decoder at work on a source.

    Parameters
    ----------
    gaps : what becomes of missing samples.
    on_samples : called with every chunk of samples that is decided on, (channel, time), for a recorder or a display.

    Attributes
    ----------
    counts : samples received, filled, lost and repeated, and restarts of the stream; see `Gaps`.
    """

    decoder: Decoder
    source: Source
    gaps: Gaps = field(default_factory=Gaps)
    on_samples: Callable | None = None
    counts: dict[str, int] = field(default_factory=dict, init=False)

    def run(self, seconds: float | None = None) -> Iterator[Decisions]:
        """Decisions as they are made, until the source ends or `seconds` have passed; it ends by closing the source.

        Raises
        ------
        ShapeError, SignalError : the source has other channels, another rate or unit than the decoder, or gaps are refused.
        SourceError : the source was lost.
        """
        info = self.source.open()
        try:
            self._check(info)
            keeper = self.gaps.start(info.n_channels, info.rate_hz)
            self.counts = keeper.counts
            stream = self.decoder.stream()
            until = None if seconds is None else time.monotonic() + seconds
            while until is None or time.monotonic() < until:
                try:
                    chunk = self.source.read()
                except SourceEnded:
                    return
                if chunk is None:
                    time.sleep(PAUSE_S)
                    continue
                samples, restart = keeper.take(chunk)
                if restart is not None:
                    stream.reset(restart)
                if self.on_samples is not None:
                    self.on_samples(samples)
                decisions = stream.push(samples)
                if len(decisions):
                    yield decisions
        finally:
            self.source.close()

    def _check(self, info: StreamInfo) -> None:
        decoder = self.decoder
        if info.n_channels != decoder.n_channels:
            raise ShapeError(
                f"{info.name} has {info.n_channels} channels, the decoder was fitted on {decoder.n_channels}; choose the "
                "same channels in the same order"
            )
        if (info.rate_hz, info.unit) != (decoder.rate_hz, decoder.unit):
            raise SignalError(
                f"{info.name} sends {info.rate_hz:g} Hz in {info.unit!r}, the decoder was fitted at {decoder.rate_hz:g} Hz in "
                f"{decoder.unit!r}; set the device to that rate and unit"
            )
