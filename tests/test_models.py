"""The contract over every model, and counts that papers (or their arithmetic) state."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

from myograph.errors import ConfigError, ShapeError, UnknownNameError
from myograph.models import MODELS, Checked, Models, Published
from myograph.models.layers import Patches
from myograph.models.mobilenet import Grid
from myograph.models.zhai import Spiral
from myograph.testing import check_model

torch.set_num_threads(1)


@pytest.mark.parametrize("name", list(MODELS))
def test_contract(name):
    checked = MODELS.checked(name)
    create = functools.partial(MODELS.create, name, **checked.options)
    check_model(create, sizes=checked.sizes, idle=checked.idle)


@pytest.mark.parametrize("name", [name for name in MODELS if MODELS.published(name)])
def test_parameters_are_those_that_the_source_states(name):
    size = MODELS.published(name)
    assert size.source
    with torch.device("meta"):
        net = MODELS.create(
            name, n_channels=size.channels, n_classes=size.classes, n_samples=size.samples, **size.options
        )
    if size.parameters is not None:
        assert sum(p.numel() for p in net.parameters()) == size.parameters + size.extra


def test_a_network_of_your_own_registers_with_and_without_facts():
    mine = Models()

    @mine.register
    def plain(n_channels, n_classes, n_samples):
        return nn.Linear(n_channels, n_classes)

    @mine.register(published=Published(3, 4, 5, parameters=20))
    def facts(n_channels, n_classes, n_samples):
        return nn.Linear(n_channels, n_classes)

    assert mine["plain"] is plain
    assert mine.published("plain") is None
    assert mine.published("facts").classes == 5
    assert mine.checked("facts") == Checked()
    with pytest.raises(UnknownNameError):
        mine.published("fact")


# Sizes beside the published ones, counted by hand from the layers: (channels, classes, samples).
PARAMETERS = [
    # 12 * 32 + 32, then 9 248 and 51 264, 9 * 64 * 64 + 64, 64 * 50 + 50
    ("atzori_delsys", (12, 50, 30), {}, 416 + 9_248 + 51_264 + 36_928 + 3_250),
    ("zhai", (12, 50, 25), {}, (12 * 16 + 1) * 800 + (3200 + 1) * 800 + 801 * 800 + 801 * 50),
    ("zhai", (12, 50, 25), {"planes": 32}, (12 * 16 + 1) * 32 + (128 + 1) * 800 + 801 * 800 + 801 * 50),
    ("ding", (12, 17, 200), {}, 940_417),
    ("mobilenet_v2", (192, 8, 1), {"width": 0.7, "grid": (8, 24)}, 1_711_960),
    ("mobilenet_v2", (192, 8, 1), {"width": 0.4, "grid": (8, 24)}, 1_109_656),
    ("mobilenet_v2", (192, 8, 1), {"width": 0.2, "grid": (8, 24)}, 808_504),
    # 1024 values to 500, from the layers in models/convnets.py
    ("cote_allard", (8, 7, 52), {}, 512 + 96 + 30_784 + 192 + 512_500 + 1_500 + 3_507),
    # layer + 1 x 1: (10, 32) (32, 64) + (10, 64); (64, 64) (64, 128) + (64, 128); 128 to 53
    ("tcn", (10, 53, 20), {}, 992 + 6_208 + 704 + 12_352 + 24_704 + 8_320 + 6_837),
]


@pytest.mark.parametrize(("name", "sizes", "options", "expected"), PARAMETERS)
def test_parameters(name, sizes, options, expected):
    channels, classes, samples = sizes
    with torch.device("meta"):
        net = MODELS.create(name, n_channels=channels, n_classes=classes, n_samples=samples, **options)
    assert sum(p.numel() for p in net.parameters()) == expected


@pytest.mark.parametrize(("name", "width"), [("ding", 520), ("ding_2b1", 400), ("ding_2b2", 640)])
def test_ding_classifier_input(name, width):
    net = MODELS.create(name, n_channels=12, n_classes=17, n_samples=200)
    assert net.hidden1.in_features == width
    assert net.block1(net.image(torch.zeros(2, 12, 200))).shape[1] == (320 if name == "ding_2b2" else 200)


def test_atzori_sees_every_electrode_at_once_and_time_in_rows():
    net = MODELS.create("atzori", n_channels=10, n_classes=5, n_samples=15).eval()
    shapes = []
    for layer in (net.block1, net.pool2, net.pool3, net.block4):
        layer.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape[1:])))
    net(torch.zeros(1, 10, 15))
    assert shapes == [(32, 15, 9), (32, 5, 3), (64, 1, 1), (64, 1, 1)]


def test_spiral_is_the_papers_figure():
    x = torch.arange(1, 26.0).expand(1, 3, 25)
    figure = [[22, 10, 11, 12, 23], [21, 9, 2, 3, 13], [20, 8, 1, 4, 14], [19, 7, 6, 5, 15], [25, 18, 17, 16, 24]]
    assert torch.equal(Spiral(3)(x)[0, 1], torch.tensor(figure, dtype=torch.float32))


def test_grid_is_row_major():
    x = torch.arange(12.0).reshape(1, 6, 2)
    assert torch.equal(Grid(2, 3, 2)(x)[0, 1], torch.tensor([[1.0, 3, 5], [7, 9, 11]]))


def test_m5_reads_time_major():
    net = MODELS.create("m5", n_channels=16, n_classes=3, n_samples=20)
    x = torch.arange(320.0).reshape(1, 16, 20)
    assert torch.equal(net.column(x)[0, 0, :16, 0], x[0, :, 0])


@pytest.mark.parametrize(("size", "kernel"), [((3840, 1), (16, 1)), ((9, 14), (2, 3))])
def test_patches_are_a_convolution(size, kernel):
    torch.manual_seed(0)
    mine = Patches(1, 16, kernel, stride=kernel)
    plain = nn.Conv2d(1, 16, kernel, stride=kernel)
    plain.load_state_dict(mine.state_dict())
    x = torch.randn(4, 1, *size, requires_grad=True)
    found, wanted = mine(x), plain(x)
    torch.testing.assert_close(found, wanted)
    slopes = torch.randn_like(wanted)
    for a, b in zip(
        torch.autograd.grad(found, [x, *mine.parameters()], slopes),
        torch.autograd.grad(wanted, [x, *plain.parameters()], slopes),
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_fin_lstm_reads_the_window_backwards():
    """The top layer's backward state at the first sample, by hand from torch's own outputs."""
    net = MODELS.create("fin_lstm", n_channels=2, n_classes=12, n_samples=30).eval()
    x = torch.randn(3, 2, 30)
    _, (hidden, _) = net.lstm(x.reshape(6, 30, 1))
    assert torch.allclose(net.imitate(x).reshape(6, 12), net.head(hidden[-1]), atol=1e-6)


@pytest.mark.parametrize("reach_ms", [300, 2500])
def test_tcn_is_causal_and_reaches_as_far_as_said(reach_ms):
    net = MODELS.create("tcn", n_channels=2, n_classes=3, n_samples=300, reach_ms=reach_ms).eval()
    x = torch.randn(1, 2, 1, 300, requires_grad=True)
    net.blocks(x)[0, :, 0, 280].sum().backward()
    assert x.grad is not None
    seen = np.flatnonzero(x.grad.abs().sum((0, 1, 2)).numpy())
    assert seen.max() == 280
    assert 280 - seen.min() + 1 == {300: 31, 2500: 255}[reach_ms]


def test_locally_connected_is_a_linear_layer_at_each_position():
    from myograph.models.gengnet import LocallyConnected

    layer = LocallyConnected(3, 4, 2, 5)
    x = torch.randn(2, 3, 2, 5)
    by_hand = x[:, :, 1, 2] @ layer.weight[7] + layer.bias[7]
    assert torch.allclose(layer(x)[:, :, 1, 2], by_hand, atol=1e-6)


def test_myonet_features_are_log_powers_of_filtered_combinations():
    """Second route: convolve with silence on either side, combine the electrodes, sum of squares."""
    net = MODELS.create("myonet", n_channels=4, n_classes=3, n_samples=40, bands=2, combinations=5).eval()
    x = torch.randn(2, 4, 40)
    kernels = net.bands.detach().numpy()
    combinations = net.combinations.detach().numpy()
    features = net.features(x).detach().numpy()
    for b in range(2):
        band = np.stack([[np.convolve(c, kernels[b]) for c in w] for w in x.numpy()])
        power = np.square(combinations[b] @ band).sum(2) / 40
        own = np.square(band).sum(2) / 40
        got = features[:, 9 * b : 9 * b + 9]
        np.testing.assert_allclose(got, np.log(np.hstack([power, own]) + 1e-3), rtol=1e-3, atol=1e-4)
    signs = np.diff(np.sign(x.numpy())) != 0
    turns = np.diff(np.sign(np.diff(x.numpy()))) != 0
    sizes = [np.abs(x.numpy()).mean(2), np.abs(np.diff(x.numpy())).mean(2)]
    others = [x.numpy().mean(2), *(np.log(s + 1e-3**0.5) for s in sizes), signs.mean(2), turns.mean(2)]
    np.testing.assert_allclose(features[:, 18:], np.hstack(others), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [4, 16, 64])
def test_myonet_is_small(channels):
    net = MODELS.create("myonet", n_channels=channels, n_classes=53, n_samples=400)
    assert sum(p.numel() for p in net.parameters()) < 200_000


def test_errors_say_what_came_and_what_is_taken():
    with pytest.raises(ShapeError, match=r"8 channels x 50 samples.*25 principal"):
        MODELS.create("zhai", n_channels=8, n_classes=5, n_samples=50)
    with pytest.raises(ShapeError, match="8 x 24 = 192"):
        MODELS.create("mobilenet_v2", n_channels=10, n_classes=5, n_samples=1, grid=(8, 24))
    with pytest.raises(ShapeError, match=r"batch, 8, 50"):
        MODELS.create("atzori", n_channels=8, n_classes=5, n_samples=50)(torch.zeros(2, 9, 50))
    with pytest.raises(ConfigError, match="c_b1pb2"):
        MODELS.create("ding", n_channels=12, n_classes=5, n_samples=200, variant="c_b1")
    with pytest.raises(UnknownNameError, match="dropout"):
        MODELS.create("tsinganos", n_channels=8, n_classes=5, n_samples=50, dropuot=0.1)


class _Batchy(nn.Module):
    """Breaks the contract: subtracts the batch's mean."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__()
        self.head = nn.Linear(n_channels * n_samples, n_classes)

    def forward(self, x):
        x = x.flatten(1)
        return self.head(x - x.mean(0))


class _Idle(_Batchy):
    """Breaks the contract: weights that nothing uses."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__(n_channels, n_classes, n_samples)
        self.size, self.unused = (n_channels, n_samples), nn.Linear(3, 3)

    def forward(self, x):
        if tuple(x.shape[1:]) != self.size or x.ndim != 3:
            raise ShapeError("another size")
        return self.head(x.flatten(1))


class _Flat(_Idle):
    """Breaks the contract: gives every window the same logits."""

    def __init__(self, n_channels, n_classes, n_samples):
        super().__init__(n_channels, n_classes, n_samples)
        del self.unused

    def forward(self, x):
        return super().forward(x - x.detach() + x.mean(0, keepdim=True).detach() * 0 + 1 + 0 * x)


@pytest.mark.parametrize(("broken", "says"), [(_Batchy, "rest of its batch"), (_Idle, "unused"), (_Flat, "by heart")])
def test_the_contract_finds_what_is_broken(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_model(broken, export=False, steps=30)
