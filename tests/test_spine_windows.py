"""Windows at their limits: the first and last sample, one window, no window, labels that nobody may see."""

from __future__ import annotations

import numpy as np
import pytest

from myograph import Recording, Windowing, Windows
from myograph.errors import ShapeError, WindowError
from myograph.preprocessing.cutters import EachChannel


def recording(label, repetition=None, rate_hz=1000.0, n_channels=2, **fields):
    label = np.asarray(label)
    signal = np.arange(n_channels * len(label), dtype=float).reshape(n_channels, len(label))
    return Recording(signal, rate_hz, label, "anna", repetition, **fields)


def places(windows):
    return list(zip(windows.column("start").tolist(), windows.column("stop").tolist()))


def test_durations_are_rounded_to_samples():
    assert Windowing(200, 50, future_ms=1).samples(1000) == (200, 50, 1)
    assert Windowing(0.6, 1.4).samples(1000) == (1, 1, 0)
    assert Windowing(1000, 500).samples(999) == (999, 500, 0)  # 499.5 is rounded to the even number
    for wrong in (Windowing(0.4, 5), Windowing(5, 0.4)):
        with pytest.raises(WindowError, match=r"both must be at least one sample \(1 ms\)"):
            wrong.samples(1000)
    for wrong in ({"length_ms": 0}, {"step_ms": 0}, {"future_ms": -1}, {"label_rule": "first"}):
        with pytest.raises(WindowError):
            Windowing(**wrong)
    assert Windowing() == Windowing(200.0, 50.0, "pure", 0.0)


def test_a_recording_of_one_windows_length_has_one_window_and_a_shorter_one_is_refused():
    assert places(Windows.cut(recording([0] * 5), Windowing(5, 1))) == [(0, 5)]
    with pytest.raises(WindowError, match=r"has 4 samples .* shorter than one window of 5"):
        Windows.cut(recording([0] * 4), Windowing(5, 1))


def test_targets_in_the_future_stay_inside_their_stretch():
    label, repetition = [0] * 8, [1] * 4 + [2] * 4
    one = recording(label, repetition)
    assert places(Windows.cut(one, Windowing(2, 1, future_ms=1))) == [(0, 2), (1, 3), (4, 6), (5, 7)]
    assert places(Windows.cut(one, Windowing(2, 1, future_ms=2))) == [(0, 2), (4, 6)]
    broken = recording([0] * 8, [1] * 8, breaks=(3,))
    assert places(Windows.cut(broken, Windowing(2, 1, future_ms=1))) == [(0, 2), (3, 5), (4, 6), (5, 7)]
    # A break and a new repetition at once: neither hides the other.
    both = recording([0] * 8, [1] * 3 + [2] * 2 + [1] * 3, breaks=(5,))
    assert places(Windows.cut(both, Windowing(2, 1, label_rule="majority", future_ms=1))) == [(0, 2), (5, 7)]
    changing = recording([0, 0, 0, 1, 1, 1], [1] * 6)
    ahead = Windows.cut(changing, Windowing(2, 1, label_rule="majority", future_ms=1))
    assert ahead.y.tolist() == ["0", "1", "1", "1"]
    last = Windows.cut(recording([0, 0, 0, 0, 1], [1] * 5), Windowing(2, 1, label_rule="majority", future_ms=1))
    assert last.y.tolist() == ["0", "0", "1"]


def test_each_channel_alone():
    one = recording([0] * 6, n_channels=3)
    windows = Windows.cut(one, EachChannel(Windowing(3, 3)))
    assert windows.column("channel").tolist() == [0, 1, 2, 0, 1, 2]
    assert EachChannel(Windowing(3, 3)).every == 1
    assert Windows.cut(one, EachChannel(Windowing(3, 3), 2)).column("channel").tolist() == [0, 2, 0, 2]
    with pytest.raises(WindowError, match="every must be 1"):
        EachChannel(Windowing(3, 3), 0)
    assert windows.n_channels == 1
    for rows in ([0, 5], [4, 1], [2], [0, 3]):
        expected = [
            one.signal[c : c + 1, s : s + 3] for c, s in zip(*(windows.column(k)[rows] for k in ("channel", "start")))
        ]
        np.testing.assert_array_equal(windows.batch(rows), expected)
    np.testing.assert_array_equal(windows[3], one.signal[:1, 3:6])
    np.testing.assert_array_equal(Windows.cut(one, Windowing(3, 3))[1], one.signal[:, 3:6])
    apart = Windows.cut(one, Windowing(3, 3)).split_channels()
    assert apart.column("channel").tolist() == windows.column("channel").tolist()
    assert apart.split_channels() is apart


def test_channels_of_windows_are_counted_where_single_channels_are_among_them():
    one, other = recording([0] * 6, n_channels=3), recording([0] * 6, n_channels=1)
    single = Windows.cut(one, EachChannel(Windowing(3, 3), 3))
    both = Windows.concatenate([single, Windows.cut(other, Windowing(3, 3))])
    assert both.n_channels == 1
    with pytest.raises(ShapeError, match="different channel counts"):
        _ = Windows.concatenate([single, Windows.cut(one, Windowing(3, 3))]).n_channels


def test_nothing_is_known_of_labels_without_them():
    one = recording([0, 0, 0, 1, 1, 1], label_names=("rest", "fist"))
    windows = Windows.cut(one, Windowing(3, 3))
    bare = windows.without_labels()
    assert bare.y.tolist() == ["unknown", "unknown"]
    assert [r.label.tolist() for r in bare.recordings] == [[-1] * 6]
    assert "fist" not in str(bare.table["label"].cat.categories)
    assert places(bare) == places(windows)
    assert windows.y.tolist() == ["rest", "fist"]
    assert one.label.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(bare.batch(), windows.batch())


def test_selection_and_arrays():
    windows = Windows.cut(recording([0] * 9), Windowing(3, 2))
    assert len(windows) == 4
    assert places(windows[[-1, 0]]) == [(6, 9), (0, 3)]
    assert places(windows[1:3]) == [(2, 5), (4, 7)]
    assert places(windows[np.array([True, False, False, True])]) == [(0, 3), (6, 9)]
    assert places(windows[np.array([True, False, False, True]), ...]) == [(0, 3), (6, 9)]
    assert len(windows[[]]) == 0
    for wrong, words in (
        ((0, 1), "by rows only"),
        (["a"], "by row positions or a mask"),
        ([[0]], "by a 1-D array of positions"),
    ):
        with pytest.raises(IndexError, match=words):
            windows[wrong]
    with pytest.raises(IndexError, match="must have 4 entries, got 3"):
        windows[np.ones(3, bool)]
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(windows, copy=False)
    assert np.asarray(windows, dtype="f4").dtype == np.float32
    assert np.asarray(windows).dtype == np.float64
    assert windows.__array__(np.dtype("f8")).dtype == np.float64
    assert [len(b) for b in windows.batches(3)] == [3, 1]
    assert windows.shape == (4, 2, 3)
    assert windows.ndim == 3
    out = np.empty((2, 2, 3))
    assert windows.batch([0, 1], out) is out
    np.testing.assert_array_equal(out[1], windows[1])
    with pytest.raises(WindowError, match="no Windows to concatenate"):
        Windows.concatenate([])


def test_where():
    windows = Windows.cut([recording([0, 0, 1, 1], session=s) for s in ("1", "2")], Windowing(2, 2))
    assert len(windows.where(session=2)) == 2
    assert len(windows.where(session=("1", 2), label=1)) == 2
    assert len(windows.where(start=2)) == 2
    assert len(windows.where(start=[0, 2])) == 4
    assert len(windows.where(label="9")) == 0
    with pytest.raises(WindowError, match="the column start holds numbers"):
        windows.where(start="2")
    with pytest.raises(WindowError, match="no column 'sesion'"):
        windows.where(sesion=1)


def test_windows_do_not_change():
    windows = Windows.cut(recording([0] * 6), Windowing(3, 3))
    with pytest.raises(AttributeError, match=r"windows\.with_columns"):
        windows.recordings = ()
    with pytest.raises(ValueError, match="read-only"):
        windows.column("start")[0] = 1
    with pytest.raises(WindowError, match="no column 'begin'"):
        windows.with_columns(begin=1)
    assert windows.with_columns(session="late").column("session").tolist() == ["late", "late"]
    assert windows.groups.tolist() == ["anna", "anna"]
    assert repr(windows) == "<Windows: 2 of 1 recordings, 1 subjects, 1 labels>"
