"""The plan of prompts (what a person is asked to do and when), and the prompter that steps through it.

Time is counted in samples. Prompts therefore stay aligned with the signal even if a page draws them late, and tests need
no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from myograph.errors import ConfigError

REST = "rest"
REACTION_S = 0.5  # after a prompt changes, in which the person reacts; left unlabelled
RAMP_SHARE = 0.35  # of a ramp prompt's duration, for the rise and for the fall
LIMITS = {"repetitions": (1, 100), "hold_s": (1.0, 60.0), "rest_s": (1.0, 60.0), "ready_s": (1.0, 60.0)}


@dataclass(frozen=True)
class PromptPlan:
    """The prompts of a recording or of a test.

    Parameters
    ----------
    gestures : names, without rest.
    repetitions : number of prompts per gesture. They are shown in blocks; each block has every gesture once, in a
        seeded order.
    hold_s, rest_s, ready_s : duration of a prompt, of the rest after it, and of the countdown before the first, in s.
    shape : "hold" for a constant contraction, "ramp" for one that rises and falls.
    seed : seed of the order.

    Raises
    ------
    ConfigError : a value outside its limits.

    >>> PromptPlan(("fist", "open"), repetitions=2, seed=1).trials()
    [('fist', 1), ('open', 1), ('fist', 2), ('open', 2)]
    """

    gestures: tuple[str, ...]
    repetitions: int = 3
    hold_s: float = 3.0
    rest_s: float = 2.0
    ready_s: float = 3.0
    shape: Literal["hold", "ramp"] = "hold"
    seed: int = 0

    def __post_init__(self) -> None:
        names = tuple(str(g).strip() for g in self.gestures)
        if not names or len(set(names)) != len(names) or REST in names or not all(names):
            raise ConfigError(f"gestures must be different names, one or more, without {REST!r}, got {self.gestures!r}")
        object.__setattr__(self, "gestures", names)
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise ConfigError(f"{name} must be {low:g} to {high:g}, got {value!r}")
        for name in ("repetitions", "seed"):
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.shape not in ("hold", "ramp"):
            raise ConfigError(f"shape must be 'hold' or 'ramp', got {self.shape!r}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> PromptPlan:
        """Create a plan from plain values.

        Raises
        ------
        ConfigError : an unknown setting, or a value outside its limits.
        """
        known = {f.name for f in fields(cls)}
        if strange := set(given) - known:
            raise ConfigError(f"a plan has no setting {min(strange)!r}; known: {', '.join(sorted(known))}")
        if not isinstance(given.get("gestures"), (list, tuple)):
            raise ConfigError(f"gestures must be a list of names, got {given.get('gestures')!r}")
        return cls(**{**given, "gestures": tuple(given["gestures"])})

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, from which `of` creates the same plan."""
        return {**asdict(self), "gestures": list(self.gestures)}

    def trials(self) -> list[tuple[str, int]]:
        """Return (gesture, repetition) in the order of the prompts."""
        rng = np.random.default_rng(self.seed)
        order = [rng.permutation(len(self.gestures)) for _ in range(self.repetitions)]
        return [(self.gestures[i], r + 1) for r, block in enumerate(order) for i in block]

    @property
    def seconds(self) -> float:
        """Duration of the whole plan in s."""
        return self.ready_s + len(self.gestures) * self.repetitions * (self.hold_s + self.rest_s)

    @property
    def labelled_s(self) -> tuple[float, float]:
        """Start and end of the labelled part of a prompt, in seconds from its beginning."""
        if self.shape == "hold":
            return min(REACTION_S, self.hold_s / 2), self.hold_s
        edge = 0.5 * RAMP_SHARE * self.hold_s
        return min(edge + REACTION_S, self.hold_s / 2), self.hold_s - edge

    def level(self, share: float) -> float:
        """Return the prompted effort, 0 to 1, at a share (0 to 1) of the prompt's duration."""
        if self.shape == "hold":
            return 1.0
        return float(np.clip(min(share, 1 - share) / RAMP_SHARE, 0.0, 1.0))


Attempt = tuple[int, tuple[str, int]]  # its number, and the trial: (gesture, repetition)


class Event(NamedTuple):
    """An event at a sample: "begin" or "end" of an attempt, or "done"."""

    kind: str
    offset: int  # in samples from the first sample of this `advance`
    attempt: int
    gesture: str
    repetition: int


class Prompter:
    """Steps through a plan.

    A trial is one repetition of one gesture, and an attempt is one prompt for it. After an undo, or a pause during the
    prompt, the trial gets another attempt.

    Parameters
    ----------
    finished : attempts completed in an earlier run of this plan, which are not repeated. number : number of that run's
        last attempt.

    Attributes
    ----------
    phase : "ready" (countdown), "hold" (a prompt), "rest", "paused" or "done".
    left : samples until the phase ends.
    """

    def __init__(self, plan: PromptPlan, rate_hz: float, finished: Sequence[Attempt] = (), number: int = 0):
        self.plan, self.rate_hz = plan, rate_hz
        done = [trial for _, trial in finished]
        self._open = [trial for trial in plan.trials() if trial not in done]
        self._attempts = list(finished)
        self._number = number
        self.total = len(self._open) + len(done)
        self.phase, self.left = ("ready", self._samples(plan.ready_s)) if self._open else ("done", 0)

    def _samples(self, seconds: float) -> int:
        return max(1, round(seconds * self.rate_hz))

    @property
    def finished(self) -> int:
        """Number of finished trials."""
        return len(self._attempts)

    @property
    def wanted(self) -> str:
        """The gesture that is prompted now."""
        return self._open[0][0] if self.phase == "hold" else REST

    @property
    def coming(self) -> tuple[str, int] | None:
        """The trial of the current or the next prompt."""
        return self._open[0] if self._open else None

    @property
    def share(self) -> float:
        """Elapsed share of the phase, 0 to 1."""
        whole = {"ready": self.plan.ready_s, "hold": self.plan.hold_s, "rest": self.plan.rest_s}.get(self.phase)
        return 1.0 if whole is None else 1 - self.left / self._samples(whole)

    def advance(self, n: int) -> Iterator[Event]:
        """Advance by `n` samples."""
        offset = 0
        while self.phase in ("ready", "hold", "rest"):
            step = min(n - offset, self.left)
            self.left -= step
            offset += step
            if self.left:
                return
            yield self._next(offset)

    def _next(self, offset: int) -> Event:
        if self.phase == "hold":
            trial = self._open.pop(0)
            self._attempts.append((self._number, trial))
            self.phase, self.left = "rest", self._samples(self.plan.rest_s)
            return Event("end", offset, self._number, *trial)
        if not self._open:
            self.phase = "done"
            return Event("done", offset, self._number, "", 0)
        self._number += 1
        self.phase, self.left = "hold", self._samples(self.plan.hold_s)
        return Event("begin", offset, self._number, *self._open[0])

    def pause(self) -> int | None:
        """Pause; return the number of the attempt that this interrupts, or None."""
        broken = self._number if self.phase == "hold" else None
        if self.phase != "done":
            self.phase, self.left = "paused", 0
        return broken

    def resume(self) -> None:
        """Resume with a countdown."""
        if self.phase == "paused":
            self.phase, self.left = "ready", self._samples(self.plan.ready_s)

    def undo(self) -> int | None:
        """Discard the running prompt, or else the last one, and repeat it after a countdown.

        Return the number of its attempt, or None if there is no prompt to undo.
        """
        if self.phase == "hold":
            number: int | None = self._number
        elif self._attempts:
            number, trial = self._attempts.pop()
            self._open.insert(0, trial)
        else:
            return None
        self.phase, self.left = "ready", self._samples(self.plan.ready_s)
        return number
