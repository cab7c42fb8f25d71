"""The search for copies step by step, on signals small enough to compute by hand or by NumPy.

`tests/mutants.py` runs this file with the loops uncompiled, so that their lines can be traced.
"""

from __future__ import annotations

import numpy as np
import pytest

from myograph._common import content
from myograph._common.content import Match, block_of, marks_of, matches

LENGTH = 40


def noise(seed, n=320, channels=1):
    return 10 * np.random.default_rng(seed).standard_normal((channels, n))


def found(*signals, length=LENGTH):
    return matches(signals, [marks_of(s, length) for s in signals], length)


@pytest.fixture
def uncompiled(monkeypatch):
    """The parts of kernels as Python runs them: compiled ones are called by kernels alone."""
    for name, part in list(vars(content).items()):
        if hasattr(part, "py_func"):
            monkeypatch.setattr(content, name, part.py_func)


def line(gain=1.0, offset=0.0, mean=0.0, spread=1.0):
    return float(gain), float(offset), float(mean), float(spread)


@pytest.mark.parametrize(
    ("length", "expected"), [(16, (8, 8)), (4, (8, 8)), (20, (10, 10)), (40, (20, 20)), (64, (32, 32)), (100, (32, 68)), (500, (32, 96))]
)  # fmt: skip
def test_a_stretch_holds_a_whole_block(length, expected):
    assert block_of(length) == expected
    assert sum(expected) <= max(length, 16)


def with_step(x, at):
    """Return the signal with a large step between samples `at` and `at + 1`."""
    return x + 70 * (np.arange(x.shape[1]) > at)


@pytest.mark.parametrize("latest", [60, 2**31 - 1])
def test_links_are_the_different_pairs_of_marks_in_ascending_order(latest):
    rng = np.random.default_rng(latest % 7)
    marks = [
        content.Marks(
            rng.integers(0, 30, n).astype(np.uint64),
            rng.integers(0, 192, n).astype(np.int16),
            rng.integers(0, latest, n).astype(np.int32),
        )
        for n in (200, 0, 150)
    ]
    of, pairs = content._candidates(marks)
    channel, at = (np.concatenate([getattr(m, name) for m in marks]).tolist() for name in ("channel", "at"))
    expected = set()
    for i, j in pairs.tolist():
        if of[i] != of[j] or abs(at[j] - at[i]) >= LENGTH:
            expected.add((int(of[i]), int(of[j]), channel[i], channel[j], at[j] - at[i], at[i]))
    links = [tuple(link) for link in content._links(marks, LENGTH).tolist()]
    assert links == sorted(expected)
    assert min(link[4] for link in links) < 0 < max(link[4] for link in links)
    assert content._links(marks[1:2], LENGTH).shape == (0, 6)


@pytest.mark.parametrize("bit", [20, 29, 30])
def test_a_late_sample_at_one_lag_is_another_link_than_an_early_one_at_the_next(bit):
    late = 5 + 2**bit
    one, other = (
        content.Marks(np.array([1, 2], np.uint64), np.zeros(2, np.int16), np.array(at, np.int32))
        for at in ([late, 5], [late + 100, 5 + 101])
    )
    assert content._links([one, other], LENGTH).tolist() == [[0, 1, 0, 0, 100, late], [0, 1, 0, 0, 101, 5]]


@pytest.mark.parametrize(
    "x",
    [noise(0, channels=2), np.rint(noise(0, channels=2)), with_step(noise(0, channels=2), 10 + 19)],
    ids=["floating point", "ties", "the last of the first samples"],
)
def test_marks_stand_where_a_channel_is_steepest(x):
    block, reach = block_of(LENGTH)
    marks = marks_of(x, LENGTH)
    assert sorted(set(marks.channel.tolist())) == [0, 1]
    for channel in (0, 1):
        steep = np.abs(np.diff(x[channel]))
        half = block // 2
        inside = range(half, x.shape[1] - block + half)
        expected = []
        for first in range(half, inside.stop - reach + 1):
            window = steep[first : first + reach]
            best = first + len(window) - 1 - int(np.argmax(window[::-1]))
            if not expected or expected[-1] != best:
                expected.append(best)
        at = marks.at[marks.channel == channel]
        assert (at + half).tolist() == expected
        assert len(np.unique(marks.key)) == len(marks.key)


def test_marks_go_with_the_samples_and_not_with_their_scale():
    x = noise(1)
    marks = marks_of(x, LENGTH)
    for other in (3 * x, -x, x + 100, 5 - 0.1 * x, x.astype(np.float32)):
        again = marks_of(other, LENGTH)
        assert (again.key == marks.key).mean() > 0.9
        assert again.at.tolist() == marks.at.tolist()
    later = marks_of(x[:, 50:], LENGTH)
    assert set(later.key) <= set(marks.key)
    assert set((later.at + 50).tolist()) <= set(marks.at.tolist())


def test_constant_and_two_level_signals_have_no_marks():
    for x in (np.zeros(320), np.repeat([0.0, 1.0], 160), np.tile([0.0, 1.0], 160), np.tile([0.0, 1, 2], 107)):
        assert not len(marks_of(x[None], LENGTH).key)


def test_more_marks_than_there_is_room_for_at_first():
    t = np.arange(90)
    marks = marks_of(((-1.0) ** t * t)[None], 16)  # ever steeper: each sample has a mark
    assert len(marks.key) == len(marks.at) == len(marks.channel) > 3 * 90 // 8 + 16
    assert (np.diff(marks.at) > 0).all()
    assert marks.at.max() < 90


def test_a_shifted_copy_is_found_from_its_first_to_its_last_sample():
    x = noise(3)
    y = np.concatenate([noise(4, 60), x[:, 20:280]], axis=1)
    (match,) = found(x, y)
    assert (match.first, match.second) == (0, 1)
    assert match.other_start - match.start == 40
    assert abs(match.start - 20) <= 2
    assert abs(match.start + match.n - 280) <= 2


def test_a_stretch_of_a_windows_length_is_found_at_every_place():
    x = noise(21)
    for first in range(100, 125):
        y = noise(22)
        y[:, first + 9 : first + 9 + LENGTH] = x[:, first : first + LENGTH]
        (match,) = found(x, y)
        assert (match.first, match.second, match.other_start - match.start) == (0, 1, 9)
        assert abs(match.start - first) <= 2
        assert abs(match.n - LENGTH) <= 4


@pytest.mark.parametrize("gain", [1.0, -2.0, 0.01])
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_a_line_may_lie_between_the_two(gain, offset):
    x = noise(5)
    assert found(x, gain * x + offset) == [Match(0, 1, 0, 0, 320)]


def test_channels_are_joined_and_named_by_their_recordings():
    x = noise(6, channels=3)
    assert found(x, x[[2, 0, 1]]) == [Match(0, 1, 0, 0, 320)]
    assert found(noise(7), noise(8), x[:1], x[1:], x) == [Match(2, 4, 0, 0, 320), Match(3, 4, 0, 0, 320)]


def test_what_stands_twice_in_one_recording():
    x = noise(9)
    x[:, 200:300] = x[:, 50:150]
    (match,) = found(x)
    assert (match.first, match.second) == (0, 0)
    assert match.other_start - match.start == 150
    assert abs(match.start - 50) <= 2
    assert abs(match.n - 100) <= 4
    x = noise(23)
    x[:, 140:180] = x[:, 100:140]
    (match,) = found(x)
    assert match.other_start - match.start == LENGTH
    # Nearer than a window's length: overlapping windows share these samples anyway.
    near = np.tile(noise(10, 30), 10)
    assert not [m for m in found(near) if abs(m.other_start - m.start) < LENGTH]


def test_two_marks_that_are_equal_by_chance_hide_no_stretch():
    x, y = noise(24), noise(25)
    y[:, 100:160] = x[:, 100:160]
    marks = [marks_of(s, LENGTH) for s in (x, y)]
    marks[1].key[0] = marks[0].key[0]
    (match,) = matches([x, y], marks, LENGTH)
    assert (match.start, match.other_start, match.n) == (100, 100, 60)


def test_nothing_in_common():
    assert not found(noise(11), noise(12))
    assert not found(noise(11))
    assert not found(np.zeros((1, 320)), np.zeros((1, 320)))
    assert matches([], [], LENGTH) == []
    t = np.arange(320)
    assert not found(np.sin(t / 3)[None], np.sin(t / 3 + 1)[None])


def test_changed_samples_inside_do_not_end_a_stretch():
    x = noise(13)
    y = x.copy()
    y[0, [60, 150, 240]] = 500
    assert sum(m.n for m in found(x, y)) > 310


def test_too_little_information_is_no_copy():
    x, y = noise(14, 400), noise(15, 400)
    y[:, 100:150] = x[:, 100:150]
    assert found(x, y)  # 50 samples with a resolution of floating point
    coarse = [np.rint(s / 8) for s in (x, y)]  # four levels
    assert not found(*coarse)


@pytest.mark.usefixtures("uncompiled")
def test_a_line_is_fitted_to_the_samples_within_the_limit():
    x = noise(16)[0]
    y = 3 * x - 7
    y[10] = 900
    gain, offset, mean, spread = content._fit(x, y, 0, 40, 0, 3.0, -7.0, 1.0)
    others = np.delete(np.arange(40), 10)
    assert (gain, offset) == pytest.approx((3, -7))
    assert (mean, spread) == pytest.approx((y[others].mean(), y[others].std()))
    gain, offset, *_ = content._fit(x, y, 0, 40, 0, 0.0, 0.0, np.inf)
    assert (gain, offset) == pytest.approx(tuple(np.polyfit(x[:40], y[:40], 1)))
    lagged = content._fit(x[5:], x, 0, 40, 5, 0.0, 0.0, np.inf)
    assert lagged[:2] == pytest.approx((1, 0))
    for flat in (np.zeros(40), np.full(40, 3.0)):
        assert content._fit(flat, x, 0, 40, 0, 0.0, 0.0, np.inf) == (0.0, 0.0, 0.0, 0.0)
    assert content._fit(x, y, 0, 3, 0, 0.0, 0.0, np.inf) == (0.0, 0.0, 0.0, 0.0)
    assert content._fit(x, y, 0, 4, 0, 0.0, 0.0, np.inf)[0] == pytest.approx(3)


@pytest.mark.usefixtures("uncompiled")
def test_samples_agree_within_a_share_of_the_spread_and_of_their_distance_from_the_mean():
    x = np.zeros(1)
    for y, spread, mean, agrees in (
        (0.029, 1.0, 0.0, True), (-0.029, 1.0, 0.0, True), (0.032, 1.0, 0.0, False), (0.05, 2.0, 0.0, True),
        (0.05, 1.0, 5.0, True), (0.2, 1.0, 5.0, False), (-0.05, 1.0, 5.0, True),
    ):  # fmt: skip
        assert bool(content._agrees(x, np.array([y]), 0, 0, line(spread=spread, mean=mean))) is agrees
    assert content._agrees(np.array([2.0]), np.array([0.0, 7.0]), 0, 1, line(gain=3, offset=1))
    assert not content._agrees(np.array([2.0]), np.array([0.0, 7.5]), 0, 1, line(gain=3, offset=1))


@pytest.mark.usefixtures("uncompiled")
def test_a_stretch_reaches_over_single_samples_and_ends_at_several():
    x = noise(17, 100)[0]
    y = x.copy()
    y[50] += 99
    assert content._reach(x, y, 30, 0, 1, line(), 100) == 99
    assert content._reach(x, y, 70, 0, -1, line(), 100) == 0
    assert content._reach(x, y, 30, 0, 1, line(), 10) == 39
    assert content._reach(x, y, 70, 0, -1, line(), 10) == 61
    y[50:60] += 99
    assert content._reach(x, y, 30, 0, 1, line(), 100) == 49
    assert content._reach(x, y, 70, 0, -1, line(), 100) == 60
    assert content._reach(x[5:], x, 30, 5, 1, line(), 100) == 94
    assert content._reach(x, x[5:], 70, -5, -1, line(), 100) == 5


@pytest.mark.usefixtures("uncompiled")
def test_information_grows_with_resolution_and_shrinks_with_error():
    x = noise(18)[0]
    rng = np.random.default_rng(0)
    bits = [
        content._information(x, x + error * rng.standard_normal(320), 0, 320, 0, line(spread=10.0))
        for error in (0.0, 0.001, 0.01, 0.1)
    ]
    assert bits == sorted(bits, reverse=True)
    # White noise of deviation 10 against four times the error, and the smallest step that the samples make.
    for error, told in zip((0.001, 0.01, 0.1), bits[1:]):
        against = np.hypot(4 * error, np.abs(np.diff(x)).min() / np.sqrt(6))
        assert told == pytest.approx(316 * (np.log2(10 / against) - 0.91), rel=0.05)
    counts = np.rint(x)
    per_sample = content._information(counts, counts, 0, 320, 0, line(spread=10.0)) / 316
    assert per_sample == pytest.approx(np.log2(10 * np.sqrt(6)) - 0.91, rel=0.05)
    assert content._information(np.full(320, 3.0), x, 0, 320, 0, line()) == 0
    smooth = np.cumsum(np.cumsum(x))  # what the past predicts tells nothing more
    told = content._information(smooth, smooth, 0, 320, 0, line(spread=smooth.std()))
    assert told < content._information(
        x * smooth.std() / 10, x * smooth.std() / 10, 0, 320, 0, line(spread=smooth.std())
    )
    # A gain between the two changes nothing.
    assert content._information(x, 3 * x + 5, 0, 320, 0, line(3, 5, 5, 30)) == pytest.approx(bits[0], rel=1e-3)


@pytest.mark.usefixtures("uncompiled")
def test_the_predictor_is_the_least_squares_one():
    x = np.cumsum(noise(19)[0]) * 0.1 + noise(20)[0]
    mean = x[10:200].mean()
    weights = np.asarray(content._predictor(x, 10, 200, mean))
    rows = np.array([x[i - 1 : i - 5 : -1] - mean for i in range(14, 200)])
    expected = np.linalg.lstsq(rows, x[14:200] - mean, rcond=None)[0]
    np.testing.assert_allclose(weights, expected, atol=1e-3)
    i = 60
    assert content._innovation(x, i, mean, weights) == pytest.approx(
        x[i] - mean - weights @ (x[i - 1 : i - 5 : -1] - mean)
    )


def test_candidates_are_marks_of_one_fingerprint():
    def marks(*keys):
        n = len(keys)
        return content.Marks(np.array(keys, np.uint64), np.zeros(n, np.int16), np.arange(n, dtype=np.int32))

    of, pairs = content._candidates([marks(5, 7), marks(7, 9, 5)])
    assert of.tolist() == [0, 0, 1, 1, 1]
    assert {tuple(p) for p in pairs.tolist()} == {(0, 4), (1, 2)}
    _, pairs = content._candidates([marks(3), marks(3), marks(3), marks(3)])
    assert {tuple(p) for p in pairs.tolist()} == {(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)}
    for nothing in ([], [marks(1, 2), marks(3)], [marks()]):
        assert not len(content._candidates(nothing)[1])


def test_stretches_are_joined_over_channels_where_they_hold_enough():
    stretches = np.array([[7, 10, 50], [7, 40, 40], [7, 200, 20], [9, 10, 50]])
    joined = content._evident(1, 2, stretches, np.array([70.0, 30.0, 28.0, 127.0]))
    assert joined == [Match(1, 2, 10, 17, 70), Match(1, 2, 200, 207, 20)]
    assert content._evident(1, 2, stretches, np.array([1.0, 1.0, 1.0, 128.0])) == [Match(1, 2, 10, 19, 50)]
    touching = content._evident(0, 1, np.array([[-3, 60, 10], [-3, 50, 10]]), np.array([100.0, 100.0]))
    assert touching == [Match(0, 1, 50, 47, 20)]
    chain = content._evident(0, 1, np.array([[0, 10, 50], [0, 40, 40], [0, 70, 30]]), np.array([90.0, 90.0, 90.0]))
    assert chain == [Match(0, 1, 10, 10, 90)]
    assert content._evident(0, 1, stretches[:1], np.array([127.9])) == []
    assert len(content._evident(0, 1, stretches[:1], np.array([128.0]))) == 1
