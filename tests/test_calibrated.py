"""Calibrated probabilities: what is held out, what is learnt from it, and whether confidence then equals accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB

from conftest import make_recording
from myograph import Windowing, Windows
from myograph.errors import ConfigError
from myograph.evaluation.metrics import calibration_error
from myograph.live.decoder import Decoder
from myograph.methods import Calibrated, CalibratedLDA, lda, lda_svm
from myograph.methods._held_out import every_nth, held_out_folds, held_out_proba
from myograph.methods.calibrated import fit_temperature
from myograph.testing import make_windows


def too_sure(rng, n, copies=6):
    """Two classes and one feature that stands there several times, which naive Bayes counts as often."""
    y = rng.integers(0, 2, n)
    return np.repeat(rng.normal(size=(n, 1)) + y[:, None], copies, axis=1), y


def error(model, x, y):
    proba = model.predict_proba(x)
    return calibration_error(model.classes_[proba.argmax(axis=1)] == y, proba.max(axis=1))


def test_confidence_equals_accuracy_where_naive_bayes_is_far_too_sure():
    rng = np.random.default_rng(0)
    x, y = too_sure(rng, 4000)
    other, truth = too_sure(rng, 4000)
    plain, calibrated = GaussianNB().fit(x, y), Calibrated(GaussianNB()).fit(x, y)
    assert error(plain, other, truth) > 0.1
    assert error(calibrated, other, truth) < 0.03
    np.testing.assert_array_equal(calibrated.predict(other), plain.predict(other))
    np.testing.assert_array_equal(
        calibrated.predict_proba(other).argmax(axis=1), plain.predict_proba(other).argmax(axis=1)
    )
    np.testing.assert_allclose(calibrated.predict_proba(other).sum(axis=1), 1)


def test_a_method_that_learnt_noise_by_heart_says_that_it_guesses():
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 2)), rng.integers(0, 2, 2000)
    confidence = Calibrated(KNeighborsClassifier(1)).fit(x, y).predict_proba(rng.normal(size=(500, 2))).max(axis=1)
    assert confidence.mean() < 0.55


def test_whole_repetitions_are_held_out_and_never_the_first_or_last():
    windows = make_windows(n_repetitions=7, n_sessions=2)
    fold = held_out_folds(windows, np.unique(windows.y, return_inverse=True)[1])
    repetition = windows.column("repetition")
    found = {r: set(fold[repetition == r].tolist()) for r in range(1, 8)}
    assert found == {1: {-1}, 2: {0}, 3: {1}, 4: {2}, 5: {3}, 6: {0}, 7: {-1}}


def test_of_few_repetitions_each_is_held_out():
    windows = make_windows(n_repetitions=2)
    fold = held_out_folds(windows, np.unique(windows.y, return_inverse=True)[1])
    np.testing.assert_array_equal(fold, windows.column("repetition") - 1)


@pytest.mark.parametrize(("shrinkage", "near"), [(None, 1e-9), (0.3, 1e-9), ("auto", 0.02)])
def test_a_discriminant_is_held_out_as_if_it_had_been_fitted_again(shrinkage, near):
    """With "auto" the shrinkage is that of all windows, so it is nearly the same."""
    rng = np.random.default_rng(1)
    code = np.repeat(np.arange(3), 800)
    x = rng.normal(size=(2400, 4)) @ rng.normal(size=(4, 4)) + code[:, None]
    fold = held_out_folds(x, code)
    model = CalibratedLDA(solver="lsqr", shrinkage=shrinkage).fit(x, code)
    model.temperature_ = 1.0
    found = held_out_proba(model, x, code, fold, 3)
    again = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    for f in (0, 1):
        expected = again.fit(x[fold != f], code[fold != f]).predict_proba(x[fold == f])
        np.testing.assert_allclose(found[fold == f], expected, atol=near)
    assert np.isnan(found[fold < 0]).all()


def test_a_class_that_is_nowhere_else_is_not_held_out():
    code = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    fold = np.array([0, 0, 1, 1, 0, 0, 1, 1, 0, 0])
    x = np.random.default_rng(0).normal(size=(10, 2)) + code[:, None]
    for model in (CalibratedLDA(solver="lsqr", shrinkage=0.5), GaussianNB()):
        proba = held_out_proba(model.fit(x, code), x, code, fold, 3)
        assert np.isnan(proba[code == 2]).all()
        assert np.isfinite(proba[code < 2]).all()


def test_windows_without_a_second_repetition_leave_probabilities_as_they_are():
    x, y = np.array([[0.0], [1.0], [0.1], [1.1]]), np.array([0, 1, 0, 1])
    method = Calibrated(GaussianNB()).fit(x, y)
    assert (method.temperature_, method.power_) == (1.0, 1.0)
    np.testing.assert_allclose(method.predict_proba(x), GaussianNB().fit(x, y).predict_proba(x), atol=1e-9)


def test_mean_confidence_is_the_share_of_right_windows():
    rng = np.random.default_rng(0)
    scores = 20 * rng.normal(size=(900, 4))
    code = np.where(rng.random(900) < 0.7, scores.argmax(axis=1), rng.integers(0, 4, 900))
    divided = scores / fit_temperature(scores, code)
    share = np.exp(divided - divided.max(axis=1, keepdims=True))
    confidence = (share / share.sum(axis=1, keepdims=True)).max(axis=1)
    right = (scores.argmax(axis=1) == code).mean()
    assert abs(confidence.mean() - right) < 0.002


def test_without_probabilities_nothing_can_be_calibrated():
    x, y = np.zeros((8, 1)), np.arange(8) % 2
    with pytest.raises(ConfigError, match="RidgeClassifier has none"):
        Calibrated(RidgeClassifier()).fit(x, y)
    with pytest.raises(ConfigError, match="only the class"):
        Calibrated(DummyClassifier()).fit(x, np.zeros(8))
    with pytest.raises(ConfigError, match="lsqr"):
        CalibratedLDA().fit(x, y)


def test_support_vector_machines_learn_from_every_third_of_windows_that_overlap_five_times():
    recording = make_recording(np.random.default_rng(0), n_per_run=900, n_repetitions=2)
    windows = Windows.cut(recording, Windowing(250, 50))
    model = lda_svm().fit(windows, windows.y)
    code = np.unique(windows.y, return_inverse=True)[1]
    learnt = model.named_estimators_["kernel"][-1].shape_fit_[0]
    assert learnt == every_nth(code, 3).sum() < len(windows) / 2


@pytest.mark.parametrize("method", [lda(), lda_svm(), Calibrated(lda("MAV"))])
def test_a_saved_decoder_gives_the_same_calibrated_probabilities(method, tmp_path):
    recording = make_recording(np.random.default_rng(0), n_per_run=300, n_repetitions=5)
    decoder = Decoder.fit(recording, method)
    loaded = Decoder.load(decoder.save(tmp_path / "a.myo"))
    stream = loaded.stream()
    parts = [stream.push(recording.signal[:, i : i + 77]) for i in range(0, recording.n_samples, 77)]
    found = np.concatenate([p.proba for p in parts])
    np.testing.assert_array_equal(found, decoder.decide(recording).proba)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_product_that_an_earlier_version_saved_is_not_calibrated():
    windows = make_windows(n_repetitions=4)
    model = lda_svm().fit(windows, windows.y)
    shares = [np.array([[0.9, 0.1]])] * 4
    assert model.log_product(shares)[0, 0] == 0
    del model.temperature_, model.power_
    np.testing.assert_allclose(model.log_product(shares), 4 * np.log([[0.901, 0.101]]))
