"""An LSTM compiled for CPUs, with the parameters and the results of `torch.nn.LSTM`.

`lstm_kernel` runs all steps, forward and backward, and computes all gradients. In all other cases (on a GPU, in an
export, in another precision, for a few windows without gradients) torch's own code runs.
"""

from __future__ import annotations

import itertools
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from myograph.models.layers import compilable, in_threads

TILE = 8  # rows are padded to a multiple of this, units to one of the kernel's LANES
_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
MANY = 64  # least windows for the kernel without gradients: 1.5 times as fast there, half as fast for one
WORTH = 1 << 27  # products per thread: starting a thread takes as long as a tenth of them
HELD = 1 << 15  # rows times steps per call without gradients, so that the kernel's working memory stays small


class LSTM(nn.LSTM):
    """`nn.LSTM(..., batch_first=True)` without initial state, dropout and projection."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bidirectional: bool = False):
        super().__init__(input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional)

    def states(self, x: Tensor) -> Tensor:
        """Return the top layer's outputs, (batch, step, direction * hidden), for (batch, step, input)."""
        if not self._compiled(x):
            return self(x)[0]
        return self._run(x, self._directions)

    def last(self, x: Tensor) -> Tensor:
        """Return the state (batch, hidden) of the top layer's last direction after its last step.

        If bidirectional, this is the backward direction. The forward half of the top layer is then neither
        computed nor trained.
        """
        if self._compiled(x):
            return self._run(x, self._directions[-1:])[:, 0 if self.bidirectional else -1]
        # torch.export traces only the module, and cuDNN needs the weights of all layers and directions in one block.
        if not self.bidirectional or x.is_meta or x.is_cuda or torch.compiler.is_compiling():
            return self(x)[1][0][-1]
        self.check_input(x, None)
        below, weights = self.num_layers - 1, [cast(Tensor, weight) for part in self.all_weights for weight in part]
        if below:
            zeros = x.new_zeros(2 * below, len(x), self.hidden_size)
            x = torch.lstm(x, (zeros, zeros), weights[: 8 * below], True, below, 0.0, self.training, True, True)[0]
        zeros = x.new_zeros(1, len(x), self.hidden_size)
        return torch.lstm(x.flip(1), (zeros, zeros), weights[-4:], True, 1, 0.0, self.training, False, True)[1][0]

    @property
    def _directions(self) -> tuple[int, ...]:
        return (0, 1) if self.bidirectional else (0,)

    def _compiled(self, x: Tensor) -> bool:
        return (
            (torch.is_grad_enabled() or len(x) >= MANY)
            and compilable(x)
            and self.weight_ih_l0.dtype == torch.float32
            and x.numel() > 0
            and x.ndim == 3
            and x.shape[2] == self.input_size  # otherwise torch's own code raises the error
        )

    def _run(self, x: Tensor, top: tuple[int, ...]) -> Tensor:
        rows = len(x)
        if not torch.is_grad_enabled() and rows > (some := max(TILE, HELD // x.shape[1])):
            return torch.cat([self._run(part, top) for part in x.split(some)])
        x = nn.functional.pad(x.transpose(0, 1), (0, 0, 0, -rows % TILE)).contiguous()
        for layer in range(self.num_layers):
            ways = self._directions if layer + 1 < self.num_layers else top
            ends = [f"l{layer}_reverse" if way else f"l{layer}" for way in ways]
            x = _Layer.apply(x, ways, *(getattr(self, f"{kind}_{end}") for end in ends for kind in _KINDS))
        return x[:, :rows].transpose(0, 1)


class _Layer(torch.autograd.Function):
    """One layer, of one direction or both, on (step, row, input); rows are a multiple of `TILE`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reverse: tuple[int, ...], *parameters: Tensor) -> Tensor:
        """Return (step, row, direction * hidden); the parameters are the `_KINDS` of each direction."""
        kernel = _kernel()
        w_in, w_h, b_in, b_h = (torch.stack(parameters[k :: len(_KINDS)]) for k in range(len(_KINDS)))
        bias = b_in + b_h
        steps, rows, n_in = x.shape
        ways, n_h = len(w_h), w_h.shape[2]
        width = n_h + -n_h % kernel.LANES
        weights = _blocks(torch.cat([w_in, w_h], 2)).permute(0, 2, 4, 1, 3)
        bias = _blocks(bias.unsqueeze(2)).permute(0, 2, 4, 1, 3)
        out = x.new_empty(steps, rows, ways * width)
        cells = x.new_empty(ways, steps, rows, width)
        gates = x.new_empty(ways, steps, rows, 4 * width)
        zeros = x.new_zeros(TILE * width)
        before = [_flat(a) for a in (x, weights, bias)]
        after = [_flat(a) for a in (zeros, out, cells, gates)]
        flags = np.array(reverse)

        def run(first: int, last: int) -> None:
            kernel.forward(*before, flags, steps, rows, n_in, n_h, first, last, *after)

        in_threads(run, rows // TILE, weights.numel() * steps * rows // WORTH)
        ctx.save_for_backward(x, w_in, w_h, out, cells, gates)
        ctx.reverse = reverse
        return out if width == n_h else out.unflatten(2, (ways, width))[..., :n_h].flatten(2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        kernel = _kernel()
        x, w_in, w_h, out, cells, gates = ctx.saved_tensors
        steps, rows, n_in = x.shape
        ways, n_h = len(w_h), w_h.shape[2]
        width = cells.shape[3]
        if width != n_h:
            slope = nn.functional.pad(slope.unflatten(2, (ways, n_h)), (0, width - n_h)).flatten(2)
        to_h, to_x = _backwards(w_h), _backwards(w_in)
        dx = x.new_empty(steps, rows, n_in + -n_in % kernel.LANES if ctx.needs_input_grad[0] else 0)
        known = [_flat(a) for a in (slope, x, out, cells, gates, to_h, to_x)]
        sizes = (np.array(ctx.reverse), steps, rows, n_in, n_h)
        zeros, slopes = np.zeros(TILE * width, np.float32), _flat(dx)

        def run(first: int, last: int) -> np.ndarray:
            part = np.zeros((ways, 1 + n_in + width, 4 * width), np.float32)
            kernel.backward(*known, *sizes, first, last, zeros, slopes, part.reshape(-1))
            return part

        parts = in_threads(run, rows // TILE, 2 * (to_h.numel() + to_x.numel()) * steps * rows // WORTH)
        dw = torch.from_numpy(sum(parts[1:], parts[0])).transpose(1, 2).unflatten(1, (-1, 4, kernel.LANES))
        dw = dw.transpose(1, 2).flatten(2, 3)[:, :, :n_h].flatten(1, 2)  # (direction, 4 hidden, bias and columns)
        dx = dx[..., :n_in] if ctx.needs_input_grad[0] else None
        # Both biases have the same gradient, in separate memory because clipping changes gradients in place.
        each = [(d[:, 1 : 1 + n_in], d[:, 1 + n_in : 1 + n_in + n_h], d[:, 0], d[:, 0].clone()) for d in dw]
        return dx, None, *itertools.chain.from_iterable(each)


def _kernel() -> Any:
    """The compiled loops; they are imported when they are needed, since numba takes a second."""
    from myograph.models._cpu import lstm_kernel

    return lstm_kernel


def _backwards(w: Tensor) -> Tensor:
    """(direction, 4 hidden, column) to (direction, block of columns, gates in blocks, lane)."""
    lanes = _kernel().LANES
    blocks = _blocks(nn.functional.pad(w, (0, -w.shape[2] % lanes)))
    return blocks.unflatten(4, (-1, lanes)).permute(0, 4, 2, 1, 3, 5)


def _flat(a: Tensor) -> np.ndarray:
    return a.detach().contiguous().view(-1).numpy()


def _blocks(w: Tensor) -> Tensor:
    """(direction, 4 hidden, column) to (direction, gate, block, lane, column), padded with zeros."""
    lanes, w = _kernel().LANES, w.unflatten(1, (4, -1))
    return nn.functional.pad(w, (0, 0, 0, -w.shape[2] % lanes)).unflatten(2, (-1, lanes))
