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
