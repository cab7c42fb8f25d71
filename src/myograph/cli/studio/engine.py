"""The acquisition loop: steps a `Session` in its own thread and passes on every sample, in order and exactly once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from myograph.errors import ConfigError, MyographError, SourceEnded
from myograph.live.session import Piece, Session
from myograph.live.sources.base import Gaps, Source, StreamInfo

PAUSE_S = 0.002  # between two reads of a source that had no samples

Take = Callable[[Piece], None]


class Engine:
    """Calls `take(piece)` with the samples of a source and the decisions that they complete.

    State that both `take` and the event loop use is guarded by `lock`, which is held for one piece at a time. The thread
    never waits for a page, so a slow page cannot cause lost samples. A lost device is searched for until it reconnects.

    Attributes
    ----------
    session : the source, and the decoder on it.
    ended : whether a replay is over. problem : the last error message; empty if there is none.
    now : number of samples passed on so far, including filled ones.
    """

    def __init__(self, source: Source, take: Take | None = None, gaps: Gaps | None = None):
        self.session = Session(None, source, gaps or Gaps(), reconnect_s=math.inf)
        self.take = take
        self.lock = threading.RLock()
        self.now = 0
        self.ended, self.problem = False, ""
        self._counts: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.info: StreamInfo = self.session.open()

    @property
    def state(self) -> str:
        """One of "live", "ended" (a replay is over) and "lost" (the device is gone and is searched for)."""
        return "ended" if self.ended else "live" if self.session.connected else "lost"

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of samples received, filled, lost and repeated, and of restarts, since the studio was started."""
        return {name: n + self._counts.get(name, 0) for name, n in self.session.counts.items()}

    def step(self) -> bool:
        """Read once; return True if there were samples."""
        if self.ended:
            return False
        try:
            if not self.session.connected:  # finding a device is slow, and no page should wait for it
                piece = self.session.step()
                with self.lock:
                    return self._hand_on(piece)
            with self.lock:
                return self._hand_on(self.session.step())
        except SourceEnded:
            self.ended = True
        except (MyographError, OSError) as error:
            self.problem = str(error)
        return False

    def _hand_on(self, piece: Piece | None) -> bool:
        if piece is None or not piece.samples.shape[1]:
            return piece is not None
        self.now += piece.samples.shape[1]
        if self.take is not None:
            self.take(piece)
        return True

    def again(self) -> None:
        """Restart a finished replay from its beginning.

        Raises
        ------
        ConfigError : the source has not ended. (A lost source is searched for without this call.)
        """
        if not self.ended:
            raise ConfigError(f"the source is {self.state}; only a replay that has ended can be played again")
        self._counts = self.counts
        self.session.close()
        self.session.open()
        self.ended = False

    def start(self) -> None:
        """Read in a thread until `stop`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="acquisition", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and close the source."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.session.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self.step():
                self._stop.wait(PAUSE_S)
