"""The networks' estimator: scikit-learn's contract, honest validation, exact resume, files, determinism."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from myograph import KFoldRepetitions, Recording, Windowing, Windows
from myograph.errors import ConfigError, ShapeError, SignalError, UnknownNameError
from myograph.training.batches import Normalise, split_by_repetition
from myograph.training.estimator import NeuralClassifier, NeuralRegressor
from myograph.training.loop import Trainer
from networks import Net, Recurrent, same, small, toy, toy_windows, weights

# scikit-learn's contract


def test_learns_and_answers_in_the_labels_it_was_given():
    X, y, _ = toy()
    fitted = small(epochs=20).fit(X, y)
    assert fitted.score(X, y) > 0.95
    assert fitted.classes_.tolist() == ["a", "b", "z"]
    proba = fitted.predict_proba(X[:7])
    assert proba.shape == (7, 3)
    assert np.allclose(proba.sum(1), 1, atol=1e-5)
    assert (fitted.classes_[proba.argmax(1)] == fitted.predict(X[:7])).all()


@pytest.mark.parametrize("labels", [(3, 17, -4), ("fist", "open"), (True, False), (2.0, 5.0, 9.0)])
def test_any_labels(labels):
    X, y, _ = toy(labels)
    assert set(small(epochs=1).fit(X, y).predict(X).tolist()) <= set(labels)


def test_parameters_are_explicit_and_clone_is_unfitted():
    given_params = {"lr": 0.02, "augment": (("noise", 25.0),), "layers": {"conv": 0}}
    a = small(**given_params)
    b = clone(a)
    assert {k: b.get_params()[k] for k in given_params} == given_params
    with pytest.raises(NotFittedError, match="not fitted"):
        b.predict(toy()[0])
    with pytest.raises(NotFittedError):
        b.network_  # noqa: B018


def test_refitting_starts_anew_and_parameters_stay_as_given():
    X, y, _ = toy()
    a = small()
    before = dict(a.get_params())
    first = weights(a.fit(X, y))
    assert same(first, weights(a.fit(X, y)))
    assert a.get_params() == before


def test_in_pipeline_grid_search_and_cross_validation():
    w = toy_windows()
    scores = cross_validate(small(epochs=20), w, w.y, cv=KFoldRepetitions(n_splits=3))
    assert scores["test_score"].min() > 0.6
    X, y, _ = toy()
    pipe = make_pipeline(FunctionTransformer(np.abs), small())
    search = GridSearchCV(pipe, {"neuralclassifier__lr": [1e-2, 1e-3]}, cv=2).fit(X, y)
    assert search.best_params_["neuralclassifier__lr"] in (1e-2, 1e-3)
    assert search.predict(X).shape == y.shape


def test_parameters_may_be_numpy_s_numbers():
    X, y, groups = toy()
    numpy_s = {"lr": np.float64(1e-2), "batch_size": np.int64(32), "epochs": np.int32(2), "seed": np.int64(3)}
    layers = {"head": {"lr": np.float64(2e-2)}}
    a = small(**numpy_s, layers=layers, validation=0.34).fit(X, y, groups)
    plain = {k: v.item() for k, v in numpy_s.items()}
    b = small(**plain, layers={"head": {"lr": 2e-2}}, validation=0.34).fit(X, y, groups)
    assert same(weights(a), weights(b))
    assert small(**numpy_s).partial_fit(X, y).seed == 3
    searched = GridSearchCV(small(epochs=1), {"lr": np.logspace(-3, -2, 2)}, cv=2, error_score="raise").fit(X, y)
    assert searched.best_params_["lr"] in (1e-3, 1e-2)


def test_windows_and_their_array_train_alike():
    w = toy_windows()
    from_windows, from_array = small().fit(w), small().fit(np.asarray(w), w.y)
    assert same(weights(from_windows), weights(from_array))
    assert np.array_equal(from_windows.predict(w), from_array.predict(np.asarray(w)))
    assert from_windows.rate_hz_ == 1000.0
    assert from_windows.score(w) == from_windows.score(w, w.y)


def test_partial_fit_learns_epoch_by_epoch_with_all_classes_named():
    X, y, _ = toy()
    a = small()
    a.partial_fit(X[y != "z"], y[y != "z"], classes=["a", "b", "z"])
    for _ in range(15):
        a.partial_fit(X, y)
    assert a.score(X, y) > 0.85
    assert len(a.history_) == 16
    with pytest.raises(ShapeError, match="'q'"):
        a.partial_fit(X, np.full(len(X), "q"))
    a.partial_fit(X, y, classes=["z", "a", "b"])
    with pytest.raises(ConfigError, match="the first call set classes"):
        a.partial_fit(X, y, classes=["a", "b", "q", "z"])


def test_partial_fit_goes_on_after_fit():
    X, y, _ = toy()
    a = small(epochs=15).fit(X, y)
    before = a.score(X, y)
    a.partial_fit(X, y)
    assert a.score(X, y) > before - 0.1
    assert a.history_["epoch"].tolist() == list(range(1, 17))


@pytest.mark.parametrize(
    ("X", "y", "error", "says"),
    [
        (np.zeros((6, 4, 24)), np.zeros(6), ConfigError, "two classes or more"),
        (np.zeros((6, 4, 24)), np.arange(5), ShapeError, "6 windows and y 5"),
        (np.zeros((6, 4, 24, 2)), np.arange(6), ShapeError, r"\(window, channel, time\)"),
        (np.full((6, 4, 24), np.nan), np.arange(6) % 2, SignalError, "first in window 0"),
        (np.zeros((6, 4, 24)), None, ShapeError, "y is missing"),
        (np.zeros((6, 4, 24)), np.linspace(0, 1, 6), ShapeError, "NeuralRegressor"),
        (np.zeros((3, 4, 24)), np.array(["a", None, 1], object), ShapeError, "cannot be sorted together"),
        (np.full((6, 4, 24), "x"), np.arange(6) % 2, SignalError, "numbers"),
        (np.zeros((0, 4, 24)), np.arange(0), ShapeError, "there are no windows"),
    ],
)
def test_unusable_data_is_explained(X, y, error, says):
    with pytest.raises(error, match=says):
        small().fit(X, y)


def test_windows_of_another_shape_or_rate_are_refused():
    X, y, _ = toy()
    a = small(epochs=1).fit(X, y)
    with pytest.raises(ShapeError, match="fitted on windows of 24 samples, got windows of 20"):
        a.predict(X[:, :, :20])
    w = toy_windows()
    b = small(epochs=1).fit(w)
    slower = Windows.cut(
        [Recording(r.signal, 500.0, r.label, r.subject, r.repetition) for r in w.recordings], Windowing(48, 24)
    )
    with pytest.raises(SignalError, match="fitted at 1000 Hz, got 500 Hz"):
        b.predict(slower)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"model": "atzory"}, UnknownNameError, "Did you mean 'atzori'"),
        ({"model": Net, "model_options": {"wide": 3}}, ConfigError, "wide"),
        ({"model": nn.Linear(2, 2)}, ConfigError, "pass the class"),
        ({"optimizer": "lion"}, ConfigError, "adamw"),
        ({"optimizer_options": {"beta": 1}}, ConfigError, "beta"),
        ({"schedule": "cosin"}, ConfigError, "cosine"),
        ({"schedule_options": {"every": 3}}, ConfigError, "period"),
        ({"schedule_options": {"period": 0}}, ConfigError, "'period' must be above 0, got 0"),
        ({"schedule_options": {"warmup": -1}}, ConfigError, "'warmup' must be at least 0"),
        ({"schedule": "step", "schedule_options": {"every": 0}}, ConfigError, "'every' must be at least 1"),
        ({"schedule": "step", "schedule_options": {"milestones": (3, "b")}}, ConfigError, "'milestones'.*'b'"),
        ({"schedule": "plateau", "schedule_options": {"wait": True}}, ConfigError, "'wait'"),
        ({"epochs": 0}, ConfigError, "epochs"),
        ({"batch_size": True}, ConfigError, "batch_size"),
        ({"layers": {"stem": 0}}, ConfigError, "stem"),
        ({"layers": {"*": 0}}, ConfigError, "freezes every"),
        ({"layers": {"*": -1}}, ConfigError, "at least 0"),
        ({"layers": {"*": "slow"}}, ConfigError, "a factor of lr"),
        ({"layers": {"*": {"lrr": 1}}}, ConfigError, "lr and weight_decay"),
        ({"layers": ["*"]}, ConfigError, "must map patterns"),
        ({"normalise": "zscore"}, ConfigError, "window_minmax"),
        ({"class_weight": {"q": 2.0}}, ConfigError, "q"),
        ({"sampling": "equal"}, ConfigError, "balanced"),
        ({"validation": 0.2}, ConfigError, "groups="),
        ({"device": "cuda:99"} if not torch.cuda.is_available() else {"device": "tpu"}, ConfigError, "device"),
        ({"augment_copies": 1}, ConfigError, "augment is empty"),
        ({"ema": 1.5}, ConfigError, "between 0 and 1"),
        ({"epochs": "many"}, ConfigError, "epochs must be a whole number"),
        ({"lr": "fast"}, ConfigError, "lr must be a number above 0"),
        ({"clip_norm": -1.0}, ConfigError, "clip_norm must be a number above 0"),
        ({"patience": 0, "validation": (1,)}, ConfigError, "patience must be a number of at least 1"),
        ({"patience": 3}, ConfigError, "validation is None"),
        ({"device": None}, ConfigError, "'auto'"),
        ({"label_smoothing": 2.0}, ConfigError, "label_smoothing must be a share"),
        ({"label_smoothing": -0.1}, ConfigError, "label_smoothing must be a share"),
        ({"class_weight": {"a": -1.0}}, ConfigError, "at least 0"),
        ({"augment": ["noise"], "augment_copies": -1}, ConfigError, "augment_copies must be a whole number"),
        ({"seed": None}, ConfigError, "seed must be a whole number"),
        ({"seed": -1}, ConfigError, "seed must be a whole number"),
        ({"lr": 1e30, "optimizer": "sgd", "schedule": "constant", "epochs": 9}, ConfigError, "diverged.*lower lr"),
    ],
)
def test_unusable_parameters_are_explained(changes, error, says):
    X, y, _ = toy()
    groups = np.arange(len(y)) % 6 if "patience" in changes else None
    with pytest.raises(error, match=says):
        small(**changes).fit(X, y, groups=groups)


def test_batch_norm_on_one_window_is_told():
    class Flat(nn.Sequential):
        def __init__(self, n_channels, n_classes, n_samples):
            width = n_channels * n_samples
            super().__init__(nn.Flatten(), nn.BatchNorm1d(width), nn.Linear(width, n_classes))

    X, y, _ = toy()
    with pytest.raises(ConfigError, match="batch norm cannot train on a batch of one window"):
        small(model=Flat).partial_fit(X[:1], y[:1], classes=["a", "b", "z"])


def test_labels_that_are_none_are_told():
    X, y, _ = toy()
    with pytest.raises(ShapeError, match="3 NaN labels"):
        small().fit(X, np.where(np.arange(len(y)) < 3, np.nan, 1.0))


# Validation by repetition


@settings(max_examples=40, deadline=None)
@given(
    subjects=st.integers(1, 3),
    repetitions=st.integers(2, 7),
    fraction=st.sampled_from([0.1, 0.25, 0.5, 0.9]),
    seed=st.integers(0, 5),
)
def test_validation_is_whole_repetitions(subjects, repetitions, fraction, seed):
    w = toy_windows(subjects, repetitions)
    train, valid = split_by_repetition(w, w.y, fraction, None, seed)
    assert sorted([*train, *valid]) == list(range(len(w)))
    key = lambda rows: set(zip(w.table["subject"].astype(str).iloc[rows], w.table["repetition"].iloc[rows]))  # noqa: E731
    assert not key(train) & key(valid)
    expected = min(max(1, round(fraction * repetitions)), repetitions - 1)
    assert len(key(valid)) == subjects * expected
    assert set(w.y[train]) == set(w.y)


def test_validation_drops_train_windows_that_reach_into_it():
    recording = toy_windows(1).recordings[0]
    w = Windows.cut(recording, Windowing(length_ms=24, step_ms=6, label_rule="majority"))
    train, valid = split_by_repetition(w, w.y, (2,), None, 0)
    a, b = w.table.iloc[train], w.table.iloc[valid]
    assert set(b["repetition"]) == {2}
    assert len(train) + len(valid) < len(w)
    overlap = (a["start"].to_numpy()[:, None] < b["stop"].to_numpy()) & (
        b["start"].to_numpy() < a["stop"].to_numpy()[:, None]
    )
    assert not overlap.any()


def test_validation_never_takes_a_class_s_only_repetition():
    X, y, groups = toy()
    groups = np.where(y == "a", 0, groups)  # class a was recorded once
    train, _ = split_by_repetition(X, y, 0.9, groups, 0)
    assert set(y[train]) == {"a", "b", "z"}
    with pytest.raises(ConfigError, match="record more"):
        split_by_repetition(X, y, 0.5, np.zeros(len(y)), 0)


def test_labels_without_information_stay_at_chance_in_validation():
    X, _, groups = toy(per=120)
    y = np.random.default_rng(0).permutation(np.repeat(["a", "b", "z"], 120))
    history = small(epochs=30, validation=0.34).fit(X, y, groups=groups).history_
    assert history["train_accuracy"].iloc[-1] > history["valid_accuracy"].iloc[-1] + 0.05
    assert history["valid_accuracy"].iloc[-1] < 0.5


def test_patience_stops_and_best_epoch_is_restored():
    X, y, groups = toy()
    a = small(epochs=200, validation=0.34, patience=3, lr=0.05, schedule="constant").fit(X, y, groups=groups)
    history = a.history_
    assert len(history) < 200
    best = int(history["valid_loss"].idxmin())
    assert a.best_epoch_ == history["epoch"][best]
    assert len(history) == best + 1 + 3
    _, valid = split_by_repetition(X, y, 0.34, groups, 0)
    proba = a.predict_proba(X[valid])[np.arange(len(valid)), np.searchsorted(a.classes_, y[valid])]
    assert -np.log(proba).mean() == pytest.approx(history["valid_loss"][best], rel=1e-4)


def test_normalisation_learns_from_train_rows_alone():
    X, y, groups = toy()
    held = np.isin(groups, [4])
    X[held] *= 1000
    a = small(epochs=1, validation=(4,)).fit(X, y, groups=groups)
    assert a.normalise_.mean[:, 0].numpy() == pytest.approx(X[~held].mean((0, 2)), rel=1e-3, abs=1e-3)
    assert 1 / a.normalise_.gain[:, 0].numpy() == pytest.approx(X[~held].astype(float).std((0, 2)), rel=1e-5)


# Normalisation


@settings(max_examples=25, deadline=None)
@given(offset=st.sampled_from([0.0, 1e4, -3e3]), size=st.integers(1, 40), seed=st.integers(0, 3))
def test_channel_statistics_merge_without_cancellation(offset, size, seed):
    x = np.random.default_rng(seed).normal(offset, 2.0, (37, 3, 11)).astype(np.float32)
    learnt = Normalise("channel", 3).learn(x, np.arange(37), size)
    assert learnt.mean[:, 0].numpy() == pytest.approx(x.astype(float).mean((0, 2)), rel=1e-6, abs=1e-5)
    assert 1 / learnt.gain[:, 0].numpy() == pytest.approx(x.astype(float).std((0, 2)), rel=1e-5)


def test_each_normalisation_by_its_definition():
    x = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (5, 4, 30)).astype(np.float32))
    x[2, 1] = 7.0  # a constant channel
    rows = np.arange(5)
    done = {k: Normalise(k, 4).learn(x.numpy(), rows)(x) for k in ("channel", "global", "window", "window_channel")}
    assert done["channel"].mean((0, 2)).abs().max() < 1e-5
    assert done["global"].mean().abs() < 1e-5
    assert done["global"].std() == pytest.approx(1, abs=0.01)
    assert done["window"].mean((1, 2)).abs().max() < 1e-5
    assert done["window_channel"][2, 1].abs().max() == 0
    assert done["window_channel"][0].std(1, correction=0).numpy() == pytest.approx(1, abs=1e-4)
    ranged = Normalise("window_minmax", 4)(x)
    assert ranged.amin((1, 2)).tolist() == [0] * 5
    assert ranged.amax((1, 2)).tolist() == pytest.approx([1] * 5)
    assert torch.equal(Normalise("none", 4)(x), x)


# Determinism, resume


def test_auto_precision_is_float32_on_a_cpu():
    X, y, _ = toy()
    found = {}
    for precision in ("float32", "auto", "bf16"):
        clf = NeuralClassifier("m5", epochs=1, normalise="none", precision=precision, device="cpu")
        found[precision] = clf.fit(np.tile(X[::7], (1, 1, 20)), y[::7]).module_.conv2.weight.detach()
    assert torch.equal(found["float32"], found["auto"])
    assert not torch.equal(found["float32"], found["bf16"])


def test_same_seed_same_weights_and_the_global_generators_are_untouched():
    X, y, _ = toy()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a = small(augment=["noise", "scale"], ema=0.99).fit(X, y)
    assert torch.equal(torch.rand(3), expected)
    b = small(augment=["noise", "scale"], ema=0.99).fit(X, y)
    c = small(augment=["noise", "scale"], ema=0.99, seed=1).fit(X, y)
    assert same(weights(a), weights(b))
    assert not same(weights(a), weights(c))


RESUMED = {
    "adamw, ema": {"ema": 0.9, "augment": ["noise"]},
    "sgd, plateau": {"optimizer": "sgd", "schedule": "plateau", "schedule_options": {"wait": 1}, "lr": 0.1},
    "validation": {"validation": 0.34, "sampling": "balanced", "schedule": "onecycle"},
    "recurrent": {"model": Recurrent, "optimizer": "rmsprop", "clip_norm": 1.0},
}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("which", RESUMED)
def test_a_killed_run_resumes_to_the_same_weights(which, tmp_path, monkeypatch):
    X, y, groups = toy()
    changes = {"epochs": 6, **RESUMED[which]}
    whole = small(**changes).fit(X, y, groups=groups)
    path = tmp_path / "run.safetensors"
    run = Trainer.run

    def killed(self, *args):
        for row in run(self, *args):
            if row["epoch"] == 4:
                raise Killed  # epoch 4 is trained, not written: it must be trained again
            yield row

    monkeypatch.setattr(Trainer, "run", killed)
    with pytest.raises(Killed):
        small(**changes, checkpoint=path).fit(X, y, groups=groups)
    monkeypatch.undo()
    resumed = small(**changes, checkpoint=path).fit(X, y, groups=groups)
    assert same(weights(whole), weights(resumed))
    assert resumed.history_.drop(columns="seconds").equals(whole.history_.drop(columns="seconds"))
    again = small(**changes, checkpoint=path).fit(X, y, groups=groups)  # finished: nothing left to train
    assert same(weights(whole), weights(again))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    X, y, _ = toy()
    path = tmp_path / "run.safetensors"
    small(epochs=1, checkpoint=path).fit(X, y)
    with pytest.raises(ConfigError, match="other parameters or other data"):
        small(epochs=1, lr=0.5, checkpoint=path).fit(X, y)
    with pytest.raises(ConfigError, match="other parameters or other data"):
        small(epochs=1, checkpoint=path).fit(X * 2, y)
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


def test_threads_that_train_at_once_do_not_disturb_each_other():
    X, y, _ = toy()
    alone = small(epochs=2).fit(X, y).predict_proba(X)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: small(epochs=2).fit(X, y).predict_proba(X), range(3)):
            np.testing.assert_array_equal(found, alone)


def test_a_checkpoint_goes_with_pretrained_arrays(tmp_path):
    X, y, _ = toy()
    path = tmp_path / "run.safetensors"
    weights = {k: v.numpy() for k, v in small(epochs=1).fit(X, y).module_.state_dict().items()}
    first = small(epochs=1, pretrained=weights, checkpoint=path).fit(X, y)
    again = small(epochs=1, pretrained=weights, checkpoint=path).fit(X, y)
    assert torch.equal(first.module_.conv.weight, again.module_.conv.weight)
    with pytest.raises(ConfigError, match="other parameters"):
        small(epochs=1, pretrained={**weights, "norm.bias": weights["norm.bias"] + 1}, checkpoint=path).fit(X, y)


# The regressor


def test_regressor_predicts_in_the_targets_unit(tmp_path):
    X, _, groups = toy(per=120)
    y = 1000 + 50 * X.std((1, 2))
    a = NeuralRegressor(Net, epochs=40, batch_size=32, lr=1e-2, validation=0.34, device="cpu").fit(X, y, groups=groups)
    assert a.score(X, y) > 0.9
    assert a.predict(X).shape == y.shape
    b = NeuralRegressor.load(a.save(tmp_path / "r"), device="cpu", model=Net)
    assert np.array_equal(a.predict(X), b.predict(X))
    two = NeuralRegressor(Net, epochs=2, loss="huber", device="cpu").fit(X, np.stack([y, -y], 1))
    assert two.predict(X).shape == (len(X), 2)
    with pytest.raises(NotFittedError):
        clone(a).predict(X)
    with pytest.raises(ShapeError, match="number"):
        clone(a).fit(X, np.full(len(X), "a"), groups=groups)


def test_a_regressor_keeps_its_number_of_targets():
    X, _, _ = toy()
    y = X.std((1, 2))
    one, two = NeuralRegressor(Net, device="cpu"), NeuralRegressor(Net, device="cpu")
    with pytest.raises(ShapeError, match="fitted on 1 targets per window, got 2"):
        one.partial_fit(X, y).partial_fit(X, np.stack([y, y], 1))
    with pytest.raises(ShapeError, match="fitted on 2 targets per window, got 1"):
        two.partial_fit(X, np.stack([y, y], 1)).partial_fit(X, y)
