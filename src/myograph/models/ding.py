"""The parallel multi-scale networks of Ding, Yang, Tian, Li, Li and Li (2018, Sustainability 10:1865).

Input: 12 electrodes x 200 samples (100 ms at 2 kHz), as an image of one plane. Every convolution has 40 planes, stride
1, no padding, batch normalisation and ReLU. C-B1PB2, the proposed network, runs two blocks in parallel:

    block 1                          12 x 200    block 2                          12 x 200
    1 x 13, max pool 1 x 2           12 x 94     1 x 57                           12 x 144
    1 x 13, max pool 1 x 2           12 x 41     1 x 57                           12 x 88
    1 x 13                           12 x 29     1 x 57                           12 x 32
    h4 x 13                           7 x 17     h4 x 13                           7 x 20
    h5 x 13                           1 x 5      h5 x 13                           1 x 8

Their 40 x 5 + 40 x 8 = 520 values go to 260, 130 and the classes, with dropout 0.5 after the first two. 940,417
parameters for 17 classes.

Facts and choices: the paper gives the lengths of the kernels and the number of inputs of the classifier (520). It
follows that the pools have stride 2, that there is no padding, and that h4 + h5 = 13. The values h4 = 6 and h5 = 7 (any
split has the same number of parameters) and the ReLUs are our choice. Of the variants, the paper states only the
purpose; their layers are our choice:

    c_2b1   block 1 twice                                                  400
    c_2b2   block 2 twice                                                  640
    c_sk2   block 1 twice with small kernels, 1 x 3, in its first three layers     1760
    c_sk    the same with 3 x 3: electrodes mix from the first layer               1760
    c_dk    C-B1PB2 with 3 x 13 and 3 x 57 in the first three layers                520

If a kernel spans 3 electrodes in the first three layers (c_sk, c_dk), h4 and h5 shrink so that the height still ends
at 1.

Other sizes: the heights h4 and h5 follow from the number of channels (half each). A window must be long enough for the
blocks (C-B1PB2: 193 samples for block 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myograph.models import MODELS, Checked, Published
from myograph.models.layers import Image, floor_sizes, need_size, one_of

Layer = tuple[int, int, int]
"""One of a block's first three layers: (electrodes spanned, kernel length, pool length or 1)."""

_B1: list[Layer] = [(1, 13, 2), (1, 13, 2), (1, 13, 1)]
_B2: list[Layer] = [(1, 57, 1), (1, 57, 1), (1, 57, 1)]
_SMALL: list[Layer] = [(1, 3, 2), (1, 3, 2), (1, 3, 1)]


def _wide(block: list[Layer]) -> list[Layer]:
    return [(3, length, pool) for _, length, pool in block]


BLOCKS = {
    "c_b1pb2": (_B1, _B2),
    "c_2b1": (_B1, _B1),
    "c_2b2": (_B2, _B2),
    "c_sk2": (_SMALL, _SMALL),
    "c_sk": (_wide(_SMALL), _wide(_SMALL)),
    "c_dk": (_wide(_B1), _wide(_B2)),
}
PLANES = 40
LAST = 13  # length of the two kernels that mix the electrodes


def _length(block: list[Layer], n_samples: int) -> int:
    steps = [step for _, kernel, pool in block for step in ((kernel, 1, 0), (pool, pool, 0))]
    return floor_sizes(n_samples, *steps, (LAST, 1, 0), (LAST, 1, 0))


def _height(block: list[Layer], n_channels: int) -> int:
    return n_channels - sum(span - 1 for span, _, _ in block)


def _block(layers: list[Layer], n_channels: int) -> nn.Sequential:
    height = _height(layers, n_channels)
    h4 = (height + 1) // 2
    kernels = [*layers, (h4, LAST, 1), (height - h4 + 1, LAST, 1)]
    parts: list[nn.Module] = []
    for i, (span, kernel, pool) in enumerate(kernels):
        parts += [nn.Conv2d(PLANES if i else 1, PLANES, (span, kernel)), nn.BatchNorm2d(PLANES), nn.ReLU()]
        if pool > 1:
            parts.append(nn.MaxPool2d((1, pool)))
    return nn.Sequential(*parts, nn.Flatten())


class Ding(nn.Module):
    """Two blocks in parallel and a classifier of three layers; see `ding`.

    >>> Ding(12, n_classes=17, n_samples=200, variant="c_b1pb2", dropout=0.5).hidden1.in_features
    520
    """

    def __init__(self, n_channels: int, n_classes: int, n_samples: int, variant: str, dropout: float):
        super().__init__()
        first, second = BLOCKS[variant]
        width = PLANES * (_length(first, n_samples) + _length(second, n_samples))
        self.image = Image(n_channels, n_samples)
        self.block1, self.block2 = _block(first, n_channels), _block(second, n_channels)
        self.hidden1, self.hidden2 = nn.Linear(width, 260), nn.Linear(260, 130)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(130, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.image(x)
        x = torch.cat([self.block1(x), self.block2(x)], 1)
        x = self.dropout(self.hidden1(x).relu())
        return self.head(self.dropout(self.hidden2(x).relu()))


@MODELS.register(
    published=Published(12, 200, 17, "doi:10.3390/su10061865"), checked=Checked(((3, 193), (12, 200), (12, 100)))
)
def ding(
    n_channels: int, n_classes: int, n_samples: int, *, variant: str = "c_b1pb2", dropout: float = 0.5
) -> nn.Module:
    """Ding 2018: C-B1PB2, or another `variant` of c_2b1, c_2b2, c_sk2, c_sk, c_dk; made for 12 x 200.

    >>> net = ding(n_channels=12, n_classes=17, n_samples=200)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 12, 200)).shape
    (940417, torch.Size([2, 17]))
    """
    one_of("variant", variant, BLOCKS)
    blocks = BLOCKS[variant]
    channels = max(n_channels - _height(b, n_channels) for b in blocks) + 1
    samples = next(n for n in range(1, 1000) if min(_length(b, n) for b in blocks))
    expected = f"at least {channels} channels and {samples} samples in its variant {variant} (12 x 200 in the paper)"
    need_size("ding", n_channels >= channels and n_samples >= samples, n_channels, n_samples, expected)
    return Ding(n_channels, n_classes, n_samples, variant, dropout)


@MODELS.register(published=Published(12, 200, 17, "doi:10.3390/su10061865"), checked=Checked(((3, 190), (12, 50))))
def ding_2b1(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """Ding 2018, C-2B1: block 1 twice, 400 values to the classifier.

    >>> ding_2b1(n_channels=12, n_classes=17, n_samples=200).hidden1.in_features
    400
    """
    return ding(n_channels, n_classes, n_samples, variant="c_2b1")


@MODELS.register(published=Published(12, 200, 17, "doi:10.3390/su10061865"), checked=Checked(((3, 193), (12, 50))))
def ding_2b2(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """Ding 2018, C-2B2: block 2 twice, 640 values to the classifier.

    >>> ding_2b2(n_channels=12, n_classes=17, n_samples=200).hidden1.in_features
    640
    """
    return ding(n_channels, n_classes, n_samples, variant="c_2b2")


@MODELS.register(published=Published(12, 200, 17, "doi:10.3390/su10061865"), checked=Checked(((7, 120), (12, 50))))
def ding_sk(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """Ding 2018, C-SK: small kernels that mix electrodes from the first layer (the layers are our choice).

    >>> ding_sk(n_channels=12, n_classes=17, n_samples=200).hidden1.in_features
    1760
    """
    return ding(n_channels, n_classes, n_samples, variant="c_sk")


@MODELS.register(published=Published(12, 200, 17, "doi:10.3390/su10061865"), checked=Checked(((3, 120), (12, 50))))
def ding_sk2(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """Ding 2018, C-SK2: small kernels along time (the layers are our choice).

    >>> ding_sk2(n_channels=12, n_classes=17, n_samples=200).hidden1.in_features
    1760
    """
    return ding(n_channels, n_classes, n_samples, variant="c_sk2")


@MODELS.register(published=Published(12, 200, 17, "doi:10.3390/su10061865"), checked=Checked(((7, 193), (12, 50))))
def ding_dk(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """Ding 2018, C-DK: C-B1PB2 with kernels that span three electrodes (the layers are our choice).

    >>> ding_dk(n_channels=12, n_classes=17, n_samples=200).hidden1.in_features
    520
    """
    return ding(n_channels, n_classes, n_samples, variant="c_dk")
