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

    The graph is captured from the first batch and is replayed for batches of that size. Capturing does not change weights,
    buffers or random states. MYOGRAPH_COMPILED=0 in the environment disables graphs as well as compiled layers.

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
        """Return the module's output; the output of a graph is overwritten by the next call."""
        if self._shape is None:
            self._shape = x.shape
            self._graph = self._captured(x)
        if self._graph is not None and x.shape == self._shape and self.training and torch.is_grad_enabled():
            return self._graph(x)
        return self.module(x)

    def _captured(self, x: Tensor) -> nn.Module | None:
        """Return the graph, or None if the module cannot be captured, for example because it copies a value to the
        host.
        """
        graph: Any = None
        buffers = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        half = torch.is_autocast_enabled("cuda")
        # Autocast must not cache cast weights between calls, because a graph repeats only the casts that it captured.
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
    """The captured module: torch replaces its `forward`, so that the inner module keeps its own."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


def graphable(module: nn.Module, device: torch.device) -> bool:
    """Return whether training steps of this module on this device can run as graphs.

    Recurrent layers are excluded: they need few kernel launches for much work, and a graph holds all of their memory while
    it exists (56 GB for the four imitators of fin2025 over 600 steps).
    """
    recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
    return device.type == "cuda" and not recurrent and os.environ.get("MYOGRAPH_COMPILED") != "0"
