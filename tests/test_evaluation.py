from __future__ import annotations

import dataclasses
import errno
import functools
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from conftest import make_recording
from myograph import (
    KFoldRepetitions,
    LeakyShuffledWindows,
    LeaveOneSubjectOut,
    Recording,
    Windowing,
    Windows,
    WithinSubject,
)
from myograph._common.files import only_run_in
from myograph.errors import ConfigError, LeakageError, ProtocolError, ResultsError, WindowError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate, prepare
from myograph.evaluation.scores import Scores
from myograph.protocols import Protocol


def log_power(X):
    return np.log(np.asarray(X).var(axis=2) + 1e-6)


def method():
    return make_pipeline(FunctionTransformer(log_power), LinearDiscriminantAnalysis())


def recipe(**changes):
    facts = {
        "name": "test",
        "dataset": "my own",
        "method": method(),
        "windowing": Windowing(100, 50),
        "protocol": WithinSubject((2, 5)),
    }
    return Recipe(**{**facts, **changes})


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(0)
    return [make_recording(rng, subject=s) for s in ("1", "2", "3")]


def test_scores_are_what_the_predictions_say(recordings, tmp_path):
    scores = evaluate(recipe(), recordings, out=tmp_path / "run")
    assert scores.summary["accuracy"]["mean"] > 0.9
    by_hand = scores.predictions.assign(hit=lambda t: t["y_true"] == t["y_pred"]).groupby("subject")["hit"].mean()
    assert scores.summary["accuracy"]["mean"] == pytest.approx(by_hand.mean())
    assert scores.summary["accuracy"]["std"] == pytest.approx(by_hand.std(ddof=1))
    assert len(scores.info["audit"]) == 3
    assert all(a["passed"] and a["n_sharing_samples"] == 0 for a in scores.info["audit"])
    again = Scores.load(tmp_path / "run")
    pd.testing.assert_frame_equal(again.predictions, scores.predictions)
    assert again.as_dict() == scores.as_dict()
    json.dumps(scores.as_dict(), allow_nan=False)


def test_processes_and_memory_make_no_difference(recordings, tmp_path):
    one = evaluate(recipe(), recordings)
    two = evaluate(recipe(), recordings, out=tmp_path / "run", jobs=2)
    pd.testing.assert_frame_equal(one.predictions, two.predictions)


class FailsOn(ClassifierMixin, BaseEstimator):
    """Stops like Ctrl-C while fitting the n-th fold it is given, as counted in a file."""

    def __init__(self, counter="", stop_at=0):
        self.counter, self.stop_at = counter, stop_at

    def fit(self, X, y):
        with open(self.counter, "a") as file:
            file.write("x")
        if os.path.getsize(self.counter) == self.stop_at:
            raise KeyboardInterrupt
        self.model_ = method().fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)


def test_an_interrupted_run_goes_on_where_it_stopped(recordings, tmp_path):
    counter = tmp_path / "fits"
    stopping = recipe(method=FailsOn(str(counter), stop_at=3))
    with pytest.raises(KeyboardInterrupt):
        evaluate(stopping, recordings, out=tmp_path / "run")
    with pytest.raises(ResultsError, match="unfinished run; repeat the same command"):
        Scores.load(tmp_path / "run")
    scores = evaluate(stopping, recordings, out=tmp_path / "run")
    assert counter.stat().st_size == 4  # two kept, the third begun and fitted again
    whole = evaluate(recipe(), recordings)
    assert scores.predictions["y_pred"].tolist() == whole.predictions["y_pred"].tolist()


def test_a_killed_process_leaves_a_folder_that_goes_on(tmp_path):
    script = tmp_path / "long.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import numpy as np
        from conftest import make_recording
        from test_evaluation import recipe
        from myograph.evaluation import evaluate
        rng = np.random.default_rng(0)
        recordings = [make_recording(rng, subject=s) for s in "123"]
        def slow(what, done, total):
            print(what, done, flush=True)
            if what == "folds" and done == 1:
                time.sleep(60)
        evaluate(recipe(), recordings, out={str(tmp_path / "run")!r}, progress=slow)
        """)
    )
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("folds 1"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    rng = np.random.default_rng(0)
    recordings = [make_recording(rng, subject=s) for s in "123"]
    seen = []
    scores = evaluate(
        recipe(), recordings, out=tmp_path / "run", progress=lambda what, done, total: seen.append((what, done))
    )
    assert [done for what, done in seen if what == "folds"] == [1, 2, 3]
    assert len(scores.folds) == 3


def test_a_damaged_fold_is_run_again(recordings, tmp_path):
    first = evaluate(recipe(), recordings, out=tmp_path / "run")
    part = tmp_path / "run" / "folds" / "0001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    again = evaluate(recipe(), recordings, out=tmp_path / "run")
    pd.testing.assert_frame_equal(first.predictions, again.predictions)


def test_another_run_in_the_same_folder_is_refused(recordings, tmp_path):
    evaluate(recipe(), recordings, out=tmp_path / "run")
    with pytest.raises(ResultsError, match=r"holds another run.*choose another folder with --out"):
        evaluate(recipe(seed=1), recordings, out=tmp_path / "run")


def test_two_runs_at_once_in_one_folder_are_refused(recordings, tmp_path):
    refused = pytest.raises(ResultsError, match=r"process \d+ is running in")
    with only_run_in(tmp_path / "run", "x"), refused, only_run_in(tmp_path / "run", "x"):
        pass


def test_a_lock_left_by_a_killed_process_is_nobodys_even_where_this_one_got_its_number(tmp_path):
    script = f"""
        import os, signal
        from pathlib import Path
        from myograph._common.files import only_run_in
        with only_run_in(Path({str(tmp_path / "run")!r}), "x"):
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)])
    assert (tmp_path / "run" / ".lock").exists()
    (tmp_path / "run" / ".lock").write_text(str(os.getpid()))
    with only_run_in(tmp_path / "run", "x"):
        pass


def test_a_file_where_the_folder_should_be_is_told(recordings, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ResultsError, match="is a file, not a folder"):
        evaluate(recipe(), recordings, out=tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_a_full_or_read_only_disk_keeps_what_was_finished(recordings, tmp_path, monkeypatch, number, advice):
    folder = tmp_path / "run"
    finished = []
    real = Path.write_bytes

    def fails_third(self, content):
        finished.extend([self] if self.name.endswith(".parquet") else [])
        if len(finished) == 3:
            raise OSError(number, os.strerror(number))
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", fails_third)
    with pytest.raises(ResultsError, match=advice):
        evaluate(recipe(), recordings, out=folder)
    monkeypatch.undo()
    assert sorted(p.name for p in (folder / "folds").iterdir()) == ["0000.parquet", "0001.parquet", "checksums.json"]
    assert len(evaluate(recipe(), recordings, out=folder).folds) == 3


class Cheats(Protocol):
    def _folds(self, table):
        odd = table["position"].to_numpy() % 4 == 0
        yield "cheat", odd, table["position"].to_numpy() % 4 == 2


def test_there_is_no_way_round_the_audit(recordings, tmp_path):
    with pytest.raises(LeakageError, match="share a repetition"):
        evaluate(recipe(protocol=Cheats()), recordings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_scores_without_an_audit_do_not_exist(recordings):
    scores = evaluate(recipe(), recordings)
    info = {**scores.info, "audit": []}
    with pytest.raises(ResultsError, match="need the audit"):
        Scores(scores.predictions, scores.folds, info)


def test_a_leaky_run_says_so_and_brings_the_honest_one(recordings, tmp_path):
    scores = evaluate(
        recipe(protocol=LeakyShuffledWindows(honest=KFoldRepetitions(3))), recordings, out=tmp_path / "run"
    )
    assert scores.leaky
    assert not scores.as_dict()["audit"]["passed"]
    assert scores.honest is not None
    assert not scores.honest.leaky
    assert scores.honest.info["settings"]["protocol"]["n_splits"] == 3
    assert Scores.load(tmp_path / "run").honest is not None


def test_every_field_of_a_recipe_changes_the_run_or_its_identity(recordings):
    base = recipe()
    changed = {
        "name": "other",
        "dataset": "3dc",
        "protocol": LeaveOneSubjectOut(),
        "method": make_pipeline(
            FunctionTransformer(log_power), LinearDiscriminantAnalysis(shrinkage=0.1, solver="lsqr")
        ),
        "dataset_options": {"seed": 3},
        "subjects": ("1",),
        "filters": (Recipe,),
        "windowing": Windowing(200, 50),
        "rest": "keep",
        "method_options": {"C": 3},
        "seed": 9,
        "published": None,  # what a paper says does not change what we run
        "transfer": "weight",
        "adapt_on": "everything",
        "adapt_seconds": 10.0,
    }
    assert set(changed) == set(base.__dataclass_fields__)
    for name, value in changed.items():
        if name == "published":
            continue
        adapts = {"transfer": "adapt"} if name.startswith("adapt_") else {}
        assert recipe(**adapts, **{name: value}).identity({}) != recipe(**adapts).identity({}), name
    assert base.identity({"1": "a"}) != base.identity({"1": "b"})
    assert base.identity({}) == recipe().identity({})


def test_rest_is_dropped_kept_or_balanced():
    rng = np.random.default_rng(0)
    base = make_recording(rng, n_labels=4, names=("rest", "a", "b", "c"), n_per_run=200)
    more_rest = np.where(base.label == 1, 0, base.label)
    recording = Recording(base.signal, base.rate_hz, more_rest, "1", base.repetition, label_names=base.label_names)
    counts = {}
    for rest in ("drop", "keep", "balance"):
        scores = evaluate(recipe(rest=rest), [recording])
        counts[rest] = scores.info["n_windows"], "rest" in scores.labels
    n_gesture = counts["drop"][0] // 2
    assert counts["drop"] == (2 * n_gesture, False)
    assert counts["keep"][0] > 4 * n_gesture - 10
    assert counts["balance"] == (3 * n_gesture, True)


def test_rest_is_balanced_for_each_subject_by_the_subjects_own_gestures():
    rng = np.random.default_rng(0)
    names = ("rest", "a", "b")
    many = make_recording(rng, subject="many", names=names, n_per_run=300)
    few = make_recording(rng, subject="few", names=names, n_per_run=100)
    few = dataclasses.replace(few, label=np.where(few.repetition <= 4, 0, few.label))
    windows = prepare(recipe(rest="balance", windowing=Windowing(100, 100)), [many, few])
    counts = windows.table.astype({"label": str, "subject": str}).groupby(["subject", "label"]).size().to_dict()
    assert {name: [counts[name, label] for label in names] for name in ("many", "few")} == {
        "many": [90, 90, 90],  # 6 repetitions of 300 samples, 20 a window
        "few": [10, 10, 10],  # 2 repetitions of 100 samples; 70 windows of rest to choose from
    }


def test_nothing_on_the_way_to_scores_needs_unix():
    code = """
        import builtins, types
        windows, real, held = types.ModuleType("msvcrt"), builtins.__import__, []
        windows.LK_NBLCK = 2
        def locking(handle, mode, n):
            if held and held[-1] != handle:
                raise OSError(13, "Permission denied")
            held.append(handle)
        windows.locking = locking
        def as_on_windows(name, globals=None, *rest, **options):
            if ((globals or {}).get("__name__") or "").startswith("myograph"):
                if name in ("resource", "fcntl", "pwd", "grp", "termios"):
                    raise ImportError(name)
                if name == "msvcrt":
                    return windows
            return real(name, globals, *rest, **options)
        builtins.__import__ = as_on_windows
        import tempfile
        from pathlib import Path
        from myograph.evaluation import Recipe, Scores, evaluate
        from myograph._common.files import only_run_in
        from myograph.errors import ResultsError
        folder = Path(tempfile.mkdtemp()) / "run"
        scores = evaluate(Recipe("r", "simulated", method="lda", subjects=("1",)), out=folder)
        assert Scores.load(folder).as_dict() == scores.as_dict()
        assert scores.as_dict()["peak_memory_bytes"] is None
        assert held
        with only_run_in(folder.with_name("other"), "x"):
            held[:] = [-1]  # another process
            try:
                with only_run_in(folder.with_name("other"), "x"):
                    print("both hold it")
            except ResultsError:
                print("refused")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.stdout.strip() == "refused", done.stderr


def test_one_label_is_nothing_to_tell_apart():
    recording = make_recording(np.random.default_rng(0), n_labels=1)
    with pytest.raises(ConfigError, match="have only one label"):
        evaluate(recipe(), [recording])


def test_a_train_set_of_one_label_is_told():
    base = make_recording(np.random.default_rng(0), n_labels=2)
    label = np.where(np.isin(base.repetition, (2, 5)), base.label, 0)
    recording = Recording(base.signal, base.rate_hz, label, "1", base.repetition)
    with pytest.raises(ConfigError, match="the train windows have only one label"):
        evaluate(recipe(), [recording])


def test_a_recording_too_short_and_a_missing_repetition_are_told(recordings):
    short = make_recording(np.random.default_rng(0), subject="s", n_per_run=2, n_repetitions=1)
    with pytest.raises(WindowError, match="subject s, session 1 has 6 samples"):
        evaluate(recipe(), [*recordings, short])
    few = make_recording(np.random.default_rng(0), subject="few", n_repetitions=4)
    with pytest.raises(ProtocolError, match="subject few has no repetition 5"):
        evaluate(recipe(), [*recordings, few])


def test_any_labels_and_methods_without_probabilities(recordings):
    class Silent(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.full(len(X), self.classes_[0])

    scores = evaluate(recipe(method=Silent()), recordings)
    assert scores.summary["calibration_error"]["n"] == 0
    assert scores.summary["accuracy"]["mean"] == pytest.approx(1 / 3)


def test_import_is_light():
    heavy = {"numpy", "pandas", "scipy", "sklearn", "torch", "numba", "joblib", "pyarrow"}
    code = f"import sys; import myograph; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_scores_are_those_of_predict_where_it_is_not_the_most_probable_class():
    rng = np.random.default_rng(0)
    recordings = [make_recording(rng, subject=s, n_labels=2) for s in "12"]
    tuned = FixedThresholdClassifier(LogisticRegression(C=0.01), threshold=0.9, pos_label="g1")
    chosen = recipe(
        method=make_pipeline(FunctionTransformer(log_power), tuned), protocol=LeaveOneSubjectOut(), rest="keep"
    )
    scores = evaluate(chosen, recordings)
    windows = Windows.cut(recordings, chosen.windowing)
    expected = cross_val_score(chosen.method, windows, windows.y, cv=LeaveOneSubjectOut())
    np.testing.assert_allclose(scores.folds["accuracy"], expected)
    assert (expected < 0.9).all()
    told = scores.predictions
    assert (told["confidence"][told["y_pred"] == "g1"] >= 0.9).all()
    assert (told["confidence"][told["y_pred"] == "g0"] < 0.5).any()


class _Named(Protocol):
    def __init__(self, *names):
        self.names = names

    def _folds(self, table):
        for i, name in enumerate(self.names, 1):
            test = table["repetition"].to_numpy() == i
            yield name, ~test, test


def test_folds_of_one_name_and_no_folds_are_told_before_anything_is_fitted(recordings):
    for names, says in ((("a", "a"), "two folds with the same name"), ((), "no folds")):
        with pytest.raises(ProtocolError, match=says):
            evaluate(recipe(protocol=_Named(*names), method=_NeverFitted()), recordings)


class _NeverFitted(BaseEstimator):
    def fit(self, X, y):
        raise AssertionError("fitted")


class _Plain:
    def __init__(self, value):
        self.value = value


def test_the_identity_tells_apart_whatever_an_estimator_was_given():
    long = np.arange(5000.0)
    other = np.where(long == 2500, 0, long)
    given = [
        long, other, long.astype(int), torch.tensor(long), {"w": torch.tensor(other)}, lambda x: x + 1, lambda x: x + 2,
        functools.partial(log_power), functools.partial(log_power, 1), _Plain(1), _Plain(2), np.int64(3), log_power,
    ]  # fmt: skip
    identity = lambda value: recipe(method=FunctionTransformer(log_power, kw_args={"v": value})).identity({})  # noqa: E731
    found = [identity(value) for value in given]
    assert found == [identity(value) for value in given]
    assert identity(_Plain(1)) == identity(_Plain(1))
    assert identity(np.int64(3)) == identity(3)
    assert identity(long) == identity(torch.tensor(long))
    assert len(set(found)) == len(given) - 1


def test_scores_show_themselves_in_a_line(recordings):
    scores = evaluate(recipe(), recordings)
    assert repr(scores) == (
        f"<Scores test: Pipeline on my own, WithinSubject, accuracy {scores.summary['accuracy']['mean']:.3f} "
        f"± {scores.summary['accuracy']['std']:.3f} over 3 subjects>"
    )


def test_one_recording_is_enough_and_other_things_are_told(recordings):
    assert repr(evaluate(recipe(), recordings[0])).endswith("over 1 fold>")
    with pytest.raises(ConfigError, match="recordings must be Recording objects, got ndarray"):
        evaluate(recipe(), [recordings[0].signal])
    with pytest.raises(ConfigError, match="method must be a name of `myograph methods` or a scikit-learn estimator"):
        evaluate(recipe(method=log_power), recordings)


def test_no_recordings_are_said_to_be_none():
    with pytest.raises(WindowError, match="no recordings to cut"):
        evaluate(Recipe("empty", "mine", LeaveOneSubjectOut()), [])
