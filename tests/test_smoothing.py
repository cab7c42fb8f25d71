"""`Smoothed` reads earlier windows, and nothing else: of the recording, not of the given rows; live as offline; honestly."""

import dataclasses

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from myograph import KFoldRepetitions, Recipe, Recording, Windowing, Windows, WithinSubject, evaluate
from myograph.errors import ConfigError, LeakageError, LeakageWarning
from myograph.evaluation.continuous import every_window
from myograph.evaluation.sealed import sealed, sealer
from myograph.features.transformer import Features
from myograph.live.decoder import Decoder
from myograph.methods import METHODS, Smoothed, lda
from myograph.methods.smoothing import averaged
from myograph.protocols import Protocol
from myograph.testing import make_recording

RATE = 1000


class Level(ClassifierMixin, BaseEstimator):
    """Its probability of "b" is the mean of the window's first channel, so that every expectation is known by hand."""

    def fit(self, X, y):
        self.classes_ = np.array(["a", "b"])
        return self

    def predict_proba(self, X):
        b = np.asarray(X)[:, 0].mean(axis=1)
        return np.stack([1 - b, b], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def levels(*per_100_ms, breaks=(), size=0.5):
    """100 samples per level; the second channel keeps the amplitude of every window the same."""
    b = np.repeat(per_100_ms, 100).astype(float)
    signal = np.stack([b, 2 * size - b])
    return Recording(signal, RATE, np.zeros(len(b), int), "1", breaks=breaks, label_names=("a",))


def cut(recording, step=100):
    return Windows.cut(recording, Windowing(100, step))


def fitted(windows, **settings):
    return Smoothed(Level(), **settings).fit(windows, windows.y)


def softmax_of_mean(p, n):
    """By hand: the log odds are averaged, and multiplied by n^0.1."""
    odds = np.log(np.asarray(p) / (1 - np.asarray(p))).mean() * n**0.1
    return 1 / (1 + np.exp(-odds))


def test_log_odds_of_equally_strong_windows_are_averaged():
    windows = cut(levels(0.2, 0.6, 0.7))
    b = fitted(windows, past_ms=200).predict_proba(windows)[:, 1]
    expected = [0.2, softmax_of_mean([0.2, 0.6], 2), softmax_of_mean([0.2, 0.6, 0.7], 3)]
    np.testing.assert_allclose(b, expected, atol=1e-4)


@pytest.mark.parametrize(("past_ms", "n"), [(0, 1), (99, 1), (100, 2), (250, 3), (1000, 5)])
def test_past_ms_says_how_many_windows_count(past_ms, n):
    p = [0.9, 0.3, 0.6, 0.7, 0.2]
    windows = cut(levels(*p))
    last = fitted(windows, past_ms=past_ms).predict_proba(windows[4:])[0, 1]
    assert last == pytest.approx(softmax_of_mean(p[5 - n :], n), abs=1e-4)


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_a_window_of_another_amplitude_counts_less_before_a_start_and_before_an_end(ratio):
    proba = np.array([[[0.4, 0.6], [0.9, 0.1]]])
    weight = 0.5**4
    odds = (np.log(0.6 / 0.4) + weight * np.log(0.1 / 0.9)) / (1 + weight) * (1 + weight) ** 0.1
    found = averaged(proba, np.array([[1.0, ratio]]))
    assert found[0, 1] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-4)


def test_earlier_windows_come_from_the_recording_not_from_the_given_rows():
    windows = Windows.cut(make_recording(n_classes=3), Windowing(200, 50))
    method = Smoothed(lda()).fit(windows, windows.y)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(windows))[:20]
    with pytest.warns(LeakageWarning):
        np.testing.assert_allclose(method.predict_proba(windows[rows]), method.predict_proba(windows)[rows], atol=1e-9)


def test_nothing_is_read_across_a_break_or_another_recording():
    one = cut(levels(0.9, 0.9, 0.3, breaks=(200,)))
    method = fitted(one)
    assert method.predict_proba(one[2:])[0, 1] == pytest.approx(0.3, abs=1e-4)
    both = Windows.cut([levels(0.9, 0.9), levels(0.3, 0.8)], Windowing(100, 100))
    assert method.predict_proba(both[2:3])[0, 1] == pytest.approx(0.3, abs=1e-4)


def test_later_samples_change_nothing():
    windows = cut(levels(0.2, 0.6, 0.7, 0.1))
    other = cut(levels(0.2, 0.6, 0.7, 0.9))
    method = fitted(windows)
    np.testing.assert_array_equal(method.predict_proba(windows)[:3], method.predict_proba(other)[:3])


def test_arrays_and_windows_too_far_apart_are_decided_by_the_classifier():
    windows = cut(levels(0.2, 0.6, 0.7))
    method = fitted(windows)
    np.testing.assert_array_equal(method.predict_proba(np.asarray(windows)), Level().predict_proba(windows))
    apart = cut(levels(*[0.2, 0.6, 0.7] * 6), step=600)
    np.testing.assert_array_equal(fitted(apart).predict_proba(apart), Level().predict_proba(apart))
    on_arrays = Smoothed(Level()).fit(np.asarray(windows), windows.y)
    np.testing.assert_array_equal(on_arrays.predict_proba(windows), Level().predict_proba(windows))


def test_single_channels_have_a_past_of_their_own():
    recording = levels(0.2, 0.6, 0.7)
    windows = cut(recording).split_channels()
    found = fitted(windows).predict_proba(windows)[:, 1]
    channel = windows.column("channel")
    np.testing.assert_allclose(found[channel == 0][1], _weighted([0.6, 0.2]), atol=1e-4)
    np.testing.assert_allclose(found[channel == 1][1], _weighted([0.4, 0.8]), atol=1e-4)


def _weighted(p):
    """Here the amplitude of a window is its level itself."""
    weight = np.array([1.0, (min(p) / max(p)) ** 4])
    odds = (weight * np.log(np.array(p) / (1 - np.array(p)))).sum() / weight.sum() * weight.sum() ** 0.1
    return 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize("rate_hz", [1000.0, 2048.0])
def test_live_equals_offline(tmp_path, rate_hz):
    train, test = (make_recording(n_classes=3, rate_hz=rate_hz, seed=seed) for seed in (1, 2))
    test = dataclasses.replace(test, breaks=(test.n_samples // 2,))
    decoder = Decoder.fit(train, "smoothed", windowing=Windowing(200, 50), classifier="lda")
    live = decoder.decide(test)
    windows, _ = every_window(Windows.cut(test), [np.ones(test.n_samples, bool)], Windowing(200, 50))
    np.testing.assert_allclose(decoder.method.predict_proba(windows.without_labels()), live.proba, atol=1e-9)
    inner = decoder.method.estimator_.predict_proba(windows)
    assert np.abs(inner - live.proba).max() > 0.01  # smoothing changes something here
    again = Decoder.load(decoder.save(tmp_path / "decoder.myo")).decide(test)
    np.testing.assert_array_equal(again.proba, live.proba)


@pytest.fixture(scope="module")
def in_a_row():
    """Noise; the repetitions of each gesture follow each other without rest, so a neighbour has the same label."""
    rng = np.random.default_rng(3)
    label, repetition = np.repeat(np.arange(3), 6 * 1500), np.tile(np.repeat(np.arange(1, 7), 1500), 3)
    signal = rng.normal(size=(4, len(label)))
    return [Recording(signal, RATE, label, "1", repetition=repetition, label_names=("x", "y", "z"))]


class Memory(ClassifierMixin, BaseEstimator):
    """Knows the training windows by heart, and all others not at all: what a score of it shows is leakage."""

    def fit(self, X, y):
        self.classes_, self.code_ = np.unique(y, return_inverse=True)
        self.known_ = {np.ascontiguousarray(x[:, 50:60]).tobytes(): c for x, c in zip(np.asarray(X), self.code_)}
        return self

    def predict_proba(self, X):
        n = len(self.classes_)
        proba = np.full((len(X), n), 1 / n)
        for row, x in enumerate(np.asarray(X)):
            code = self.known_.get(np.ascontiguousarray(x[:, 50:60]).tobytes())
            if code is not None:
                proba[row] = np.where(np.arange(n) == code, 0.98, 0.02 / (n - 1))
        return proba

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_training_windows_that_would_be_read_for_a_test_window_are_left_out(in_a_row):
    recipe = Recipe("memory", "noise", WithinSubject((2, 5)), Smoothed(Memory()), windowing=Windowing(200, 50))
    scores = evaluate(recipe, in_a_row)
    bare = evaluate(dataclasses.replace(recipe, method=Memory()), in_a_row)
    assert scores.folds["n_train"][0] < bare.folds["n_train"][0]
    # Nothing is remembered, so the first class is always predicted; a memory that reached the test would score far above.
    assert scores.folds["accuracy"][0] == pytest.approx(1 / 3, abs=0.01)


def test_without_the_reach_the_memory_would_show(in_a_row):
    windows = Windows.cut(in_a_row, Windowing(200, 50))
    train, test = windows.where(repetition=(1, 3, 4, 6)), windows.where(repetition=(2, 5))
    method = Smoothed(Memory()).fit(train, train.y)
    assert (method.predict(test) == test.y).mean() > 0.45


class Careless(Protocol):
    """Splits by repetition, and ignores how far a method or a filter reaches."""

    def folds(self, windows):
        table = windows.table
        test = np.isin(table["repetition"], (2, 5))
        from myograph.protocols import Fold

        yield Fold("careless", np.flatnonzero(~test), np.flatnonzero(test), np.zeros(0, int))


def test_the_audit_refuses_a_split_that_ignores_the_reach(in_a_row):
    with pytest.raises(LeakageError, match="a method that reads earlier windows, with a reach of 500 samples"):
        evaluate(Recipe("r", "noise", Careless(), Smoothed(lda()), windowing=Windowing(200, 50)), in_a_row)
    assert evaluate(Recipe("r", "noise", Careless(), lda(), windowing=Windowing(200, 50)), in_a_row).folds["n_test"][0]


def test_the_users_classifier_sees_the_past_of_its_windows_and_no_other_samples():
    windows = cut(levels(*np.linspace(0.1, 0.9, 12)))
    hidden = sealer(Smoothed(Level(), past_ms=300))(windows[[8]]).recordings[0].signal[0]
    assert np.flatnonzero(np.isfinite(hidden)).tolist() == list(range(500, 900))
    assert np.isfinite(sealed(windows[[8]]).recordings[0].signal[0]).sum() == 100
    broken = cut(levels(*np.linspace(0.1, 0.9, 12), breaks=(700,)))
    hidden = sealer(Smoothed(Level(), past_ms=300))(broken[[8]]).recordings[0].signal[0]
    assert np.flatnonzero(np.isfinite(hidden)).tolist() == list(range(700, 900))


def test_a_users_classifier_is_evaluated_like_one_of_ours():
    recording = make_recording(n_classes=3, n_repetitions=4)
    recipe = Recipe("own", "mine", KFoldRepetitions(2), Smoothed(make_pipeline(Features(("RMS",)), GaussianNB())))
    inside = type("Own", (GaussianNB,), {"__module__": __name__})
    own = dataclasses.replace(recipe, method=Smoothed(make_pipeline(Features(("RMS",)), inside())))
    np.testing.assert_array_equal(
        evaluate(recipe, [recording]).predictions["y_pred"], evaluate(own, [recording]).predictions["y_pred"]
    )


def test_brief_errors_within_a_movement_are_corrected_and_its_start_is_not_delayed():
    rng = np.random.default_rng(5)
    label = np.tile(np.repeat([0, 1, 0, 2], 1500), 6)
    scale = np.array([[0.2, 0.2, 0.2], [1.0, 0.75, 0.9], [0.75, 1.0, 0.9]])[label].T
    slow = np.repeat(1 + 0.3 * rng.normal(size=(3, len(label) // 100)), 100, axis=1)  # effort that changes every 100 ms
    repetition = np.repeat(np.arange(6), 6000) + 1
    signal = scale * np.abs(slow) * rng.normal(size=scale.shape)
    recording = Recording(signal, RATE, label, "1", repetition=repetition, label_names=("rest", "x", "y"))
    scored = {}
    for name, method in (("bare", lda()), ("smoothed", Smoothed(lda()))):
        recipe = Recipe("r", "mine", WithinSubject((2, 4, 6)), method, windowing=Windowing(200, 50), rest="keep")
        made = evaluate(recipe, [recording]).predictions
        moving = made["y_true"] != "rest"
        scored[name] = [(made["y_true"] == made["y_pred"])[rows].mean() for rows in (moving, ~moving)]
    assert scored["smoothed"][0] > scored["bare"][0] + 0.02
    assert scored["smoothed"][1] > scored["bare"][1] - 0.01


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"past_ms": -1}, "past_ms must be a number of milliseconds, 0 or more, got -1"),
        ({"past_ms": float("nan")}, "past_ms must be a number"),
        ({"past_ms": "long"}, "past_ms must be a number"),
        ({"estimator": LinearSVC()}, "LinearSVC has no predict_proba"),
    ],
)
def test_errors_say_what_was_given(settings, error):
    windows = cut(levels(0.2, 0.6, 0.7))
    with pytest.raises(ConfigError, match=error):
        Smoothed(**{"estimator": Level(), **settings}).fit(windows, windows.y)


def test_adapters_can_be_smoothed_and_other_methods_do_not_claim_to_adapt():
    assert hasattr(METHODS.create("smoothed", classifier="aligned_lda"), "adapt")
    assert hasattr(METHODS.create("smoothed", classifier="aligned_lda"), "calibrate")
    assert not hasattr(METHODS.create("smoothed"), "adapt")


def test_a_score_says_that_earlier_windows_were_used():
    recordings = [make_recording(n_classes=3, n_repetitions=4)]
    said = [
        evaluate(Recipe("r", "mine", KFoldRepetitions(2), method), recordings).notes
        for method in (METHODS.create("smoothed", classifier="lda", past_ms=250), "lda")
    ]
    assert ["250 ms before" in " ".join(notes) for notes in said] == [True, False]
