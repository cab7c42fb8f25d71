from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from conftest import make_recording
from myograph import Recording, Windowing, Windows
from myograph.errors import ConfigError, ProtocolError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.methods import lda as windows_lda
from myograph.methods.adapt import (
    AdaBN,
    LDAMeans,
    PseudoLabel,
    SelfRecalibrating,
    median_over_neighbours,
    mode_over_neighbours,
)
from myograph.protocols import SessionStream
from myograph.testing import make_windows


def log_power(X):
    return np.log(np.asarray(X).var(axis=2) + 1e-6)


def lda():
    return make_pipeline(FunctionTransformer(log_power), LinearDiscriminantAnalysis(solver="lsqr"))


def drifting(n_sessions: int = 5, drift: float = 0.35) -> list[Recording]:
    """Each later session is louder on every channel than the one before, so a model of the first goes astray."""
    rng = np.random.default_rng(0)
    recordings = []
    for i in range(n_sessions):
        base = make_recording(rng, session=str(i + 1), n_labels=4, n_channels=4)
        gain = np.exp(drift * i * np.array([1.0, -1.0, 1.0, -1.0]))[:, None].astype(np.float32)
        recordings.append(base.with_signal(base.signal * gain))
    return recordings


def run(method, recordings, **protocol):
    recipe = Recipe("stream", "my own", SessionStream(**protocol), method, windowing=Windowing(100, 50))
    return evaluate(recipe, recordings)


def test_medians_by_hand():
    values = np.array([[0.1], [0.9], [0.2], [0.3], [1.0]])
    assert median_over_neighbours(values, 1)[:, 0].tolist() == pytest.approx([0.5, 0.2, 0.3, 0.3, 0.65])


def test_modes_by_hand():
    labels = np.array(list("aabacc"))
    assert mode_over_neighbours(labels, 1).tolist() == list("aaaacc")
    # A tie keeps its own label.
    assert mode_over_neighbours(np.array(list("ab")), 1).tolist() == list("ab")


def test_smoothing_equals_a_search_window_by_window():
    rng = np.random.default_rng(1)
    values, labels = rng.random((60, 3)), rng.choice(["x", "y", "z"], 60)
    for half in (1, 4, 10):
        medians = median_over_neighbours(values, half)
        modes = mode_over_neighbours(labels, half)
        for i in range(60):
            near = slice(max(i - half, 0), i + half + 1)
            np.testing.assert_allclose(medians[i], np.median(values[near], axis=0))
            names, counts = np.unique(labels[near], return_counts=True)
            assert counts[names == modes[i]] == counts.max()


def test_sessions_are_scored_before_they_are_learnt_from():
    seen = []

    class Spy(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            seen.append(("fit", sorted(set(X.table["session"]))))
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            seen.append(("predict", sorted(set(X.table["session"]))))
            return np.full(len(X), self.classes_[0])

        def adapt(self, X):
            assert set(X.y) == {"unknown"}
            seen.append(("adapt", sorted(set(X.table["session"]))))

    run(Spy(), drifting(3))
    assert seen == [("fit", ["1"]), ("predict", ["2"]), ("adapt", ["2"]), ("predict", ["3"])]


def test_no_label_can_be_reached_from_what_an_estimator_adapts_to():
    found = []

    class Spy(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.full(len(X), self.classes_[0])

        def adapt(self, X):
            found.extend(np.unique(r.label).tolist() for r in X.recordings)
            assert [r.signal.shape for r in X.recordings] == [r.signal.shape for r in recordings]
            of, start, stop = (int(X.column(name)[0]) for name in ("recording", "start", "stop"))
            here = np.s_[:, start:stop]
            assert np.array_equal(X.recordings[of].signal[here], recordings[of].signal[here])

    recordings = drifting(3)
    before = [r.label.copy() for r in recordings]
    run(Spy(), recordings)
    assert found == [[-1], [-1], [-1]]
    assert all(np.array_equal(r.label, b) for r, b in zip(recordings, before))


def test_recalibration_follows_a_drift_that_a_fixed_model_loses():
    recordings = drifting()
    accuracy = {}
    for name, method in {
        "none": SelfRecalibrating(lda(), "none"),
        "last": SelfRecalibrating(lda(), "last"),
        "all": SelfRecalibrating(lda(), "all"),
        "mode": SelfRecalibrating(lda(), "last", "mode"),
        "means": LDAMeans(lda(), rate=1.0),
    }.items():
        accuracy[name] = run(method, recordings).folds["accuracy"].to_numpy()
    assert accuracy["none"][-1] < 0.75
    for name in ("last", "mode", "means"):
        assert accuracy[name][-1] > 0.9, (name, accuracy)
    assert accuracy["all"][-1] > accuracy["none"][-1] + 0.1
    assert len({a[0] for a in accuracy.values()}) == 1  # nothing is learnt before the first score


def test_moved_means_equal_a_fit_on_the_new_session_when_all_is_recognised():
    recordings = drifting(2, drift=0.0)
    windows = [Windows.cut(r, Windowing(100, 50)) for r in recordings]
    moved = LDAMeans(lda(), rate=1.0).fit(windows[0], windows[0].y).adapt(windows[1])
    predicted = lda().fit(windows[0], windows[0].y).predict(windows[1])
    features = log_power(windows[1])
    expected = np.stack([features[predicted == name].mean(axis=0) for name in moved.classes_])
    np.testing.assert_allclose(moved.estimator_[-1].means_, expected)
    # lsqr's own rule: coef = C^-1 m, intercept = -m C^-1 m / 2 + log prior.
    model = moved.estimator_[-1]
    np.testing.assert_allclose(model.covariance_ @ model.coef_.T, expected.T, rtol=1e-6)


def test_pseudo_labels_take_only_sure_windows():
    recordings = drifting(3)
    windows = [Windows.cut(r, Windowing(100, 50)) for r in recordings]
    model = PseudoLabel(lda(), threshold=0.8).fit(windows[0], windows[0].y)
    sure = int((model.predict_proba(windows[1]).max(axis=1) >= 0.8).sum())
    model.adapt(windows[1])
    assert len(model.seen_[1][0]) == sure
    never_sure = make_pipeline(FunctionTransformer(log_power), DummyClassifier(strategy="prior"))
    model = PseudoLabel(never_sure, threshold=0.8).fit(windows[0], windows[0].y)
    assert len(model.adapt(windows[1]).seen_) == 1


def test_the_default_recalibration_keeps_the_labels_of_the_first_session():
    recordings = drifting(3)
    windows = [Windows.cut(r, Windowing(100, 50)) for r in recordings]
    by_default = SelfRecalibrating(lda()).fit(windows[0], windows[0].y).adapt(windows[1])
    given, corrected = by_default.seen_
    np.testing.assert_array_equal(given[1], windows[0].y)
    both = np.concatenate([log_power(windows[0]), log_power(windows[1])])
    refit = LinearDiscriminantAnalysis(solver="lsqr").fit(both, np.concatenate([given[1], corrected[1]]))
    np.testing.assert_array_equal(by_default.predict(windows[2]), refit.predict(log_power(windows[2])))


def test_corrections_follow_time_whatever_the_order_of_rows():
    windows = Windows.cut(drifting(1)[0], Windowing(100, 50))
    model = SelfRecalibrating(lda()).fit(windows, windows.y)
    shuffled = np.random.default_rng(0).permutation(len(windows))
    np.testing.assert_array_equal(model.correct(windows[shuffled]), model.correct(windows)[shuffled])


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        (SelfRecalibrating(lda(), half_width=-1), "half_width must be a whole number of at least 0"),
        (SelfRecalibrating(lda(), epochs=2.5), "epochs must be a whole number"),
        (PseudoLabel(lda(), threshold=90), "threshold must be a share"),
        (LDAMeans(lda(), rate="half"), "rate must be a share"),
    ],
)
def test_parameters_out_of_range_are_told(adapter, says):
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=says):
        adapter.fit(rng.standard_normal((8, 2, 20)), np.arange(8) % 2)


def test_what_does_not_fit_is_told():
    windows = Windows.cut(drifting(1)[0], Windowing(100, 50))
    with pytest.raises(ConfigError, match="none, all or last"):
        SelfRecalibrating(lda(), "some").fit(windows, windows.y)
    from sklearn.neighbors import KNeighborsClassifier

    other = make_pipeline(FunctionTransformer(log_power), KNeighborsClassifier())
    with pytest.raises(ConfigError, match="ends in LinearDiscriminantAnalysis"):
        LDAMeans(other).fit(windows, windows.y).adapt(windows)
    with pytest.raises(ProtocolError, match="has 1 sessions, SessionStream needs more than 1"):
        run(lda(), drifting(1))


def test_repetitions_may_stand_for_sessions():
    scores = run(lda(), drifting(1), by="repetition")
    assert scores.folds["fold"].tolist() == [f"subject 1, repetition {i}" for i in range(2, 7)]
    assert scores.info["audit"][0]["claims"] == []


class Mean(BaseEstimator):
    """Takes the first session's mean off; counts how often it was fitted."""

    fits = 0

    def fit(self, X, y=None):
        Mean.fits += 1
        self.mean_ = log_power(X).mean(axis=0)
        return self

    def transform(self, X):
        return log_power(X) - self.mean_


@pytest.mark.parametrize("policy", ["last", "all"])
def test_steps_before_the_classifier_stay_as_the_first_session_taught_them(policy):
    windows = [Windows.cut(r, Windowing(100, 50)) for r in drifting(3)]
    Mean.fits = 0
    pipeline = make_pipeline(Mean(), LinearDiscriminantAnalysis(solver="lsqr"))
    model = SelfRecalibrating(pipeline, policy).fit(windows[0], windows[0].y)
    first = model.estimator_[0].mean_
    corrected = model.correct(windows[1])
    model.adapt(windows[1])
    assert Mean.fits == 1
    np.testing.assert_array_equal(model.estimator_[0].mean_, first)
    parts, y = [log_power(windows[1]) - first], corrected
    if policy == "all":
        parts, y = [log_power(windows[0]) - first, *parts], np.concatenate([windows[0].y, corrected])
    expected = LinearDiscriminantAnalysis(solver="lsqr").fit(np.concatenate(parts), y)
    np.testing.assert_allclose(model.estimator_[-1].coef_, expected.coef_)


def test_a_network_at_the_end_of_a_pipeline_is_fine_tuned_not_begun_anew():
    from sklearn.linear_model import SGDClassifier

    windows = [Windows.cut(r, Windowing(100, 50)) for r in drifting(2)]
    pipeline = make_pipeline(Mean(), SGDClassifier(loss="log_loss", random_state=0))
    model = SelfRecalibrating(pipeline, "last", epochs=3).fit(windows[0], windows[0].y)
    last = model.estimator_[-1]
    steps = last.t_
    model.adapt(windows[1])
    assert model.estimator_[-1] is last
    assert last.t_ == steps + 3 * len(windows[1])


def test_batch_norm_adapts_at_the_end_of_a_pipeline_as_it_does_alone():
    from sklearn.base import TransformerMixin

    from myograph.training.estimator import NeuralClassifier

    class Same(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return np.asarray(X)

        def __sklearn_is_fitted__(self):
            return True

    windows = [Windows.cut(r, Windowing(100, 50)) for r in drifting(2)]
    network = NeuralClassifier("myonet", epochs=1, device="cpu")
    alone = AdaBN(network).fit(windows[0], windows[0].y)
    before = alone.predict_proba(windows[1])
    piped = AdaBN(make_pipeline(Same(), network)).fit(windows[0], windows[0].y)
    expected = alone.adapt(windows[1]).predict_proba(windows[1])
    np.testing.assert_array_equal(piped.adapt(windows[1]).predict_proba(windows[1]), expected)
    assert np.abs(expected - before).max() > 1e-3


def test_a_classifier_without_probabilities_is_refused_before_it_is_scored():
    from sklearn.svm import LinearSVC

    windows = Windows.cut(drifting(1)[0], Windowing(100, 50))
    plain = make_pipeline(Mean(), LinearSVC())
    for adapter in (SelfRecalibrating(plain), PseudoLabel(plain)):
        with pytest.raises(ConfigError, match="LinearSVC has no predict_proba"):
            adapter.fit(windows, windows.y)
    SelfRecalibrating(plain, "last", "mode").fit(windows, windows.y).adapt(windows)


def test_learning_from_windows_warns_of_no_leakage():
    windows = make_windows(n_sessions=2)
    first, second = windows.where(session=1), windows.where(session=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SelfRecalibrating(windows_lda(), half_width=2).fit(first, first.y).adapt(second)
