"""What an estimator remembers of its windows, piece by piece."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from myograph import LeakageWarning, Recording, Windows
from myograph._common import seen as spine
from myograph._common.seen import (
    FAR,
    Seen,
    fingerprint,
    no_leakage_warning,
    reaching,
    remember,
    repetitions_of,
    warn_of_leakage,
)


def recording(seed=0, subject="1", n=1000, **fields):
    signal = np.random.default_rng(seed).normal(size=(2, n))
    return Recording(signal, 1000.0, np.zeros(n, int), subject, np.ones(n, int), **fields)


def windows(recordings, *rows):
    """Rows of (recording, start, stop), or with a repetition as the fourth."""
    recordings = recordings if isinstance(recordings, list) else [recordings]
    of, start, stop = (np.array([row[i] for row in rows], int) for i in range(3))
    return Windows(
        recordings,
        {
            "recording": of, "start": start, "stop": stop, "label": ["a"] * len(rows), "position": np.zeros(len(rows), int),
            "subject": [recordings[i].subject for i in of], "session": [recordings[i].session for i in of],
            "repetition": np.array([row[3] if len(row) > 3 else 1 for row in rows], int),
            "channel": np.full(len(rows), -1),
        },
    )  # fmt: skip


def shared(fitted, asked):
    samples, repetition = Seen.of(fitted).shared_by(asked)
    return samples.tolist(), repetition.tolist()


def test_ranges_are_merged_where_they_touch_and_kept_apart_where_not():
    one = recording()
    found = Seen.of(windows(one, (0, 300, 400), (0, 0, 100), (0, 100, 150), (0, 20, 60), (0, 399, 450), (0, 451, 500)))
    assert found.start.tolist() == [0, 300, 451]
    assert found.stop.tolist() == [150, 450, 500]
    assert found.n == 6


def test_ranges_of_several_recordings_stand_in_the_order_of_their_prints():
    some = [recording(i) for i in range(3)]
    found = Seen.of(windows(some, (2, 5, 10), (0, 1, 2), (1, 7, 9)))
    assert found.prints.tolist() == sorted(fingerprint(r) for r in some)
    place = {fingerprint(r): i for i, r in enumerate(some)}
    expected = {0: (1, 2), 1: (7, 9), 2: (5, 10)}
    for k, key in enumerate(found.prints.tolist()):
        begin, end = expected[place[key]]
        assert (found.start[k], found.stop[k]) == (k * FAR + begin, k * FAR + end)


def test_samples_are_shared_from_the_first_to_the_last_and_not_one_further():
    one = recording()
    fitted = windows(one, (0, 100, 200), (0, 400, 450))
    asked = windows(
        one, (0, 0, 100), (0, 0, 101), (0, 199, 250), (0, 200, 400), (0, 200, 401), (0, 449, 460), (0, 450, 500), (0, 0, 900)
    )  # fmt: skip
    assert shared(fitted, asked)[0] == [False, True, True, False, True, True, False, True]


def test_the_same_places_of_another_recording_are_not_shared():
    first, second, third = (recording(i) for i in range(3))
    fitted = windows([first, second], (0, 0, 100), (1, 500, 600))
    assert shared(fitted, windows([second, first], (0, 0, 100), (1, 0, 100)))[0] == [False, True]
    assert shared(fitted, windows([third], (0, 0, 100), (0, 500, 600))) == ([False, False], [False, False])
    assert shared(fitted, windows([third, second], (0, 0, 100), (1, 590, 700)))[0] == [False, True]


def test_a_copy_under_another_name_is_the_same_recording():
    one = recording()
    twin = Recording(one.signal.copy(), 1000.0, one.label, "other", one.repetition)
    assert shared(windows(one, (0, 0, 100)), windows(twin, (0, 50, 150)))[0] == [True]


@pytest.mark.parametrize("n", [5, 40, 64, 100, 1000, 6400])
def test_the_fingerprint_depends_on_ends_shape_type_and_evenly_spaced_samples(n):
    base = np.random.default_rng(n).normal(size=(2, n))
    made = lambda signal: fingerprint(Recording(signal, 1000.0, None, "1"))  # noqa: E731
    assert made(base) == made(base.copy())
    assert 0 <= made(base) < 2**64
    assert made(base) != made(base.astype(np.float32))
    assert made(base) != made(base[:1])
    ends = {*range(min(16, n)), *range(max(n - 16, 0), n)}
    spaced = {*range(0, n, max(n // 64, 1))}
    for at in [*sorted(ends | spaced)[:: max(len(ends | spaced) // 12, 1)], min(15, n - 1), max(n - 16, 0), n - 1]:
        changed = base.copy()
        changed[1, at] += 1
        assert made(changed) != made(base), at
    skipped = sorted(set(range(n)) - ends - spaced)
    if skipped:  # few samples are read, however long the recording is
        changed = base.copy()
        changed[:, skipped] += 1
        assert made(changed) == made(base)
        assert len(ends | spaced) <= 2 * 16 + 2 * 64


def test_the_fingerprint_is_kept_with_the_recording(monkeypatch):
    one = recording()
    first = fingerprint(one)
    monkeypatch.setattr(spine.hashlib, "blake2b", None)
    assert fingerprint(one) == first


def test_a_method_fitted_twice_remembers_both():
    some = [recording(i) for i in range(3)]
    first, second = windows(some, (1, 10, 30, 1), (0, 0, 5, 1)), windows(some[1:], (0, 20, 50, 2), (1, 3, 8, 2))
    both = Seen.of(first).joined(Seen.of(second))
    whole = Seen.of(windows(some, (1, 10, 30, 1), (0, 0, 5, 1), (1, 20, 50, 2), (2, 3, 8, 2)))
    assert both.prints.tolist() == whole.prints.tolist()
    assert both.start.tolist() == whole.start.tolist()
    assert both.stop.tolist() == whole.stop.tolist()
    assert both.repetitions == whole.repetitions == {("1", "1", 1), ("1", "1", 2)}
    assert both.n == 4


def test_the_reach_of_filters_counts_for_what_was_fitted_and_stops_at_breaks():
    one = recording(reach_samples=30, breaks=(500, 800))
    start, stop = reaching(
        windows(one, (0, 0, 50), (0, 100, 150), (0, 480, 500), (0, 500, 520), (0, 790, 800), (0, 960, 1000))
    )
    assert start.tolist() == [0, 70, 450, 500, 760, 930]
    assert stop.tolist() == [80, 180, 500, 550, 800, 1000]
    plain = windows(recording(), (0, 100, 150))
    assert [x.tolist() for x in reaching(plain)] == [[100], [150]]
    several = [recording(0), recording(1, reach_samples=7, n=400), recording(2, reach_samples=5)]
    start, stop = reaching(windows(several, (0, 100, 150), (1, 100, 396), (2, 3, 150)))
    assert start.tolist() == [100, 93, 0]
    assert stop.tolist() == [150, 400, 155]
    fitted = windows(one, (0, 100, 150))
    assert shared(fitted, windows(one, (0, 0, 70), (0, 0, 71), (0, 179, 300), (0, 180, 300)))[0] == [
        False,
        True,
        True,
        False,
    ]


def test_repetitions_have_a_code_for_each_person_session_and_number():
    some = [recording(0, "a"), recording(1, "a", session="2"), recording(2, "b")]
    asked = windows(some, (0, 0, 9, 3), (1, 0, 9, 3), (2, 0, 9, 3), (2, 0, 9, -1), (0, 0, 9, 3), (0, 0, 9, 7))
    codes, names = repetitions_of(asked)
    assert [names[code] for code in codes.tolist()] == [
        ("a", "1", 3), ("a", "2", 3), ("b", "1", 3), ("b", "1", -1), ("a", "1", 3), ("a", "1", 7)
    ]  # fmt: skip
    assert len(names) == 5
    assert min(names) >= 0


@pytest.mark.parametrize("numbers", [(5,), (0,), (-4, -2), (3, 9), (0, 1)])
def test_codes_of_repetitions_are_whole_numbers_from_zero(numbers):
    asked = windows(recording(), *((0, 0, 9, number) for number in numbers))
    codes, names = repetitions_of(asked)
    assert [names[code][2] for code in codes.tolist()] == list(numbers)
    assert 0 <= codes.min() <= codes.max() <= max(numbers) - min(numbers) + max(min(numbers), 0)


def test_a_repetition_is_shared_where_the_recordings_are_known():
    first, second, strange = recording(0), recording(1), recording(2)
    fitted = windows([first, second], (0, 0, 100, 1), (0, 200, 300, 2))
    # In the recordings of the fit, and in any other one that is asked about together with one of them.
    assert shared(fitted, windows(first, (0, 500, 600, 1), (0, 500, 600, 3), (0, 500, 600, 2)))[1] == [
        True,
        False,
        True,
    ]
    assert shared(fitted, windows(second, (0, 0, 100, 2)))[1] == [True]
    assert shared(fitted, windows([strange, first], (0, 0, 100, 2)))[1] == [True]
    assert shared(fitted, windows(strange, (0, 0, 100, 2)))[1] == [False]
    other_session = recording(0, session="2")
    assert shared(fitted, windows(other_session, (0, 500, 600, 1)))[1] == [False]


class Plain:
    pass


def test_an_estimator_remembers_windows_and_forgets_them_for_an_array():
    one, estimator = windows(recording(), (0, 0, 100)), Plain()
    remember(estimator, one)
    assert estimator._seen.n == 1
    remember(estimator, np.zeros((3, 2, 10)), more=True)
    assert estimator._seen.n == 1
    remember(estimator, windows(recording(), (0, 300, 400)), more=True)
    assert (estimator._seen.n, estimator._seen.start.tolist()) == (2, [0, 300])
    remember(estimator, windows(recording(), (0, 300, 400)))
    assert (estimator._seen.n, estimator._seen.start.tolist()) == (1, [300])
    remember(estimator, one[:0], more=True)
    assert estimator._seen.n == 1
    remember(estimator, np.zeros((3, 2, 10)))
    assert estimator._seen is None
    remember(estimator, one, more=True)
    assert estimator._seen.n == 1


def said(estimator, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_leakage(estimator, X)
    return [(str(w.message), w.category, w.filename) for w in caught]


def test_the_warning_counts_and_names_the_first():
    some = [recording(0, "ann"), recording(1, "bob", session="x")]
    estimator = Plain()
    assert said(estimator, windows(some, (0, 0, 100))) == []
    remember(estimator, windows(some, (1, 0, 100, 4)))
    ((text, category, filename),) = said(
        estimator, windows(some, (0, 0, 100, 1), (1, 300, 400, 4), (1, 50, 150, 4), (0, 9, 99))
    )
    assert category is LeakageWarning
    assert filename == __file__
    assert text.startswith(
        "1 of 4 windows share samples with the windows that this method was fitted on, and 2 share a repetition with them "
        "(the first: subject bob, session x, repetition 4), so a score on them is too high."
    )
    ((text, _, _),) = said(estimator, windows(some, (1, 0, 10, 9)))
    assert text.startswith("1 of 1 windows share samples with the windows that this method was fitted on, and 0 share")


def test_nothing_is_said_where_nothing_is_shared_or_known():
    one = recording()
    estimator = Plain()
    remember(estimator, windows(one, (0, 0, 100, 1)))
    assert said(estimator, windows(one, (0, 100, 200, 2))) == []
    assert said(estimator, windows(one, (0, 0, 100))[:0]) == []
    assert said(estimator, np.zeros((2, 2, 100))) == []
    assert len(said(estimator, windows(one, (0, 0, 100)))) == 1
    remember(estimator, None)
    assert said(estimator, windows(one, (0, 0, 100))) == []


def test_inside_a_step_of_a_fit_nothing_is_said_and_afterwards_again():
    one, estimator = windows(recording(), (0, 0, 100)), Plain()
    remember(estimator, one)
    with no_leakage_warning():
        assert said(estimator, one) == []
        with no_leakage_warning():
            assert said(estimator, one) == []
        assert said(estimator, one) == []
    assert len(said(estimator, one)) == 1
    with pytest.raises(ValueError, match="stop"), no_leakage_warning():
        raise ValueError("stop")
    assert len(said(estimator, one)) == 1


def test_the_warning_points_at_the_users_line_past_the_packages():
    one, estimator = windows(recording(), (0, 0, 100)), Plain()
    remember(estimator, one)
    space = {"__name__": "sklearn.pipeline", "warn": warn_of_leakage}
    exec(compile("def call(a, b):\n    warn(a, b)", "sklearn-file", "exec"), space)
    outer = {"__name__": "joblib.parallel", "call": space["call"]}
    exec(compile("def again(a, b):\n    call(a, b)", "joblib-file", "exec"), outer)
    mine = {"__name__": "sklearnish", "again": outer["again"]}
    exec(compile("\n\ndef use(a, b):\n    again(a, b)", "my-file", "exec"), mine)
    for function, file in ((space["call"], __file__), (outer["again"], __file__), (mine["use"], "my-file")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function(estimator, one)
        assert [w.filename for w in caught] == [file]
    assert caught[0].lineno == 4
