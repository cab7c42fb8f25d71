"""The temporal convolutional network of Tsinganos et al. (ICASSP 2019, doi:10.1109/ICASSP.2019.8683239).

Input: windows (or whole repetitions) of any number of channels. The network consists of residual blocks of causal
convolutions of length 3 whose dilation doubles from layer to layer. ReLU and dropout of whole planes (0.05) follow each
convolution, and each block adds a 1 x 1 convolution of its input. The sequence is reduced by its mean over time
("mean", the paper's AoT) or by attention ("attention"), and a linear layer classifies. The authors' public settings, at
100 Hz:

    reach_ms=300     planes (32, 64) (64, 128), receptive field of 31 samples
    reach_ms=2500    planes (32, 32) (32, 32) (64, 64) (128), receptive field of 255 samples

Weights are initialised from Glorot's normal distribution, as in that code. The layers have no deviations. The paper's
input is a whole repetition; here it may be a window. `blocks` sets other planes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from myograph.errors import ConfigError
from myograph.models import MODELS, Published
from myograph.models.gengnet import Attention
from myograph.models.layers import Expect, glorot, need_size, one_of

BLOCKS = {300: ((32, 64), (64, 128)), 2500: ((32, 32), (32, 32), (64, 64), (128,))}


class Causal(nn.Module):
    """A convolution over (batch, plane, 1, time) that depends only on the past; its output is as long as its input.

    >>> import torch
    >>> Causal(inputs=2, planes=4, kernel=3, dilation=2)(torch.zeros(1, 2, 1, 10)).shape
    torch.Size([1, 4, 1, 10])
    """

    def __init__(self, inputs: int, planes: int, kernel: int, dilation: int):
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.conv = nn.Conv2d(inputs, planes, (1, kernel), dilation=(1, dilation))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (self.past, 0)))


class Residual(nn.Module):
    """Causal convolutions with ReLU and dropout, plus a 1 x 1 convolution of the input.

    >>> import torch
    >>> Residual(inputs=2, planes=(4, 8), first_dilation=1, dropout=0.0)(torch.zeros(1, 2, 1, 10)).shape
    torch.Size([1, 8, 1, 10])
    """

    def __init__(self, inputs: int, planes: Sequence[int], first_dilation: int, dropout: float):
        super().__init__()
        self.short = nn.Conv2d(inputs, planes[-1], 1)
        layers: list[nn.Module] = []
        for i, n in enumerate(planes):
            layers += [Causal(inputs, n, 3, first_dilation * 2**i), nn.ReLU(), nn.Dropout2d(dropout)]
            inputs = n
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.short(x) + self.layers(x)


class TCN(Expect):
    """Residual blocks, a summary over time, and a linear layer; see `tcn`.

    >>> import torch
    >>> TCN(2, 7, 30, blocks=((4,), (8,)), summary="attention", dropout=0.0)(torch.zeros(1, 2, 30)).shape
    torch.Size([1, 7])
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        n_samples: int,
        blocks: Sequence[Sequence[int]],
        summary: str,
        dropout: float,
    ):
        super().__init__(n_channels, n_samples)
        parts, inputs, dilation = [], n_channels, 1
        for planes in blocks:
            parts.append(Residual(inputs, planes, dilation, dropout))
            inputs, dilation = planes[-1], dilation * 2 ** len(planes)
        self.blocks = nn.Sequential(*parts)
        self.attention = Attention(inputs) if summary == "attention" else None
        self.head = nn.Linear(inputs, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(super().forward(x)[:, :, None])[:, :, 0]
        return self.head(x.mean(2) if self.attention is None else self.attention(x.transpose(1, 2)))


@MODELS.register(published=Published(10, 30, 53, "doi:10.1109/ICASSP.2019.8683239"))
def tcn(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    reach_ms: int = 300,
    summary: str = "mean",
    dropout: float = 0.05,
    blocks: Sequence[Sequence[int]] | None = None,
) -> nn.Module:
    """Tsinganos 2019: any window; `reach_ms` (300 or 2500, at 100 Hz) and `summary` ("mean" or "attention").

    >>> import torch
    >>> tcn(n_channels=10, n_classes=53, n_samples=30)(torch.zeros(2, 10, 30)).shape
    torch.Size([2, 53])
    """
    need_size("tcn", n_channels >= 1 and n_samples >= 1, n_channels, n_samples, "any window")
    one_of("reach_ms", reach_ms, BLOCKS)
    one_of("summary", summary, ("mean", "attention"))
    planes = BLOCKS[reach_ms] if blocks is None else blocks
    if not planes or not all(len(block) for block in planes):
        raise ConfigError(f"blocks must hold the planes of each layer of each block, got {blocks!r}")
    return glorot(TCN(n_channels, n_classes, n_samples, planes, summary, dropout))
