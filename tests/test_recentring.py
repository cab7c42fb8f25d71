"""Re-centring of samples: a session whose channels were mixed is turned back, and where it must do nothing."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from scipy.linalg import expm, logm
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier

from myograph import Layout, Recording, Windowing, Windows
from myograph.errors import ConfigError, LeakageWarning, NotAdaptedWarning
from myograph.evaluation.continuous import every_window
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.live.decoder import Decoder
from myograph.methods import METHODS, AlignedLDA, Calibrated, Recentred, Smoothed
from myograph.methods.adapt import SelfRecalibrating
from myograph.methods.recentring import _matrix, log_covariances
from myograph.protocols import CrossSession, LeaveOneSubjectOut
from myograph.testing import make_windows

MIX = np.array([[1.5, 0.3, 0.1], [0.2, 0.8, -0.1], [0.0, 0.1, 1.8]])


@pytest.fixture(scope="module")
def windows():
    return make_windows(n_sessions=2, n_classes=4, n_channels=3)


@pytest.fixture(scope="module")
def fitted(windows):
    first = windows.where(session=1)
    return Recentred(METHODS.create("lda")).fit(first, first.y)


def mixed(windows, matrix):
    return Windows([r.with_signal(matrix @ r.signal) for r in windows.recordings], windows.table)


def accuracy(method, windows):
    return float((method.predict(windows) == windows.y).mean())


def test_logarithms_are_scipys(windows):
    some = windows[:5]
    for found, x in zip(log_covariances(some), some.batch()):
        covariance = np.cov(x.astype(float), bias=True)
        np.testing.assert_allclose(found, logm(covariance), atol=1e-4)


def test_a_matrix_turns_one_covariance_into_another():
    one, other = (a @ a.T + np.eye(3) for a in np.random.default_rng(0).normal(size=(2, 3, 3)))
    matrix = _matrix(logm(one), logm(other))
    np.testing.assert_allclose(matrix @ other @ matrix.T, one, rtol=1e-8)


def test_a_mixture_of_channels_is_undone(windows, fitted):
    later = mixed(windows.where(session=2), MIX)
    before = accuracy(fitted, later)
    method = copy.deepcopy(fitted).adapt(later.without_labels())
    assert accuracy(method, later) > max(before + 0.1, 0.9)
    known = copy.deepcopy(fitted).calibrate(later, later.y)
    assert accuracy(known, later) > 0.95
    # The mean of the classes' mean logarithms is now that of training.
    logs = log_covariances(mixed(later, known.matrix_))
    there = np.mean([logs[later.y == name].mean(axis=0) for name in known.classes_], axis=0)
    np.testing.assert_allclose(there, known.means_.mean(axis=0), atol=0.15)


def test_gains_alone_are_undone_exactly_by_labels(windows, fitted):
    """Gains of separate channels commute with nothing but each other, a common gain with everything."""
    later = windows.where(session=2)
    plain = copy.deepcopy(fitted).calibrate(later, later.y)
    louder = mixed(later, 5.0 * np.eye(3))
    method = copy.deepcopy(fitted).calibrate(louder, louder.y)
    np.testing.assert_allclose(5 * method.matrix_, plain.matrix_, rtol=1e-4)
    assert method.predict(louder).tolist() == plain.predict(later).tolist()


def test_one_class_that_is_seen_most_of_the_time_changes_little(windows, fitted):
    later = mixed(windows.where(session=2), np.diag([1.5, 0.8, 1.2]))
    even = copy.deepcopy(fitted).adapt(later.without_labels())
    rows = np.concatenate([np.arange(len(later)), np.repeat(np.flatnonzero(later.y == later.y[0]), 20)])
    uneven = copy.deepcopy(fitted).adapt(later[rows].without_labels())
    assert accuracy(uneven, later) > accuracy(even, later) - 0.05
    assert accuracy(uneven, later) > 0.9


def test_it_changes_nothing_and_says_so_where_nothing_speaks_for_a_change(windows, fitted):
    method = copy.deepcopy(fitted)
    later = windows.where(session=2)
    with pytest.warns(NotAdaptedWarning, match="the windows show 1 of 4 classes"):
        method.adapt(later[later.y == "rest"].without_labels())
    assert np.array_equal(method.matrix_, np.eye(3))
    first = windows.where(session=1)
    with pytest.warns(NotAdaptedWarning, match="did not make the other half more probable"):
        method.adapt(first.without_labels())  # the same session
    assert np.array_equal(method.matrix_, np.eye(3))


def test_adapt_begins_where_fit_or_calibrate_left_it(windows, fitted):
    later = mixed(windows.where(session=2), MIX)
    once = copy.deepcopy(fitted).adapt(later.without_labels())
    twice = copy.deepcopy(once).adapt(later.without_labels())
    np.testing.assert_array_equal(once.matrix_, twice.matrix_)
    known = copy.deepcopy(fitted).calibrate(later, later.y)
    base = known.matrix_
    known.adapt(later.without_labels())  # what calibrated it
    np.testing.assert_allclose(known.matrix_, base, rtol=0.1, atol=0.05)
    even_later = mixed(later, np.diag([2.0, 2.0, 2.0]))
    known.adapt(even_later.without_labels())
    np.testing.assert_allclose(2 * known.matrix_, base, rtol=0.2, atol=0.1)
    assert accuracy(known, even_later) > 0.9


def test_each_person_and_session_of_training_is_turned_to_the_same_mean(windows):
    second = mixed(windows.where(session=2), MIX)
    both = Windows.concatenate([windows.where(session=1), second])
    method = Recentred(METHODS.create("lda")).fit(both, both.y)
    assert accuracy(method, both) > 0.9
    frames = []
    for part in (windows.where(session=1), second):
        logs = log_covariances(part)
        frames.append(np.mean([logs[part.y == name].mean(axis=0) for name in method.classes_], axis=0))
    turned = mixed(second, expm(np.mean(frames, axis=0) / 2) @ expm(-frames[1] / 2))
    logs = log_covariances(turned)
    np.testing.assert_allclose(
        np.mean([logs[turned.y == name].mean(axis=0) for name in method.classes_], axis=0),
        np.mean(frames, axis=0),
        atol=0.15,
    )


def test_arrays_and_windows_give_the_same(windows, fitted):
    later = mixed(windows.where(session=2), MIX)
    a = copy.deepcopy(fitted).adapt(later.without_labels())
    np.testing.assert_allclose(a.predict_proba(later), a.predict_proba(np.asarray(later)), rtol=1e-3, atol=1e-5)


def test_it_is_a_method_of_recipes_and_refuses_what_it_cannot_do(windows):
    recordings = windows.recordings
    recipe = Recipe(
        "r", "own", CrossSession(("1",)), "recentred", {}, windowing=Windowing(200, 100), rest="keep",
        method_options={"classifier": "lda"}, transfer="adapt",
    )  # fmt: skip
    scores = evaluate(recipe, recordings)
    assert scores.summary["accuracy"]["mean"] > 0.9
    with pytest.raises(ConfigError, match="two or more channels"):
        Recentred(DummyClassifier()).fit(windows.split_channels(), windows.split_channels().y)
    fresh = Recentred(METHODS.create("lda")).fit(windows, windows.y)
    with pytest.raises(ConfigError, match="did not contain"):
        fresh.calibrate(windows[:4], np.array(["new"] * 4))


def on_a_ring(*recordings, contrast=1.0):
    """Windows of noise whose loud channels, on a ring of six, depend on the label; (seed, person, session, turn, gain)."""
    found = []
    for seed, person, session, turn, gain in recordings:
        label, repetition = np.tile(np.repeat(np.arange(4), 500), 4), np.repeat(np.arange(1, 5), 2000)
        size = 1.0 + contrast * (4.0 * np.eye(6)[:4] + 2.0 * np.eye(6)[[1, 3, 0, 2]])
        signal = np.random.default_rng(seed).normal(size=(6, len(label))) * size[label].T
        signal = (np.roll(signal, turn, axis=0) * np.broadcast_to(gain, 6)[:, None]).astype(np.float32)
        who = {"subject": person, "session": session, "repetition": repetition}
        found.append(Recording(signal, 500.0, label, label_names=tuple("abcd"), layout=Layout.ring(6), **who))
    return Windows.cut(found, Windowing(200, 50))


@pytest.fixture(scope="module")
def before():
    train = on_a_ring((0, "1", "1", 0, 1.0))
    return Recentred(METHODS.create("lda")).fit(train, train.y)


@pytest.fixture(scope="module")
def weak():
    """As `before`, but of classes that overlap: probabilities are neither 0 nor 1."""
    train = on_a_ring((0, "1", "1", 0, 1.0), contrast=0.08)
    return Recentred(METHODS.create("lda")).fit(train, train.y)


@pytest.mark.parametrize("turn", [1, 4])
@pytest.mark.parametrize("gain", [1.0, (2.0, 1.0, 0.6, 1.0, 1.0, 1.5)])
def test_a_rotated_armband_is_rotated_back(before, turn, gain):
    later = on_a_ring((1, "1", "2", turn, gain))
    assert accuracy(before, later) < 0.7
    unlabelled = copy.deepcopy(before).adapt(later.without_labels())
    assert accuracy(unlabelled, later) > 0.97
    # Up to the gains, the matrix exchanges the channels: its largest entry in each row is where the armband was turned from.
    assert (np.abs(unlabelled.matrix_).argmax(axis=1) == np.roll(np.arange(6), -turn)).all()
    first, rest = later.where(repetition=1), later[later.column("repetition") > 2]
    calibrated = copy.deepcopy(before).calibrate(first, first.y)
    assert accuracy(calibrated, rest) > 0.97
    assert accuracy(calibrated.adapt(rest.without_labels()), rest) > 0.97
    fixed = Recentred(METHODS.create("lda"), roll=False)
    train = on_a_ring((0, "1", "1", 0, 1.0))
    assert accuracy(fixed.fit(train, train.y).adapt(later.without_labels()), later) < 0.9


def test_people_whose_armbands_are_rotated_train_one_classifier():
    train = on_a_ring(*((10 + k, str(k), "1", k, 1.0 + k) for k in range(4)))
    new = on_a_ring((20, "9", "1", 5, 0.5))
    method = Recentred(METHODS.create("lda")).fit(train, train.y)
    assert accuracy(method, new) < 0.7
    assert accuracy(method.adapt(new.without_labels()), new) > 0.97


def test_few_movements_with_strong_evidence_for_a_rotation_only_rotate(before):
    later = on_a_ring((1, "1", "2", 2, 1.0))
    two = later[np.isin(later.y, ("a", "b"))]
    method = copy.deepcopy(before).adapt(two.without_labels())
    np.testing.assert_array_equal(method.matrix_, np.eye(6)[np.roll(np.arange(6), -2)])
    assert accuracy(method, later) > 0.97


def of_three(method, windows):
    """The log probabilities of the classifiers of a Recentred."""
    turned = mixed(windows, method.matrix_)
    found = [method.estimator_.predict_proba(turned), method.aligner_.predict_proba(windows)]
    found += [method.own_.predict_proba(turned)] if method.own_ is not None else []
    return [np.log(p + 1e-6) for p in found]


def together(logs, weights):
    product = np.prod([np.exp(w * log) for w, log in zip(weights, logs)], axis=0) ** (1 / sum(weights))
    return product / product.sum(axis=1, keepdims=True)


LOUDER = (2.0, 1.0, 0.6, 1.0, 1.0, 1.5)


@pytest.mark.filterwarnings("ignore::myograph.errors.LeakageWarning")
def test_the_classifiers_decide_together_by_the_weighted_mean_of_their_log_probabilities(weak):
    later = on_a_ring((1, "1", "2", 0, LOUDER), contrast=0.08)
    np.testing.assert_array_equal(weak.predict_proba(later), weak.estimator_.predict_proba(later))
    known = copy.deepcopy(weak).adapt(later.without_labels())
    np.testing.assert_allclose(known.predict_proba(later), together(of_three(known, later), (1, 0.1)), atol=1e-5)
    train = on_a_ring(*((10 + k, str(k), "1", 0, 1.0) for k in range(3)), contrast=0.08)
    new = Recentred(METHODS.create("lda")).fit(train, train.y).adapt(later.without_labels())
    np.testing.assert_allclose(new.predict_proba(later), together(of_three(new, later), (1, 0.1)), atol=1e-5)
    assert np.abs(new.predict_proba(later) - new.estimator_.predict_proba(mixed(later, new.matrix_))).max() > 0.05
    first = later.where(repetition=1)  # 1 s of each of four classes: five windows of 200 ms that do not overlap
    labelled = copy.deepcopy(weak).calibrate(first, first.y)
    logs = of_three(labelled, first)
    skill = [((labelled.classes_[log.argmax(axis=1)] == first.y).mean() - 0.25) / 0.75 for log in logs[:2]]
    assert 0.1 < min(skill) < 1
    weights = (skill[0] ** 2, 0.5 * skill[1] ** 2, 5 / 20)
    np.testing.assert_allclose(labelled.weights_, np.divide(weights, sum(weights)), rtol=0.05)
    expected = together(of_three(labelled, later), weights)
    np.testing.assert_allclose(labelled.predict_proba(later), expected, atol=0.02)
    own = METHODS.create("lda").fit(turned := mixed(first, labelled.matrix_), turned.y)
    np.testing.assert_allclose(own.predict_proba(turned), labelled.own_.predict_proba(turned), atol=1e-5)


def test_labels_count_more_than_a_classifier_that_is_wrong_on_them(before):
    """The movements of this person are those of training in another order, which no matrix changes back."""
    later = on_a_ring((1, "2", "1", 0, 1.0))
    swapped = later.with_columns(label=np.array(["b", "a", "d", "c"])[np.searchsorted(list("abcd"), later.y)])
    first, rest = swapped.where(repetition=1), swapped[swapped.column("repetition") > 2]
    assert accuracy(before, rest) < 0.1
    assert accuracy(copy.deepcopy(before).calibrate(first, first.y), rest) > 0.9
    train = on_a_ring((0, "1", "1", 0, 1.0))
    without = Recentred(Nearest()).fit(train, train.y).calibrate(first, first.y)
    assert accuracy(without, rest) < 0.6  # a classifier without probabilities has only the matrix
    two = first[np.isin(first.y, ("a", "b"))]
    some = copy.deepcopy(before).calibrate(two, two.y)
    assert some.own_ is None
    assert some.weights_[2] == 0
    assert np.isfinite(some.predict_proba(rest)).all()


def test_after_labels_that_are_not_recognised_unlabelled_windows_change_nothing(before):
    later = on_a_ring((1, "1", "2", 0, LOUDER))
    first, rest = later.where(repetition=1), later[later.column("repetition") > 2]
    method = copy.deepcopy(before).calibrate(first, np.random.default_rng(0).permutation(first.y))
    left = method.predict_proba(rest)
    with pytest.warns(NotAdaptedWarning, match="does not recognise those of the labelled windows"):
        method.adapt(rest.without_labels())
    np.testing.assert_array_equal(method.predict_proba(rest), left)
    method.calibrate(first, first.y)
    assert np.abs(method.adapt(rest.without_labels()).matrix_ - method.base_matrix_).max() > 0


def test_what_is_refused_leaves_the_decisions_of_fit_or_calibrate(weak):
    first = on_a_ring((1, "1", "2", 0, LOUDER), contrast=0.08).where(repetition=1)
    rest = on_a_ring((2, "1", "3", 0, (2.0, 1.2, 0.6, 1.4, 0.8, 1.5)), contrast=0.08)
    one = rest[rest.y == "a"].without_labels()
    for method in (copy.deepcopy(weak), copy.deepcopy(weak).calibrate(first, first.y)):
        left = method.predict_proba(rest)
        assert np.abs(method.adapt(rest.without_labels()).predict_proba(rest) - left).max() > 0.01
        with pytest.warns(NotAdaptedWarning):
            method.adapt(one)
        np.testing.assert_array_equal(method.predict_proba(rest), left)


def test_a_method_saved_by_an_earlier_version_decides_as_it_did(before):
    old = copy.deepcopy(before)
    for name in ("own_", "weights_", "base_weights_"):
        del old.__dict__[name]
    later = on_a_ring((1, "1", "2", 1, 1.0))
    np.testing.assert_array_equal(old.predict_proba(later), before.predict_proba(later))
    assert accuracy(old.adapt(later.without_labels()), later) > 0.97


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(
    "around",
    [
        lambda m: Recentred(Smoothed(m)),
        lambda m: Smoothed(Recentred(m)),
        lambda m: Recentred(Recentred(m)),
        lambda m: Recentred(AlignedLDA()),  # both read the same features, of other samples
    ],
)
def test_live_decisions_are_those_of_the_adapted_method(around, labelled, dtype, tmp_path):
    """The samples of a stream are mixed and rotated as well, and earlier windows count there too."""
    recordings = [r.with_signal(r.signal.astype(dtype)) for r in on_a_ring((0, "1", "1", 0, 1.0)).recordings]
    decoder = Decoder.fit(recordings, around(METHODS.create("lda")), windowing=Windowing(200, 50))
    test = on_a_ring((1, "1", "2", 2, (2.0, 1.0, 0.6, 1.0, 1.0, 1.5))).recordings[0]
    test = test.with_signal(test.signal.astype(dtype))
    unadapted = decoder.decide(test)
    windows, _ = every_window(Windows.cut(test), [np.ones(test.n_samples, bool)], Windowing(200, 50))
    if labelled:
        first = windows[windows.column("repetition") == 1]
        decoder.method.calibrate(first, first.y)
    decoder.method.adapt(windows.without_labels())
    live = decoder.decide(test)
    assert np.abs(live.proba - unadapted.proba).max() > 0.5
    np.testing.assert_allclose(live.proba, decoder.method.predict_proba(windows.without_labels()), atol=1e-4)
    again = Decoder.load(decoder.save(tmp_path / "decoder.myo"))
    np.testing.assert_array_equal(again.decide(test).proba, live.proba)
    for n_pieces in (37, 2100):
        stream = again.stream()
        pieces = [stream.push(part).proba for part in np.array_split(test.signal, n_pieces, axis=1)]
        np.testing.assert_array_equal(np.concatenate(pieces), live.proba)


def test_a_decoder_refuses_earlier_windows_that_it_could_not_use(windows):
    with pytest.raises(ConfigError, match="put Smoothed around the whole method instead"):
        Decoder.fit(windows.recordings, Calibrated(Smoothed(METHODS.create("lda"))), windowing=Windowing(200, 100))


@pytest.mark.parametrize(("name", "has"), [("lda", True), ("svm", False)])
def test_an_adapter_has_probabilities_if_its_classifier_has_before_and_after_fit(name, has, windows):
    first = windows.where(session=1)
    for adapter in (Recentred(METHODS.create(name)), SelfRecalibrating(METHODS.create(name), correction="mode")):
        assert hasattr(adapter, "predict_proba") == has
        assert hasattr(adapter.fit(first, first.y), "predict_proba") == has


def test_a_channel_without_signal_in_training_is_not_explained_by_a_rotation():
    for seed in range(3):
        train, test = on_a_ring((seed, "1", "1", 0, 1.0)), on_a_ring((seed + 50, "1", "2", 0, 1.0))
        dead = Windows([r.with_signal(r.signal * (np.arange(6) != 2)[:, None]) for r in train.recordings], train.table)
        method = Recentred(METHODS.create("lda")).fit(dead, dead.y)
        assert accuracy(method.adapt(test.without_labels()), test) > 0.95


def test_sessions_are_compared_over_the_classes_that_they_have():
    """One class is loud, and the second session has only that and another one; nothing else differs."""
    one, two = on_a_ring((0, "1", "1", 0, 1.0)), on_a_ring((1, "1", "2", 0, 1.0))
    loud = [r.with_signal(r.signal * np.where(r.label == 3, 6.0, 1.0)) for r in (*one.recordings, *two.recordings)]
    both = Windows.cut(loud, Windowing(200, 50))
    train = both[(both.column("session") == "1") | np.isin(both.y, ("c", "d"))]
    method = Recentred(METHODS.create("lda")).fit(train, train.y)
    third = on_a_ring((2, "1", "3", 0, 1.0)).recordings[0]
    test = Windows.cut(third.with_signal(third.signal * np.where(third.label == 3, 6.0, 1.0)), Windowing(200, 50))
    assert accuracy(method, test) > 0.97
    # A session that is the same but for its classes is hardly changed.
    half = method.means_[[2, 3]].mean(axis=0)
    logs = log_covariances(both)
    first = np.mean([logs[(both.column("session") == "1") & (both.y == k)].mean(axis=0) for k in ("c", "d")], axis=0)
    np.testing.assert_allclose(half, first, atol=0.1)


class Nearest(ClassifierMixin, BaseEstimator):
    """A user's own classifier: the class whose mean log variances are nearest."""

    def fit(self, X, y):
        rows = np.log(np.asarray(X).var(axis=2))
        self.classes_ = np.unique(y)
        self.means_ = np.stack([rows[np.asarray(y) == k].mean(axis=0) for k in self.classes_])
        return self

    def predict(self, X):
        rows = np.log(np.asarray(X).var(axis=2))
        return self.classes_[np.square(rows[:, None] - self.means_).sum(axis=2).argmin(axis=1)]


@pytest.mark.parametrize("protocol", [CrossSession(("1",)), LeaveOneSubjectOut()])
def test_it_is_evaluated_around_the_users_own_code(protocol):
    people = on_a_ring(*((10 * k + s, str(k), str(s), 0, 1.0 + s) for k in (1, 2) for s in (1, 2))).recordings
    recipe = Recipe("own", "own", protocol, Recentred(Nearest()), {}, windowing=Windowing(200, 50), transfer="adapt")
    assert evaluate(recipe, list(people)).summary["accuracy"]["mean"] > 0.9


def test_a_score_on_training_or_calibration_windows_gives_a_warning():
    train, later = on_a_ring((0, "1", "1", 0, 1.0), (1, "1", "2", 0, 2.0)), on_a_ring((2, "1", "3", 0, 1.5))
    method = Recentred(METHODS.create("smoothed", classifier="lda")).fit(train, train.y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method.predict(later)
    for windows in (train, later):
        method.calibrate(later, later.y)
        with pytest.warns(LeakageWarning):
            method.predict(windows)
        with pytest.warns(LeakageWarning):
            method.predict_proba(windows)
