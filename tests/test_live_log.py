"""The log of a live session, prompts, and decisions for other programs."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from conftest import make_recording
from myograph import Windowing
from myograph.errors import ConfigError, DataError, ResultsError, SourceError, UnknownNameError
from myograph.live import Decoder, MajorityVote, read_log
from myograph.live.log import LiveLog, LoggedSession
from myograph.live.prompts import Prompts
from myograph.live.publish import UdpLines, Websocket, messages, publisher
from myograph.live.sources.base import StreamInfo

NAMES = ("rest", "fist", "open")
INFO = StreamInfo(4, 500.0, "uV", name="a device")


@pytest.fixture(scope="module")
def recording():
    return make_recording(np.random.default_rng(1), names=NAMES, n_repetitions=3, rate_hz=500.0)


@pytest.fixture(scope="module")
def decoder(recording):
    return Decoder.fit([recording], "lda", windowing=Windowing(120, 40), post=MajorityVote(3))


@pytest.fixture(scope="module")
def made(decoder, recording):
    return decoder.decide(recording)


def test_a_log_gives_back_every_decision(decoder, made, tmp_path):
    log = LiveLog(tmp_path / "new" / "session.jsonl", decoder, INFO, {"rest": "rest"})
    stream = decoder.stream()
    recording = make_recording(np.random.default_rng(1), names=NAMES, n_repetitions=3, rate_hz=500.0)
    log.prompt(0.0, "rest")
    for first in range(0, recording.n_samples, 170):
        log.decisions(stream.push(recording.signal[:, first : first + 170]))
    log.prompt(0.5, "fist")
    log.event("gap", sample=10, filled=3)
    log.close({"samples": recording.n_samples})
    log.close()
    found = read_log(log.path)
    assert found.decisions == made
    assert np.isfinite(found.decisions.latency_ms).all()
    assert found.prompts == ((0.0, "rest"), (0.5, "fist"))
    assert [event["filled"] for event in found.events] == [3]
    assert found.counts == {"samples": recording.n_samples}
    assert found.complete
    assert found.start["step_ms"] == 40
    assert found.start["n_votes"] == 3
    with pytest.raises(ResultsError, match="never overwritten"):
        LiveLog(log.path, decoder, INFO)


def test_probabilities_that_there_are_not(recording, tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    from myograph import Features

    decoder = Decoder.fit([recording], make_pipeline(Features(["mav"]), LinearSVC()), windowing=Windowing(120, 40))
    log = LiveLog(tmp_path / "session.jsonl", decoder, INFO)
    log.decisions(decoder.decide(recording))
    log.close()
    assert read_log(log.path).decisions == decoder.decide(recording)
    assert "NaN" not in log.path.read_text()


def test_truth_is_what_was_asked_before_the_last_sample(made):
    session = LoggedSession({"step_ms": 40.0, "length_ms": 120.0, "n_votes": 3}, made, ((0.2, "rest"), (0.4, "fist")))
    time_s = made.time_s
    assert session.truth.tolist() == ["" if t <= 0.2 else "rest" if t <= 0.4 else "fist" for t in time_s.tolist()]
    summary = session.summary()
    known = time_s > 0.2
    truth = np.where(time_s > 0.4, "fist", "rest")[known]
    assert summary["metrics"]["total_error"] == pytest.approx(np.mean(made.output()[known] != truth))
    assert summary["decisions"] == len(made)
    # 120 / 2 + (3 + 1) / 2 * 40 = 140 ms and the processing
    assert summary["expected_delay_ms"] >= 140
    assert "metrics" not in LoggedSession(session.start, made).summary()


def test_a_cut_last_line_is_left_out_and_damage_is_told(decoder, made, tmp_path):
    log = LiveLog(tmp_path / "session.jsonl", decoder, INFO)
    log.decisions(made)
    text = log.path.read_text()
    (tmp_path / "cut.jsonl").write_text(text[:-30])
    found = read_log(tmp_path / "cut.jsonl")
    assert len(found.decisions) == len(made) - 1
    assert not found.complete
    lines = text.split("\n")
    (tmp_path / "damaged.jsonl").write_text("\n".join([*lines[:3], lines[3][:20], *lines[4:]]))
    with pytest.raises(DataError, match="line 4"):
        read_log(tmp_path / "damaged.jsonl")
    (tmp_path / "class.jsonl").write_text(text.replace('"raw":', '"raw":9,"was":', 1))
    with pytest.raises(DataError, match="class index"):
        read_log(tmp_path / "class.jsonl")
    for name, content in {"other.jsonl": "{}\n", "text.jsonl": "hello\nthere\n", "empty.jsonl": ""}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(DataError):
            read_log(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read"):
        read_log(tmp_path / "nothing.jsonl")


WRITER = """
import sys
from myograph.live import Decoder, LiveLog
from myograph.live.sources.base import StreamInfo
from myograph import Recording
import numpy as np
decoder = Decoder.load(sys.argv[1])
log = LiveLog(sys.argv[2], decoder, StreamInfo(4, 500.0, "uV", name="a device"))
made = decoder.decide(Recording(np.load(sys.argv[3]), 500.0, None, "1", unit=decoder.unit))
print(len(made), flush=True)
while True:
    log.decisions(made)
    print("written", flush=True)
"""


def test_a_killed_program_loses_nothing_that_it_has_written(decoder, recording, tmp_path):
    decoder.save(tmp_path / "decoder.myo")
    np.save(tmp_path / "signal.npy", recording.signal[:, :300])
    paths = [str(tmp_path / name) for name in ("decoder.myo", "log.jsonl", "signal.npy")]
    process = subprocess.Popen([sys.executable, "-c", WRITER, *paths], stdout=subprocess.PIPE, text=True)
    n = int(process.stdout.readline())
    for _ in range(20):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = read_log(paths[1])
    assert len(found.decisions) >= 20 * n
    assert not found.complete


# Prompts


def test_prompts_are_balanced_and_seeded():
    prompts = Prompts(("a", "b", "c"), hold_s=2.0, rest_s=1.0, rounds=4, seed=3)
    assert prompts.duration_s == 1 + 4 * 9
    asked = [prompts.at(t) for t in np.arange(0.05, prompts.duration_s, 0.1)]
    assert [asked.count(g) for g in ("a", "b", "c", "rest")] == [80, 80, 80, 130]
    changes = [b for a, b in pairwise(asked) if a != b and b != "rest"]
    assert [sorted(changes[i : i + 3]) for i in range(0, 12, 3)] == [["a", "b", "c"]] * 4
    assert asked == [
        Prompts(("a", "b", "c"), hold_s=2.0, rest_s=1.0, rounds=4, seed=3).at(t) for t in np.arange(0.05, 37, 0.1)
    ]
    assert asked != [
        Prompts(("a", "b", "c"), hold_s=2.0, rest_s=1.0, rounds=4, seed=4).at(t) for t in np.arange(0.05, 37, 0.1)
    ]
    with pytest.raises(ConfigError, match="at least one gesture"):
        Prompts(())
    with pytest.raises(ConfigError, match="positive"):
        Prompts(("a",), hold_s=0.0)


# Publishing


def test_udp_lines(made):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        sender = publisher(f"udp:127.0.0.1:{receiver.getsockname()[1]}")
        assert "udp 127.0.0.1" in sender.open(made.classes, "test")
        sender.send(made)
        received = [json.loads(receiver.recv(65_507)) for _ in range(len(made))]
        sender.close()
    assert received == messages(made)
    assert received[5]["class"] == made.names[5]
    assert received[5]["probabilities"] == dict(zip(made.classes, made.proba[5].tolist()))
    sender.send(made)  # after close nothing happens


def test_lsl_outlet(made, tmp_path):
    pylsl = pytest.importorskip("pylsl", exc_type=ImportError)
    name = f"out-{secrets.token_hex(4)}"
    sender = publisher(f"lsl:{name}")
    sender.open(made.classes, "test")
    found = pylsl.resolve_byprop("name", name, 1, 30.0)
    inlet = pylsl.StreamInlet(found[0], recover=False)
    inlet.open_stream(30.0)
    info = inlet.info(30.0)
    assert info.type() == "Decisions"
    assert info.get_channel_labels() == ["class", "rejected", "gain", *(f"p({c})" for c in made.classes)]
    sender.send(made)
    rows = [inlet.pull_sample(timeout=30.0)[0] for _ in range(len(made))]
    inlet.close_stream()
    sender.close()
    np.testing.assert_array_equal(np.array(rows)[:, 0], made.label)
    np.testing.assert_array_equal(np.array(rows)[:, 3:], made.proba)


def test_websocket(made):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import InvalidStatus

    sender = Websocket(0)
    where = sender.open(made.classes, "test")
    address = where.split()[-1]
    try:
        with client.connect(address) as first, client.connect(address, origin="http://localhost:8000") as second:
            for connection in (first, second):
                assert json.loads(connection.recv(timeout=30))["classes"] == list(made.classes)
            deadline = time.monotonic() + 30
            while len(sender._clients) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            sender.send(made)
            for connection in (first, second):
                assert [json.loads(connection.recv(timeout=30)) for _ in range(len(made))] == messages(made)
        with pytest.raises(InvalidStatus, match="403"):
            client.connect(address, origin="https://elsewhere.example")
        with pytest.raises(InvalidStatus, match="403"):
            client.connect(address, origin="http://localhost.elsewhere.example")
        sender.send(made)  # nobody listens any more
        with pytest.raises(SourceError, match="another port"):
            Websocket(sender.port).open(made.classes, "test")
    finally:
        sender.close()


def test_ways_to_publish():
    assert isinstance(publisher("udp:127.0.0.1:9000"), UdpLines)
    assert publisher("websocket:8000").port == 8000
    with pytest.raises(UnknownNameError, match="websocket"):
        publisher("websockets")
    with pytest.raises(SourceError, match="another port"):
        Websocket(99_999).open((), "test")
    for wrong in ("udp", "udp:here", "websocket:x"):
        with pytest.raises(ConfigError, match="expected"):
            publisher(wrong)
