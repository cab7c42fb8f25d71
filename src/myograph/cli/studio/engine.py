"""The acquisition loop: steps a `Session` in a thread of its own and hands every sample on, in order, once."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from myograph.errors import ConfigError, MyographError, SourceEnded
from myograph.live.session import Piece, Session
from myograph.live.sources.base import Gaps, Source, StreamInfo

PAUSE_S = 0.002  # between two looks at a source that had nothing

Take = Callable[[Piece], None]


class Engine:
    """Calls `take(piece)` with the samples of a source and the decisions that they complete.

    Everything that `take` reaches and the event loop reads as well is guarded by `lock`, which is held for one piece at a
    time. The thread never waits for a page, so a slow page cannot cost a sample. A device that is lost is looked for until
    it comes back.

    Attributes
    ----------
    session : the source, and the decoder on it.
    ended : a replay is over. problem : what went wrong last; empty while all is well.
    now : samples handed on so far, filled ones included.
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
        """ "live", "ended" (a replay is over), or "lost" (the device is gone, and is looked for)."""
        return "ended" if self.ended else "live" if self.session.connected else "lost"

    @property
    def counts(self) -> dict[str, int]:
        """Samples received, filled, lost and repeated, and restarts, since the studio was started."""
        return {name: n + self._counts.get(name, 0) for name, n in self.session.counts.items()}

    def step(self) -> bool:
        """Read once; True where samples came."""
        if self.ended:
            return False
        try:
            if not self.session.connected:  # to find a device takes its time, for which no page should wait
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
        """Play a replay that has ended from its beginning.

        Raises
        ------
        ConfigError : the source has not ended; one that was lost is looked for without being asked.
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
