"""Attempts to get a score above chance with a filter, a windowing, a protocol or kept results of one's own, on recordings
whose signals say nothing of their labels. docs/guarantees.md names those that no program can see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import attempts
from attempts import CHANCE, accuracy, at_chance, means, nearest, person
from myograph import KFoldRepetitions, LeaveOneSubjectOut, Recording, Windowing, Windows, WithinSubject
from myograph.audit import audit
from myograph.errors import ConfigError, LeakageError, ProtocolError, ResultsError
from myograph.evaluation.prepared import Split, read
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.preprocessing import FirstChannels, LowPass, MovingRMS, Rectify, Resample, SampleFilter, ZeroPhase
from myograph.preprocessing.base import Filter, apply_all
from myograph.protocols import Fold, Protocol, SessionStream


@pytest.fixture(scope="module")
def people():
    return attempts.three_people()


@pytest.fixture(scope="module")
def in_a_row(people):
    return attempts.in_a_row(people)


# 1. Filters.


class Duck:
    """Not a filter of myograph's, so it states no reach."""

    def apply(self, recording):
        return MovingRMS(2000).apply(recording)


class Understates(Filter):
    def apply(self, recording):
        return dataclasses.replace(MovingRMS(2000).apply(recording), reach_samples=0)

    def reach_samples(self, rate_hz):
        return 0


class StatesAThird(Understates):
    def reach_samples(self, rate_hz):
        return MovingRMS(2000).reach_samples(rate_hz) // 3


class Remembers(SampleFilter):
    """Called a filter of single samples, and sums up all that came before."""

    def _start(self, rate_hz, n_channels, layout):
        total = np.zeros((n_channels, 1))

        def push(x):
            sums = total + np.cumsum(x.astype(float), axis=1)
            total[:] = sums[:, -1:]
            return sums

        return push


class LooksAhead(SampleFilter):
    def apply(self, recording):
        return recording.with_signal(np.roll(recording.signal, -50, axis=1) + recording.signal)


class AddsTheLabel(SampleFilter):
    def apply(self, recording):
        return recording.with_signal(recording.signal + 100 * recording.label)


class ScalesByLabel(SampleFilter):
    """Each label's samples to a spread of 1, as one might normalise by each gesture's maximum."""

    def apply(self, recording):
        signal = recording.signal.copy()
        for label in np.unique(recording.label):
            signal[:, recording.label == label] /= signal[:, recording.label == label].std()
        return recording.with_signal(signal)


class Forgets(SampleFilter):
    def apply(self, recording):
        return dataclasses.replace(recording, reach_samples=0)


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ((Duck(),), "does not state its reach"), ((Understates(),), "states a reach of 0 samples"),
        ((StatesAThird(),), r"states a reach of 1\d\d samples"), ((Remembers(),), "states a reach of 0 samples"),
        ((LooksAhead(),), "states a reach of 0 samples"), ((Rectify(), Understates()), "states a reach of 0 samples"),
        ((AddsTheLabel(),), "depends on the labels, so a method could read the label"),
        ((ScalesByLabel(),), "depends on the labels, so a method could read the label"),
        ((MovingRMS(2000), Forgets()), "within the reach of the filters"),
        ((LowPass(2.0),) * 6, "within the reach of the filters"), ((MovingRMS(300),) * 6, "within the reach of the filters"),
        ((Resample(100.0), MovingRMS(2000)), "within the reach of the filters"),
        ((ZeroPhase(LowPass(1.0)),), "within the reach of the filters"),
    ],
)  # fmt: skip
def test_filters_that_carry_train_samples_or_labels_are_refused(in_a_row, filters, error):
    with pytest.raises((LeakageError, ConfigError, ProtocolError), match=error):
        accuracy(in_a_row, nearest(means), WithinSubject((2, 5)), filters=filters)


class AddsNoise(SampleFilter):
    def apply(self, recording):
        return recording.with_signal(recording.signal + np.random.default_rng().normal(size=recording.signal.shape))


class FromOneToTheNext(SampleFilter):
    """Scales by the loudest recording so far, which may be of the tested person."""

    loudest = 1.0

    def apply(self, recording):
        type(self).loudest = 1.01 * max(self.loudest, float(np.abs(recording.signal).max()))
        return recording.with_signal(recording.signal / self.loudest)


@pytest.mark.parametrize("one", [AddsNoise(), FromOneToTheNext()])
def test_filters_that_give_other_samples_each_time_are_refused(people, one):
    with pytest.raises(ConfigError, match="gives a different output each time"):
        accuracy(people, nearest(means), filters=(one,))


class MeansOfLabels(SampleFilter):
    """Subtracts each label's mean, which changes nothing but an offset in a recording of one label."""

    def apply(self, recording):
        signal = recording.signal.copy()
        for label in np.unique(recording.label):
            signal[:, recording.label == label] -= signal[:, recording.label == label].mean(axis=1, keepdims=True)
        return recording.with_signal(signal)


def test_a_filter_is_tried_on_a_recording_with_many_labels(people):
    alike = dataclasses.replace(people[0], label=np.zeros(people[0].n_samples, int), subject="first")
    with pytest.raises(LeakageError, match="depends on the labels, so a method could read the label"):
        accuracy([alike, *people], nearest(means), filters=(MeansOfLabels(),))


def test_a_channel_that_holds_the_labels_is_refused_unless_it_is_left_out(people):
    def with_channel(a, values):
        return dataclasses.replace(a, signal=np.concatenate([a.signal, values[None].astype(np.float32)]))

    for trigger in (lambda a: 40.0 * a.label, lambda a: a.label > 0, lambda a: np.roll(-1.0 * a.label, 5)):
        told = [with_channel(a, trigger(a)) for a in people]
        with pytest.raises(LeakageError, match=r"channel 4 of .* says which label it is"):
            accuracy(told, nearest(means))
    assert at_chance(accuracy(told, nearest(means), filters=(FirstChannels(4),)))
    for harmless in (
        lambda a: np.zeros(a.n_samples),
        lambda a: 1.0 * a.repetition,
        lambda a: 0.3 * np.rint(a.signal[0]),
    ):
        accuracy([with_channel(a, harmless(a)) for a in people], nearest(means))
    trials = [
        Recording(with_channel(a, a.label).signal[:, k : k + 100], a.rate_hz, a.label[k : k + 100], a.subject,
                  a.repetition[k : k + 100], label_names=a.label_names)
        for a in people for k in range(0, a.n_samples, 100)
    ]  # fmt: skip
    with pytest.raises(LeakageError, match=r"says which label it is \(0 for g0, 1 for g1, 2 for g2\)"):
        accuracy(trials, nearest(means))


class Centres(SampleFilter):
    """Subtracts the mean of the whole recording: one sample changes all others, by next to nothing."""

    def apply(self, recording):
        return recording.with_signal(recording.signal - recording.signal.mean(axis=1, keepdims=True))


class Smooths(Filter):
    def reach_samples(self, rate_hz):
        return 4

    def apply(self, recording):
        kernel = np.ones(5) / 5
        smooth = np.stack([np.convolve(c, kernel)[: recording.n_samples] for c in recording.signal])
        return recording.with_signal(smooth.astype(recording.signal.dtype))


class FirstLabels(SampleFilter):
    """Keeps the samples of two labels."""

    def apply(self, recording):
        kept = recording.label < 2
        changes = {k: getattr(recording, k)[kept] for k in ("label", "repetition")}
        return recording.with_signal(recording.signal[:, kept], **changes)


@pytest.mark.parametrize("one", [Centres(), Smooths(), FirstLabels()])
def test_honest_filters_of_ones_own_are_accepted(in_a_row, one):
    assert 0.1 < accuracy(in_a_row, nearest(means), filters=(one,)) < 0.7


def test_the_reach_of_a_filter_of_ones_own_adds_up_without_its_help(people):
    done = apply_all([MovingRMS(100.0), Smooths(), Forgets()], people[0])
    assert done.reach_samples == MovingRMS(100.0).reach_samples(people[0].rate_hz) + 4


# 2. Protocols, and folds made by hand.


class ByHand(Protocol):
    def __init__(self, make):
        self.make = make

    def folds(self, windows):
        yield from self.make(windows)


def halves(windows):
    repetition = windows.column("repetition")
    return np.flatnonzero(repetition != 2), np.flatnonzero(repetition == 2)


def repeats_the_easy(windows):
    train, test = halves(windows)
    yield Fold("a", train, np.concatenate([test, np.repeat(test[windows.y[test] == "g0"], 50)]))


def counts_from_the_end(windows):
    train, test = halves(windows)
    yield Fold("a", np.concatenate([train, test - len(windows)]), test)


def calibrates_on_the_test(windows):
    train, test = halves(windows)
    yield Fold("a", train, test, calibration=test)


def calibrates_on_the_test_once(windows):
    train, test = halves(windows)
    yield Fold("b", train[::2], test[::2])
    yield Fold("a", train, test[1::2], calibration=test[1::2])


@pytest.mark.parametrize("transfer", ["pool", "weight", "adapt", "target only"])
@pytest.mark.parametrize(
    "make", [repeats_the_easy, counts_from_the_end, calibrates_on_the_test, calibrates_on_the_test_once]
)
def test_folds_that_train_or_calibrate_on_what_they_test_are_refused(people, make, transfer):
    with pytest.raises((LeakageError, ProtocolError), match=r"more than once|share samples|does not train on|has none"):
        accuracy(people, protocol=ByHand(make), transfer=transfer)


def test_a_split_without_an_audit_cannot_be_made(people):
    recipe = Recipe("attempt", "my own", LeaveOneSubjectOut(), nearest(), windowing=Windowing(150, 50))
    windows = Windows.cut(people, recipe.windowing)
    rows = np.arange(len(windows))
    folds = [Fold("a", rows, rows[::2])]
    with pytest.raises(LeakageError):
        Split(windows, {}, folds, recipe.protocol)

    class Allows(LeaveOneSubjectOut):
        leaky = True

    with pytest.raises(LeakageError, match="so they are not its"):
        evaluate(recipe, people, shared=lambda *_: Split(windows, {}, folds, Allows()))


def one_label_per_fold(windows):
    repetition = windows.column("repetition")
    for label in ("g0", "g1", "g2"):
        for who in "abc":
            mine = windows.groups == who
            test = np.flatnonzero(mine & (repetition == 2) & (windows.y == label))
            train = np.flatnonzero(mine & (repetition != 2) & ((windows.y == label) | (repetition == 1)))
            yield Fold(f"{who} {label}", train, test)


def only_what_is_right(windows):
    train, test = halves(windows)
    guessed = nearest().fit(windows[train], windows.y[train]).predict(windows[test])
    yield Fold("a", train, test[guessed == windows.y[test]])


@pytest.mark.parametrize("make", [one_label_per_fold, only_what_is_right])
def test_a_protocol_that_chooses_by_the_labels_is_not_seen(people, make):
    """Documented: what a protocol of one's own tests, and how often each label is in train, is its own choice."""
    method = nearest() if make is only_what_is_right else make_pipeline(FunctionTransformer(means), DummyClassifier())
    assert accuracy(people, method, ByHand(make)) == 1.0


class Twice:
    """Every window twice, the second time as another repetition."""

    def intervals(self, recording):
        found = Windowing(150, 50).intervals(recording)
        both = {k: np.concatenate([v, v]) for k, v in found.items()}
        both["repetition"][len(found["start"]) :] += 100
        return both


class TwiceOtherwise(Twice):
    def intervals(self, recording):
        found = super().intervals(recording)
        half = len(found["start"]) // 2
        found["label"][half:] = (found["label"][half:] + 1) % 3
        return found


@pytest.mark.parametrize("cutter", [Twice, TwiceOtherwise])
@pytest.mark.parametrize("protocol", [KFoldRepetitions(2), WithinSubject((101, 102)), SessionStream("repetition")])
def test_windows_that_stand_twice_are_never_on_both_sides(people, cutter, protocol):
    try:
        assert accuracy(people, protocol=protocol, windowing=cutter()) < CHANCE + 0.12
    except (LeakageError, ProtocolError):
        return
    windows = Windows.cut(people, cutter())
    for fold in protocol.folds(windows):
        assert audit(windows, fold.train, fold.test).passed


# 3. Kept results.


def test_samples_or_labels_changed_in_place_make_another_run(tmp_path):
    own = [
        dataclasses.replace(a, signal=a.signal.copy(), label=a.label.copy()) for a in (person("a", 0), person("b", 1))
    ]
    accuracy(own, out=tmp_path / "run")
    for array in (own[0].signal.base, own[1].label):
        array[..., :] = array[..., ::-1].copy()
        with pytest.raises(ResultsError, match="holds another run"):
            accuracy(own, out=tmp_path / "run")
        array[..., :] = array[..., ::-1].copy()
    accuracy(own, out=tmp_path / "run")


def test_a_recording_that_becomes_a_copy_in_place_is_found():
    a, b, c = (dataclasses.replace(p, signal=p.signal.copy()) for p in (person("a", 0), person("b", 1), person("c", 2)))
    assert at_chance(accuracy([a, b, c]))
    b.signal.base[:] = a.signal
    with pytest.raises(LeakageError, match="contain the same samples"):
        accuracy([a, b, c])


def test_a_file_that_is_mapped_for_reading_is_not_read_again(tmp_path):
    np.save(tmp_path / "signal.npy", person("a", 0).signal)
    mapped = Recording(np.load(tmp_path / "signal.npy", mmap_mode="r"), 200.0, None, "a")
    mapped.label.flags.writeable = mapped.repetition.flags.writeable = False
    mapped.forget_if_changed()
    assert "_checksum" not in vars(mapped)


def test_recordings_that_are_read_are_hashed_once():
    recipe = Recipe("r", "simulated", subjects=("1",))
    recording = read(recipe)[0]
    recording.forget_if_changed()
    before = recording.content_hash
    recording.forget_if_changed()
    assert vars(recording)["content_hash"] is before
