"""Feature-imitating networks: the LSTM and the CNN of Wu, Atashzar, Ghassemi and Alhanai (arXiv 2405.19356, 2025).

`fin_lstm` imitates one feature of one channel: 600 samples (300 ms at 2 kHz) pass through three bidirectional LSTM
layers of 32. The backward state of the top layer, which has read the whole window, passes through a linear layer.
59,136 + 396 parameters for 12 outputs (the published count includes PyTorch's two biases per gate). The same weights
read every channel, and the result is the mean over the channels, which is our choice; `imitate` returns one result per
channel. As published, the forward half of the top layer is part of the network but its result is not used, so its
weights receive no gradient.

`fin_cnn` classifies a map of 4 features x 12 channels x 12 copies: 66,646 parameters for 17 classes.

    convolution 5 x 5 to 64, batch normalisation, PReLU, dropout 0.3      8 x 8
    convolution 5 x 5 to 32, batch normalisation, PReLU                   4 x 4
    convolution 4 x 4 to the classes, batch normalisation, PReLU          1 x 1

Input of `fin_cnn`: the "samples" of a channel are its features in order, each with its copies next to one another. So
(batch, channel, feature * copy) becomes the map (batch, feature, channel, copy). Batch normalisation and PReLU are also
applied to the logits, as published. A larger map leaves several positions, whose mean is taken (our choice).
"""

from __future__ import annotations

from torch import Tensor, nn

from myograph.errors import ConfigError
from myograph.models import MODELS, Checked, Published
from myograph.models._cpu.lstm import LSTM
from myograph.models.layers import Expect, MeanOverMap, need_size, stack


class FeatureImitator(Expect):
    """Imitate one feature of every channel; see `fin_lstm`.

    >>> import torch
    >>> net = FeatureImitator(n_channels=2, n_classes=12, n_samples=20)
    >>> net(torch.zeros(3, 2, 20)).shape, net.imitate(torch.zeros(3, 2, 20)).shape
    (torch.Size([3, 12]), torch.Size([3, 2, 12]))
    """

    def __init__(self, n_channels: int, n_classes: int, n_samples: int, hidden: int = 32, layers: int = 3):
        super().__init__(n_channels, n_samples)
        self.lstm = LSTM(1, hidden, layers, bidirectional=True)
        self.head = nn.Linear(hidden, n_classes)

    def imitate(self, x: Tensor) -> Tensor:
        """Turn windows (batch, channel, time) into one result per channel, (batch, channel, output)."""
        alone = super().forward(x).flatten(0, 1).unsqueeze(2)
        return self.head(self.lstm.last(alone)).unflatten(0, (-1, self.n_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.imitate(x).mean(1)


@MODELS.register(
    published=Published(1, 600, 12, "arXiv:2405.19356", 59_136 + 396),
    checked=Checked(((3, 12), (1, 20)), idle=("lstm.*_l2",)),
)
def fin_lstm(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """The imitator of one feature: any window; made for 1 x 600 and 12 outputs.

    >>> net = fin_lstm(n_channels=1, n_classes=12, n_samples=600)
    >>> sum(p.numel() for p in net.parameters())
    59532
    """
    need_size("fin_lstm", n_channels >= 1 and n_samples >= 1, n_channels, n_samples, "any window")
    return FeatureImitator(n_channels, n_classes, n_samples)


class FeatureMap(Expect):
    """Turn (batch, channel, feature * copy) into (batch, feature, channel, copy).

    >>> import torch
    >>> FeatureMap(12, 48, n_features=4)(torch.zeros(2, 12, 48)).shape
    torch.Size([2, 4, 12, 12])
    """

    def __init__(self, n_channels: int, n_samples: int, n_features: int):
        super().__init__(n_channels, n_samples)
        self.n_features = n_features

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(2, (self.n_features, -1)).transpose(1, 2)


@MODELS.register(
    published=Published(12, 48, 17, "arXiv:2405.19356", 66_646), checked=Checked(((12, 48), (14, 64), (8, 50)))
)
def fin_cnn(n_channels: int, n_classes: int, n_samples: int, *, n_features: int = 4, dropout: float = 0.3) -> nn.Module:
    """The classifier of feature maps: 12 channels or more, `n_features` times 12 or more copies; made for 12 x 48.

    >>> import torch
    >>> net = fin_cnn(n_channels=12, n_classes=17, n_samples=48)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 12, 48)).shape
    (66646, torch.Size([2, 17]))
    """
    if n_features < 1:
        raise ConfigError(f"n_features must be at least 1, got {n_features}")
    copies, rest = divmod(n_samples, n_features)
    expected = f"at least 12 channels and {n_features} features with the same number of copies each, at least 12"
    need_size("fin_cnn", n_channels >= 12 and copies >= 12 and rest == 0, n_channels, n_samples, expected)

    def block(inputs: int, planes: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, planes, kernel), nn.BatchNorm2d(planes), nn.PReLU())

    return stack(
        map=FeatureMap(n_channels, n_samples, n_features),
        block1=block(n_features, 64, 5),
        dropout=nn.Dropout(dropout),
        block2=block(64, 32, 5),
        head=block(32, n_classes, 4),
        mean=MeanOverMap(),
    )
