"""Live decoding of arriving samples, with post-processing that can be changed while the decoder runs."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from myograph.cli.studio.plan import REST
from myograph.errors import ConfigError
from myograph.live.decisions import Decisions
from myograph.live.decoder import Decoder
from myograph.live.metrics import latency
from myograph.live.postprocess import ConfidenceRejection, MajorityVote, PostProcessor, VelocityRamp
from myograph.live.session import Session

KEPT = 1200  # decisions over which latency percentiles are computed: one minute at 50 ms per decision
RECENT = 64  # decisions that a newly opened page can draw


class Decoding:
    """The decoder in use, if any.

    Attributes
    ----------
    votes, threshold, ramp : post-processing: decisions per majority vote (1: off), lowest accepted probability (0: off),
        and decisions until full speed (0: at once).
    """

    def __init__(self, session: Session):
        self.session = session
        self.name = ""
        self.votes, self.threshold, self.ramp = 3, 0.5, 0
        self.total = 0
        self._latency: deque[float] = deque(maxlen=KEPT)
        self._recent: deque[tuple[int, str, bool]] = deque(maxlen=RECENT)
        self._last: dict[str, Any] | None = None

    def use(self, decoder: Decoder, name: str) -> None:
        """Decode with this decoder from now on.

        Raises
        ------
        ShapeError, SignalError : it was fitted for another number of channels, rate or unit than the source has.
        """
        self.session.use(decoder.with_post(*self.post()))
        self.name = name
        self._forget()

    @property
    def decoder(self) -> Decoder | None:
        """The decoder in use, if any."""
        return self.session.decoder

    def stop(self) -> None:
        """Stop decoding."""
        self.session.use(None)
        self.name = ""
        self._forget()

    def _forget(self) -> None:
        self._latency.clear()
        self._recent.clear()
        self._last, self.total = None, 0

    def set_post(self, votes: int | None = None, threshold: float | None = None, ramp: int | None = None) -> None:
        """Change the post-processing from the next decision on.

        Raises
        ------
        ConfigError : a value outside its limits.
        """
        votes = self.votes if votes is None else votes
        threshold = self.threshold if threshold is None else threshold
        ramp = self.ramp if ramp is None else ramp
        if not 1 <= votes <= 50 or not 0 <= threshold < 1 or not 0 <= ramp <= 100:
            raise ConfigError(
                f"votes must be 1 to 50, threshold 0 to below 1 and ramp 0 to 100, got {votes!r}, "
                f"{threshold!r} and {ramp!r}"
            )
        self.votes, self.threshold, self.ramp = votes, threshold, ramp
        if self.decoder is not None:
            self.session.set_post(*self.post())

    def post(self) -> list[PostProcessor]:
        """Return the post-processors that correspond to the settings."""
        found: list[PostProcessor] = []
        if self.threshold > 0:
            found.append(ConfidenceRejection(self.threshold))
        if self.votes > 1:
            found.append(MajorityVote(self.votes))
        if self.ramp > 0:
            found.append(VelocityRamp(self.ramp))
        return found

    @property
    def step_s(self) -> float:
        """Time from one decision to the next in s."""
        return 0.05 if self.decoder is None else self.decoder.windowing.step_ms / 1000

    def take(self, decisions: Decisions) -> None:
        """Keep decisions of the session for display."""
        for i in range(len(decisions)):
            self._note(decisions, i)

    def _note(self, decisions: Decisions, i: int) -> None:
        self.total += 1
        name, rejected = decisions.classes[decisions.label[i]], bool(decisions.rejected[i])
        self._latency.append(float(decisions.latency_ms[i]))
        self._recent.append((self.total, name, rejected))
        proba = decisions.proba[i]
        self._last = {
            "n": self.total,
            "label": name,
            "output": REST if rejected else name,
            "raw": decisions.classes[decisions.raw[i]],
            "rejected": rejected,
            "gain": float(decisions.gain[i]),
            "proba": None if np.isnan(proba).any() else [round(float(p), 4) for p in proba],
        }

    @property
    def last(self) -> dict[str, Any] | None:
        """Return the newest decision as plain values."""
        return self._last

    def part(self) -> dict[str, Any]:
        """Return the state that the page shows, as plain values; the latency covers the last minute."""
        d = self.decoder
        found = latency(np.array(self._latency)) if self._latency else None
        return {
            "name": self.name,
            "classes": [] if d is None else list(d.classes),
            "method": "" if d is None else str(d.trained_on.get("method", type(d.method).__name__)),
            "step_ms": 1000 * self.step_s,
            "length_ms": 0 if d is None else d.windowing.length_ms,
            "post": {"votes": self.votes, "threshold": self.threshold, "ramp": self.ramp},
            "latency": None if found is None else {k: round(v, 2) for k, v in found.items()},
        }

    def tick(self) -> dict[str, Any] | None:
        """Return the newest decision and those shortly before it, each as [number, class, rejected]."""
        return None if self._last is None else {**self._last, "recent": [list(r) for r in self._recent]}
