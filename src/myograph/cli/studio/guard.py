"""Access control of the studio: host name, same origin, and a token if other machines can reach it."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The report contains its style and script, so that it can be saved and sent as one file.
REPORT_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


class Guard:
    """ASGI middleware that refuses requests from elsewhere before the application sees them.

    A web page that the user visits could send requests to this machine in two ways. It could point its own host name to
    127.0.0.1 (DNS rebinding); this is refused because the `Host` header must be an IP address, `localhost` or one of
    `names`. Or it could open a websocket, which browsers allow across sites; this is refused because the `Origin` header
    must name the host to which the request is sent.

    Parameters
    ----------
    names : further allowed host names.
    token : required as `?token=…` for everything except static files; None requires no token.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str] = (), token: str | None = None):
        self.app = app
        self.names = {name.lower() for name in ("localhost", *names)}
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif problem := self.refusal(HTTPConnection(scope)):
            await self._refuse(problem, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def refusal(self, request: HTTPConnection) -> str:
        """Return why a request is refused, or an empty text if it is allowed."""
        host = request.headers.get("host", "")
        name = _name(host)
        if name not in self.names and not _is_address(name):
            return f"this server does not accept the host name {name!r}; open it by its IP address or as localhost"
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "this request comes from a page of another site"
        if self.token is None or request.url.path.startswith("/static/"):
            return ""
        given = parse_qs(request.url.query).get("token", [])
        if len(given) != 1 or not secrets.compare_digest(given[0].encode(), self.token.encode()):
            return "the token in the address is missing or wrong: use the whole address that `myograph studio` printed"
        return ""

    async def _refuse(self, problem: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": problem[:120]})
        else:
            await PlainTextResponse(problem + "\n", 403)(scope, receive, send)


def _name(host: str) -> str:
    """Return the host name of a `Host` header without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
