"""Feature-imitating networks: the LSTM and the CNN of Wu, Atashzar, Ghassemi and Alhanai (arXiv 2405.19356, 2025).

`fin_lstm` imitates one feature of one channel: 600 samples (300 ms at 2 kHz) through three bidirectional LSTM layers of
32; the backward state of the top layer, which has read the whole window, goes through a linear layer. 59,136 + 396
parameters for 12 outputs (PyTorch's two biases a gate are in the published count). The same weights read every channel;
the answer is the mean over the channels, our choice, and `imitate` gives them apart. As published, the forward half of
the top layer is part of the network but feeds nothing, so its weights receive no gradient.

`fin_cnn` classifies a map of 4 features x 12 channels x 12 copies: 66,646 parameters for 17 classes.

    convolution 5 x 5 to 64, batch normalisation, PReLU, dropout 0.3      8 x 8
    convolution 5 x 5 to 32, batch normalisation, PReLU                   4 x 4
    convolution 4 x 4 to the classes, batch normalisation, PReLU          1 x 1

Input of `fin_cnn`: the "samples" of a channel are its features, one after another, each with its copies next to one
another: (batch, channel, feature * copy) becomes the map (batch, feature, channel, copy). Batch normalisation and PReLU
act on the logits too, as published. A larger map leaves several positions, whose mean is taken (our choice).
"""

from __future__ import annotations

from torch import Tensor, nn

from myograph.errors import ConfigError
from myograph.models import MODELS, Checked, Published
from myograph.models._cpu.lstm import LSTM
from myograph.models.layers import Expect, MeanOverMap, need_size, stack


class FeatureImitator(Expect):
    """One feature of every channel; see `fin_lstm`."""

    def __init__(self, n_channels: int, n_classes: int, n_samples: int, hidden: int = 32, layers: int = 3):
        super().__init__(n_channels, n_samples)
        self.lstm = LSTM(1, hidden, layers, bidirectional=True)
        self.head = nn.Linear(hidden, n_classes)

    def imitate(self, x: Tensor) -> Tensor:
        """Windows (batch, channel, time) to (batch, channel, output)."""
        alone = super().forward(x).flatten(0, 1).unsqueeze(2)
        return self.head(self.lstm.last(alone)).unflatten(0, (-1, self.n_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.imitate(x).mean(1)


@MODELS.register(
    published=Published(1, 600, 12, "arXiv:2405.19356", 59_136 + 396),
    checked=Checked(((3, 12), (1, 20)), idle=("lstm.*_l2",)),
)
def fin_lstm(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """The imitator of one feature: any window; made for 1 x 600 and 12 outputs."""
    need_size("fin_lstm", n_channels >= 1 and n_samples >= 1, n_channels, n_samples, "any window")
    return FeatureImitator(n_channels, n_classes, n_samples)


class FeatureMap(Expect):
    """(batch, channel, feature * copy) to (batch, feature, channel, copy)."""

    def __init__(self, n_channels: int, n_samples: int, n_features: int):
        super().__init__(n_channels, n_samples)
        self.n_features = n_features

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(2, (self.n_features, -1)).transpose(1, 2)


@MODELS.register(
    published=Published(12, 48, 17, "arXiv:2405.19356", 66_646), checked=Checked(((12, 48), (14, 64), (8, 50)))
)
def fin_cnn(n_channels: int, n_classes: int, n_samples: int, *, n_features: int = 4, dropout: float = 0.3) -> nn.Module:
    """The classifier of feature maps: 12 channels or more, `n_features` times 12 or more copies; made for 12 x 48."""
    if n_features < 1:
        raise ConfigError(f"n_features is at least 1, got {n_features}")
    copies, rest = divmod(n_samples, n_features)
    expected = f"at least 12 channels and {n_features} features of the same number of copies, at least 12, one by one"
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
