"""The weights' gradient of convolutions plane by plane, against torch's own in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from myograph.models import MODELS
from myograph.models._cpu.depthwise import Depthwise, _Depthwise


def pair(planes, kernel, stride):
    mine = Depthwise(planes, kernel, stride)
    plain = nn.Conv2d(planes, planes, kernel, stride, kernel // 2, groups=planes, bias=False).double()
    plain.load_state_dict(mine.state_dict())
    return mine, plain


def compiled(y):
    return _Depthwise.__name__ in type(y.grad_fn).__name__


@given(
    st.integers(1, 40),
    st.sampled_from([(3, 1), (3, 2), (5, 1)]),
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(1, 9),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_like_torch(planes, kernel, rows, columns, batch, channels_last):
    mine, plain = pair(planes, *kernel)
    x = torch.randn(batch, planes, rows, columns)
    x = x.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    found, wanted = mine(x), plain(x64)
    assert compiled(found) == (rows < kernel[0])
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    slope = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, [x, mine.weight], slope),
        torch.autograd.grad(wanted, [x64, plain.weight], slope.double()),
    ):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)


def test_threads_share_the_batch(monkeypatch):
    monkeypatch.setattr("myograph.models._cpu.depthwise.WORTH", 1)
    mine, plain = pair(24, 3, 1)
    x, before = torch.randn(7, 24, 2, 6), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        mine(x).square().sum().backward()
    finally:
        torch.set_num_threads(before)
    plain(x.double()).square().sum().backward()
    torch.testing.assert_close(mine.weight.grad.double(), plain.weight.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", ["input", "weight"])
def test_only_what_is_needed_gets_a_gradient(frozen):
    mine, _ = pair(8, 3, 1)
    x = torch.randn(2, 8, 1, 3, requires_grad=frozen != "input")
    mine.weight.requires_grad_(frozen != "weight")
    y = mine(x)
    assert compiled(y)
    y.sum().backward()
    assert (x.grad is None) == (frozen == "input")
    assert (mine.weight.grad is None) == (frozen == "weight")


def test_without_gradients_or_in_another_precision_it_is_torchs_own():
    mine, _ = pair(8, 3, 1)
    x = torch.randn(2, 8, 1, 3)
    with torch.no_grad():
        assert mine(x).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        assert not compiled(mine(x))
    assert not compiled(mine.double()(x.double()))


def test_mobilenet_trains_through_it():
    net = MODELS.create("mobilenet_v2", n_channels=192, n_classes=8, n_samples=1, grid=(8, 24))
    low = [m for m in net.modules() if isinstance(m, Depthwise)]
    assert len(low) == 17
    used = []
    for m in low:
        m.register_forward_hook(lambda m, x, y: used.append(compiled(y)))
    net(torch.randn(2, 192, 1))
    assert sum(used) == 10  # maps of 2 x 6 and 1 x 3
