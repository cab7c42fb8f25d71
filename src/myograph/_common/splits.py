"""Shared by the protocols: groups of rows of a table of windows, and checks of a protocol's fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from myograph.errors import ProtocolError


@dataclass(frozen=True)
class Fold:
    """One split of the windows.

    Parameters
    ----------
    name : the name of the fold in tables and reports.
    train, test : (window,) integer row positions.
    calibration : the rows of train that are labelled windows of the tested person or session; may be empty.

    Raises
    ------
    ProtocolError : a row is tested twice, or a calibration row is not a train row.

    >>> Fold("subject 1", train=np.array([0, 1]), test=np.array([2])).name
    'subject 1'
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    calibration: np.ndarray = field(default_factory=lambda: np.zeros(0, np.intp))

    def __post_init__(self) -> None:
        if len(np.unique(self.test)) < len(self.test):
            raise ProtocolError(f"fold {self.name!r} tests a window more than once; give each row once")
        if not np.isin(self.calibration, self.train).all():
            raise ProtocolError(
                f"fold {self.name!r} calibrates on windows that it does not train on; the calibration rows must be a "
                "part of "
                "the train rows"
            )


def groups_of(table: pd.DataFrame, *columns: str, within: np.ndarray | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, row mask) of each combination of columns, in order of appearance."""
    codes = table.groupby(list(columns), sort=False, observed=True).ngroup().to_numpy()
    for code in np.unique(codes if within is None else codes[within]):
        rows = codes == code
        first = table.iloc[int(np.argmax(rows))]
        yield ", session ".join(str(first[c]) for c in columns), rows


def train_and_test_sessions(
    subject: str, names: list[str], train: tuple[str, ...] | None, test: tuple[str, ...] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the training sessions of one subject (by default the first) and the tested ones (by default the others).

    names : names of the subject's sessions, in order of appearance.

    Raises
    ------
    ProtocolError : the subject lacks one of the sessions, or none is left to train or to test.
    """
    if train is None:
        train = tuple([n for n in names if n not in (test or ())][:1])
    test = test or tuple(n for n in names if n not in train)
    missing = [n for n in (*train, *test) if n not in names]
    if missing or not train or not test:
        raise ProtocolError(
            f"subject {subject} has sessions {', '.join(names)}; CrossSession needs "
            f"{'session ' + ', '.join(missing) if missing else 'at least one to train and one to test'}"
        )
    return train, test


def set_tuples(protocol: Any, kind: type, *fields: str) -> None:
    """Convert fields that hold one value or several to tuples of `kind`, so that sessions may be given as numbers."""
    for name in fields:
        value = getattr(protocol, name)
        if value is None:
            continue
        try:
            several = tuple(map(kind, [value] if isinstance(value, (str, int, np.integer)) else value))
        except (TypeError, ValueError) as error:
            raise ProtocolError(f"{name} must hold {'numbers' if kind is int else 'names'}, got {value!r}") from error
        object.__setattr__(protocol, name, several)


def is_whole(value: Any, least: int) -> bool:
    """Return whether `value` is a whole number of at least `least`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def inventory(table: pd.DataFrame) -> str:
    """Return a text that lists the subjects, sessions and repetitions of the windows, for messages."""
    parts = [
        f"{column}s {', '.join(map(str, list(table[column].unique())[:12]))}"
        for column in ("subject", "session", "repetition")
    ]
    return "the windows have " + "; ".join(parts)
