"""A headless Chromium for tests of the studio's page, driven over its own protocol: clicks and keys as a person makes them."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str | None:
    """The browser's command; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page. `problems` are the errors that it wrote to its console, `hosts` those that it asked for something."""

    def __init__(self, socket: Any):
        self.socket, self.numbers = socket, itertools.count(1)
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=120))
            self._note(message)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        elif message.get("method") in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            address = params["request"]["url"] if "request" in params else params["url"]
            self.hosts.add(urlsplit(address).netloc)
        elif message.get("method") == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.problems.append(str(params["args"]))

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.size(width, height)
        self.theme(dark)
        self.call("Page.navigate", url=address)
        self.wait("document.documentElement?.dataset.ready")

    def reload(self) -> None:
        """Load the page again and wait until the new one is ready; the old one is told apart by a mark."""
        self.value("document.documentElement.dataset.old = 'yes'; location.reload()")
        self.wait("!document.documentElement?.dataset.old && document.documentElement?.dataset.ready")

    def size(self, width: int, height: int, scale: float = 1) -> None:
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def theme(self, dark: bool) -> None:
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def value(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", expression))
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 900) -> Any:
        """The expression's value once it is true. The limit is far above what any machine needs."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if found := self.value(f"Promise.resolve({expression}).then(Boolean)"):
                    return found
            except RuntimeError as error:
                if "context" not in str(error) and "navigated" not in str(error):  # the page is being replaced
                    raise
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; console: {self.problems}")

    def click(self, selector: str) -> None:
        """Click into the middle of the first element that matches, which must be visible."""
        self.wait(f"(e => e && e.offsetParent !== null && !e.disabled)(document.querySelector({json.dumps(selector)}))")
        script = f"""(e => {{ e.scrollIntoView({{block: "center"}}); const r = e.getBoundingClientRect();
            return [r.left + r.width / 2, r.top + r.height / 2]; }})(document.querySelector({json.dumps(selector)}))"""
        x, y = self.value(script)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key: str, down: bool) -> None:
        self.call("Input.dispatchKeyEvent", type="keyDown" if down else "keyUp", key=key, code=f"Digit{key}")

    def fill(self, selector: str, text: str) -> None:
        """Replace the text of an input by typing."""
        self.click(selector)
        self.value(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def picture(self, path: Path, whole: bool = False) -> Path:
        """A PNG of what is seen, or of the whole page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path


@contextmanager
def open_page(folder: Path) -> Iterator[Page]:
    """A browser with a fresh profile below `folder`, and its page."""
    from websockets.sync.client import connect

    command = browser()
    assert command is not None
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
    flags += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    profile = folder / "profile"
    with open(folder / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            [command, *flags, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log
        )
    try:
        target = _target(_port(profile / "DevToolsActivePort", process))
        with connect(target, max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _port(path: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if path.exists() and (lines := path.read_text().split()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError("the browser did not start")


def _target(port: int) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [t for t in json.loads(answer.read()) if t["type"] == "page"]
    return pages[0]["webSocketDebuggerUrl"]
