"""A channel that holds the labels, such as a trigger that was read as one more electrode, is found before it is used."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from myograph._common.runs import run_starts
from myograph.errors import LeakageError
from myograph.preprocessing.base import apply_all
from myograph.recording import Recording

HELD = 0.9  # share of equal neighbours, and of equal samples in a run of one label; electrodes have far less
LOOK = 4000  # samples of the first recording that show which channels to look at


def check_channels(filters: Iterable[Any], recordings: Sequence[Recording]) -> None:
    """Refuse recordings with a channel that stays at one value while a label lasts, and at the same value for the same
    label, unless the filters leave it out.

    Raises
    ------
    LeakageError : there is such a channel. It is a trigger, or the labels themselves.

    >>> label = np.tile(np.repeat([0, 1], 100), 3)
    >>> signal = np.stack([np.random.default_rng(0).normal(size=600), 5.0 * label])
    >>> check_channels((), [Recording(signal, 1000, label, subject="1")])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.LeakageError: ...
    """
    first = recordings[0]
    some = first.signal[:, :LOOK]
    held = np.flatnonzero((some[:, 1:] == some[:, :-1]).mean(axis=1) >= HELD) if some.shape[1] > 1 else []
    for channel in map(int, held):
        values = _values_of_labels(recordings, channel)
        if values is None or len(set(values.values())) < 2:
            continue
        if not _is_used(filters, first, channel):
            continue
        listed = ", ".join(f"{value:g} for {name}" for name, value in list(values.items())[:4])
        raise LeakageError(
            f"channel {channel} of {first.name} says which label it is ({listed}): it is a trigger or the labels themselves, "
            "and a method would read its answers there; read the recordings without it, or leave it out with a filter"
        )


def _values_of_labels(recordings: Sequence[Recording], channel: int) -> dict[str, float] | None:
    """The value of the channel for each label; None if it has no one value, or if no label occurs twice."""
    found: dict[str, float] = {}
    runs = 0
    for recording in recordings:
        if channel >= recording.n_channels:
            return None
        x = recording.signal[channel]
        starts = [*run_starts(recording.label, recording.repetition), recording.n_samples]
        for start, stop in itertools.pairwise(starts):
            if recording.label[start] < 0:
                continue
            value = float(np.median(x[start:stop]))
            name = recording.label_names[recording.label[start]]
            if (x[start:stop] == value).mean() < HELD or found.setdefault(name, value) != value:
                return None
            runs += 1
    return found if runs > len(found) else None


def _is_used(filters: Iterable[Any], recording: Recording, channel: int) -> bool:
    signal = recording.signal.copy()
    signal[channel] = np.random.default_rng(0).normal(size=signal.shape[1])
    done, other = (apply_all(filters, r) for r in (recording, dataclasses.replace(recording, signal=signal)))
    return not np.array_equal(done.signal, other.signal)
