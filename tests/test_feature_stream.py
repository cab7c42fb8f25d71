"""Streamed features equal the offline ones, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myograph import Recording, Windowing, Windows
from myograph.errors import ShapeError, SignalError, WindowError
from myograph.features._fast.sums import FORMULAS
from myograph.features.transformer import Features

ADDITIVE = sorted(FORMULAS)


def offline(features, signal, windowing, rate_hz=1000.0):
    recording = Recording(signal, rate_hz, np.zeros(signal.shape[1], int), "1")
    return features.transform(Windows.cut(recording, windowing))


def streamed(features, signal, windowing, sizes, rate_hz=1000.0):
    stream = features.stream(rate_hz, signal.shape[0], windowing)
    edges = np.cumsum(sizes)
    return np.concatenate([stream.push(chunk) for chunk in np.split(signal, edges[edges < signal.shape[1]], axis=1)])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(3, 120),
    step=st.integers(1, 150),
    channels=st.sampled_from([2, 5, 12]),
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=30),
    zeros=st.booleans(),
)
def test_any_chunks_give_the_offline_rows_bit_for_bit(seed, length, step, channels, sizes, zeros):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((channels, 900))
    if zeros:
        signal *= rng.random(signal.shape) < 0.1
    features, windowing = Features(ADDITIVE), Windowing(length, step)
    np.testing.assert_array_equal(streamed(features, signal, windowing, sizes), offline(features, signal, windowing))


def test_features_of_the_samples_themselves():
    signal = np.random.default_rng(1).standard_normal((3, 1500))
    features = Features(["MAV", "AR", "MNF", "LS", "COV", "HIST"], rate_hz=500.0)
    got = streamed(features, signal, Windowing(150, 40), [7] * 300)
    np.testing.assert_allclose(got, offline(features, signal, Windowing(150, 40)), rtol=1e-12, atol=1e-15)


def test_one_large_chunk_and_many_small_ones():
    signal = np.random.default_rng(2).standard_normal((2, 30000))
    features, windowing = Features("HTD"), Windowing(200, 10)
    want = offline(features, signal, windowing)
    np.testing.assert_array_equal(streamed(features, signal, windowing, [30000]), want)
    np.testing.assert_array_equal(streamed(features, signal, windowing, [1] * 30000)[:50], want[:50])


def test_windows_too_short_for_a_feature_are_refused():
    with pytest.raises(WindowError, match="SSC needs windows of at least 3 samples, these have 2"):
        Features("HTD").stream(1000.0, 2, Windowing(2, 1))


def test_bad_chunks_are_refused_and_leave_the_stream_as_it_was():
    signal = np.random.default_rng(3).standard_normal((2, 400))
    features, windowing = Features("HTD"), Windowing(100, 20)
    stream = features.stream(1000.0, 2, windowing)
    first = stream.push(signal[:, :150])
    with pytest.raises(ShapeError, match=r"2 channels, got shape \(3, 10\)"):
        stream.push(np.zeros((3, 10)))
    with pytest.raises(SignalError, match="it was ignored"):
        stream.push(np.full((2, 10), np.nan))
    with pytest.raises(SignalError, match="real numbers, got dtype complex128; it was ignored"):
        stream.push(np.ones((2, 10), complex))
    rows = np.concatenate([first, stream.push(signal[:, 150:])])
    np.testing.assert_array_equal(rows, offline(features, signal, windowing))
    stream.reset()
    np.testing.assert_array_equal(stream.push(signal), rows)


def bytes_of(thing, seen):
    """Bytes of all arrays that an object of this package holds."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    parts = thing if isinstance(thing, (list, tuple)) else vars(thing).values() if is_ours(thing) else ()
    return sum(bytes_of(part, seen) for part in parts)


def is_ours(thing):
    return type(thing).__module__.startswith("myograph.") and hasattr(thing, "__dict__")


def test_a_long_stream_holds_and_looks_at_no_more_than_a_short_one():
    features = Features(["MAV", "ZC", "SSC", "WL", "RMS", "VAR", "IAV", "WAMP", "DASDV", "LD"])
    stream = features.stream(2000.0, 12, Windowing(300, 10))
    signal = np.random.default_rng(4).standard_normal((12, 20 * 3000))
    size, waiting = [], []
    for first in range(0, signal.shape[1], 20):
        stream.push(signal[:, first : first + 20])
        size.append(bytes_of(stream, set()))
        waiting.append(stream._n_held)
    assert max(size[100:900]) == max(size[-900:]) > 8 * 12 * 600  # a window of 300 ms at least
    assert max(waiting[100:900]) == max(waiting[-900:]) >= 580
