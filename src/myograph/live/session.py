"""`Session`: runs a decoder on a source, counts gaps, and reconnects after a lost connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from myograph.errors import ConfigError, ShapeError, SignalError, SourceEnded, SourceError
from myograph.live.decisions import Decisions
from myograph.live.decoder import Decoder
from myograph.live.postprocess import PostProcessor
from myograph.live.sources.base import GapKeeper, Gaps, Source, StreamInfo
from myograph.live.stream import DecoderStream

PAUSE_S = 0.001
RETRY_S = 0.25


class Piece(NamedTuple):
    """Samples that a session read from its source, and the decisions that they complete.

    samples : (channel, time), without gaps. first : number of the first one. restarted : whether samples before `first`
    are missing, so that no window spans that point. decisions : None if the session has no decoder.
    """

    samples: np.ndarray
    first: int
    restarted: bool
    decisions: Decisions | None


@dataclass
class Session:
    """Reads a source and runs a decoder on its samples.

    `run` yields decisions until the source ends. A program with its own loop calls `open`, then `step` as often as
    possible, then `close`; `step` never waits.

    Parameters
    ----------
    decoder : the decoder, or None to read samples only; `use` changes it while the session runs.
    source : the source of the samples.
    gaps : how missing samples are handled.
    on_samples : called with every (channel, time) piece of samples, for a recorder or a display.
    reconnect_s : how long to try to reconnect after the connection is lost; 0 raises SourceError at once.

    Attributes
    ----------
    counts : samples received, filled, lost and repeated, and restarts of the stream; see `Gaps`.
    info : properties of the source's samples, once open.
    connected : whether the source is connected now.

    >>> from myograph import Recording
    >>> from myograph.live.sources.replay import Replay
    >>> recording = Recording(np.arange(20.0)[None], 1000.0, None, "1")
    >>> session = Session(None, Replay(recording, speed=float("inf"), chunk_ms=15))
    >>> session.open().n_channels
    1
    >>> [(piece.first, piece.samples.shape) for piece in (session.step(), session.step())]
    [(0, (1, 15)), (15, (1, 5))]
    >>> session.close()
    """

    decoder: Decoder | None
    source: Source
    gaps: Gaps = field(default_factory=Gaps)
    on_samples: Callable | None = None
    reconnect_s: float = 0.0
    counts: dict[str, int] = field(default_factory=dict, init=False)
    info: StreamInfo | None = field(default=None, init=False)
    connected: bool = field(default=False, init=False)
    _keeper: GapKeeper | None = field(default=None, init=False, repr=False)
    _stream: DecoderStream | None = field(default=None, init=False, repr=False)
    _lost: SourceError | None = field(default=None, init=False, repr=False)
    _lost_at: float = field(default=0.0, init=False, repr=False)
    _retry_at: float = field(default=0.0, init=False, repr=False)

    def open(self) -> StreamInfo:
        """Connect to the source.

        Raises
        ------
        ShapeError, SignalError : the source has other channels, another rate or unit than the decoder.
        SourceError : the source does not answer.
        """
        info = self.source.open()
        try:
            if self.decoder is not None:
                check_source(info, self.decoder)
        except (ShapeError, SignalError):
            self.source.close()
            raise
        self.info, self.connected = info, True
        self._keeper = self.gaps.start(info.n_channels, info.rate_hz)
        self.counts = self._keeper.counts
        self._stream = None if self.decoder is None else self.decoder.stream()
        return info

    def use(self, decoder: Decoder | None) -> None:
        """Use another decoder from the next samples on; None stops decoding.

        Raises
        ------
        ShapeError, SignalError : the decoder was fitted for other channels, rate or unit; the present one is kept.
        """
        if decoder is not None and self.info is not None:
            check_source(self.info, decoder)
        self.decoder = decoder
        self._stream = None if decoder is None else decoder.stream()
        if self._stream is not None and self._keeper is not None:
            self._stream.reset(self._keeper.next)

    def set_post(self, *post: PostProcessor) -> None:
        """Change the decoder's post-processing from the next decision on; filters and windows keep their states.

        Raises
        ------
        ConfigError : there is no decoder, or the post-processors do not fit it; see `DecoderStream.set_post`.
        """
        if self._stream is None:
            raise ConfigError("Session: there is no decoder whose post-processing could be changed; call use() first")
        self._stream.set_post(post)
        self.decoder = self._stream.decoder

    def step(self) -> Piece | None:
        """Return the samples that have arrived since the last call, or None if there are none.

        Raises
        ------
        SourceEnded : the source has ended and all samples were read. SourceError : the connection was lost and could
            not be restored within `reconnect_s`. SignalError : samples are missing and the policy of `gaps` is
            "refuse".
        """
        if self._keeper is None:
            raise ConfigError("Session: call open() before step()")
        if not self.connected and not self._reconnect():
            return None
        try:
            chunk = self.source.read()
        except SourceError as error:
            self._lose(error)
            return None
        if chunk is None:
            return None
        samples, restart = self._keeper.take(chunk)
        first = self._keeper.next - samples.shape[1]
        if restart is not None and self._stream is not None:
            self._stream.reset(restart)
        if self.on_samples is not None:
            self.on_samples(samples)
        decisions = None if self._stream is None else self._stream.push(samples)
        return Piece(samples, first, restart is not None, decisions)

    def close(self) -> None:
        """Disconnect; a second call does nothing."""
        self.source.close()
        self.connected, self._keeper = False, None

    def run(self, seconds: float | None = None) -> Iterator[Decisions]:
        """Yield decisions until the source ends or `seconds` have passed; then close the source.

        Raises
        ------
        The errors of `open` and `step` except SourceEnded. ConfigError : there is no decoder.
        """
        if self.decoder is None:
            raise ConfigError("Session.run needs a decoder; give the session one, or call step() to read samples")
        self.open()
        try:
            until = None if seconds is None else time.monotonic() + seconds
            while until is None or time.monotonic() < until:
                try:
                    piece = self.step()
                except SourceEnded:
                    return
                if piece is None:
                    time.sleep(PAUSE_S)
                elif piece.decisions is not None and len(piece.decisions):
                    yield piece.decisions
        finally:
            self.close()

    def _lose(self, error: SourceError) -> None:
        if self.reconnect_s <= 0:
            raise error
        self.source.close()
        self.connected, self._lost, self._lost_at = False, error, time.monotonic()
        self._retry_at = self._lost_at

    def _reconnect(self) -> bool:
        now = time.monotonic()
        if now < self._retry_at or self._lost is None or self._keeper is None or self.info is None:
            return False
        try:
            info = self.source.open()
        except SourceError as error:
            if now - self._lost_at > self.reconnect_s:
                raise error from self._lost
            self._retry_at = time.monotonic() + RETRY_S
            return False
        if (info.n_channels, info.rate_hz, info.unit) != (self.info.n_channels, self.info.rate_hz, self.info.unit):
            self.source.close()
            raise SourceError(
                f"{info.name} reconnected with {info.n_channels} channels at {info.rate_hz:g} Hz in {info.unit!r}, but "
                "had "
                f"{self.info.n_channels} at {self.info.rate_hz:g} Hz in {self.info.unit!r}; start the session again"
            )
        self._keeper.reconnected()
        self.connected, self._lost = True, None
        return True


def check_source(info: StreamInfo, decoder: Decoder) -> None:
    """Check that a decoder fits the samples of a source.

    Raises
    ------
    ShapeError : another number of channels. SignalError : another rate or unit.
    """
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
