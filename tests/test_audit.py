"""The audit compares what recordings hold: a copy is found in any disguise, and nothing else is taken for one."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from conftest import make_recording
from myograph import KFoldRepetitions, LeaveOneSubjectOut, Recording, Windowing, Windows, WithinSubject
from myograph.audit import audit, copies_in, overlapping
from myograph.datasets import load
from myograph.errors import LeakageError
from myograph.preprocessing import HighPass, LowPass, MovingRMS, Rectify, Resample, SampleBySample, ZeroPhase

LENGTH = 40  # samples in a window


def noise(seed, n_channels=4, n=1600, loud=20.0):
    return (loud * np.random.default_rng(seed).standard_normal((n_channels, n))).astype(np.float32)


def people(*signals, rate_hz=200.0):
    """Windows of one recording per person, named 0, 1, …"""
    recordings = [
        Recording(x, rate_hz, np.arange(x.shape[1]) // 200 % 2, subject=str(i), label_names=("a", "b"))
        for i, x in enumerate(signals)
    ]
    return Windows.cut(recordings, Windowing(1000 * LENGTH / rate_hz, 50))


def test_a_copy_is_found_for_windows_of_single_samples_and_neighbouring_electrodes_are_none():
    near = noise(1, n_channels=1) + 0.3 * noise(2, n_channels=16)  # electrodes of a grid that nearly agree
    recordings = [
        Recording(x, 200.0, np.zeros(x.shape[1], int), subject=str(i))
        for i, x in enumerate((near, noise(3, n_channels=16), 1.0001 * near[:, 333:]))
    ]
    [found] = copies_in(Windows.cut(recordings, SampleBySample()))
    assert (found.first, found.second, found.start - found.other_start) == (0, 2, 333)
    assert found.n > 1200
    assert not copies_in(Windows.cut(recordings[:2], SampleBySample()))


def test_what_amplifiers_and_filters_do_when_switched_on_is_no_copy_but_a_trial_is():
    """Every trial begins with an electrode's offset that decays, which a high-pass filter turns into its own response."""
    t = np.arange(1600) / 1000

    def trial(seed):
        offsets = 2e4 * np.random.default_rng(seed).uniform(0.5, 2, (64, 1))
        return (offsets * np.exp(-t / 0.02) + noise(seed + 10, n_channels=64, loud=5.0)).astype(np.float32)

    def filtered(*signals):
        recordings = [Recording(x, 1000.0, np.zeros(1600, int), subject=str(i)) for i, x in enumerate(signals)]
        return Windows.cut([HighPass(20).apply(r) for r in recordings], Windowing(200, 50))

    assert not copies_in(filtered(trial(1), trial(2), trial(3)))
    [found] = copies_in(filtered(trial(1), trial(2), trial(1)))
    assert (found.first, found.second, found.n) == (0, 2, 1600)
    [found] = copies_in(filtered(trial(1), trial(2), 1.01 * trial(1)))
    assert (found.first, found.second) == (0, 2)
    assert found.n > 1500


def shared(windows, test="1"):
    is_test = windows.groups == test
    return audit(windows, ~is_test, is_test, leaky=True)


def counts(x):
    return np.clip(np.rint(x), -128, 127)


def inside(x, y):
    """One window's length of x in the middle of y."""
    y = y.copy()
    y[:, 700 : 700 + LENGTH + 5] = x[:, 300 : 300 + LENGTH + 5]
    return y


def changed(x, at, value):
    x = x.copy()
    x[:, at] = value
    return x


DISGUISES = {
    "float64": lambda x: x.astype(np.float64),
    "scaled a little": lambda x: x * np.float32(1.0001),
    "scaled much": lambda x: 1e6 * x,
    "offset": lambda x: x + np.float32(1000),
    "turned over": lambda x: 5 - 3 * x,
    "rolled": lambda x: np.roll(x, 1, axis=1),
    "cropped": lambda x: x[:, 1:],
    "one sample changed": lambda x: changed(x, 700, 1e4),
    "channels permuted": lambda x: x[[2, 0, 3, 1]],
    "one channel of it": lambda x: np.concatenate([noise(8, 3), x[2:3]]),
    "whole numbers": lambda x: np.rint(x).astype(np.int16),
    "float16": lambda x: x.astype(np.float16),
    "clipped": lambda x: np.clip(x, -40, 40),
    "noise on top": lambda x: x + 0.002 * noise(9),
    "halves swapped": lambda x: np.concatenate([x[:, 800:], x[:, :800]], axis=1),
    "each channel scaled and moved on its own": lambda x: (
        np.array([3, 0.1, -1, 7])[:, None] * x + np.arange(4)[:, None]
    ),
    "gain that drifts": lambda x: x * np.linspace(1, 1.05, x.shape[1]),
    "one window of it": lambda x: inside(x, noise(7)),
    "in shorter pieces, in another order": lambda x: x.reshape(4, 8, 200)[:, ::-1].reshape(4, 1600),
}


@pytest.mark.parametrize("kind", ["noise", "8-bit counts"])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_is_found_in_any_disguise(disguise, kind):
    x = noise(0) if kind == "noise" else counts(noise(0)).astype(np.float32)
    windows = people(noise(1), x, DISGUISES[disguise](x), noise(2))
    for test, other in (("1", "2"), ("2", "1")):
        found = shared(windows, test)
        assert not found.passed
        if disguise != "one window of it":
            assert found.n_sharing_samples > 0.9 * found.n_test
        is_test = windows.groups == test
        with pytest.raises(
            LeakageError, match=r"subject 2, session 1 and subject 1, session 1 contain the same samples"
        ):
            audit(windows, windows.groups == other, is_test)
    assert shared(windows, "0").passed
    assert shared(windows, "3").passed


@pytest.mark.parametrize("disguise", DISGUISES)
def test_without_a_copy_nothing_is_found(disguise):
    x = counts(noise(0)).astype(np.float32)
    assert not copies_in(people(noise(1), DISGUISES[disguise](x), noise(2), counts(noise(3))))


def test_the_message_names_both_how_much_they_share_and_which_to_leave_out():
    x = noise(0)
    windows = people(x, np.concatenate([noise(1, n=400), x[:, 200:1400]], axis=1))
    fold = list(LeaveOneSubjectOut().folds(windows))[1]
    with pytest.raises(LeakageError) as error:
        audit(windows, fold.train, fold.test, ("subject",), name="subject 1")
    said = str(error.value)
    n = int((windows.where(subject="1").column("stop") > 400).sum())
    said = said.replace(f"{n + 1}", f"{n}")  # one more sample may agree by chance
    assert f"subject 1: {n} of {len(fold.test)} test windows share samples with train" in said
    assert f"contain the same samples (6.0 s, starting at 2.0 s and 1.0 s; {n} test windows)" in said
    assert said.endswith("leave out subject 1, session 1, or keep both copies in train or both in test")


def test_overlapping_views_of_one_array_are_found():
    x = noise(0, n=3000)
    windows = people(x[:, :1800], x[:, 1200:])
    found = shared(windows)
    overlapping_part = windows.where(subject="1").column("start") < 600
    assert found.n_sharing_samples == overlapping_part.sum()


def test_a_repetition_that_stands_twice_in_one_recording_is_found():
    x = noise(0, n=2000)
    x[:, 1500:1700] = x[:, 300:500]
    windows = people(x)
    start = windows.column("start")
    with pytest.raises(LeakageError, match=r"subject 0, session 1 contains twice the same samples \(1\.0 s"):
        audit(windows, start < 900, start >= 1000)


def test_copies_of_copies_are_found_whichever_two_are_compared():
    x = noise(0)
    windows = people(*[(1 + 0.1 * i) * x for i in range(12)])
    for train, test in (("3", "9"), ("11", "4"), ("7", "8")):
        rows = [np.flatnonzero(windows.groups == name) for name in (train, test)]
        assert audit(windows, *rows, leaky=True).n_sharing_samples == len(rows[1])


def test_signals_that_tell_nothing_are_not_taken_for_copies():
    rng = np.random.default_rng(0)
    t = np.arange(1600) / 200.0
    mains = [np.rint(3 * np.sin(2 * np.pi * 50 * t + phase))[None] for phase in (0.3, 0.9)]
    sines = [np.sin(2 * np.pi * 11 * t + phase)[None] for phase in (0.0, 1.0)]
    ramps = [np.arange(1600.0)[None], 3 * np.arange(1600.0)[None] + 5]
    steps = [np.repeat(rng.integers(0, 2, 16), 100)[None].astype(float) for _ in range(2)]
    toggling = [0.0024 * rng.integers(0, 2, (8, 1600)) * (rng.random((8, 1600)) < 0.2) for _ in range(2)]
    smooth = [np.abs(noise(i, 8)).cumsum(1)[:, ::1] for i in range(2)]
    for group in (mains, sines, ramps, steps, toggling, [s.round(-2) for s in smooth]):
        rows = people(*group)
        assert not copies_in(rows)
    assert shared(people(np.zeros((2, 1600)), np.zeros((2, 1600)))).n_sharing_samples  # two whole recordings are equal


def test_windows_of_other_people_with_the_same_gestures_are_not_copies():
    rng = np.random.default_rng(0)
    windows = Windows.cut([make_recording(rng, str(i), n_per_run=300) for i in range(6)], Windowing(150, 50))
    assert not copies_in(windows)


def test_marks_are_kept_with_a_recording_and_not_in_its_pickle():
    windows = people(noise(0), 2 * noise(0))
    before = copies_in(windows)
    recording = windows.recordings[0]
    kept = recording.__dict__["_marks"][LENGTH]
    assert copies_in(windows[5:]) == before
    assert copies_in(people(noise(1))) == []
    assert copies_in(windows) == before
    assert recording.__dict__["_marks"][LENGTH] is kept
    assert "_marks" not in copy.deepcopy(recording).__dict__


def test_only_recordings_with_windows_here_are_compared():
    windows = people(noise(0), noise(1), 2 * noise(0))
    assert not copies_in(windows.where(subject=("0", "1")))
    (found,) = copies_in(windows.where(subject=("0", "2")))
    assert (found.first, found.second, found.start, found.other_start, found.n) == (0, 2, 0, 0, 1600)


def test_the_search_takes_less_memory_than_the_signals():
    recordings = [Recording(noise(i, 8, 30_000), 1000.0, np.zeros(30_000, int), str(i)) for i in range(12)]
    windows = Windows.cut(recordings, Windowing(250, 250))
    copies_in(people(noise(0), noise(0).copy()))  # compiled
    tracemalloc.start()
    assert not copies_in(windows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * sum(r.signal.nbytes for r in recordings)


def brute_force(table, rows, others):
    def samples(row):
        recording, start, stop = (int(table[name][row]) for name in ("recording", "start", "stop"))
        return {(recording, i) for i in range(start, stop)}

    of_others = set().union(*(samples(row) for row in others))
    return [bool(samples(row) & of_others) for row in rows]


def test_windows_of_mixed_lengths_are_compared_sample_by_sample():
    rng = np.random.default_rng(0)
    # One long window early and many short ones: the last one to start is not the last one to stop.
    start = np.concatenate([[0, 5], rng.integers(0, 400, 60)])
    stop = start + np.concatenate([[300, 10], rng.integers(1, 30, 60)])
    table = pd.DataFrame({"recording": np.repeat([0, 1], [40, 22]), "start": start, "stop": stop})
    for _ in range(20):
        rows = rng.permutation(62)
        others = np.append(rows[30:], 0)
        assert overlapping(table, rows[:30], others).tolist() == brute_force(table, rows[:30], others)
    assert overlapping(table, np.array([4]), np.array([0, 1])).tolist() == brute_force(table, [4], [0, 1])


def in_a_row(seed=0, rate_hz=100.0, n_labels=3, n_repetitions=10, run_s=2.5, n_channels=4):
    """Noise whose labels mean nothing: all repetitions of a gesture follow each other."""
    n = int(run_s * rate_hz)
    label = np.repeat(np.arange(n_labels), n_repetitions * n)
    repetition = np.tile(np.repeat(np.arange(1, n_repetitions + 1), n), n_labels)
    return Recording(noise(seed, n_channels, len(label)), rate_hz, label, "1", repetition)


def right_by_run(windows, folds):
    """Share of right windows in each test repetition, by the nearest neighbour."""
    x, y, runs = windows.batch()[:, :, -1], windows.y, []
    for fold in folds:
        said = KNeighborsClassifier(1).fit(x[fold.train], y[fold.train]).predict(x[fold.test])
        rows = pd.DataFrame({"repetition": windows.column("repetition")[fold.test], "y": y[fold.test]})
        runs.append(rows.assign(right=said == rows["y"]).groupby(["repetition", "y"])["right"].mean())
    return runs


@pytest.mark.parametrize("one", [MovingRMS(2000.0), LowPass(0.3)], ids=str)
def test_filters_carry_nothing_from_train_windows_into_test_windows(one):
    honest, blind = [], []
    for seed in range(4):
        windows = Windows.cut(one.apply(in_a_row(seed, n_channels=32)), Windowing(200, 200))
        folds = list(KFoldRepetitions(5).folds(windows))
        for fold in folds:
            audit(windows, fold.train, fold.test)
        honest += right_by_run(windows, folds)
        blind += right_by_run(windows, KFoldRepetitions(5).folds(windows.table))  # a table knows no filters
    honest, blind = pd.concat(honest), pd.concat(blind)
    assert honest.mean() < 1 / 3 + 4 * honest.std() / np.sqrt(len(honest))
    assert blind.mean() > 0.6  # or this test would show nothing


def test_the_reach_of_filters_adds_up_in_samples_of_the_output():
    recording = in_a_row(rate_hz=200.0)
    assert recording.reach_samples == Rectify().apply(recording).reach_samples == 0
    once = MovingRMS(100.0).apply(recording)
    assert once.reach_samples == 19
    assert MovingRMS(50.0).apply(once).reach_samples == 28
    assert Resample(100.0).apply(once).reach_samples == -(-(19 + Resample(100.0).reach_samples(200.0)) // 2)
    assert ZeroPhase(LowPass(1.0)).apply(recording).reach_samples == ZeroPhase(LowPass(1.0)).reach_samples(200.0)


@pytest.mark.parametrize("breaks", [(), (400,)])
def test_windows_within_the_reach_are_left_out_and_refused(breaks):
    recording = Recording(noise(0, 2, 800), 200.0, np.zeros(800, int), "1", np.repeat([1, 2], 400), breaks=breaks)
    windows = Windows.cut(MovingRMS(500.0).apply(recording), Windowing(100, 50))  # reaches 99 samples
    (fold,) = WithinSubject(test_repetitions=(2,)).folds(windows)
    assert windows.column("stop")[fold.train].max() == (400 if breaks else 300)
    audit(windows, fold.train, fold.test)
    if not breaks:
        near = np.append(fold.train, fold.train[-1] + 1)
        with pytest.raises(
            LeakageError,
            match=r"1 of 39 test windows .* through filters, or a method that reads earlier windows, with a reach of 99 samples",
        ):
            audit(windows, near, fold.test)


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["3dc", "myoarmband", "ninapro_db1", "ninapro_db5", "longterm_myo", "electrode_shift", "flexemg"]
)
def test_no_false_alarm_on_real_recordings(name):
    assert not copies_in(Windows.cut(load(name), Windowing(200, 200)))


@pytest.mark.real_data
def test_the_known_copies_in_myoarmband_are_found():
    recordings = load("myoarmband", part="all")
    windows = Windows.cut(recordings, Windowing(250, 100))
    names = [f"pretraining Female{i}" for i in (7, 8, 9)]
    found = {(recordings[m.first].subject, recordings[m.second].subject) for m in copies_in(windows)}
    assert {name for pair in found for name in pair} == {"Female0", *names}
    for name in names:
        with pytest.raises(LeakageError, match=rf"{name}.*Female0|Female0.*{name}"):
            audit(windows, windows.groups == name, windows.groups == "Female0", ("subject",))
