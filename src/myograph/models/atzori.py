"""The network of Atzori, Cognolato and Mueller (2016, Front. Neurorobot. 10:9) and its variant by Tsinganos (2018).

Input: a window of 150 ms as an image of time (rows) by electrode (columns). It is 15 x 10 for the Otto Bock electrodes
of NinaPro DB1 (100 Hz) and 30 x 12 for the Delsys electrodes of DB2 and DB3.

    1  convolution of one row across all electrodes to 32 planes, ReLU     15 x 9
    2  convolution 3 x 3 to 32, ReLU, mean pool 3 x 3                       5 x 3
    3  convolution 5 x 5 to 64, ReLU, mean pool 3 x 3                       1 x 1
    4  convolution 5 x 1 (Delsys: 9 x 1) to 64, ReLU                        1 x 1
    5  convolution 1 x 1 to the classes

The paper gives the kernels and planes. The padding (4 columns, then 1, 2 and 2) and the stride of the pools (3) are
those of the public re-implementation of Tsinganos, Cornelis, Cornelis, Jansen and Skodras (PhyCS 2018); only with these
does the feature map end as a single value. 84,853 parameters for 10 electrodes, 15 samples and 53 classes.

Deviations: weights are initialised from Glorot's normal distribution, as Tsinganos states for his network (we found no
statement for Atzori's). If a window leaves more than one position (Delsys, or a longer window), the logits are the mean
over the positions, which is our choice, as is the rate of 200 Hz for the Delsys input.
"""

from __future__ import annotations

from torch import nn

from myograph.models import MODELS, Published
from myograph.models.layers import Image, MeanOverMap, glorot, he, need_size, one_of, stack


@MODELS.register(published=Published(10, 15, 53, "doi:10.3389/fnbot.2016.00009", 84_853))
def atzori(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    last_kernel: int = 5,
    pool: str = "mean",
    dropout: float = 0.0,
    init: str = "glorot",
) -> nn.Module:
    """Atzori 2016: any number of channels, 9 samples or more.

    Parameters
    ----------
    last_kernel : length of the kernel of block 4 (odd).
    pool : "mean" or "max".
    dropout : dropout after each of the four ReLUs.
    init : "glorot", or "he" (normal, for ReLU), which learns much sooner with the paper's small learning rate: most
        values in the padded kernels of blocks 3 and 4 are multiplied by zeros, so that Glorot's weights make the signal
        small.

    >>> import torch
    >>> net = atzori(n_channels=10, n_classes=53, n_samples=15)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 10, 15)).shape
    (84853, torch.Size([2, 53]))
    """
    need_size("atzori", n_channels >= 1 and n_samples >= 9, n_channels, n_samples, "any channels and 9 samples or more")
    one_of("pool", pool, ("mean", "max"))
    one_of("init", init, ("glorot", "he"))
    one_of("last_kernel", last_kernel, range(1, 32, 2))
    shrink = nn.AvgPool2d if pool == "mean" else nn.MaxPool2d

    def block(inputs: int, planes: int, kernel: tuple[int, int], padding: tuple[int, int]) -> nn.Sequential:
        conv = nn.Conv2d(inputs, planes, kernel, padding=padding)
        return nn.Sequential(conv, nn.ReLU(), *([nn.Dropout(dropout)] if dropout else []))

    return (glorot if init == "glorot" else he)(
        stack(
            image=Image(n_channels, n_samples, time_first=True),
            block1=block(1, 32, (1, n_channels), (0, 4)),
            block2=block(32, 32, (3, 3), (1, 1)),
            pool2=shrink(3),
            block3=block(32, 64, (5, 5), (2, 2)),
            pool3=shrink(3),
            block4=block(64, 64, (last_kernel, 1), (last_kernel // 2, 0)),
            head=nn.Conv2d(64, n_classes, 1),
            mean=MeanOverMap(),
        )
    )


@MODELS.register(published=Published(12, 30, 50, "doi:10.3389/fnbot.2016.00009"))
def atzori_delsys(n_channels: int, n_classes: int, n_samples: int, *, init: str = "glorot") -> nn.Module:
    """Atzori 2016 for Delsys electrodes: block 4's kernel is 9 x 1; made for 12 electrodes x 30 samples (200 Hz).

    >>> import torch
    >>> atzori_delsys(n_channels=12, n_classes=50, n_samples=30)(torch.zeros(2, 12, 30)).shape
    torch.Size([2, 50])
    """
    return atzori(n_channels, n_classes, n_samples, last_kernel=9, init=init)


@MODELS.register(published=Published(10, 15, 53, "Tsinganos et al., PhyCS 2018", 84_853))
def tsinganos(n_channels: int, n_classes: int, n_samples: int, *, dropout: float = 0.15) -> nn.Module:
    """Tsinganos 2018: Atzori's network with max pools and with dropout (after each of the four ReLUs, which is our
    choice).

    >>> import torch
    >>> tsinganos(n_channels=10, n_classes=53, n_samples=15)(torch.zeros(2, 10, 15)).shape
    torch.Size([2, 53])
    """
    return atzori(n_channels, n_classes, n_samples, pool="max", dropout=dropout)
