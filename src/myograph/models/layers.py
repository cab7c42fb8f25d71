"""What several families share: checks of the window's shape, and layers that turn windows into images."""

from __future__ import annotations

import itertools
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from myograph.errors import ConfigError, ShapeError


def need_size(model: str, ok: bool, n_channels: int, n_samples: int, expected: str) -> None:
    """Raise `ShapeError` unless the model takes such windows."""
    if not ok:
        raise ShapeError(f"{model} got windows of {n_channels} channels x {n_samples} samples; it takes {expected}")


def one_of(option: str, value: Any, known: Iterable[Any]) -> None:
    """Raise `ConfigError` unless the option's value is one that is known."""
    known = list(known)
    if value not in known:
        raise ConfigError(f"{option} is {value!r}; expected one of {', '.join(map(repr, known))}")


def stack(**layers: nn.Module) -> nn.Sequential:
    """Layers in order, each under its own name in the state."""
    return nn.Sequential(OrderedDict(layers))


class Expect(nn.Module):
    """Passes windows of (batch, n_channels, n_samples) on, and says so where they are of another shape."""

    def __init__(self, n_channels: int, n_samples: int):
        super().__init__()
        self.n_channels, self.n_samples = n_channels, n_samples

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3 or x.shape[1] != self.n_channels or x.shape[2] != self.n_samples:
            raise ShapeError(
                f"got an input of shape {tuple(x.shape)}; this network was built for windows of "
                f"(batch, channel, time) = (batch, {self.n_channels}, {self.n_samples})"
            )
        return x

    def extra_repr(self) -> str:
        return f"n_channels={self.n_channels}, n_samples={self.n_samples}"


class Image(Expect):
    """Windows as images of one plane: (batch, channel, time) to (batch, 1, channel, time), or time by channel."""

    def __init__(self, n_channels: int, n_samples: int, time_first: bool = False):
        super().__init__(n_channels, n_samples)
        self.time_first = time_first

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return (x.transpose(1, 2) if self.time_first else x).unsqueeze(1)


class MeanOverMap(nn.Module):
    """Mean over the positions of a map: (batch, plane, row, column) to (batch, plane)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Patches(nn.Conv2d):
    """A convolution whose patches do not overlap (stride = kernel, no padding), of one plane: a product with a matrix.

    On a CPU that takes a tenth of the time of torch's convolution, forward and backward.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        (height, width), (down, across) = self.kernel_size, self.stride
        patches = x.squeeze(1).unfold(1, height, down).unfold(2, width, across)
        return nn.functional.linear(patches.flatten(3), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def glorot(model: nn.Module) -> nn.Module:
    """Draw every convolution and linear weight from Glorot's normal distribution, and set the biases to zero."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def he(model: nn.Module) -> nn.Module:
    """Draw every convolution and linear weight from He's normal distribution for ReLU, and set the biases to zero."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def floor_sizes(n: int, *steps: tuple[int, int, int]) -> int:
    """The length after convolutions or pools of (kernel, stride, padding), at least 0."""
    for kernel, stride, padding in steps:
        n = (n + 2 * padding - kernel) // stride + 1 if n + 2 * padding >= kernel else 0
    return n


class TimeMajor(Expect):
    """Windows as one long column, all channels of a sample next to one another: (batch, 1, time * channel, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(super().forward(x).transpose(1, 2), 1)[:, None, :, None]


def compilable(x: Tensor) -> bool:
    """Whether the compiled layers of `models._cpu` may replace torch's: float32 on a CPU, no export and no autocast.

    MYOGRAPH_COMPILED=0 in the environment turns them off; torch's own layers then run everywhere.
    """
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and os.environ.get("MYOGRAPH_COMPILED") != "0"
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def in_threads(run: Callable[[int, int], Any], n: int, worth: int) -> list[Any]:
    """What run(first, last) returns for parts of range(n), in as many threads as torch uses and `worth` at most."""
    threads = max(1, min(torch.get_num_threads(), n, worth))
    if threads == 1:
        return [run(0, n)]
    edges = [n * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads - 1) as pool:  # new threads take over how this one treats denormal numbers
        others = [pool.submit(run, a, b) for a, b in itertools.pairwise(edges[1:])]
        return [run(edges[0], edges[1]), *(other.result() for other in others)]
