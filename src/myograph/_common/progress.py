"""The interface with which long-running functions report their progress."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as progress(message, done, total)."""


def silent(message: str, done: int, total: int) -> None:
    """Report nothing."""
