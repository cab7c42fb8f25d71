"""Depthwise convolutions on a CPU, with a faster weight gradient for maps that are smaller than the kernel.

For such maps, oneDNN computes the weight gradient 10 to 50 times more slowly than the forward pass or the input gradient.
This took an eighth of the training time of `mobilenet_v2`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from myograph._common.jit import njit
from myograph.models.layers import compilable, in_threads

WORTH = 1 << 22  # number of products above which a thread pays off


class Depthwise(nn.Conv2d):
    """`nn.Conv2d` with one kernel per plane, zero padding and no bias."""

    def __init__(self, planes: int, kernel: int, stride: int = 1):
        super().__init__(planes, planes, kernel, stride, kernel // 2, groups=planes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        low = x.ndim == 4 and x.shape[2] < self.kernel_size[0]
        compiled = low and torch.is_grad_enabled() and compilable(x)
        return _Depthwise.apply(x, self.weight, self.stride, self.padding) if compiled else super().forward(x)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = stride, padding
        return nn.functional.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        stride, padding = ctx.how
        dx = None
        if ctx.needs_input_grad[0]:
            args = (None, stride, padding, (1, 1), False, (0, 0), len(weight), (True, False, False))
            dx = torch.ops.aten.convolution_backward(slope, x, weight, *args)[0]
        if not ctx.needs_input_grad[1]:
            return dx, None, None, None
        maps, slopes = (a.permute(0, 2, 3, 1).contiguous().numpy() for a in (x, slope))
        kernel = (*weight.shape[2:], len(weight))

        def products(a: int, b: int) -> np.ndarray:
            part = np.zeros(kernel, np.float32)
            _products(maps[a:b], slopes[a:b], *stride, *padding, part)
            return part

        parts = in_threads(products, len(maps), slopes.size * kernel[0] * kernel[1] // WORTH)
        dw = torch.from_numpy(sum(parts[1:], parts[0])).permute(2, 0, 1).unsqueeze(1)
        return dx, dw, None, None


@njit(nogil=True, cache=True, error_model="numpy")
def _products(x, slope, down, across, above, left, dw):
    """Add to dw (row, column, plane); x is (batch, row, column, plane), and slope is the gradient of the result."""
    n, rows, columns, planes = x.shape
    for b in range(n):
        for i in range(slope.shape[1]):
            for k in range(max(0, above - i * down), min(len(dw), rows + above - i * down)):
                for j in range(slope.shape[2]):
                    from_ = slope[b, i, j]
                    for m in range(max(0, left - j * across), min(dw.shape[1], columns + left - j * across)):
                        value, to = x[b, i * down + k - above, j * across + m - left], dw[k, m]
                        for c in range(planes):
                            to[c] += from_[c] * value[c]
