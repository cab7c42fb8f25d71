"""The muscle classifiers of Velasquez Rendon et al. (DSP 2023): a CNN-LSTM, and the CNN and the LSTM alone.

Input: 500 samples of one channel (0.5 s at 1 kHz), 4 muscles. Layer by layer, with the parameters of the published
(Keras) summary:

    convolution 5 to 32, same length; LeakyReLU, max pool 2, dropout     250 x 32       192
    convolution 7 to 64, same length; LeakyReLU, max pool 2, dropout     125 x 64    14,400
    linear to 50 at each step; LeakyReLU, dropout                        125 x 50     3,250
    LSTM of 30, last state                                                     30     9,720
    linear to 15, LeakyReLU; linear to the classes                              4       529

28,091 parameters in total. torch's LSTM has a redundant second bias, which adds 120. The CNN alone (26,111) has
a linear layer to 15 at each step instead of the LSTM, and its head reads all steps. The LSTM alone (10,349, + 120)
reads the samples through a linear layer to 50.

Initial weights are Keras's defaults (Glorot; orthogonal recurrent weights, and a forget-gate bias of 1), since the
authors used Keras; with them the hybrid needs fewer epochs than with torch's defaults. The paper does not state the
dropout (0.2) and the slope of the LeakyReLUs (0.3, Keras's default), which are our choice. Several channels enter the
first layer together, also our choice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from myograph.models import MODELS, Checked, Published
from myograph.models._cpu.dropped import Dropped
from myograph.models._cpu.lstm import LSTM
from myograph.models.layers import Expect, need_size

SLOPE = 0.3


class Steps(Expect):
    """Turn windows into sequences: (batch, channel, time) to (batch, time, channel).

    >>> Steps(n_channels=2, n_samples=5)(torch.zeros(3, 2, 5)).shape
    torch.Size([3, 5, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).transpose(1, 2)


class _Convolutions(Expect):
    """Two convolutions and a linear layer at each step: (batch, channel, time) to (batch, time // 4, 50)."""

    def __init__(self, n_channels: int, n_samples: int, dropout: float):
        super().__init__(n_channels, n_samples)
        self.conv1 = nn.Conv2d(n_channels, 32, (1, 5), padding="same")
        self.conv2 = nn.Conv2d(32, 64, (1, 7), padding="same")
        self.each = nn.Linear(64, 50)
        self.pool, self.leaky = Dropped(SLOPE, dropout), Dropped(SLOPE, dropout, pool=1)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x).unsqueeze(2)
        for conv in (self.conv1, self.conv2):
            x = self.pool(conv(x))
        # On a CPU, a convolution computes these products in half the time of a linear layer.
        x = nn.functional.conv2d(x, self.each.weight[:, :, None, None], self.each.bias)
        return (
            self.leaky(x).squeeze(2).transpose(1, 2)
        )  # the gradient of indexing fills and copies an array, that of squeeze is a view


class _LastState(nn.Module):
    """LSTM of 30 and a linear layer to 15: (batch, step, 50) to (batch, 15)."""

    def __init__(self, dropout: float):
        super().__init__()
        self.lstm = LSTM(50, 30)
        self.hidden = nn.Linear(30, 15)
        self.leaky, self.dropout = nn.LeakyReLU(SLOPE), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.leaky(self.hidden(self.lstm.last(x))))


class MuscleNet(nn.Module):
    """A `body` that turns windows into features, and a linear `head` that turns these into logits.

    >>> body = nn.Sequential(Steps(1, 4), nn.Flatten())
    >>> MuscleNet(body, n_features=4, n_classes=2)(torch.zeros(3, 1, 4)).shape
    torch.Size([3, 2])
    """

    def __init__(self, body: nn.Module, n_features: int, n_classes: int):
        super().__init__()
        self.body, self.head = body, nn.Linear(n_features, n_classes)
        self.apply(_as_keras)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@MODELS.register(
    published=Published(
        1, 500, 4, "Velasquez Rendon et al., DSP 2023", 28_091, extra=120, note="torch's LSTM has a second bias"
    ),
    checked=Checked(((2, 32), (1, 20))),
)
def muscle_cnn_lstm(n_channels: int, n_classes: int, n_samples: int, *, dropout: float = 0.2) -> nn.Module:
    """The hybrid: any number of channels, 4 samples or more; made for 1 x 500.

    >>> net = muscle_cnn_lstm(n_channels=1, n_classes=4, n_samples=500)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 1, 500)).shape
    (28211, torch.Size([2, 4]))
    """
    _need("muscle_cnn_lstm", n_channels, n_samples, 4)
    body = nn.Sequential(_Convolutions(n_channels, n_samples, dropout), _LastState(0.0))
    return MuscleNet(body, 15, n_classes)


@MODELS.register(published=Published(1, 500, 4, "Velasquez Rendon et al., DSP 2023", 26_111))
def muscle_cnn(n_channels: int, n_classes: int, n_samples: int, *, dropout: float = 0.2) -> nn.Module:
    """The CNN alone: any number of channels, 4 samples or more; made for 1 x 500.

    >>> net = muscle_cnn(n_channels=1, n_classes=4, n_samples=500)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 1, 500)).shape
    (26111, torch.Size([2, 4]))
    """
    _need("muscle_cnn", n_channels, n_samples, 4)
    each = (nn.Linear(50, 15), nn.LeakyReLU(SLOPE), nn.Dropout(dropout), nn.Flatten())
    body = nn.Sequential(_Convolutions(n_channels, n_samples, dropout), *each)
    return MuscleNet(body, n_samples // 2 // 2 * 15, n_classes)


@MODELS.register(
    published=Published(
        1, 500, 4, "Velasquez Rendon et al., DSP 2023", 10_349, extra=120, note="torch's LSTM has a second bias"
    ),
    checked=Checked(((2, 16), (1, 20))),
)
def muscle_lstm(n_channels: int, n_classes: int, n_samples: int, *, dropout: float = 0.2) -> nn.Module:
    """The LSTM alone: any window; made for 1 x 500.

    >>> net = muscle_lstm(n_channels=1, n_classes=4, n_samples=500)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 1, 500)).shape
    (10469, torch.Size([2, 4]))
    """
    _need("muscle_lstm", n_channels, n_samples, 1)
    each = (nn.Linear(n_channels, 50), nn.LeakyReLU(SLOPE), nn.Dropout(dropout))
    body = nn.Sequential(Steps(n_channels, n_samples), *each, _LastState(dropout))
    return MuscleNet(body, 15, n_classes)


@torch.no_grad()
def _as_keras(layer: nn.Module) -> None:
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    elif isinstance(layer, nn.LSTM):
        n = layer.hidden_size
        own = dict(layer.named_parameters())
        nn.init.xavier_uniform_(own["weight_ih_l0"])
        nn.init.orthogonal_(own["weight_hh_l0"])
        nn.init.zeros_(own["bias_ih_l0"])
        nn.init.zeros_(own["bias_hh_l0"])
        own["bias_ih_l0"][n : 2 * n] = 1.0


def _need(name: str, n_channels: int, n_samples: int, least: int) -> None:
    ok = n_channels >= 1 and n_samples >= least
    need_size(name, ok, n_channels, n_samples, f"any channels and {least} samples or more (1 x 500 in the paper)")
