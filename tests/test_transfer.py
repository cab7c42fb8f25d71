"""Pretraining, fine-tuning, adapted statistics, feature imitation, and one training over two processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.pipeline import make_pipeline
from torch import nn

from myograph import Recording, Windowing, Windows
from myograph.errors import ConfigError, ShapeError, UnknownNameError
from myograph.training.batches import Batches, Normalise
from myograph.training.estimator import NeuralClassifier
from myograph.training.imitation import (
    FeatureImitatingNet,
    FeatureImitation,
    feature_imitating_classifier,
    true_features,
)
from myograph.training.transfer import LayerwiseAutoencoder, adapt_batch_norm, fine_tune, layerwise_lr, progressive

CPU = torch.device("cpu")


class Hybrid(nn.Module):
    """Two convolutions with pooling and a dense head, named as a user would name them."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.conv1 = nn.Conv1d(n_channels, 8, 5, padding=2)
        self.conv2 = nn.Conv1d(8, 12, 7, padding=3)
        self.norm = nn.BatchNorm1d(12)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12, n_classes)

    def forward(self, x):
        h = self.drop(nn.functional.max_pool1d(nn.functional.leaky_relu(self.conv1(x), 0.3), 2))
        h = nn.functional.max_pool1d(nn.functional.leaky_relu(self.norm(self.conv2(h)), 0.3), 2)
        return self.head(h.mean(2))


class Odd2D(nn.Module):
    """2-D convolutions with odd sizes, strides and no padding."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.a = nn.Conv2d(1, 4, (3, 5), stride=(1, 2))
        self.b = nn.Conv2d(4, 4, (1, 4))
        self.head = nn.Linear(4, n_classes)

    def forward(self, x):
        return self.head(torch.relu(self.b(torch.relu(self.a(x[:, None])))).mean((2, 3)))


def bursts(n=120, channels=3, samples=50, seed=0):
    """Smooth random windows: something that an autoencoder can compress; the label is the tempo."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    t = np.arange(samples)
    phase = rng.uniform(0, 6.28, (n, channels, 1))
    return np.sin(t * (0.2 + 0.3 * y[:, None, None]) + phase).astype(np.float32) * 30, y


def batches_of(X):
    return Batches(X, np.arange(len(X)), None, Normalise("channel", X.shape[1]).learn(X, np.arange(len(X))), CPU)


def session(shift, seed=0, repetitions=4, channels=3, rate_hz=500.0):
    rng = np.random.default_rng(seed)
    label = np.tile(np.repeat([0, 1], 150), repetitions)
    repetition = np.repeat(np.arange(1, repetitions + 1), 300)
    size = np.where(label == 0, 10.0, 40.0) * np.linspace(1, 2, channels)[:, None]
    signal = rng.normal(size=(channels, len(label))) * size * shift
    return Recording(signal.astype(np.float32), rate_hz, label, "s", repetition, session=str(shift))


# Layer-wise autoencoders


@pytest.mark.parametrize("model", [Hybrid, Odd2D])
def test_autoencoders_learn_to_reconstruct_and_leave_their_weights(model):
    X, _ = bursts()
    torch.manual_seed(0)
    net = model(3, 2, 50)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    history = LayerwiseAutoencoder(epochs=25, lr=1e-2, batch_size=40)(net, batches_of(X), 0)
    names = [n for n, m in net.named_modules() if isinstance(m, (nn.Conv1d, nn.Conv2d))]
    assert list(history) == names
    for name in names:
        assert history[name][-1]["train_loss"] < 0.6 * history[name][0]["train_loss"]
    for key, value in net.state_dict().items():
        moved = not torch.equal(value, before[key])
        assert moved == (key.split(".")[0] in names), key
    assert all(p.requires_grad and p.grad is None for p in net.parameters())


def test_second_autoencoder_sees_the_frozen_first_encoder_without_dropout():
    X, _ = bursts()
    net = Hybrid(3, 2, 50)
    b = batches_of(X)
    from myograph.training.transfer import _Inputs

    x, same = next(_Inputs(net, "conv2", b).take([torch.arange(7)]))
    expected = nn.functional.max_pool1d(nn.functional.leaky_relu(net.conv1(b.data[:7]), 0.3), 2)
    assert torch.equal(x, expected)
    assert same is x
    first = net.conv1.weight.detach().clone()
    LayerwiseAutoencoder(layers=["conv2"], epochs=1)(net, b, 0)
    assert torch.equal(net.conv1.weight, first)


def test_published_autoencoder_shapes():
    """500 x 1 -> 250 x 32 -> 500 x 1, and 250 x 32 -> 125 x 64 -> 250 x 32 (Velasquez Rendon et al. 2023)."""
    from myograph.training.transfer import _Autoencoder

    for conv, shape, latent in (
        (nn.Conv1d(1, 32, 5, padding="same"), (2, 1, 500), (2, 32, 250)),
        (nn.Conv1d(32, 64, 7, padding="same"), (2, 32, 250), (2, 64, 125)),
    ):
        x = torch.randn(shape)
        coder = _Autoencoder(conv, x, 2, 0.3)
        seen = []
        coder.decoder.register_forward_pre_hook(lambda _, a, seen=seen: seen.append(tuple(a[0].shape)))
        assert coder(x).shape == shape
        assert seen == [latent]
        assert coder.decoder.kernel_size == conv.kernel_size
        assert coder.decoder.stride == (2,)


def test_pretraining_runs_inside_fit_on_train_windows_and_can_be_frozen():
    X, y = bursts()
    clf = NeuralClassifier(
        Hybrid,
        epochs=3,
        pretrain=LayerwiseAutoencoder(epochs=2),
        layers={"conv1": 0},
        device="cpu",
        batch_size=40,
    ).fit(X, y)
    assert list(clf.pretrain_history_) == ["conv1", "conv2"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        alone = Hybrid(3, 2, 50)
        torch.manual_seed(0)  # pretraining has a stream of its own
        LayerwiseAutoencoder(epochs=2)(alone, batches_of(X), 0)
    assert torch.allclose(clf.module_.conv1.weight, alone.conv1.weight, atol=1e-6)  # frozen since
    assert not torch.equal(clf.module_.conv2.weight, alone.conv2.weight)


def test_pretraining_explains_what_it_cannot_do():
    X, _ = bursts()
    with pytest.raises(ConfigError, match="its convolutions are conv1, conv2"):
        LayerwiseAutoencoder(layers=["head"])(Hybrid(3, 2, 50), batches_of(X), 0)
    with pytest.raises(ConfigError, match="no convolution"):
        LayerwiseAutoencoder()(nn.Sequential(nn.Flatten(), nn.Linear(150, 2)), batches_of(X), 0)


# Fine-tuning


def test_new_head_on_a_pretrained_body(tmp_path):
    X, y = bursts()
    source = NeuralClassifier(Hybrid, epochs=8, batch_size=40, device="cpu", lr=1e-2).fit(X, y)
    path = source.save(tmp_path / "source")
    three = np.arange(len(X)) % 3
    for pretrained in (str(path), source.module_.state_dict()):
        frozen = {"conv1": 0, "conv2": 0, "norm": 0}
        target = NeuralClassifier(Hybrid, epochs=1, device="cpu", pretrained=pretrained, layers=frozen).fit(X, three)
        assert torch.equal(target.module_.conv2.weight, source.module_.conv2.weight)
        assert torch.equal(target.module_.norm.running_var, source.module_.norm.running_var)
        assert target.module_.head.weight.shape == (3, 12)
        assert "head.weight" not in target.pretrained_names_
    with pytest.raises(ConfigError, match="no weight in pretrained fits"):
        NeuralClassifier(Odd2D, epochs=1, device="cpu", pretrained=str(path)).fit(X, y)


def test_fine_tuning_starts_from_the_fitted_weights_and_leaves_them():
    X, y = bursts()
    source = NeuralClassifier(Hybrid, epochs=10, batch_size=40, device="cpu", lr=1e-2).fit(X, y)
    before = {k: v.clone() for k, v in source.module_.state_dict().items()}
    tuned = fine_tune(source, X * 2, y, epochs=1, lr=1e-6, schedule="constant")
    for name, p in tuned.module_.named_parameters():
        assert torch.allclose(p, before[name], atol=1e-4), name
    assert all(torch.equal(v, before[k]) for k, v in source.module_.state_dict().items())
    with pytest.raises(ConfigError, match="got NeuralClassifier; fit it"):
        fine_tune(NeuralClassifier(Hybrid), X, y)
    with pytest.raises(ConfigError, match="got Pipeline; give the pipeline's last step"):
        fine_tune(make_pipeline(source), X, y)


def test_layerwise_rates_fall_towards_the_input():
    rates = layerwise_lr(Hybrid(3, 2, 50), decay=0.5, freeze=1)
    assert rates == {"conv1": 0.0, "conv2": 0.25, "norm": 0.5, "head": 1.0}
    X, y = bursts()
    start = NeuralClassifier(Hybrid, epochs=1, device="cpu").fit(X, y)
    tuned = fine_tune(start, X, y, epochs=1, optimizer="sgd", weight_decay=0.0, layers=rates, schedule="constant")
    assert torch.equal(tuned.module_.conv1.weight, start.module_.conv1.weight)
    assert not torch.equal(tuned.module_.conv2.weight, start.module_.conv2.weight)
    with pytest.raises(ConfigError, match="between 0 and 3"):
        layerwise_lr(Hybrid(3, 2, 50), freeze=4)


def test_progressive_takes_whole_repetitions_in_order():
    w = Windows.cut([session(1.0), session(2.0)], Windowing(100, 50))
    parts = dict(progressive(w))
    assert list(parts) == [1, 2, 3, 4]
    for k, rows in parts.items():
        table = w.table.iloc[rows]
        assert set(table["repetition"]) == set(range(1, k + 1))
        assert table["session"].nunique() == 2
    assert len(parts[4]) == len(w)
    with pytest.raises(ConfigError, match="between 1 and 4, the number of repetitions"):
        list(progressive(w, [5]))


# Adapted batch norm


def test_adapted_statistics_are_the_target_s_own():
    X, y = bursts()
    fitted = NeuralClassifier(Hybrid, epochs=2, device="cpu").fit(X, y)
    target = X * 3 + 5
    adapted = adapt_batch_norm(fitted, target)
    with torch.no_grad():
        h = nn.functional.max_pool1d(
            nn.functional.leaky_relu(fitted.module_.conv1(fitted.normalise_(torch.from_numpy(target))), 0.3), 2
        )
        h = fitted.module_.conv2(h).numpy()
    assert adapted.module_.norm.running_mean.numpy() == pytest.approx(h.mean((0, 2)), rel=1e-4, abs=1e-5)
    assert adapted.module_.norm.running_var.numpy() == pytest.approx(h.var((0, 2), ddof=1), rel=1e-4)
    in_parts = adapt_batch_norm(fitted, target, batch_size=50)
    assert in_parts.module_.norm.running_mean.numpy() == pytest.approx(h.mean((0, 2)), rel=1e-3, abs=1e-4)
    assert not torch.equal(fitted.module_.norm.running_mean, adapted.module_.norm.running_mean)
    for a, b in zip(fitted.module_.parameters(), adapted.module_.parameters()):
        assert torch.equal(a, b)
    assert adapted.module_.norm.momentum == 0.1
    with pytest.raises(ConfigError, match="no batch norm"):
        adapt_batch_norm(NeuralClassifier(Odd2D, epochs=1, device="cpu").fit(X, y), X)


def test_adaptation_recovers_a_shifted_session():
    wide = Windowing(100, 20)
    source, target = (Windows.cut(session(s, seed=i), wide) for i, s in enumerate((1.0, 6.0)))
    fitted = NeuralClassifier(Hybrid, epochs=40, lr=1e-2, batch_size=32, device="cpu").fit(source)
    assert fitted.score(source) > 0.95
    assert adapt_batch_norm(fitted, target).score(target) > fitted.score(target) + 0.1


# Feature imitation


def test_true_features_by_numpy_and_scipy():
    x = np.random.default_rng(0).normal(0.3, 1, (5, 2, 80))
    rms, var, ssi, ent = np.moveaxis(true_features(torch.from_numpy(x)).numpy(), 2, 0)
    assert rms == pytest.approx(np.sqrt((x**2).mean(2)))
    assert var == pytest.approx(np.var(x, axis=2))
    assert ssi == pytest.approx((x**2).sum(2))
    softmax = np.exp(x) / np.exp(x).sum(2, keepdims=True)
    assert ent == pytest.approx(stats.entropy(softmax, axis=2))
    with pytest.raises(UnknownNameError, match="'rms'"):
        true_features(torch.from_numpy(x), ["rmss"])


def test_var_and_ssi_are_the_same_feature_once_standardised():
    x = torch.from_numpy(np.random.default_rng(0).normal(0, np.linspace(0.1, 4, 400)[:, None, None], (400, 1, 600)))
    f = true_features(x)[:, 0].numpy()
    assert np.corrcoef(f[:, 1], f[:, 2])[0, 1] > 0.9999


def test_batched_imitators_compute_what_one_by_one_does():
    torch.manual_seed(0)
    shared = FeatureImitatingNet(3, 4, 20).eval()
    single = FeatureImitatingNet(3, 4, 20, share_channels=False).eval()
    assert [len(same) for same in single.imitators] == [3] * 4
    for mine, theirs in zip(single.imitators, shared.imitators):
        for one in mine:
            one.load_state_dict(theirs[0].state_dict())
    single.classifier.load_state_dict(shared.classifier.state_dict())
    x = torch.randn(5, 3, 20)
    assert shared.imitate(x).shape == (5, 4, 3, 12)
    assert torch.allclose(shared.imitate(x), single.imitate(x), atol=1e-5)
    assert torch.allclose(shared(x), single(x), atol=1e-4)


def test_published_parameter_counts():
    net = FeatureImitatingNet(12, 17, 600)
    assert sum(p.numel() for p in net.imitators[0][0].parameters()) == 59_136 + 396
    assert sum(p.numel() for p in net.classifier.parameters()) == 66_646
    apart = FeatureImitatingNet(12, 17, 600, share_channels=False)
    assert sum(p.numel() for p in apart.imitators.parameters()) == 48 * (59_136 + 396)


def test_the_three_steps_learn_features_and_classes():
    w = Windows.cut(session(1.0, repetitions=6), Windowing(60, 20))
    imitation = FeatureImitation(features=("rms",), epochs=25, lr=1e-2, batch_size=96, shadow_epochs=4)
    clf = feature_imitating_classifier(imitation, epochs=2, batch_size=64, device="cpu", validation=0.2)
    clf.fit(w)
    steps = clf.pretrain_history_
    assert steps["imitators"][-1]["r2"] > 0.8
    assert steps["imitators"][-1]["train_loss"] < 0.3 * steps["imitators"][0]["train_loss"]
    assert len(steps["classifier"]) == 4
    assert clf.score(w) > 0.9
    # Dropout off and running statistics at test: one row's answer does not depend on its batch, nor on chance.
    x = w.batch(slice(0, 40))
    assert np.allclose(clf.predict_proba(x)[:3], clf.predict_proba(x[:3]), atol=1e-4)
    assert clf.get_params()["layers"]["imitators"] == {"lr": 1e-3, "weight_decay": 2e-5}


def test_both_steps_share_the_true_features_and_equal_each_alone(monkeypatch):
    w = Windows.cut(session(1.0), Windowing(60, 20))
    b = Batches(w, np.arange(len(w)), torch.arange(len(w)) % 2, Normalise("none", 3), CPU)
    computed = []
    targets = FeatureImitation._targets
    monkeypatch.setattr(
        FeatureImitation, "_targets", lambda self, *a, **k: computed.append(1) or targets(self, *a, **k)
    )
    imitation = FeatureImitation(features=("rms", "ent"), epochs=1, shadow_epochs=1)
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        nets.append(FeatureImitatingNet(3, 2, 30, n_features=2))
    torch.manual_seed(0)
    together = imitation(nets[0], b, 0)
    assert computed == [1]
    torch.manual_seed(0)
    assert imitation.train_imitators(nets[1], b, 0)[0]["train_loss"] == together["imitators"][0]["train_loss"]
    assert imitation.train_classifier(nets[1], b, 0)[0]["train_loss"] == together["classifier"][0]["train_loss"]
    assert computed == [1] * 3
    assert all(torch.equal(x, y) for x, y in zip(nets[0].state_dict().values(), nets[1].state_dict().values()))


def test_joint_step_has_two_rates():
    from myograph.training.plan import make_optimizer

    clf = feature_imitating_classifier()
    net = FeatureImitatingNet(3, 2, 20)
    names = {id(p): n for n, p in net.named_parameters()}
    for group in make_optimizer(net, clf._plan()).param_groups:
        part = {names[id(p)].split(".")[0] for p in group["params"]}
        assert part == ({"imitators"} if group["lr"] == 1e-3 else {"classifier"})
        assert group["lr"] in (1e-3, 1e-2)


def test_future_targets_are_the_features_of_the_later_window():
    recording = session(1.0)
    w = Windows.cut(recording, Windowing(60, 20))
    b = Batches(w, np.arange(len(w)), None, Normalise("none", 3), CPU)
    imitation = FeatureImitation(features=("rms",), ahead_ms=40)
    kept, later = imitation._later(b)
    targets = imitation._targets(b, later)
    shift, length = 20, 30  # samples at 500 Hz
    start = w.table["start"].to_numpy()[kept.numpy()]
    for row in range(0, len(start), 7):
        future = recording.signal[:, start[row] + shift : start[row] + shift + length].astype(float)
        assert targets[row, :, 0].numpy() == pytest.approx(np.sqrt((future**2).mean(1)), rel=1e-4)
    # Windows whose later window would leave their repetition are out, all others in: by the table, row by row.
    stays = recording.repetition[np.minimum(w.table["stop"] - 1 + shift, 1199)] == w.table["repetition"].to_numpy()
    stays &= (w.table["stop"].to_numpy() - 1 + shift) < 1200
    assert kept.tolist() == np.flatnonzero(stays).tolist()
    assert 0 < len(kept) < len(w)
    with pytest.raises(ConfigError, match="use a smaller value"):
        FeatureImitation(ahead_ms=5000)._later(b)
    with pytest.raises(ConfigError, match="needs Windows"):
        FeatureImitation(ahead_ms=40)._later(batches_of(np.zeros((4, 3, 30), np.float32)))


def test_own_targets_and_their_mistakes():
    X, y = bursts(n=40, samples=12)
    b = batches_of(X)
    b.targets = torch.from_numpy(y)
    span = FeatureImitation(targets=lambda x: np.ptp(x, axis=2), epochs=1, shadow_epochs=1)
    history = span(FeatureImitatingNet(3, 2, 12, n_features=1), b, 0)
    assert np.isfinite(history["imitators"][0]["train_loss"])
    with pytest.raises(ShapeError, match="'n_features': 1"):
        span(FeatureImitatingNet(3, 2, 12, n_features=2), b, 0)
    with pytest.raises(ShapeError, match="for 120 rows"):
        FeatureImitation(targets=lambda x: x[:, 0, 0])(FeatureImitatingNet(3, 2, 12), b, 0)
    with pytest.raises(ConfigError, match="Hybrid"):
        span(Hybrid(3, 2, 12), b, 0)


# Several processes

SHARED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_transfer import train_dense
train_dense(distributed=True).save(f"{sys.argv[2]}/{os.environ['RANK']}")
import torch
torch.distributed.destroy_process_group()
"""


def train_dense(distributed):
    rng = np.random.default_rng(0)
    y = np.arange(101) % 3
    X = (rng.normal(size=(101, 4, 10)) * (1 + y)[:, None, None]).astype(np.float32)
    clf = NeuralClassifier(
        Dense, epochs=5, batch_size=32, lr=1e-2, distributed=distributed, device="cpu", clip_norm=1.0, ema=0.9
    )
    return clf.fit(X, y)


class Dense(nn.Module):
    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.first = nn.Linear(n_channels * n_samples, 16)
        self.head = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.head(torch.tanh(self.first(x.flatten(1).abs())))


@pytest.mark.slow
def test_two_processes_end_in_the_weights_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SHARED)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    shared = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true", "WORLD_SIZE": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    running = [
        subprocess.Popen(
            [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        alone = train_dense(distributed=False)
        for process in running:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 0, output
    finally:
        for process in running:
            process.kill()
    first, second = (NeuralClassifier.load(tmp_path / str(rank), device="cpu", model=Dense) for rank in range(2))
    for name, value in alone.network_.state_dict().items():
        assert torch.equal(first.network_.state_dict()[name], second.network_.state_dict()[name]), name
        assert torch.allclose(first.network_.state_dict()[name], value, atol=1e-5), name
    losses = [clf.history_["train_loss"].to_numpy() for clf in (first, second, alone)]
    assert losses[0] == pytest.approx(losses[2], rel=1e-4)
    assert losses[0] == pytest.approx(losses[1])
