import subprocess
import sys

import pytest
import torch

from myograph.training._memory import training_settings


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
from myograph.training import _memory
def faults(mebibytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(mebibytes << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
torch.ones(16 << 20)
left = faults(64)  # more than glibc ever keeps by itself
with _memory.training_settings():
    faults(64)
    inside = faults(64)
with _memory.training_settings():
    again = faults(64)
    faults(_memory.KEPT_BYTES + (64 << 20) >> 20)
with _memory.training_settings():
    print(left, inside, again, faults(64))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator is set under glibc only")
def test_freed_memory_stays_for_the_next_fit_and_goes_back_where_it_is_much():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, inside, again, after_much = map(int, run.stdout.split())
    if before < 5 * (64 << 20) / 4096 / 2:
        pytest.skip("this system maps memory in huge pages, or its allocator keeps it: there are no faults to count")
    assert inside * 2 < before
    assert again * 2 < after_much  # the next fit finds the memory of the last one, unless that was more than is kept
