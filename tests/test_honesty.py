"""Recordings whose labels carry no information: chance under every honest protocol and method, far above it where
windows are dealt at random."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import myograph
from conftest import make_recording
from myograph import Recording, Windowing, Windows
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.methods import METHODS
from myograph.methods.adapt import SelfRecalibrating
from myograph.protocols import (
    CrossSession,
    KFoldRepetitions,
    LastRepetitions,
    LeakyShuffledWindows,
    LeaveOneSubjectOut,
    PooledSubjects,
    Protocol,
    SessionStream,
    WithinSubject,
)

N_LABELS = 4
HONEST = {
    "WithinSubject": WithinSubject(test_repetitions=(2, 5)),
    "KFoldRepetitions": KFoldRepetitions(4),
    "PooledSubjects": PooledSubjects(test_fraction=0.4, n_repeats=3),
    "LastRepetitions": LastRepetitions(0.4),
    "LeaveOneSubjectOut": LeaveOneSubjectOut(),
    "LeaveOneSubjectOut with calibration": LeaveOneSubjectOut(calibration=0.5),
    "CrossSession": CrossSession(),
    "SessionStream": SessionStream(),
    "SessionStream by repetition": SessionStream(by="repetition", n_initial=3),
}


@pytest.fixture(scope="module")
def nothing_to_learn() -> list[Recording]:
    """Noise whose colour and loudness are drawn again for every repetition of every label: neighbouring windows look
    alike, and nothing connects one repetition to another."""
    rng = np.random.default_rng(7)
    recordings = []
    for subject in "abc":
        for session in ("1", "2"):
            base = make_recording(
                rng,
                subject,
                session,
                n_channels=4,
                n_labels=N_LABELS,
                n_repetitions=10,
                n_per_run=120,
                informative=False,
            )
            gain = np.repeat(np.exp(rng.normal(0, 1, (4, N_LABELS * 10))), 120, axis=1).astype(np.float32)
            recordings.append(base.with_signal(base.signal * gain))
    return recordings


def accuracy(recordings, protocol, method, **options):
    recipe = Recipe(
        "nothing", "my own", protocol, method, method_options=options, windowing=Windowing(length_ms=150, step_ms=25)
    )
    return evaluate(recipe, recordings)


def subclasses(cls):
    return {one for child in cls.__subclasses__() for one in (child, *subclasses(child))}


def test_every_honest_protocol_is_here():
    """Wherever in the package it is defined."""
    for module in pkgutil.walk_packages(myograph.__path__, "myograph."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = {p for p in subclasses(Protocol) if p.__module__.startswith("myograph.") and not p.leaky}
    assert {p.__name__ for p in ours} == {type(p).__name__ for p in HONEST.values()}
    assert all(dataclasses.is_dataclass(p) for p in HONEST.values())


def chance_interval(scores):
    """Repetitions, not windows, are what is independent: four standard errors of a fair guess over them."""
    table = scores.predictions
    n = table.groupby(["fold", "recording", "repetition", "y_true"]).ngroups
    return 4 * np.sqrt(0.25 * 0.75 / n)


@pytest.mark.parametrize("method", ["lda", "svm", "knn", "random_forest"])
@pytest.mark.parametrize("name", HONEST)
def test_chance_under_every_honest_protocol(nothing_to_learn, name, method):
    options = {"n_trees": 20} if method == "random_forest" else {}
    scores = accuracy(nothing_to_learn, HONEST[name], method, **options)
    mean = (scores.predictions["y_true"] == scores.predictions["y_pred"]).mean()
    assert abs(mean - 1 / N_LABELS) < chance_interval(scores), mean
    assert all(a["passed"] for a in scores.info["audit"])


@pytest.mark.parametrize("method", ["lda", "svm", "knn", "random_forest"])
def test_far_above_chance_under_the_leaky_one_which_brings_the_truth_along(nothing_to_learn, method):
    recordings = nothing_to_learn
    if method == "lda":  # a linear method cannot remember forty clusters a recording, but it can twelve
        recordings = [first_repetitions(r, 3) for r in recordings]
    scores = accuracy(recordings, LeakyShuffledWindows(honest=KFoldRepetitions(3)), method)
    assert scores.summary["accuracy"]["mean"] > 2 / N_LABELS
    assert scores.honest is not None
    assert abs(scores.honest.summary["accuracy"]["mean"] - 1 / N_LABELS) < chance_interval(scores.honest)


def first_repetitions(recording, n):
    stop = int(np.argmax(recording.repetition > n))
    return Recording(
        recording.signal[:, :stop],
        recording.rate_hz,
        recording.label[:stop],
        recording.subject,
        recording.repetition[:stop],
        recording.session,
        label_names=recording.label_names,
    )


def test_methods_that_search_stay_honest(nothing_to_learn):
    for method in ("svm", "knn"):
        scores = accuracy(nothing_to_learn[:2], CrossSession(), method, search=True)
        assert abs(scores.summary["accuracy"]["mean"] - 1 / N_LABELS) < chance_interval(scores)


def test_adaptation_stays_honest(nothing_to_learn):
    for policy in ("all", "last"):
        method = SelfRecalibrating(METHODS.create("lda"), policy)
        scores = accuracy(nothing_to_learn, SessionStream(by="repetition"), method)
        assert abs(scores.summary["accuracy"]["mean"] - 1 / N_LABELS) < chance_interval(scores)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["atzori", "myonet"])
def test_networks_stay_honest(nothing_to_learn, model):
    options = {"epochs": 12, "validation": 0.3, "patience": 4, "batch_size": 64, "lr": 3e-3}
    recordings = nothing_to_learn[:2]
    honest = accuracy(recordings, CrossSession(), model, **options)
    assert abs(honest.summary["accuracy"]["mean"] - 1 / N_LABELS) < chance_interval(honest)


def test_rest_between_movements_gives_nothing_away():
    """Rest carries a repetition of its own movement, so the classifier cannot learn the order of the protocol."""
    rng = np.random.default_rng(3)
    base = make_recording(rng, n_labels=N_LABELS, n_repetitions=8, informative=False, names=("rest", "a", "b", "c"))
    windows = Windows.cut(base, Windowing(150, 50))
    for fold in WithinSubject(test_repetitions=(2, 5)).folds(windows):
        train, test = windows.table.iloc[fold.train], windows.table.iloc[fold.test]
        assert set(train.loc[train["label"] == "rest", "repetition"]).isdisjoint(test["repetition"])
