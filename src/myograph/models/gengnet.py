"""The network of Geng et al. (2016, Sci. Rep. 6:36571) on instantaneous images, and the hybrid of Hu et al. (2018).

Input: one sample of an electrode grid as an image, (batch, row * column, 1). More samples become more planes of the
first layer (our choice). `grid` or the electrode layout gives the shape of the grid; without them it is the pair of
divisors of the number of channels nearest to a square.

    batch normalisation of the image
    2 x convolution 3 x 3 to 64
    2 x locally connected 1 x 1 to 64 (separate weights at each position), the second with dropout
    linear to 512 (dropout), 512 (dropout), 128, each with batch normalisation and ReLU, like all layers above
    linear to the classes

Dropout 0.5 follows layers 4 to 6.

`cnn_rnn` (Hu, Wong, Wei, Du, Kankanhalli and Geng 2018, PLoS ONE 13:e0206049): the window is cut into equal segments.
An image network like the one above reads each segment, an LSTM of 512 reads the results in order, attention weighs its
states, and a linear layer classifies. The paper's abstract gives this chain. The sizes of the LSTM and of the
attention, the number of segments (5), and the use of a segment's samples as the planes of its image are our choice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myograph.models import MODELS, Checked, Published
from myograph.models.layers import need_size, stack
from myograph.models.mobilenet import Grid, grid_of
from myograph.recording import Layout


class LocallyConnected(nn.Module):
    """A 1 x 1 convolution with separate weights at each position: (batch, inputs, row, column) to (batch, planes, row,
    column).

    >>> LocallyConnected(inputs=3, planes=5, rows=2, columns=4)(torch.zeros(1, 3, 2, 4)).shape
    torch.Size([1, 5, 2, 4])
    """

    def __init__(self, inputs: int, planes: int, rows: int, columns: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows * columns, inputs, planes))
        self.bias = nn.Parameter(torch.zeros(rows * columns, 1, planes))
        nn.init.normal_(self.weight, std=(2 / inputs) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        by_position = x.flatten(2).permute(2, 0, 1)
        return (by_position @ self.weight + self.bias).permute(1, 2, 0).unflatten(2, x.shape[2:])


def _body(rows: int, columns: int, planes: int, dropout: float) -> nn.Sequential:
    """Build the layers from images (batch, planes, rows, columns) to (batch, 128)."""

    def image(layer: nn.Module, *more: nn.Module) -> nn.Sequential:
        return nn.Sequential(layer, nn.BatchNorm2d(64), nn.ReLU(), *more)

    def linear(inputs: int, outputs: int, *more: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), *more)

    return stack(
        norm=nn.BatchNorm2d(planes),
        conv1=image(nn.Conv2d(planes, 64, 3, padding=1)),
        conv2=image(nn.Conv2d(64, 64, 3, padding=1)),
        local1=image(LocallyConnected(64, 64, rows, columns)),
        local2=image(LocallyConnected(64, 64, rows, columns), nn.Dropout(dropout)),
        flatten=nn.Flatten(),
        linear1=linear(64 * rows * columns, 512, nn.Dropout(dropout)),
        linear2=linear(512, 512, nn.Dropout(dropout)),
        linear3=linear(512, 128),
    )


@MODELS.register(
    published=Published(128, 1, 8, "doi:10.1038/srep36571", options={"grid": (16, 8)}),
    checked=Checked(((8, 2), (12, 1))),
)
def gengnet(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    grid: tuple[int, int] | None = None,
    dropout: float = 0.5,
    layout: Layout | None = None,
) -> nn.Module:
    """Geng 2016: any grid; made for one sample of it.

    >>> net = gengnet(n_channels=128, n_classes=8, n_samples=1, grid=(16, 8))
    >>> net(torch.zeros(2, 128, 1)).shape
    torch.Size([2, 8])
    """
    need_size("gengnet", n_channels >= 1 and n_samples >= 1, n_channels, n_samples, "any grid and number of samples")
    rows, columns = grid_of("gengnet", n_channels, grid, layout)
    return stack(
        grid=Grid(rows, columns, n_samples),
        body=_body(rows, columns, n_samples, dropout),
        head=nn.Linear(128, n_classes),
    )


class Attention(nn.Module):
    """Weighted mean of the steps of a sequence: (batch, step, size) to (batch, size).

    The weights are the softmax of the product of a learnt vector with a nonlinear projection of each step (Yang et al.
    2016, doi:10.18653/v1/N16-1174).

    >>> Attention(size=4)(torch.ones(2, 3, 4)).tolist() == [[1.0] * 4] * 2
    True
    """

    def __init__(self, size: int):
        super().__init__()
        self.key = nn.Linear(size, size, bias=False)
        self.question = nn.Linear(size, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.question(self.key(x).tanh()).softmax(1) * x).sum(1)


class CnnRnn(nn.Module):
    """An image network on segments of the window, an LSTM over their results, and attention; see `cnn_rnn`.

    >>> net = CnnRnn(Grid(2, 5, n_samples=20), n_classes=3, segments=5, hidden=8, dropout=0.5)
    >>> net(torch.zeros(2, 10, 20)).shape
    torch.Size([2, 3])
    """

    def __init__(self, grid: Grid, n_classes: int, segments: int, hidden: int, dropout: float):
        super().__init__()
        self.grid, self.segments = grid, segments
        self.body = _body(grid.rows, grid.columns, grid.n_samples // segments, dropout)
        self.lstm = nn.LSTM(128, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.attention = Attention(hidden)
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        images = self.grid(x)
        length = images.shape[1] // self.segments
        images = images[:, images.shape[1] - self.segments * length :].unflatten(1, (self.segments, length))
        states = self.lstm(self.body(images.flatten(0, 1)).unflatten(0, (-1, self.segments)))[0]
        return self.head(self.attention(self.dropout(states)))


@MODELS.register(
    published=Published(10, 20, 52, "doi:10.1371/journal.pone.0206049"),
    checked=Checked(((8, 20), (6, 7), (4, 3)), options={"hidden": 64}),
)
def cnn_rnn(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    segments: int = 5,
    hidden: int = 512,
    dropout: float = 0.5,
    grid: tuple[int, int] | None = None,
    layout: Layout | None = None,
) -> nn.Module:
    """Hu 2018: any grid, at least `segments` samples (the first n_samples mod segments are not used).

    >>> net = cnn_rnn(n_channels=10, n_classes=52, n_samples=20)
    >>> net(torch.zeros(2, 10, 20)).shape
    torch.Size([2, 52])
    """
    ok = n_channels >= 1 and n_samples >= segments >= 1
    need_size("cnn_rnn", ok, n_channels, n_samples, f"any grid and at least {segments} samples, one per segment")
    rows, columns = grid_of("cnn_rnn", n_channels, grid, layout)
    return CnnRnn(Grid(rows, columns, n_samples), n_classes, segments, hidden, dropout)
