"""Contract checks that run on every registered model and that you can run on your own."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from myograph.errors import ShapeError


def check_model(
    create: Callable[..., nn.Module],
    sizes: Sequence[tuple[int, int]] = ((8, 50), (4, 200), (16, 300), (1, 20)),
    n_classes: int = 5,
    idle: Sequence[str] = (),
    export: bool = True,
    steps: int = 300,
    lr: float = 3e-3,
) -> None:
    """Check that a factory of networks keeps the contract of `myograph.models`.

    For each of `sizes`, the factory builds a network that returns (batch, n_classes) finite logits, or it raises a
    ShapeError that says what was given. On the first size that it takes:

    - a row's logits do not depend on its batch at inference;
    - every parameter receives a gradient that is not all zero;
    - the network can learn 32 random windows by heart;
    - `torch.export` gives the same logits for another batch size;
    - the state, loaded into a second network, gives the same logits;
    - only weights whose names start with "head" depend on the number of classes;
    - a window of another size raises ShapeError.

    Parameters
    ----------
    create : called as create(n_channels=, n_classes=, n_samples=).
    sizes : (channels, samples) to try.
    idle : glob patterns of parameters that by design receive no gradient.
    steps, lr : of the optimiser (Adam) that learns 32 windows by heart.

    Raises
    ------
    AssertionError : a part of the contract is broken; the message names it.

    >>> def no_network(n_channels, n_classes, n_samples):
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(n_channels * n_samples, n_classes + 1))
    >>> check_model(no_network, sizes=[(2, 10)])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    AssertionError: ...
    """
    built = [(size, net) for size in sizes if (net := _build(create, size, n_classes)) is not None]
    assert built, f"the model takes none of {list(sizes)}; give a size that it takes"
    (channels, samples), net = built[0]
    x = torch.randn(32, channels, samples, generator=torch.Generator().manual_seed(0))
    _check_rows(net, x)
    _check_state(create, net, x, n_classes)
    _check_refusal(net, channels, samples)
    _check_gradients(net, x, idle)
    if export:
        _check_export(net, x)
    _check_learns(net, x, n_classes, steps, lr)


def _build(create: Callable[..., nn.Module], size: tuple[int, int], n_classes: int) -> nn.Module | None:
    torch.manual_seed(0)
    net, refusal = None, ""
    try:
        net = create(n_channels=size[0], n_classes=n_classes, n_samples=size[1])
    except ShapeError as error:
        refusal = str(error)
    if net is None:
        assert str(size[0]) in refusal, f"the refusal of {size} does not name the size that was given: {refusal}"
        return None
    with torch.no_grad():
        out = net.eval()(torch.randn(3, *size))
    assert out.shape == (3, n_classes), f"{size}: logits of shape {tuple(out.shape)}, expected {(3, n_classes)}"
    assert out.isfinite().all(), f"{size}: logits are not finite"
    return net


@torch.no_grad()
def _check_rows(net: nn.Module, x: torch.Tensor) -> None:
    together, alone = net.eval()(x), torch.cat([net(row[None]) for row in x[:4]])
    assert torch.allclose(together[:4], alone, atol=1e-4, rtol=1e-3), "a row's logits depend on the rest of its batch"


@torch.no_grad()
def _check_state(create: Callable[..., nn.Module], net: nn.Module, x: torch.Tensor, n_classes: int) -> None:
    sizes = {"n_channels": x.shape[1], "n_samples": x.shape[2]}
    twin = create(n_classes=n_classes, **sizes).eval()
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin(x), net.eval()(x)), "the same state gives other logits in a second network"
    other = create(n_classes=n_classes + 3, **sizes).state_dict()
    own = net.state_dict()
    moved = [k for k in own if k not in other or other[k].shape != own[k].shape]
    stray = [k for k in moved if not k.startswith("head.")]
    assert moved, "no weight depends on the number of classes"
    assert not stray, f"only weights named head.* may depend on the number of classes, but {stray} do"


def _check_refusal(net: nn.Module, channels: int, samples: int) -> None:
    for wrong in ((2, channels + 1, samples), (2, channels, samples + 1), (channels, samples)):
        try:
            net(torch.zeros(wrong))
        except ShapeError:
            continue
        raise AssertionError(f"built for {(channels, samples)}, it took an input of shape {wrong}")


def _check_gradients(net: nn.Module, x: torch.Tensor, idle: Sequence[str]) -> None:
    torch.manual_seed(0)
    net.train().zero_grad()
    functional.cross_entropy(net(x), torch.arange(len(x)) % 3).backward()
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    dead = [n for n in dead if not any(fnmatch.fnmatchcase(n, pattern) for pattern in idle)]
    assert not dead, f"no gradient reaches {dead}"
    net.zero_grad()


def _check_export(net: nn.Module, x: torch.Tensor) -> None:
    batch = torch.export.Dim("batch", min=2, max=1024)
    program = torch.export.export(net.eval(), (x[:3],), dynamic_shapes=({0: batch},))
    with torch.no_grad():
        same = torch.allclose(program.module()(x[:7]), net(x[:7]), atol=1e-4, rtol=1e-3)
    assert same, "the exported network gives other logits"


def _check_learns(net: nn.Module, x: torch.Tensor, n_classes: int, steps: int, lr: float) -> None:
    """Check that the network can distinguish the windows at all, with dropout off."""
    torch.manual_seed(0)
    net, target = copy.deepcopy(net).train(), torch.arange(len(x)) % n_classes
    for layer in net.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.p = 0.0
    optimizer, share = torch.optim.Adam(net.parameters(), lr), 0.0
    for _ in range(steps):
        logits = net(x)
        share = (logits.argmax(1) == target).float().mean().item()
        if share == 1:
            return
        optimizer.zero_grad()
        functional.cross_entropy(logits, target).backward()
        optimizer.step()
    raise AssertionError(f"after {steps} steps {share:.0%} of 32 windows are learnt by heart")


__all__ = ["check_model"]
