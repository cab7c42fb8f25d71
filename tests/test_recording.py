from __future__ import annotations

import numpy as np
import pytest

from myograph import Layout, Recording
from myograph.errors import ShapeError, SignalError
from myograph.recording import runs_per_label


def _recording(**changes):
    facts = {"signal": np.zeros((2, 6), np.float32), "rate_hz": 100.0, "label": np.zeros(6, int), "subject": "1"}
    return Recording(**{**facts, **changes})


def test_repetitions_count_the_runs_of_each_label_by_hand():
    label = np.array([0, 0, 1, 1, 0, 2, 1, 1])
    assert runs_per_label(label).tolist() == [1, 1, 1, 1, 2, 1, 2, 2]
    assert _recording(label=np.array([0, 0, 1, 1, 0, 0])).repetition.tolist() == [1, 1, 1, 1, 2, 2]


def test_a_recording_without_labels_has_minus_one_everywhere():
    r = _recording(label=None)
    assert r.label.tolist() == [-1] * 6
    assert r.label_names == ()


def test_breaks_part_a_recording_into_stretches_and_belong_to_its_hash():
    r = _recording(breaks=(2, 5))
    assert r.stretches() == [(0, 2), (2, 5), (5, 6)]
    assert _recording().stretches() == [(0, 6)]
    assert len({r.content_hash, _recording().content_hash, _recording(breaks=(2,)).content_hash}) == 3
    assert r.samples_hash == _recording().samples_hash


def test_a_transposed_signal_is_told():
    with pytest.raises(ShapeError, match=r"is the signal \(time, channel\)\? Pass signal\.T"):
        _recording(signal=np.zeros((6, 2)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"signal": np.zeros(6)}, ShapeError, r"signal\[None\] for one channel"),
        ({"label": np.zeros(6)}, ShapeError, "indices into label_names"),
        ({"label": np.full(6, 3), "label_names": ("a", "b")}, ShapeError, "use -1 for unlabelled samples"),
        ({"label_names": ("a", "a")}, ShapeError, "repeat a name"),
        ({"repetition": np.ones(5, int)}, ShapeError, r"both are \(time,\)"),
        ({"breaks": (0, 3)}, ShapeError, r"increasing sample indices from 1 to 5, got \(0, 3\)"),
        ({"breaks": (3, 3)}, ShapeError, "increasing"),
        ({"breaks": (6,)}, ShapeError, "increasing"),
        ({"rate_hz": 0}, SignalError, "positive number of samples per second"),
        ({"unit": "mV"}, SignalError, "use 'adc' for an unknown scale"),
        ({"layout": Layout.ring(3)}, ShapeError, "places 3 channels, the signal has 2"),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(change, error, message):
    with pytest.raises(error, match=message):
        _recording(**change)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers_are_counted_and_placed(bad):
    signal = np.zeros((2, 6), np.float32)
    signal[1, 4] = bad
    with pytest.raises(SignalError, match="1 samples are NaN or infinite, the first in channel 1 at sample 4"):
        _recording(signal=signal)


def test_infinities_of_both_signs_do_not_hide_each_other():
    signal = np.zeros((2, 6), np.float32)
    signal[0, 0], signal[0, 1] = np.inf, -np.inf
    with pytest.raises(SignalError, match="2 samples"):
        _recording(signal=signal)


def test_huge_but_finite_samples_are_fine():
    _recording(signal=np.full((2, 6), 3e38, np.float32))


def test_a_recording_cannot_be_written_to_and_does_not_lock_the_array_it_came_from():
    mine = np.zeros((2, 6), np.float32)
    recording = _recording(signal=mine)
    with pytest.raises(ValueError, match="read-only"):
        recording.signal[0, 0] = 1
    mine[0, 0] = 1
    with pytest.raises(AttributeError):
        recording.rate_hz = 5  # type: ignore[misc]


def test_the_same_data_have_the_same_hash_whatever_the_name():
    a, b = _recording(), _recording(subject="2", session="9")
    assert a.content_hash == b.content_hash
    assert a.content_hash != _recording(rate_hz=200.0).content_hash
    assert a.content_hash != _recording(label=np.array([0, 0, 0, 0, 0, 1])).content_hash


def test_layouts_place_channels():
    assert Layout.ring(4, n_rings=2, n_extra=1).index().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    grid = Layout.grid(2, 3)
    assert grid.index().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert grid.take(np.array([4, 0])).index()[1, 1] == 0


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"repetition": np.full(10, np.nan)}, ShapeError, "float64 with fractions or NaN"),
        ({"repetition": np.full(10, 1.5)}, ShapeError, "fractions"),
        ({"repetition": np.array(["a"] * 10)}, ShapeError, "whole numbers, got <U1"),
        ({"rate_hz": None}, SignalError, "rate_hz must be a positive number"),
        ({"rate_hz": "1000"}, SignalError, "rate_hz must be a positive number"),
    ],
)
def test_repetitions_and_rates_that_are_no_numbers_are_told(changes, error, says):
    facts = {"signal": np.zeros((2, 10)), "rate_hz": 100, "label": np.zeros(10, int), "subject": "1"}
    with pytest.raises(error, match=says):
        Recording(**(facts | changes))
    assert Recording(**facts, repetition=np.full(10, 2.0)).repetition.dtype == np.int32
