"""Tests of the user's own filters: the response to one changed sample, and whether the output depends on the labels."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from myograph._common.runs import run_starts
from myograph.errors import ConfigError, LeakageError
from myograph.evaluation.sealed import has_own_code
from myograph.preprocessing.base import Filter, apply_all, as_tuple
from myograph.recording import Recording

ENERGY = 0.99  # fraction of the energy of the impulse response that a stated reach covers
MARGIN = 1.5  # tolerance for filters that are not linear, whose response differs from the impulse response


def check_own_filters(filters: Filter | Iterable[Filter], recordings: Sequence[Recording]) -> None:
    """Test each filter that contains the user's own code on one recording: the first of those with the most labels.

    Filters of myograph are not tested.

    Parameters
    ----------
    filters : in the order in which they are applied.
    recordings : from which the one for the test is taken.

    Raises
    ------
    LeakageError : one changed sample changes the output beyond the stated reach of the filter, or the output depends on
        the labels.
    ConfigError : a filter cannot be applied to the recording, does not state its reach, or gives a different output each
        time it is applied.

    >>> from myograph.preprocessing import SampleFilter
    >>> class Smooth(SampleFilter):
    ...     def apply(self, recording):
    ...         return recording.with_signal(np.cumsum(recording.signal, axis=1))
    >>> recording = Recording(np.zeros((1, 500)), 1000, np.zeros(500, int), subject="1")
    >>> check_own_filters(Smooth(), [recording])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.LeakageError: ...
    """
    filters = as_tuple(filters)
    own = [has_own_code(one) for one in filters]
    recording = max(recordings, key=lambda r: len(np.unique(r.label))) if any(own) else recordings[0]
    for i, one in enumerate(filters):
        if not any(own[i:]):
            return
        done = apply_all([one], recording)
        if own[i]:
            if not np.array_equal(done.signal, apply_all([one], recording).signal):
                raise ConfigError(
                    f"{one!r} gives a different output each time it is applied to the same recording; use a fixed random "
                    "seed inside apply, and store nothing between calls"
                )
            _check_labels(one, recording, done)
            _check_reach(one, recording, done)
        recording = done


def _check_labels(one: Any, recording: Recording, done: Recording) -> None:
    """Refuse a filter whose output depends on the labels, unless it only selects samples by label and changes none."""
    other_label = recording.label.copy()
    starts = [*run_starts(recording.label), recording.n_samples]
    for i, (start, stop) in enumerate(itertools.pairwise(starts)):  # labels change, but not where they change
        names = [k for k in range(len(recording.label_names)) if start == 0 or k != other_label[start - 1]]
        if recording.label[start] >= 0 and names:
            other_label[start:stop] = names[(recording.label[start] + 1 + i) % len(names)]
    other = apply_all([one], dataclasses.replace(recording, label=other_label))
    if np.array_equal(done.signal, other.signal):
        return
    known = {column.tobytes() for column in recording.signal.T}
    if all(column.tobytes() in known for signal in (done.signal, other.signal) for column in signal.T):
        return
    if done.signal.shape == other.signal.shape:
        raise LeakageError(
            f"the output of {one!r} depends on the labels, so a method could read the label from the samples; compute the "
            "output from the signal alone"
        )


def _check_reach(one: Any, recording: Recording, done: Recording) -> None:
    """Change one sample in all channels, at several positions, and refuse a response that is longer than the stated reach."""
    ratio = done.rate_hz / recording.rate_hz
    stated = done.reach_samples - recording.reach_samples * ratio
    scale = recording.signal.std(axis=1) + 1e-3 * np.abs(recording.signal).max(initial=1.0)
    longest = max(recording.stretches(), key=lambda stretch: stretch[1] - stretch[0])
    for share in (0.2, 0.4, 0.6):
        at = longest[0] + int(share * (longest[1] - longest[0]))
        signal = recording.signal.copy()
        signal[:, at] += np.where(signal[:, at] > 0, -scale, scale)  # towards zero, so that the extremes do not change
        other = apply_all([one], dataclasses.replace(recording, signal=signal))
        if other.signal.shape != done.signal.shape:
            continue
        response = ((other.signal.astype(np.float64) - done.signal) ** 2).sum(axis=0)
        if not response.any():
            continue
        # Measured from the start of the response, not from `at`: a filter that leaves out samples moves the others.
        first, last = np.searchsorted(np.cumsum(response), np.array([1 - ENERGY, ENERGY]) * response.sum())
        sides = 1 if getattr(one, "causal", True) else 2
        if last - first > MARGIN * sides * stated + max(2.0, ratio):
            raise LeakageError(
                f"{one!r} states a reach of {stated:.0f} samples, but one changed sample changes its output over "
                f"{last - first + 1} samples, so train windows would contain parts of test windows; let "
                "reach_samples(rate_hz) return the number of samples that contain 99 % of the energy of the impulse response"
            )
