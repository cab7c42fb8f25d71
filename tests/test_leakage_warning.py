"""A method of ours, or `audited(...)`, warns when it is asked about windows that share with those it was fitted on."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from conftest import make_recording
from myograph import (
    CrossSession,
    Features,
    KFoldRepetitions,
    LeakageWarning,
    LeaveOneSubjectOut,
    NeuralClassifier,
    PooledSubjects,
    Recording,
    Windowing,
    Windows,
    WithinSubject,
    audited,
)
from myograph._common.seen import Seen, fingerprint
from myograph.audit import audit
from myograph.features.images import ChannelPCA, Spectrogram
from myograph.features.tangent import TangentSpace
from myograph.live import Decoder
from myograph.methods import METHODS
from myograph.methods.adapt import SelfRecalibrating
from myograph.preprocessing import LowPass
from myograph.protocols import LastRepetitions, SessionStream

CUT = Windowing(100, 25)
HONEST = [
    WithinSubject((2, 5)),
    KFoldRepetitions(3),
    PooledSubjects(0.3, 2),
    LastRepetitions(0.3),
    LeaveOneSubjectOut(),
    LeaveOneSubjectOut(calibration=0.4),
    CrossSession(),
    SessionStream(),
]


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(0)
    recordings = [make_recording(rng, subject=s, session=t, n_per_run=60) for s in "ab" for t in ("1", "2")]
    return Windows.cut(recordings, CUT)


def log_power(X):
    return np.log(np.asarray(X).var(axis=2))


def theirs():
    return audited(make_pipeline(FunctionTransformer(log_power), LinearDiscriminantAnalysis()))


def network():
    return NeuralClassifier("tsinganos", epochs=1, device="cpu")


def warned(call):
    """The texts of the LeakageWarnings that a call gives."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in said if issubclass(one.category, LeakageWarning)]


@pytest.mark.parametrize("make", [lambda: METHODS.create("lda"), theirs], ids=["lda", "audited"])
@pytest.mark.parametrize("protocol", HONEST, ids=str)
def test_honest_protocols_do_not_warn(windows, protocol, make):
    assert not warned(lambda: cross_validate(make(), windows, windows.y, cv=protocol))


METHODS_OF_OURS = {
    "lda": lambda: METHODS.create("lda"),
    "default": lambda: METHODS.create("smoothed"),
    "audited": theirs,
    "network": network,
    "tangent": lambda: make_pipeline(TangentSpace(), LinearDiscriminantAnalysis()),
    "images": lambda: make_pipeline(
        Spectrogram(segment_ms=60, hop_ms=20, highest_hz=90), ChannelPCA(3, placement="flat"), LogisticRegression()
    ),
    "pca": lambda: make_pipeline(ChannelPCA(3, placement="flat"), LogisticRegression()),
    "recalibrating": lambda: SelfRecalibrating(METHODS.create("lda")),
    "vote": lambda: VotingClassifier([("a", METHODS.create("lda"))]),
}


@pytest.mark.parametrize("cv", [5, KFold(5), StratifiedKFold(5, shuffle=True, random_state=0)], ids=str)
@pytest.mark.parametrize("name", METHODS_OF_OURS)
def test_scikit_learns_splitters_warn_in_every_fold(windows, name, cv):
    few = windows.where(subject="a")
    said = warned(lambda: cross_validate(METHODS_OF_OURS[name](), few, few.y, cv=cv, error_score="raise"))
    assert len(said) >= 5
    assert all("AuditedSplit(cv) raises an error instead" in text for text in said)


def test_the_counts_are_those_of_the_audit(windows):
    for train, test in KFold(4, shuffle=True, random_state=1).split(np.arange(len(windows))):
        train = train[train % 9 == 0]
        found = audit(windows, train, test, leaky=True)
        samples, repetition = Seen.of(windows[train]).shared_by(windows[test])
        assert (int(samples.sum()), int(repetition.sum())) == (found.n_sharing_samples, found.n_sharing_repetition)
        assert 0 < found.n_sharing_samples < len(test)


def test_the_message_says_how_many_share_what_and_where(windows):
    table = windows.table
    train = np.flatnonzero((table["subject"] == "b") & (table["repetition"] != 4) & (table["session"] == "2"))
    one = np.flatnonzero((table["subject"] == "b") & (table["repetition"] == 4) & (table["session"] == "2"))
    method = METHODS.create("lda").fit(windows[np.append(train, one[0])], windows.y[np.append(train, one[0])])
    (said,) = warned(lambda: method.predict(windows[one]))
    overlapped = int((table["start"].iloc[one] < table["stop"].iloc[one[0]]).sum())
    assert f"{overlapped} of {len(one)} windows share samples with" in said
    assert f"and {len(one)} share a repetition with them (the first: subject b, session 2, repetition 4)" in said
    with pytest.warns(LeakageWarning) as caught:
        method.predict(windows[one])
    assert caught[0].filename == __file__


@pytest.mark.parametrize("make", [lambda: METHODS.create("lda"), theirs, network], ids=["lda", "audited", "network"])
def test_the_windows_of_fit_themselves_warn_and_arrays_do_not(windows, make):
    """A score over them is a training score, which `fit(w).score(w)` does not say."""
    few = windows.where(subject="a", session="1")
    method = make().fit(few, few.y)
    assert len(warned(lambda: method.score(few, few.y))) == 1
    assert len(warned(lambda: pickle.loads(pickle.dumps(method)).predict(few))) == 1
    assert not warned(lambda: method.predict(few.batch()))
    assert not warned(lambda: clone(method).fit(few.batch(), few.y).predict(few))
    assert not warned(lambda: make().fit(few, few.y))


def test_calibration_windows_warn_and_the_test_windows_beside_them_do_not(windows):
    fold = next(LeaveOneSubjectOut(calibration=0.4).folds(windows))
    method = METHODS.create("lda").fit(windows[fold.train], windows.y[fold.train])
    calibration = np.flatnonzero(windows.groups[fold.train] == "a")
    assert len(calibration)
    assert len(warned(lambda: method.predict(windows[fold.train[calibration]]))) == 1
    assert not warned(lambda: method.predict(windows[fold.test]))


def test_features_without_labels_are_no_method(windows):
    features = Features(["MAV", "WL"])
    assert not warned(lambda: features.fit(windows).transform(windows))
    assert not warned(lambda: features.fit_transform(windows))
    assert not warned(lambda: features.fit_transform(windows, windows.y))


def test_a_copy_under_another_name_is_found_and_another_persons_recording_is_not(windows):
    recording = windows.recordings[0]
    train = Windows.cut(recording, CUT)
    method = METHODS.create("lda").fit(train, train.y)
    twin = Recording(
        recording.signal.copy(), recording.rate_hz, recording.label, "c", label_names=recording.label_names
    )
    (said,) = warned(lambda: method.predict(Windows.cut(twin, CUT)))
    assert f"{len(train)} of {len(train)} windows share samples" in said
    assert "and 0 share a repetition" in said
    # The names are those of another study: they say nothing.
    stranger = make_recording(np.random.default_rng(9), subject="a", session="1", n_per_run=60)
    assert not warned(lambda: method.predict(Windows.cut(stranger, CUT)))
    assert fingerprint(stranger) != fingerprint(recording)


def test_windows_within_the_reach_of_the_filters_warn():
    recording = make_recording(np.random.default_rng(0), n_per_run=60)
    windows = Windows.cut(LowPass(2.0).apply(recording), Windowing(100, 100))
    (reach,) = {r.reach_samples for r in windows.recordings}
    position = np.arange(len(windows))
    seen = Seen.of(windows[position < 6])
    shared = seen.shared_by(windows)[0]
    stop = windows.column("stop")[5]
    assert reach > 20
    np.testing.assert_array_equal(shared, windows.column("start") < stop + reach)
    whole = Windows.cut(recording, Windowing(100, 100))
    assert Seen.of(whole[position < 6]).shared_by(whole)[0].sum() == 6


def test_a_filter_carries_nothing_over_a_break():
    recording = make_recording(np.random.default_rng(0), n_per_run=60)
    broken = copy.copy(recording)
    object.__setattr__(broken, "breaks", (60, 120))
    windows = Windows.cut(LowPass(2.0).apply(broken), Windowing(100, 100))
    shared = Seen.of(windows[3:4]).shared_by(windows)[0]  # samples 60 to 80
    assert np.flatnonzero(shared).tolist() == [3, 4, 5]


@pytest.mark.parametrize("make", [network, lambda: audited(Online())], ids=["network", "audited"])
def test_partial_fit_adds_what_it_learns_from(windows, make):
    first, second = windows.where(subject="a", session="1"), windows.where(subject="a", session="2")
    method = make().partial_fit(first, first.y, classes=np.unique(windows.y))
    assert not warned(lambda: method.predict(second))
    method.partial_fit(second, second.y)
    for learnt in (first, second):
        (said,) = warned(lambda some=learnt: method.predict(some))
        assert said.startswith(f"{len(learnt)} of {len(learnt)} windows")


def test_what_was_seen_twice_is_kept_once(windows):
    first, second = windows.where(subject="a")[::7], windows.where(subject="b")[3::5]
    joined = Seen.of(first).joined(Seen.of(second))
    whole = Seen.of(Windows.concatenate([first, second]))
    for got, expected in zip(joined.shared_by(windows), whole.shared_by(windows)):
        np.testing.assert_array_equal(got, expected)
    assert joined.joined(joined).start.tolist() == joined.start.tolist() == whole.start.tolist()


class Online(ClassifierMixin, BaseEstimator):
    def partial_fit(self, X, y, classes=None):
        self.inner_ = getattr(self, "inner_", SGDClassifier()).partial_fit(log_power(X), y, classes)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X):
        return self.inner_.predict(log_power(X))


def test_a_decoder_of_the_recording_that_it_was_trained_on_does_not_warn(windows, tmp_path):
    decoder = Decoder.fit(windows.recordings[:1], "lda", windowing=CUT)
    assert not warned(lambda: decoder.decide(windows.recordings[0]))
    assert not warned(lambda: Decoder.load(decoder.save(tmp_path / "hand.myo")).decide(windows.recordings[0]))


def test_a_search_and_a_calibration_with_folds_of_scikit_learn_warn(windows):
    few = windows.where(subject="a")
    grid = {"classify__shrinkage": [0.1, 0.5]}
    lda = METHODS.create("lda")
    assert warned(lambda: GridSearchCV(lda, grid, cv=5).fit(few, few.y))
    assert not warned(lambda: GridSearchCV(lda, grid, cv=KFoldRepetitions(3)).fit(few, few.y))
    assert warned(lambda: CalibratedClassifierCV(lda, cv=5).fit(few, few.y))
    assert not warned(lambda: METHODS.create("svm", search=True).fit(few, few.y))


def test_audited_is_the_estimator_it_wraps(windows):
    few = windows.where(subject="a")
    method = theirs()
    assert is_classifier(method)
    assert method.set_params(
        estimator__lineardiscriminantanalysis__shrinkage=0.2, estimator__lineardiscriminantanalysis__solver="lsqr"
    )
    assert clone(method).get_params()["estimator__lineardiscriminantanalysis__shrinkage"] == 0.2
    with pytest.raises(AttributeError, match="exist after fit"):
        _ = method.classes_
    fitted = method.fit(few, few.y)
    plain = clone(method.estimator).fit(few, few.y)
    others = windows.where(subject="b")
    assert fitted.classes_.tolist() == plain.classes_.tolist()
    for name in ("predict", "predict_proba", "decision_function", "predict_log_proba"):
        np.testing.assert_array_equal(getattr(fitted, name)(others), getattr(plain, name)(others))
    assert fitted.score(others, others.y) == plain.score(others, others.y)
    assert not hasattr(method.estimator, "classes_")
    assert not hasattr(audited(LinearSVC()), "predict_proba")
    grid = GridSearchCV(theirs(), {"estimator__lineardiscriminantanalysis__tol": [1e-4, 1e-3]}, cv=KFoldRepetitions(2))
    assert grid.fit(few, few.y).best_estimator_.classes_.tolist() == plain.classes_.tolist()


@parametrize_with_checks([audited(LogisticRegression()), audited(LinearDiscriminantAnalysis())])
def test_audited_passes_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_the_check_reads_each_recording_once_and_no_window(monkeypatch, windows):
    """Its cost beside a prediction's is measured by benchmarks/audit.py."""
    train, test = windows.where(subject="a"), windows.where(subject="b")
    seen = METHODS.create("lda").fit(train, train.y)["features"]._seen
    before = seen.shared_by(test)

    def read(*args, **options):
        raise AssertionError("samples were read again")

    monkeypatch.setattr("hashlib.blake2b", read)
    monkeypatch.setattr(Windows, "batch", read)
    for one, again in zip(before, seen.shared_by(test)):
        np.testing.assert_array_equal(one, again)
