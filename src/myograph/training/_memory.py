"""Processor settings while a network trains on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def training_settings() -> Iterator[None]:
    """Treat denormal numbers as 0 on this thread inside the context.

    Gradients through hundreds of LSTM steps underflow, and some processors multiply denormal numbers many times more
    slowly. The flag belongs to the thread; new threads inherit it, and the backward pass of a CPU graph runs on the
    caller's thread.
    """
    flushed = torch.ones(1).mul_(1e-30).mul_(1e-10).item() == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
