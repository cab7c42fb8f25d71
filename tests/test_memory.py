import subprocess
import sys

import pytest
import torch

from myograph._memory import training_settings


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
