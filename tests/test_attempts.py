"""Deliberate attempts to get a score above chance out of recordings whose signals say nothing of their labels.

Each is refused, stays at chance, or is one of those that no audit of the data can see; docs/guarantees.md names these.
More attempts stand in test_audit.py (copies in disguise), test_blind.py (labels) and test_identity.py (kept results).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from conftest import make_recording
from myograph import KFoldRepetitions, LeaveOneSubjectOut, Recording, Windowing, Windows, WithinSubject
from myograph.audit import copies_in
from myograph.errors import ConfigError, LeakageError, ProtocolError, ResultsError, ShapeError, WindowError
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.methods import METHODS
from myograph.protocols import Protocol, SessionStream

N_LABELS = 3
CHANCE = 1 / N_LABELS


def samples(X):
    """All samples of each window: what a nearest neighbour recognises a copy by."""
    return np.asarray(X).reshape(len(X), -1)


def nearest():
    return make_pipeline(FunctionTransformer(samples), KNeighborsClassifier(1))


def person(name: str, seed: int, **fields) -> Recording:
    rng = np.random.default_rng(seed)
    base = make_recording(rng, name, n_labels=N_LABELS, n_repetitions=6, n_per_run=100, informative=False)
    return dataclasses.replace(base, **fields) if fields else base


@pytest.fixture(scope="module")
def people():
    return [person(s, i) for i, s in enumerate("abc")]


def accuracy(recordings, protocol=None, method=None, windowing=None, **options) -> float:
    recipe = Recipe(
        "attempt",
        "my own",
        protocol or LeaveOneSubjectOut(),
        method or nearest(),
        windowing=windowing or Windowing(150, 50),
    )
    scores = evaluate(recipe, recordings, **options)
    assert not scores.leaky
    return float((scores.predictions["y_true"] == scores.predictions["y_pred"]).mean())


def at_chance(value: float) -> bool:
    return value < CHANCE + 0.12


# 1. A person's recording once more, in another disguise, as another person.

ALIKE = {
    "sign-flipped": lambda x: -x,
    "a gain per channel": lambda x: x * np.array([0.2, 3.0, 1.0, 11.0])[:, None],
    "a subset of channels, repeated": lambda x: x[[1, 3, 1, 3]],
    "16-bit whole numbers": lambda x: np.rint(x * 100).astype(np.int16),
    "noise at 60 dB on top": lambda x: x + 0.001 * x.std() * np.random.default_rng(5).normal(size=x.shape),
    "spliced halves": lambda x: np.concatenate([x[:, x.shape[1] // 2 :], x[:, : x.shape[1] // 2]], axis=1),
    "each label's runs in another order": lambda x: x.reshape(4, -1, 100)[:, ::-1].reshape(4, -1),
    "two channels swapped between two people": None,
}


@pytest.mark.parametrize("disguise", ALIKE)
def test_a_copy_in_disguise_is_refused(people, disguise):
    a, b, c = people
    if ALIKE[disguise] is None:
        swapped = b.signal.copy()
        swapped[:2] = a.signal[:2]
        twin = dataclasses.replace(b, signal=swapped)
    else:
        twin = dataclasses.replace(a, signal=ALIKE[disguise](a.signal), subject="b")
    with pytest.raises(LeakageError, match="contain the same samples"):
        accuracy([a, twin, c])


def power(X):
    return np.log(np.asarray(X).var(axis=2))


def test_a_copy_that_runs_backwards_is_not_found(people):
    """Documented: a copy is found where samples run in the same direction. Powers do not depend on the direction."""
    a, _, c = people
    backwards = dataclasses.replace(
        a,
        signal=a.signal[:, ::-1].copy(),
        label=a.label[::-1].copy(),
        repetition=a.repetition[::-1].copy(),
        subject="b",
    )
    assert not copies_in(Windows.cut([a, backwards, c], Windowing(150, 50)))
    assert at_chance(accuracy([a, backwards, c]))
    recognised = make_pipeline(FunctionTransformer(power), KNeighborsClassifier(1))
    assert accuracy([a, backwards], method=recognised, windowing=Windowing(500, 500)) > 0.9


def test_a_resampled_copy_is_not_found(people):
    """Documented: a copy at another rate holds other samples. Its rate says so: windows of two rates do not mix."""
    a, _, c = people
    half = dataclasses.replace(
        a,
        signal=a.signal[:, ::2].copy(),
        label=a.label[::2],
        repetition=a.repetition[::2],
        rate_hz=a.rate_hz / 2,
        subject="b",
    )
    assert not copies_in(Windows.cut([a, half, c], Windowing(150, 50)))
    with pytest.raises(ShapeError, match=r"different (rates|lengths)"):
        accuracy([a, half, c])


def test_two_people_mixed_into_a_third_are_not_found(people):
    """Documented: sums of recordings hold neither of them."""
    a, b, _ = people
    third = dataclasses.replace(a, signal=a.signal + b.signal, subject="c")
    assert at_chance(accuracy([a, b, third], method=METHODS.create("lda")))


# 2. The label where a method might look for it.


class Looks(ClassifierMixin, BaseEstimator):
    """Answers with what `where` finds in the windows."""

    def __init__(self, where):
        self.where = where

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        found = [self.where(X, i) for i in range(len(X))]
        self.answer_ = dict(zip(found, y))
        return self

    def predict(self, X):
        return np.array([self.answer_.get(self.where(X, i), self.classes_[0]) for i in range(len(X))])


PLACES = {
    "the recording's name": lambda X, i: X.recordings[X.column("recording")[i]].name,
    "the session": lambda X, i: X.column("session")[i],
    "the unit and rate": lambda X, i: (X.recordings[X.column("recording")[i]].unit, X.recordings[0].rate_hz),
    "an attribute of a subclass": lambda X, i: getattr(X.recordings[X.column("recording")[i]], "secret", None),
}


class Telling(Recording):
    """A recording with the label as an attribute."""


def one_recording_per_run(a: Recording, telling: bool = False) -> list[Recording]:
    """Each run of a label as a recording of its own, whose name and session say which label it is."""
    parts = []
    for start in range(0, a.n_samples, 100):
        here = slice(start, start + 100)
        label = int(a.label[start])
        kind = Telling if telling else Recording
        part = kind(
            a.signal[:, here], a.rate_hz, a.label[here], a.subject, a.repetition[here], session=f"s{label}",
            label_names=a.label_names, name=f"label {label}",
        )  # fmt: skip
        if telling:
            object.__setattr__(part, "secret", label)
        parts.append(part)
    return parts


@pytest.mark.parametrize("place", PLACES)
def test_metadata_that_says_the_label_cannot_be_told_from_metadata(people, place):
    """Documented: names and sessions are the user's own; a method that reads them reads what they say. Attributes that are
    not a Recording's do not reach a method."""
    parts = [part for a in people for part in one_recording_per_run(a, telling=True)]
    value = accuracy(parts, method=Looks(PLACES[place]))
    if place in ("the unit and rate", "an attribute of a subclass"):
        assert at_chance(value)
    else:
        assert value == 1.0


def test_labels_named_by_a_closure_are_no_longer_there(people):
    """A closure that looks labels up in the windows it is given finds none in those that it has to transform."""
    windows_of = {}

    def spy(X):
        windows_of.setdefault("labels", []).append(set(X.column("label")))
        return samples(X)

    accuracy(people, method=make_pipeline(FunctionTransformer(spy), KNeighborsClassifier(1)))
    fitted, tested = windows_of["labels"][0::2], windows_of["labels"][1::2]
    assert all(names == {"g0", "g1", "g2"} for names in fitted)
    assert all(names == {"unknown"} for names in tested)


def test_a_closure_over_the_users_own_recordings_is_not_seen(people):
    """Documented: code of the user's can hold the answers. The identity of the run changes with what it holds."""
    answers = {a.signal[:, s : s + 30].tobytes(): f"g{a.label[s]}" for a in people for s in range(a.n_samples - 29)}
    method = Looks(lambda X, i: answers.get(np.asarray(X[int(i)]).tobytes()))
    assert accuracy(people, method=method) > 0.99
    recipe = Recipe("closure", "my own", LeaveOneSubjectOut(), method)
    changed = Recipe("closure", "my own", LeaveOneSubjectOut(), Looks(lambda X, i: answers.get(0)))
    assert recipe.identity({}) != changed.identity({})


# 3. State that outlives a fold.

CACHE: list = []


class RemembersTests(TransformerMixin, BaseEstimator):
    """Keeps every window that it is asked to transform in a global list, and adds those to what it is fitted on."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        CACHE.append(samples(X))
        return samples(X)


def test_a_global_cache_of_test_windows_has_no_labels_to_learn_from(people):
    CACHE.clear()
    assert at_chance(
        accuracy(people, method=Pipeline([("keep", RemembersTests()), ("classify", KNeighborsClassifier(1))]))
    )
    assert CACHE


class ReadsFiles(ClassifierMixin, BaseEstimator):
    def __init__(self, path: str):
        self.path = path

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        answers = np.load(self.path)
        return np.array([f"g{answers[start]}" for start in X.column("start")])


def test_a_method_that_reads_the_labels_from_a_file_is_not_seen(people, tmp_path):
    """Documented: a method is a program, and may read what it likes."""
    np.save(tmp_path / "labels.npy", people[0].label)
    assert accuracy(people, method=ReadsFiles(str(tmp_path / "labels.npy"))) == 1.0


class WeighsTests(KNeighborsClassifier):
    """Asks `fit` for weights, which a leaking caller could use to tell train from test."""

    def fit(self, X, y, sample_weight=None):
        assert sample_weight is None
        return super().fit(samples(X), y)

    def predict(self, X):
        return super().predict(samples(X))

    def predict_proba(self, X):
        return super().predict_proba(samples(X))


def test_no_weights_are_handed_to_fit(people):
    assert at_chance(accuracy(people, method=WeighsTests(1)))


class DrawsOn(ClassifierMixin, BaseEstimator):
    """Guesses with a generator that it was given: were it shared, folds would depend on each other."""

    def __init__(self, random_state):
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.random_state.choice(self.classes_, len(X))


def test_a_generator_object_starts_alike_in_every_fold(people):
    method = DrawsOn(np.random.RandomState(3))
    recipe = Recipe("draws", "my own", LeaveOneSubjectOut(), method, windowing=Windowing(150, 50))
    first, again = (evaluate(recipe, people).predictions for _ in range(2))
    assert first["y_pred"].tolist() == again["y_pred"].tolist()
    by_fold = [rows["y_pred"].tolist() for _, rows in first.groupby("fold")]
    assert by_fold[0] == by_fold[1] == by_fold[2]


def test_a_method_that_was_fitted_on_everything_is_refused(people):
    windows = Windows.cut(people, Windowing(150, 50))
    frozen = FrozenEstimator(METHODS.create("lda").fit(windows, windows.y))
    with pytest.raises(
        LeakageError, match=r"Features was fitted before this run on windows that .* test windows share"
    ):
        accuracy(people, method=frozen)


def test_arrays_that_were_fitted_on_before_are_named_not_refused(people):
    """Documented: an array does not say where it is from; the run's notes name the part."""
    windows = Windows.cut(people, Windowing(150, 50))
    known = FrozenEstimator(KNeighborsClassifier(1).fit(samples(windows), windows.y))
    recipe = Recipe(
        "frozen",
        "my own",
        LeaveOneSubjectOut(),
        make_pipeline(FunctionTransformer(samples), known),
        windowing=Windowing(150, 50),
    )
    scores = evaluate(recipe, people)
    assert (scores.predictions["y_true"] == scores.predictions["y_pred"]).mean() > 0.99
    assert any("KNeighborsClassifier: fitted before this run, on unknown data" in note for note in scores.notes)


# 4. Protocols of the user's own.


class OneByOne(Protocol):
    """Windows dealt in turn."""

    def _folds(self, table):
        odd = np.arange(len(table)) % 2 == 1
        yield "odd", odd, ~odd


class FirstHonest(Protocol):
    """A generator that is honest the first time it is asked, and not afterwards."""

    def __init__(self):
        self.asked = 0

    def _folds(self, table):
        self.asked += 1
        repetition = table["repetition"].to_numpy()
        held = np.isin(repetition, (2, 4)) if self.asked == 1 else np.arange(len(table)) % 2 == 1
        yield "one", ~held, held


class TestInTrain(Protocol):
    __test__ = False

    def _folds(self, table):
        held = table["repetition"].to_numpy() == 2
        yield "all", np.ones(len(table), bool), held


@pytest.mark.parametrize("protocol", [OneByOne, FirstHonest, TestInTrain])
def test_a_protocol_that_leaks_is_refused_or_purged(people, protocol):
    try:
        assert at_chance(accuracy(people, protocol()))
    except (LeakageError, ProtocolError):
        return
    # The first folds are the ones that are audited and run; train windows that meet a test window are left out.
    assert protocol in (FirstHonest, TestInTrain)


class SaysLeaky(OneByOne):
    leaky = True


def test_a_protocol_that_says_it_leaks_is_marked(people):
    recipe = Recipe("says", "my own", SaysLeaky(), nearest(), windowing=Windowing(150, 50))
    assert evaluate(recipe, people[:1]).leaky


# 5. Windows that nearly touch.


def test_train_windows_one_sample_away_share_nothing_and_give_nothing(people):
    """A gap of one sample: neighbouring noise says nothing of a label, and the repetitions are apart."""
    assert at_chance(accuracy(people, KFoldRepetitions(2), windowing=Windowing(100, 105)))


def test_windows_of_the_future_do_not_reach_over_the_split(people):
    """The target of a window lies inside its own repetition, so no label of a test repetition stands in train."""
    cut = Windowing(100, 50, label_rule="majority", future_ms=200)
    for a in people:
        windows = Windows.cut(a, cut)
        target = windows.column("stop") - 1 + round(0.2 * a.rate_hz)
        assert (a.repetition[target] == windows.column("repetition")).all()
    assert at_chance(accuracy(people, WithinSubject((2, 5)), windowing=cut))


class ShiftedWindows:
    """A user's windowing whose windows reach beyond what their repetition says."""

    def intervals(self, recording):
        found = Windowing(100, 50).intervals(recording)
        start = np.maximum(found["start"] - 60, 0)
        return {**found, "start": start, "stop": start + 20}


def test_a_windowing_that_misplaces_windows_shares_no_sample(people):
    try:
        value = accuracy(people, KFoldRepetitions(2), windowing=ShiftedWindows())
    except (LeakageError, WindowError, ProtocolError):
        return
    assert at_chance(value)


# 6. Kept results.


def test_a_folder_of_other_code_does_not_resume(people, tmp_path):
    def make(k):
        return make_pipeline(FunctionTransformer(lambda X: samples(X)[:, :k]), KNeighborsClassifier(1))

    accuracy(people, method=make(2), out=tmp_path / "run")
    with pytest.raises(ResultsError, match="holds another run"):
        accuracy(people, method=make(40), out=tmp_path / "run")


def test_other_labels_in_the_same_folder_do_not_resume(people, tmp_path):
    accuracy(people, out=tmp_path / "run")
    other = [dataclasses.replace(a, label=a.label[::-1].copy()) for a in people]
    with pytest.raises(ResultsError, match="holds another run"):
        accuracy(other, out=tmp_path / "run")


def test_a_method_that_adapts_gets_no_labels_with_the_stream(people):
    class Adapts(Looks):
        def adapt(self, X):
            self.answer_.update({self.where(X, i): str(X.column("label")[i]) for i in range(len(X))})

    method = Adapts(PLACES["the unit and rate"])
    with pytest.raises((ConfigError, AssertionError)):
        assert accuracy(people, SessionStream("repetition"), method) > CHANCE + 0.12
