"""Fast classifiers against scikit-learn's own."""

import contextlib
import pickle
import unittest
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import estimator_checks_generator

from myograph.methods import _prepared
from myograph.methods._forest import FastRandomForest
from myograph.methods._svc import FastSVC

FOREST = {"n_estimators": 20, "random_state": 0}
PAIRS = [
    pytest.param(RandomForestClassifier, FastRandomForest, FOREST, id="forest"),
    pytest.param(RandomForestClassifier, FastRandomForest, {**FOREST, "max_leaf_nodes": 9}, id="forest-mixed-leaves"),
    pytest.param(SVC, FastSVC, {"C": 10.0}, id="svc"),
    pytest.param(SVC, FastSVC, {"gamma": 0.3, "break_ties": True}, id="svc-ties-broken"),
    pytest.param(SVC, FastSVC, {"gamma": "auto", "decision_function_shape": "ovo"}, id="svc-ovo"),
    pytest.param(SVC, FastSVC, {"kernel": "poly"}, id="svc-poly"),
]


def problem(n_classes, seed=0, n=300, columns=9, dtype=np.float64, names=False):
    """Clouds that overlap, so that leaves are mixed, votes tie and many vectors support."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.standard_normal((n_classes, columns))[y] + 1.2 * rng.standard_normal((n, columns))
    return X.astype(dtype), (np.array([f"grip {c:02d}" for c in y]) if names else y * 3 - 4)


def outputs(estimator, X):
    """Everything that a classifier says about X."""
    names = [n for n in ("decision_function", "predict_proba") if hasattr(estimator, n)]
    return estimator.predict(X), [getattr(estimator, n)(X) for n in names]


def assert_same(plain, fast, X, tolerance):
    for part in (X, X[:1], X[3:8]):
        (labels, scores), (mine, my_scores) = outputs(plain, part), outputs(fast, part)
        assert mine.dtype == labels.dtype
        np.testing.assert_array_equal(mine, labels)
        assert len(scores) == len(my_scores) > 0
        for a, b in zip(scores, my_scores):
            assert a.shape == b.shape
            np.testing.assert_allclose(b, a, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_classes", [2, 3, 17])
@pytest.mark.parametrize(("plain", "fast", "options"), PAIRS)
def test_same_as_scikit_learn(plain, fast, options, n_classes, dtype):
    X, y = problem(n_classes, dtype=dtype, names=n_classes == 3)
    more, _ = problem(n_classes, seed=1, n=700, dtype=dtype)
    a, b = plain(**options).fit(X, y), fast(**options).fit(X, y)
    assert_same(a, b, more, tolerance=1e-12)


def test_forest_is_scikit_learns_to_the_last_bit():
    X, y = problem(6)
    a, b = (kind(**FOREST, min_samples_leaf=3).fit(X, y) for kind in (RandomForestClassifier, FastRandomForest))
    more, _ = problem(6, seed=2)
    np.testing.assert_array_equal(b.predict_proba(more), a.predict_proba(more))


def test_forest_compares_thresholds_in_single_precision():
    X, y = problem(4)
    a, b = (kind(**FOREST).fit(X, y) for kind in (RandomForestClassifier, FastRandomForest))
    at = X[:100].copy()
    for i, tree in enumerate(a.estimators_):
        split = tree.tree_.feature[0]
        at[i, split] = np.nextafter(tree.tree_.threshold[0], np.inf)  # above it, but not once it is a float32
    np.testing.assert_array_equal(b.predict_proba(at), a.predict_proba(at))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 7))
def test_svm_votes_as_libsvm_on_coarse_grids(seed, n_classes, columns):
    """On a grid of few values many margins tie, or are exactly zero."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-1, 2, (60, columns)).astype(float)
    y = np.arange(60) % n_classes
    a, b = SVC(C=1.0, gamma=0.5).fit(X, y), FastSVC(C=1.0, gamma=0.5).fit(X, y)
    more = rng.integers(-2, 3, (40, columns)).astype(float)
    np.testing.assert_array_equal(b.predict(more), a.predict(more))
    np.testing.assert_allclose(b.decision_function(more), a.decision_function(more), atol=1e-9)
    for row in more[:10, None]:
        assert b.predict(row) == a.predict(row)


def test_margins_of_zero_are_libsvms():
    X = np.array([[-1.0], [1.0]])
    a, b = SVC(gamma=1.0).fit(X, [0, 1]), FastSVC(gamma=1.0).fit(X, [0, 1])
    np.testing.assert_array_equal(b.predict([[0.0]]), a.predict([[0.0]]))
    far = np.full((20, 1), 1e6)  # every kernel value is zero: the margins are the intercepts
    np.testing.assert_array_equal(b.predict(far), a.predict(far))


@pytest.mark.parametrize("fast", [FastRandomForest, FastSVC])
def test_no_stale_arrays_after_a_refit(fast):
    (X, y), (Z, v) = problem(5), problem(3, seed=5)
    estimator = fast().fit(X, y)
    estimator.predict(X)
    estimator.fit(Z, v)
    assert set(estimator.predict(X)) <= set(v)
    reference = fast.__mro__[1]
    np.testing.assert_array_equal(estimator.predict(X), reference.predict(estimator, X))


def test_a_forest_that_grows_by_a_warm_start_is_prepared_anew():
    X, y = problem(4)
    estimator = FastRandomForest(5, warm_start=True, random_state=0).fit(X, y)
    estimator.predict(X)
    estimator.set_params(n_estimators=9).fit(X, y)
    np.testing.assert_array_equal(
        estimator.predict_proba(X), RandomForestClassifier.predict_proba(estimator, X), strict=True
    )


@pytest.mark.parametrize("fast", [FastRandomForest, FastSVC])
def test_predicting_leaves_no_trace(fast):
    X, y = problem(4)
    estimator = fast().fit(X, y)
    before, state = pickle.dumps(estimator), set(vars(estimator))
    labels = estimator.predict(X)
    assert set(vars(estimator)) == state
    assert len(pickle.dumps(estimator)) == len(before)
    np.testing.assert_array_equal(pickle.loads(before).predict(X), labels)
    entries = len(_prepared._prepared)
    del estimator
    assert len(_prepared._prepared) <= entries  # and none where the estimator was the last to hold it
    assert clone(fast()).get_params() == fast.__mro__[1]().get_params()


@pytest.mark.parametrize("fast", [FastRandomForest, FastSVC])
def test_input_that_is_not_plain_is_scikit_learns_business(fast):
    X, y = problem(4)
    estimator, plain = fast(), fast.__mro__[1]
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    estimator.fit(X, y)
    np.testing.assert_array_equal(estimator.predict(X.tolist()), estimator.predict(X))
    np.testing.assert_array_equal(estimator.predict((X * 10).astype(int)), plain.predict(estimator, np.trunc(X * 10)))
    np.testing.assert_array_equal(estimator.predict(np.asfortranarray(X)), estimator.predict(X))
    locked = X.copy()
    locked.flags.writeable = False
    np.testing.assert_array_equal(estimator.predict(locked), estimator.predict(X))
    with pytest.raises(ValueError, match="features"):
        estimator.predict(X[:, :-1])
    bad = X.copy()
    bad[1, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        estimator.predict(bad)
    with pytest.raises(ValueError, match="2D"):
        estimator.predict(X[0])


@pytest.mark.parametrize("estimator", [FastRandomForest(5), FastSVC()], ids=lambda e: type(e).__name__)
def test_scikit_learns_checks(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for checked, check in estimator_checks_generator(estimator):
            if "sample_weight_equivalence" in str(check):  # SVC and RandomForestClassifier fail it, too
                continue
            with contextlib.suppress(unittest.SkipTest):
                check(checked)
