"""`Prompts`: which gesture is asked for when, in a seeded order that does not depend on the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myograph.errors import ConfigError


@dataclass(frozen=True)
class Prompts:
    """A screen-guided order: each gesture once per round, in a random order, with rest after each.

    Parameters
    ----------
    gestures : names to ask for, without rest.
    rest : the name of rest.
    hold_s, rest_s : how long each gesture and the rest after it are asked for, in seconds of signal.
    rounds : how often each gesture is asked for; 0 goes on for ever.
    seed : of the order.

    >>> prompts = Prompts(("fist", "open"), hold_s=2.0, rest_s=1.0, seed=1)
    >>> [prompts.at(t) for t in (0.5, 1.5, 3.5, 4.5)]
    ['rest', 'fist', 'rest', 'open']
    """

    gestures: Sequence[str]
    rest: str = "rest"
    hold_s: float = 3.0
    rest_s: float = 2.0
    rounds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.gestures:
            raise ConfigError("Prompts: there is no gesture to ask for")
        if not self.hold_s > 0 or not self.rest_s > 0 or self.rounds < 0:
            raise ConfigError(
                f"Prompts: hold_s and rest_s are positive and rounds is 0 or more, got {self.hold_s!r}, {self.rest_s!r} and "
                f"{self.rounds!r}"
            )

    @property
    def duration_s(self) -> float:
        """How long all rounds take, the rest at the end included; infinite where they go on for ever."""
        one = len(self.gestures) * (self.hold_s + self.rest_s)
        return self.rest_s + self.rounds * one if self.rounds else float("inf")

    def at(self, time_s: float) -> str:
        """What is asked for at a time, in seconds from the beginning."""
        trial, inside = divmod(time_s, self.hold_s + self.rest_s)
        if inside < self.rest_s or time_s >= self.duration_s - self.rest_s:
            return self.rest
        done, place = divmod(int(trial), len(self.gestures))
        order = np.random.default_rng([self.seed, done]).permutation(len(self.gestures))
        return self.gestures[int(order[place])]
