"""myonet: a small network of our own for short windows of 4 to 64 channels; the default choice.

It knows what is known about surface EMG: a contraction shows in the power of the signal, in which frequencies that power
lies and how electrodes share it, and powers compare as logarithms. So it learns filters and reads log powers:

    bands     F = 4 learnt filters of 9 samples, the same for every channel
    moments   the covariance of the channels in each band over the window: F matrices of channel x channel
    powers    in each band M = 48 learnt combinations of the electrodes, whose power w' S w comes from the covariance
    features  log power of each combination and of each single channel in each band, and each channel's mean
    mlp       batch normalisation, dropout, linear to 128, batch normalisation, GELU, dropout, linear to the classes

Combinations start as sums and differences of two electrodes, bands as the signal, its first and second difference and
its moving average; training moves all of them. While training, each channel of each window is scaled by a random gain
(log-normal, `jitter`), as contact and effort do from one repetition to the next.

The only thing that grows with the window is the covariance, a sum over samples: the network is causal and streams at the
cost of one outer product a sample and band. It expects channels scaled to about unit variance, as the estimators'
`normalise="channel"` does. Design and ablations: docs/myonet.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myograph.errors import ConfigError
from myograph.models import MODELS
from myograph.models._parts import Expect, need_size

FLOOR = 1e-3  # added to powers before the logarithm, relative to channels of unit variance


def _first_bands(n_bands: int, length: int) -> Tensor:
    bands = torch.randn(n_bands, length) / length**0.5
    known = ([1.0], [-0.7, 0.7], [length**-0.5] * length, [0.4, -0.8, 0.4])
    for band, taps in zip(bands, known):
        taps = taps[-length:]
        band.zero_()[length - len(taps) :] = torch.tensor(taps)
    return bands + 0.02 * torch.randn(n_bands, length)


def _first_combinations(n_bands: int, n_combinations: int, n_channels: int) -> Tensor:
    weight = 0.1 * torch.randn(n_bands, n_combinations, n_channels)
    for m in range(n_combinations):
        lap, i = divmod(m, n_channels)
        weight[:, m, i] += 0.7
        weight[:, m, (i + 1 + lap) % n_channels] += 0.7 if lap % 2 else -0.7
    return weight


class MyoNet(Expect):
    """Log powers of learnt bands and electrode combinations, and a small classifier; see the module."""

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        n_samples: int,
        bands: int,
        combinations: int,
        hidden: int,
        dropout: float,
        jitter: float,
    ):
        super().__init__(n_channels, n_samples)
        self.length, self.jitter = min(9, n_samples // 2), jitter
        self.bands = nn.Parameter(_first_bands(bands, self.length))
        self.combinations = nn.Parameter(_first_combinations(bands, combinations, n_channels))
        n_features = bands * (combinations + n_channels) + n_channels
        self.mlp = nn.Sequential(
            nn.BatchNorm1d(n_features),
            nn.Dropout(dropout),
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """(batch, channel, time) to (batch, bands * (combinations + channels) + channels)."""
        banded = (x.unfold(2, self.length, 1) @ self.bands.T).permute(0, 3, 1, 2)
        covariance = banded @ banded.mT / banded.shape[3]
        power = ((self.combinations @ covariance) * self.combinations).sum(3)
        own = covariance.diagonal(dim1=2, dim2=3)
        logs = torch.log(torch.cat([power, own], 2) + FLOOR).flatten(1)
        return torch.cat([logs, x.mean(2)], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if self.training and self.jitter:
            x = x * torch.exp(self.jitter * torch.randn(len(x), self.n_channels, 1, device=x.device, dtype=x.dtype))
        return self.head(self.mlp(self.features(x)))


@MODELS.register
def myonet(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    bands: int = 4,
    combinations: int = 48,
    hidden: int = 128,
    dropout: float = 0.3,
    jitter: float = 0.15,
) -> nn.Module:
    """Our default: any number of channels (made for 4 to 64), 2 samples or more (made for 20 to 600)."""
    need_size("myonet", n_channels >= 1 and n_samples >= 2, n_channels, n_samples, "any channels, 2 samples or more")
    if min(bands, combinations, hidden) < 1 or jitter < 0 or not 0 <= dropout < 1:
        raise ConfigError(
            "bands, combinations and hidden are at least 1, jitter at least 0 and dropout in [0, 1), got "
            f"{bands}, {combinations}, {hidden}, {jitter} and {dropout}"
        )
    return MyoNet(n_channels, n_classes, n_samples, bands, combinations, hidden, dropout, jitter)
