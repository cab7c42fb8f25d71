"""scikit-learn's random forest with prediction from flat arrays.

Fitting is done by scikit-learn, and predictions are identical bit for bit to scikit-learn's (with `n_jobs=None`). If X
is not a plain finite array of floats, scikit-learn's own code runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from myograph._common.jit import kernel, part
from myograph.methods._prepared import plain, prepared

BLOCK, ABREAST = 2048, 8  # rows processed together by all trees of a forest, and in parallel by one tree


class FastRandomForest(RandomForestClassifier):
    """`RandomForestClassifier` that predicts from the nodes of all trees in flat arrays, in one thread.

    A forest with several outputs uses scikit-learn's prediction. Sums run over the trees in order.
    """

    def predict_proba(self, X: Any) -> Any:
        if not plain(self, X) or self.n_outputs_ != 1:
            return super().predict_proba(X)
        with np.errstate(over="ignore"):
            X = np.array(X, dtype=np.float32, order="C")
        if not np.isfinite(X).all():
            return super().predict_proba(X)
        forest = prepared(self, _Forest)
        proba = np.zeros((len(X), len(self.classes_)))
        _vote(X, forest.root, forest.nodes, forest.mixed, proba)
        proba /= len(forest.root)
        return proba

    def predict(self, X: Any) -> np.ndarray:
        if not plain(self, X) or self.n_outputs_ != 1:
            return super().predict(X)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    @classmethod
    def compile_loops(cls) -> None:
        """Compile the loops of `predict`, or read them from disk."""
        cls(1).fit([[0.0], [1.0]], [0, 1]).predict(np.zeros((1, 1)))


NODE = np.dtype([("threshold", np.float32), ("feature", np.int32), ("left", np.int32), ("right", np.int32)])
"""A split goes left if x[feature] <= threshold. The threshold is rounded down to float32, which gives the same result
for a float32 x. A leaf points to itself, and its feature is -1 - outcome, where the outcome is its class or, for
several classes, the number of classes plus the row of their shares.
"""


@dataclass(frozen=True)
class _Forest:
    """root : (tree,) first nodes; nodes : nodes of all trees in sequence; mixed : (row, class) shares."""

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
        return estimator.estimators_, estimator.estimators_[-1]  # because a warm start extends the same list


@kernel
def _vote(X, root, nodes, mixed, proba):
    """Add to proba (row, class) the class shares of the leaf that each row of X reaches in each tree.

    A block of rows stays in the cache while all trees are evaluated, and a few rows pass a tree in parallel, because a
    single row would wait for memory at each node.
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


@part(inline="always")
def _step(x, nodes, at, k):
    """Set at[k] to the child to which x goes; return whether there was one."""
    node = nodes[at[k]]
    at[k] = node.left if x[max(node.feature, 0)] <= node.threshold else node.right
    return node.feature >= 0


@part(inline="always")
def _count(feature, mixed, shares):
    outcome = -1 - feature
    if outcome < len(shares):
        shares[outcome] += 1.0
    else:
        for c in range(len(shares)):
            shares[c] += mixed[outcome - len(shares), c]
