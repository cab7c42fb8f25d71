"""Compilation happens before folds are timed."""

from __future__ import annotations

import numpy as np
import pytest
from numba.core import event

from conftest import make_recording
from myograph import Windowing, Windows
from myograph.evaluation._warm import warm
from myograph.methods import METHODS
from myograph.methods._forest import _vote


class Compiled(event.Listener):
    def __init__(self):
        self.names = []

    def on_start(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)

    def on_end(self, event):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lda", "lda_svm", "smoothed", "random_forest", "knn", "svm"])
def test_after_warming_nothing_is_compiled_by_a_fold(name):
    windows = Windows.cut(make_recording(np.random.default_rng(0), n_labels=3, n_channels=4), Windowing(100, 50))
    method = METHODS.create(name)
    warm(method, windows)
    compiled = Compiled()
    with event.install_listener("numba:compile", compiled):
        method.fit(windows, windows.y).predict(windows)
    assert compiled.names == []


def test_warming_compiles_the_forest_for_what_folds_give_it():
    windows = Windows.cut(make_recording(np.random.default_rng(0), n_labels=3, n_channels=4), Windowing(100, 50))
    forest = METHODS.create("random_forest")
    warm(forest, windows)
    versions = set(_vote.signatures)
    assert versions
    forest.fit(windows, windows.y).predict(windows)
    assert set(_vote.signatures) == versions
