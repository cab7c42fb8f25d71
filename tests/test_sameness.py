"""One movement that makes up most of what `adapt` is given: how it is noticed, and that nothing is changed then."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from myograph import Windowing, Windows
from myograph.errors import NotAdaptedWarning
from myograph.methods import CORAL, AdaBN, FastLDA, PriorWeightedLDA, Prototypes, Recentred, lda
from myograph.methods._sameness import Sameness
from myograph.testing import make_recording, make_windows
from myograph.training import NeuralClassifier

GAINS = np.array([[1.0, 1.0, 1.0, 1.0], [3.0, 0.4, 1.0, 2.0], [0.3, 2.0, 4.0, 0.5], [5.0, 5.0, 0.5, 0.5]])
OTHER = np.array([0.2, 4.0, 0.4, 3.0])


def cut(name, seed, gain=1.0, **settings):
    one = make_recording(name, seed=seed, **{"n_classes": 4, **settings})
    louder = (one.signal * np.broadcast_to(gain, 4)[:, None]).astype(np.float32)
    return Windows.cut([one.with_signal(louder)], Windowing(200, 50))


@pytest.fixture(scope="module")
def people():
    """Labelled windows of four people whose electrodes differ in gain, and those of a fifth."""
    train = Windows.concatenate([cut(str(i), i, gain) for i, gain in enumerate(GAINS)])
    return train, cut("new", 9, OTHER)


def accuracy(method, windows):
    return float((method.predict(windows.without_labels()) == windows.y).mean())


def dominated(windows, label, share=0.8):
    """The windows, those of one label repeated until they are `share` of all."""
    mine, others = np.flatnonzero(windows.y == label), np.flatnonzero(windows.y != label)
    return windows[
        np.concatenate(
            [np.arange(len(windows)), np.tile(mine, round(share / (1 - share) * len(others) / len(mine)) - 1)]
        )
    ]


def test_the_chance_of_two_windows_to_be_alike_is_that_of_their_labels():
    """People and gains that training had not, so that distances, not places, must tell."""
    train = make_windows(n_subjects=2, n_classes=5, n_repetitions=6)
    found = Sameness.of(train, train.y)
    assert found.own == pytest.approx(0.2, abs=0.02)
    new = cut("new", 9, n_classes=5, n_repetitions=6)
    for gains in (np.ones(4), OTHER):
        x = new.batch() * gains[:, None]
        assert found.chance(x) == pytest.approx(0.2, abs=0.05)
        for label in np.unique(new.y):
            seen = dominated(new, label)
            shares = np.unique(seen.y, return_counts=True)[1] / len(seen)
            assert found.chance(seen.batch() * gains[:, None]) == pytest.approx(np.square(shares).sum(), abs=0.1)
            assert found.one_movement(seen.batch() * gains[:, None]).startswith(
                "one movement makes up most of the windows"
            )
        assert found.one_movement(x) is None
        assert found.chance(x[new.y == "rest"]) > 0.8
    assert found.chance(x[:1]) == 1.0


def test_a_class_that_dominates_training_too_is_no_reason():
    """Half of the windows are rest, as in training; a dead channel is no reason either."""
    train, new = (make_windows(n_classes=4, n_repetitions=8, seed=seed) for seed in (0, 1))
    rest = [dominated(windows, "rest", 0.5) for windows in (train, new)]
    assert Sameness.of(rest[0], rest[0].y).one_movement(rest[1]) is None
    assert Sameness.of(train, train.y).one_movement(rest[1]) is None
    assert Sameness.of(train, train.y).one_movement(dominated(new, "rest", 0.8)) is not None
    dead = new.batch().copy()
    dead[:, 2] = 0
    assert Sameness.of(train, train.y).one_movement(dead) is None


def test_tables_of_features_are_compared_as_they_are():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    rows = 9 * np.eye(4)[y] + rng.normal(size=(400, 4))
    model = make_pipeline(StandardScaler(), FastLDA(solver="lsqr"))
    fitted = CORAL(model, overlap=1.0).fit(rows[:200], y[:200])
    assert fitted.sameness_.chance(5 - rows[200:]) == pytest.approx(0.25, abs=0.05)
    moved = rows[200:] + np.array([4.0, -4.0, 4.0, -4.0])
    assert copy.deepcopy(fitted).adapt(moved).adapted_
    with pytest.warns(NotAdaptedWarning, match="one movement makes up most"):
        fitted.adapt(moved[np.concatenate([np.arange(200), np.repeat(np.flatnonzero(y[200:] == 1), 12)])])


def changes_nothing_if_one_movement_dominates(fitted, new):
    for label in np.unique(new.y):
        method = copy.deepcopy(fitted)
        with pytest.warns(NotAdaptedWarning, match="one movement makes up most of the windows|the windows show"):
            method.adapt(dominated(new, label).without_labels())
        np.testing.assert_array_equal(method.predict_proba(new), fitted.predict_proba(new))


@pytest.mark.parametrize("make", [CORAL, PriorWeightedLDA, Recentred])
def test_a_movement_that_dominates_a_new_persons_windows_changes_nothing(people, make):
    train, new = people
    fitted = make(lda()).fit(train, train.y)
    method = copy.deepcopy(fitted)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotAdaptedWarning)
        method.adapt(new.without_labels())
    assert accuracy(method, new) > accuracy(fitted, new) + 0.05
    changes_nothing_if_one_movement_dominates(fitted, new)


@pytest.mark.parametrize("make", [AdaBN, Prototypes])
def test_a_network_is_not_changed_either(people, make):
    train, new = people
    options = {"bands": 2, "combinations": 4, "hidden": 16, "jitter": 0.0}
    network = NeuralClassifier("myonet", options, epochs=5, batch_size=32, lr=0.01, device="cpu")
    fitted = make(network).fit(train, train.y)
    assert not fitted.adapted_
    changes_nothing_if_one_movement_dominates(fitted, new)
    method = copy.deepcopy(fitted).adapt(new.without_labels())
    assert method.adapted_
    assert np.abs(method.predict_proba(new) - fitted.predict_proba(new)).max() > 0.01


@pytest.mark.parametrize("make", [CORAL, AdaBN])
def test_methods_that_take_the_windows_to_be_balanced_need_that_of_a_known_person_too(make):
    monday, tuesday = cut("a", 1), cut("a", 2, OTHER**0.3)
    network = NeuralClassifier("myonet", {"bands": 1, "combinations": 2, "hidden": 4}, epochs=1, device="cpu")
    fitted = make(lda() if make is CORAL else network).fit(monday, monday.y)
    changes_nothing_if_one_movement_dominates(fitted, tuesday)
