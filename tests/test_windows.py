from __future__ import annotations

import copy
import pickle
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_validate

from conftest import make_recording
from myograph import Recording, Windowing, Windows, WithinSubject
from myograph.errors import ShapeError, WindowError
from myograph.features.transformer import Features
from myograph.protocols import KFoldRepetitions
from myograph.windows import EachChannel


def _labelled(label, repetition=None, rate_hz=1000.0, **more):
    label = np.asarray(label)
    signal = np.arange(2 * len(label), dtype=np.float32).reshape(2, -1)
    return Recording(signal, rate_hz, label, subject="1", repetition=repetition, **more)


def test_pure_windows_by_hand():
    # Runs: label 0 at 0-4, label 1 at 5-11, unlabelled 12-15. Windows of 3 every 2.
    recording = _labelled([0] * 5 + [1] * 7 + [-1] * 4)
    table = Windows.cut(recording, Windowing(length_ms=3, step_ms=2)).table
    assert table["start"].tolist() == [0, 2, 5, 7, 9]
    assert table["stop"].tolist() == [3, 5, 8, 10, 12]
    assert table["label"].tolist() == ["0", "0", "1", "1", "1"]
    assert table["position"].tolist() == [0, 1, 0, 1, 2]


def test_majority_windows_by_hand_ties_go_to_the_later_label():
    recording = _labelled([0] * 5 + [1] * 7)
    table = Windows.cut(recording, Windowing(length_ms=4, step_ms=3, label_rule="majority")).table
    assert table["start"].tolist() == [0, 3, 6]
    assert table["label"].tolist() == ["0", "1", "1"]  # 3-6 holds two of each


def test_future_labels_stay_within_the_repetition():
    # One repetition holds labels 0 then 1; the next repetition starts at 8.
    recording = _labelled([0] * 4 + [1] * 4 + [0] * 4, repetition=[1] * 8 + [2] * 4)
    table = Windows.cut(recording, Windowing(length_ms=2, step_ms=1, future_ms=3)).table
    assert list(zip(table["start"], table["label"])) == [(0, "1"), (1, "1"), (2, "1")]
    assert not (table["start"] == 4).any()  # its target, sample 8, is in the next repetition


def test_a_repetition_number_that_comes_back_later_is_another_stretch():
    recording = _labelled([0] * 12, repetition=[1] * 4 + [2] * 4 + [1] * 4)
    # From a window in the first stretch of repetition 1, seven samples on lies its second stretch.
    with pytest.raises(WindowError, match="finds no window"):
        Windows.cut(recording, Windowing(length_ms=2, step_ms=1, future_ms=7))


@settings(deadline=None, max_examples=60)
@given(
    label=hnp.arrays(np.int32, st.integers(20, 120), elements=st.integers(-1, 2)),
    length=st.integers(1, 12),
    step=st.integers(1, 9),
)
def test_pure_windows_equal_a_search_sample_by_sample(label, length, step):
    label = np.repeat(label, 4)
    recording = _labelled(label)
    expected = []
    begin = 0
    for i in range(1, len(label) + 1):
        if i == len(label) or label[i] != label[begin] or recording.repetition[i] != recording.repetition[begin]:
            if label[begin] >= 0:
                expected += list(range(begin, i - length + 1, step))
            begin = i
    try:
        starts = Windows.cut(recording, Windowing(length, step)).table["start"].tolist()
    except WindowError:
        starts = []
    assert starts == expected


@settings(deadline=None, max_examples=40)
@given(
    label=hnp.arrays(np.int32, st.integers(5, 30), elements=st.integers(0, 2)),
    length=st.integers(2, 15),
    step=st.integers(1, 9),
)
def test_majority_windows_equal_a_count_sample_by_sample(label, length, step):
    label = np.repeat(label, 3)
    table = Windows.cut(_labelled(label), Windowing(length, step, label_rule="majority")).table
    for start, name in zip(table["start"], table["label"].astype(str)):
        counts = np.bincount(label[start : start + length])
        assert counts[int(name)] == counts.max()


def test_a_batch_holds_the_samples_of_its_rows():
    recording = make_recording(np.random.default_rng(0))
    windows = Windows.cut(recording, Windowing(100, 30))
    batch = windows.batch([5, 0, 7])
    for row, samples in zip([5, 0, 7], batch):
        start = windows.table["start"][row]
        np.testing.assert_array_equal(samples, recording.signal[:, start : start + 20])
    np.testing.assert_array_equal(np.asarray(windows)[5], batch[0])
    np.testing.assert_array_equal(windows[5], batch[0])
    np.testing.assert_array_equal(np.concatenate(list(windows.batches(50))), windows.batch())


def test_one_window_and_pickles_and_copies():
    windows = Windows.cut(make_recording(np.random.default_rng(0)), Windowing(100, 30))
    assert np.shares_memory(windows[3], windows.recordings[0].signal)
    for twin in (pickle.loads(pickle.dumps(windows)), copy.deepcopy(windows)):
        np.testing.assert_array_equal(twin.batch([1, 2]), windows.batch([1, 2]))


def names_of_two_people():
    recordings = [
        make_recording(np.random.default_rng(i), subject=subject, session=session)
        for i, (subject, session) in enumerate([("b", "2"), ("a", "1"), ("b", "1")])
    ]
    return Windows.cut(recordings, Windowing(100, 30))


@pytest.mark.parametrize("rows", [slice(3, None, 4), [5, 0, 7, 7], [-1, 2], "mask"])
def test_windows_are_the_same_before_and_after_their_table_was_asked_for(rows):
    before, after = names_of_two_people(), names_of_two_people()
    pd.testing.assert_frame_equal(before._frame(), after.table)
    rows = np.arange(len(before)) % 3 == 1 if isinstance(rows, str) else rows
    some, same = before[rows], after[rows]
    assert before._table is None  # or this test would compare one way with itself
    assert after._columns is None
    for name in ("y", "groups"):
        np.testing.assert_array_equal(getattr(some, name), getattr(same, name))
    assert repr(some) == repr(same)
    np.testing.assert_array_equal(some.batch(), same.batch())
    for make in (
        lambda w: w.where(subject="b", session=(1, 2)),
        lambda w: w.split_channels(),
        lambda w: w.without_labels(),
        lambda w: Windows.concatenate([w, w[:1]]),
        lambda w: w[[]],
    ):
        pd.testing.assert_frame_equal(make(some).table, make(same).table)


def test_a_cache_finds_windows_whether_their_table_was_asked_for_or_not():
    windows, same = names_of_two_people(), names_of_two_people()
    before = joblib.hash(windows)
    assert joblib.hash(same) == before
    _ = windows.table
    assert joblib.hash(windows) == before
    assert joblib.hash(windows[1:]) != before
    for rows in (
        slice(2, 9),
        slice(0, None, 3),
        [5, 0, 7, 7],
        np.arange(len(same)) % 3 == 1,
        np.arange(len(same))[::-1],
    ):
        assert joblib.hash(windows[rows]) == joblib.hash(same[rows])
    assert joblib.hash(windows[2:9]) == joblib.hash(same[list(range(2, 9))])


def test_another_table_may_be_set():
    windows = names_of_two_people()
    windows.table = windows.table.iloc[::-1].reset_index(drop=True)
    np.testing.assert_array_equal(windows.batch()[::-1], names_of_two_people().batch())
    with pytest.raises(ShapeError, match="lacks the columns"):
        windows.table = windows.table.drop(columns="stop")
    assert len(windows) == len(names_of_two_people())


class Columns:
    """A cutter that gives what it holds."""

    def __init__(self, **columns):
        self.columns = {"label": [0] * 3, "repetition": [1] * 3, "position": [0, 1, 2], **columns}

    def intervals(self, recording):
        return self.columns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"start": [0, 5, 10], "stop": [10]}, "one entry a window"),
        ({"start": [0, 5, 10], "stop": [10, 15, 20], "label": [0, 0]}, "one entry a window"),
        ({"start": [[0, 5, 10]], "stop": [[10, 15, 20]]}, "one entry a window"),
        ({"start": [0, 5, 10], "stop": [10, 15, 20], "channel": [0, 4, 1]}, "channel 4 of .* has 4 channels"),
        ({"start": [0, 5, 10], "stop": [10, 15, 99999]}, "outside"),
    ],
)
def test_what_a_cutter_gives_is_checked(columns, message):
    with pytest.raises(WindowError, match=message):
        Windows.cut(make_recording(np.random.default_rng(0)), Columns(**columns))
    lists = Windows.cut(make_recording(np.random.default_rng(0)), Columns(start=[0, 5, 10], stop=[10, 15, 20]))
    assert lists.shape == (3, 4, 10)


@pytest.mark.parametrize("rows", [[99999], -99999, np.zeros((2, 2), int)])
def test_rows_that_are_not_there_are_refused_before_and_after_the_table_was_asked_for(rows):
    windows = names_of_two_people()
    for _ in range(2):
        with pytest.raises(IndexError):
            windows[rows]
        _ = windows.table


def test_what_is_done_to_a_table_in_place_holds_for_its_windows_alone():
    windows = names_of_two_people()
    some, wanted = windows[10:20], windows.batch([29, 0])
    windows.table[["recording", "start", "stop"]] = windows.table[["recording", "start", "stop"]].to_numpy()[::-1]
    np.testing.assert_array_equal(windows.batch([len(windows) - 30, len(windows) - 1]), wanted)
    np.testing.assert_array_equal(Features("MAV").transform(windows), Features("MAV").transform(windows.batch()))
    part, first = some[2:], some.table["start"].iloc[2]
    some.table.loc[2, "start"] += 1
    assert part.table["start"].iloc[0] == first  # taken out before
    np.testing.assert_array_equal(some[2], names_of_two_people()[12][:, 1:])


def test_channels_apart_stay_in_one_interval():
    windows = Windows.cut(make_recording(np.random.default_rng(0), n_channels=3), Windowing(100, 50))
    apart = windows.split_channels()
    assert apart.shape == (3 * len(windows), 1, 20)
    np.testing.assert_array_equal(apart.batch([0, 1, 2])[:, 0], windows[0])
    assert apart.table["start"][:4].tolist() == [windows.table["start"][0]] * 3 + [windows.table["start"][1]]


def test_each_channel_is_a_row_and_a_protocol_keeps_a_window_whole():
    recording = make_recording(np.random.default_rng(0), n_channels=5)
    whole = Windows.cut(recording, Windowing(100, 100))
    apart = Windows.cut(recording, EachChannel(Windowing(100, 100), every=2))
    assert apart.shape == (3 * len(whole), 1, 20)
    assert apart.table["channel"][:4].tolist() == [0, 2, 4, 0]
    np.testing.assert_array_equal(apart.batch()[:3, 0], whole[0][::2])
    for train, test in KFoldRepetitions().split(apart):
        sides = [set(map(tuple, apart.table.iloc[rows][["start", "stop"]].to_numpy())) for rows in (train, test)]
        assert not sides[0] & sides[1]
    with pytest.raises(WindowError, match="every is 1"):
        EachChannel(Windowing(), every=0)


def test_concatenating_keeps_a_shared_recording_once():
    rng = np.random.default_rng(0)
    a = Windows.cut(make_recording(rng, subject="a", names=("x", "y", "z")), Windowing(100, 50))
    b = Windows.cut(make_recording(rng, subject="b", names=("y", "q", "x")), Windowing(100, 50))
    both = Windows.concatenate([a[:5], b[:3], a[5:9]])
    assert len(both.recordings) == 2
    np.testing.assert_array_equal(both.batch([0, 5, 8]), np.stack([a[0], b[0], a[5]]))
    assert both.y.tolist() == [*a.y[:5], *b.y[:3], *a.y[5:9]]


def test_rates_may_mix_until_an_array_is_asked_for():
    rng = np.random.default_rng(0)
    mixed = Windows.cut([make_recording(rng), make_recording(rng, subject="2", rate_hz=400.0)], Windowing(100, 50))
    assert len(mixed.where(subject="2")) > 0
    assert mixed.where(subject="2").rate_hz == 400.0
    with pytest.raises(ShapeError, match="resample the recordings to one rate"):
        mixed.batch()


def test_scikit_learn_cross_validates_windows_without_copying_signals():
    rng = np.random.default_rng(0)
    recordings = [make_recording(rng, subject=s, n_per_run=4000, n_channels=8) for s in ("1", "2", "3")]
    windows = Windows.cut(recordings, Windowing(500, 5))

    class Loudest(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            assert isinstance(X, Windows)
            loudest = np.concatenate([batch.std(axis=2)[:, :3].argmax(axis=1) for batch in X.batches(32)])
            return np.array([f"g{i}" for i in loudest])

    signals = sum(r.signal.nbytes for r in recordings)
    thin = windows[::50]
    tracemalloc.start()
    found = cross_validate(Loudest(), thin, thin.y, cv=WithinSubject((2, 5)), error_score="raise")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["test_score"].shape == (3,)
    assert (found["test_score"] > 0.95).all()
    assert peak < signals / 2


@pytest.mark.parametrize(
    ("windowing", "message"),
    [
        (Windowing(length_ms=1e6), "shorter than one window"),
        (Windowing(length_ms=2000), "finds no window"),
        (Windowing(length_ms=1), "both must be at least one sample"),
    ],
)
def test_windows_that_do_not_fit_are_told(windowing, message):
    with pytest.raises(WindowError, match=message):
        Windows.cut(make_recording(np.random.default_rng(0)), windowing)


@pytest.mark.parametrize("options", [{"length_ms": 0}, {"step_ms": -1}, {"future_ms": -1}, {"label_rule": "vote"}])
def test_windowings_that_make_no_sense_are_refused(options):
    with pytest.raises(WindowError, match=next(iter(options))):
        Windowing(**options)


def test_no_recordings_and_unknown_columns_are_told():
    with pytest.raises(WindowError, match="no recordings to cut"):
        Windows.cut([])
    windows = Windows.cut(make_recording(np.random.default_rng(0)))
    with pytest.raises(WindowError, match="no column 'sujet'"):
        windows.where(sujet="1")
    with pytest.raises(IndexError, match="mask over"):
        windows[np.ones(3, bool)]


def test_rows_that_are_one_channel_are_not_split_into_the_first_one():
    recording = make_recording(np.random.default_rng(0), n_channels=3)
    apart = Windows.cut(recording, Windowing(100, 50)).split_channels()
    np.testing.assert_array_equal(apart.split_channels().batch(), apart.batch())
    some = Windows.cut(recording, EachChannel(Windowing(100, 50), every=2))
    assert set(some.split_channels().table["channel"]) == {0, 2}


def test_subjects_and_sessions_are_found_by_their_number_too():
    windows = Windows.cut([make_recording(np.random.default_rng(0), subject=s) for s in "12"])
    for name in (2, "2", (2,), np.array([2]), {"2"}):
        assert set(windows.where(subject=name).table["subject"]) == {"2"}
    assert len(windows.where(repetition=1.0)) == len(windows.where(repetition=1)) > 0


def test_no_windows_and_wrong_indices_are_told():
    windows = Windows.cut(make_recording(np.random.default_rng(0)))
    for ask in (lambda w: w.shape, lambda w: w.rate_hz, np.asarray):
        with pytest.raises(ShapeError, match="there are no windows here"):
            ask(windows[[]])
    assert windows.batch([]).shape == (0, *windows.shape[1:])
    assert len(windows[np.array(3)]) == 1
    for rows in ("label", [0.0, 1.0]):
        with pytest.raises(IndexError, match="row positions or a mask"):
            windows[rows]


def test_whole_windows_and_single_channels_make_no_array_together():
    recording = make_recording(np.random.default_rng(0), n_channels=3)
    whole = Windows.cut(recording, Windowing(100, 50))
    with pytest.raises(ShapeError, match=r"different channel counts \(\[1, 3\]\)"):
        Windows.concatenate([whole, whole.split_channels()]).batch([0, len(whole)])


class _Outside:
    def intervals(self, recording):
        n = np.array([recording.n_samples])
        return {"start": n - 5, "stop": n + 5, "label": n * 0, "repetition": n * 0 + 1, "position": n * 0}


def test_windowings_of_ones_own_stay_within_the_recording():
    recording = make_recording(np.random.default_rng(0))
    with pytest.raises(WindowError, match=r"outside subject 1, session 1's 3600 samples.*starts run from 3595"):
        Windows.cut(recording, _Outside())
    with pytest.raises(WindowError, match="got 50"):
        Windows.cut(recording, 50)
