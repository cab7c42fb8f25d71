"""`Prompts`: a schedule of gesture prompts in a seeded order that does not depend on the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from myograph.errors import ConfigError


@dataclass(frozen=True)
class Prompts:
    """A schedule of prompts: each gesture once per round, in random order, with rest after each gesture.

    Parameters
    ----------
    gestures : names of the prompted gestures, without rest.
    rest : the name of rest.
    hold_s, rest_s : duration of each gesture and of the rest after it, in seconds of signal.
    rounds : number of prompts per gesture; 0 repeats without end.
    seed : seed of the order.

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
            raise ConfigError("Prompts: gestures must name at least one gesture")
        if not self.hold_s > 0 or not self.rest_s > 0 or self.rounds < 0:
            raise ConfigError(
                f"Prompts: hold_s and rest_s must be positive and rounds 0 or more, got {self.hold_s!r}, "
                f"{self.rest_s!r} and "
                f"{self.rounds!r}"
            )

    @property
    def duration_s(self) -> float:
        """Duration of all rounds in s, including the rest at the end; infinite if `rounds` is 0."""
        one = len(self.gestures) * (self.hold_s + self.rest_s)
        return self.rest_s + self.rounds * one if self.rounds else float("inf")

    def at(self, time_s: float) -> str:
        """Return the prompt at a time, in seconds from the beginning."""
        trial, inside = divmod(time_s, self.hold_s + self.rest_s)
        if inside < self.rest_s or time_s >= self.duration_s - self.rest_s:
            return self.rest
        done, place = divmod(int(trial), len(self.gestures))
        order = np.random.default_rng([self.seed, done]).permutation(len(self.gestures))
        return self.gestures[int(order[place])]
