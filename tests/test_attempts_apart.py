"""Attempts to get a score above chance with what one fold leaves for another in places where one would not look, on
recordings whose signals say nothing of their labels."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import importlib
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

import attempts
from attempts import accuracy, at_chance, samples
from myograph import NeuralClassifier
from myograph.errors import ConfigError, DataError, LeakageError
from myograph.evaluation import apart
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate_continuously


@pytest.fixture(scope="module")
def people():
    return attempts.three_people()[:2]


class Notes(ClassifierMixin, BaseEstimator):
    """Writes the labels of its windows into the notes that `notes` gives, and answers with what stands there."""

    def notes(self) -> dict:
        raise NotImplementedError

    def fit(self, X, y):
        self.notes().update({X[i].tobytes(): label for i, label in enumerate(y)})
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.array([self.notes().get(X[i].tobytes(), "g0") for i in range(len(X))])


@functools.lru_cache
def cached() -> dict:
    return {}


class Cached(Notes):
    """A cached function gives the same object again."""

    def notes(self):
        return cached()


SHELF = contextvars.ContextVar("SHELF", default={})  # noqa: B039


class InAContext(Notes):
    def notes(self):
        return SHELF.get()


class Helper(BaseEstimator):
    """An estimator with an attribute that has not the name of a fitted one."""

    def __init__(self):
        self.memory = {}


HELPER = Helper()


class WithAHelper(Notes):
    def notes(self):
        return HELPER.memory


def network():
    import torch

    class Layer(torch.nn.Linear):
        """A layer with a memory that is not among its weights."""

        def __init__(self):
            super().__init__(1, 1)
            self.bank: dict = {}

    return torch.nn.Sequential(Layer())


class WithALayer(Notes):
    def __init__(self, made=None):
        self.made = network() if made is None else made

    def notes(self):
        return self.made[0].bank


class Imports(Notes):
    """The user's module, imported where it is needed."""

    def notes(self):
        from um_notes import KEPT

        return KEPT


class ImportsByName(Notes):
    def notes(self):
        return importlib.import_module("um_notes").KEPT


@pytest.fixture
def um_notes(tmp_path, monkeypatch):
    (tmp_path / "um_notes.py").write_text("KEPT = {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("um_notes")
    del sys.modules["um_notes"]


@pytest.mark.usefixtures("um_notes")
@pytest.mark.parametrize("kind", [Cached, InAContext, WithAHelper, WithALayer, Imports, ImportsByName])
def test_notes_in_odd_places_are_noticed(kind):
    method = kind()
    before = apart.state_of(method)
    assert (apart.state_of(method) == before) is (kind is not InAContext)  # nothing can be said of it: never trusted
    assert apart.state_of(method, trusting=True) == apart.state_of(method, trusting=True)
    method.notes()["page"] = "g1"
    assert apart.state_of(method) != before


def test_notes_of_a_cached_function_do_not_reach_the_next_fold(people):
    assert at_chance(accuracy(people, Cached()))


def test_decisions_over_whole_recordings_know_no_other_fold(people):
    recipe = Recipe("attempt", "my own", method=Cached(), protocol=attempts.LeaveOneSubjectOut(), rest="keep")
    named = [dataclasses.replace(a, label_names=("rest", "g1", "g2")) for a in people]
    found = evaluate_continuously(recipe, named)
    assert at_chance(1 - found["metrics"]["total_error"])


class LoadsIfThere(ClassifierMixin, BaseEstimator):
    """Keeps its model in a file, and does not fit again where there is one."""

    def __init__(self, path: str):
        self.path = path

    def fit(self, X, y):
        if not Path(self.path).exists():
            joblib.dump(KNeighborsClassifier(1).fit(samples(X), y), self.path)
        self.inner_ = joblib.load(self.path)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.inner_.predict(samples(X))


class LoadsItsOwn(LoadsIfThere):
    def fit(self, X, y):
        Path(self.path).unlink(missing_ok=True)
        return super().fit(X, y)


def test_a_model_that_an_earlier_fold_left_in_a_file_is_refused(people, tmp_path):
    place = str(tmp_path / "model")
    with pytest.raises(LeakageError, match=r"reads .*model, which was written after this run began"):
        accuracy(people, LoadsIfThere(place))
    assert at_chance(accuracy(people, LoadsItsOwn(place)))  # each fold writes and reads its own


def test_files_of_before_the_run_can_be_read_and_so_can_those_that_are_no_ones_results(people, tmp_path):
    (tmp_path / "before.txt").write_text("3")

    class Reads(attempts.KNeighborsClassifier):
        def fit(self, X, y):
            assert (tmp_path / "before.txt").read_text() == "3"
            assert Path("/proc/self/status").read_text() if sys.platform == "linux" else True
            (tmp_path / "log.txt").open("a").write("a fold\n")
            return super().fit(samples(X), y)

        def predict(self, X):
            return super().predict(samples(X))

        def predict_proba(self, X):
            return super().predict_proba(samples(X))

    assert at_chance(accuracy(people, Reads(1)))
    assert (tmp_path / "log.txt").read_text() == "a fold\n" * 2


def test_a_checkpoint_of_another_fold_is_refused(people, tmp_path):
    from networks import Net

    method = NeuralClassifier(Net, epochs=1, checkpoint=str(tmp_path / "checkpoint"), device="cpu")
    with pytest.raises((LeakageError, ConfigError, DataError), match=r"checkpoint"):
        accuracy(people, method)


class Samples(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return samples(X)


def test_steps_that_scikit_learn_keeps_in_a_folder_make_no_difference(people, tmp_path):
    plain, kept = (
        make_pipeline(Samples(), KNeighborsClassifier(1), memory=m) for m in (None, str(tmp_path / "memory"))
    )
    whole = accuracy(people, plain)
    assert at_chance(whole)
    assert accuracy(people, kept) == accuracy(people, kept) == whole


def test_a_method_that_keeps_nothing_stays_in_the_process(people, monkeypatch):
    from networks import Net

    def refused(*arguments):
        raise AssertionError("a process of its own")

    monkeypatch.setattr(apart, "alone", refused)
    accuracy(people, make_pipeline(Samples(), KNeighborsClassifier(1)))
    accuracy(people, NeuralClassifier(Net, epochs=1, device="cpu"))
