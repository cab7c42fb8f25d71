"""`myograph studio`: start the server of the studio page."""

from __future__ import annotations

import ast
import contextlib
import ipaddress
import secrets
import socket
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from myograph.cli.terminal import out
from myograph.errors import ConfigError, need

PORT = 8765
SIMULATED = {"n_channels": 16, "rate_hz": 2000.0}


def studio(
    folder: Annotated[Path, typer.Argument(help="Folder of the sessions, decoders and tests.")] = Path("studio"),
    source: Annotated[
        str, typer.Option(help="Where samples come from: simulated, udp, ..., or replay:NAME of a data set.")
    ] = "simulated",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the source: key=value, for example n_channels=8.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="Address to serve on; other machines need the token that is then printed."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 selects a free one.")] = PORT,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Open the studio in the browser: view signals, record prompted gestures, train, decode live, and test.

    Without a device, a simulated person performs the gestures.
    """
    for module in ("starlette", "uvicorn", "websockets"):
        need(module, "live")
    import uvicorn

    from myograph._common.files import only_run_in
    from myograph.cli.studio.server import MOST_BYTES, make_app
    from myograph.cli.studio.studio import Studio
    from myograph.cli.studio.train import warm_up

    # Ctrl-C is the normal way to stop the studio: uvicorn closes everything, then raises KeyboardInterrupt again.
    with only_run_in(folder, "studio"), listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        made = Studio(make_source(source, settings or []), folder)
        warm_up(made.engine.info.n_channels, made.engine.info.rate_hz)
        token = None if is_loopback(host) else secrets.token_urlsafe(16)
        config = uvicorn.Config(
            make_app(made, (host, socket.gethostname()), token),
            log_level="warning",
            ws="websockets-sansio",
            ws_max_size=MOST_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        address = page_address(host, listener.getsockname()[1], token)
        out.print(f"myograph studio: [bold]{address}[/bold]  (stop with Ctrl-C)", soft_wrap=True, highlight=False)
        out.print(f"sessions, decoders and tests are kept in {folder}", markup=False, soft_wrap=True, highlight=False)
        if token is not None:
            out.print("Other machines reach it at this machine's name or address. Anyone with the token can use it.")
        if browser:
            webbrowser.open(address)
        server.run(sockets=[listener])
    out.print("the studio has stopped", markup=False)


def make_source(name: str, settings: list[str]) -> Any:
    """Create a source from its name and settings such as "n_channels=8"; "replay:NAME" plays a recording of a data set.

    Raises
    ------
    UnknownNameError, ConfigError : no such source or setting, or a value that does not fit.

    >>> make_source("udp", ["n_channels=8", "rate_hz=1000"]).n_channels
    8
    """
    from myograph.live.sources import SOURCES

    options: dict[str, Any] = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"--set {word!r} is not key=value, as in n_channels=8")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    kind, _, dataset = name.partition(":")
    if kind == "replay":
        return _replay(dataset, options)
    return SOURCES.create(kind, **({**SIMULATED, **options} if kind == "simulated" else options))


def _replay(dataset: str, options: dict[str, Any]) -> Any:
    from myograph.datasets.load import load
    from myograph.live.sources.replay import Replay

    if not dataset:
        raise ConfigError("replay needs a data set: --source replay:NAME, or replay:path/to/dataset.toml")
    number, subject = options.pop("recording", 0), options.pop("subject", None)
    recordings = load(dataset, subjects=None if subject is None else str(subject))
    if not isinstance(number, int) or not 0 <= number < len(recordings):
        raise ConfigError(f"recording must be 0 to {len(recordings) - 1}, got {number!r}")
    return Replay(recordings[number], **options)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises
    ------
    ConfigError : the port is in use, or the address is not one of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"the studio cannot be served at {host}, port {port} ({error}); choose another port with --port, 0 for a free one"
        ) from error


def page_address(host: str, port: int, token: str | None) -> str:
    """Return the address to open in the browser.

    >>> page_address("127.0.0.1", 8765, None), page_address("::1", 80, "secret")
    ('http://127.0.0.1:8765/', 'http://[::1]:80/?token=secret')
    """
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + ("" if token is None else f"?token={token}")


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from this machine.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.0.7")]
    [True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
