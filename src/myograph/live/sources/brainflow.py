"""`brainflow`: all boards that BrainFlow supports, including its synthetic board; needs `brainflow`."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from myograph.errors import ConfigError, SourceError, need, unknown_name
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo

COUNTER_RANGE = 256


@SOURCES.register("brainflow")
@dataclass(frozen=True)
class BrainFlow(Source):
    """The EMG channels of a board, in uV.

    Gaps are found by the board's package counter, which in most boards wraps around after 255. For gaps of more than
    two rounds of the counter, the number of rounds is taken from the time stamps.

    Parameters
    ----------
    board : name or number of BrainFlow's `BoardIds`, such as "CYTON_BOARD", "GFORCE_PRO_BOARD" or "SYNTHETIC_BOARD".
    serial_port, mac_address, ip_address, ip_port, file, other_info : connection parameters as BrainFlow documents them
        for the board.
    master_board : for PLAYBACK_FILE_BOARD and STREAMING_BOARD, the board that made the recording.
    channels : indices among the board's EMG channels, from 0; all by default.
    timeout_s : `read` raises SourceError after this long without a package.
    """

    board: str | int = "SYNTHETIC_BOARD"
    serial_port: str = ""
    mac_address: str = ""
    ip_address: str = ""
    ip_port: int = 0
    file: str = ""
    other_info: str = ""
    master_board: str | int | None = None
    channels: tuple[int, ...] = ()
    timeout_s: float = 4.0
    _at: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def open(self) -> StreamInfo:
        """Connect to the board and start its stream.

        Raises
        ------
        MissingExtraError : `brainflow` is not installed. UnknownNameError : an unknown board.
        SourceError : the board does not answer, or has no EMG channels.
        """
        shim = _brainflow()
        board = _board(shim, self.board)
        described = board if self.master_board is None else _board(shim, self.master_board)
        params = shim.BrainFlowInputParams()
        for name in ("serial_port", "mac_address", "ip_address", "ip_port", "file", "other_info"):
            setattr(params, name, getattr(self, name))
        if self.master_board is not None:
            params.master_board = described
        session = None
        try:
            facts = shim.BoardShim.get_board_descr(described)
            rows = facts.get("emg_channels", [])
            if not rows:
                raise SourceError(f"brainflow: the board {self.board!r} has no EMG channels; choose another board")
            if wrong := [i for i in self.channels if not 0 <= i < len(rows)]:
                raise SourceError(f"brainflow: the board {self.board!r} has {len(rows)} EMG channels, got {wrong[0]}")
            session = shim.BoardShim(board, params)
            session.prepare_session()
            session.start_stream()
        except shim.BrainFlowError as error:
            if session is not None and session.is_prepared():
                session.release_session()
            raise SourceError(
                f"brainflow: the board {self.board!r} does not answer ({error}); is it on and free?"
            ) from error
        rows = [rows[i] for i in self.channels] or rows
        self._at.update(session=session, error=shim.BrainFlowError, rows=rows, facts=facts, waiting=[], last=None)
        self._at.update(heard=time.monotonic())
        rate_hz = float(facts["sampling_rate"])
        names = tuple(f"EMG{i + 1}" for i in (self.channels or range(len(rows))))
        return StreamInfo(len(rows), rate_hz, "uV", names, name=f"brainflow {facts['name']}")

    def read(self) -> Chunk | None:
        if "session" not in self._at:
            raise ConfigError("brainflow: call open() before read()")
        at = self._at
        if not at["waiting"]:
            try:
                data = at["session"].get_board_data()
            except at["error"] as error:
                raise SourceError(f"brainflow: the board was lost ({error})") from error
            if not data.shape[1]:
                if time.monotonic() - at["heard"] > self.timeout_s:
                    raise SourceError(f"brainflow: no package for {self.timeout_s:g} s; is the board still on?")
                return None
            at["heard"] = time.monotonic()
            at["waiting"] = self._runs(data)
        return at["waiting"].pop(0)

    def _runs(self, data: np.ndarray) -> list[Chunk]:
        """Split samples into chunks without gaps."""
        at, facts = self._at, self._at["facts"]
        counter, stamps = data[facts["package_num_channel"]], data[facts["timestamp_channel"]]
        numbers, at["last"] = number(counter, stamps, float(facts["sampling_rate"]), at["last"])
        cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
        parts = zip(np.split(numbers, cuts), np.split(data[at["rows"]], cuts, axis=1), np.split(stamps, cuts))
        return [Chunk(part, int(n[0]), t) for n, part, t in parts]

    def close(self) -> None:
        if session := self._at.pop("session", None):
            try:
                session.stop_stream()
            except self._at["error"]:
                pass  # a lost board cannot be stopped
            session.release_session()
        self._at.clear()


def number(
    counter: np.ndarray, stamps: np.ndarray, rate_hz: float, last: tuple[int, int, float] | None
) -> tuple[np.ndarray, tuple[int, int, float]]:
    """Return sample numbers from a package counter that wraps around after 255.

    Parameters
    ----------
    counter, stamps : (time,) counter and time stamp (in seconds) of each package.
    last : (number, counter, stamp) of the previous sample; None at the beginning.

    Returns
    -------
    numbers : (time,) sample numbers from 0 on. last : argument of the next call.

    >>> number(np.array([254, 255, 0, 3]), np.zeros(4), 250.0, None)[0].tolist()
    [0, 1, 2, 5]
    """
    at, before, when = last or (-1, int(counter[0]) - 1, float(stamps[0]))
    steps = np.diff(counter.astype(np.int64), prepend=before) % COUNTER_RANGE
    waited = np.diff(stamps, prepend=when) * rate_hz
    rounds = np.where(waited > 2 * COUNTER_RANGE, np.round((waited - steps) / COUNTER_RANGE), 0).astype(np.int64)
    numbers = at + np.cumsum(steps + rounds * COUNTER_RANGE)
    return numbers, (int(numbers[-1]), int(counter[-1]), float(stamps[-1]))


def _brainflow() -> ModuleType:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources.*")  # used by brainflow
        need("brainflow", "live")
        shim = need("brainflow.board_shim", "live")
    shim.BoardShim.disable_board_logger()
    return shim


def _board(shim: ModuleType, given: str | int) -> int:
    if isinstance(given, int) or given.lstrip("-").isdigit():
        return int(given)
    names = [board.name for board in shim.BoardIds]
    if given.upper() not in names:
        raise unknown_name("board of brainflow", given, names)
    return shim.BoardIds[given.upper()].value
