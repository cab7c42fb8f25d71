"""What the tests of suites give as --module: a tiny data set, own methods, and processes that are killed on purpose.

KILL in the environment, "WHO:COUNT:WHEN", kills when so many files have been moved into place by all processes together:
"group" kills the command with its workers, "self" the process that moves the file; "before" or "after" the move. The
moment therefore depends on progress and not on time.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from myograph import Features, Recording
from myograph.datasets.base import DATASETS, Dataset
from myograph.methods import METHODS
from myograph.protocols import WithinSubject
from myograph.windows import Windowing


@DATASETS.register
@dataclass(frozen=True)
class Tiny(Dataset):
    """Noise whose loudness per channel tells the gesture, in a second."""

    name = "tiny"
    n_people: int = 6
    seconds_per_gesture: float = 0.6

    needs_files = False
    protocol = WithinSubject((2,))
    windowing = Windowing(100.0, 50.0)

    def subjects(self, folder=None):
        return [str(i + 1) for i in range(self.n_people)]

    def read(self, folder=None, subjects=None):
        for subject in self.subjects() if subjects is None else subjects:
            rng = np.random.default_rng(int(subject))
            label = np.repeat(np.tile(np.arange(3), 4), int(200 * self.seconds_per_gesture))
            gain = 0.8 + 0.3 * np.eye(3, 4)
            signal_ = rng.normal(size=(4, len(label))) * gain[label].T
            repetition = np.repeat(np.arange(1, 5), len(label) // 4)
            yield Recording(
                (20 * signal_).astype(np.float32),
                200.0,
                label,
                subject,
                repetition=repetition,
                label_names=("a", "b", "c"),
            )


@METHODS.register
def tiny_tree(depth: int = 3, seed: int = 0):
    """A decision tree on MAV."""
    return make_pipeline(Features("MAV"), DecisionTreeClassifier(max_depth=depth, random_state=seed))


class Always(ClassifierMixin, BaseEstimator):
    """Predicts the first class, without looking at the windows."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], len(X))


@METHODS.register
def always():
    """The first class."""
    return Always()


class Broken(Always):
    """Raises an error in fit."""

    def fit(self, X, y):
        raise RuntimeError("this method is broken on purpose")


@METHODS.register
def broken():
    """Fails."""
    return Broken()


def _die_at_a_move(who: str, at: int, when: str, counter: Path) -> None:
    move = os.replace

    def counted(source, target):
        with counter.open("ab") as file:
            file.write(b".")
        mine = counter.stat().st_size == at and "claims" not in str(target)
        if mine and when == "before":
            _kill(who)
        move(source, target)
        if mine:
            _kill(who)

    os.replace = counted


def _kill(who: str) -> None:
    if who == "group":
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("KILL"):
    _who, _at, _when = os.environ["KILL"].split(":")
    _die_at_a_move(_who, int(_at), _when, Path(os.environ["COUNTER"]))
