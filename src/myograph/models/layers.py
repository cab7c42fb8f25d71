"""Shared functions and layers of several families: checks of the window size, and layers that turn windows into
images.
"""

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
    """Raise `ShapeError` unless `ok`; `expected` says which windows the model takes.

    >>> need_size("m5", 8 * 20 >= 256, n_channels=8, n_samples=20, expected="at least 256 values")
    Traceback (most recent call last):
    myograph.errors.ShapeError: m5 got windows of 8 channels x 20 samples; it takes at least 256 values
    """
    if not ok:
        raise ShapeError(f"{model} got windows of {n_channels} channels x {n_samples} samples; it takes {expected}")


def one_of(option: str, value: Any, known: Iterable[Any]) -> None:
    """Raise `ConfigError` unless `value` is one of the known values of the option.

    >>> one_of("pool", "mean", known=("mean", "max"))
    >>> one_of("pool", "min", known=("mean", "max"))
    Traceback (most recent call last):
    myograph.errors.ConfigError: pool is 'min'; expected one of 'mean', 'max'
    """
    known = list(known)
    if value not in known:
        raise ConfigError(f"{option} is {value!r}; expected one of {', '.join(map(repr, known))}")


def stack(**layers: nn.Module) -> nn.Sequential:
    """Return a sequence of layers, each with its own name in the state dictionary.

    >>> list(stack(flatten=nn.Flatten(), head=nn.Linear(8, 2)).state_dict())
    ['head.weight', 'head.bias']
    """
    return nn.Sequential(OrderedDict(layers))


class Expect(nn.Module):
    """Return windows of shape (batch, n_channels, n_samples) unchanged; any other shape raises ShapeError.

    >>> Expect(8, 50)(torch.zeros(2, 8, 50)).shape
    torch.Size([2, 8, 50])
    >>> Expect(8, 50)(torch.zeros(2, 8, 40))  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.ShapeError: got an input of shape (2, 8, 40); ...
    """

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
    """Turn windows into images of one plane: (batch, channel, time) to (batch, 1, channel, time).

    With `time_first` the image is (batch, 1, time, channel).

    >>> Image(8, 50, time_first=True)(torch.zeros(2, 8, 50)).shape
    torch.Size([2, 1, 50, 8])
    """

    def __init__(self, n_channels: int, n_samples: int, time_first: bool = False):
        super().__init__(n_channels, n_samples)
        self.time_first = time_first

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return (x.transpose(1, 2) if self.time_first else x).unsqueeze(1)


class MeanOverMap(nn.Module):
    """Mean over the positions of a map: (batch, plane, row, column) to (batch, plane).

    >>> MeanOverMap()(torch.ones(2, 3, 4, 5)).shape
    torch.Size([2, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Patches(nn.Conv2d):
    """A convolution of one plane whose patches do not overlap (stride = kernel, no padding), computed as a matrix
    product.

    On a CPU, the forward and the backward pass take a tenth of the time of torch's convolution.

    >>> Patches(1, 16, (16, 1), stride=(16, 1))(torch.zeros(2, 1, 64, 1)).shape
    torch.Size([2, 16, 4, 1])
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        (height, width), (down, across) = self.kernel_size, self.stride
        patches = x.squeeze(1).unfold(1, height, down).unfold(2, width, across)
        return nn.functional.linear(patches.flatten(3), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def glorot(model: nn.Module) -> nn.Module:
    """Draw every convolution and linear weight from Glorot's normal distribution, and set the biases to zero.

    Source: Glorot and Bengio 2010, AISTATS. Returns the same model.

    >>> glorot(nn.Linear(8, 2)).bias.tolist()
    [0.0, 0.0]
    """
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def he(model: nn.Module) -> nn.Module:
    """Draw every convolution and linear weight from He's normal distribution for ReLU, and set the biases to zero.

    Source: He, Zhang, Ren and Sun 2015, doi:10.1109/ICCV.2015.123. Returns the same model.

    >>> he(nn.Linear(8, 2)).bias.tolist()
    [0.0, 0.0]
    """
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def floor_sizes(n: int, *steps: tuple[int, int, int]) -> int:
    """Return the length after convolutions or pools of (kernel, stride, padding), at least 0.

    >>> floor_sizes(52, (5, 1, 0), (3, 3, 0))
    16
    """
    for kernel, stride, padding in steps:
        n = (n + 2 * padding - kernel) // stride + 1 if n + 2 * padding >= kernel else 0
    return n


class TimeMajor(Expect):
    """Turn windows into one long column, sample by sample: (batch, channel, time) to (batch, 1, time * channel, 1).

    >>> TimeMajor(2, 2)(torch.tensor([[[1, 2], [3, 4]]])).flatten().tolist()
    [1, 3, 2, 4]
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(super().forward(x).transpose(1, 2), 1)[:, None, :, None]


def compilable(x: Tensor) -> bool:
    """Return whether the compiled layers of `models._cpu` can replace torch's: float32 on a CPU, no export, no
    autocast.

    MYOGRAPH_COMPILED=0 in the environment disables them; then torch's own layers are always used.

    >>> compilable(torch.zeros(2, dtype=torch.float64))
    False
    """
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and os.environ.get("MYOGRAPH_COMPILED") != "0"
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def in_threads(run: Callable[[int, int], Any], n: int, worth: int) -> list[Any]:
    """Return the results of run(first, last) for parts of range(n), computed in parallel.

    The number of threads is that of torch, but at most `worth`.

    >>> sum(in_threads(lambda first, last: sum(range(first, last)), n=10, worth=2))
    45
    """
    threads = max(1, min(torch.get_num_threads(), n, worth))
    if threads == 1:
        return [run(0, n)]
    edges = [n * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads - 1) as pool:  # new threads inherit this thread's setting for denormal numbers
        others = [pool.submit(run, a, b) for a, b in itertools.pairwise(edges[1:])]
        return [run(edges[0], edges[1]), *(other.result() for other in others)]
