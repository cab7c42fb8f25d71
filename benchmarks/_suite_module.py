"""What the benchmark of suites gives as --module: methods that cost nothing, a fraction of a second, or a second."""

from __future__ import annotations

import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from myograph.methods import METHODS


class First(ClassifierMixin, BaseEstimator):
    """Predicts the first class, and computes for so many seconds of processor time in each fit."""

    def __init__(self, seconds: float = 0.0, seed: int = 0):
        self.seconds, self.seed = seconds, seed

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        end, block = time.thread_time() + self.seconds, np.ones((64, 64))
        while time.thread_time() < end:
            block = block @ block / 64
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


@METHODS.register
def bench_first(seconds: float = 0.0, seed: int = 0):
    """The first class, after so many seconds of computing."""
    return First(seconds, seed)
