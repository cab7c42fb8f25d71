"""Max pooling by pairs, LeakyReLU and dropout in one pass, for training on a CPU.

As separate layers they took half of the training time of `muscle_cnn_lstm`: each reads and writes all values, and torch
draws the random numbers of the dropout sequentially. Here a hash of the position and of one number from torch's
generator decides whether a value is kept (the finaliser of MurmurHash3, Appleby 2011, public domain). The backward pass
reads one byte per result instead of the input, which would need eight times as much memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from myograph._common.jit import njit
from myograph.models.layers import compilable


class Dropped(nn.Module):
    """dropout(leaky(max over `pool` samples)), pool 1 or 2: (batch, plane, 1, time) to (batch, plane, 1, time // pool)."""

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
            and torch.is_grad_enabled()
            and compilable(x)
            and x.ndim == 4
            and x.shape[2] == 1
            and x.shape[3] >= self.pool
        )

    def extra_repr(self) -> str:
        return f"slope={self.slope}, p={self.p}, pool={self.pool}"


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, p: float, pool: int) -> Tensor:
        x = x.squeeze(2).transpose(1, 2).contiguous()  # matches the memory layout after channels-last convolutions
        rows, length, planes = x.shape
        out = x.new_empty(rows, length // pool, planes)
        route = torch.empty(out.shape, dtype=torch.uint8)
        key, least = int(torch.randint(1 << 32, ())), round(p * 2**32)
        scale, low = np.float32(1 / (1 - p)), np.float32(slope / (1 - p))
        _forward(x.detach().numpy(), key, least, scale, low, pool, out.numpy(), route.numpy())
        ctx.how, ctx.length = (scale, low, pool), length
        ctx.save_for_backward(route)
        return out.transpose(1, 2).unsqueeze(2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (route,) = ctx.saved_tensors
        slopes = slopes.squeeze(2).transpose(1, 2).contiguous()
        dx = slopes.new_empty(len(route), ctx.length, route.shape[2])
        _backward(slopes.numpy(), route.numpy(), *ctx.how, dx.numpy())
        return dx.transpose(1, 2).unsqueeze(2), None, None, None


@njit(inline="always")
def _kept(i, key, least):
    h = (np.uint64(i) * np.uint64(0x9E3779B9) + np.uint64(key)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & np.uint64(0xFFFFFFFF)
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & np.uint64(0xFFFFFFFF)
    return (h ^ (h >> np.uint64(16))) >= np.uint64(least)


@njit(nogil=True, cache=True, error_model="numpy")
def _forward(x, key, least, scale, low, pool, out, route):
    """Fill out and route: 0 if dropped, else 1, plus 2 for a result of at most 0, plus 4 for the second sample."""
    rows, length, planes = out.shape
    for b in range(rows):
        for t in range(length):
            first, second, mine, way = x[b, pool * t], x[b, pool * t + pool - 1], out[b, t], route[b, t]
            at = (b * length + t) * planes
            for c in range(planes):
                later = not (first[c] >= second[c]) and first[c] == first[c]  # the first of two equals, and any NaN
                m = second[c] if later else first[c]
                kept = _kept(at + c, key, least)
                mine[c] = (m * scale if m > 0 else m * low) if kept else np.float32(0)
                way[c] = np.uint8(1 + 2 * (not m > 0) + 4 * later) if kept else np.uint8(0)


@njit(nogil=True, cache=True, error_model="numpy")
def _backward(slopes, route, scale, low, pool, dx):
    rows, length, planes = slopes.shape
    none = np.float32(0)
    for b in range(rows):
        for t in range(length):
            from_, way = slopes[b, t], route[b, t]
            for second in range(pool):
                to = dx[b, pool * t + second]
                positive, negative = np.uint8(1 + 4 * second), np.uint8(3 + 4 * second)
                for c in range(planes):  # two separate selects: the loop is not vectorised if they are nested
                    factor = scale if way[c] == positive else none
                    factor = low if way[c] == negative else factor
                    to[c] = from_[c] * factor
        for t in range(pool * length, dx.shape[1]):
            dx[b, t] = none
