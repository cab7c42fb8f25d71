"""Fitts' law tests: every definition against values computed by hand."""

import json
import math

import numpy as np
import pytest

from myograph.errors import ConfigError, ShapeError
from myograph.live.fitts import (
    FittsTest,
    Target,
    Trial,
    effective_throughput,
    fitts_summary,
    index_of_difficulty,
    path_efficiency,
    random_targets,
    regression,
    ring_of_targets,
)

# Definitions


def test_difficulty_and_throughput_by_hand():
    assert index_of_difficulty(300, 40) == pytest.approx(3.08746, abs=1e-5)
    assert index_of_difficulty(300, 40) / 2.5 == pytest.approx(1.23499, abs=1e-5)


def test_effective_throughput_by_hand():
    amplitude, deviation, times = [296, 305, 299, 310], [-4, 5, -1, 10], [1.1, 0.9, 1.0, 1.2]
    # SD 6.2450, W_e 25.811, A_e 302.5, ID_e 3.66903
    assert effective_throughput(amplitude, deviation, times) == pytest.approx(3.49431, abs=1e-5)
    assert math.isnan(effective_throughput([1], [1], [1]))
    with pytest.raises(ShapeError, match="must have one value per trial"):
        effective_throughput([1, 2], [1], [1, 2])


def test_path_efficiency_by_hand():
    assert path_efficiency([[0, 0], [3, 4], [6, 0], [9, 4], [12, 0]]) == pytest.approx(12 / 20)
    assert math.isnan(path_efficiency([[1, 1], [1, 1]]))


def test_regression_by_hand():
    # x 1 2 3 4, y 1 3 2 4: Sxy 4, Sxx 5, Syy 5
    found = regression([1, 2, 3, 4], [1, 3, 2, 4])
    assert found == pytest.approx({"intercept": 0.5, "slope": 0.8, "r2": 0.64})
    assert math.isnan(regression([1, 1], [1, 2])["slope"])


TARGET = Target(12.0, 0.0, 2.0)


def trial(points, completed=True, target=TARGET, dwell_s=1.0):
    values = np.array(points, float)
    return Trial(target, values[:, 0], values[:, 1:], dwell_s, completed)


# Waits 0.5 s, moves, enters at 2.0 s, leaves at 2.5 s, enters again at 3.0 s and stays for a second.
HAND = [
    (0.0, 0, 0),
    (0.5, 0, 0),
    (1.0, 3, 4),
    (1.5, 6, 0),
    (2.0, 12, 0),
    (2.5, 14, 0),
    (3.0, 12.5, 0),
    (3.5, 12.5, 0.3),
    (4.0, 12.5, 0.3),
]


def test_one_trial_by_hand():
    found = trial(HAND).metrics()
    difficulty = math.log2(12 / 2 + 1)
    expected = {
        "distance": 12.0,
        "width": 2.0,
        "difficulty": difficulty,
        "completed": 1.0,
        "overshoots": 1.0,
        "reaction_s": 1.0,  # the first position that differs
        "movement_s": 3.0,
        "completion_s": 4.0,
        "throughput": difficulty / 3,
        "throughput_with_dwell": difficulty / 4,
        "efficiency": 12.5 / (5 + 5 + 6 + 2 + 1.5),
        "stopping_distance": 0.3,
        "amplitude": 12.5,
        "deviation": 0.5,
    }
    assert found == pytest.approx(expected)
    missed = trial(HAND[:5], completed=False).metrics()
    assert missed["completed"] == 0
    assert math.isnan(missed["movement_s"])
    assert missed["distance"] == 12.0


def test_summary_by_hand():
    trials = [trial(HAND), trial(HAND[:5], completed=False), trial([(0.0, 0, 0), (1.0, 11.5, 0), (2.0, 11.5, 0)])]
    found = fitts_summary(trials)
    difficulty = math.log2(7)
    assert (found["trials"], found["completed"]) == (3, 2)
    assert found["completion_rate"] == pytest.approx(2 / 3)
    assert found["throughput"] == pytest.approx((difficulty / 3 + difficulty / 1) / 2)
    assert found["throughput_with_dwell"] == pytest.approx((difficulty / 4 + difficulty / 2) / 2)
    assert found["overshoots"] == pytest.approx(1 / 3)
    assert found["movement_s"] == pytest.approx(2.0)
    # Deviations 0.5 and -0.5: SD sqrt(0.5); amplitudes 12.5 and 11.5.
    assert found["throughput_effective"] == pytest.approx(math.log2(12 / (4.133 * math.sqrt(0.5)) + 1) / 2)
    empty = fitts_summary([])
    assert empty["trials"] == 0
    assert math.isnan(empty["throughput"])


def test_a_log_holds_everything():
    first = trial(HAND)
    again = Trial.from_dict(json.loads(json.dumps(first.as_dict())))
    assert again.metrics() == first.metrics()
    np.testing.assert_array_equal(again.path, first.path)
    with pytest.raises(ValueError, match="one time per point"):
        Trial.from_dict({**first.as_dict(), "time_s": [0.0]})


# Targets


def test_ring_of_targets_crosses_the_circle():
    targets = ring_of_targets(9, 2.0, 0.2, x=1.0)
    angles = np.array([math.atan2(t.y, t.x - 1.0) for t in targets])
    turns = np.diff(angles) % (2 * np.pi)
    np.testing.assert_allclose(turns, 2 * np.pi * 4 / 9)
    assert len({round(a, 9) for a in angles}) == 9
    np.testing.assert_allclose([math.hypot(t.x - 1.0, t.y) for t in targets], 1.0)
    with pytest.raises(ConfigError, match="odd"):
        ring_of_targets(8, 2.0, 0.2)


def test_random_targets_are_seeded_balanced_and_inside():
    options = {"distances": [0.4, 0.8], "widths": [0.1, 0.3], "half_size": 1.0}
    targets = random_targets(16, seed=1, **options)
    assert targets == random_targets(16, seed=1, **options)
    assert targets != random_targets(16, seed=2, **options)
    before = [Target(0.0, 0.0, 1.0), *targets]
    found = [(round(math.hypot(b.x - a.x, b.y - a.y), 9), b.width) for a, b in zip(before, targets)]
    assert sorted(found) == sorted([(d, w) for d in (0.4, 0.8) for w in (0.1, 0.3)] * 4)
    assert all(max(abs(t.x), abs(t.y)) + t.width / 2 <= 1 for t in targets)
    with pytest.raises(ConfigError, match="no place"):
        random_targets(4, [3.0], [0.1], half_size=1.0, seed=0)
    with pytest.raises(ConfigError, match="positive width"):
        random_targets(4, [0.5], [0.0], half_size=1.0, seed=0)


# The test in progress


def play(test, times, drive):
    for time_s in times:
        test.advance(float(time_s), drive(test))
        if test.done:
            break
    return test


def to_target(test):
    if test.target is None:
        return 0.0, 0.0
    dx, dy = test.target.x - test.x, test.target.y - test.y
    away = math.hypot(dx, dy)
    return (0.0, 0.0) if away < 0.02 else (0.5 * dx / away, 0.5 * dy / away)


@pytest.mark.parametrize("every_s", [0.01, 0.04])
def test_the_cursor_does_not_depend_on_how_often_it_is_moved(every_s):
    test = FittsTest([Target(0.8, 0.0, 0.2)], dwell_s=0.5, half_size=1.0)
    play(test, np.arange(0, 5, every_s), lambda t: (0.5, 0.0) if t.x < 0.79 else (0.0, 0.0))
    found = test.trials[0].metrics()
    # 0.7 units at 0.5 per second, then half a second of dwell; the velocity changes at the calls alone.
    assert found["movement_s"] == pytest.approx(1.4, abs=0.021)
    assert found["completion_s"] == pytest.approx(1.9, abs=0.021)
    assert found["efficiency"] == pytest.approx(1.0)


def test_a_pause_of_the_caller_is_integrated():
    test = FittsTest([Target(0.8, 0.0, 0.2)], dwell_s=0.5, half_size=1.0)
    test.advance(0.0, (0.0, 0.0))
    test.advance(1.2, (0.5, 0.0))
    assert test.x == pytest.approx(0.6)
    assert len(test._path) == 121


def test_all_targets_of_a_ring():
    test = play(FittsTest(ring_of_targets(7, 1.2, 0.3), dwell_s=0.3), np.arange(0, 60, 0.02), to_target)
    found = fitts_summary(test.trials)
    assert (found["trials"], found["completion_rate"], found["overshoots"]) == (7, 1.0, 0.0)
    assert found["efficiency"] == pytest.approx(1.0, abs=0.01)
    # The cursor moves at a constant speed, so the movement time grows with the distance.
    assert found["regression"]["slope"] > 0


def test_overshoots_and_time_out():
    test = FittsTest([Target(0.5, 0.0, 0.2), Target(-0.5, 0.0, 0.2)], dwell_s=1.0, timeout_s=4.0)
    play(
        test, np.arange(0, 20, 0.02), lambda t: (0.5 if (t._now or 0.0) % 2 < 1 else -0.5, 0.0)
    )  # swings over and over
    assert [t.completed for t in test.trials] == [False, False]
    assert test.trials[0].overshoots >= 2
    assert test.trials[0].time_s[-1] == pytest.approx(4.0)
    assert test.done
    assert test.target is None


def test_the_cursor_stays_on_the_screen_and_dwell_is_shown():
    test = FittsTest([Target(0.9, 0.0, 0.3)], dwell_s=1.0, half_size=1.0)
    test.advance(10.0, (0.0, 0.0))
    test.advance(15.0, (9.0, 0.0))
    assert test.x == 1.0 or test.done
    test = FittsTest([Target(0.0, 0.0, 0.3)], dwell_s=1.0)
    test.advance(0.0, (0.0, 0.0))
    test.advance(0.5, (0.0, 0.0))
    assert test.dwelt == pytest.approx(0.5)


def test_what_cannot_be():
    with pytest.raises(ConfigError, match="no targets"):
        FittsTest([])
    with pytest.raises(ConfigError, match="timeout_s longer than dwell_s"):
        FittsTest([Target(0, 0, 1)], dwell_s=2.0, timeout_s=1.0)
    test = FittsTest([Target(1, 0, 1)])
    test.advance(1.0, (0.0, 0.0))
    with pytest.raises(ConfigError, match="must not decrease"):
        test.advance(0.5, (0.0, 0.0))
    with pytest.raises(ConfigError, match="finite"):
        test.advance(1.5, (math.nan, 0.0))
