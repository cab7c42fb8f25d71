"""Publish decisions to other programs: as an LSL stream, as JSON lines over UDP, or over a websocket.

The JSON publishers send these values per decision: its time in seconds of signal, the class, whether it was rejected,
the gain, the confidence, the probability of each class, and the latency. A slow or absent receiver never delays the
decoder.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import threading
from typing import Any

from myograph.errors import ConfigError, SourceError, need, unknown_name
from myograph.live.decisions import Decisions

WAYS = ("lsl", "udp", "websocket")
WEBSOCKET_PORT = 50_506
OWN_PAGES = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
MOST_WAITING = 1 << 20  # bytes queued for a slow receiver, above which it is skipped


class Publisher:
    """Base class of the publishers: call `open`, then `send` for each `Decisions`, then `close`."""

    def open(self, classes: tuple[str, ...], name: str) -> str:
        """Start, and return a text that says where the decisions can be received."""
        raise NotImplementedError

    def send(self, made: Decisions) -> None:
        """Send decisions to all receivers."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop; a second call does nothing."""


def publisher(text: str) -> Publisher:
    """Create a publisher from "lsl", "udp:HOST:PORT" or "websocket[:PORT]".

    Raises
    ------
    UnknownNameError : an unknown publisher. ConfigError : the host or port is missing.

    >>> type(publisher("udp:127.0.0.1:9000")).__name__
    'UdpLines'
    """
    way, _, where = text.partition(":")
    if way == "lsl":
        return LslOutlet(where or "myograph")
    if way == "udp":
        host, _, port = where.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--publish {text!r}: expected udp:HOST:PORT, such as udp:127.0.0.1:9000")
        return UdpLines(host, int(port))
    if way == "websocket":
        if where and not where.isdigit():
            raise ConfigError(f"--publish {text!r}: expected websocket or websocket:PORT")
        return Websocket(int(where or WEBSOCKET_PORT))
    raise unknown_name("publisher", way, WAYS)


def messages(made: Decisions) -> list[dict[str, Any]]:
    """Return the values of each decision as plain numbers and text; None for a probability if the method has none."""
    names, confidence = made.names, made.confidence
    return [
        {
            "time_s": float(made.time_s[i]),
            "class": str(names[i]),
            "rejected": bool(made.rejected[i]),
            "gain": float(made.gain[i]),
            "confidence": _number(confidence[i]),
            "probabilities": {name: _number(p) for name, p in zip(made.classes, made.proba[i])},
            "latency_ms": _number(made.latency_ms[i]),
        }
        for i in range(len(made))
    ]


class UdpLines(Publisher):
    """One JSON object and a newline per decision, one packet each."""

    def __init__(self, host: str, port: int):
        self.host, self.port = host, port
        self._socket: socket.socket | None = None

    def open(self, classes: tuple[str, ...], name: str) -> str:
        try:
            family, kind, _, _, self._to = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind)
        except OSError as error:
            raise SourceError(f"cannot send to {self.host}:{self.port}: {error.strerror or error}") from error
        self._socket.setblocking(False)
        return f"JSON lines to udp {self.host}:{self.port}"

    def send(self, made: Decisions) -> None:
        if self._socket is None:
            return
        for message in messages(made):
            with contextlib.suppress(OSError):  # no receiver, or a full queue: UDP does not guarantee delivery
                self._socket.sendto((json.dumps(message) + "\n").encode(), self._to)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class LslOutlet(Publisher):
    """An LSL stream of type "Decisions" with an irregular rate.

    Its channels are the index of the class, 1 if the decision was rejected and else 0, the gain, and the probability of
    each class.
    """

    def __init__(self, name: str):
        self.name = name
        self._outlet: Any = None

    def open(self, classes: tuple[str, ...], name: str) -> str:
        from myograph.live.sources.lsl import load_pylsl

        pylsl = load_pylsl()
        n = 3 + len(classes)
        info = pylsl.StreamInfo(self.name, "Decisions", n, pylsl.IRREGULAR_RATE, pylsl.cf_double64, f"myograph {name}")
        info.set_channel_labels(["class", "rejected", "gain", *(f"p({c})" for c in classes)])
        names = info.desc().append_child("classes")
        for class_name in classes:
            names.append_child_value("class", class_name)
        self._outlet = pylsl.StreamOutlet(info)
        return f"LSL stream {self.name!r} of type 'Decisions'"

    def send(self, made: Decisions) -> None:
        if self._outlet is None:
            return
        for i in range(len(made)):
            state = [float(made.label[i]), float(made.rejected[i]), float(made.gain[i])]
            self._outlet.push_sample([*state, *made.proba[i].tolist()])

    def close(self) -> None:
        self._outlet = None


class Websocket(Publisher):
    """A websocket server on this machine that sends one JSON object per decision to every client.

    Web pages from other machines are refused by their `Origin` header.
    """

    def __init__(self, port: int = WEBSOCKET_PORT):
        self.port = port
        self._loop: Any = None
        self._stop: Any = None
        self._clients: set[Any] = set()
        self._thread: threading.Thread | None = None

    def open(self, classes: tuple[str, ...], name: str) -> str:
        import asyncio

        server = need("websockets.asyncio.server", "live")
        ready, failed = threading.Event(), []

        async def serve() -> None:
            self._stop = asyncio.Event()
            made = await server.serve(self._serve, "127.0.0.1", self.port, origins=[None, OWN_PAGES], max_size=1024)
            self.port = made.sockets[0].getsockname()[1]
            self._loop = asyncio.get_running_loop()
            ready.set()
            async with made:
                await self._stop.wait()

        def work() -> None:
            try:
                asyncio.run(serve())
            except (OSError, OverflowError) as error:
                failed.append(error)
            finally:
                ready.set()

        self._hello = json.dumps({"decoder": name, "classes": list(classes)})
        self._thread = threading.Thread(target=work, daemon=True, name="publish")
        self._thread.start()
        ready.wait()
        if failed:
            raise SourceError(f"cannot open a websocket on port {self.port} ({failed[0]}); choose another port")
        return f"websocket ws://127.0.0.1:{self.port}"

    async def _serve(self, client: Any) -> None:
        await client.send(self._hello)
        self._clients.add(client)
        try:
            await client.wait_closed()
        finally:
            self._clients.discard(client)

    def send(self, made: Decisions) -> None:
        if self._loop is not None and len(made):
            self._loop.call_soon_threadsafe(self._broadcast, [json.dumps(message) for message in messages(made)])

    def _broadcast(self, texts: list[str]) -> None:
        broadcast = need("websockets.asyncio.server", "live").broadcast
        keeping_up = [c for c in self._clients if c.transport.get_write_buffer_size() < MOST_WAITING]
        for text in texts:
            broadcast(keeping_up, text)

    def close(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=5)
            self._loop = None


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
