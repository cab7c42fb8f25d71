"""Forward and backward pass of a network as one CUDA graph.

The networks of this field are small: a training step of `atzori` at batch 256 keeps an H200 busy for 0.3 ms, but
launching its kernels individually takes 2.9 ms on the host. A CUDA graph launches them together.
Source: https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


class Graphed(nn.Module):
    """A module whose training steps of one batch size run as CUDA graphs; everything else runs as usual.

    The graph is made at the first batch: its size is the one that is replayed. Making it leaves weights, buffers and
    random states as they were. MYOGRAPH_COMPILED=0 in the environment turns graphs off, as it does compiled layers.

    Parameters
    ----------
    module : in train mode, on a CUDA device.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module
        self._graph: nn.Module | None = None
        self._shape: torch.Size | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The module's output; of a graph it is overwritten by the next call."""
        if self._shape is None:
            self._shape = x.shape
            self._graph = self._captured(x)
        if self._graph is not None and x.shape == self._shape and self.training and torch.is_grad_enabled():
            return self._graph(x)
        return self.module(x)

    def _captured(self, x: Tensor) -> nn.Module | None:
        """The graph, or None where the module does what cannot be captured, such as reading a value back."""
        graph: Any = None
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        half = torch.is_autocast_enabled("cuda")
        # Autocast must not keep cast weights from one call for the next, because a graph repeats the casts that it saw.
        with (
            torch.random.fork_rng(devices=[x.device]),
            torch.autocast("cuda", torch.bfloat16, enabled=half, cache_enabled=False),
        ):
            try:
                graph = torch.cuda.make_graphed_callables(_Step(self.module), (x.clone(),), allow_unused_input=True)
            except RuntimeError as error:
                log.debug("steps of %s run without a CUDA graph: %s", type(self.module).__name__, error)
                torch.cuda.synchronize(x.device)
        with torch.no_grad():
            for name, buffer in self.module.named_buffers():
                buffer.copy_(buffers[name])
        self.module.zero_grad(set_to_none=True)
        return graph


class _Step(nn.Module):
    """What is captured: torch replaces this module's `forward`, so that the inner module keeps its own."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


def graphable(module: nn.Module, device: torch.device) -> bool:
    """Whether training steps of this module on this device run as graphs.

    Recurrent layers do not: they are few launches for much work, and a graph holds all of their memory for as long as it
    lives (56 GB for the four imitators of fin2025 over 600 steps).
    """
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    return device.type == "cuda" and not recurrent and os.environ.get("MYOGRAPH_COMPILED") != "0"
