"""The network of Zhai, Jelfs, Chan and Tin (2017, Front. Neurosci. 11:379) on 25 principal components per channel.

Input: (batch, channel, 25): for each electrode the first 25 principal-component scores of its spectrogram, in order of
rank. The network arranges them as one 5 x 5 plane per electrode, with rank 1 in the middle and the rest in a spiral, as
in the paper's figure 1B:

    22 10 11 12 23
    21  9  2  3 13
    20  8  1  4 14
    19  7  6  5 15
    25 18 17 16 24

    convolution 4 x 4 to 800 planes, ReLU     2 x 2
    linear to 800, ReLU, dropout 0.5
    linear to 800, ReLU, dropout 0.5
    linear to the classes

The paper says "the same number of neurons in each layer", 800, without stating the planes of the convolution. We use
800 planes as well (3,396,050 parameters for 12 electrodes and 50 classes); `planes=32` gives 790,226. The ReLU after
the convolution is our choice, since the paper states it only for the linear layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myograph.models import MODELS, Checked, Published
from myograph.models.layers import Expect, need_size, stack

RANKS = (
    (22, 10, 11, 12, 23),
    (21, 9, 2, 3, 13),
    (20, 8, 1, 4, 14),
    (19, 7, 6, 5, 15),
    (25, 18, 17, 16, 24),
)


class Spiral(Expect):
    """Arrange scores by rank (batch, channel, 25) as planes (batch, channel, 5, 5).

    >>> Spiral(n_channels=1)(torch.arange(1, 26)[None, None])[0, 0, 2].tolist()
    [20, 8, 1, 4, 14]
    """

    order: Tensor

    def __init__(self, n_channels: int):
        super().__init__(n_channels, 25)
        self.register_buffer("order", torch.tensor(RANKS).flatten() - 1, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :, self.order].unflatten(2, (5, 5))


@MODELS.register(
    published=Published(12, 25, 50, "doi:10.3389/fnins.2017.00379"),
    checked=Checked(((2, 25), (12, 25), (8, 50)), options={"planes": 32, "units": 64}),
)
def zhai(
    n_channels: int, n_classes: int, n_samples: int, *, planes: int = 800, units: int = 800, dropout: float = 0.5
) -> nn.Module:
    """Zhai 2017: any number of channels; a "window" is 25 scores, not samples.

    >>> net = zhai(n_channels=12, n_classes=50, n_samples=25, planes=32)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 12, 25)).shape
    (790226, torch.Size([2, 50]))
    """
    expected = "25 principal-component scores per channel; put Spectrogram and ChannelPCA before it"
    need_size("zhai", n_channels >= 1 and n_samples == 25, n_channels, n_samples, expected)
    return stack(
        spiral=Spiral(n_channels),
        conv=nn.Conv2d(n_channels, planes, 4),
        relu=nn.ReLU(),
        flatten=nn.Flatten(),
        hidden1=nn.Linear(4 * planes, units),
        relu1=nn.ReLU(),
        dropout1=nn.Dropout(dropout),
        hidden2=nn.Linear(units, units),
        relu2=nn.ReLU(),
        dropout2=nn.Dropout(dropout),
        head=nn.Linear(units, n_classes),
    )
