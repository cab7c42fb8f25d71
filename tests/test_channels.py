"""Which channels and labels are kept, and the cutters in samples and of chosen movements, by hand."""

import dataclasses

import numpy as np
import pytest

from myograph.errors import ConfigError, ShapeError
from myograph.preprocessing.channels import FirstChannels, FirstRepetitions, KeepMiddle, MergeLabels
from myograph.preprocessing.cutters import SampleBySample
from myograph.recording import Layout, Recording

LABEL = np.array([0] * 6 + [1] * 4, np.int32)
RECORDING = Recording(np.arange(30.0).reshape(3, 10), 1000.0, LABEL, subject="1", label_names=("a", "b"))


def test_the_first_channels_keep_their_places():
    placed = dataclasses.replace(RECORDING, layout=Layout.grid(1, 3))
    kept = FirstChannels(2).apply(placed)
    np.testing.assert_array_equal(kept.signal, RECORDING.signal[:2])
    assert kept.layout is not None
    assert kept.layout.column == (0, 1)
    assert FirstChannels(3).apply(placed).layout == placed.layout
    with pytest.raises(ShapeError, match="3 channels, fewer than the 4"):
        FirstChannels(4).apply(RECORDING)
    with pytest.raises(ConfigError, match="n must be a whole number from 1, got 0"):
        FirstChannels(0)


def test_the_middle_of_each_repetition():
    assert KeepMiddle(2).apply(RECORDING).label.tolist() == [-1, -1, 0, 0, -1, -1, -1, 1, 1, -1]
    assert KeepMiddle(50).apply(RECORDING).label.tolist() == LABEL.tolist()


def test_the_first_repetitions():
    recording = Recording(np.zeros((1, 4)), 1000.0, np.array([0, 1, 0, 1]), "1", repetition=np.array([1, 2, 3, 2]))
    assert FirstRepetitions(2).apply(recording).label.tolist() == [0, 1, -1, 1]


def test_merged_labels_take_the_first_ones_place_and_others_keep_their_names():
    label = np.array([-1, 0, 1, 2, 3])
    recording = Recording(np.zeros((1, 5)), 1000.0, label, "1", label_names=("rest", "fist", "open", "pinch"))
    merged = MergeLabels({"closed": ("pinch", "fist")}).apply(recording)
    assert merged.label_names == ("rest", "closed", "open")
    assert merged.label.tolist() == [-1, 0, 1, 2, 1]
    assert MergeLabels({"x": ("a",)}) == MergeLabels((("x", ("a",)),))
    with pytest.raises(ConfigError, match="can be in one group only, got fist in several"):
        MergeLabels({"closed": ("fist",), "shut": ("fist",)})
    with pytest.raises(ConfigError, match="none of the labels a; it has rest, fist"):
        MergeLabels({"x": ("a",)}).apply(recording)


def test_what_changes_labels_leaves_live_samples_alone():
    for one in (KeepMiddle(2), FirstRepetitions(1), MergeLabels({"x": ("a", "b")})):
        np.testing.assert_array_equal(one.stream(1000.0, 3).push(RECORDING.signal), RECORDING.signal)


def test_windows_counted_in_samples():
    found = SampleBySample(2, 3).intervals(dataclasses.replace(RECORDING, rate_hz=2560.0))
    assert found["start"].tolist() == [0, 3, 6]
    assert found["stop"].tolist() == [2, 5, 8]
