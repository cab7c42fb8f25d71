"""A method on a stream, one window at a time, against its own `predict` on all windows."""

import inspect

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline

from myograph import Windowing
from myograph.features.transformer import Features
from myograph.live._predict import StreamPredictor
from myograph.methods import METHODS, knn, lda, lda_svm, random_forest, svm


def windows(n_classes, n=160, channels=4, samples=90, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    level = np.random.default_rng(99).uniform(5, 30, (n_classes, channels))
    X = (rng.standard_normal((n, channels, samples)) * level[y][:, :, None]).astype(dtype)
    return X, np.array([f"grip {c}" for c in y])


METHOD = {
    "lda": lda,
    "svm": svm,
    "random_forest": lambda: random_forest(n_trees=15),
    "knn": knn,
    "lda_svm": lambda: lda_svm(feature_options={"rate_hz": 500.0}),
    "no log": lambda: lda(log=False, shrinkage=None),
    "every route": lambda: svm(("HTD", "TSTD", "SKEW", "COV", "MNF"), feature_options={"rate_hz": 500.0}),
    "gathered alone": lambda: lda("COV"),
    "voted": lambda: VotingClassifier([("a", lda()), ("b", svm()), ("c", knn())], voting="hard"),
    "weighed": lambda: VotingClassifier([("a", lda()), ("b", knn())], voting="soft", weights=[1, 3]),
}


def one_by_one(method, X, rate_hz=500.0):
    """The labels of (window, channel, time) samples, each window taken as the next samples of a stream."""
    length_ms = 1000 * X.shape[2] / rate_hz
    classes = tuple(str(c) for c in method.classes_)
    predictor = StreamPredictor(method, classes, Windowing(length_ms, length_ms), rate_hz, X.shape[1])
    labels = []
    for window in X:
        predictor.push(window)
        label, _ = predictor.answer(window[None])
        labels.append(classes[label])
    return labels


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
@pytest.mark.parametrize("name", METHOD)
def test_each_window_alone_has_the_label_that_the_pipeline_predicts(name, dtype):
    method = METHOD[name]().fit(*windows(5))
    more, truth = windows(5, n=60, seed=1, dtype=dtype)
    expected = method.predict(more)
    assert one_by_one(method, more) == expected.tolist()
    assert np.mean(expected == truth) > 0.4  # of five


def test_views_are_multiplied_where_their_mean_says_otherwise():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((120, 4, 90)), np.arange(120) % 4  # noise: the views disagree
    method = METHOD["lda_svm"]().fit(X, y)
    more = rng.standard_normal((150, 4, 90))
    expected = method.predict(more)
    mean = np.mean([view.predict_proba(more) for view in method.estimators_], axis=0).argmax(1)
    assert (mean != expected).any()
    assert one_by_one(method, more) == [str(label) for label in expected]


def test_the_classifier_gets_the_rows_that_the_pipeline_computes():
    X, y = windows(3)
    pipeline = lda(("HTD", "VAR", "ENT", "M2", "AR", "SSC", "LD")).fit(X, y)
    seen = []

    class Spy(BaseEstimator):
        classes_ = np.array(["a"])

        def predict(self, rows):
            seen.append(rows)
            return ["a"]

    one_by_one(Pipeline([*pipeline.steps[:-1], ("spy", Spy())]), X)
    np.testing.assert_allclose(np.concatenate(seen), pipeline[:-1].transform(X), rtol=1e-10, atol=1e-12)


def test_every_classical_method_of_the_registry():
    """Those of `myograph.methods`: a method added there is tested here without being named."""
    X, y = windows(3, n=60)
    names = [n for n in METHODS if getattr(METHODS[n], "__module__", "").startswith("myograph.methods.")]
    names = [n for n in names if "model" not in inspect.signature(METHODS[n]).parameters]  # networks have no features
    names.remove("smoothed")  # rows of an array have no past; tests/test_smoothing.py has its streams
    assert {"lda", "svm", "knn", "random_forest", "lda_svm"} <= set(names)
    for name in names:
        options = {"classifier": "lda_svm"} if name == "recentred" else {}  # its default is smoothed
        method = METHODS[name](feature_options={"rate_hz": 500.0}, **options).fit(X, y)
        assert one_by_one(method, X[:20]) == method.predict(X[:20]).tolist(), name


def test_a_subclass_of_features_does_as_it_says():
    class Doubled(Features):
        def transform(self, X):
            return 2 * super().transform(X)

    X, y = windows(2)
    method = lda(Doubled()).fit(X, y)
    assert one_by_one(method, X[:9]) == method.predict(X[:9]).tolist()
