"""`DecoderStream`: a decoder running on live samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from myograph.errors import ConfigError
from myograph.live._predict import StreamPredictor
from myograph.live.decisions import Decisions
from myograph.live.postprocess import PostProcessor, ProportionalVelocity, Step, run_all
from myograph.preprocessing.filters import stream_all
from myograph.recording import check_finite

if TYPE_CHECKING:
    from myograph.live.decoder import Decoder


class DecoderStream:
    """Filters, features, method and post-processing with their states; created by `Decoder.stream`.

    The decisions do not depend on how the samples are divided into chunks. They are identical, bit for bit, to those of
    `Decoder.decide` for a recording of the same samples.

    >>> from myograph.live.decoder import Decoder
    >>> from myograph.live.postprocess import MajorityVote
    >>> from myograph.testing import make_recording
    >>> recording = make_recording()
    >>> stream = Decoder.fit(recording, "lda").stream()
    >>> len(stream.push(recording.signal[:, :249])), len(stream.push(recording.signal[:, 249:251]))
    (1, 1)
    >>> stream.set_post([MajorityVote(5)])
    >>> stream.reset()
    >>> len(stream.push(recording.signal[:, :249]))
    1
    """

    def __init__(self, decoder: Decoder):
        self.decoder = decoder
        self.reset()

    def reset(self, sample: int = 0) -> None:
        """Discard all samples and states, as after a break.

        sample : number of the next raw sample, which sets the times of the following decisions.
        """
        decoder = self.decoder
        rate_hz, n_channels = decoder.filtered
        self._before = round(sample * rate_hz / decoder.rate_hz)
        self._rate_hz = rate_hz
        self._length, self._step, _ = decoder.windowing.samples(rate_hz)
        self._filters = stream_all(decoder.filters, decoder.rate_hz, decoder.n_channels, decoder.layout)
        self._predict = StreamPredictor(decoder.method, decoder.classes, decoder.windowing, rate_hz, n_channels)
        self._post = run_all(decoder.post, decoder.classes)
        self._measures = any(isinstance(p, ProportionalVelocity) for p in decoder.post)
        self._held = _Held(n_channels, self._length, decoder.dtype) if self._keeps() else None
        self._taken = 0  # number of filtered samples so far
        self._next = self._length  # number of filtered samples that complete the next window
        self._none = self._decisions([], [], [], [])

    def set_post(self, post: Sequence[PostProcessor]) -> None:
        """Replace the post-processors from the next decision on; filters and windows keep their states.

        Raises
        ------
        ConfigError : they need a class or probabilities that the decoder does not have, or amplitudes, which a stream
            measures only if its decoder had a ProportionalVelocity from the beginning.
        """
        decoder = self.decoder.with_post(*post)
        if any(isinstance(p, ProportionalVelocity) for p in post) and not self._measures:
            raise ConfigError(
                "a ProportionalVelocity cannot be added to a running stream; start one with decoder.with_post(...)"
            )
        self._post = run_all(post, decoder.classes)
        self.decoder = decoder

    def _keeps(self) -> bool:
        return self._measures or self._predict.needs_samples

    def push(self, chunk: Any) -> Decisions:
        """Return the decisions that these samples complete, none or more.

        chunk : (channel, time) raw samples, any number of them, in the decoder's unit and at its rate.

        Raises
        ------
        ShapeError : another number of channels.
        SignalError : the samples are not real numbers, or NaN or infinite. They are then ignored, and the state does
            not change.
        """
        came = time.perf_counter()
        chunk = np.asarray(chunk)
        if chunk.dtype.kind in "iufb":
            chunk = chunk.astype(self.decoder.dtype, copy=False)
        filtered = self._filters.push(chunk)
        stops: list[int] = []
        raws: list[int] = []
        steps: list[Step] = []
        spent: list[float] = []
        first, n = 0, filtered.shape[1]
        while first < n:
            last = min(n, first + self._next - self._taken)  # not beyond the end of the next window
            self._take(filtered[:, first:last])
            first = last
            if self._taken == self._next:
                raw, step = self._decide()
                stops.append(self._taken)
                raws.append(raw)
                steps.append(step)
                spent.append(1000 * (time.perf_counter() - came))
                self._next += self._step
        return self._decisions(stops, raws, steps, spent) if steps else self._none

    def _take(self, piece: np.ndarray) -> None:
        self._predict.push(piece)
        if self._held is not None:
            self._held.push(piece)
        self._taken += piece.shape[1]

    def _decide(self) -> tuple[int, Step]:
        window = None if self._held is None else self._held.window()
        raw, proba = self._predict.answer(window)
        amplitude = float(np.abs(window).mean(dtype=np.float64)) if self._measures and window is not None else np.nan
        return raw, self._post(Step(raw, proba, amplitude=amplitude))

    def _decisions(self, stops: list[int], raws: list[int], steps: Sequence[Step], spent_ms: list[float]) -> Decisions:
        stop = np.array(stops, np.int64) + self._before
        label, proba, rejected, gain, _ = zip(*steps) if steps else ((), (), (), (), ())
        classes = self.decoder.classes
        return Decisions(
            classes=classes,
            start=stop - self._length,
            stop=stop,
            time_s=stop / self._rate_hz,
            raw=np.array(raws, np.intp),
            label=np.array(label, np.intp),
            rejected=np.array(rejected, bool),
            gain=np.array(gain, float),
            proba=np.array(proba, float).reshape(len(steps), len(classes)),
            latency_ms=np.array(spent_ms, float),
        )


class _Held:
    """The last samples of each channel, as many as a window has, contiguous in memory."""

    def __init__(self, n_channels: int, length: int, dtype: str):
        self._length = length
        self._samples = np.zeros((n_channels, 8 * length), dtype)
        self._end = length

    def push(self, piece: np.ndarray) -> None:
        piece = piece[:, -self._length :]
        check_finite(piece, "the filters' output")
        n = piece.shape[1]
        if self._end + n > self._samples.shape[1]:
            self._samples[:, : self._length] = self._samples[:, self._end - self._length : self._end]
            self._end = self._length
        self._samples[:, self._end : self._end + n] = piece
        self._end += n

    def window(self) -> np.ndarray:
        """Return a (1, channel, time) copy of the last samples."""
        return self._samples[None, :, self._end - self._length : self._end].copy()
