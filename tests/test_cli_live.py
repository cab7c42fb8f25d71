"""`myograph live` and the report of a session: from a decoder's file to decisions, a log and a page."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from conftest import make_recording
from myograph import Windowing
from myograph.cli.live import choose_source
from myograph.datasets import load
from myograph.errors import ConfigError, MyographError, SourceEnded, UnknownNameError
from myograph.evaluation.report.decision_charts import counts_matrix, histogram, timeline
from myograph.evaluation.report.live import render_live
from myograph.live import Decoder, read_log
from myograph.live.fitts import Target, Trial
from myograph.live.log import LiveLog
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo
from myograph.live.sources.replay import joined
from myograph.live.sources.udp import pack

OPTIONS = {"n_gestures": 3, "n_sessions": 1, "n_repetitions": 2}


@pytest.fixture(scope="module")
def recordings():
    return load("simulated", subjects="1,2", **OPTIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recordings):
    folder = tmp_path_factory.mktemp("live")
    Decoder.fit(recordings[:1], "lda", windowing=Windowing(200, 50)).save(folder / "hand.myo")
    return folder


@pytest.fixture
def call(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    return command


def test_a_simulated_session_and_its_report(call, folder):
    fast = ["--set", "speed=inf", "--rounds", "1", "--hold", "2", "--pause", "1"]
    status, out, err = call("live", "hand.myo", *fast, "--out", "a.jsonl", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["counts"]["samples"] == 10_000  # a pause, then three gestures of 2 s with a pause after each
    assert found["decisions"] == (10_000 - 200) // 50 + 1
    assert found["metrics"]["contractions"] == 3
    assert found["metrics"]["total_error"] < 0.7
    assert 0 < found["latency"]["p50_ms"] <= found["latency"]["p99_ms"]
    session = read_log(folder / "a.jsonl")
    assert [label for _, label in session.prompts][::2] == ["rest"] * 4
    assert session.complete
    page = (folder / "a.html").read_text()
    assert found["report"] == "a.html"
    assert not re.search(r"https?://|<link|src=", page)
    assert "hand_close" in page
    before = page
    (folder / "a.html").unlink()
    status, out, _ = call("report", "a.jsonl", "--json")
    assert status == 0
    assert (folder / "a.html").read_text() == before
    assert json.loads(out)["metrics"] == found["metrics"]
    status, out, _ = call("report", "a.jsonl")
    assert "false activations per hour" in out
    status, _, err = call("live", "hand.myo", *fast, "--out", "a.jsonl")
    assert status == 1
    assert "never overwritten" in err


def test_the_same_seed_gives_the_same_session(call):
    fast = ["--set", "speed=inf", "--rounds", "1", "--hold", "1", "--pause", "1", "--json"]
    first, again, other = (
        json.loads(call("live", "hand.myo", *fast, "--set", f"seed={seed}")[1]) for seed in (1, 1, 2)
    )
    assert first["metrics"] == again["metrics"] != other["metrics"]
    assert first["log"] is None


def test_a_replay_decides_as_offline_and_its_labels_are_the_truth(call, folder, recordings):
    np.save(folder / "one.npy", recordings[1].signal)
    status, _, err = call("live", "hand.myo", "--source", "replay:one.npy", "--set", "speed=inf", "--out", "b.jsonl")
    assert status == 0, err
    decoder = Decoder.load(folder / "hand.myo")
    session = read_log(folder / "b.jsonl")
    assert session.decisions == decoder.decide(recordings[1])
    assert session.prompts == ()
    source = choose_source("replay:simulated", decoder, ["speed=inf"], "2")
    assert source.recording.n_samples > recordings[1].n_samples  # all sessions, all gestures
    both = joined(recordings)
    assert both.breaks == (recordings[0].n_samples,)
    labels = [(c.samples.shape[1], c.breaks) for c in _chunks(choose_source("replay:one.npy", decoder, ["speed=inf"]))]
    assert sum(n for n, _ in labels) == recordings[1].n_samples
    with pytest.raises(ConfigError, match="must have equal channels"):
        joined([recordings[0], make_recording(np.random.default_rng(0))])


def _chunks(source):
    source.open()
    try:
        while True:
            if (chunk := source.read()) is not None:
                yield chunk
    except EOFError:
        source.close()


def test_labels_of_a_replayed_data_set_are_its_prompts(call, folder):
    status, out, err = call(
        "live", "hand.myo", "--source", "replay:simulated", "--subjects", "1", "--set", "speed=inf", "--seconds", "20",
        "--out", "c.jsonl", "--json",
    )  # fmt: skip
    assert status == 0, err
    (first, *_) = load("simulated", subjects="1")
    session = read_log(folder / "c.jsonl")
    truth = session.truth
    known = np.asarray(session.decisions.truth(first))
    told = truth != ""
    # A label counts from the chunk in which it begins: 10 ms.
    assert (truth[told] == known[told]).mean() > 0.98
    assert json.loads(out)["metrics"]["missed_activations"] == 0


def test_samples_over_udp_and_decisions_back(call, folder, recordings):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(30)
    signal_ = recordings[1].signal[:, :3000]
    going = threading.Event()

    def device():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        first = 0
        while not going.is_set():  # begins again until the session has enough: restarts are part of it
            sender.sendto(pack(first, signal_[:, first : first + 20]), ("127.0.0.1", port))
            first = (first + 20) % 3000
            time.sleep(0.005)

    thread = threading.Thread(target=device, daemon=True)
    thread.start()
    where = f"udp:127.0.0.1:{receiver.getsockname()[1]}"
    try:
        status, out, err = call(
            "live", "hand.myo", "--source", f"udp:127.0.0.1:{port}", "--seconds", "2", "--publish", where,
            "--out", "d.jsonl", "--json",
        )  # fmt: skip
    finally:
        going.set()
        thread.join()
    assert status == 0, err
    made = read_log(folder / "d.jsonl").decisions
    received = [json.loads(receiver.recv(65_507)) for _ in range(min(len(made), 10))]
    receiver.close()
    assert [r["time_s"] for r in received] == made.time_s[: len(received)].tolist()
    assert json.loads(out)["decisions"] == len(made)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_session_in_order(folder, number):
    command = [sys.executable, "-m", "myograph.cli", "live", "hand.myo", "--out", f"{number}.jsonl"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = folder / f"{number}.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and '"decision"' in log.read_text()):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "latency" in out
    assert read_log(log).complete
    assert (folder / f"{number}.html").exists()


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("serial", [], "no source named 'serial'"),
        ("udp:9000", [], "udp:HOST:PORT"),
        ("replay:", [], "needs a recording"),
        ("simulated", ["speed"], "key=value"),
        ("simulated", ["sped=2"], "speed"),
        ("simulated", ["subject=0"], "must be 1 or more"),
        ("lsl", ["unit=volt"], "unit"),
    ],
)
def test_sources_that_are_not(folder, text, settings, said):
    with pytest.raises((UnknownNameError, ConfigError, MyographError), match=said):
        choose_source(text, Decoder.load(folder / "hand.myo"), settings)


def test_settings_of_sources(folder):
    decoder = Decoder.load(folder / "hand.myo")
    source = choose_source("simulated", decoder, ["reaction_s=(0.1, 0.2)", "speed=inf", "subject=3"])
    assert (source.n_channels, source.rate_hz, source.reaction_s, source.speed) == (
        12,
        1000.0,
        (0.1, 0.2),
        float("inf"),
    )
    assert choose_source("lsl:amp", decoder).name == "amp"
    assert choose_source("brainflow:CYTON_BOARD", decoder, ["serial_port=/dev/ttyUSB0"]).board == "CYTON_BOARD"
    udp = choose_source("udp:0.0.0.0:9000", decoder, ["protocol=lines"])
    assert (udp.host, udp.port, udp.protocol, udp.n_channels, udp.unit) == ("0.0.0.0", 9000, "lines", 12, "uV")


def test_every_registered_source_can_be_named(call, monkeypatch):
    SOURCES.load()
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))

    @SOURCES.register("alternating")
    @dataclass(frozen=True)
    class Alternating(Source):
        n_chunks: int
        level_uv: float = 1.0
        left: list = field(default_factory=list, init=False)

        def open(self):
            self.left[:] = range(self.n_chunks)
            return StreamInfo(12, 1000.0, "uV")

        def read(self):
            if not self.left:
                raise SourceEnded("all chunks were read")
            first = 100 * self.left.pop(0)
            return Chunk(np.tile([-self.level_uv, self.level_uv], (12, 50)), first, np.arange(first, first + 100) / 1e3)

    source = choose_source("alternating", Decoder.load("hand.myo"), ["n_chunks=7", "level_uv=2.5"])
    assert source == Alternating(7, 2.5)
    status, out, err = call("live", "hand.myo", "--source", "alternating", "--set", "n_chunks=7", "--json")
    assert status == 0, err
    assert json.loads(out)["counts"]["samples"] == 700
    with pytest.raises(UnknownNameError, match="option of source 'alternating' named 'chunks'"):
        choose_source("alternating", Decoder.load("hand.myo"), ["chunks=7"])
    with pytest.raises(ConfigError, match="nothing may follow the name alternating; pass its options as --set"):
        choose_source("alternating:7", Decoder.load("hand.myo"))


# The page


def test_the_page_shows_gaps_and_fitts_trials(folder, recordings, tmp_path):
    decoder = Decoder.load(folder / "hand.myo")
    log = LiveLog(tmp_path / "s.jsonl", decoder, StreamInfo(12, 1000.0, "uV", name="<a device>"))
    log.prompt(0.0, "rest")
    log.decisions(decoder.decide(recordings[0]))
    log.event("gap", time_s=1.5, missing=7, done="filled")
    points = np.array([[0, 0], [1.0, 0], [1.0, 0]])
    for far, seconds in ((1.0, 1.0), (3.0, 2.0)):
        trial = Trial(Target(far, 0.0, 0.5), np.array([0, seconds, seconds + 1]), points * far, 1.0, True)
        log.event("fitts", trial=trial.as_dict())
    page = render_live(read_log(log.path))
    assert "<a device>" not in page
    assert "&lt;a device&gt;" in page
    assert "the log ends before the session was closed" in page
    assert "1.50 s</td><td>7</td><td>filled" in page
    assert "2 of 2 targets reached" in page
    assert "<td>1.00 s</td>" in page  # movement times of both trials
    assert "<td>2.00 s</td>" in page
    # 1 bit and 1.807 bit more: slope 1 / (log2(7) - log2(3))
    assert f"{1 / (np.log2(7) - np.log2(3)):.2f} s/bit" in page


def test_the_time_line_draws_each_run_once():
    truth = ["rest"] * 4 + ["a"] * 4 + ["b"] * 2
    decided = ["rest"] * 5 + ["a"] * 3 + ["rest"] * 2
    drawn = timeline(truth, decided, np.arange(10) * 0.1, 0.1, "rest")
    assert re.findall(r'data-tip="([^"]*)"', drawn) == [
        "prompted a, 0.40 s to 0.80 s",
        "prompted b, 0.80 s to 1.00 s",
        "decided a, 0.50 s to 0.80 s",
    ]
    # The lanes of the minutes before the first decision are left out.
    late = timeline(truth, decided, 125 + np.arange(10) * 0.1, 0.1, "rest")
    assert late.count('class="lane"') == drawn.count('class="lane"')
    assert re.search(r'class="c\d" x="[\d.]*" y="0"', late)
    # A break of the stream ends a run.
    drawn = timeline(["a"] * 4, ["a"] * 4, [0.0, 0.1, 5.0, 5.1], 0.1, "rest")
    assert drawn.count('data-tip="decided a') == 2


def test_histogram_and_counts():
    drawn = histogram([1.0, 1.0, 3.0, float("nan")], "ms", {"p50": 1.0})
    assert sum(int(n) for n in re.findall(r'data-tip="[^"]*: (\d+) decisions', drawn)) == 3
    assert histogram([], "ms", {}) == ""
    counts, names = counts_matrix(np.array(["a", "a", "b"]), np.array(["a", "c", "b"]))
    assert names == ["a", "b", "c"]
    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
