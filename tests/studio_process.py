"""A studio in a process of its own, for tests in a browser and tests that kill it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def start(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """The process, and the address that it serves."""
    source = str(Path(sys.modules["myograph"].__file__ or "").parents[1])
    command = [sys.executable, "-m", "myograph.cli", "studio", str(folder), "--no-browser", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": source, "COLUMNS": "200"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"http://\S+", line):
            return process, found[0]
    raise AssertionError("".join(lines))


@contextmanager
def serve(folder: Path, *options: str) -> Iterator[str]:
    """The address of a studio, which is then ended as Ctrl-C does, and must not complain."""
    process, address = start(folder, *options)
    try:
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
        assert "Traceback" not in rest, rest
        assert rest.endswith("the studio has stopped\n"), rest
