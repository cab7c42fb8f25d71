"""Every field of a Recording and a Layout is checked, kept and described as its documentation says."""

from __future__ import annotations

import numpy as np
import pytest

from myograph import Layout, Recording
from myograph.errors import ShapeError, SignalError
from myograph.recording import as_chunk, check_finite, one_after_another


def recording(**changes):
    fields = {"signal": np.zeros((2, 6)), "rate_hz": 100, "label": np.zeros(6, int), "subject": "anna"}
    return Recording(**{**fields, **changes})


def test_layouts():
    assert Layout.ring(2, 2, 1) == Layout((0, 0, 1, 1, -1), (0, 1, 0, 1, -1), wraps=True)
    assert Layout.ring(3) == Layout((0, 0, 0), (0, 1, 2), wraps=True)
    assert Layout.grid(2, 2) == Layout((0, 0, 1, 1), (0, 1, 0, 1), wraps=False, spacing_mm=None)
    assert Layout.grid(1, 2, wraps=True, spacing_mm=8.0) == Layout((0, 0), (0, 1), True, 8.0)
    grid = Layout.ring(2, 2, 1)
    assert (len(grid), grid.shape) == (5, (2, 2))
    assert grid.index().tolist() == [[0, 1], [2, 3]]
    assert Layout((0, -1), (1, 0)).index().tolist() == [[-1, 0]]
    assert Layout((), ()).shape == (0, 0)
    assert grid.take(np.array([3, 0])) == Layout((1, 0), (1, 0), wraps=True)
    with pytest.raises(ShapeError, match="got 2 and 1"):
        Layout((0, 0), (0,))


def test_names_are_text_and_rates_are_floats():
    made = recording(subject=3, session=2)
    assert (made.subject, made.session, made.name) == ("3", "2", "subject 3, session 2")
    assert recording(name="mine").name == "mine"
    assert recording().session == "1"
    assert isinstance(made.rate_hz, float)
    assert made.unit == "uV"
    assert (made.breaks, made.reach_samples, made.layout) == ((), 0, None)
    assert made.duration_s == 0.06
    assert (made.n_channels, made.n_samples) == (2, 6)
    assert repr(made) == "<Recording subject 3, session 2: 2 channels x 0.1 s @ 100 Hz, uV, 1 labels>"


@pytest.mark.parametrize(
    ("dtype", "kept"), [("f4", "f4"), ("f8", "f8"), ("i2", "f4"), ("u1", "f4"), ("?", "f4"), ("f2", "f4")]
)
def test_samples_are_float32_or_float64_and_read_only(dtype, kept):
    signal = np.ones((2, 6), dtype)
    made = recording(signal=signal)
    assert made.signal.dtype == np.dtype(kept)
    assert not made.signal.flags.writeable
    assert signal.flags.writeable
    assert np.shares_memory(made.signal, signal) == (dtype == kept)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"signal": np.zeros(6)}, ShapeError, "use signal\\[None\\]"),
        ({"signal": np.zeros((0, 6))}, ShapeError, "got shape \\(0, 6\\)"),
        ({"signal": np.zeros((2, 6), complex)}, SignalError, "got dtype complex128"),
        ({"signal": np.full((2, 6), "a")}, SignalError, "signal must hold numbers"),
        ({"label": np.zeros(5, int)}, ShapeError, r"label is \(5,\)$"),
        ({"label": np.zeros(2, int)}, ShapeError, "Pass signal.T"),
        ({"label": np.zeros(6)}, ShapeError, "got dtype float64"),
        ({"label_names": ("a", "a")}, ShapeError, "repeat a name"),
        ({"label": np.full(6, -2)}, ShapeError, "labels run from -2 to -2"),
        ({"label": np.full(6, 2), "label_names": ("a", "b")}, ShapeError, "there are 2 label names"),
        ({"repetition": np.zeros(5, int)}, ShapeError, "both are"),
        ({"repetition": np.full(6, 1.5)}, ShapeError, "with fractions or NaN"),
        ({"repetition": np.full(6, np.nan)}, ShapeError, "with fractions or NaN"),
        ({"repetition": np.full(6, "a")}, ShapeError, r"got <U1; None numbers"),
        ({"rate_hz": 0}, SignalError, "positive number"),
        ({"rate_hz": -1.0}, SignalError, "positive number"),
        ({"rate_hz": np.inf}, SignalError, "positive number"),
        ({"rate_hz": "100"}, SignalError, "got '100'"),
        ({"unit": "mV"}, SignalError, "use 'adc'"),
        ({"layout": Layout.ring(3)}, ShapeError, "places 3 channels, the signal has 2"),
        ({"breaks": (0,)}, ShapeError, "from 1 to 5, got"),
        ({"breaks": (6,)}, ShapeError, "from 1 to 5, got"),
        ({"breaks": (3, 3)}, ShapeError, "increasing"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, words):
    with pytest.raises(error, match=words):
        recording(**changes)


def test_the_limits_themselves_are_allowed():
    assert recording(breaks=(1, 5)).breaks == (1, 5)
    assert recording(label=np.full(6, -1)).label_names == ()
    assert recording(label=np.full(6, 1)).label_names == ("0", "1")
    assert recording(label=None).label.tolist() == [-1] * 6
    assert recording(rate_hz=0.5).rate_hz == 0.5
    assert recording(layout=Layout.ring(2)).layout == Layout.ring(2)
    assert recording(repetition=np.full(6, 2.0)).repetition.dtype == np.int32
    assert recording(label=np.array([0, 0, 1, 1, 0, 0])).repetition.tolist() == [1, 1, 1, 1, 2, 2]
    assert recording(label_names=(1, 2)).label_names == ("1", "2")
    assert recording(label=np.zeros(6, np.int8)).label.dtype == np.int32


def test_hashes_tell_what_differs():
    one = recording()
    assert one.content_hash == recording().content_hash
    others = [
        recording(rate_hz=50),
        recording(label=np.ones(6, int)),
        recording(repetition=np.full(6, 2)),
        recording(breaks=(3,)),
        recording(signal=np.zeros((2, 6), "f4")),
        recording(signal=np.ones((2, 6))),
        recording(signal=np.zeros((1, 6))),
    ]
    assert len({r.content_hash for r in [one, *others]}) == 1 + len(others)
    assert recording(label=np.ones(6, int)).samples_hash == one.samples_hash == recording(rate_hz=50).samples_hash
    assert len({r.samples_hash for r in [one, *others[4:]]}) == 4
    assert recording(subject="bert").content_hash == one.content_hash


def test_parts_and_joints():
    whole = recording(
        signal=np.arange(12.0).reshape(2, 6), label=np.array([0, 0, 1, 1, 0, 0]), breaks=(2, 5), layout=Layout.ring(2)
    )
    assert whole.stretches() == [(0, 2), (2, 5), (5, 6)]
    parts = whole.parts()
    assert [p.n_samples for p in parts] == [2, 3, 1]
    assert [p.breaks for p in parts] == [(), (), ()]
    assert [p.label.tolist() for p in parts] == [[0, 0], [1, 1, 0], [0]]
    assert [p.repetition.tolist() for p in parts] == [[1, 1], [1, 1, 2], [2]]
    again = one_after_another(parts)
    assert again.content_hash == whole.content_hash
    assert again.layout == whole.layout
    assert one_after_another([one_after_another(parts[:2]), parts[2]]).breaks == (2, 5)
    assert recording().parts() == [parts[0]] or recording().parts()[0].breaks == ()
    alone = recording()
    assert alone.parts()[0] is alone
    assert one_after_another([alone]) is alone


def test_a_signal_can_be_replaced():
    made = recording(layout=Layout.ring(2)).with_signal(np.ones((1, 6)), layout=None, rate_hz=50)
    assert (made.n_channels, made.rate_hz, made.subject) == (1, 50.0, "anna")


def test_samples_that_are_no_numbers_are_counted_and_found():
    signal = np.zeros((2, 6))
    signal[1, 4] = np.nan
    signal[1, 5] = np.inf
    with pytest.raises(SignalError, match="one: 2 samples are NaN or infinite, the first in channel 1 at sample 4"):
        check_finite(signal, "one")
    with pytest.raises(SignalError, match="first in channel 1 at sample 4"):
        recording(signal=signal)
    check_finite(np.full((1, 2), 1e308), "large numbers whose sum is infinite")


def test_chunks():
    assert as_chunk([[1, 2]], 1).dtype == np.float32
    assert as_chunk(np.ones((1, 2)), 1).dtype == np.float64
    assert as_chunk(np.ones((1, 2), "f2"), 1).dtype == np.float32
    assert as_chunk(np.ones((1, 0)), 1).shape == (1, 0)
    for wrong in (np.ones(3), np.ones((3, 1)), np.ones((2, 1, 1))):
        with pytest.raises(ShapeError, match="with 2 channels, got shape"):
            as_chunk(wrong, 2)
    with pytest.raises(SignalError, match="got dtype complex128"):
        as_chunk(np.ones((1, 2), complex), 1)
    with pytest.raises(SignalError, match="chunk: 1 samples are NaN"):
        as_chunk([[np.nan, 1.0]], 1)
