"""scikit-learn's support vector machine with prediction by matrix products.

Fitting is done by scikit-learn, and predictions are the same up to rounding. If X is not a plain finite array of
floats, or the kernel is not RBF, scikit-learn's own code runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.svm import SVC

from myograph.methods._prepared import plain, prepared

ROWS = 256  # rows of a kernel matrix per step, so that it fits in the caches with some thousand support vectors
NEAR = 1e-9  # margins closer to zero than this, relative to their weights, may change sign by rounding


class FastSVC(SVC):
    """`SVC` whose RBF kernel is a matrix product and an exponential; other kernels predict as scikit-learn's.

    A row with a margin so close to zero that rounding could change a vote is predicted by libsvm.
    """

    def decision_function(self, X: Any) -> np.ndarray:
        if not self._has_fast_route(X):
            return super().decision_function(X)
        margins, unsure = self._margins(X)
        if len(self.classes_) == 2:
            return -margins[:, 0]
        if self.decision_function_shape == "ovo":
            return margins
        # "ovr" as in scikit-learn: votes plus the sum of margins, compressed to (-1/3, 1/3).
        total = margins @ prepared(self, _Machine).signs
        scores = self._votes(margins) + total / (3 * (np.abs(total) + 1))
        if unsure.any():
            scores[unsure] = super().decision_function(X[unsure])
        return scores

    def predict(self, X: Any) -> np.ndarray:
        if self.break_ties or not self._has_fast_route(X):
            return super().predict(X)
        margins, unsure = self._margins(X)
        labels = self.classes_[self._votes(margins).argmax(axis=1)]  # the first class on a tie
        if unsure.any():
            labels[unsure] = super().predict(X[unsure])
        return labels

    def _votes(self, margins: np.ndarray) -> np.ndarray:
        """Return (row, class) votes; a positive margin of a pair is a vote for its first class."""
        signs = prepared(self, _Machine).signs
        return ((2.0 * (margins > 0) - 1.0) @ signs + np.abs(signs).sum(axis=0)) / 2

    def _has_fast_route(self, X: Any) -> bool:
        return self.kernel == "rbf" and not getattr(self, "_sparse", True) and plain(self, X)

    def _margins(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (row, pair) decision values of the pairs, positive for the first class, and (row,) whether one is near
        0.
        """
        machine = prepared(self, _Machine)
        X = np.asarray(X, np.float64)
        margins = np.empty((len(X), len(machine.intercept)))
        centred, first = X - machine.centre, machine.first.tolist()
        n_classes = len(first) - 1
        a, b = machine.pair
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

    Support vectors are in order of their classes: those of class c from first[c] to first[c + 1] - 1.

    weights : (vector, other class) weights of a vector in the pairs of its class with the other classes, in order.
    intercept : (pair,). near : (pair,) size of a margin whose sign rounding could change. pair : (pair,) first and
    (pair,) second classes. signs : (pair, class), 1 for the first class of a pair, -1 for the second. For the vectors v
    minus their
    `centre`, product : (column, vector), 2 gamma v; norm : (vector,), -gamma |v|^2.
    """

    source: tuple[Any, ...]
    gamma: float
    first: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    near: np.ndarray
    pair: tuple[np.ndarray, np.ndarray]
    signs: np.ndarray
    centre: np.ndarray
    product: np.ndarray
    norm: np.ndarray

    @classmethod
    def of(cls, estimator: SVC) -> _Machine:
        vectors = estimator.support_vectors_
        sign = -1.0 if len(estimator.classes_) == 2 else 1.0  # for two classes, scikit-learn inverts libsvm's signs
        weights = np.ascontiguousarray(sign * estimator.dual_coef_.T)
        intercept = sign * estimator.intercept_
        first = np.concatenate([[0], np.cumsum(estimator.n_support_)])
        gamma = float(estimator._gamma)  # the only place where scikit-learn keeps the value of "scale" and "auto"
        n_classes = len(estimator.classes_)
        a, b = np.triu_indices(n_classes, k=1)
        signs = np.zeros((len(a), n_classes))
        signs[np.arange(len(a)), a], signs[np.arange(len(a)), b] = 1.0, -1.0
        size = np.stack([np.abs(weights[first[c] : first[c + 1]]).sum(axis=0) for c in range(n_classes)])
        near = NEAR * (size[a, b - 1] + size[b, a] + np.abs(intercept))
        centre = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
        centred = vectors - centre
        product = np.ascontiguousarray(2 * gamma * centred.T)
        norm = -gamma * np.einsum("ij,ij->i", centred, centred)
        source = cls.source_of(estimator)
        return cls(source, gamma, first, weights, intercept, near, (a, b), signs, centre, product, norm)

    @staticmethod
    def source_of(estimator: SVC) -> tuple[Any, ...]:
        return estimator.support_vectors_, estimator.dual_coef_, estimator.intercept_, estimator._gamma
