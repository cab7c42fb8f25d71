import subprocess
import sys

import pytest
import torch
from torch import nn

from myograph._memory import training_settings
from myograph.models import MODELS


def flushes() -> bool:
    return (torch.full((4,), 1e-30) * 1e-10)[0].item() == 0.0


def test_denormals_are_flushed_where_backward_runs_and_only_inside():
    seen = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            seen.append(flushes())
            return grad

    x = torch.ones(2, requires_grad=True)
    before = flushes()
    with training_settings():
        with training_settings():
            Look.apply(x).sum().backward()
        assert flushes()  # the inner end leaves the outer's settings
    assert seen == [True]
    assert flushes() == before


FAULTS = """
import resource
import torch
from contextlib import nullcontext
from myograph._memory import training_settings
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 << 20)  # 64 MiB, more than glibc ever keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.ones(16 << 20)
left = faults()
with training_settings():
    faults()
    inside = faults()
print(left, inside, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is set under glibc only")
def test_freed_memory_stays_inside_and_goes_back_after():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, inside, after = map(int, run.stdout.split())
    assert inside * 2 < before
    assert inside * 2 < after


def test_the_imitator_without_its_idle_half_is_the_plain_lstm():
    torch.manual_seed(0)
    net = MODELS.create("fin_lstm", n_channels=2, n_classes=3, n_samples=40)
    x = torch.randn(5, 2, 40)
    plain = net.head(net.lstm(x.flatten(0, 1)[:, :, None])[0][:, 0, net.lstm.hidden_size :])
    ours = net.imitate(x).flatten(0, 1)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-6)
    used = [p for name, p in net.named_parameters() if not name.endswith("_l2")]  # all but the idle half's
    target = torch.randn(10, 3)
    for mine, other in zip(
        torch.autograd.grad(nn.functional.mse_loss(ours, target), used),
        torch.autograd.grad(nn.functional.mse_loss(plain, target), used),
    ):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)
    idle = torch.autograd.grad(net.imitate(x).sum(), list(net.lstm.parameters()), allow_unused=True)
    assert sum(g is None for g in idle) == 4
