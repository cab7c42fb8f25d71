"""myonet: our own small network for short windows of 4 to 64 channels; the default network.

A contraction changes the power of the signal, the frequencies of that power, and its distribution over the electrodes;
powers are best compared as logarithms. The network therefore learns filters and uses log powers:

    moments   correlation of each pair of channels at delays of 0 to 8 samples: sums of x_i(t) x_j(t + d)
    bands     F = 4 learnt filters of 9 samples, the same for every channel; the covariance S of the channels in a band
              is a weighted sum of the moments (Wiener-Khinchin), so no signal is filtered
    powers    in each band M = 48 learnt combinations w of the electrodes, whose power is w' S w
    features  log power of each combination and each single channel in each band; each channel's mean, log mean
              absolute value, log mean absolute difference, and shares of zero crossings and of turns
    mlp       batch normalisation, dropout, linear to up to 512, batch normalisation, GELU, dropout, linear to classes

Combinations are initialised as sums and differences of two electrodes, and bands as the signal, its first and second
difference and its moving average. Training changes all of them. During training, each channel of each window is scaled
by a random gain (log-normal, `jitter`), since contact and effort change the gain from one repetition to the next.

Only sums over samples depend on the length of the window, so the network is causal and runs on a stream at a constant
cost per sample. It expects channels of about unit variance, as given by `normalise="channel"` of the estimators.
Design and ablations: docs/myonet.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myograph.errors import ConfigError
from myograph.models import MODELS, Published
from myograph.models.layers import Expect, need_size

FLOOR = 1e-3  # added to powers before the logarithm, relative to channels of unit variance
AMPLITUDE_FLOOR = FLOOR**0.5
LARGEST = 180_000  # parameters after the features; the whole network stays below 200,000


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
    """Log powers of learnt bands and electrode combinations, and a small classifier; see the module.

    >>> net = MyoNet(2, 7, 50, bands=4, combinations=6, hidden=16, dropout=0.3, jitter=0.15)
    >>> x = torch.zeros(3, 2, 50)
    >>> net.moments(x).shape, net.powers(net.moments(x)).shape, net.features(x).shape, net(x).shape
    (torch.Size([3, 9, 3]), torch.Size([3, 4, 8]), torch.Size([3, 42]), torch.Size([3, 7]))
    """

    first: Tensor
    second: Tensor
    own: Tensor
    times: Tensor

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        n_samples: int,
        bands: int,
        combinations: int,
        hidden: int | None,
        dropout: float,
        jitter: float,
    ):
        super().__init__(n_channels, n_samples)
        self.length, self.jitter = min(9, n_samples // 2), jitter
        self.bands = nn.Parameter(_first_bands(bands, self.length))
        self.combinations = nn.Parameter(_first_combinations(bands, combinations, n_channels))
        first, second = torch.triu_indices(n_channels, n_channels)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        # Positions of the pairs (i, i), listed explicitly so that the network can be built without memory (on "meta").
        own = torch.tensor([i * n_channels - i * (i - 1) // 2 for i in range(n_channels)])
        self.register_buffer("own", own, persistent=False)
        self.register_buffer("times", torch.where(first == second, 1.0, 2.0), persistent=False)
        n_features = bands * (combinations + n_channels) + 5 * n_channels
        if hidden is None:
            hidden = max(min(512, LARGEST // (n_features + n_classes + 3)), 32)
        self.mlp = nn.Sequential(
            nn.BatchNorm1d(n_features),
            nn.Dropout(dropout),
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, n_classes)

    def moments(self, x: Tensor) -> Tensor:
        """Turn (batch, channel, time) into (batch, delay, pair), for all pairs of channels i <= j.

        An entry is the sum over time of x_i(t) x_j(t + d) + x_j(t) x_i(t + d), divided by the length of the window;
        half of that if i = j or d = 0, and a quarter if both.
        """
        found = []
        for delay in range(self.length):
            sums = x[:, :, : x.shape[2] - delay] @ x[:, :, delay:].mT
            found.append((sums if delay == 0 else sums + sums.mT)[:, self.first, self.second])
        return torch.stack(found, 1) * (self.times / x.shape[2])

    def powers(self, moments: Tensor) -> Tensor:
        """Turn (batch, delay, pair) into (batch, band, combination and channel)."""
        delays = [(self.bands[:, : self.length - d] * self.bands[:, d:]).sum(1) for d in range(self.length)]
        banded = (torch.stack(delays, 1) @ moments).transpose(0, 1)  # (band, batch, pair)
        combined = banded @ (self.combinations[..., self.first] * self.combinations[..., self.second]).mT
        return torch.cat([combined, banded[..., self.own]], 2).transpose(0, 1)

    def features(self, x: Tensor) -> Tensor:
        """Turn (batch, channel, time) into (batch, bands * (combinations + channels) + 5 channels)."""
        steps = x[:, :, 1:] - x[:, :, :-1]
        crossings = (x[:, :, 1:] * x[:, :, :-1] < 0).to(x.dtype).mean(2)
        turns = (steps[:, :, 1:] * steps[:, :, :-1] < 0).to(x.dtype).mean(2)
        sizes = torch.log(torch.cat([x.abs().mean(2), steps.abs().mean(2)], 1) + AMPLITUDE_FLOOR)
        logs = torch.log(self.powers(self.moments(x)).clamp_min(0) + FLOOR).flatten(1)
        return torch.cat([logs, x.mean(2), sizes, crossings, turns], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        if self.training and self.jitter:
            x = x * torch.exp(self.jitter * torch.randn(len(x), self.n_channels, 1, device=x.device, dtype=x.dtype))
        return self.head(self.mlp(self.features(x)))


@MODELS.register(published=Published(8, 50, 7, "docs/myonet.md"))
def myonet(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    bands: int = 4,
    combinations: int = 48,
    hidden: int | None = None,
    dropout: float = 0.3,
    jitter: float = 0.15,
) -> nn.Module:
    """Our default: any number of channels (made for 4 to 64), 3 samples or more (made for 20 to 600).

    Parameters
    ----------
    bands, combinations : numbers of learnt filters, and of electrode combinations per filter.
    hidden : units of the hidden layer; None takes 512, or as many as keep the network below 200,000 parameters.
    dropout : dropout before both linear layers.
    jitter : standard deviation of the logarithm of the random gains during training.

    >>> net = myonet(n_channels=8, n_classes=7, n_samples=50)
    >>> sum(p.numel() for p in net.parameters()) < 200_000, net(torch.zeros(2, 8, 50)).shape
    (True, torch.Size([2, 7]))
    """
    need_size("myonet", n_channels >= 1 and n_samples >= 3, n_channels, n_samples, "any channels, 3 samples or more")
    if min(bands, combinations, 1 if hidden is None else hidden) < 1 or jitter < 0 or not 0 <= dropout < 1:
        raise ConfigError(
            "bands, combinations and hidden are at least 1, jitter at least 0 and dropout in [0, 1), got "
            f"{bands}, {combinations}, {hidden}, {jitter} and {dropout}"
        )
    return MyoNet(n_channels, n_classes, n_samples, bands, combinations, hidden, dropout, jitter)
