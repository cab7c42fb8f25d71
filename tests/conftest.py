"""Shared by all tests: no test touches the user's cache, and real recordings are used only where there are some."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from myograph import Recording


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("MYOGRAPH_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = os.environ.get("MYOGRAPH_DATA")
    if folder and Path(folder).is_dir():
        return
    skip = pytest.mark.skip(reason="MYOGRAPH_DATA names no folder of recordings")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(skip)


def make_recording(
    rng: np.random.Generator,
    subject: str = "1",
    session: str = "1",
    n_channels: int = 4,
    n_labels: int = 3,
    n_repetitions: int = 6,
    n_per_run: int = 200,
    rate_hz: float = 200.0,
    informative: bool = True,
    names: tuple[str, ...] = (),
) -> Recording:
    """Noise whose loudness per channel tells the label (or, not `informative`, tells nothing): repetitions of every
    label in turn."""
    label = np.repeat(np.tile(np.arange(n_labels), n_repetitions), n_per_run)
    repetition = np.repeat(np.arange(1, n_repetitions + 1), n_labels * n_per_run)
    signal = rng.normal(size=(n_channels, len(label)))
    if informative:
        gain = 0.5 + 2.0 * np.eye(n_labels, n_channels)
        signal *= gain[label].T
    return Recording(
        (20 * signal).astype(np.float32),
        rate_hz,
        label,
        subject=subject,
        repetition=repetition,
        session=session,
        label_names=names or tuple(f"g{i}" for i in range(n_labels)),
    )


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: command("run", …) gives (exit status, stdout, stderr)."""
    from myograph.cli import terminal
    from myograph.cli.app import main

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["myograph", *map(str, words)])
        for console, stream in ((terminal.out, sys.stdout), (terminal.err, sys.stderr)):
            monkeypatch.setattr(console, "_file", stream)
            monkeypatch.setattr(console, "_width", 200)
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run
