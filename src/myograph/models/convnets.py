"""Two networks for one Myo armband, 8 electrodes x 52 samples (260 ms): Côté-Allard (2019) and EffiE (2023).

`cote_allard`, the raw ConvNet of Côté-Allard et al. 2019 (IEEE TNSRE 27:760, without the progressive transfer):

    convolution 3 x 5 to 32, max pool 1 x 3, batch normalisation, PReLU, dropout 0.5 of whole planes    6 x 16
    convolution 3 x 5 to 64, then as above                                                            4 x 4
    linear to 500 (1024 values), batch normalisation, PReLU, dropout 0.5; linear to the classes

549,091 parameters for 7 classes. The kernels, the planes and the layer from 1024 to 500 are those of the authors'
public code.

`effie`, EffiE (Lu, Liang, Rhim, Zhang and Qin, NER 2023, doi:10.1109/NER52421.2023.10123741), from its public code:

    convolution 3 x 5 to 32, ReLU, batch normalisation, PReLU, dropout 0.5 of whole planes, max pool 1 x 3
    convolution 3 x 5 to 64, then as above
    linear to 512, PReLU; linear to 128, PReLU; linear to the classes

Deviations in `effie`: the Keras code normalises along time and has one PReLU slope per value; here both are per plane
(and one slope for each of the 512 and 128 values). In both networks, rows are electrodes and columns are time. Other
sizes change only the width of the first linear layer.
"""

from __future__ import annotations

from torch import nn

from myograph.models import MODELS, Published
from myograph.models.layers import Image, floor_sizes, need_size, stack


def _flat(model: str, n_channels: int, n_samples: int) -> int:
    """Return the number of values after both convolutions; ShapeError if the window is too small."""
    steps = ((5, 1, 0), (3, 3, 0)) * 2
    rows, columns = n_channels - 4, floor_sizes(n_samples, *steps)
    least = next(n for n in range(1, 100) if floor_sizes(n, *steps))
    expected = f"at least 5 channels and {least} samples (8 x 52 in the paper)"
    need_size(model, rows >= 1 and columns >= 1, n_channels, n_samples, expected)
    return 64 * rows * columns


@MODELS.register(published=Published(8, 52, 7, "doi:10.1109/TNSRE.2019.2896269", 549_091))
def cote_allard(n_channels: int, n_classes: int, n_samples: int, *, dropout: float = 0.5) -> nn.Module:
    """Côté-Allard 2019, raw ConvNet: at least 5 channels and 25 samples; made for 8 x 52.

    >>> import torch
    >>> net = cote_allard(n_channels=8, n_classes=7, n_samples=52)
    >>> sum(p.numel() for p in net.parameters()), net(torch.zeros(2, 8, 52)).shape
    (549091, torch.Size([2, 7]))
    """
    width = _flat("cote_allard", n_channels, n_samples)

    def block(inputs: int, planes: int) -> nn.Sequential:
        conv = nn.Conv2d(inputs, planes, (3, 5))
        return nn.Sequential(
            conv, nn.MaxPool2d((1, 3)), nn.BatchNorm2d(planes), nn.PReLU(planes), nn.Dropout2d(dropout)
        )

    return stack(
        image=Image(n_channels, n_samples),
        block1=block(1, 32),
        block2=block(32, 64),
        flatten=nn.Flatten(),
        hidden=nn.Linear(width, 500),
        norm=nn.BatchNorm1d(500),
        relu=nn.PReLU(500),
        dropout=nn.Dropout(dropout),
        head=nn.Linear(500, n_classes),
    )


@MODELS.register(published=Published(8, 52, 4, "Lu et al., NER 2023"))
def effie(n_channels: int, n_classes: int, n_samples: int, *, dropout: float = 0.5) -> nn.Module:
    """EffiE: at least 5 channels and 25 samples; made for 8 x 52.

    >>> import torch
    >>> effie(n_channels=8, n_classes=4, n_samples=52)(torch.zeros(2, 8, 52)).shape
    torch.Size([2, 4])
    """
    width = _flat("effie", n_channels, n_samples)

    def block(inputs: int, planes: int) -> nn.Sequential:
        norm = (nn.BatchNorm2d(planes), nn.PReLU(planes), nn.Dropout2d(dropout))
        return nn.Sequential(nn.Conv2d(inputs, planes, (3, 5)), nn.ReLU(), *norm, nn.MaxPool2d((1, 3)))

    return stack(
        image=Image(n_channels, n_samples),
        block1=block(1, 32),
        block2=block(32, 64),
        flatten=nn.Flatten(),
        hidden1=nn.Linear(width, 512),
        relu1=nn.PReLU(512),
        hidden2=nn.Linear(512, 128),
        relu2=nn.PReLU(128),
        head=nn.Linear(128, n_classes),
    )
