"""The data on which a method was fitted, as plain values for a file: people, sessions, windows, and names of data sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myograph._common.columns import distinct
from myograph._common.seen import Seen, repetitions_of

MOST_NAMED = 6
UNKNOWN = "unknown data"


def origin_of(X: Any) -> dict[str, Any]:
    """Return the origin of `Windows` as plain values, or of an array, of which only the length is known.

    >>> import numpy as np
    >>> from myograph import Recording, Windows
    >>> windows = Windows.cut(Recording(np.zeros((2, 400)), 1000, np.zeros(400, int), "anna", name="3dc, subject anna"))
    >>> origin_of(windows)
    {'data': ['3dc'], 'people': ['anna'], 'sessions': 1, 'windows': 5}
    """
    if not hasattr(X, "recordings"):
        return {"data": [UNKNOWN], "people": [], "sessions": 0, "windows": len(X)}
    recordings = [X.recordings[i] for i in distinct(X.column("recording"))]
    known = repetitions_of(X)[1].values()
    return {
        # Readers of data sets name a recording with the data set, then the subject.
        "data": sorted({r.name.partition(", ")[0] for r in recordings if not r.name.startswith("subject ")}),
        "people": sorted({subject for subject, _, _ in known}),
        "sessions": len({name[:2] for name in known}),
        "windows": len(X),
    }


def joined_origin(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the origin of a method that was fitted on both, one after the other. For the same people, the larger
    number of sessions is taken, because files hold their number, not their names.

    >>> joined_origin({"data": [], "people": ["a"], "sessions": 1, "windows": 5}, {})
    {'data': [], 'people': ['a'], 'sessions': 1, 'windows': 5}
    """
    if not one or not other:
        return dict(one or other)
    same = one["people"] == other["people"]
    return {
        **{k: sorted({*one[k], *other[k]}) for k in ("data", "people")},
        "sessions": max(one["sessions"], other["sessions"]) if same else one["sessions"] + other["sessions"],
        "windows": one["windows"] + other["windows"],
    }


def in_words(origin: Mapping[str, Any]) -> str:
    """Return an origin as part of a sentence.

    >>> in_words({"data": ["3dc"], "people": ["1", "2"], "sessions": 4, "windows": 900})
    '3dc: 2 people (1, 2), 4 sessions, 900 windows'
    >>> in_words({})
    'unknown data'
    """
    if not origin or not origin["people"]:
        return UNKNOWN
    people, data = (list(origin[k]) for k in ("people", "data"))
    named = ", ".join(people[:MOST_NAMED]) + (", …" if len(people) > MOST_NAMED else "")
    whose = f"{len(people)} {'person' if len(people) == 1 else 'people'} ({named})"
    n = origin["sessions"]
    size = f"{n} session{'' if n == 1 else 's'}, {origin['windows']} windows"
    return f"{', '.join(data[:MOST_NAMED])}: {whose}, {size}" if data else f"{whose}, {size}"


def checked_origin(value: Any) -> dict[str, Any]:
    """Check an origin that was read from a file, and return it.

    Raises
    ------
    ValueError : the value does not have the form of `origin_of`.
    """
    if value == {}:
        return {}
    names = isinstance(value, dict) and [value.get(k) for k in ("data", "people")]
    texts = names and all(isinstance(some, list) and all(isinstance(n, str) for n in some) for some in names)
    counts = texts and all(type(value.get(k)) is int and value[k] >= 0 for k in ("sessions", "windows"))
    if not counts or len(value) != 4:
        raise ValueError(f"trained_on_ is {value!r:.100}; expected data, people, sessions and windows")
    return value


def origin_of_fitted(estimator: Any) -> dict[str, Any]:
    """Return the origin that a fitted estimator of myograph remembers, or {}."""
    kept = getattr(estimator, "trained_on_", None)
    if isinstance(kept, Mapping) and kept:
        return dict(kept)
    seen = getattr(estimator, "_seen", None)
    if not isinstance(seen, Seen):
        return {}
    sessions = {name[:2] for name in seen.repetitions}
    return {"data": [], "people": sorted({name[0] for name in sessions}), "sessions": len(sessions), "windows": seen.n}
