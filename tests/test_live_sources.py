"""Live samples: sources, gaps, and a device that misbehaves; what is decided equals what offline decides."""

import socket
import struct
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from conftest import make_recording
from myograph import Recording, Windowing
from myograph.errors import ConfigError, ShapeError, SignalError, SourceEnded, SourceError
from myograph.live import Decisions, Decoder, MajorityVote, Session
from myograph.live.sources import SOURCES, Chunk, Gaps
from myograph.live.sources.replay import Replay
from myograph.live.sources.udp import Udp, pack, parse

NAMES = ("rest", "fist", "open")


def recording(seed):
    return make_recording(np.random.default_rng(seed), names=NAMES, n_repetitions=3, rate_hz=500.0)


@pytest.fixture(scope="module")
def decoder():
    return Decoder.fit([recording(1)], "lda", windowing=Windowing(120, 40), post=MajorityVote(3))


def test_sources_are_found_by_name():
    assert {"replay", "udp"} <= set(SOURCES)


def decided(decoder, source, **options):
    session = Session(decoder, source, **options)
    return Decisions.concatenate(list(session.run())), session.counts


@pytest.mark.parametrize("chunk_ms", [2, 34, 10_000])
def test_a_replay_decides_as_offline(decoder, chunk_ms):
    test = recording(2)
    found, counts = decided(decoder, Replay(test, float("inf"), chunk_ms))
    assert found == decoder.decide(test)
    assert counts == {"samples": test.n_samples, "filled": 0, "lost": 0, "repeated": 0, "restarts": 0}
    assert (found.latency_ms >= 0).all()


def test_a_replay_keeps_its_pace(decoder):
    test = recording(2)
    begun = time.perf_counter()
    found, _ = decided(decoder, Replay(test, speed=20.0))
    assert time.perf_counter() - begun >= test.duration_s / 20
    assert found == decoder.decide(test)


def test_a_replay_again_starts_at_the_beginning_and_needs_open():
    source = Replay(recording(2), float("inf"), 10_000)
    with pytest.raises(ConfigError, match=r"open\(\)"):
        source.read()
    for _ in range(2):
        with source as info:
            assert info.rate_hz == 500
            assert source.read().first == 0
            with pytest.raises(SourceEnded):
                source.read()


def gapped(signal, missing):
    """Chunks of 25 samples without those that are missing."""
    for first in range(0, signal.shape[1], 25):
        if first not in missing:
            yield Chunk(signal[:, first : first + 25], first, np.zeros(25))


def run(decoder, chunks, gaps):
    keeper, stream, parts = gaps.start(decoder.n_channels, decoder.rate_hz), decoder.stream(), []
    for chunk in chunks:
        samples, restart = keeper.take(chunk)
        if restart is not None:
            stream.reset(restart)
        parts.append(stream.push(samples))
    return Decisions.concatenate(parts), keeper.counts


def test_gaps_are_filled_by_the_last_sample(decoder):
    signal = recording(2).signal[:, :1000]
    found, counts = run(decoder, gapped(signal, {200, 600}), Gaps("fill", most_ms=50))
    filled = signal.copy()
    for first in (200, 600):
        filled[:, first : first + 25] = filled[:, first - 1 : first]
    assert found == decoder.stream().push(filled)
    assert counts == {"samples": 950, "filled": 50, "lost": 0, "repeated": 0, "restarts": 0}


def test_no_window_spans_a_gap_that_restarts(decoder):
    test = recording(2)
    signal = test.signal[:, :1000]
    found, counts = run(decoder, gapped(signal, {200, 225, 600}), Gaps("fill", most_ms=50))
    before, after = decoder.stream(), decoder.stream()
    after.reset(250)
    bridged = signal[:, 250:].copy()
    bridged[:, 350:375] = bridged[:, 349:350]
    assert found == Decisions.concatenate([before.push(signal[:, :200]), after.push(bridged)])
    assert counts == {"samples": 925, "filled": 25, "lost": 50, "repeated": 0, "restarts": 1}
    assert not ((found.start < 250) & (found.stop > 200)).any()


def test_gaps_can_be_refused(decoder):
    with pytest.raises(SignalError, match="25 samples are missing before sample 225"):
        run(decoder, gapped(recording(2).signal, {200}), Gaps("refuse"))
    with pytest.raises(ConfigError, match="'fill', 'restart' or 'refuse'"):
        Gaps("hide")


def test_samples_that_come_twice_are_taken_once(decoder):
    signal = recording(2).signal[:, :500]
    chunks = [Chunk(signal[:, max(a - 13, 0) : a + 20], max(a - 13, 0), np.zeros(0)) for a in range(0, 500, 20)]
    found, counts = run(decoder, [*chunks, chunks[3]], Gaps("refuse"))
    assert found == decoder.stream().push(signal)
    assert counts["samples"] == 500
    assert counts["repeated"] == 24 * 13 + 33


def test_a_source_of_another_kind_is_refused(decoder):
    with pytest.raises(ShapeError, match="3 channels, the decoder was fitted on 4"):
        list(Session(decoder, Replay(make_recording(np.random.default_rng(0), n_channels=3, rate_hz=500.0))).run())
    with pytest.raises(SignalError, match="200 Hz"):
        list(Session(decoder, Replay(make_recording(np.random.default_rng(0)))).run())


# UDP


def test_packets_by_hand():
    packet = b"MYO1" + struct.pack("<IHH", 7, 2, 3) + struct.pack("<6f", 1, 10, 2, 20, 3, 30)
    ((first, samples),) = parse(packet, 2, "binary")
    assert first == 7
    assert samples.tolist() == [[1, 2, 3], [10, 20, 30]]
    assert pack(7, samples) == packet
    runs = parse(b"0,1,2\n1,3,4\n5,5,6\n", 2, "lines")
    assert [(f, s.tolist()) for f, s in runs] == [(0, [[1, 3], [2, 4]]), (5, [[5], [6]])]


@pytest.mark.parametrize(
    ("packet", "protocol", "said"),
    [
        (b"0,1,2\n", "binary", "text lines"),
        (b"MYO1", "binary", "must start with"),
        (pack(0, np.zeros((2, 3)))[:-1], "binary", "incomplete"),
        (pack(0, np.zeros((3, 3))), "binary", "3 channels, expected 2"),
        (b"0,1\n", "lines", "1 channels"),
        (b"a,1,2\n", "lines", "index,value"),
        (b"\xff\xfe", "lines", "index,value"),
    ],
)
def test_packets_that_do_not_follow_the_protocol(packet, protocol, said):
    with pytest.raises(SourceError, match=said):
        parse(packet, 2, protocol)


def device(address, signal, plan):
    """A device: sends the (first, stop) stretches of the plan in their order; a number is a pause in seconds."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for part in plan:
        if isinstance(part, float):
            time.sleep(part)
        else:
            sender.sendto(pack(part[0], signal[:, part[0] : part[1]]), address)
    sender.close()


def heard(decoder, signal, plan, timeout_s=4.0, **options):
    source = Udp(4, 500.0, "uV", port=0, timeout_s=timeout_s)
    session = Session(decoder, source, **options)
    parts = []
    sending = None
    original = source.open

    def open_and_send():
        nonlocal sending
        info = original()
        sending = threading.Thread(target=device, args=(source.address, signal, plan), daemon=True)
        sending.start()
        return info

    object.__setattr__(source, "open", open_and_send)
    with pytest.raises(SourceError, match="no packet"):
        parts.extend(session.run())
    sending.join()
    return Decisions.concatenate(parts), session.counts


def test_a_device_that_stalls_jitters_and_repeats_decides_as_offline(decoder):
    signal = recording(2).signal[:, :1500]
    rng = np.random.default_rng(0)
    cuts = [0, *np.sort(rng.choice(np.arange(1, 1500), 80, replace=False)).tolist(), 1500]
    plan = list(pairwise(cuts))
    plan[40:40] = [0.6]  # a stall
    plan[20:20] = [plan[18], plan[19]]  # two packets come twice
    found, counts = heard(decoder, signal, plan)
    assert found == decoder.stream().push(signal)
    assert (counts["samples"], counts["lost"], counts["filled"]) == (1500, 0, 0)
    assert counts["repeated"] > 0
    assert len(np.unique(found.stop)) == len(
        found
    )  # no decision twice, as after the stall of a loop over the newest window


def test_a_lost_packet_is_a_gap_counted_in_samples(decoder):
    signal = recording(2).signal[:, :1000]
    plan = [(a, a + 20) for a in range(0, 1000, 20) if a != 400]
    found, counts = heard(decoder, signal, plan)
    filled = signal.copy()
    filled[:, 400:420] = filled[:, 399:400]
    assert found == decoder.stream().push(filled)
    assert (counts["samples"], counts["filled"]) == (980, 20)


def test_a_port_in_use_is_said():
    with Udp(2, 500.0, port=0) as _:
        pass
    first = Udp(2, 500.0, port=0)
    first.open()
    try:
        with pytest.raises(SourceError, match="cannot listen"):
            Udp(2, 500.0, port=first.address[1]).open()
    finally:
        first.close()


def test_unlabelled_recordings_are_decided_too(decoder):
    test = recording(2)
    bare = Recording(test.signal, test.rate_hz, None, "1")
    assert decoder.decide(bare) == decoder.decide(test)
