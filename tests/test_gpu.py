"""Networks on a GPU: they compute what they compute on a CPU, and training resumes. Skipped where torch sees no GPU."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from myograph.errors import ShapeError
from myograph.models import MODELS
from myograph.training.batches import Batches, Normalise
from myograph.training.estimator import NeuralClassifier
from myograph.training.graphed import Graphed, graphable
from myograph.training.loop import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")
GPU = torch.device("cuda")


def data(n: int = 120, channels: int = 8, samples: int = 52, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Windows whose class is the channel with the largest amplitude."""
    y = np.arange(n) % classes
    X = np.random.default_rng(0).normal(size=(n, channels, samples)).astype(np.float32)
    X[np.arange(n), y] *= 4
    return X, y


@functools.lru_cache
def size_of(name: str) -> tuple[int, int]:
    """The first of the network's checked sizes that it takes."""
    for channels, samples in MODELS.checked(name).sizes:
        try:
            with torch.device("meta"):
                MODELS.create(name, n_channels=channels, n_classes=3, n_samples=samples, **MODELS.checked(name).options)
        except ShapeError:
            continue
        return channels, samples
    raise AssertionError(f"{name} takes none of its checked sizes")


@pytest.fixture
def exact(monkeypatch):
    """Convolutions in full float32, so that the two devices differ by rounding alone."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("name", list(MODELS))
def test_outputs_and_gradients_equal_the_cpus(name, exact):
    channels, samples = size_of(name)
    torch.manual_seed(0)
    on_cpu = MODELS.create(name, n_channels=channels, n_classes=3, n_samples=samples, **MODELS.checked(name).options)
    on_gpu = MODELS.create(name, n_channels=channels, n_classes=3, n_samples=samples, **MODELS.checked(name).options)
    on_gpu.load_state_dict(on_cpu.state_dict())
    on_gpu.to(GPU)
    x = torch.randn(16, channels, samples, generator=torch.Generator().manual_seed(1))
    on_cpu.eval()
    on_gpu.eval()
    with torch.no_grad():
        ours, theirs = on_gpu(x.to(GPU)).cpu(), on_cpu(x)
    assert (ours - theirs).abs().max() < 2e-4 * theirs.abs().max().clamp_min(1e-2)
    if any(isinstance(m, torch.nn.RNNBase) for m in on_gpu.modules()):
        return  # cuDNN has no gradient of a recurrent layer in evaluation mode
    on_cpu(x).square().mean().backward()
    on_gpu(x.to(GPU)).square().mean().backward()
    for (key, a), b in zip(on_cpu.named_parameters(), on_gpu.parameters()):
        if a.grad is None:
            assert b.grad is None, key
        else:
            scale = a.grad.abs().max().clamp_min(1e-6)
            assert (a.grad - b.grad.cpu()).abs().max() < 2e-2 * scale, key


@pytest.mark.parametrize("name", list(MODELS))
def test_every_network_trains_there_and_predicts_the_same_here(name, tmp_path):
    channels, samples = size_of(name)
    X, y = data(channels=max(channels, 3), samples=samples)
    X = X[:, :channels]
    options = dict(MODELS.checked(name).options)
    clf = NeuralClassifier(name, options, epochs=3, batch_size=32, device="cuda", precision="float32").fit(X, y)
    assert clf.history_["train_loss"].notna().all()
    clf.save(tmp_path / "net.safetensors")
    here = NeuralClassifier.load(tmp_path / "net.safetensors").set_params(device="cpu")
    np.testing.assert_allclose(here.predict_proba(X), clf.predict_proba(X), atol=2e-2)  # TensorFloat-32 there


def test_auto_takes_the_gpu_and_bf16_learns():
    X, y = data(300)
    clf = NeuralClassifier("atzori", epochs=25, batch_size=32, precision="auto").fit(X, y)
    assert next(clf.module_.parameters()).device.type == "cuda"
    assert clf.score(*data(300)) > 0.9


def test_a_stopped_training_resumes(tmp_path, exact, monkeypatch):
    X, y = data(200)
    make = functools.partial(NeuralClassifier, "atzori", batch_size=32, device="cuda", precision="float32", seed=3)
    whole = make(epochs=6, schedule="constant").fit(X, y)

    train_epoch, seen = Trainer._train_epoch, []

    def stops_in_the_fourth(*args):
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return train_epoch(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_epoch", stops_in_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            make(epochs=6, schedule="constant", checkpoint=tmp_path / "c").fit(X, y)
    resumed = make(epochs=6, schedule="constant", checkpoint=tmp_path / "c").fit(X, y)
    assert len(resumed.history_) == 6
    # Sums on a GPU come in no fixed order, so equal within rounding that six epochs have amplified.
    np.testing.assert_allclose(resumed.predict_proba(X), whole.predict_proba(X), atol=2e-2)


def test_batches_read_ahead_equal_batches_on_the_device():
    X, _ = data(50)
    rows = np.arange(50)[::-1].copy()
    parts = [torch.tensor([3, 1, 4]), torch.tensor([15, 9, 2, 6])]
    scale = Normalise("channel", 8).learn(X, rows).to(GPU)
    targets = torch.arange(50)
    there = list(Batches(X, rows, targets, scale, GPU).take(parts))
    ahead = list(Batches(X, rows, targets, scale, GPU, gather_bytes=0).take(parts))
    for (a, s), (b, t) in zip(there, ahead):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        assert torch.equal(s, t)


@pytest.mark.parametrize("name", ["atzori", "ding", "mobilenet_v2", "m5"])
def test_graphs_train_as_single_kernels_do(name, exact, monkeypatch):
    channels, samples = size_of(name)
    X, y = data(n=100, channels=max(channels, 3), samples=samples)  # a last batch of 4: not the graph's size
    X = X[:, :channels]
    options = dict(MODELS.checked(name).options)
    make = functools.partial(NeuralClassifier, name, options, epochs=2, batch_size=32, device="cuda", lr=1e-4)
    losses = {}
    for compiled in "01":
        monkeypatch.setenv("MYOGRAPH_COMPILED", compiled)
        graphs = []
        captured = Graphed._captured
        monkeypatch.setattr(Graphed, "_captured", lambda self, x, c=captured, g=graphs: g.append(c(self, x)) or g[-1])
        losses[compiled] = make(precision="float32").fit(X, y).history_["train_loss"].to_numpy()
        assert [g is not None for g in graphs] == [True] * int(compiled)
        monkeypatch.setattr(Graphed, "_captured", captured)
    # Dropout draws other numbers in a graph; without it only the order of sums differs.
    dropout = any(isinstance(m, torch.nn.Dropout) for m in make().fit(X, y).module_.modules())
    np.testing.assert_allclose(losses["1"], losses["0"], rtol=0.2 if dropout else 5e-3)


def test_making_a_graph_changes_nothing():
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 3)).to(GPU).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.cuda.get_rng_state()
    wrapped = Graphed(net).train()
    wrapped._captured(torch.randn(16, 4, device=GPU, generator=torch.Generator(GPU).manual_seed(0)))
    assert torch.equal(torch.cuda.get_rng_state(), state)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_network_that_reads_values_back_trains_without_a_graph():
    class Reads(torch.nn.Module):
        def __init__(self, n_channels, n_classes, n_samples):
            super().__init__()
            self.head = torch.nn.Linear(n_channels * n_samples, n_classes)

        def forward(self, x):
            return self.head(x.flatten(1)) * (1.0 if x.sum().item() > -1e9 else 2.0)

    X, y = data(300, channels=3, samples=20)
    clf = NeuralClassifier(Reads, epochs=5, device="cuda", precision="float32").fit(X.clip(-9, 9) ** 2, y)
    assert clf.history_["train_loss"].iloc[-1] < clf.history_["train_loss"].iloc[0]


def test_recurrent_networks_train_without_a_graph():
    assert graphable(MODELS.create("atzori", n_channels=8, n_classes=3, n_samples=20), GPU)
    assert not graphable(MODELS.create("fin_lstm", n_channels=1, n_classes=3, n_samples=20), GPU)
