"""Is this recording fit to use? `inspect` looks for what goes wrong with electrodes, amplifiers and file readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd: how bad, where, what, and what to do about it."""

    level: Level
    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.what}; {self.advice}"
