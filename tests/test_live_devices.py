"""Every source driven by a process that jitters, drifts, stalls, loses, repeats and disconnects: live equals offline."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from conftest import make_recording
from myograph import Recording, Windowing
from myograph.errors import ConfigError, MissingExtraError, SourceError, UnknownNameError
from myograph.live import Decisions, Decoder, MajorityVote, Session
from myograph.live.sources.base import Gaps
from myograph.live.sources.brainflow import BrainFlow, number
from myograph.live.sources.lsl import Lsl
from myograph.live.sources.replay import Replay
from myograph.live.sources.udp import Udp
from myograph.preprocessing import HighPass

RATE_HZ = 500.0
DEVICE = Path(__file__).with_name("fake_device.py")
PATIENCE_S = 60.0  # against a test that hangs; nothing is measured


def recording(seed, **options):
    options = {"names": ("rest", "fist", "open"), "n_repetitions": 3, "rate_hz": RATE_HZ} | options
    return make_recording(np.random.default_rng(seed), **options)


@pytest.fixture(scope="module")
def decoder():
    return Decoder.fit([recording(1)], "lda", filters=HighPass(20), windowing=Windowing(120, 40), post=MajorityVote(3))


@pytest.fixture(scope="module")
def signal():
    found = recording(2, n_repetitions=6).signal[:, :2000].astype(np.float32)
    assert found.shape == (4, 2000)
    return found


@pytest.fixture(scope="module")
def quiet_lsl(tmp_path_factory):
    """LSL that other streams in the network do not see; liblsl reads the file when it is used for the first time."""
    pytest.importorskip("pylsl", exc_type=ImportError)
    path = tmp_path_factory.mktemp("lsl") / "lsl.cfg"
    path.write_text(
        "[ports]\nIPv6 = disable\n[multicast]\nResolveScope = machine\n"
        f"[lab]\nSessionID = {secrets.token_hex(8)}\n[log]\nlevel = -3\n"
    )
    before = os.environ.get("LSLAPICFG")
    os.environ["LSLAPICFG"] = str(path)
    yield
    if before is None:
        del os.environ["LSLAPICFG"]


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def bad_plan(n, seed, packet=(3, 40)):
    """Packets of random lengths with jitter, two that come twice and two in the wrong order, and a stall of a second."""
    rng = np.random.default_rng(seed)
    cuts = [0]
    while cuts[-1] < n:
        cuts.append(min(cuts[-1] + int(rng.integers(*packet)), n))
    plan = [list(pair) for pair in pairwise(cuts)]
    for i in sorted(rng.choice(np.arange(5, len(plan) - 5), 8, replace=False).tolist(), reverse=True):
        plan.insert(i, {"pause": float(rng.uniform(0, 0.05))})
    return plan


class Heard:
    """Steps of a session until sample `until` has arrived, with everything that it gave."""

    def __init__(self, session, until, device=None, slow_s=0.0):
        self.session, self.pieces = session, []
        session.open()
        process = None if device is None else start(device)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not self.pieces or self.pieces[-1].first + self.pieces[-1].samples.shape[1] < until:
                assert time.monotonic() < deadline, f"only {len(self.pieces)} pieces arrived"
                if (piece := session.step()) is None:
                    time.sleep(0.001)
                    continue
                self.pieces.append(piece)
                if slow_s:
                    time.sleep(slow_s)
                    slow_s = 0.0
        finally:
            self.counts = dict(session.counts)
            session.close()
            if process is not None:
                process.kill()
                process.wait()

    @property
    def decisions(self):
        return Decisions.concatenate([p.decisions for p in self.pieces])

    def assert_as_offline(self, decoder):
        """The decisions are those of `decide` for the recorded samples, to the last bit, and none was made twice."""
        starts = [i for i, p in enumerate(self.pieces) if p.restarted]
        found = []
        for a, b in pairwise([*starts, len(self.pieces)]):
            samples = np.hstack([p.samples for p in self.pieces[a:b]])
            first = self.pieces[a].first
            offline = decoder.decide(Recording(samples, RATE_HZ, None, "1", unit=decoder.unit))
            found.append(
                replace(
                    offline,
                    start=offline.start + first,
                    stop=offline.stop + first,
                    time_s=(offline.stop + first) / RATE_HZ,
                )
            )
        assert self.decisions == Decisions.concatenate(found)
        assert len(np.unique(self.decisions.stop)) == len(self.decisions) > 0


def start(device):
    kind, address, path, plan, ppm = device
    command = [sys.executable, str(DEVICE), kind, address, str(path), json.dumps(plan), str(RATE_HZ), str(ppm)]
    return subprocess.Popen(command)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, signal):
    path = tmp_path_factory.mktemp("device") / "signal.npy"
    np.save(path, signal)
    return path


# UDP


@pytest.mark.parametrize(("kind", "ppm"), [("udp", 200), ("lines", -200)])
def test_udp_jitter_drift_stall_repetition_and_order(decoder, signal, stored, kind, ppm):
    port = free_port()
    plan = bad_plan(2000, 1)
    packets = [i for i, part in enumerate(plan) if isinstance(part, list)]
    plan[packets[30] : packets[30]] = [{"pause": 1.0}]
    plan[packets[20] : packets[20]] = [plan[packets[18]], plan[packets[19]]]  # come twice
    source = Udp(4, RATE_HZ, "uV", port=port, protocol="binary" if kind == "udp" else "lines", timeout_s=15.0)
    heard = Heard(Session(decoder, source, Gaps("refuse")), 2000, (kind, f"127.0.0.1:{port}", stored, plan, ppm))
    heard.assert_as_offline(decoder)
    np.testing.assert_array_equal(np.hstack([p.samples for p in heard.pieces]), signal)
    assert (heard.counts["samples"], heard.counts["filled"], heard.counts["lost"]) == (2000, 0, 0)
    assert heard.counts["repeated"] > 0


def test_udp_gaps_and_a_stray_packet(decoder, signal, stored):
    port = free_port()
    plan = [[a, a + 20] for a in range(0, 2000, 20) if a not in (400, 1000, 1020, 1040, 1060, 1080)]
    plan[10:10] = [{"raw": "hello"}]
    source = Udp(4, RATE_HZ, "uV", port=port, timeout_s=15.0)
    heard = Heard(Session(decoder, source), 2000, ("udp", f"127.0.0.1:{port}", stored, plan, 0))
    heard.assert_as_offline(decoder)
    assert heard.counts == {"samples": 1880, "filled": 20, "lost": 100, "repeated": 0, "restarts": 1}
    assert not ((heard.decisions.start < 1100) & (heard.decisions.stop > 1000)).any()


def test_udp_first_packet_must_follow_the_protocol(decoder, stored):
    port = free_port()
    source = Udp(4, RATE_HZ, "uV", port=port, timeout_s=15.0)
    with pytest.raises(SourceError, match="text lines"):
        Heard(Session(decoder, source), 2000, ("lines", f"127.0.0.1:{port}", stored, [[0, 20]], 0))


@pytest.mark.parametrize("counts_on", [True, False])
def test_udp_disconnect_and_reconnect(decoder, signal, stored, counts_on):
    port = free_port()
    new = {"new": 1000 if counts_on else 0, "at": 1000, "off": 1.5}
    plan = [[a, a + 20] for a in range(0, 2000, 20)]
    plan[50:50] = [new]
    source = Udp(4, RATE_HZ, "uV", port=port, timeout_s=0.4)
    heard = Heard(Session(decoder, source, reconnect_s=60.0), 2000, ("udp", f"127.0.0.1:{port}", stored, plan, 0))
    heard.assert_as_offline(decoder)
    # On a busy machine, more may be lost while the source is closed for a moment.
    assert heard.counts["samples"] + heard.counts["lost"] + heard.counts["filled"] == 2000
    assert counts_on or heard.counts["restarts"] >= 1


def test_udp_backpressure(decoder, signal, stored):
    """A reader that sleeps for a second loses nothing: the operating system keeps the samples that arrive."""
    port = free_port()
    plan = [[a, a + 20] for a in range(0, 2000, 20)]
    source = Udp(4, RATE_HZ, "uV", port=port, timeout_s=15.0)
    heard = Heard(Session(decoder, source, Gaps("refuse")), 2000, ("udp", f"127.0.0.1:{port}", stored, plan, 0), 1.0)
    heard.assert_as_offline(decoder)
    np.testing.assert_array_equal(np.hstack([p.samples for p in heard.pieces]), signal)


# LSL


def lsl_device(stored, plan, ppm=0):
    name = f"fake-{secrets.token_hex(4)}"
    return name, ("lsl", name, stored, plan, ppm)


def heard_lsl(decoder, stored, plan, until, ppm=0, gaps=None, reconnect_s=0.0, slow_s=0.0, **options):
    name, device = lsl_device(stored, plan, ppm)
    process = start(device)
    try:
        session = Session(decoder, Lsl(name, timeout_s=30.0, **options), gaps or Gaps(), reconnect_s=reconnect_s)
        return Heard(session, until, slow_s=slow_s)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(("ppm", "slow_s"), [(200, 0.0), (-200, 1.0)])
def test_lsl_jitter_drift_stall_equal_stamps_and_backpressure(decoder, signal, stored, quiet_lsl, ppm, slow_s):
    plan = bad_plan(2000, 2)
    plan[30:30] = [{"pause": 1.0}]
    heard = heard_lsl(decoder, stored, plan, 2000, ppm, Gaps("refuse"), slow_s=slow_s)
    heard.assert_as_offline(decoder)
    # In millivolts on the way, in float32.
    np.testing.assert_allclose(np.hstack([p.samples for p in heard.pieces]), signal, rtol=1e-5, atol=1e-5)
    assert heard.session.info.channels == ("E1", "E2", "E3", "E4")
    assert heard.session.info.unit == "uV"


def test_lsl_gaps_are_found_by_the_devices_counter(decoder, stored, quiet_lsl):
    plan = [[a, a + 20] for a in range(0, 2000, 20) if a not in (400, 1000, 1020, 1040, 1060, 1080)]
    heard = heard_lsl(decoder, stored, plan, 2000, counter="COUNT", channels=("E1", "E2", "E3", "E4"))
    heard.assert_as_offline(decoder)
    assert heard.counts == {"samples": 1880, "filled": 20, "lost": 100, "repeated": 0, "restarts": 1}


def test_lsl_disconnect_and_reconnect(decoder, stored, quiet_lsl):
    plan = [[a, a + 20] for a in range(0, 2000, 20)]
    plan[50:50] = [{"new": 0, "at": 0, "off": 0.5}]
    heard = heard_lsl(decoder, stored, plan, 1900, reconnect_s=60.0)
    heard.assert_as_offline(decoder)
    assert heard.counts["restarts"] == 1


def test_lsl_what_is_not_there(quiet_lsl, stored):
    with pytest.raises(SourceError, match="found no stream of name 'nobody'"):
        Lsl("nobody", timeout_s=0.2).open()
    name, device = lsl_device(stored, [[0, 20]])
    process = start(device)
    try:
        with pytest.raises(SourceError, match=r"no channel 'E9'; it has E1, .*COUNT"):
            Lsl(name, channels=("E9",), timeout_s=30.0).open()
        with pytest.raises(SourceError, match="different units"):
            Lsl(name, channels=("E1", "COUNT"), timeout_s=30.0).open()
    finally:
        process.kill()
        process.wait()
    with pytest.raises(ConfigError, match="unit"):
        Lsl(unit="volt")


@pytest.mark.parametrize(("source", "module"), [(Lsl(), "pylsl"), (BrainFlow(), "brainflow")])
def test_what_is_not_installed_is_named(monkeypatch, source, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"myograph\[live\]"):
        source.open()


def test_a_missing_liblsl_is_named(monkeypatch, tmp_path):
    (tmp_path / "pylsl.py").write_text("raise RuntimeError('LSL binary library file was not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    with pytest.raises(MissingExtraError, match=r"liblsl.*conda-forge"):
        Lsl().open()
    sys.modules.pop("pylsl", None)


# BrainFlow

BOARD_RATE_HZ = 250.0


@pytest.fixture(scope="module")
def board_decoder():
    pytest.importorskip("brainflow")
    train = make_recording(
        np.random.default_rng(0), names=("rest", "fist", "open"), n_channels=16, rate_hz=BOARD_RATE_HZ, n_repetitions=3
    )
    return Decoder.fit([train], "lda", windowing=Windowing(200, 40))


def test_brainflow_synthetic_board(board_decoder):
    session = Session(board_decoder, BrainFlow("SYNTHETIC_BOARD", timeout_s=15.0), Gaps("refuse"))
    heard = Heard(session, 300)
    assert session.info.rate_hz == BOARD_RATE_HZ
    assert len(session.info.channels) == 16
    samples = np.hstack([p.samples for p in heard.pieces])
    offline = board_decoder.decide(Recording(samples, BOARD_RATE_HZ, None, "1", unit="uV"))
    assert heard.decisions == offline
    assert len(offline) > 10


def test_brainflow_numbers_over_gaps():
    counter = np.array([250, 251, 255, 0, 1, 1])
    stamps = np.array([0, 1, 5, 6, 7, 7 + 3 * 256]) / 250
    numbers, last = number(counter, stamps, 250.0, None)
    assert numbers.tolist() == [0, 1, 5, 6, 7, 7 + 3 * 256]
    assert number(np.array([4]), stamps[-1:] + 3 / 250, 250.0, last)[0].tolist() == [7 + 3 * 256 + 3]


def test_brainflow_playback_of_a_file_with_a_gap(board_decoder, tmp_path):
    from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams

    file = tmp_path / "board.csv"
    board = BoardShim(BoardIds.SYNTHETIC_BOARD.value, BrainFlowInputParams())
    board.prepare_session()
    board.add_streamer(f"file://{file}:w")
    board.start_stream()
    while board.get_board_data_count() < 400:
        time.sleep(0.01)
    recorded = board.get_board_data()
    board.stop_stream()
    board.release_session()
    rows = file.read_text().splitlines()[:400]
    file.write_text("\n".join(rows[:200] + rows[210:]) + "\n")
    source = BrainFlow("PLAYBACK_FILE_BOARD", file=str(file), master_board="SYNTHETIC_BOARD", timeout_s=15.0)
    heard = Heard(Session(board_decoder, source), 380)
    emg = recorded[BoardShim.get_emg_channels(BoardIds.SYNTHETIC_BOARD.value)]
    samples = np.hstack([p.samples for p in heard.pieces])[:, :380]
    np.testing.assert_allclose(samples[:, :200], emg[:, :200], atol=1e-5)
    np.testing.assert_allclose(samples[:, 210:380], emg[:, 210:380], atol=1e-5)
    np.testing.assert_array_equal(samples[:, 200:210], np.repeat(samples[:, 199:200], 10, axis=1))
    assert heard.counts["filled"] == 10


def test_brainflow_what_is_not_there():
    pytest.importorskip("brainflow")
    with pytest.raises(UnknownNameError, match="CYTON_BOARD"):
        BrainFlow("CYTON_BORD").open()
    with pytest.raises(SourceError, match="no EMG channels"):
        BrainFlow("MUSE_2_BOARD").open()
    with pytest.raises(SourceError, match="does not answer"):
        BrainFlow("CYTON_BOARD", serial_port="/dev/nothing").open()
    with pytest.raises(SourceError, match="16 EMG channels, got 16"):
        BrainFlow(channels=(16,)).open()


# replay


def test_replay_keeps_breaks_and_loops(decoder):
    test = replace(recording(3), breaks=(700, 1501))
    for chunk_ms in (4, 10_000):
        session = Session(decoder, Replay(test, float("inf"), chunk_ms))
        found = Decisions.concatenate(list(session.run()))
        assert found == decoder.decide(test)
    looped = Heard(Session(decoder, Replay(test, float("inf"), 100, loop=True)), 2 * test.n_samples)
    looped.assert_as_offline(decoder)
    n = len(decoder.decide(test))
    assert (looped.decisions.raw[:n] == looped.decisions.raw[n : 2 * n]).all()
    assert (looped.decisions.stop[n : 2 * n] == looped.decisions.stop[:n] + test.n_samples).all()
    assert looped.counts["lost"] == looped.counts["restarts"] == 0


def test_replay_several_times_as_fast():
    class Clock:
        now = 5.0

        def __call__(self):
            return self.now

    clock, test = Clock(), recording(3)
    source = Replay(test, speed=4.0, chunk_ms=10, clock=clock)
    source.open()
    assert source.read() is None
    clock.now += 0.125
    assert source.read().samples.shape[1] == 250
    clock.now += 1e6
    assert source.read().samples.shape[1] == test.n_samples - 250
