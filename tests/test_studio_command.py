"""`myograph studio`: its options, and what it says where it cannot start."""

import socket
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from conftest import make_recording
from myograph.cli.app import app
from myograph.cli.studio.command import listen, make_source
from myograph.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize("module", ["starlette", "uvicorn", "websockets"])
def test_a_missing_package_is_named_with_its_extra(module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    result = CliRunner().invoke(app, ["studio", str(tmp_path / "s"), "--no-browser"])
    assert "pip install 'myograph[live]'" in str(result.exception)
    assert not (tmp_path / "s").exists()


def test_the_command_line_does_not_need_the_extra(monkeypatch):
    """The other commands work without it: nothing of it is imported before the studio is opened."""
    import subprocess

    blocked = "import sys\nfor m in ('starlette', 'uvicorn', 'websockets'): sys.modules[m] = None\n"
    code = blocked + "import myograph.cli.app\nprint('loaded')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "loaded\n"


def test_a_port_in_use_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} .*choose another port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99_999), ("203.0.113.7", 0)])
def test_an_impossible_address_is_said(host, port):
    with pytest.raises(ConfigError, match="cannot be served"):
        listen(host, port)


def test_the_default_source_is_a_simulated_person():
    source = make_source("simulated", [])
    assert (source.n_channels, source.rate_hz) == (16, 2000.0)
    assert make_source("simulated", ["n_channels=64", "subject=3"]).subject == 3
    assert hasattr(source, "perform")


def test_a_recording_can_be_replayed(tmp_path):
    recording = make_recording(np.random.default_rng(0))
    for label, name in enumerate(recording.label_names):
        np.save(tmp_path / f"{name}_1.npy", recording.signal[:, recording.label == label].T)
    (tmp_path / "dataset.toml").write_text('files = "{label}_{repetition}.npy"\nrate_hz = 200\nunit = "uV"\n')
    source = make_source(f"replay:{tmp_path / 'dataset.toml'}", ["speed=4"])
    assert source.recording.n_channels == 4
    assert source.speed == 4
    with pytest.raises(ConfigError, match="recording must be 0 to 0"):
        make_source(f"replay:{tmp_path / 'dataset.toml'}", ["recording=1"])


@pytest.mark.parametrize(
    ("name", "settings", "error"),
    [
        ("nothing", [], UnknownNameError),
        ("simulated", ["x"], ConfigError),
        ("replay", [], ConfigError),
        ("replay:", [], ConfigError),
    ],
)
def test_a_wrong_source_is_an_error(name, settings, error):
    with pytest.raises(error):
        make_source(name, settings)
