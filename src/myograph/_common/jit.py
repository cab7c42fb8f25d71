"""`njit` of numba for all compiled loops: a first call that compiles them for over a second says so.

Loops are compiled on their first call, for the types that they meet, and kept on disk.
"""

from __future__ import annotations

import logging
import sys
import threading
import time

from numba import njit
from numba.core import event

__all__ = ["njit"]

_log = logging.getLogger(__name__)
PATIENCE_S = 1.0


class _Notice(event.Listener):
    """Says once that loops are being compiled, when those of this package have taken PATIENCE_S together.

    One loop compiles those that it calls, so starts and ends nest; numba compiles in one thread at a time.
    """

    def __init__(self) -> None:
        self._depth, self._spent_s, self._begin, self._said = 0, 0.0, 0.0, False
        self._timer: threading.Timer | None = None

    def on_start(self, event: event.Event) -> None:
        if not _ours(event):
            return
        self._depth += 1
        if self._depth == 1 and not self._said:
            self._begin = time.monotonic()
            self._timer = threading.Timer(max(PATIENCE_S - self._spent_s, 0.0), self._say)
            self._timer.daemon = True
            self._timer.start()

    def on_end(self, event: event.Event) -> None:
        if not _ours(event):
            return
        self._depth -= 1
        if self._depth == 0 and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._spent_s += time.monotonic() - self._begin

    def _say(self) -> None:
        self._said = True
        _log.info("compiling loops")
        print("myograph: compiling its fast loops, once; later calls find them on disk", file=sys.stderr)


def _ours(found: event.Event) -> bool:
    return (found.data or {})["dispatcher"].py_func.__module__.startswith("myograph.")


event.register("numba:compile", _Notice())
