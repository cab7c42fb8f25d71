"""Pooling, LeakyReLU and dropout in one pass, compared with torch's separate layers."""

import pytest
import torch
from torch import nn

from myograph.models._cpu.dropped import Dropped


def one_by_one(slope, pool):
    return nn.Sequential(nn.LeakyReLU(slope), nn.MaxPool2d((1, 2)) if pool == 2 else nn.Identity())


def path(node):
    """The steps back from a result, by name."""
    return "" if node is None else type(node).__name__ + path(next((n for n, _ in node.next_functions), None))


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("length", [2, 9])
def test_without_dropout_as_torch(pool, length):
    x = torch.randn(3, 5, 1, length).round(decimals=1).requires_grad_()  # rounded: some pairs are equal
    mine, plain = Dropped(0.3, 0.0, pool)(x), one_by_one(0.3, pool)(x)
    assert "_Dropped" in path(mine.grad_fn)
    torch.testing.assert_close(mine, plain, rtol=0, atol=0)
    slopes = torch.randn_like(mine)
    found, wanted = (torch.autograd.grad(y, x, slopes)[0] for y in (mine, plain))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("place", [4, 5])
def test_a_nan_is_not_hidden_by_the_number_beside_it(place):
    x = torch.randn(1, 2, 1, 8)
    x[0, 1, 0, place] = torch.nan
    y = Dropped(0.3, 0.0)(x.requires_grad_())
    assert "_Dropped" in path(y.grad_fn)
    assert y.isnan().nonzero().tolist() == [[0, 1, 0, 2]]


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_what_is_kept(p):
    layer = Dropped(0.1, p)
    x = torch.randn(40, 16, 1, 100, requires_grad=True)
    y = layer(x)
    kept = y != 0
    whole = one_by_one(0.1, 2)(x)
    torch.testing.assert_close(y[kept], whole[kept] / (1 - p), rtol=1e-6, atol=0)
    n = kept.numel()
    spread = (p * (1 - p) / n) ** 0.5
    assert abs(float((~kept).float().mean()) - p) < 4 * spread
    # Neighbours in time, neighbours in plane, and the same place in another step are dropped independently.
    again = layer(x) != 0
    for a, b in ((kept[..., 1:], kept[..., :-1]), (kept[:, 1:], kept[:, :-1]), (kept, again)):
        both = float((~a & ~b).float().mean())
        assert abs(both - p * p) < 5 * (p * p * (1 - p * p) / a.numel()) ** 0.5
    (slopes,) = torch.autograd.grad(y.sum(), x)
    passed = slopes.unflatten(3, (-1, 2)).sum(4)
    torch.testing.assert_close(passed, kept * torch.where(whole > 0, 1.0, 0.1) / (1 - p), rtol=1e-6, atol=0)


def test_torchs_seed_decides():
    layer, x = Dropped(0.3, 0.5), torch.randn(4, 8, 1, 50, requires_grad=True)
    torch.manual_seed(7)
    first = layer(x)
    assert not torch.equal(first, layer(x))
    torch.manual_seed(7)
    assert torch.equal(first, layer(x))


def test_nothing_is_dropped_outside_training():
    layer, x = Dropped(0.3, 0.5).eval(), torch.randn(4, 8, 1, 50, requires_grad=True)
    torch.testing.assert_close(layer(x), one_by_one(0.3, 2)(x), rtol=0, atol=0)


def test_planes_of_several_rows_are_pooled_as_torch_does():
    x = torch.randn(2, 3, 2, 6)
    torch.testing.assert_close(Dropped(0.3, 0.0)(x), one_by_one(0.3, 2)(x), rtol=0, atol=0)
