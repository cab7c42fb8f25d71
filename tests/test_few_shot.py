"""Prototypes on a network's last hidden layer, and AdaBN with labels, against NumPy, scikit-learn and steps by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.neighbors import NearestCentroid
from torch import nn

from myograph import LeaveOneSubjectOut, Windowing, Windows
from myograph.errors import ConfigError, LeakageWarning, NotAdaptedWarning
from myograph.evaluation.recipe import Recipe
from myograph.evaluation.run import evaluate
from myograph.methods import AdaBN, Prototypes, lda
from myograph.testing import make_recording
from myograph.training import NeuralClassifier
from myograph.training.transfer import adapt_batch_norm, embeddings, last_layer, train_last_layer

SMALL = {"bands": 2, "combinations": 4, "hidden": 16, "jitter": 0.0}
OTHER = np.array([0.3, 3.0, 0.4, 2.0])


def person(name, seed, gain=1.0, session="1"):
    one = make_recording(name, session, n_classes=4, seed=seed)
    return one.with_signal((one.signal * np.broadcast_to(gain, 4)[:, None]).astype(np.float32))


def cut(*recordings):
    return Windows.cut(list(recordings), Windowing(200, 50))


def network(epochs=15, **options):
    return NeuralClassifier("myonet", SMALL, epochs=epochs, batch_size=32, lr=0.01, device="cpu", **options)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def people():
    """Windows of three people for training, and those of a fourth whose electrodes have other gains."""
    return cut(*(person(str(i), i) for i in range(3))), cut(person("new", 9, OTHER))


@pytest.fixture(scope="module")
def fitted(people):
    return network().fit(people[0], people[0].y)


def split(windows):
    first = windows.column("repetition") == 1
    return windows[first], windows[~first]


def accuracy(method, windows):
    return float((method.predict(windows.without_labels()) == windows.y).mean())


def hidden_of(network, windows):
    """Second route: the layers of myonet, each called in turn."""
    with torch.no_grad():
        x = network.normalise_(torch.from_numpy(windows.batch().astype(np.float32)))
        return network.module_.mlp(network.module_.features(x)).numpy()


# Training


class Two(nn.Module):
    """Layers that are declared in another order than they run."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.head = nn.Linear(6, n_classes)
        self.body = nn.Conv1d(n_channels, 6, 5)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)).mean(2))


class Convolved(nn.Module):
    """A network whose last layer is a convolution."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.body, self.out = nn.Conv1d(n_channels, 6, 5), nn.Conv1d(6, n_classes, 1)

    def forward(self, x):
        return self.out(torch.relu(self.body(x))[..., :2]).mean(2)


class Without(nn.Module):
    """A network without linear layers."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_channels, n_classes))

    def forward(self, x):
        return x.std(2) @ self.weight


def test_the_last_layer_is_the_one_that_runs_last(people, fitted):
    train, new = people
    assert last_layer(fitted, new) == "head"
    for model, name, shape in ((Two, "head", (len(new), 6)), (Convolved, "out", (len(new), 12))):
        one = NeuralClassifier(model, epochs=1, device="cpu").fit(train, train.y)
        assert last_layer(one, new) == name
        assert embeddings(one, new).shape == shape
    with pytest.raises(ConfigError, match="no linear or convolutional layer"):
        last_layer(NeuralClassifier(Without, epochs=1, device="cpu").fit(train, train.y), new)
    with pytest.raises(ConfigError, match="needs a fitted NeuralClassifier"):
        embeddings(network(), new)


def test_embeddings_are_the_inputs_of_the_last_layer(people, fitted):
    _, new = people
    found = embeddings(fitted, new)
    np.testing.assert_allclose(found, hidden_of(fitted, new), rtol=1e-4, atol=1e-5)
    head = fitted.module_.head
    logits = found @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(softmax(logits, axis=1), fitted.predict_proba(new), atol=1e-5)


def test_a_step_of_the_last_layer_is_that_of_gradient_descent(people, fitted):
    _, new = people
    one = copy.deepcopy(fitted).set_params(optimizer="sgd", optimizer_options={"momentum": 0.0}, batch_size=1000)
    one.set_params(weight_decay=0.0, clip_norm=None)
    tuned = train_last_layer(one, new, new.y, epochs=1, lr=0.1)
    hidden, head = hidden_of(fitted, new), fitted.module_.head
    logits = hidden @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    error = softmax(logits, axis=1) - (new.y[:, None] == fitted.classes_)
    expected = head.weight.detach().numpy() - 0.1 * error.T @ hidden / len(new)
    np.testing.assert_allclose(tuned.module_.head.weight.detach().numpy(), expected, atol=1e-5)
    bias = head.bias.detach().numpy() - 0.1 * error.mean(axis=0)
    np.testing.assert_allclose(tuned.module_.head.bias.detach().numpy(), bias, atol=1e-5)


def test_only_the_last_layer_is_trained_and_later_training_reaches_all(people, fitted):
    train, new = people
    state = copy.deepcopy(fitted.module_.state_dict())
    tuned = train_last_layer(fitted, new, new.y, epochs=3)
    changed = {n for n, v in tuned.module_.state_dict().items() if not torch.equal(v, state[n])}
    assert changed == {"head.weight", "head.bias"}
    assert all(torch.equal(v, state[n]) for n, v in fitted.module_.state_dict().items())
    assert tuned.get_params()["layers"] is None
    tuned.partial_fit(train, train.y)
    assert not torch.equal(tuned.module_.bands, state["bands"])
    for epochs in (0, 1.5):
        with pytest.raises(ConfigError, match="epochs must be a whole number"):
            train_last_layer(fitted, new, new.y, epochs=epochs)


# AdaBN


def test_labels_replace_statistics_and_train_the_last_layer(people):
    train, new = people
    labelled, later = split(new)
    method = AdaBN(network(), epochs=10).fit(train, train.y)
    before, first = accuracy(method, later), copy.deepcopy(method.estimator_)
    method.calibrate(labelled, labelled.y)
    now, expected = method.estimator_.module_, adapt_batch_norm(first, labelled).module_
    for name, value in expected.state_dict().items():
        assert torch.equal(now.state_dict()[name], value) == (not name.startswith("head.")), name
    assert accuracy(method, later) > max(0.9, before)
    head = now.head.weight.clone()
    method.adapt(later.without_labels())
    assert torch.equal(method.estimator_.module_.head.weight, head)
    assert not torch.equal(method.estimator_.module_.mlp[0].running_mean, now.mlp[0].running_mean)
    assert accuracy(method, later) > 0.9
    with pytest.raises(ConfigError, match="windows of the classes wave"):
        method.calibrate(labelled[:4], np.array(["wave"] * 4))


def test_classes_without_labelled_windows_stay(people):
    train, new = people
    some = new[new.y != "rest"]
    method = AdaBN(network(), epochs=1).fit(train, train.y).calibrate(some, some.y)
    assert method.classes_.tolist() == np.unique(train.y).tolist()
    assert method.predict_proba(new[new.y == "rest"]).shape == (28, 4)


# Prototypes


def test_prototypes_are_class_means_and_the_nearest_one_decides(people):
    train, new = people
    method = Prototypes(network()).fit(train, train.y)
    hidden, there = hidden_of(method.estimator_, train), hidden_of(method.estimator_, new)
    nearest = NearestCentroid().fit(hidden, train.y)
    np.testing.assert_allclose(method.prototypes_, nearest.centroids_, rtol=1e-3, atol=1e-4)
    assert (method.predict(new) == nearest.predict(there)).mean() > 0.99
    distance = cdist(there, nearest.centroids_, "sqeuclidean")
    expected = softmax(-distance / method.temperature_, axis=1)
    np.testing.assert_allclose(method.predict_proba(new), expected, atol=1e-3)


def test_labelled_windows_move_the_prototypes_by_hand(people):
    train, new = people
    labelled, later = split(new)
    fitted = Prototypes(network(), strength=3.0).fit(train, train.y)
    with pytest.warns(LeakageWarning):
        copy.deepcopy(fitted).calibrate(labelled, labelled.y).predict(labelled)
    seen = labelled[labelled.y != "rest"]
    method = copy.deepcopy(fitted).calibrate(seen, seen.y)
    hidden, overlap = hidden_of(method.estimator_, seen), 200 * 7 / 500  # seven windows of 200 ms in half a second
    means = {name: hidden[seen.y == name].mean(axis=0) for name in np.unique(seen.y)}
    source = dict(zip(fitted.classes_, fitted.prototypes_))
    shift = np.mean([means[name] - source[name] for name in means], axis=0)
    for name, found in zip(method.classes_, method.prototypes_):
        n = 7 / overlap if name in means else 0.0
        expected = (3.0 * (source[name] + shift) + n * means.get(name, 0.0)) / (3.0 + n)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    calibrated = copy.deepcopy(fitted).calibrate(labelled, labelled.y)
    assert accuracy(calibrated, later) >= accuracy(fitted, later)
    alone = Prototypes(network(), strength=0.0).fit(train, train.y).calibrate(labelled, labelled.y)
    nearest = NearestCentroid().fit(hidden_of(alone.estimator_, labelled), labelled.y)
    assert (alone.predict(later) == nearest.predict(hidden_of(alone.estimator_, later))).mean() > 0.99


def test_one_step_of_soft_k_means_by_hand_and_its_guard(people):
    train, new = people
    fitted = Prototypes(network(), strength=5.0, overlap=2.0).fit(train, train.y)
    x = new.batch()
    method = copy.deepcopy(fitted).adapt(x)
    assert method.adapted_
    share, hidden = fitted.predict_proba(x), hidden_of(fitted.estimator_, new)
    for k, found in enumerate(method.prototypes_):
        total = 5.0 * fitted.prototypes_[k] + sum(s * h for s, h in zip(share[:, k], hidden)) / 2.0
        np.testing.assert_allclose(found, total / (5.0 + share[:, k].sum() / 2.0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(method.adapt(x[::-1]).prototypes_, copy.deepcopy(fitted).adapt(x[::-1]).prototypes_)
    with pytest.warns(NotAdaptedWarning, match="classes for long enough"):
        method.adapt(train[train.y == "rest"].batch())
    np.testing.assert_array_equal(method.prototypes_, fitted.prototypes_)


def test_what_does_not_fit_is_told(people):
    train, new = people
    with pytest.raises(ConfigError, match="Prototypes needs a NeuralClassifier, got CalibratedLDA"):
        Prototypes(lda()).fit(train, train.y)
    with pytest.raises(ConfigError, match="strength must be"):
        Prototypes(network(), strength=-1.0).fit(train, train.y)
    with pytest.raises(ConfigError, match="windows of the classes wave"):
        Prototypes(network(epochs=1)).fit(train, train.y).calibrate(new[:4], np.array(["wave"] * 4))


@pytest.mark.parametrize("name", ["adabn", "prototypes"])
def test_recipes_adapt_and_calibrate(name):
    recordings = [person(str(i), i, session=s) for i in range(3) for s in ("1", "2")]
    recipe = Recipe(
        "mine",
        "mine",
        LeaveOneSubjectOut(calibration_repetitions=1),
        name,
        method_options={"epochs": 10, "batch_size": 32, "lr": 0.01, "model_options": SMALL, "device": "cpu"},
        windowing=Windowing(200, 50),
        rest="keep",
        transfer="adapt",
    )
    scores = evaluate(recipe, recordings)
    assert scores.summary["accuracy"]["mean"] > 0.9
