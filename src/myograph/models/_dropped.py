"""Max pooling by pairs, LeakyReLU and dropout in one pass, for training on a CPU.

One by one they took half of the time of `muscle_cnn_lstm`: each goes through the memory, and torch draws dropout's random
numbers one after another. Here position i of a step is kept where a hash of i and of one number drawn from torch's
generator says so (the finaliser of MurmurHash3, Appleby 2011, public domain), and nothing is kept for the way back but
the input and that number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from myograph._compiled import njit


class Dropped(nn.Module):
    """(batch, plane, 1, time) to (batch, plane, 1, time // pool): dropout(leaky(max over `pool` samples)); pool 1 or 2."""

    def __init__(self, slope: float, dropout: float, pool: int = 2):
        super().__init__()
        self.slope, self.p, self.pool = slope, dropout, pool

    def forward(self, x: Tensor) -> Tensor:
        if self._compiled(x):
            return _Dropped.apply(x, self.slope, self.p, self.pool)
        x = nn.functional.max_pool2d(x, (1, 2)) if self.pool == 2 else x
        return nn.functional.dropout(nn.functional.leaky_relu(x, self.slope), self.p, self.training)

    def _compiled(self, x: Tensor) -> bool:
        return (
            self.training
            and self.p < 1
            and not torch.compiler.is_compiling()
            and torch.is_grad_enabled()
            and x.device.type == "cpu"
            and x.dtype == torch.float32
            and x.ndim == 4
            and x.shape[2] == 1
            and x.shape[3] >= self.pool
        )

    def extra_repr(self) -> str:
        return f"slope={self.slope}, p={self.p}, pool={self.pool}"


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, p: float, pool: int) -> Tensor:
        x = x[:, :, 0].transpose(1, 2).contiguous()  # as it lies in memory where convolutions are channels-last
        rows, length, planes = x.shape
        out = x.new_empty(rows, length // pool, planes)
        key = int(torch.randint(1 << 32, ()))
        ctx.how = (key, round(p * 2**32), np.float32(1 / (1 - p)), np.float32(slope), pool)
        ctx.save_for_backward(x)
        _forward(x.detach().numpy(), *ctx.how, out.numpy())
        return out.transpose(1, 2)[:, :, None]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        dx = torch.empty_like(x)
        _backward(slopes[:, :, 0].transpose(1, 2).contiguous().numpy(), x.numpy(), *ctx.how, dx.numpy())
        return dx.transpose(1, 2)[:, :, None], None, None, None


@njit(inline="always")
def _kept(i, key, least):
    h = (np.uint64(i) * np.uint64(0x9E3779B9) + np.uint64(key)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
    return (h ^ (h >> np.uint64(16))) >= np.uint64(least)


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(x, key, least, scale, slope, pool, out):
    rows, length, planes = out.shape
    for b in range(rows):
        for t in range(length):
            first, second, mine = x[b, pool * t], x[b, pool * t + pool - 1], out[b, t]
            at = (b * length + t) * planes
            for c in range(planes):
                m = max(first[c], second[c])
                m = m if m > 0 else m * slope
                mine[c] = m * scale if _kept(at + c, key, least) else np.float32(0)


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(slopes, x, key, least, scale, slope, pool, dx):
    rows, length, planes = slopes.shape
    passed = np.empty(planes, np.float32)
    for b in range(rows):
        for t in range(length):
            first, second, mine = x[b, pool * t], x[b, pool * t + pool - 1], slopes[b, t]
            at = (b * length + t) * planes
            for c in range(planes):
                v = mine[c] * scale if _kept(at + c, key, least) else np.float32(0)
                passed[c] = v if max(first[c], second[c]) > 0 else v * slope
            to = dx[b, pool * t + pool - 1]
            for c in range(planes):
                to[c] = np.float32(0) if first[c] >= second[c] else passed[c]
            to = dx[b, pool * t]
            for c in range(planes):
                to[c] = passed[c] if first[c] >= second[c] else np.float32(0)
        for t in range(pool * length, x.shape[1]):
            dx[b, t] = 0.0
