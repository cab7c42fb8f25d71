"""scikit-learn's LDA, SVC and random forest with prediction from flat arrays.

Fitting is scikit-learn's own. A prediction is the same as scikit-learn's: of a forest to the last bit (with
`n_jobs=None`), of the others but for rounding. Where X is no plain finite array of floats, or the estimator is of a
kind that has no fast route, scikit-learn's own code runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC
from sklearn.utils.extmath import softmax

from myograph._common.jit import njit

ROWS = 256  # rows of a kernel matrix made at once: with some thousand support vectors it stays within the caches
FEW = 8  # rows up to which distances are summed one by one, not by a matrix product
BLOCK, ABREAST = 2048, 8  # rows that go through all trees of a forest together, and through a tree side by side
NEAR = 1e-9  # margins closer to zero, relative to their weights, than the rounding of a matrix product could move them

# What was prepared of a fitted estimator, beside it and not in it: predicting leaves no trace in an estimator, its
# pickle or its clone. Each entry holds the fitted arrays that it was made from, so a refit is noticed.
_prepared: WeakKeyDictionary[BaseEstimator, Any] = WeakKeyDictionary()


def plain(estimator: BaseEstimator, X: Any) -> bool:
    """Whether X needs none of scikit-learn's conversions and gives none of its errors: what a fast route takes."""
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and len(X) > 0
        and X.dtype in (np.float64, np.float32)
        and X.shape[1] == getattr(estimator, "n_features_in_", None)
        and not hasattr(estimator, "feature_names_in_")  # else scikit-learn warns that X has none
        and bool(np.isfinite(X.sum(dtype=np.float64)))  # else X may still be finite, which scikit-learn finds out
    )


class FastLDA(LinearDiscriminantAnalysis):
    """`LinearDiscriminantAnalysis` that predicts by one matrix product."""

    def decision_function(self, X: Any) -> np.ndarray:
        if not plain(self, X):
            return super().decision_function(X)
        scores = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        if not plain(self, X):
            return super().predict(X)
        scores = X @ self.coef_.T + self.intercept_
        return self.classes_[(scores[:, 0] > 0).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        if not plain(self, X):
            return super().predict_proba(X)
        scores = X @ self.coef_.T + self.intercept_
        if scores.shape[1] == 1:
            positive = expit(scores[:, 0])
            return np.stack([1 - positive, positive], axis=1)
        return softmax(scores, copy=False)


class FastRandomForest(RandomForestClassifier):
    """`RandomForestClassifier` that predicts from the nodes of all trees in flat arrays, in one thread.

    A forest of several outputs predicts as scikit-learn's. Sums run over the trees in their order.
    """

    def predict_proba(self, X: Any) -> Any:
        if not plain(self, X) or self.n_outputs_ != 1:
            return super().predict_proba(X)
        with np.errstate(over="ignore"):
            X = np.array(X, dtype=np.float32, order="C")
        if not np.isfinite(X).all():
            return super().predict_proba(X)
        forest = _prepare(self, _Forest)
        proba = np.zeros((len(X), len(self.classes_)))
        _vote(X, forest.root, forest.nodes, forest.mixed, proba)
        proba /= len(forest.root)
        return proba

    def predict(self, X: Any) -> np.ndarray:
        if not plain(self, X) or self.n_outputs_ != 1:
            return super().predict(X)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


NODE = np.dtype([("threshold", np.float32), ("feature", np.int32), ("left", np.int32), ("right", np.int32)])
"""A split goes left where x[feature] <= threshold, rounded down to float32: of a float32 x that says the same. A leaf
leads to itself, and its feature is -1 - outcome: its one class, or where there are several the number of classes plus
a row of their shares."""


@dataclass(frozen=True)
class _Forest:
    """root : (tree,) first nodes; nodes : of all trees, one after another; mixed : (row, class) shares."""

    source: tuple[Any, ...]
    root: np.ndarray
    nodes: np.ndarray
    mixed: np.ndarray

    @classmethod
    def of(cls, estimator: RandomForestClassifier) -> _Forest:
        trees = [tree.tree_ for tree in estimator.estimators_]
        count = np.array([tree.node_count for tree in trees])
        root = np.cumsum(count) - count
        nodes = np.empty(count.sum(), NODE)
        n_classes, n_mixed = len(estimator.classes_), 0
        mixed: list[np.ndarray] = []
        for tree, first in zip(trees, root):
            mine = nodes[first : first + tree.node_count]
            near = tree.threshold.astype(np.float32)
            down = np.nextafter(near, np.float32(-np.inf))
            mine["threshold"], mine["feature"] = np.where(near > tree.threshold, down, near), tree.feature
            mine["left"], mine["right"] = tree.children_left + first, tree.children_right + first
            leaves = np.flatnonzero(tree.children_left < 0)
            mine["left"][leaves] = mine["right"][leaves] = leaves + first
            shares = tree.value[leaves, 0, :n_classes]
            largest = shares.argmax(axis=1)
            pure = (shares[np.arange(len(leaves)), largest] == 1) & (np.count_nonzero(shares, axis=1) == 1)
            several = np.count_nonzero(~pure)
            mine["feature"][leaves[pure]] = -1 - largest[pure]
            mine["feature"][leaves[~pure]] = -1 - (n_classes + n_mixed + np.arange(several))
            mixed.append(shares[~pure])
            n_mixed += several
        return cls(cls.source_of(estimator), root, nodes, np.concatenate(mixed))

    @staticmethod
    def source_of(estimator: RandomForestClassifier) -> tuple[Any, ...]:
        return estimator.estimators_, estimator.estimators_[-1]  # a warm start extends the same list


@njit(nogil=True, cache=True)
def _vote(X, root, nodes, mixed, proba):
    """proba (row, class) += the shares of classes in the leaf of each tree that a row of X ends in.

    Some rows stay in the cache while the trees pass, and a few go down a tree side by side: one alone would wait for
    the memory at each node.
    """
    at = np.empty(ABREAST, np.int32)
    for first in range(0, len(X), BLOCK):
        last = min(first + BLOCK, len(X))
        for tree in range(len(root)):
            for row in range(first, last, ABREAST):
                n = min(ABREAST, last - row)
                at[:] = root[tree]
                deciding = True
                while deciding:
                    deciding = False
                    if n == ABREAST:
                        for k in range(ABREAST):
                            deciding |= _step(X[row + k], nodes, at, k)
                    else:
                        for k in range(n):
                            deciding |= _step(X[row + k], nodes, at, k)
                for k in range(n):
                    _count(nodes[at[k]].feature, mixed, proba[row + k])


@njit(nogil=True, inline="always")
def _step(x, nodes, at, k):
    """at[k] becomes the child that x goes to; whether there was one."""
    node = nodes[at[k]]
    at[k] = node.left if x[max(node.feature, 0)] <= node.threshold else node.right
    return node.feature >= 0


@njit(nogil=True, inline="always")
def _count(feature, mixed, shares):
    outcome = -1 - feature
    if outcome < len(shares):
        shares[outcome] += 1.0
    else:
        for c in range(len(shares)):
            shares[c] += mixed[outcome - len(shares), c]


class FastSVC(SVC):
    """`SVC` whose RBF kernel is a matrix product and an exponential; other kernels predict as scikit-learn's.

    A row with a margin so close to zero that rounding could turn a vote is left to libsvm.
    """

    def decision_function(self, X: Any) -> np.ndarray:
        if not self._has_fast_route(X):
            return super().decision_function(X)
        margins, unsure = self._margins(X)
        n_classes = len(self.classes_)
        if n_classes == 2:
            return -margins[:, 0]
        if self.decision_function_shape == "ovo":
            return margins
        scores = np.zeros((len(margins), n_classes))
        _one_against_rest(margins, scores)
        if unsure.any():
            scores[unsure] = super().decision_function(X[unsure])
        return scores

    def predict(self, X: Any) -> np.ndarray:
        if self.break_ties or not self._has_fast_route(X):
            return super().predict(X)
        margins, unsure = self._margins(X)
        winner = np.empty(len(margins), np.intp)
        _most_votes(margins, len(self.classes_), winner)
        labels = self.classes_[winner]
        if unsure.any():
            labels[unsure] = super().predict(X[unsure])
        return labels

    def _has_fast_route(self, X: Any) -> bool:
        return self.kernel == "rbf" and not getattr(self, "_sparse", True) and plain(self, X)

    def _margins(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, pair) decision values of the pairs of classes, positive for the first, and (row,) whether one is near 0."""
        machine = _prepare(self, _Machine)
        X = np.array(X, dtype=np.float64, order="C")  # a copy, writable whatever came: the loops are compiled once
        margins = np.empty((len(X), len(machine.intercept)))
        if len(X) <= FEW:
            distance = np.empty(machine.vectors.shape[1])
            for x, out in zip(X, margins):
                _distances(x, machine.vectors, distance)
                distance *= -machine.gamma
                np.exp(distance, out=distance)
                _pairs(distance, machine.first, machine.weights, machine.intercept, out)
            return margins, (np.abs(margins) <= machine.near).any(axis=1)
        centred, first = X - machine.centre, machine.first.tolist()
        n_classes = len(first) - 1
        a, b = np.triu_indices(n_classes, k=1)
        for begin in range(0, len(X), ROWS):
            rows = slice(begin, begin + ROWS)
            x = centred[rows]
            kernel = x @ machine.product
            kernel += machine.norm
            kernel -= machine.gamma * np.einsum("ij,ij->i", x, x)[:, None]
            np.exp(np.minimum(kernel, 0, out=kernel), out=kernel)
            part = np.empty((n_classes, len(x), n_classes - 1))
            for c in range(n_classes):
                mine = slice(first[c], first[c + 1])
                part[c] = kernel[:, mine] @ machine.weights[mine]
            margins[rows] = (part[a, :, b - 1] + part[b, :, a]).T + machine.intercept
        return margins, (np.abs(margins) <= machine.near).any(axis=1)


@dataclass(frozen=True)
class _Machine:
    """A fitted one-against-one RBF machine.

    vectors : (column, vector) support vectors, classes one after another: class c from first[c] to first[c + 1] - 1.
    weights : (vector, other class) of a vector in the pairs of its class with the others, in their order.
    intercept : (pair,). near : (pair,) the size of a margin that rounding could turn. Of the vectors less their
    `centre`, product is (column, vector), 2 gamma v, and norm (vector,), -gamma |v|^2.
    """

    source: tuple[Any, ...]
    gamma: float
    vectors: np.ndarray
    first: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    near: np.ndarray
    centre: np.ndarray
    product: np.ndarray
    norm: np.ndarray

    @classmethod
    def of(cls, estimator: SVC) -> _Machine:
        vectors = estimator.support_vectors_
        sign = (
            -1.0 if len(estimator.classes_) == 2 else 1.0
        )  # scikit-learn turns libsvm's signs round where two classes
        weights = np.ascontiguousarray(sign * estimator.dual_coef_.T)
        intercept = sign * estimator.intercept_
        first = np.concatenate([[0], np.cumsum(estimator.n_support_)])
        gamma = float(estimator._gamma)  # of "scale" and "auto" scikit-learn keeps the value nowhere else
        near = np.empty(len(intercept))
        _pairs(np.ones(len(vectors)), first, np.abs(weights), np.abs(intercept), near)
        centre = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
        centred = vectors - centre
        product = np.ascontiguousarray(2 * gamma * centred.T)
        norm = -gamma * np.einsum("ij,ij->i", centred, centred)
        columns = np.ascontiguousarray(vectors.T)
        return cls(
            cls.source_of(estimator), gamma, columns, first, weights, intercept, NEAR * near, centre, product, norm
        )

    @staticmethod
    def source_of(estimator: SVC) -> tuple[Any, ...]:
        return estimator.support_vectors_, estimator.dual_coef_, estimator.intercept_, estimator._gamma


@njit(nogil=True, cache=True)
def _distances(x, vectors, out):
    """out (vector,) = squared distances of x (column,) from vectors (column, vector)."""
    out[:] = 0.0
    for j in range(len(x)):
        for i in range(len(out)):
            d = vectors[j, i] - x[j]
            out[i] += d * d


@njit(nogil=True, cache=True)
def _pairs(kernel, first, weights, intercept, out):
    """out (pair,) = decision values of one row from its kernel (vector,)."""
    n = len(first) - 1
    total = np.zeros((n, n - 1))
    for c in range(n):
        for i in range(first[c], first[c + 1]):
            for j in range(n - 1):
                total[c, j] += weights[i, j] * kernel[i]
    pair = 0
    for a in range(n):
        for b in range(a + 1, n):
            out[pair] = total[a, b - 1] + total[b, a] + intercept[pair]
            pair += 1


@njit(nogil=True, cache=True)
def _most_votes(margins, n_classes, winner):
    """winner (row,) = the class with most votes, the first of those that have as many; a margin of zero votes for
    the second of the pair."""
    votes = np.empty(n_classes, np.int64)
    for i in range(len(margins)):
        votes[:] = 0
        pair = 0
        for a in range(n_classes):
            for b in range(a + 1, n_classes):
                votes[a if margins[i, pair] > 0 else b] += 1
                pair += 1
        best = 0
        for c in range(1, n_classes):
            if votes[c] > votes[best]:
                best = c
        winner[i] = best


@njit(nogil=True, cache=True)
def _one_against_rest(margins, scores):
    """scores (row, class), zero before: votes plus the sum of margins squeezed into (-1/3, 1/3).

    As scikit-learn defines `decision_function_shape="ovr"`; here a margin of zero votes for the first of the pair.
    """
    n_classes = scores.shape[1]
    votes = np.empty(n_classes)
    for i in range(len(margins)):
        votes[:] = 0.0
        pair = 0
        for a in range(n_classes):
            for b in range(a + 1, n_classes):
                margin = margins[i, pair]
                scores[i, a] += margin
                scores[i, b] -= margin
                votes[b if margin < 0 else a] += 1.0
                pair += 1
        for c in range(n_classes):
            scores[i, c] = votes[c] + scores[i, c] / (3 * (abs(scores[i, c]) + 1))


def _prepare(estimator: BaseEstimator, kind: Any) -> Any:
    """The flat arrays of a fitted estimator, made at the first call after a fit."""
    found = _prepared.get(estimator)
    if found is None or any(a is not b for a, b in zip(found.source, kind.source_of(estimator))):
        found = _prepared[estimator] = kind.of(estimator)
    return found
