"""Single steps of `run_folds`: which answers are taken from a method, and which folds are run and reported."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from conftest import make_recording
from myograph import KFoldRepetitions, Windowing, Windows
from myograph.errors import ConfigError, LeakageError
from myograph.evaluation import folds as folds_module
from myograph.evaluation.folds import (
    KeptFolds,
    fitted_before,
    labelled_in,
    predict_stream,
    predictions_of,
    refuse_fitted_on,
    run_folds,
    streams,
)
from myograph.features.transformer import Features
from myograph.protocols import Fold, SessionStream
from myograph.testing import make_windows

PROBA = np.array([[0.2, 0.8, 0.0], [0.5, 0.1, 0.4], [0.3, 0.3, 0.4]])


class Answers(ClassifierMixin, BaseEstimator):
    """Gives the labels and probabilities that it holds; `asked` counts calls of `predict`."""

    asked = 0
    classes_ = np.array(["a", "b", "c"])

    def __init__(self, labels=("b", "a", "c")):
        self.labels = labels

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        type(self).asked += 1
        return np.array(self.labels)[: len(X)]


class Probable(Answers):
    def predict_proba(self, X):
        return PROBA[: len(X)]


class Voting(Probable):
    voting = "soft"


class Network(Probable):
    module_ = None


def test_without_probabilities_there_is_no_confidence():
    labels, confidence = predictions_of(Answers(), np.zeros(3))
    assert labels.tolist() == ["b", "a", "c"]
    assert np.isnan(confidence).all()


def test_the_confidence_is_that_of_the_label_that_was_predicted():
    labels, confidence = predictions_of(Probable(("a", "c", "c")), np.zeros(3))
    assert labels.tolist() == ["a", "c", "c"]
    assert confidence.tolist() == [0.2, 0.4, 0.4]
    _, confidence = predictions_of(Probable(("b", "x", "a")), np.zeros(3))
    np.testing.assert_array_equal(confidence, [0.8, np.nan, 0.3])  # no probability is known of a label that is no class
    _, confidence = predictions_of(Probable(("c", "a", "a")), np.zeros(3))
    assert confidence.tolist() == [0.0, 0.5, 0.3]


@pytest.mark.parametrize("kind", [Voting, Network])
def test_networks_and_soft_votes_predict_the_most_probable_class(kind):
    kind.asked = 0
    labels, confidence = predictions_of(kind(("x", "x", "x")), np.zeros(3))
    assert labels.tolist() == ["b", "a", "c"]
    assert confidence.tolist() == [0.8, 0.5, 0.4]
    assert kind.asked == 0


def test_a_hard_vote_is_asked_itself():
    model = Voting(("c", "c", "c"))
    model.voting = "hard"
    assert predictions_of(model, np.zeros(3))[0].tolist() == ["c", "c", "c"]


def test_a_pipeline_of_one_step_is_that_step():
    assert predictions_of(Pipeline([("only", Answers())]), np.zeros(3))[0].tolist() == ["b", "a", "c"]


def test_numbers_as_labels_become_text_and_other_counts_are_refused():
    assert predictions_of(Answers((1, 2, 3)), np.zeros(3))[0].tolist() == ["1", "2", "3"]
    for model in (Answers(("a",)), Probable(("a",))):
        with pytest.raises(ConfigError, match=r"gave an array of shape \(1,\) for 3 windows"):
            predictions_of(model, np.zeros(3))


def test_streams_are_neighbours_with_the_same_train_rows():
    a, b = np.arange(3), np.arange(4)
    folds = [Fold(str(i), rows, rows) for i, rows in enumerate([a, a, b, a])]
    assert streams(folds, sequential=True) == [[0, 1], [2], [3]]
    assert streams(folds, sequential=False) == [[0], [1], [2], [3]]
    assert streams([], sequential=True) == []


@pytest.fixture(scope="module")
def windows():
    return Windows.cut(make_recording(np.random.default_rng(0), n_repetitions=3), Windowing(100, 100))


class Power(LinearDiscriminantAnalysis):
    def fit(self, X, y):
        return super().fit(np.asarray(X).var(axis=2), y)

    def predict(self, X):
        return super().predict(np.asarray(X).var(axis=2))

    def predict_proba(self, X):
        return super().predict_proba(np.asarray(X).var(axis=2))


def test_finished_folds_are_reported_as_they_come_and_not_run_again(windows, tmp_path, monkeypatch):
    folds, said, warmed = list(KFoldRepetitions().folds(windows)), [], []
    monkeypatch.setattr("myograph.evaluation._warm.warm", lambda estimator, windows: warmed.append(len(windows)))
    report = lambda *what: said.append(what)  # noqa: E731
    kept = KeptFolds(tmp_path, "x")
    tables = run_folds(Power(), windows, folds, False, kept, 1, report)
    assert said == [("folds", n, 3) for n in range(4)]
    assert [set(t["fold"]) for t in tables] == [{f.name} for f in folds]
    assert warmed == [len(windows)]
    said.clear()
    again = run_folds(Power(), windows, folds, False, KeptFolds(tmp_path, "x"), 1, report)
    assert said == [("folds", 3, 3)]
    assert warmed == [len(windows)]
    assert all(a["y_pred"].tolist() == b["y_pred"].tolist() for a, b in zip(tables, again))


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (0, 1), (-3, 3), (2, 2), (9, 3)])
def test_as_many_processes_as_asked_for_and_as_there_are_folds(windows, monkeypatch, jobs, most):
    import joblib

    asked = []
    monkeypatch.setattr(folds_module.os, "cpu_count", lambda: 64)
    real = joblib.Parallel
    monkeypatch.setattr(joblib, "Parallel", lambda n_jobs, **options: asked.append(n_jobs) or real(1, **options))
    run_folds(Power(), windows, list(KFoldRepetitions().folds(windows)), False, None, jobs, lambda *what: None)
    assert asked == [most]


def test_one_process_where_the_number_of_processors_is_unknown(windows, monkeypatch):
    import joblib

    asked = []
    monkeypatch.setattr(folds_module.os, "cpu_count", lambda: None)
    real = joblib.Parallel
    monkeypatch.setattr(joblib, "Parallel", lambda n_jobs, **options: asked.append(n_jobs) or real(1, **options))
    run_folds(Power(), windows, list(KFoldRepetitions().folds(windows)), False, None, -1, lambda *what: None)
    assert asked == [1]


def test_the_time_of_each_fold_is_its_own(windows):
    folds = list(SessionStream(by="repetition").folds(windows))
    begun = time.perf_counter()
    tables = folds_module.predict_stream(Power(), windows, folds)
    whole = time.perf_counter() - begun
    seconds = [t["seconds"].iloc[0] for t in tables]
    assert all(s > 0 for s in seconds)
    assert sum(seconds) <= whole


def test_a_hash_of_the_labels_is_not_that_of_all_labels(windows):
    before = windows.recordings[0].content_hash
    train = labelled_in(windows, np.arange(3))
    assert train.recordings[0].content_hash != before
    assert windows.recordings[0].content_hash == before


def test_a_torch_module_is_named_as_a_part_with_weights():
    method = Answers(labels=torch.nn.Linear(2, 2))
    assert fitted_before(method) == ["Linear: a network with weights of its own, fitted on unknown data if at all"]


def test_a_kept_fold_of_another_name_or_other_rows_is_not_believed(windows, tmp_path):
    fold = next(iter(KFoldRepetitions().folds(windows)))
    kept = KeptFolds(tmp_path, "x")
    (table,) = run_folds(Power(), windows, [fold], False, None, 1, lambda *what: None)
    kept.put(0, table)
    assert kept.get(0, fold) is not None
    mixed = table.assign(fold=["other"] + [fold.name] * (len(table) - 1))
    kept.put(0, mixed)
    assert kept.get(0, fold) is None
    kept.put(0, table)
    assert kept.get(0, Fold(fold.name, fold.train, fold.test + 1)) is None
    assert KeptFolds(tmp_path, "y").get(0, fold) is None
    assert KeptFolds(tmp_path, "x", resume=False).get(0, fold) is None


def test_recordings_without_train_rows_have_no_labels():
    rng = np.random.default_rng(0)
    both = Windows.cut([make_recording(rng, s, n_repetitions=2) for s in "ab"], Windowing(100, 100))
    rows = np.flatnonzero(both.groups == "b")[:2]
    train = labelled_in(both, rows)
    assert (train.recordings[0].label == -1).all()
    last = int(both.column("stop")[rows[1]])
    assert (train.recordings[1].label[:last] >= 0).all()
    assert (train.recordings[1].label[last:] == -1).all()


class Notes(ClassifierMixin, BaseEstimator):
    """Notes what it adapts to."""

    noted: list = []  # noqa: RUF012

    def fit(self, X, y=None):
        self.classes_ = np.unique(X.y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def adapt(self, X):
        self.noted.append(X.column("session")[0])
        return self


def test_a_stream_adapts_after_every_session_but_the_last():
    windows = make_windows(n_sessions=4)
    Notes.noted.clear()
    predict_stream(Notes(), windows, list(SessionStream().folds(windows)))
    assert Notes.noted == ["2", "3"]  # session 1 trains, and nothing is scored after session 4


def test_every_recording_is_labelled_inside_the_rows():
    windows = make_windows(n_sessions=2)
    rows = np.concatenate([np.flatnonzero(windows.column("recording") == i)[:3] for i in (0, 1)])
    found = labelled_in(windows, rows)
    for i, recording in enumerate(found.recordings):
        inside = np.zeros(recording.n_samples, bool)
        for row in rows[windows.column("recording")[rows] == i]:
            inside[windows.column("start")[row] : windows.column("stop")[row]] = True
        assert inside.any()
        np.testing.assert_array_equal(recording.label >= 0, inside)


@pytest.mark.parametrize(
    ("start", "stop", "union"),
    [
        ([5, 0, 2], [9, 3, 4], [(0, 4), (5, 9)]),
        ([0, 10, 12], [5, 20, 14], [(0, 5), (10, 20)]),  # one inside another
        ([0, 5, 10], [5, 10, 12], [(0, 12)]),  # touching ones
        ([7], [8], [(7, 8)]),
    ],
)
def test_the_union_of_intervals_is_disjoint_and_has_gaps(start, stop, union):
    assert folds_module._merged(np.array(start), np.array(stop)) == union


def test_a_stream_of_which_one_fold_is_kept_is_run_as_a_whole(tmp_path):
    windows = make_windows(n_sessions=3)
    folds = list(SessionStream().folds(windows))
    assert streams(folds, sequential=True) == [[0, 1]]
    arguments = (Power(), windows, folds, True)
    whole = run_folds(*arguments, KeptFolds(tmp_path, "x"), 1, lambda *what: None)
    (tmp_path / "folds" / "0001.parquet").unlink()
    again = run_folds(*arguments, KeptFolds(tmp_path, "x"), 1, lambda *what: None)
    assert [t["y_pred"].tolist() for t in again] == [t["y_pred"].tolist() for t in whole]


class HasParameters:
    parameters = 3


def test_every_part_with_weights_is_named_and_no_other():
    fitted = FrozenEstimator(LinearDiscriminantAnalysis().fit([[0], [1], [5]], [0, 1, 1]))
    method = Pipeline(
        [("a", Answers(labels=torch.nn.Linear(2, 2))), ("b", Answers(labels=HasParameters())), ("c", fitted)]
    )
    assert fitted_before(method) == [
        "Linear: a network with weights of its own, fitted on unknown data if at all",
        "LinearDiscriminantAnalysis: fitted before this run, on unknown data",
    ]


def test_a_part_that_was_fitted_on_another_window_of_a_test_repetition_is_refused():
    windows = make_windows()
    _, runs = np.unique([windows.column("repetition").astype(str), windows.y], axis=1, return_inverse=True)
    first = np.unique(runs, return_index=True)[1][:2]  # one window of each of two classes
    last = np.flatnonzero(runs == runs[first[0]])[-1:]
    assert windows.column("stop")[first[0]] <= windows.column("start")[last]
    fitted = FrozenEstimator(Features("MAV").fit(windows[first], windows.y[first]))
    with pytest.raises(
        LeakageError, match="that 0 of 1 test windows share samples with, and 1 share a repetition with"
    ):
        refuse_fitted_on(fitted, windows, last)
    refuse_fitted_on(fitted, windows, np.flatnonzero(~np.isin(runs, runs[first])))
