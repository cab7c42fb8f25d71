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
from myograph.preprocessing.cutters import EachChannel
from myograph.protocols import KFoldRepetitions
from myograph.windows import COLUMNS


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
    recording = _labelled(label, label_names=("a", "b", "c"))
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


@pytest.mark.parametrize("rows", [slice(3, None, 4), [5, 0, 7, 7], [-1, 2], "mask", []])
def test_rows_taken_from_windows_equal_rows_taken_from_their_table(rows):
    windows = names_of_two_people()
    rows = np.arange(len(windows)) % 3 == 1 if isinstance(rows, str) else rows
    some, table = windows[rows], windows.table.iloc[rows].reset_index(drop=True)
    pd.testing.assert_frame_equal(some.table, table)
    for name in COLUMNS:
        assert some.column(name).tolist() == table[name].tolist()
    assert (some.y.tolist(), some.groups.tolist()) == (table["label"].tolist(), table["subject"].tolist())
    wanted = (table["subject"] == "b") & table["session"].isin(["1", "2"])
    pd.testing.assert_frame_equal(
        some.where(subject="b", session=(1, 2)).table, table[wanted.to_numpy()].reset_index(drop=True)
    )
    pd.testing.assert_frame_equal(Windows(windows.recordings, table).table, some.table)


def test_equal_windows_are_one_entry_of_a_cache():
    windows, same = names_of_two_people(), names_of_two_people()
    before = joblib.hash(windows)
    assert joblib.hash(same) == before
    _ = windows.table
    assert joblib.hash(windows) == before
    assert joblib.hash(pickle.loads(pickle.dumps(windows))) == before
    assert joblib.hash(windows[1:]) != before
    assert joblib.hash(windows.with_columns(repetition=1)) != before
    assert joblib.hash(windows[2:9]) == joblib.hash(windows[list(range(2, 9))]) == joblib.hash(same[2:9])
    assert joblib.hash(windows[::-1]) == joblib.hash(windows[np.arange(len(same))[::-1]])


def test_windows_do_not_change():
    windows, wanted = names_of_two_people(), names_of_two_people()
    table = windows.table
    table[["start", "stop"]] += 1
    table["label"] = table["label"].cat.rename_categories(lambda name: name + "!")
    given = wanted.table
    made = Windows(windows.recordings, given)
    given.loc[0, "start"] = 7
    for name in ("start", "recording", "channel"):
        with pytest.raises(ValueError, match="read-only"):
            windows.column(name)[0] = 5
        with pytest.raises(ValueError, match="read-only"):
            windows[[3, 1]].column(name)[0] = 5
    windows.column("label")[0] = "x"  # names are a new array each time
    for name in ("table", "recordings", "y", "anything"):
        with pytest.raises(AttributeError, match=rf"use windows\.with_columns\({name}="):
            setattr(windows, name, table)
    for same in (windows, made, pickle.loads(pickle.dumps(windows)), copy.copy(windows), copy.deepcopy(windows)):
        pd.testing.assert_frame_equal(same.table, wanted.table)
        with pytest.raises(ValueError, match="read-only"):
            same.column("stop")[0] = 5


def test_columns_are_replaced_in_new_windows():
    windows = names_of_two_people()
    windows = windows[windows.column("stop") < 3600]
    changed = windows.with_columns(
        start=windows.column("start") + 1, stop=windows.column("stop") + 1, label=windows.column("subject"), session="9"
    )
    np.testing.assert_array_equal(changed[2:].batch()[:, :, :-1], windows[2:].batch()[:, :, 1:])
    assert changed.y.tolist() == windows.groups.tolist()
    assert set(changed.column("session")) == {"9"}
    pd.testing.assert_frame_equal(changed.table[["subject", "position"]], windows.table[["subject", "position"]])
    assert changed.recordings is windows.recordings


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"sujet": "1"}, WindowError, "no column 'sujet'; choose from recording, start"),
        ({"recording": 3}, WindowError, "recordings 3 to 3, but there are 3"),
        ({"recording": -1}, WindowError, "recordings -1 to -1, but there are 3"),
        ({"start": -1}, WindowError, "starts are from -1 to -1"),
        ({"start": 10, "stop": 10}, WindowError, "or contain none"),
        ({"stop": 3601}, WindowError, "outside subject b, session 2's 3600 samples"),
        ({"channel": 4}, WindowError, "channel 4 of subject b, session 2, which has 4 channels"),
        ({"channel": -2}, WindowError, "channel -2"),
        ({"channel": 2**16 + 1}, WindowError, "that fits int16"),
        ({"start": 0.5}, WindowError, "start must hold one whole number per window.* got float64"),
        ({"repetition": "one"}, WindowError, "repetition must hold one whole number"),
        ({"position": np.zeros((2, 2), int)}, WindowError, r"got int64 of shape \(2, 2\)"),
        ({"repetition": [1, 2]}, ShapeError, "one entry per window, got lengths .*'repetition': 2"),
        ({"label": [None]}, WindowError, "label has no name in row 0"),
        ({"subject": pd.Categorical(["a", None])}, WindowError, "subject has no name in row 1"),
    ],
)
def test_columns_are_checked_when_windows_are_made(columns, error, message):
    with pytest.raises(error, match=message):
        names_of_two_people().with_columns(**columns)


def test_a_window_may_end_with_the_recording_and_no_later():
    recording = _labelled([0] * 10)
    windows = Windows.cut(recording, Windowing(4, 3))
    assert windows.table["stop"].tolist() == [4, 7, 10]
    np.testing.assert_array_equal(windows[2], recording.signal[:, 6:10])
    with pytest.raises(WindowError, match="outside"):
        windows.with_columns(stop=windows.column("stop") + 1)
    with pytest.raises(ShapeError, match=r"lacks the columns \['stop'\]"):
        Windows([recording], windows.table.drop(columns="stop"))


class Columns:
    """A cutter that gives what it holds."""

    def __init__(self, **columns):
        self.columns = {"label": [0] * 3, "repetition": [1] * 3, "position": [0, 1, 2], **columns}

    def intervals(self, recording):
        return self.columns


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"start": [0, 5, 10], "stop": [10]}, "one entry per window"),
        ({"start": [0, 5, 10], "stop": [10, 15, 20], "label": [0, 0]}, "one entry per window"),
        ({"start": [[0, 5, 10]], "stop": [[10, 15, 20]]}, "one entry per window"),
        ({"start": [0, 5, 10], "stop": [10, 15, 20], "channel": [0, 4, 1]}, "channel 4 of .* has 4 channels"),
        ({"start": [0, 5, 10], "stop": [10, 15, 99999]}, "outside"),
        ({"start": [0, 5, 10], "stop": [10, 15, 20], "label": [0, -1, 2]}, "labels -1 to 2 .* has 3 label names"),
        ({"start": [0, 5, 10], "stop": [10, 15, 20], "label": [0, 1, 3]}, "labels 0 to 3"),
    ],
)
def test_what_a_cutter_gives_is_checked(columns, message):
    with pytest.raises(WindowError, match=message):
        Windows.cut(make_recording(np.random.default_rng(0)), Columns(**columns))
    lists = Windows.cut(make_recording(np.random.default_rng(0)), Columns(start=[0, 5, 10], stop=[10, 15, 20]))
    assert lists.shape == (3, 4, 10)


@pytest.mark.parametrize("rows", [[99999], -99999, np.zeros((2, 2), int)])
def test_rows_that_do_not_exist_are_refused(rows):
    with pytest.raises(IndexError):
        names_of_two_people()[rows]


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
    with pytest.raises(WindowError, match="every must be 1"):
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
    with pytest.raises(WindowError, match="repetition holds numbers, so 'one' selects nothing"):
        windows.where(repetition="one")
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
    with pytest.raises(WindowError, match=r"outside subject 1, session 1's 3600 samples.*starts are from 3595"):
        Windows.cut(recording, _Outside())
    with pytest.raises(WindowError, match="got 50"):
        Windows.cut(recording, 50)
