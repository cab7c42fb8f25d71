"""The one-pass kernels against the pure functions, window by window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from myograph import Recording, Windowing, Windows
from myograph.features._fast import kernels
from myograph.features._fast.plan import pure, requests
from myograph.features._fast.sums import FORMULAS, SlidingSums, SumTable, segments, walk
from myograph.features.transformer import Features

OPTIONS = {"ZC": {"threshold": 0.2}, "SSC": {"threshold": 0.3}, "WAMP": {"threshold": 0.7}, "MYOP": {"threshold": 0.5}}
NAMES = sorted(FORMULAS)
PER_CHANNEL = [name for name in NAMES if "PHASOR" not in name]


def expected(names, windows):
    """(window, column) by the pure functions; windows is an array (window, channel, time)."""
    wanted = requests(names, {n: o for n, o in OPTIONS.items() if n in names}, None)
    return np.concatenate([pure(r.feature, r.parameters, np.asarray(windows, np.float64)) for r in wanted], axis=1)


def features(names=NAMES, **more):
    return Features(names, options={n: o for n, o in OPTIONS.items() if n in names}, **more)


def assert_same(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


# Logarithms of differences of nearly equal roots: under a large offset the definition itself keeps fewer digits.
DELICATE = ("M0", "M2", "M4", "SPARSI", "IRF", "WLF")
STURDY = [name for name in NAMES if name not in DELICATE]


def assert_all_same(windows, samples, offset=0.0):
    assert_same(features(STURDY).transform(windows), expected(STURDY, samples))
    got, want = features(DELICATE).transform(windows), expected(DELICATE, samples)
    np.testing.assert_allclose(got, want, rtol=1e-10 if offset == 0 else 1e-6, atol=1e-9 if offset == 0 else 1e-6)


def gathered(signal, start, length):
    return sliding_window_view(signal, length, axis=1).transpose(1, 0, 2)[start]


signals = st.builds(
    lambda seed, channels, kind, offset, dtype: make_signal(seed, channels, kind, offset, dtype),
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([2, 5, 12, 49]),
    kind=st.sampled_from(["noise", "steps", "zeros", "burst", "constant"]),
    offset=st.sampled_from([0.0, 0.0, 1e4]),
    dtype=st.sampled_from([np.float64, np.float32]),
)


def make_signal(seed, channels, kind, offset, dtype, n=300):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((channels, n))
    if kind == "steps":
        x = np.round(x)
    elif kind == "zeros":
        x *= rng.random((channels, n)) < 0.05
        x[:, 100:200] = 0.0
    elif kind == "burst":
        x[:, 150:180] *= 1e3
    elif kind == "constant":
        x[:] = 7.3
    return np.ascontiguousarray(x + offset, dtype)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(signal=signals, length=st.integers(3, 100), step=st.integers(1, 110), first=st.integers(0, 9))
def test_windows_on_a_grid_equal_their_definition(signal, length, step, first):
    start = np.arange(first, signal.shape[1] - length + 1, step)
    recording = Recording(signal, 1000.0, np.zeros(signal.shape[1], int), "1")
    windows = Windows.cut(recording, Given(start, length))
    assert_all_same(windows, gathered(signal, start, length), abs(signal.mean()) // 1000)


@settings(max_examples=15, deadline=None)
@given(data=st.data(), signal=signals, length=st.integers(3, 90))
def test_any_rows_in_any_order_equal_their_definition(data, signal, length):
    latest = signal.shape[1] - length
    start = np.array(data.draw(st.lists(st.integers(0, latest), min_size=1, max_size=80)))
    recording = Recording(signal, 1000.0, np.zeros(signal.shape[1], int), "1")
    windows = Windows.cut(recording, Given(start, length))
    assert_all_same(windows, gathered(signal, start, length), abs(signal.mean()) // 1000)


class Given:
    """A windowing with the starts that it is given."""

    def __init__(self, start, length):
        self.start, self.length = np.asarray(start), length

    def intervals(self, recording):
        zero = np.zeros(len(self.start), int)
        stop = self.start + self.length
        return {"start": self.start, "stop": stop, "label": zero, "repetition": zero, "position": zero}


def recordings(rng, n_channels=4):
    """Two rates, several labels and repetitions each."""
    label = np.repeat([0, 1, 0, 2, 0], 400)
    return [
        Recording(rng.standard_normal((n_channels, 2000)), rate, label, subject)
        for subject, rate in (("1", 1000.0), ("2", 2000.0))
    ]


def test_recordings_runs_rows_and_mixed_rates():
    rng = np.random.default_rng(3)
    windows = Windows.cut(recordings(rng), Windowing(90, 20))
    rows = rng.permutation(len(windows))[:70]
    got = features().fit(windows).transform(windows[rows])
    for i, row in enumerate(rows):
        assert_same(got[i : i + 1], expected(NAMES, windows[int(row)][None]))


def test_rows_of_one_channel():
    rng = np.random.default_rng(4)
    windows = Windows.cut(recordings(rng)[0], Windowing(90, 20)).split_channels()
    for rows in (slice(None), slice(1, None, 4), rng.permutation(len(windows))[:33], [5, 5, 2]):
        some = windows[rows]
        assert_same(features(PER_CHANNEL).transform(some), expected(PER_CHANNEL, some.batch()))


def test_scattered_single_windows_take_the_direct_route():
    rng = np.random.default_rng(5)
    signal = rng.standard_normal((3, 20000))
    start = np.sort(rng.choice(19000, 90, replace=False))
    start = np.concatenate([start, start[:50] + 3])
    windows = Windows.cut(Recording(signal, 1000.0, np.zeros(20000, int), "1"), Given(start, 40))
    step, found = segments(np.unique(start), 40)
    assert step == 3
    assert len(found) > 32
    assert_same(features().transform(windows), expected(NAMES, gathered(signal, start, 40)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_arrays_equal_their_definition(dtype):
    x = (np.random.default_rng(6).standard_normal((300, 5, 61)) * 20).astype(dtype)
    assert_same(features().transform(x), expected(NAMES, x))
    backwards = x[::-1, ::-1, ::-1]
    assert_same(features().transform(backwards), expected(NAMES, backwards))


def test_a_memory_mapped_signal_and_one_of_another_layout(tmp_path):
    signal = np.random.default_rng(7).standard_normal((6, 900)).astype(np.float32)
    np.save(tmp_path / "signal.npy", signal)
    label = np.zeros(900, int)
    plain = Windows.cut(Recording(signal, 1000.0, label, "1"), Windowing(100, 30))
    mapped = Windows.cut(
        Recording(np.load(tmp_path / "signal.npy", mmap_mode="r"), 1000.0, label, "1"), Windowing(100, 30)
    )
    turned = Windows.cut(Recording(np.asfortranarray(signal), 1000.0, label, "1"), Windowing(100, 30))
    want = features().transform(plain)
    np.testing.assert_array_equal(features().transform(mapped), want)
    np.testing.assert_array_equal(features().transform(turned), want)


@pytest.mark.parametrize(("length", "step"), [(200, 20), (200, 30), (60, 60), (61, 20), (20, 1)])
def test_bits_do_not_depend_on_chunks_threads_or_neighbours(length, step):
    signal = np.random.default_rng(8).standard_normal((5, 6000))
    start = np.arange(0, 6000 - length + 1, step)
    table = SumTable([FORMULAS[name] for name in NAMES], [0.2, 0.3, 0.7, 0.5])
    whole = np.concatenate([s.copy() for _, s in walk(table, signal, start, length, step, len(start))], axis=1)
    pieces = np.concatenate([s.copy() for _, s in walk(table, signal, start[7:], length, step, 13)], axis=1)
    # What is left over of a row of zeros before the window may differ: first and last values are not results.
    results = [i for i, row in enumerate(table.kept) if row not in NOT_RESULTS]
    np.testing.assert_array_equal(pieces[results], whole[results][:, 7:])
    recording = Recording(signal, 1000.0, np.zeros(6000, int), "1")
    windows = Windows.cut(recording, Windowing(length, step))
    np.testing.assert_array_equal(features(n_jobs=2).transform(windows), features().transform(windows))


NOT_RESULTS = {kernels.CROSSINGS_FIRST, kernels.CROSSINGS_LAST, kernels.TURNS_FIRST, kernels.TURNS_LAST}


def test_variance_survives_a_large_offset_and_a_burst_before_rest():
    rng = np.random.default_rng(9)
    signal = rng.standard_normal((2, 4000)) + 1e4
    signal[1, :2000] = rng.standard_normal(2000) * 1e6
    start = np.arange(0, 3800, 20)
    got = np.concatenate(
        [
            s[list(var_table.kept).index(kernels.DEVIATION)].copy()
            for _, s in walk(var_table, signal, start, 200, 20, 64)
        ]
    )
    windows = gathered(signal, start, 200).astype(np.longdouble)
    exact = np.square(windows - windows.mean(-1, keepdims=True)).sum(-1).astype(np.float64)
    np.testing.assert_allclose(got, exact, rtol=1e-11)


var_table = SumTable([FORMULAS["VAR"]], [0.0] * 4)


def test_crossings_over_zeros_are_those_within_the_window():
    """Hand count: a window that starts with zeros does not see the sign before it."""
    x = np.array([[1, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, -3, 0]], float)
    recording = Recording(x, 1000.0, np.zeros(20, int), "1")
    windows = Windows.cut(recording, Windowing(8, 2))
    # Starts 0, 2, ..., 12: 1 -> -1 lies in the first alone, -1 -> 2 in none of 8 samples but that from 8 - 7.
    got = Features("ZC").transform(windows)[:, 0]
    hand = [1, 0, 0, 0, 0, 1, 1]  # starts 10 and 12 hold 2, 1, 0, (-3 from start 12 on, and at 10 index 17 is 0)
    hand[5] = 0
    np.testing.assert_array_equal(got, hand)


def test_logarithms_of_zeros_and_subnormal_samples():
    x = np.random.default_rng(10).standard_normal((1, 2, 64))
    x[0, 0, 5] = 0.0
    x[0, 1, 7] = 5e-320
    got = Features(["LOG", "LD"]).transform(x)[0]
    assert got[0] == 0.0
    assert got[1] == pytest.approx(np.exp(np.log(np.abs(x[0, 1])).mean()), rel=1e-12)
    np.testing.assert_allclose(got[2:], np.exp(np.log1p(np.abs(x[0])).mean(-1)), rtol=1e-13)


def test_logarithms_of_samples_that_overflow_a_product():
    """Units so large that products of neighbours overflow: samples that overflow are handled separately."""
    x = np.random.default_rng(13).standard_normal((2, 3, 90)) * 1e120
    np.testing.assert_allclose(Features("LD").transform(x), np.exp(np.log1p(np.abs(x)).mean(-1)), rtol=1e-12)


@pytest.mark.parametrize("n_channels", [2, 7, 8, 9, 12, 17])
def test_bits_do_not_depend_on_the_channels_beside(n_channels):
    signal = make_signal(3, n_channels, "noise", 0.0, np.float64)
    windows = Windows.cut(Recording(signal, 1000.0, np.zeros(300, int), "1"), Windowing(50, 20))
    found = features(PER_CHANNEL).transform(windows).reshape(len(windows), -1, n_channels)
    apart = features(PER_CHANNEL).transform(windows.split_channels()).reshape(len(windows), n_channels, -1)
    np.testing.assert_array_equal(found, apart.transpose(0, 2, 1))
    alone = Windows.cut(Recording(signal[-2:-1], 1000.0, np.zeros(300, int), "1"), Windowing(50, 20))
    np.testing.assert_array_equal(found[:, :, -2], features(PER_CHANNEL).transform(alone))


@pytest.mark.parametrize("n_channels", [1, 7, 8, 12])
def test_exponentials_of_logarithms_reach_as_far_as_numbers_do(n_channels):
    sizes = [0.0, 5e-324, 1e-300, 1.0, 1e150, 1.7e308]
    signal = np.tile(np.repeat(sizes, 20), (n_channels, 1))
    windows = Windows.cut(Recording(signal, 1000.0, np.zeros(120, int), "1"), Windowing(20, 20))
    found, names = Features(["LD", "LOG"]).transform(windows), ["LD", "LOG"]
    np.testing.assert_allclose(found, expected(names, windows.batch()), rtol=1e-12, atol=0)
    assert np.isfinite(found).all()


def test_entropy_of_large_units_is_finite():
    x = np.random.default_rng(11).standard_normal((1, 3, 3000)) * np.array([[1.0], [100.0], [1e5]])
    recording = Recording(x[0], 1000.0, np.zeros(3000, int), "1")
    windows = Windows.cut(recording, Windowing(300, 10))
    assert_same(Features("ENT").transform(windows), expected(["ENT"], windows.batch()))


@pytest.mark.parametrize("scale", [30.0, 60.0, 500.0])
def test_entropy_far_below_the_rounding_of_one(scale):
    """Of a maximum that stands alone: the relative error counts, also where blocks and tails were merged."""
    x = scale * np.random.default_rng(12).standard_normal((9, 4000))
    recording = Recording(x, 1000.0, np.zeros(4000, int), "1")
    for windowing in (Windowing(150, 37), Windowing(150, 10), Windowing(150, 150)):
        windows = Windows.cut(recording, windowing)
        found, want = Features("ENT").transform(windows), expected(["ENT"], windows.batch())
        assert want.min() < 1e-6
        plain = want > 1e-290  # below, weights that count as zero would show
        np.testing.assert_allclose(found[plain], want[plain], rtol=1e-10, atol=0)


def test_each_sample_is_read_once(monkeypatch):
    """Cost does not grow with overlap: the samples that the kernels are told to load."""
    read = 0

    def counting(kernel, samples):
        def call(*arguments):
            nonlocal read
            read += samples(*arguments)
            return kernel(*arguments)

        return call

    of_blocks = lambda flat, n_samples, n_channels, begin, length, *rest: len(begin) * length  # noqa: E731
    for everything, kernel in kernels.block_sums.items():
        monkeypatch.setitem(kernels.block_sums, everything, counting(kernel, of_blocks))
    signal = np.random.default_rng(12).standard_normal((2, 6000))
    for length, step in ((300, 10), (300, 70), (100, 70)):
        read = 0
        grid = SlidingSums(var_table, 2, length, step, 50)
        n = (6000 - length) // step + 1
        for first in range(0, n, 50):
            grid.advance(signal, first * step, min(50, n - first), fresh=first == 0)
        assert read == (n - 1) * step + length
        read = 0
        stream = Features(["MAV", "ZC", "VAR"]).stream(1000.0, 2, Windowing(length, step))
        rows = [stream.push(chunk) for chunk in np.split(signal, 100, axis=1)]
        assert read == (sum(map(len, rows)) - 1) * step + length
