"""Suites that are killed, run twice at once, or run by Dask: the store is that of an undisturbed run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from myograph.evaluation.benchmark import benchmark
from myograph.evaluation.engines import DaskEngine, LocalEngine
from myograph.evaluation.store import Store
from myograph.evaluation.suite import load_modules, read_suite

MODULE = Path(__file__).with_name("suite_module.py")
load_modules([MODULE])
SUITE = """
methods = ["lda", "tiny_tree", "always", { name = "tiny_tree", depth = 1, label = "stump" }]
datasets = [{ name = "tiny", subjects = "1-2" }]
protocols = ["usual", "WithinSubject((1, 3))", "LeaveOneSubjectOut", "KFoldRepetitions(2)"]
seeds = [0, 1]
"""
N_CELLS = 4 * (1 + 2 + 1 + 2)


@pytest.fixture(scope="module")
def suite_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("suite") / "small.toml"
    file.write_text(SUITE)
    return file


def command(suite_file, folder, jobs=1, **environment):
    """The process of `myograph benchmark`, a group of its own."""
    line = [sys.executable, "-m", "myograph.cli", "benchmark", str(suite_file), "--module", str(MODULE), "--json"]
    line += ["--out", str(folder), "--jobs", str(jobs)]
    return subprocess.Popen(
        line, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def finished(process):
    out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.fixture(scope="module")
def undisturbed(suite_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    assert finished(command(suite_file, folder))["computed"] == N_CELLS
    return Store(folder).contents()


def killed_until_done(suite_file, folder, counter, seed, kills, most):
    """The command, killed so many times at moves of files drawn at random, and then left alone."""
    rng = np.random.default_rng(seed)
    for _ in range(kills):
        counter.unlink(missing_ok=True)
        moment = f"group:{rng.integers(1, most)}:{rng.choice(['before', 'after'])}"
        process = command(suite_file, folder, 2, KILL=moment, COUNTER=str(counter))
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    return finished(command(suite_file, folder))


@pytest.mark.slow
def test_a_suite_that_was_killed_three_times_ends_in_the_store_of_an_undisturbed_run(suite_file, undisturbed, tmp_path):
    found = killed_until_done(suite_file, tmp_path / "store", tmp_path / "count", 0, 3, 20)
    assert 0 < found["found"] < N_CELLS, "the kills came too early or too late to test anything"
    assert found["found"] + found["computed"] == N_CELLS
    assert Store(tmp_path / "store").contents() == undisturbed


@pytest.mark.nightly
def test_a_suite_that_was_killed_twenty_times_ends_in_the_store_of_an_undisturbed_run(
    suite_file, undisturbed, tmp_path
):
    killed_until_done(suite_file, tmp_path / "store", tmp_path / "count", 1, 20, 5)
    assert Store(tmp_path / "store").contents() == undisturbed


@pytest.mark.slow
def test_two_processes_in_one_store_lose_nothing_and_compute_nothing_twice(suite_file, undisturbed, tmp_path):
    both = [command(suite_file, tmp_path / "store") for _ in range(2)]
    computed = [finished(process)["computed"] for process in both]
    assert sum(computed) == N_CELLS
    assert Store(tmp_path / "store").contents() == undisturbed
    assert not list((tmp_path / "store" / "claims").iterdir())


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_cell_with_it(suite_file, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("KILL", "self:8:before")
    monkeypatch.setenv("COUNTER", str(tmp_path / "count"))
    engine = LocalEngine(2)
    try:
        found = benchmark(read_suite(suite_file), tmp_path / "store", engine, [MODULE])
    finally:
        engine.close()
    assert (tmp_path / "count").stat().st_size > 8, "no process was killed"
    assert len(found.done) == N_CELLS
    assert Store(tmp_path / "store").contents() == undisturbed


@pytest.mark.slow
def test_a_command_that_is_told_to_end_takes_its_workers_with_it(tmp_path):
    """Without a word to the workers, they would go on for the hour that this method takes."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "from sklearn.dummy import DummyClassifier\n"
        "from myograph.methods import METHODS\n"
        "class Slow(DummyClassifier):\n"
        "    def fit(self, X, y):\n"
        f"        (pathlib.Path({str(tmp_path)!r}) / 'begun').touch()\n"
        "        time.sleep(3600)\n"
        "@METHODS.register\n"
        "def slow() -> Slow:\n"
        '    """An hour."""\n'
        "    return Slow()\n"
    )
    (tmp_path / "slow.toml").write_text(
        'methods = ["slow", "lda"]\ndatasets = [{ name = "simulated", subjects = "1-2" }]'
    )
    line = [sys.executable, "-m", "myograph.cli", "benchmark", "slow.toml", "--module", "slow.py", "--jobs", "2"]
    process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.05)
    process.terminate()
    err = process.communicate()[1].decode()
    assert process.returncode == 130, err
    assert "Interrupted" in err
    deadline = time.monotonic() + 300
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)
            assert time.monotonic() < deadline, "a worker is still there"
            time.sleep(0.05)


def test_two_dask_workers_of_which_one_is_killed_give_the_same_store(suite_file, undisturbed, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("KILL", "self:12:after")
    monkeypatch.setenv("COUNTER", str(tmp_path / "count"))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        engine = DaskEngine(distributed.Client(cluster))
        found = benchmark(read_suite(suite_file), tmp_path / "store", engine, [MODULE])
        engine.close()
    assert (tmp_path / "count").stat().st_size > 12, "no worker was killed"
    assert len([*found.done, *found.found]) == N_CELLS
    assert not found.failed
    assert Store(tmp_path / "store").contents() == undisturbed


FLAT = """
import resource, sys
from myograph import Windowing, WithinSubject
from myograph.evaluation.benchmark import benchmark
from myograph.evaluation.suite import Data, Suite, load_modules

class Here:
    def __init__(self):
        self.peaks = []

    def run(self, function, items):
        for i, item in enumerate(items):
            yield i, function(item)
            self.peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    def close(self):
        pass

load_modules([sys.argv[1]])
data = Data("tiny", {"n_people": 100, "seconds_per_gesture": 60.0})
suite = Suite("flat", ("lda",), (data,), (WithinSubject((2,)),), windowing=Windowing(1000.0, 1000.0), split="person")
engine = Here()
found = benchmark(suite, sys.argv[2], engine, [sys.argv[1]])
assert len(found.done) == 100, found
unit = 1 if sys.platform == "darwin" else 1024
print(*[engine.peaks[i] * unit for i in (119, 199)])
"""


@pytest.mark.slow
def test_memory_is_flat_over_a_hundred_people(tmp_path):
    # A person's signals, labels and repetitions take 3.5 MB. The engine runs 100 readings, then 100 cells; between the
    # 20th cell and the last one, what 20 people take would show if 80 were kept.
    pytest.importorskip("resource")
    line = [sys.executable, "-c", FLAT, str(MODULE), str(tmp_path / "store")]
    found = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert found.returncode == 0, found.stderr
    early, late = map(int, found.stdout.split())
    assert late - early < 20 * 3.5e6
