"""What the protocols share: groups of rows of a table of windows, and the check of a protocol's fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from myograph.errors import ProtocolError


def groups_of(table: pd.DataFrame, *columns: str, within: np.ndarray | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, row mask) of each combination of columns, in order of appearance."""
    codes = table.groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
    for code in np.unique(codes if within is None else codes[within]):
        rows = codes == code
        first = table.iloc[int(np.argmax(rows))]
        yield ", session ".join(str(first[c]) for c in columns), rows


def set_tuples(protocol: Any, kind: type, *fields: str) -> None:
    """Convert fields that hold one value or several to tuples of `kind`, so that sessions may be given as numbers."""
    for field in fields:
        value = getattr(protocol, field)
        if value is None:
            continue
        try:
            several = tuple(map(kind, [value] if isinstance(value, (str, int, np.integer)) else value))
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"{field} holds {'numbers' if kind is int else 'names'}, got {value!r}") from error
        object.__setattr__(protocol, field, several)


def is_whole(value: Any, least: int) -> bool:
    """Whether `value` is a whole number of at least `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def inventory(table: pd.DataFrame) -> str:
    """Say which subjects, sessions and repetitions the windows have, for messages."""
    parts = [
        f"{column}s {', '.join(map(str, list(table[column].unique())[:12]))}"
        for column in ("subject", "session", "repetition")
    ]
    return "the windows have " + "; ".join(parts)
