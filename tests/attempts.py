"""What the attempts to get a dishonest score share: recordings that say nothing of their labels, and how one is evaluated."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from conftest import make_recording
from myograph import LeaveOneSubjectOut, Recording, Windowing
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate

CHANCE = 1 / 3


def samples(X):
    return np.asarray(X).reshape(len(X), -1)


def means(X):
    return np.asarray(X).mean(axis=2)


def nearest(features=samples):
    return make_pipeline(FunctionTransformer(features), KNeighborsClassifier(1))


def person(name: str, seed: int) -> Recording:
    return make_recording(
        np.random.default_rng(seed), name, n_labels=3, n_repetitions=6, n_per_run=100, informative=False
    )


def three_people() -> list[Recording]:
    return [person(s, i) for i, s in enumerate("abc")]


def in_a_row(people: list[Recording]) -> list[Recording]:
    """A gesture's repetitions follow each other, so that a long filter blurs them into one."""
    found = []
    for a in people:
        order = np.lexsort((np.arange(a.n_samples), a.repetition, a.label))
        found.append(
            dataclasses.replace(a, signal=a.signal[:, order], label=a.label[order], repetition=a.repetition[order])
        )
    return found


def accuracy(recordings, method=None, protocol=None, windowing=None, **options) -> float:
    chosen = {k: options.pop(k) for k in ("filters", "transfer") if k in options}
    cut = windowing or Windowing(150, 50)
    recipe = Recipe("attempt", "my own", protocol or LeaveOneSubjectOut(), method or nearest(), windowing=cut, **chosen)
    scores = evaluate(recipe, recordings, **options)
    assert not scores.leaky
    return float((scores.predictions["y_true"] == scores.predictions["y_pred"]).mean())


def at_chance(value: float) -> bool:
    return value < CHANCE + 0.12
