"""A method never sees a test label, carries nothing from fold to fold, and says what it was fitted on before."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from conftest import make_recording
from myograph import KFoldRepetitions, LeakyShuffledWindows, Windowing, Windows, WithinSubject
from myograph.errors import ConfigError
from myograph.evaluation.folds import fitted_before, labelled_in
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.protocols import SessionStream


@pytest.fixture(scope="module")
def noise():
    """Recordings that say nothing of their labels: whoever scores above chance has seen them."""
    rng = np.random.default_rng(0)
    return [make_recording(rng, subject=s, informative=False) for s in ("1", "2")]


def score(method, recordings, protocol=None):
    recipe = Recipe("blind", "my own", protocol or KFoldRepetitions(2), method, windowing=Windowing(100, 50))
    return evaluate(recipe, recordings).summary["accuracy"]["mean"]


class Cheat(ClassifierMixin, BaseEstimator):
    """Answers with whatever labels it can find in what it is given."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.X_ = X
        return self

    def predict(self, X):
        found = np.asarray(self.look(X)).astype(str)
        return np.where(np.isin(found, self.classes_), found, self.classes_[0])


class ReturnsY(Cheat):
    def look(self, X):
        return X.y


class ReadsTheTable(Cheat):
    def look(self, X):
        return X.table["label"]


def from_recordings(X, recordings):
    names = [(recordings[row.recording], row.start) for row in X.table.itertuples()]
    return [r.label_names[r.label[start]] if r.label[start] >= 0 else "" for r, start in names]


class ReadsTestRecordings(Cheat):
    def look(self, X):
        return from_recordings(X, X.recordings)


class ReadsTrainRecordings(Cheat):
    def look(self, X):
        return from_recordings(X, self.X_.recordings)


class ReadsThroughWhere(Cheat):
    def look(self, X):
        return X.where(subject=["1", "2"]).batch(slice(0, 0)).shape and [f"{row.label}" for row in X.table.itertuples()]


@pytest.mark.parametrize(
    "cheat", [ReturnsY, ReadsTheTable, ReadsTestRecordings, ReadsTrainRecordings, ReadsThroughWhere]
)
@pytest.mark.parametrize("protocol", [KFoldRepetitions(2), SessionStream(by="repetition")])
def test_labels_of_the_test_windows_are_nowhere_to_be_found(noise, cheat, protocol):
    assert score(cheat(), noise, protocol) == pytest.approx(1 / 3, abs=0.02)


class Spy(TransformerMixin, BaseEstimator):
    """Looks for labels: there are some when it is fitted, and none afterwards."""

    def fit(self, X, y=None):
        self.fitting_ = True
        return self

    def transform(self, X):
        assert set(X.y) == ({"g0", "g1", "g2"} if self.fitting_ else {"unknown"})
        assert self.fitting_ or all((r.label == -1).all() for r in X.recordings)
        self.fitting_ = False
        return np.asarray(X).var(axis=2)


class Adapts(ClassifierMixin, BaseEstimator):
    def __init__(self, expected="unknown"):
        self.expected = expected

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def adapt(self, X):
        assert set(X.y) == {self.expected}, "labels that were not expected"
        assert all((r.label == -1).all() for r in X.recordings)


def test_transform_and_adapt_are_given_no_label(noise):
    score(make_pipeline(Spy(), LinearDiscriminantAnalysis()), noise)
    score(Adapts(), noise, SessionStream(by="repetition"))
    with pytest.raises(AssertionError, match="not expected"):  # so `adapt` was called
        score(Adapts("g0"), noise, SessionStream(by="repetition"))


def test_in_fit_recordings_are_labelled_inside_the_train_rows_alone(noise):
    windows = Windows.cut(noise, Windowing(100, 50))
    rows = np.flatnonzero((windows.table["repetition"] == 3).to_numpy() & (windows.groups == "1"))[2:5]
    train = labelled_in(windows, rows)
    expected = np.full(noise[0].n_samples, -1)
    for row in windows.table.iloc[rows].itertuples():
        expected[row.start : row.stop] = noise[0].label[row.start : row.stop]
    np.testing.assert_array_equal(train.recordings[0].label, expected)
    assert (train.recordings[1].label == -1).all()
    assert train.y.tolist() == windows.y[rows].tolist()
    np.testing.assert_array_equal(np.asarray(train), np.asarray(windows[rows]))
    assert train.recordings[0].content_hash != noise[0].content_hash
    assert (noise[0].label >= 0).all()


class Remembers(ClassifierMixin, BaseEstimator):
    """Adds up what it was fitted on, as an estimator with a warm start may."""

    def fit(self, X, y):
        self.fits_ = getattr(self, "fits_", 0) + 1
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[min(self.fits_, 2)])


def test_nothing_is_carried_from_fold_to_fold(noise):
    recipe = Recipe("clone", "my own", KFoldRepetitions(2), Remembers(), windowing=Windowing(100, 50))
    assert set(evaluate(recipe, noise).predictions["y_pred"]) == {"g1"}


def test_the_recipes_own_estimator_is_never_fitted(noise):
    method = Remembers()
    score(method, noise)
    assert not hasattr(method, "fits_")


def test_what_was_fitted_before_is_named_in_the_audit_and_in_the_notes(noise, tmp_path):
    from myograph import NeuralClassifier

    frozen = FrozenEstimator(LogisticRegression().fit(np.eye(2, 4), ["g0", "g1"]))
    method = make_pipeline(FunctionTransformer(lambda X: np.asarray(X).var(axis=2)), frozen)
    scores = evaluate(Recipe("frozen", "my own", method=method, windowing=Windowing(100, 50)), noise)
    told = "LogisticRegression: fitted before this run, on unknown data"
    assert all(audit["fitted_before"] == [told] for audit in scores.info["audit"])
    assert any("fitted before this run" in note and "LogisticRegression" in note for note in scores.notes)
    assert scores.as_dict()["notes"] == scores.notes
    assert fitted_before(NeuralClassifier(pretrained="net.safetensors")) == [
        "NeuralClassifier: begins with the file net.safetensors, fitted before this run on unknown data"
    ]
    assert fitted_before(make_pipeline(FunctionTransformer(), LinearDiscriminantAnalysis())) == []


class Stateless(TransformerMixin, BaseEstimator):
    """Learns nothing, so it has nothing to show that it was fitted."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.log(np.asarray(X).var(axis=2) + 1e-6)


@pytest.mark.parametrize(
    "steps",
    [
        [Stateless(), LinearDiscriminantAnalysis()],
        ["passthrough", Stateless(), None, LinearDiscriminantAnalysis()],
        [Stateless(), make_pipeline(FunctionTransformer(), LogisticRegression())],
        [Stateless(), Cheat()],
    ],
)
def test_any_pipeline_can_be_evaluated(steps):
    recordings = [make_recording(np.random.default_rng(0))]
    method = Pipeline([(str(i), step) for i, step in enumerate(steps)])
    if isinstance(steps[-1], Cheat):
        Cheat.look = lambda self, X: np.full(len(X), "g1")
        assert score(method, recordings) == pytest.approx(1 / 3, abs=0.01)
    else:
        assert score(method, recordings) > 0.9


class OneAnswer(Cheat):
    def predict(self, X):
        return self.classes_[:1]


class OneAnswerWithProbabilities(OneAnswer):
    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


@pytest.mark.parametrize("method", [OneAnswer(), OneAnswerWithProbabilities()])
def test_a_predict_that_gives_other_than_one_label_per_window_is_refused(noise, method):
    with pytest.raises(ConfigError, match=r"predict gave an array of shape \(1,\) for \d+ windows"):
        score(method, noise)


def test_the_leaky_protocol_hides_test_labels_too(noise):
    assert score(ReturnsY(), noise, LeakyShuffledWindows(honest=WithinSubject((2, 5)))) == pytest.approx(
        1 / 3, abs=0.05
    )
