"""`FastLDA` against scikit-learn's discriminant, and held-out answers against fits without the held-out rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from myograph.errors import ConfigError
from myograph.methods import FastLDA
from myograph.methods import _discriminant as module
from myograph.methods._discriminant import ClassRows, ledoit_wolf
from myograph.methods._held_out import held_out_proba
from myograph.methods.adapt import LDAMeans

SHAPES = {"tall": (300, 5, 3), "square": (90, 60, 4), "two classes": (400, 30, 2), "wide": (90, 200, 3)}


def rows_of(shape):
    n, columns, n_classes = SHAPES[shape]
    rng = np.random.default_rng(3)
    code = np.arange(n) % n_classes
    x = rng.normal(size=(n, columns)) @ rng.normal(size=(columns, columns)) / columns**0.5 + code[:, None]
    x[code == 1, 2] = 3.0  # a column that is constant in one class
    return x, code


@pytest.fixture(params=["as many columns as they are", "every matrix wider than tall"])
def many(request, monkeypatch):
    if request.param.startswith("every"):
        monkeypatch.setattr(module, "MANY", 1)


@pytest.mark.parametrize("shrinkage", ["auto", 0.3, 1.0])
@pytest.mark.parametrize("priors", ["of the classes", "given"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_discriminant_of_scikit_learn(shape, priors, shrinkage, many):
    x, code = rows_of(shape)
    names = np.array(["wave", "fist", "rest", "pinch"])[code]
    share = (
        None if priors == "of the classes" else np.arange(1, SHAPES[shape][2] + 1) / sum(range(SHAPES[shape][2] + 1))
    )
    options = {"solver": "lsqr", "shrinkage": shrinkage, "priors": share}
    found, expected = FastLDA(**options).fit(x, names), LinearDiscriminantAnalysis(**options).fit(x, names)
    size = np.abs(expected.coef_).max()
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-9 * size)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, atol=1e-9 * np.abs(expected.intercept_).max())
    np.testing.assert_allclose(found.means_, expected.means_, atol=1e-12)
    np.testing.assert_allclose(found.predict_proba(x), expected.predict_proba(x), atol=1e-8)
    np.testing.assert_array_equal(found.classes_, expected.classes_)
    if hasattr(found, "covariance_"):
        np.testing.assert_allclose(found.covariance_, expected.covariance_, atol=1e-12 * expected.covariance_.max())


def test_without_shrinkage_too():
    x, code = rows_of("tall")
    options = {"solver": "lsqr", "shrinkage": None}
    found, expected = FastLDA(**options).fit(x, code), LinearDiscriminantAnalysis(**options).fit(x, code)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9)


def test_other_solvers_and_covariances_are_scikit_learns():
    x, code = rows_of("square")
    for options in ({"solver": "svd"}, {"solver": "lsqr", "covariance_estimator": LedoitWolf()}):
        found, expected = FastLDA(**options).fit(x, code), LinearDiscriminantAnalysis(**options).fit(x, code)
        np.testing.assert_array_equal(found.coef_, expected.coef_)


def test_scikit_learn_still_calls_the_fast_solver(monkeypatch):
    """It is a private function of scikit-learn; if it is renamed, fits are slow again."""
    called = []
    monkeypatch.setattr(
        ClassRows, "of", classmethod(lambda cls, *a: called.append(a) or (_ for _ in ()).throw(KeyError))
    )
    with pytest.raises(KeyError):
        FastLDA(solver="lsqr").fit(*rows_of("tall"))
    assert len(called) == 1


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (7, 7)])
def test_shrinkage_is_that_of_scikit_learn(shape):
    z = np.random.default_rng(0).normal(size=shape) @ np.diag(np.linspace(1, 3, shape[1]))
    z -= z.mean(axis=0)
    np.testing.assert_allclose(ledoit_wolf(z), ledoit_wolf_shrinkage(z), rtol=1e-10)
    assert 0.01 < ledoit_wolf(z) <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_held_out_rows_are_answered_as_by_a_fit_without_them(shape, many):
    x, code = rows_of(shape)
    fold = np.arange(len(x)) // 7 % 4 - 1
    n_classes = SHAPES[shape][2]
    found = held_out_proba(FastLDA(solver="lsqr", shrinkage=0.3).fit(x, code), x, code, fold, n_classes)
    again = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)
    for f in range(3):
        expected = again.fit(x[fold != f], code[fold != f]).predict_proba(x[fold == f])
        np.testing.assert_allclose(found[fold == f], expected, atol=1e-8)
    assert np.isnan(found[fold < 0]).all()


def test_the_covariance_of_many_columns_is_left_out_unless_asked_for(monkeypatch):
    monkeypatch.setattr(module, "MANY", 100)
    x, code = rows_of("wide")
    plain = FastLDA(solver="lsqr", shrinkage="auto").fit(x, code)
    stored = FastLDA(solver="lsqr", shrinkage="auto", store_covariance=True).fit(x, code)
    assert not hasattr(plain, "covariance_")
    assert stored.covariance_.shape == (200, 200)
    np.testing.assert_allclose(plain.coef_, stored.coef_, atol=1e-9 * np.abs(stored.coef_).max())
    tall, few = rows_of("tall")
    assert hasattr(plain.fit(tall, few), "covariance_")
    assert not hasattr(plain.fit(x, code), "covariance_")  # nor is that of an earlier fit kept
    method = LDAMeans(make_pipeline(FastLDA(solver="lsqr", shrinkage="auto"))).fit(x, code)
    with pytest.raises(ConfigError, match="left out for 200 columns; give the discriminant store_covariance=True"):
        method.adapt(x)
