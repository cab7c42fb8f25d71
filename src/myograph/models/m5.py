"""M5: a small network for high-density windows (public code of the CNN-HD-sEMG-Classifier, MIC Laboratory).

Input: 20 samples of 192 channels as one column of 3840 values, in which all channels of a sample are adjacent.
The first kernel therefore covers 16 neighbouring channels at one instant; later layers mix groups of channels and time.

    convolution 16, stride 16, to 16 planes, ReLU   240
    max pool 2                                      120
    convolution 3 to 16, ReLU                       118
    max pool 2                                       59
    convolution 3 to 32, ReLU                        57
    mean over the positions, linear to the classes

2,855 parameters and 239,840 multiply-accumulates for 192 channels, 20 samples and 7 classes. No deviations. The network
contains no normalisation, so its input must be scaled.
"""

from __future__ import annotations

from torch import nn

from myograph.models import MODELS, Checked, Published
from myograph.models.layers import MeanOverMap, Patches, TimeMajor, need_size, stack


@MODELS.register(
    published=Published(192, 20, 7, "CNN-HD-sEMG-Classifier, MIC Laboratory", 2_855),
    checked=Checked(((8, 50), (64, 20), (1, 20))),
)
def m5(n_channels: int, n_classes: int, n_samples: int) -> nn.Module:
    """M5: any window with at least 256 values (channels x samples).

    >>> import torch
    >>> net = m5(n_channels=192, n_classes=7, n_samples=20)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 192, 20)).shape
    (2855, torch.Size([2, 7]))
    """
    enough = n_channels >= 1 and n_channels * n_samples >= 256
    need_size("m5", enough, n_channels, n_samples, "at least 256 values, channels x samples")
    return stack(
        column=TimeMajor(n_channels, n_samples),
        conv1=Patches(1, 16, (16, 1), stride=(16, 1)),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d((2, 1)),
        conv2=nn.Conv2d(16, 16, (3, 1)),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d((2, 1)),
        conv3=nn.Conv2d(16, 32, (3, 1)),
        relu3=nn.ReLU(),
        mean=MeanOverMap(),
        head=nn.Linear(32, n_classes),
    )
