"""Fields of frozen dataclasses that determine a run's identity."""

from __future__ import annotations

import dataclasses
from typing import Any

ADDED = {"omitted from the identity while it has its default": True}
"""Metadata of a field that was added in a later version: while it has its default value, it is not part of a recipe's
identity. Runs of earlier versions therefore keep their identity and can resume."""


def decisive(value: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields of a dataclass instance that are part of its identity.

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
    """Return the text of a dataclass instance, without later fields that have their default value."""
    return f"{type(value).__name__}({', '.join(f'{f.name}={getattr(value, f.name)!r}' for f in decisive(value))})"
