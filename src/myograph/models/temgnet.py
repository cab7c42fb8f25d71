"""A transformer over patches of the window, after TEMGNet (Rahimian et al. 2021, arXiv 2109.12379).

Input: a window as an image of electrodes by time, cut along time into patches of all electrodes. A linear layer turns
each patch into a vector; a learnt class token and learnt positions are added. Encoder layers follow: multi-head
attention and a GELU layer of twice the size, each after a layer normalisation and with its input added (Vision
Transformer, Dosovitskiy et al. 2021). A linear layer reads the class token.

The paper's abstract states a Vision Transformer for windows of 200 and 300 ms of 12 electrodes at 2 kHz, with a seventh
as many parameters as comparable networks. We did not find the sizes, so they are our choice: patches of 1/10 of the
window, vectors of 64, 2 layers of 8 heads, dropout 0.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from myograph.errors import ConfigError
from myograph.models import MODELS, Published
from myograph.models.layers import Expect, need_size


class Encoder(nn.Module):
    """Multi-head attention and two linear layers over (batch, token, size).

    >>> Encoder(size=8, heads=2, dropout=0.0)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.queries_keys_values, self.together = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.wide, self.narrow = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.queries_keys_values(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.together(seen))
        return x + self.dropout(self.narrow(self.dropout(functional.gelu(self.wide(self.norm2(x))))))


class PatchTransformer(Expect):
    """Patches along time, encoder layers and a class token; see `temgnet`.

    >>> net = PatchTransformer(4, 3, 40, patch=10, size=8, layers=1, heads=2, dropout=0.0)
    >>> net.n_patches, net(torch.zeros(2, 4, 40)).shape
    (4, torch.Size([2, 3]))
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int,
        n_samples: int,
        patch: int,
        size: int,
        layers: int,
        heads: int,
        dropout: float,
    ):
        super().__init__(n_channels, n_samples)
        self.patch, self.n_patches = patch, n_samples // patch
        self.embed = nn.Linear(n_channels * patch, size)
        self.token = nn.Parameter(torch.zeros(1, 1, size))
        self.position = nn.Parameter(0.02 * torch.randn(1, self.n_patches + 1, size))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(*(Encoder(size, heads, dropout) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(size), nn.Linear(size, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)[:, :, self.n_samples - self.n_patches * self.patch :]
        patches = x.unflatten(2, (self.n_patches, self.patch)).transpose(1, 2).flatten(2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), self.embed(patches)], 1)
        return self.head(self.norm(self.layers(self.dropout(tokens + self.position))[:, 0]))


@MODELS.register(published=Published(12, 600, 17, "arXiv:2109.12379"))
def temgnet(
    n_channels: int,
    n_classes: int,
    n_samples: int,
    *,
    patch: int | None = None,
    size: int = 64,
    layers: int = 2,
    heads: int = 8,
    dropout: float = 0.2,
) -> nn.Module:
    """A TEMGNet-like transformer: any window of at least `patch` samples (by default a tenth of the window).

    >>> temgnet(n_channels=12, n_classes=17, n_samples=600)(torch.zeros(2, 12, 600)).shape
    torch.Size([2, 17])
    """
    patch = max(1, n_samples // 10) if patch is None else patch
    if size < 1 or heads < 1 or size % heads or layers < 1 or patch < 1:
        raise ConfigError(
            f"size must be a multiple of heads, and patch and layers at least 1; got patch={patch}, size={size}, "
            f"heads={heads}, layers={layers}"
        )
    ok = n_channels >= 1 and n_samples >= patch
    need_size("temgnet", ok, n_channels, n_samples, f"any channels and at least one patch of {patch} samples")
    return PatchTransformer(n_channels, n_classes, n_samples, patch, size, layers, heads, dropout)
