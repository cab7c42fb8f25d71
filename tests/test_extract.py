"""Threads of features: who does what, who waits for whom."""

from __future__ import annotations

import itertools
import os
import threading
import time

import numpy as np
import pytest

from myograph import Recording, Windowing, Windows
from myograph.errors import ConfigError, WindowError
from myograph.features._fast import extract as _extract
from myograph.features._fast.plan import plan_of, requests
from myograph.features.transformer import Features


def some_windows(n_samples=40_000, n_channels=3):
    signal = np.random.default_rng(0).standard_normal((n_channels, n_samples))
    return Windows.cut(Recording(signal, 1000.0, np.zeros(n_samples, int), "1"), Windowing(100, 20))


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n", [1, 99, 100, 999, 1000, 1499, 1500, 3499, 3500, 100_000])
def test_pieces_hold_each_window_once(n, threads):
    edges = _extract._edges(n, threads)
    assert (edges[0], edges[-1]) == (0, n)
    sizes = np.diff(edges)
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 1).all()  # later ones are smaller, but for rounding
    assert threads == 1 or n < 1000 or len(sizes) >= min(threads, n // 100)


@pytest.mark.parametrize("n_jobs", [2, 3, 64, -1])
def test_rows_do_not_depend_on_the_number_of_threads(n_jobs):
    windows = some_windows()
    np.testing.assert_array_equal(Features("HTD", n_jobs=n_jobs).transform(windows), Features("HTD").transform(windows))


def test_a_slow_thread_is_waited_for(monkeypatch):
    windows, plain, main = some_windows(), _extract._Starts.sum, threading.current_thread()
    slow = threading.Event()

    def sum_slowly(self, first, end):
        if threading.current_thread() is main:
            slow.wait(5.0)  # so that the other has begun when this one is done
        else:
            slow.set()
            time.sleep(0.1)
        plain(self, first, end)

    monkeypatch.setattr(_extract._Starts, "sum", sum_slowly)
    found = Features("HTD", n_jobs=2).transform(windows)
    assert slow.is_set()
    monkeypatch.undo()
    np.testing.assert_array_equal(found, Features("HTD").transform(windows))


def test_nobody_begins_another_task_after_an_error():
    begun = []

    def task(i):
        begun.append(i)
        time.sleep(0.01)
        if i == 1:
            raise ConfigError("this one")

    with pytest.raises(ConfigError, match="this one"):
        _extract._run([lambda i=i: task(i) for i in range(200)], 2)
    assert len(begun) < 20


def test_a_caller_does_not_wait_for_threads_that_others_keep_busy():
    leave, done = threading.Event(), []
    for _ in range(os.cpu_count() or 1):
        _extract._pool().submit(leave.wait, 60)
    caller = threading.Thread(target=_extract._run, args=([lambda i=i: done.append(i) for i in range(5)], 2))
    caller.start()
    caller.join(20)
    waits = caller.is_alive()
    leave.set()
    assert not waits
    assert done == list(range(5))


def test_a_plan_is_made_once_for_windows_of_a_kind():
    usual = (3, 100, 1000.0, False)
    kinds = [
        (requests(["ZC", "AR"], None, None), *usual),
        (requests(["AR", "ZC"], None, None), *usual),
        (requests(["ZC", "AR"], {"AR": {"order": 6}}, None), *usual),
        (requests(["ZC", "AR"], None, 0.5), *usual),
        *((requests(["ZC", "AR"], None, None), *kind) for kind in itertools.product((3, 4), (100, 101), (500.0, None))),
        (requests(["ZC", "AR"], None, None), 3, 100, 1000.0, True),
    ]
    plans = [plan_of(*kind) for kind in kinds]
    assert all(plan_of(*kind) is plan for kind, plan in zip(kinds, plans))
    assert all(a is not b for a, b in itertools.combinations(plans, 2))


def test_options_that_are_equal_are_not_the_same():
    windows = some_windows(1000)
    for _ in range(2):
        with pytest.raises(ConfigError, match="order"):
            Features("AR", options={"AR": {"order": True}}).transform(windows)
        assert Features("AR", options={"AR": {"order": 1}}).transform(windows).shape[1] == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel": 3}, "channel 3 of .*, which has 3 channels"),
        ({"start": 99_999_900, "stop": 100_000_000}, "outside .* 1000 samples"),
        ({"start": -500, "stop": -400}, "outside"),
        ({"stop": 100_000_000}, "outside"),
        ({"stop": 0}, "or contain none"),
    ],
)
def test_columns_that_name_samples_or_channels_that_do_not_exist_are_refused(changes, message):
    windows = some_windows(1000).split_channels()
    columns = {name: windows.column(name).astype(np.int64) for name in changes}
    for name, value in changes.items():
        columns[name][5] = value
    with pytest.raises(WindowError, match=message):
        windows.with_columns(**columns)


def test_an_option_that_cannot_be_a_key_is_judged_by_the_feature():
    with pytest.raises(ConfigError, match="threshold"):
        Features("ZC", options={"ZC": {"threshold": [1.0]}}).transform(some_windows(1000))
