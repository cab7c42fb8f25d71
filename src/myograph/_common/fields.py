"""Fields of frozen dataclasses that decide a run."""

from __future__ import annotations

import dataclasses
from typing import Any

ADDED = {"omitted from the identity while it has its default": True}
"""Metadata of a field that a later version added: while it has its default value, a recipe's identity does not mention
it. Runs of earlier versions therefore keep their identity, and resume."""


def decisive(value: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass instance that its identity is made of.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Settings:
    ...     size: int = 1
    ...     colour: str = dataclasses.field(default="blue", metadata=ADDED)
    >>> [f.name for f in decisive(Settings())], [f.name for f in decisive(Settings(colour="red"))]
    (['size'], ['size', 'colour'])
    """
    later = ADDED.keys()
    return [
        f for f in dataclasses.fields(value) if not (later <= f.metadata.keys() and getattr(value, f.name) == f.default)
    ]


def repr_of_decisive(value: Any) -> str:
    """The text of a dataclass instance, without fields that a later version added and that have their default."""
    return f"{type(value).__name__}({', '.join(f'{f.name}={getattr(value, f.name)!r}' for f in decisive(value))})"
