"""`udp`: packets of samples from a microcontroller, as text lines or as a binary format that ten lines of C can write.

Line protocol: each line is one sample, `index,value,value,...` in ASCII, with the number of the sample from 0 and one
value per channel. A packet holds one or more whole lines.

Binary protocol, little-endian: the four bytes `MYO1`; u32 number of the first sample; u16 channels; u16 samples; then
`channels * samples` float32 values, sample by sample. A packet of 8 channels x 20 samples has 652 bytes.

Packets that are waiting to be read are sorted. A packet that arrives after later samples have been read counts as
repeated, and a packet that never arrives as a gap. A device that counts from 0 again is recognised (see `Gaps`).
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from myograph.errors import ConfigError, SourceError
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo

HEADER = struct.Struct("<4sIHH")
MAGIC = b"MYO1"
LARGEST = 65_507  # bytes in a UDP packet


@SOURCES.register("udp")
@dataclass(frozen=True)
class Udp(Source):
    """Receives packets of samples.

    Parameters
    ----------
    n_channels, rate_hz, unit : properties of the samples.
    host, port : address to listen on; the default accepts packets of this machine only. Port 0 selects a free port; see
        `address`.
    protocol : "binary" or "lines".
    timeout_s : `read` raises SourceError after this long without a packet.

    A first packet that does not follow the protocol raises an error. Later ones are ignored and counted in `ignored`,
    so that a stray packet does not end a session.
    """

    n_channels: int
    rate_hz: float
    unit: str = "adc"
    host: str = "127.0.0.1"
    port: int = 50_505
    protocol: Literal["binary", "lines"] = "binary"
    timeout_s: float = 2.0
    _at: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.protocol not in ("binary", "lines"):
            raise ConfigError(f"udp: protocol must be 'binary' or 'lines', got {self.protocol!r}")
        if self.n_channels < 1 or not self.rate_hz > 0:
            raise ConfigError(
                f"udp: n_channels and rate_hz must be positive, got {self.n_channels!r} and {self.rate_hz!r}"
            )

    def open(self) -> StreamInfo:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            listener.bind((self.host, self.port))
        except OSError as error:
            listener.close()
            raise SourceError(
                f"udp: cannot listen on {self.host}:{self.port} ({error.strerror}); is another program listening?"
            ) from error
        listener.setblocking(False)
        self._at.update(socket=listener, heard=time.monotonic(), waiting=[], understood=False, ignored=0)
        return StreamInfo(self.n_channels, self.rate_hz, self.unit, name=f"udp {self.host}:{self.port}")

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) on which the source listens while open."""
        return self._at["socket"].getsockname()

    @property
    def ignored(self) -> int:
        """Number of packets that were ignored because they do not follow the protocol."""
        return self._at.get("ignored", 0)

    def read(self) -> Chunk | None:
        if "socket" not in self._at:
            raise ConfigError("udp: call open() before read()")
        waiting = self._at["waiting"]
        while len(waiting) < 1000:
            try:
                packet = self._at["socket"].recv(LARGEST)
            except BlockingIOError:
                break
            except OSError as error:
                raise SourceError(f"udp: {error.strerror or error}") from error
            try:
                for found in parse(packet, self.n_channels, self.protocol):
                    _insert(waiting, found, reach=self.rate_hz)
            except SourceError:
                if not self._at["understood"]:
                    raise
                self._at["ignored"] += 1
                continue
            self._at.update(heard=time.monotonic(), understood=True)
        if not waiting:
            if time.monotonic() - self._at["heard"] > self.timeout_s:
                raise SourceError(
                    f"udp: no packet on {self.host}:{self.port} for {self.timeout_s:g} s; is the device on?"
                )
            return None
        first, samples = waiting.pop(0)
        return Chunk(samples, first, (first + np.arange(samples.shape[1])) / self.rate_hz)

    def close(self) -> None:
        if listener := self._at.pop("socket", None):
            listener.close()
        self._at.clear()


def _insert(waiting: list[tuple[int, np.ndarray]], found: tuple[int, np.ndarray], reach: float) -> None:
    """Insert samples in order; much lower numbers come from a restarted device, and stay last."""
    at = len(waiting)
    while at and 0 < waiting[at - 1][0] - found[0] < reach:
        at -= 1
    waiting.insert(at, found)


def parse(packet: bytes, n_channels: int, protocol: str) -> list[tuple[int, np.ndarray]]:
    """Return (number of the first sample, (channel, time) float32) of each run of samples in a packet.

    Raises
    ------
    SourceError : the packet does not follow the protocol, or has another number of channels.

    >>> parse(b"7,1.5,2.5\\n8,3,4\\n", 2, "lines")[0][1].tolist()
    [[1.5, 3.0], [2.5, 4.0]]
    """
    return _binary(packet, n_channels) if protocol == "binary" else _lines(packet, n_channels)


def pack(first: int, samples: np.ndarray) -> bytes:
    """Return a packet of the binary protocol; samples are (channel, time)."""
    n_channels, n = samples.shape
    return HEADER.pack(MAGIC, first, n_channels, n) + samples.T.astype("<f4").tobytes()


def _binary(packet: bytes, n_channels: int) -> list[tuple[int, np.ndarray]]:
    if len(packet) < HEADER.size or packet[:4] != MAGIC:
        raise SourceError(
            f"udp: a packet must start with the bytes {MAGIC!r}, got {packet[:4]!r}; are these text lines?"
        )
    _, first, channels, n = HEADER.unpack_from(packet)
    _check_channels(channels, n_channels)
    if len(packet) != HEADER.size + 4 * channels * n:
        raise SourceError(f"udp: a packet of {channels} x {n} samples has {len(packet)} bytes, so it is incomplete")
    samples = np.frombuffer(packet, "<f4", offset=HEADER.size).reshape(n, channels).T
    return [(first, samples)]


def _lines(packet: bytes, n_channels: int) -> list[tuple[int, np.ndarray]]:
    try:
        rows = [line.split(",") for line in packet.decode("ascii").split("\n") if line.strip()]
        numbers = [int(row[0]) for row in rows]
        values = [[float(v) for v in row[1:]] for row in rows]
    except (ValueError, UnicodeDecodeError) as error:
        raise SourceError(f"udp: a line must be `index,value,value,...`, got {packet[:40]!r} ({error})") from error
    for row in values:
        _check_channels(len(row), n_channels)
    if not values:
        return []
    samples = np.array(values, np.float32).T
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    starts = [0, *cuts.tolist()]
    return [(numbers[start], part) for start, part in zip(starts, np.split(samples, cuts, axis=1))]


def _check_channels(found: int, expected: int) -> None:
    if found != expected:
        raise SourceError(f"udp: a packet has {found} channels, expected {expected}; correct n_channels")
