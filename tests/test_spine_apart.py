"""Single steps of what keeps folds apart: what a method is given, what is noticed of its code, its filters and its files."""

from __future__ import annotations

import dataclasses
import os
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from myograph import Recording, Windowing, Windows
from myograph._common.pipelines import past_ms
from myograph.errors import ConfigError, LeakageError
from myograph.evaluation import apart, telling
from myograph.evaluation.apart import each_apart, no_file_since, pickled, state_of
from myograph.evaluation.filtering import check_own_filters
from myograph.evaluation.sealed import has_own_code, sealed, sealer
from myograph.evaluation.telling import check_channels
from myograph.preprocessing import LowPass, SampleFilter
from myograph.preprocessing.base import Filter

# 1. The windows.


def recording(n=60, channels=2, **fields):
    signal = np.random.default_rng(0).normal(size=(channels, n)).astype(np.float32)
    return Recording(signal, 1000.0, np.zeros(n, int), subject="1", **fields)


def test_sealed_recordings_hold_their_windows_and_nothing_else():
    whole = Windows.cut([recording(), recording(40)], Windowing(10, 5))
    rows = np.flatnonzero((whole.column("recording") == 0) & np.isin(whole.column("start"), [0, 5, 30, 50]))
    found = sealed(whole[rows])
    first, second = found.recordings
    inside = np.zeros(60, bool)
    inside[:15] = inside[30:40] = inside[50:] = True
    assert np.array_equal(np.isfinite(first.signal), np.tile(inside, (2, 1)))
    assert np.array_equal(first.signal[:, inside], whole.recordings[0].signal[:, inside])
    assert np.isnan(second.signal).all()
    assert np.array_equal(np.asarray(found), np.asarray(whole[rows]))
    assert not first.signal.flags.writeable
    assert not np.shares_memory(first.label, whole.recordings[0].label)
    assert not np.shares_memory(first.repetition, whole.recordings[0].repetition)
    assert set(vars(first)) == {f.name for f in dataclasses.fields(Recording)}
    assert (first.rate_hz, first.subject, first.unit) == (1000.0, "1", whole.recordings[0].unit)


@pytest.mark.parametrize("past_ms", [0, 4.5, 100])
def test_the_stated_past_of_a_window_is_shown_up_to_the_last_break(past_ms):
    whole = Windows.cut(recording(breaks=(27,)), Windowing(10, 5))
    for row, (start, stop) in enumerate(zip(whole.column("start"), whole.column("stop"))):
        first = max(start - {0: 0, 4.5: 5, 100: 100}[past_ms], 27 if start >= 27 else 0)
        shown = np.isfinite(sealed(whole[[row]], past_ms).recordings[0].signal)
        assert np.array_equal(shown, np.tile((np.arange(60) >= first) & (np.arange(60) < stop), (2, 1)))
    assert 27 in whole.column("start")


def test_the_past_of_a_method_is_the_largest_of_its_parts():
    short, long, text = Own(1), Own(2), Own(3)
    short.past_ms, long.past_ms, text.past_ms = 100, 300.0, "long"
    for parts in ([short, long], [long, short], [long, text], [text, short, long]):
        assert past_ms(make_pipeline(*parts)) == 300.0
    assert past_ms(make_pipeline(text, PCA())) == past_ms(object()) == 0.0
    assert sealer(make_pipeline(short, long)).keywords == {"past_ms": 300.0}


def test_methods_of_installed_packages_are_given_the_windows_themselves():
    windows = Windows.cut(recording(), Windowing(10, 5))
    assert sealer(PCA())(windows) is windows
    assert sealer(FunctionTransformer(lambda X: X)).func is sealed
    assert not has_own_code(PCA())


# 2. What the user's code keeps.

NOTES: dict = {}


class Own(BaseEstimator):
    def __init__(self, k=1):
        self.k = k

    def fit(self, X, y=None):
        NOTES["x"] = X
        return self


def test_the_state_of_code_that_is_not_the_users_is_not_looked_at():
    assert state_of(PCA()) is None
    assert state_of(Own()) is not None
    assert state_of(Own(1)) != state_of(Own(2))


def test_attributes_of_any_name_count():
    one = Own()
    before = state_of(one)
    one.plain = 3
    assert state_of(one) not in (before, state_of(Own(3)))


def test_a_generator_of_random_numbers_does_not_count_and_a_generator_of_others_always_does():
    moves = FunctionTransformer(lambda X: rng.normal(size=X.shape))
    rng = np.random.default_rng(0)
    before = state_of(moves)
    rng.normal()
    assert state_of(moves) == before
    stream = (i for i in range(3))
    reads = FunctionTransformer(lambda X: next(stream))
    assert state_of(reads) != state_of(reads)
    assert state_of(reads, trusting=True) == state_of(reads, trusting=True)


def test_what_cannot_be_pickled_is_none():
    assert pickled(i for i in range(3)) is None
    assert isinstance(pickled(Own()), bytes)


# 3. The calls.


def add(estimator, number):
    return estimator + number


def test_each_call_has_its_number(monkeypatch):
    monkeypatch.setattr(apart, "_file_clock", lambda: pytest.fail("only asked for code of the user's"))
    assert dict(each_apart(add, 10, [(1,), (2,), (3,)], jobs=1)) == {0: 11, 1: 12, 2: 13}
    assert dict(each_apart(add, 10, [], jobs=4)) == {}


def leaves_notes(estimator, number):
    if number:
        NOTES["page"] = number
    return "here"


def test_calls_after_one_that_left_something_run_elsewhere(monkeypatch):
    asked = []
    monkeypatch.setattr(apart, "alone", lambda method, work, begun, inner, call: asked.append((inner, call)) or "alone")
    NOTES.clear()
    found = dict(each_apart(leaves_notes, Own(), [(0,), (1,), (2,), (3,)], jobs=1))
    assert found == {0: "here", 1: "here", 2: "alone", 3: "alone"}
    assert asked == [(leaves_notes, (2,)), (leaves_notes, (3,))]


class Streams(Own):
    """The user's code with a generator, which cannot be pickled and of which nothing can be said."""

    def __init__(self):
        self.stream = (i for i in range(3))


def test_a_method_that_cannot_be_pickled_runs_here_as_long_as_nothing_else_changes(monkeypatch):
    monkeypatch.setattr(apart, "alone", lambda *_: "alone")
    NOTES.clear()
    assert dict(each_apart(lambda estimator, number: number, Streams(), [(5,), (6,)], jobs=1)) == {0: 5, 1: 6}
    found = dict(each_apart(leaves_notes, Streams(), [(7,), (8,)], jobs=1))
    assert found == {0: "here", 1: "alone"}


def test_a_process_of_its_own_needs_a_method_that_can_be_sent_and_loaded():
    with pytest.raises(LeakageError, match="but the method cannot be pickled"):
        apart.alone(None, sum, 10)
    with pytest.raises(ConfigError, match="that one cannot load it"):
        apart.alone(b"nothing that was pickled", sum, 10)
    assert apart.alone(pickled([3, 4]), sum, 10) == 17


def meets_nan(estimator, text):
    raise ValueError(text)


def test_nan_is_explained_to_those_who_wrote_the_method():
    with pytest.raises(ConfigError, match=r"(?s)Input contains NaN.*sees only the samples of its windows"):
        list(each_apart(meets_nan, Own(), [("Input contains NaN",)], jobs=1))
    for estimator, text in ((Own(), "something else"), (PCA(), "Input contains NaN")):
        with pytest.raises(ValueError, match=f"^{text}$"):
            list(each_apart(meets_nan, estimator, [(text,)], jobs=1))


# 4. Files.


def test_a_file_of_an_earlier_fold_is_not_read(tmp_path):
    before, left, own = (tmp_path / name for name in ("before.txt", "left.txt", "own.txt"))
    before.write_text("1")
    begun = apart._file_clock()
    for name in ("left.txt", "left.py", "left.pyc", "left.nbi", "left.nbc", "empty.txt"):
        (tmp_path / name).write_text("" if name == "empty.txt" else "2")
    (tmp_path / "joblib").mkdir()
    (tmp_path / "joblib" / "output.pkl").write_text("2")
    with no_file_since(begun):
        own.write_text("3")
        for allowed in (before, own, *(tmp_path / f"left.{e}" for e in ("py", "pyc", "nbi", "nbc"))):
            assert allowed.read_text()
        assert (tmp_path / "joblib" / "output.pkl").read_text() == "2"
        assert (tmp_path / "empty.txt").read_text() == ""
        with pytest.raises(FileNotFoundError):
            (tmp_path / "nowhere.txt").read_text()
        for mode in ("r", "rb", "r+", "a+"):
            with pytest.raises(LeakageError, match=r"reads .*left\.txt, which was written after this run began"):
                left.open(mode)
        for opened in (left, str(left), os.fsencode(left)):
            with pytest.raises(LeakageError):
                os.open(opened, os.O_RDONLY)
        with pytest.raises(LeakageError):
            os.open(left, os.O_RDWR)
        os.close(os.open(left, os.O_WRONLY))
        left.open("a").close()
        os.close(os.open(left, os.O_RDWR | os.O_TRUNC))
        left.open("w+").close()
        with open(os.open(own, os.O_RDONLY)) as by_number:
            assert by_number.read() == "3"
    assert left.read_text() == ""
    left.write_text("4")
    assert left.read_text() == "4"


# 5. Filters and channels.


class Delays(Filter):
    """Adds the sample of `by` samples ago and says that it reaches `stated` far."""

    def __init__(self, by, stated):
        self.by, self.stated = by, stated

    def reach_samples(self, rate_hz):
        return self.stated

    def apply(self, recording):
        late = np.zeros_like(recording.signal)
        late[:, self.by :] = recording.signal[:, : -self.by]
        return recording.with_signal(recording.signal + late)


@pytest.mark.parametrize(
    ("by", "stated", "fits"), [(40, 40, True), (40, 28, True), (40, 24, False), (2, 0, True), (3, 0, False)]
)
def test_a_reach_may_be_short_by_a_third_and_two_samples(by, stated, fits):
    if fits:
        check_own_filters((Delays(by, stated),), [recording(600)])
    else:
        with pytest.raises(LeakageError, match=f"states a reach of {stated} samples, but .* over {by + 1} samples"):
            check_own_filters((Delays(by, stated),), [recording(600)])


class Both(Delays):
    """Adds samples of the past and of the future."""

    causal = False

    def apply(self, recording):
        x = np.pad(recording.signal, ((0, 0), (self.by, self.by)))
        return recording.with_signal(recording.signal + x[:, : -2 * self.by] + x[:, 2 * self.by :])


@pytest.mark.parametrize(("stated", "fits"), [(28, True), (24, False)])
def test_a_filter_that_looks_ahead_reaches_as_far_on_both_sides(stated, fits):
    if fits:
        check_own_filters((Both(40, stated),), [recording(600)])
    else:
        with pytest.raises(LeakageError, match=r"over 81 samples"):
            check_own_filters((Both(40, stated),), [recording(600)])


class Halved(Delays):
    """Every second sample."""

    def apply(self, recording):
        done, every = super().apply(recording), slice(None, None, 2)
        half = {"signal": done.signal[:, every], "label": done.label[every], "repetition": done.repetition[every]}
        return dataclasses.replace(done, **half, rate_hz=done.rate_hz / 2, reach_samples=0)


def test_the_reach_of_the_filters_before_is_not_the_filters_own():
    slow = LowPass(5.0)
    assert slow.reach_samples(1000.0) > 60
    check_own_filters((slow, Delays(40, 40)), [recording(600)])
    with pytest.raises(LeakageError, match="states a reach of 0 samples"):
        check_own_filters((slow, Delays(40, 0)), [recording(600)])
    check_own_filters((slow, Halved(40, 40)), [recording(600)])
    with pytest.raises(LeakageError, match="states a reach of 0 samples"):
        check_own_filters((slow, Halved(40, 0)), [recording(600)])


@pytest.mark.parametrize("breaks", [(5,), (290,), (595,)])
def test_a_reach_is_measured_in_the_longest_stretch_without_a_break(breaks):
    class InEachPart(Delays):
        def apply(self, recording):
            parts = [super(InEachPart, self).apply(p) if p.n_samples > self.by else p for p in recording.parts()]
            return recording.with_signal(np.concatenate([p.signal for p in parts], axis=1))

    check_own_filters((InEachPart(40, 40),), [recording(600, breaks=breaks)])
    with pytest.raises(LeakageError):
        check_own_filters((InEachPart(40, 20),), [recording(600, breaks=breaks)])


def test_a_reach_is_measured_wherever_the_output_depends_on_the_input():
    class NothingFirst(Delays):
        def apply(self, recording):
            done = super().apply(recording)
            return done.with_signal(np.where(np.arange(done.n_samples) < 200, 0, done.signal))

    with pytest.raises(LeakageError):
        check_own_filters((NothingFirst(40, 20),), [recording(600)])


def test_a_filter_may_divide_by_the_largest_sample_of_the_recording():
    class ByLargest(SampleFilter):
        def apply(self, recording):
            return recording.with_signal(recording.signal / np.abs(recording.signal).max())

    plain = recording(600)
    check_own_filters((ByLargest(),), [dataclasses.replace(plain, signal=np.sign(plain.signal))])


def of_labels(change):
    """A filter whose output is change(signal, label)."""

    class OfLabels(SampleFilter):
        def apply(self, recording):
            return recording.with_signal(change(recording.signal, recording.label).astype(np.float32))

    return OfLabels()


def less_the_mean_of_each_run(signal, label):
    ends = np.flatnonzero(np.diff(label)) + 1
    return np.concatenate([part - part.mean() for part in np.split(signal, ends, axis=1)], axis=1)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (less_the_mean_of_each_run, False),  # where the label changes, not what it is
        (lambda signal, label: np.where(label < 0, 0, signal), False),  # which samples are labelled at all
        (lambda signal, label: np.where(label == 1, 2 * signal, signal), True),  # most samples are as before
        (lambda signal, label: signal + label, True),
    ],
    ids=["changes", "labelled", "one", "all"],
)
def test_an_output_may_depend_on_where_labels_change_but_not_on_the_labels(change, refused):
    label = np.repeat([0, 1, -1, 2, 0, 1, 2, -1], 75)
    given = dataclasses.replace(recording(600), label=label, label_names=("a", "b", "c"))
    if refused:
        with pytest.raises(LeakageError, match="depends on the labels"):
            check_own_filters((of_labels(change),), [given])
    else:
        one = of_labels(change)
        one.reach_samples = lambda rate_hz: 75
        check_own_filters((one,), [given])


def test_a_filter_may_select_samples_by_their_label():
    class Only(SampleFilter):
        def apply(self, recording):
            keep = np.flatnonzero(recording.label == 1)
            return dataclasses.replace(
                recording,
                signal=recording.signal[:, keep],
                label=recording.label[keep],
                repetition=recording.repetition[keep],
            )

    given = dataclasses.replace(recording(600), label=np.repeat([0, 1, 0], 200), label_names=("a", "b"))
    check_own_filters((Only(),), [given])


class Counts(SampleFilter):
    tried: list = []  # noqa: RUF012

    def apply(self, recording):
        self.tried.append(recording.subject)
        return recording


def test_the_users_filters_are_tried_behind_the_others_on_the_recording_with_most_labels():
    many = dataclasses.replace(recording(600), label=np.repeat([0, 1], 300), label_names=("a", "b"), subject="many")
    check_own_filters((LowPass(100.0), Counts(), LowPass(100.0)), [recording(600), many])
    assert set(Counts.tried) == {"many"}
    unwanted = types.SimpleNamespace(signal=None)
    check_own_filters((LowPass(100.0),), [unwanted])  # none of the user's: nothing is filtered


def told(values, label, **fields):
    signal = np.stack([np.random.default_rng(0).normal(size=len(label)), np.asarray(values, float)])
    return Recording(signal, 1000.0, label, subject="1", label_names=("a", "b", "c"), **fields)


LABEL = np.repeat([0, 1, 2, 0, 1, 2], 100)
CASES = {
    "codes": (7.0 * LABEL, True),
    "two labels of three alike": (np.where(LABEL == 2, 1.0, 0.0), True),
    "late by nine samples": (np.roll(7.0 * LABEL, 9), True),
    "late by ten, so that 90 % of a run are alike": (np.roll(7.0 * LABEL, 10), True),
    "late by eleven": (np.roll(7.0 * LABEL, 11), False),
    "one value": (np.full(600, 3.0), False),
    "another value in the second half": (7.0 * LABEL + (np.arange(600) >= 300), False),
    "a signal": (np.random.default_rng(1).normal(size=600) + 99 * LABEL, False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_channel_says_the_label_if_it_has_one_value_for_each(case):
    values, says = CASES[case]
    found = telling._values_of_labels([told(values, LABEL)], 1)
    assert (found is not None and len(set(found.values())) > 1) is says
    if says:
        with pytest.raises(LeakageError, match=r"channel 1 of .* says which label it is \(0 for a, "):
            check_channels((), [told(values, LABEL)])
    else:
        check_channels((), [told(values, LABEL)])


def test_every_held_channel_is_looked_at():
    """The first is constant, the second is left out by a filter, and the third says the label."""
    signal = np.stack([np.ones(len(LABEL)), 2.0 * LABEL, 3.0 * LABEL])
    recording = Recording(signal, 1000, LABEL, subject="1")
    with pytest.raises(LeakageError, match="channel 1 of"):
        check_channels((), [recording])
    with pytest.raises(LeakageError, match="channel 2 of"):
        check_channels((SetToZero(1),), [recording])
    check_channels((SetToZero(1), SetToZero(2)), [recording])


class SetToZero(SampleFilter):
    def __init__(self, channel):
        self.channel = channel

    def apply(self, recording):
        signal = recording.signal.copy()
        signal[self.channel] = 0
        return dataclasses.replace(recording, signal=signal)


def test_a_channel_that_keeps_its_value_in_90_percent_of_the_steps_is_looked_at():
    label = np.repeat([0, 1, 0, 1], [8, 8, 8, 7])  # three changes in 30 steps
    with pytest.raises(LeakageError):
        check_channels((), [told(7.0 * label, label)])


def test_the_message_names_four_labels_and_recordings_of_one_sample_say_nothing():
    many = np.tile(np.repeat(np.arange(6), 100), 2)
    with pytest.raises(LeakageError, match=r"\(0 for 0, 1 for 1, 2 for 2, 3 for 3\)"):
        check_channels((), [Recording(np.atleast_2d(1.0 * many), 1000, many, subject="1")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a mean of nothing
        check_channels((), [Recording(np.ones((1, 1)), 1000, [0], subject="1")])


def test_unlabelled_samples_and_labels_that_occur_once_say_nothing():
    once = np.repeat([0, 1, 2], 200)
    check_channels((), [told(7.0 * once, once)])
    gaps = np.where(np.arange(600) % 100 < 50, LABEL, -1)
    with pytest.raises(LeakageError):
        check_channels((), [told(np.where(gaps < 0, np.arange(600) // 50, 7.0 * LABEL), gaps)])
    other = told(7.0 * LABEL, LABEL)
    check_channels((), [other, dataclasses.replace(other, signal=other.signal[:1])])
    with pytest.raises(LeakageError):  # over several recordings
        check_channels((), [told(7.0 * LABEL[s], LABEL[s]) for s in (slice(0, 300), slice(300, 600))])
    check_channels((), [told([0.0], LABEL[:1])])


def test_paths_are_told_in_full(tmp_path):
    begun = apart._file_clock()
    (tmp_path / "model").write_text("x")
    with no_file_since(begun), pytest.raises(LeakageError, match=str(tmp_path / "model")):
        Path(tmp_path / "model").read_text()


def growth_allowed(estimator, call):
    from joblib.externals.loky import process_executor

    return os.getpid(), process_executor._MAX_MEMORY_LEAK_SIZE


def test_processes_may_grow_by_more_than_a_cohort():
    """joblib stops a process that has grown by 300 MB, and prints a warning in the middle of a run."""
    done = dict(each_apart(growth_allowed, None, [(1,), (2,), (3,)], jobs=2))
    assert os.getpid() not in {pid for pid, _ in done.values()}
    assert min(allowed for _, allowed in done.values()) >= 2e9
