"""The active part of each repetition: by hand, and against the definition written with SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import generic_filter
from scipy.ndimage import label as runs

from myograph.errors import ConfigError
from myograph.preprocessing.segments import ActiveSegment
from myograph.recording import Layout, Recording


def test_the_longest_active_stretch_of_each_repetition_is_kept():
    loud = {1: [0, 1, 0, 1, 1, 0, 0, 1], 2: [1, 1, 1, 0, 0, 0, 0, 1]}  # windows of 4 samples
    amplitude = np.repeat([1.0 + 9 * w for k in loud for w in loud[k]], 4)
    signal = amplitude * np.tile([1.0, -1.0], 32)
    repetition = np.repeat([1, 2], 32)
    recording = Recording(signal[None], 2048.0, np.zeros(64, int), "1", repetition=repetition)
    kept = ActiveSegment(4).apply(recording)
    # Of the first, window 2 is a single gap between active ones; windows 1 to 4 are the longest stretch.
    by_hand = np.repeat([-1, 0, 0, 0, 0, -1, -1, -1, 0, 0, 0, -1, -1, -1, -1, -1], 4)
    assert kept.label.tolist() == by_hand.tolist()
    np.testing.assert_array_equal(kept.signal, recording.signal)


def test_the_definition_written_with_scipy_agrees():
    rng = np.random.default_rng(3)
    rows, columns, length, windows = 4, 6, 10, 40
    envelope = 1 + 5 * (np.abs(np.arange(windows) - 22) < 9) + rng.uniform(0, 1, windows)
    signal = rng.normal(size=(rows * columns, windows * length)) * np.repeat(envelope, length)
    signal[5, :60] *= 1000  # a loose electrode, which the median removes
    recording = Recording(signal, 2048.0, np.zeros(windows * length, int), "1", layout=Layout.grid(rows, columns))
    rms = np.sqrt((signal.reshape(rows, columns, windows, length) ** 2).mean(3))
    median = np.stack(
        [generic_filter(rms[..., w], np.nanmedian, 3, mode="constant", cval=np.nan) for w in range(windows)]
    )
    level = median.mean(axis=(1, 2))
    active = level > level.mean()
    filled = active.copy()
    filled[1:-1] |= active[:-2] & active[2:]
    numbers, _ = runs(filled)
    longest = numbers == 1 + np.argmax(np.bincount(numbers)[1:])
    kept = ActiveSegment(length).apply(recording).label == 0
    assert kept.tolist() == np.repeat(longest, length).tolist()
    assert 100 < kept.sum() < 250
    alone = Recording(signal, 2048.0, np.zeros(windows * length, int), "1")  # without places, the loose one decides
    assert (ActiveSegment(length).apply(alone).label == 0).tolist() != kept.tolist()


@pytest.mark.parametrize("n", [3, 9])
def test_a_repetition_that_is_too_short_or_constant_stays_whole(n):
    recording = Recording(np.ones((2, n)), 2048.0, np.zeros(n, int), "1")
    assert (ActiveSegment(4).apply(recording).label == 0).all()


def test_a_window_needs_a_sample():
    with pytest.raises(ConfigError, match="length"):
        ActiveSegment(0)
