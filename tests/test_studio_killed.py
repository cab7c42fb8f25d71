"""A studio that is killed while it records: everything it had received is kept, and recording resumes there."""

import json

import numpy as np
import pytest

from myograph.cli.studio.sessions import read_session, session_folder
from studio_process import start

connect = pytest.importorskip("websockets.sync.client").connect
pytest.importorskip("uvicorn")
SOURCE = ("--set", "n_channels=8", "--set", "rate_hz=500.0")
PLAN = {"gestures": ["hand_close", "hand_open"], "repetitions": 50, "hold_s": 1.0, "rest_s": 1.0, "ready_s": 1.0}
pytestmark = pytest.mark.slow


def part(socket, wanted):
    """The next state of the recording for which `wanted` holds."""
    while True:
        message = socket.recv(timeout=300)
        if isinstance(message, str):
            found = json.loads(message)
            if found.get("part") == "record" and wanted(found["value"]):
                return found["value"]
            assert "error" not in found, found


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.nightly)])
def test_a_killed_server_has_lost_nothing_and_the_session_resumes(times, tmp_path):
    moments = np.random.default_rng(0).uniform(0.5, 4.0, times)
    folder, before, finished = session_folder(tmp_path / "studio", "me", "1"), 0.0, 0
    for k, moment in enumerate(moments):
        process, address = start(tmp_path / "studio", *SOURCE)
        try:
            with connect(f"ws{address[4:]}live", max_size=None) as socket:
                part(socket, lambda value: not value["running"])
                name, values = ("record.start", {"plan": PLAN}) if k == 0 else ("record.again", {})
                socket.send(json.dumps({"do": name, "with": {"subject": "me", "session": "1", **values}, "id": 1}))
                assert part(socket, lambda value: value["running"])["finished"] >= finished
                state = part(socket, lambda value, until=before + moment: value["seconds"] > until)
                process.kill()
        finally:
            process.kill()
            process.communicate()
        recording = read_session(folder)
        assert recording.duration_s >= state["seconds"]  # what the page had been told was on disk
        assert len(recording.breaks) == k
        before, finished = recording.duration_s, state["finished"]
    assert np.isfinite(recording.signal).all()
