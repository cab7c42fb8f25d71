"""Runs, trainings and published systems that are killed at any moment give what undisturbed ones give.

A process is killed (SIGKILL) right before its n-th access to a file of its folder. n is drawn with a seed from the
accesses that an undisturbed run makes, so the moments cover the whole run, however fast the machine is.

The published systems take 10 to 30 minutes each. MYOGRAPH_KILLED_ROWS=1 measures the first row of each system's table
alone, with networks that train for one epoch, which takes a few minutes:

    MYOGRAPH_KILLED_ROWS=1 pytest tests/test_killed.py -m nightly -k published
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from conftest import make_recording
from myograph import KFoldRepetitions, LeakyShuffledWindows, NeuralClassifier, Windowing, Windows
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.registry import REPRODUCTIONS
from myograph.evaluation.run import evaluate
from myograph.evaluation.scores import Scores
from networks import Net

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed processes are forked")
ACCESSES = ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.scandir")


def in_process(work: Callable[[], object], folder: Path, kill_before: int | None) -> int | None:
    """The number of accesses to the folder of `work` in a process of its own; None where it was killed."""
    counted = folder.parent / "accesses"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            seen = 0

            def watch(event: str, arguments: tuple) -> None:
                nonlocal seen
                if event in ACCESSES and arguments and str(arguments[0]).startswith(str(folder)):
                    seen += 1
                    if seen == kill_before:
                        os.kill(os.getpid(), signal.SIGKILL)

            torch.set_num_threads(1)
            sys.addaudithook(watch)
            work()
            counted.write_text(str(seen))
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        return None
    assert status == 0, "the process failed by itself"
    return int(counted.read_text())


def killed_again_and_again(work: Callable[[Path], object], folder: Path, n: int, seed: int, times: int) -> int:
    """Start the work in a folder, several times with a kill before one of its n accesses, then let it finish; how many
    of the kills came before the end."""
    rng = np.random.default_rng(seed)
    kills = 0
    for at in rng.integers(1, n + 1, times):
        kills += in_process(lambda: work(folder), folder, int(at)) is None
    in_process(lambda: work(folder), folder, None)
    return kills


class Power(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.log(np.asarray(X).var(axis=2) + 1e-6)


def run(folder: Path) -> None:
    recordings = [make_recording(np.random.default_rng(i), str(i), n_repetitions=3) for i in range(2)]
    method = make_pipeline(Power(), LinearDiscriminantAnalysis())
    protocol = LeakyShuffledWindows(honest=KFoldRepetitions())
    evaluate(Recipe("killed", "my own", protocol, method, windowing=Windowing(200, 100)), recordings, out=folder)


def train(folder: Path) -> None:
    windows = Windows.cut(make_recording(np.random.default_rng(0), n_repetitions=3), Windowing(200, 100))
    network = NeuralClassifier(
        Net, epochs=5, batch_size=16, validation=0.34, ema=0.9, device="cpu", checkpoint=folder / "checkpoint"
    )
    network.fit(windows)
    history = network.history_.drop(columns="seconds")
    weights = {k: v.tolist() for k, v in network.network_.state_dict().items()}
    (folder.parent / f"{folder.name}.json").write_text(json.dumps([weights, history.to_dict("list")]))


def same_run(a: Path, b: Path) -> None:
    for folder in ("", "honest"):
        one, other = Scores.load(a / folder), Scores.load(b / folder)
        pd.testing.assert_frame_equal(one.predictions, other.predictions)
        columns = [c for c in one.folds if c != "seconds"]
        pd.testing.assert_frame_equal(one.folds[columns], other.folds[columns])
        assert one.info["audit"] == other.info["audit"]
    assert not list(b.rglob(".writing-*"))


def same_training(a: Path, b: Path) -> None:
    assert (a.parent / f"{a.name}.json").read_text() == (b.parent / f"{b.name}.json").read_text()


def check(work, same, tmp_path: Path, seeds: range, times: int) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    n = in_process(lambda: work(whole), whole, None)
    assert n is not None
    assert n > 10
    kills = 0
    for seed in seeds:
        folder = tmp_path / f"killed-{seed}"
        folder.mkdir()
        kills += killed_again_and_again(work, folder, n, seed, times)
        same(whole, folder)
    assert kills >= len(seeds)  # the first of each comes before the end


@pytest.mark.parametrize(("work", "same"), [(run, same_run), (train, same_training)], ids=["run", "training"])
def test_three_that_are_killed(work, same, tmp_path):
    check(work, same, tmp_path, range(3), times=1)


@pytest.mark.nightly
@pytest.mark.parametrize(("work", "same"), [(run, same_run), (train, same_training)], ids=["run", "training"])
def test_twenty_that_are_killed(work, same, tmp_path):
    check(work, same, tmp_path, range(100, 120), times=3)


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", ["atzori2016", "ding2018", "fin2025", "hd_mobilenet", "muscle_cnn_lstm", "zhai2017"])
def test_a_published_system_that_is_killed(name, tmp_path, monkeypatch):
    from myograph.evaluation.reproduction import load_result, reproduce

    measure = REPRODUCTIONS[name]
    if rows := os.environ.get("MYOGRAPH_KILLED_ROWS"):
        first = functools.wraps(measure)(lambda context: itertools.islice(measure(context), int(rows)))
        monkeypatch.setitem(REPRODUCTIONS._entries, name, first)

    def work(folder: Path) -> None:
        reproduce(name, quick=True, out=folder, epochs=1 if rows else None)

    def same(a: Path, b: Path) -> None:
        one, other = ({k: v for k, v in load_result(f).items() if k not in ("wall_s", "finished")} for f in (a, b))
        assert without_times(one) == without_times(other)
        assert len(one["rows"]) == int(rows or len(one["rows"])) > 0
        assert not list(b.rglob(".writing-*"))

    check(work, same, tmp_path, range(1), times=3)


def without_times(value):
    """A result without what depends on the machine's speed."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if not ("_s" in k or "seconds" in k or "time" in k)}
    return [without_times(v) for v in value] if isinstance(value, list) else value
