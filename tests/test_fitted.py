"""Every method of the registry refuses windows of another kind than it was fitted on, and a single class."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from myograph import Recording, Windowing, Windows
from myograph._common.origin import checked_origin
from myograph.errors import ConfigError, MyographError, ShapeError, SignalError
from myograph.evaluation.folds import fitted_before
from myograph.features.histogram import TrainHistogram
from myograph.features.images import ChannelPCA, Spectrogram, WaveletImages
from myograph.features.tangent import TangentSpace
from myograph.features.transformer import Features
from myograph.methods import METHODS
from myograph.models import MODELS
from myograph.training.estimator import NeuralClassifier
from myograph.training.transfer import fine_tune

N_CHANNELS, N_SAMPLES, RATE = 8, 200, 1000.0
# Smaller than published, where a network has an option for it: the refusal does not depend on the size.
SHAPES = {"fin_cnn": (12, 48), "zhai": (8, 25)}  # of networks that take feature maps or scores: (channels, samples)
OPTIONS = {"zhai": {"planes": 8, "units": 8}, "cnn_rnn": {"hidden": 8, "grid": (2, 4)}}


def windows(n_channels=N_CHANNELS, n_samples=N_SAMPLES, rate_hz=RATE, unit="uV", labels=(0, 1), seed=0) -> Windows:
    """Four windows per label; the label is the amplitude."""
    label = np.repeat(labels, 4 * n_samples)
    signal = np.random.default_rng(seed).normal(size=(n_channels, len(label))) * (10 + 90 * label)
    recording = Recording(
        signal.astype(np.float32),
        rate_hz,
        label,
        subject="1",
        repetition=np.repeat(np.arange(1, len(label) // n_samples + 1), n_samples),
        unit=unit,
        label_names=("rest", "fist"),
    )
    ms = 1000 * n_samples / rate_hz
    return Windows.cut(recording, Windowing(length_ms=ms, step_ms=ms))


def others(n_channels: int, n_samples: int) -> list[tuple[Windows | np.ndarray, type[MyographError], str]]:
    """Windows that differ in one respect from those of this shape, with the error and its words."""
    shape = (n_channels, n_samples)
    longer, fewer = windows(n_channels, n_samples + 50), windows(n_channels - 1, n_samples)
    length = f"windows of {n_samples} samples, got windows of {n_samples + 50} samples"
    channels = f"windows of {n_channels} channels, got {n_channels - 1}"
    return [
        (windows(*shape, rate_hz=RATE / 2), SignalError, "fitted at 1000 Hz, got 500 Hz"),
        (windows(*shape, unit="adc"), SignalError, "fitted on samples in uV, got samples in adc"),
        (longer, ShapeError, length),
        (longer.batch(), ShapeError, length),
        (fewer, ShapeError, channels),
        (fewer.batch(), ShapeError, channels),
    ]


def method(name: str):
    if name not in MODELS:
        return METHODS[name]()
    return METHODS[name](epochs=1, device="cpu", model_options=OPTIONS.get(name))


@pytest.fixture(autouse=True)
def _one_thread():
    """Several threads would wait for each other on a busy machine, and the networks see eight windows only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_refuses_what_it_was_not_fitted_for(name):
    shape = SHAPES.get(name, (N_CHANNELS, N_SAMPLES))
    train, test = windows(*shape), windows(*shape, seed=1)
    model = method(name).fit(train, train.y)
    expected = model.predict(test)
    assert len(expected) == 8
    assert set(expected) <= {"rest", "fist"}
    assert np.array_equal(model.predict(test.batch()), expected)  # an array says no rate and no unit
    for given in (model, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        for other, error, words in others(*shape):
            with pytest.raises(error, match=words):
                given.predict(other)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_refuses_one_class(name):
    train = windows(labels=(1,))
    with pytest.raises(ConfigError, match="only the class 'fist' in 4 windows"):
        method(name).fit(train, train.y)
    with pytest.raises(ConfigError, match="only the class 'fist' in 4 windows"):
        method(name).fit(train.batch(), train.y)


def test_a_clone_and_another_fit_forget_the_kind():
    train, other = windows(), windows(n_channels=3, n_samples=100, rate_hz=500.0, unit="adc")
    features = Features("MAV").fit(train)
    assert (features.n_features_in_, features.n_samples_) == (8, 200)
    assert (features.rates_hz_, features.units_) == ((1000.0,), ("uV",))
    assert clone(features).transform(other).shape == (8, 3)  # features learn nothing, so none were fitted for
    assert features.fit(other).transform(other).shape == (8, 3)
    with pytest.raises(ShapeError):
        features.transform(train)


def test_what_fit_saw_several_of_is_allowed():
    slow, fast = windows(rate_hz=500.0, n_samples=100), windows(unit="adc")
    features = Features("MAV").fit(Windows.concatenate([slow, fast]))
    assert len(features.transform(slow)) == len(features.transform(fast)) == 8
    assert len(features.transform(windows(n_samples=300))) == 8  # lengths differed in `fit`, as those of bursts do
    with pytest.raises(SignalError, match="fitted at 500 or 1000 Hz, got 2000 Hz"):
        features.transform(windows(rate_hz=2000.0))
    with pytest.raises(SignalError, match="in adc or uV, got samples in normalised"):
        features.transform(windows(unit="normalised"))
    with pytest.raises(ShapeError, match="200 samples, got windows of several lengths"):
        Features("MAV").fit(fast).transform(Windows.concatenate([fast, windows(n_samples=100, unit="adc")]))


def test_a_recorders_clock_may_deviate_a_little():
    features = Features("MAV").fit(windows(rate_hz=1000.0))
    assert len(features.transform(windows(rate_hz=1000.2))) == 8
    with pytest.raises(SignalError, match="got 1010 Hz"):
        features.transform(windows(rate_hz=1010.0))


def test_the_rate_given_for_arrays_is_part_of_the_kind():
    features = Features("MNF", rate_hz=1000.0).fit(windows().batch())
    with pytest.raises(SignalError, match="fitted at 1000 Hz, got 500 Hz"):
        features.transform(windows(rate_hz=500.0))


def test_a_saved_network_keeps_the_unit(tmp_path):
    train = windows()
    model = NeuralClassifier("tsinganos", epochs=1, device="cpu").fit(train)
    loaded = NeuralClassifier.load(model.save(tmp_path / "net"), device="cpu")
    with pytest.raises(SignalError, match="in uV, got samples in adc"):
        loaded.predict(windows(unit="adc"))


def test_a_network_saved_by_the_first_version_knows_no_unit():
    loaded = NeuralClassifier.load(Path(__file__).parent / "golden" / "network.safetensors", device="cpu")
    shape = {"n_channels": loaded.n_channels_, "n_samples": loaded.n_samples_}
    known = shape | ({"rate_hz": loaded.rate_hz_} if loaded.rate_hz_ else {})
    for unit in ("uV", "adc"):
        assert len(loaded.predict(windows(**known, unit=unit))) == 8
    with pytest.raises(MyographError, match="channels"):
        loaded.predict(windows(**known | {"n_channels": loaded.n_channels_ + 1}))


TRANSFORMERS = {
    "tangent": lambda: TangentSpace(),
    "spectrogram": lambda: Spectrogram(segment_ms=64, hop_ms=32),
    "wavelet": lambda: WaveletImages(),
    "pca": lambda: ChannelPCA(3, placement="flat"),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_of_windows_refuse_other_kinds_and_one_class(name):
    train, test = windows(), windows(seed=1)
    fitted = TRANSFORMERS[name]().fit(train, train.y)
    assert len(fitted.transform(test)) == 8
    for other, error, _ in others(N_CHANNELS, N_SAMPLES):
        with pytest.raises(error):
            fitted.transform(other)
    one = windows(labels=(1,))
    with pytest.raises(ConfigError, match="only the class 'fist'"):
        TRANSFORMERS[name]().fit(one, one.y)
    assert len(TRANSFORMERS[name]().fit(one).transform(one)) == 4


@pytest.mark.parametrize("name", ["svm", "knn"])
def test_a_search_refuses_one_class(name):
    one = windows(labels=(1,))
    with pytest.raises(ConfigError, match="only the class 'fist'"):
        METHODS.create(name, search=True).fit(one, one.y)


def test_a_network_says_what_it_was_trained_on(tmp_path):
    first, second = windows(), windows(seed=1).with_columns(subject="2")
    model = NeuralClassifier("tsinganos", epochs=1, device="cpu").fit(first)
    assert model.trained_on_ == {"data": [], "people": ["1"], "sessions": 1, "windows": 8}
    path = model.save(tmp_path / "net")
    assert NeuralClassifier.load(path, device="cpu").trained_on_ == model.trained_on_
    both = {"data": [], "people": ["1", "2"], "sessions": 2, "windows": 16}
    assert model.partial_fit(second).trained_on_ == both
    begun = NeuralClassifier("tsinganos", epochs=1, device="cpu", pretrained=path).fit(second)
    assert begun.trained_on_ == both
    assert fine_tune(NeuralClassifier.load(path, device="cpu"), second).trained_on_ == both
    weights = NeuralClassifier("tsinganos", epochs=1, device="cpu", pretrained=model.module_.state_dict())
    assert weights.fit(second).trained_on_["data"] == ["unknown data"]
    assert NeuralClassifier("tsinganos", epochs=1, device="cpu").fit(first.batch(), first.y).trained_on_["people"] == []


def test_what_was_fitted_before_is_said_as_far_as_it_is_known(tmp_path):
    train = windows()
    network = NeuralClassifier("tsinganos", epochs=1, device="cpu").fit(train)
    path = network.save(tmp_path / "net")
    told = "1 person (1), 1 session, 8 windows"
    begins = NeuralClassifier(pretrained=str(path))
    start = f"NeuralClassifier: begins with the file {path}, fitted before this run on {told}"
    assert fitted_before(begins) == [start]
    assert fitted_before(begins, ["2", "1"]) == [f"{start}; people of the same names are in this run: 1"]
    loaded = FrozenEstimator(NeuralClassifier.load(path, device="cpu"))
    assert fitted_before(loaded) == [f"NeuralClassifier: fitted before this run, on {told}"]
    method = METHODS.create("lda").fit(train, train.y)
    assert f"Features: fitted before this run, on {told}" in fitted_before(FrozenEstimator(method))


@pytest.mark.parametrize(
    "origin", [{"people": ["1"]}, [1], {"data": [], "people": [1], "sessions": 1, "windows": 1}, {"data": [], "people": [], "sessions": -1, "windows": 1}]
)  # fmt: skip
def test_an_origin_that_is_not_written_as_ours_is_refused(origin):
    with pytest.raises(ValueError, match="expected data, people, sessions and windows"):
        checked_origin(origin)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.zeros((40, 2)), ShapeError, r"got shape \(40, 2\); use x\[None\]"),
        (np.zeros((3, 0, 40)), ShapeError, r"got shape \(3, 0, 40\)"),
        (np.full((3, 2, 40), "1"), SignalError, "samples must be real numbers"),
        (np.full((3, 2, 40), np.nan), SignalError, "NaN or infinite samples, the first in window 0"),
        (np.full((3, 2, 40), -np.inf, np.float32), SignalError, "NaN or infinite samples, the first in window 0"),
    ],
)
@pytest.mark.parametrize("transformer", [Features("MAV"), TangentSpace(), TrainHistogram(), Spectrogram(rate_hz=RATE)])
def test_every_transformer_refuses_what_is_not_windows_with_the_same_words(transformer, given, error, message):
    with pytest.raises(error, match=message):
        clone(transformer).fit(given)
