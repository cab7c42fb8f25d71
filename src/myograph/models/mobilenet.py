"""MobileNetV2 for one instant of a high-density grid (public code of the CNN-HD-sEMG-Classifier, MIC Laboratory).

Input: the samples of a grid as planes of one image: (batch, row * column, time) to (batch, time, row, column), with
channels in row-major order. The published input is one sample of 8 x 24 electrodes, (batch, 192, 1). More samples
become more planes of the first layer (our choice).

    convolution 3 x 3 to 32                                             8 x 24
    blocks (expansion, planes, repeats, stride):
        (1, 16, 1, 1) (t, 24, 2, 1)                                     8 x 24
        (t, 32, 3, 2)                                                   4 x 12
        (t, 64, 4, 2) (t, 96, 3, 1)                                     2 x 6
        (t, 160, 3, 2) (t, 320, 1, 1)                                   1 x 3
    convolution 1 x 1 to 1280, flatten (no pooling), linear             3840 to the classes

A block is a 1 x 1 convolution to t times its inputs, a 3 x 3 convolution per plane, and a 1 x 1 convolution to its
planes, each with batch normalisation. Every block of stride 1 adds its input, through a 1 x 1 convolution with batch
normalisation if the number of planes changes (unlike the torchvision network; the idea is from Sandler et al. 2018).
All activations are ReLU. `width` w does not scale the planes but the expansion, t = int(6 w): 2,314,264 parameters for
w = 1, 1,711,960 for 0.7, 1,109,656 for 0.4 and 808,504 for 0.2, with 8 classes.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, nn

from myograph.errors import ConfigError, ShapeError
from myograph.models import MODELS, Checked, Published
from myograph.models._cpu.depthwise import Depthwise
from myograph.models.layers import Expect
from myograph.recording import Layout

STAGES = ((0, 16, 1, 1), (1, 24, 2, 1), (1, 32, 3, 2), (1, 64, 4, 2), (1, 96, 3, 1), (1, 160, 3, 2), (1, 320, 1, 1))
"""(1 where the expansion is t, 0 where it is 1; planes; repeats; stride of the first)."""


class Grid(Expect):
    """Turn windows of a grid into images: (batch, row * column, time) to (batch, time, row, column).

    `planes` repeats the images, for networks that were designed for colour images with three planes.

    >>> import torch
    >>> Grid(rows=8, columns=24, n_samples=1)(torch.zeros(2, 192, 1)).shape
    torch.Size([2, 1, 8, 24])
    """

    def __init__(self, rows: int, columns: int, n_samples: int, planes: int = 1):
        super().__init__(rows * columns, n_samples)
        self.rows, self.columns, self.planes = rows, columns, planes

    def forward(self, x: Tensor) -> Tensor:
        images = super().forward(x).transpose(1, 2).unflatten(2, (self.rows, self.columns))
        return images if self.planes == 1 else images.repeat(1, self.planes, 1, 1)


def grid_of(model: str, n_channels: int, grid: tuple[int, int] | None, layout: Layout | None) -> tuple[int, int]:
    """Return (rows, columns) of a grid: as given, from the electrode layout, or else as nearly square as possible.

    Parameters
    ----------
    model : name of the model, for the message.
    n_channels : number of electrodes.
    grid : (rows, columns), or None.
    layout : the electrode layout, used if its channels are numbered row by row.

    Raises
    ------
    ConfigError : `grid` is not a pair of positive numbers.
    ShapeError : the grid has another number of electrodes.

    >>> grid_of("gengnet", n_channels=12, grid=None, layout=None)
    (3, 4)
    """
    if grid is None:
        image = layout.index() if isinstance(layout, Layout) else np.empty((0, 0))
        if image.size == n_channels and (image.ravel() == np.arange(n_channels)).all():
            grid = (image.shape[0], image.shape[1])
        else:
            rows = next(r for r in range(math.isqrt(n_channels), 0, -1) if n_channels % r == 0)
            grid = (rows, n_channels // rows)
    if len(grid) != 2 or min(grid) < 1:
        raise ConfigError(f"grid must be (rows, columns), got {grid!r}")
    if grid[0] * grid[1] != n_channels:
        raise ShapeError(
            f"{model} got {n_channels} channels for a grid of {grid[0]} x {grid[1]} = {grid[0] * grid[1]} electrodes; "
            "give grid=(rows, columns) that holds them all"
        )
    return int(grid[0]), int(grid[1])


def _norm(inputs: int, planes: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, planes, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(planes))


class InvertedResidual(nn.Module):
    """Expand to more planes, filter each plane, project; the input is added if the stride is 1.

    >>> import torch
    >>> InvertedResidual(inputs=16, planes=24, expansion=6, stride=2)(torch.zeros(2, 16, 8, 24)).shape
    torch.Size([2, 24, 4, 12])
    """

    def __init__(self, inputs: int, planes: int, expansion: int, stride: int):
        super().__init__()
        inner = inputs * expansion
        self.body = nn.Sequential(
            _norm(inputs, inner, 1),
            nn.ReLU(inplace=True),
            nn.Sequential(Depthwise(inner, 3, stride), nn.BatchNorm2d(inner)),
            nn.ReLU(inplace=True),
            _norm(inner, planes, 1),
        )
        self.short = None if stride > 1 else nn.Identity() if inputs == planes else _norm(inputs, planes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) if self.short is None else self.body(x) + self.short(x)


@MODELS.register(
    published=Published(192, 1, 8, "CNN-HD-sEMG-Classifier, MIC Laboratory", 2_314_264, options={"grid": (8, 24)}),
    checked=Checked(((24, 1), (12, 3)), options={"width": 0.2}),
)
def mobilenet_v2(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    width: float = 1.0,
    grid: tuple[int, int] | None = None,
    planes: int = 1,
    layout: Layout | None = None,
) -> nn.Module:
    """MobileNetV2: any grid; `width` sets the expansion int(6 width), `grid` is (rows, columns).

    `planes` repeats the image, as for a network that was designed for colour images with three planes.
    Without `grid`, the electrode layout gives it (if its channels are numbered row by row), or else the divisors of
    `n_channels` nearest to a square. The published input has the grid (8, 24).

    >>> import torch
    >>> net = mobilenet_v2(n_channels=192, n_classes=8, n_samples=1, grid=(8, 24), width=0.2)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 192, 1)).shape
    (808504, torch.Size([2, 8]))
    """
    expansion = int(6 * width + 1e-9)
    if not 1 <= expansion <= 12:
        raise ConfigError(f"width must be between 1/6 and 2 (published: 1, 0.7, 0.4, 0.2), got {width!r}")
    if n_channels < 1 or n_samples < 1:
        raise ShapeError(f"mobilenet_v2 got windows of {n_channels} channels x {n_samples} samples; it takes any grid")
    rows, columns = grid_of("mobilenet_v2", n_channels, grid, layout)
    layers: list[nn.Module] = [_norm(n_samples * planes, 32, 3), nn.ReLU(inplace=True)]
    inputs = 32
    for expands, outputs, repeats, first in STAGES:
        for i in range(repeats):
            stride = first if i == 0 else 1
            layers.append(InvertedResidual(inputs, outputs, expansion if expands else 1, stride))
            rows, columns = (rows - 1) // stride + 1, (columns - 1) // stride + 1
            inputs = outputs
    net = nn.Sequential(Grid(*grid_of("mobilenet_v2", n_channels, grid, layout), n_samples, planes), *layers)
    net.append(_norm(320, 1280, 1)).append(nn.ReLU(inplace=True)).append(nn.Flatten())
    net.add_module("head", nn.Linear(1280 * rows * columns, n_classes))
    return net
