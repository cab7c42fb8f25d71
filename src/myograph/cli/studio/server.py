"""The web server: the page, its files, and one websocket per page for commands, state and samples.

Commands are JSON texts `{"do": name, "with": {...}, "id": n}`; each is answered by `{"done": n}` or `{"error": text, "id": n}`.
The server sends `{"part": name, "value": ...}` when a part of the state has changed, `{"tick": ...}` thirty times per
second, and the samples to draw as binary frames (`View.frame`). For each page it holds at most one unsent message of each
kind, and a newer message replaces it. A slow page therefore costs neither memory nor samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from myograph._common.files import plain
from myograph.cli.studio.guard import POLICY, REPORT_POLICY, Guard
from myograph.cli.studio.studio import SLOW, Studio
from myograph.errors import MyographError
from myograph.evaluation.report.live import render_live
from myograph.live.log import read_log

FRAMES_PER_S = 30
PARTS_EVERY = 6  # frames: five times per second
JUDGE_EVERY = 30  # frames: once per second
MOST_CLIENTS = 100
MOST_BYTES = 65_536  # per command
MOST_ANSWERS = 200  # queued for a page that does not read them


class Client:
    """The messages to send to one page: the newest of each kind, and all answers.

    Attributes
    ----------
    next_bin : the first bin that the page does not have.
    """

    def __init__(self, socket: WebSocket, next_bin: int):
        self.socket, self.next_bin = socket, next_bin
        self.parts: dict[str, str] = {}
        self.answers: deque[str] = deque()
        self.tick: str | None = None
        self.frame: bytes | None = None
        self.wake = asyncio.Event()

    async def write(self) -> None:
        """Send the queued messages until cancelled."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            while self.answers:
                await self.socket.send_text(self.answers.popleft())
            while self.parts:
                name = next(iter(self.parts))
                await self.socket.send_text(self.parts.pop(name))
            if self.tick is not None:
                tick, self.tick = self.tick, None
                await self.socket.send_text(tick)
            if self.frame is not None:
                await self.socket.send_bytes(self.frame)
                self.frame = None

    def answer(self, text: str) -> None:
        """Queue an answer.

        Raises
        ------
        WebSocketDisconnect : the page sends commands without reading the answers.
        """
        if len(self.answers) >= MOST_ANSWERS:
            raise WebSocketDisconnect(1008, "too many unread answers")
        self.answers.append(text)
        self.wake.set()


class Server:
    """All pages of one studio."""

    def __init__(self, studio: Studio):
        self.studio = studio
        self.clients: set[Client] = set()
        self._parts: dict[str, str] = {}

    async def broadcast(self) -> None:
        """Queue news for every page thirty times per second, until cancelled."""
        count = 0
        while True:
            await asyncio.sleep(1 / FRAMES_PER_S)
            if count % JUDGE_EVERY == 0:
                await asyncio.to_thread(self.studio.judge)
            if self.clients:
                self.send_frame()
                if count % PARTS_EVERY == 0:
                    self.send_parts()
            count += 1

    def send_parts(self) -> None:
        """Queue the parts of the state that have changed."""
        for name, value in self.studio.parts().items():
            text = json.dumps({"part": name, "value": plain(value)})
            if self._parts.get(name) != text:
                self._parts[name] = text
                for client in self.clients:
                    client.parts[name] = text
                    client.wake.set()

    def send_frame(self) -> None:
        """Queue the tick, and for each page whose last samples have been sent the samples that it lacks."""
        tick = json.dumps({"tick": plain(self.studio.tick())})
        made: dict[int, tuple[bytes, int]] = {}
        for client in self.clients:
            client.tick = tick
            if client.frame is None:
                if client.next_bin not in made:
                    with self.studio.engine.lock:
                        made[client.next_bin] = self.studio.view.frame(client.next_bin)
                client.frame, client.next_bin = made[client.next_bin]
            client.wake.set()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one page until it is closed."""
        if len(self.clients) >= MOST_CLIENTS:
            await socket.close(1013, f"{MOST_CLIENTS} pages are already open")
            return
        await socket.accept()
        client = Client(socket, next_bin=0)  # sends everything that the ring still holds
        self.send_parts()
        client.parts = dict(self._parts)
        client.wake.set()
        self.clients.add(client)
        writer = asyncio.create_task(client.write())
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                client.answer(await self.obey(message))
                self.send_parts()
        except WebSocketDisconnect as error:  # the page does not read its answers
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await socket.close(error.code, error.reason)
        finally:
            self.clients.discard(client)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await writer  # it fails if the page was closed while a message was sent to it

    async def obey(self, message: Any) -> str:
        """Carry out one message of a page, and return the answer as JSON."""
        number = None
        try:
            text = message.get("text")
            if text is None or len(text) > MOST_BYTES:
                raise ValueError(f"a command must be a JSON text of at most {MOST_BYTES} characters")
            try:
                given = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"a command must be a JSON text: {error}") from None
            if not isinstance(given, dict) or not isinstance(given.get("do"), str):
                raise ValueError('a command must be {"do": name, "with": {...}, "id": number}')
            number = given.get("id") if isinstance(given.get("id"), (int, str)) else None
            arguments = given.get("with", {})
            if not isinstance(arguments, dict):
                raise ValueError(f"'with' must be an object, got {arguments!r}")
            if given["do"] in SLOW:
                await asyncio.to_thread(self.studio.command, given["do"], arguments)
            else:
                self.studio.command(given["do"], arguments)
        except (MyographError, ValueError, RecursionError) as error:
            return json.dumps({"error": str(error), "id": number})
        return json.dumps({"done": number})


def make_app(studio: Studio, names: Sequence[str] = (), token: str | None = None, acquire: bool = True) -> Starlette:
    """Create the web application of a studio.

    Parameters
    ----------
    names, token : see `Guard`.
    acquire : whether to read the source in a thread while the application runs; tests read it step by step instead.
    """
    server = Server(studio)
    folder = files("myograph.cli.studio").joinpath("static")
    page_text = folder.joinpath("index.html").read_text(encoding="utf-8")

    async def page(request: Request) -> Response:
        return HTMLResponse(page_text, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})

    async def report(request: Request) -> Response:
        try:
            log = read_log(studio.results.path(request.path_params["number"]))
        except MyographError as error:
            return PlainTextResponse(f"{error}\n", 404)
        text = await asyncio.to_thread(render_live, log)
        return HTMLResponse(text, headers={"Content-Security-Policy": REPORT_POLICY, "Cache-Control": "no-store"})

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if acquire:
            studio.engine.start()
        task = asyncio.create_task(server.broadcast())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await asyncio.to_thread(studio.close)

    routes = [
        Route("/", page),
        Route("/report/{number:int}", report),
        WebSocketRoute("/live", server.serve),
        Mount("/static", StaticFiles(directory=str(folder))),
    ]
    guard = Middleware(Guard, names=tuple(names), token=token)
    return Starlette(routes=routes, middleware=[Middleware(Headers), guard], lifespan=lifespan)


class Headers:
    """ASGI middleware that adds headers to every response."""

    EXTRA = (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
    )

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                fresh = (
                    ()
                    if any(k == b"cache-control" for k, _ in message["headers"])
                    else ((b"cache-control", b"no-cache"),)
                )
                message = {**message, "headers": [*message["headers"], *self.EXTRA, *fresh]}
            await send(message)

        await self.app(scope, receive, with_headers)
