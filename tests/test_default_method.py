"""Real recordings, the data sets' usual splits: the bars that methods are held to."""

from __future__ import annotations

import numpy as np
import pytest

from myograph import Windows
from myograph.evaluation.recipe import DEFAULT_METHOD, baseline
from myograph.evaluation.run import evaluate
from myograph.methods import METHODS, LogScale, ProductOfViews, SoftSVC

pytestmark = pytest.mark.filterwarnings("ignore")


def accuracy(dataset, method):
    return evaluate(baseline(dataset, method)).summary["accuracy"]["mean"]


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "bar"), [("3dc", 0.885), ("myoarmband", 0.98), ("ninapro_db1", 0.775), ("ninapro_db5", 0.77)]
)
def test_linear_discriminants_on_real_recordings(dataset, bar):
    assert accuracy(dataset, "lda") >= bar


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "bar"), [("myoarmband", 0.99), ("ninapro_db5", 0.855)])
def test_the_default_on_real_recordings(dataset, bar):
    assert accuracy(dataset, DEFAULT_METHOD) >= bar


def test_a_log_scale_has_no_unit():
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, 10.0, (200, 3))
    train, test = x[:150], x[150:]
    found = LogScale().fit(train).transform(test)
    np.testing.assert_allclose(found, LogScale().fit(1e6 * train).transform(1e6 * test))
    by_hand = np.log(1 + test / (0.1 * train.mean(axis=0)))
    np.testing.assert_allclose(found, by_hand)
    np.testing.assert_allclose(LogScale().fit(train).transform(-test), -by_hand)


def test_soft_margins_agree_with_the_machines_votes_where_they_are_clear():
    rng = np.random.default_rng(0)
    for n_classes in (2, 4):
        y = np.repeat([f"c{i}" for i in range(n_classes)], 40)
        x = rng.normal(size=(len(y), 2)) + 6 * np.stack(
            [np.cos(np.arange(len(y)) // 40), np.sin(np.arange(len(y)) // 40)], 1
        )
        model = SoftSVC().fit(x, y)
        proba = model.predict_proba(x)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        assert (model.classes_[proba.argmax(axis=1)] == model.predict(x)).mean() > 0.98


def test_views_are_multiplied():
    class Fixed:
        def __init__(self, p):
            self.p = np.array(p)

        def predict_proba(self, X):
            return self.p

    model = ProductOfViews([])
    model.estimators_ = [Fixed([[0.7, 0.3]]), Fixed([[0.4, 0.6]]), Fixed([[0.5, 0.5]])]
    product = np.array([0.701 * 0.401 * 0.501, 0.301 * 0.601 * 0.501])
    np.testing.assert_allclose(model.predict_proba(None)[0], product / product.sum())


def test_the_default_learns_any_labels_from_windows():
    from conftest import make_recording

    windows = Windows.cut(make_recording(np.random.default_rng(0), names=("b", "a", "10"), n_per_run=150))
    model = METHODS.create("lda_svm").fit(windows[::2], windows.y[::2])
    assert model.score(windows[1::2], windows.y[1::2]) > 0.9
    assert list(model.classes_) == ["10", "a", "b"]
