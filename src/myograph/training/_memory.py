"""How the processor and the allocator are set while a network trains on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import Any

import torch

# <malloc.h> of glibc, which has no Python binding.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 512 << 20  # that a process keeps free after training, for the next fold or the next call of partial_fit
_depth = 0


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    )]  # fmt: skip


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version") else None


@contextlib.contextmanager
def training_settings() -> Iterator[None]:
    """Denormal numbers count as 0 on this thread, and freed memory stays with the process.

    Gradients through hundreds of LSTM steps underflow, and some processors (not all) multiply denormals many times more
    slowly. The flag is per thread, threads inherit it, and the backward pass of a CPU graph runs on the caller's.

    A training step frees and asks for the same large buffers again; by default glibc hands each back to the system,
    and touching fresh pages took half of the time of an LSTM's step. At the end it all goes back if it is more than
    `KEPT_BYTES`: fits follow one another. Elsewhere than glibc nothing is changed.
    """
    global _depth
    flushed = torch.ones(1).mul_(1e-30).mul_(1e-10).item() == 0.0
    torch.set_flush_denormal(True)
    libc = _glibc()
    if libc is not None and not _depth:
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, -1)
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        torch.set_flush_denormal(flushed)
        if libc is not None and not _depth:
            # To what glibc's own adaptation reaches after the first large buffers are freed.
            libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
            libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
            if _free_bytes(libc) > KEPT_BYTES:
                libc.malloc_trim(0)


def _free_bytes(libc: Any) -> float:
    """Bytes that were freed and not handed back; infinite where glibc is too old (before 2.33) to say."""
    if not hasattr(libc, "mallinfo2"):
        return float("inf")
    libc.mallinfo2.restype = _Mallinfo2
    return libc.mallinfo2().fordblks
