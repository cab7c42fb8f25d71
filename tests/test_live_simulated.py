"""The simulated source: a person who performs requested gestures, the same for the same seed and clock."""

import numpy as np
import pytest

from myograph import Windowing
from myograph.datasets import load
from myograph.datasets.simulation.performer import Performer, Wearer
from myograph.errors import ConfigError, SourceError, UnknownNameError
from myograph.live import Decoder, Session
from myograph.live.sources.base import Chunk, Gaps, Source, StreamInfo
from myograph.live.sources.simulated import MAINS_UV, RAIL_UV, Fault, Simulated

STILL = {"variability": 0.0, "drift": 0.0, "artefacts_per_min": 0.0}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def played(steps, script, **options):
    """(samples, first) of everything read while a script of (second, gesture) is performed, read at these seconds."""
    clock = Clock()
    source = Simulated(clock=clock, **options)
    source.open()
    chunks, events = [], [(t, None) for t in steps] + list(script)
    for second, gesture in sorted(events, key=lambda event: event[0]):
        clock.now = 100.0 + second
        if gesture is not None:
            source.perform(gesture)
        else:
            while (chunk := source.read()) is not None:
                chunks.append(chunk)
    return chunks


SCRIPT = [(0.333, "hand_close"), (1.5, "rest"), (1.55, "hand_open"), (2.2, "rest")]


def test_the_samples_do_not_depend_on_when_they_are_read():
    often = played(np.arange(0, 3.001, 0.004), SCRIPT, seed=3)
    stalled = played([*np.arange(0, 1, 0.01), 2.0, 3.0], SCRIPT, seed=3)
    assert len(stalled) < len(often)
    for chunks in (often, stalled):
        assert [c.first for c in chunks] == np.cumsum([0, *(c.samples.shape[1] for c in chunks)])[:-1].tolist()
    one, other = (np.hstack([c.samples for c in chunks]) for chunks in (often, stalled))
    assert one.shape == (12, 3000)
    np.testing.assert_array_equal(one, other)
    again = np.hstack([c.samples for c in played([3.0], SCRIPT, seed=4)])
    assert not np.array_equal(one[:, : again.shape[1]], again)


def test_it_is_read_at_its_pace_and_faster():
    for speed, expected in ((1.0, 500), (4.0, 2000)):
        chunks = played([0.5], [], speed=speed)
        assert sum(c.samples.shape[1] for c in chunks) == expected
        assert chunks[-1].stamps[-1] - chunks[0].stamps[0] == pytest.approx((expected - 1) / 1000 / speed)


@pytest.mark.parametrize(("n_channels", "shape"), [(8, (1, 8)), (16, (1, 16)), (64, (4, 16)), (192, (8, 24))])
def test_channels_and_layout(n_channels, shape):
    info = Simulated(n_channels=n_channels, rate_hz=2000.0).open()
    assert (info.n_channels, info.rate_hz, info.unit, len(info.channels)) == (n_channels, 2000.0, "uV", n_channels)
    assert info.layout.shape == shape


def hold(wearer, gesture, seconds=4.0, effort=1.0):
    """The (channel, time) samples of a held gesture, without its onset."""
    person = Performer(wearer)
    person.perform(gesture, 0, effort)
    samples = np.hstack([person.block() for _ in range(round(seconds * 100))])
    return samples[:, round(1.2 * wearer.rate_hz) :]


def rms(samples):
    return np.sqrt((samples.astype(float) ** 2).mean(axis=-1))


@pytest.mark.parametrize("gesture", ["hand_close", "hand_open", "wrist_flexion"])
def test_the_person_is_the_one_of_the_simulated_recordings(gesture):
    options = {"variability": 0.0, "artefacts_per_min": 0.0, "hold_s": 4.0, "n_sessions": 1, "n_repetitions": 2}
    (recorded,) = load("simulated", subjects="1", n_gestures=4, **options)
    label = recorded.label_names.index(gesture)
    live = rms(hold(Wearer(**STILL), gesture))
    offline = rms(recorded.signal[:, recorded.label == label])
    # The recording includes ramps, and both have random discharge times.
    np.testing.assert_allclose(np.log(live / live.mean()), np.log(offline / offline.mean()), atol=0.3)
    assert live.mean() / offline.mean() == pytest.approx(1.1, abs=0.25)
    other = rms(hold(Wearer(subject=2, **STILL), gesture))
    assert np.abs(np.log(other / other.mean()) - np.log(offline / offline.mean())).max() > 0.3


def test_a_decoder_of_recordings_follows_the_person():
    recordings = load("simulated", subjects="1", n_sessions=1, n_gestures=4)
    decoder = Decoder.fit(recordings, "lda", windowing=Windowing(200, 50))
    session = Session(decoder, Simulated(speed=float("inf")))
    session.open()
    right = []
    for gesture in [*decoder.classes, *decoder.classes]:
        session.source.perform(gesture)
        names = [name for _ in range(200) for name in session.step().decisions.names]
        right.append(np.mean(np.array(names[-20:]) == gesture))
        session.source.perform("rest")
        for _ in range(100):
            session.step()
    assert np.mean(right) > 0.8
    session.close()


def test_effort_displacement_and_fatigue_change_the_signal():
    usual = rms(hold(Wearer(**STILL), "hand_close"))
    assert rms(hold(Wearer(**STILL), "hand_close", effort=0.3)).mean() < 0.7 * usual.mean()
    turned = rms(hold(Wearer(rotation_deg=30.0, **STILL), "hand_close"))  # 30 degrees: the distance of two electrodes
    # Each electrode has its own gain, of 8 % (1 sd).
    assert np.abs(np.log(turned / np.roll(usual, -1))).mean() < 0.2 < np.abs(np.log(turned / usual)).mean()
    moved = rms(hold(Wearer(shift_mm=25.0, **STILL), "hand_close"))
    assert np.abs(np.log(moved / usual)).mean() > 0.1


def median_frequency(samples, rate_hz):
    power = (np.abs(np.fft.rfft(samples, axis=1)) ** 2).sum(axis=0)
    return np.searchsorted(power.cumsum(), power.sum() / 2) * rate_hz / samples.shape[1]


def test_fatigue_lowers_the_median_frequency():
    found = {}
    for fatigue in (0.0, 12.0):
        samples = hold(Wearer(fatigue=fatigue, **STILL), "hand_close", seconds=12.0)
        found[fatigue] = median_frequency(samples[:, -6000:], 1000.0)
    assert found[12.0] < 0.93 * found[0.0]


def test_the_person_reacts_after_a_delay():
    levels = {}
    for delay in (0.1, 0.8):
        person = Performer(Wearer(reaction_s=(delay, delay), **STILL))
        person.perform("hand_close", 0)
        samples = np.hstack([person.block() for _ in range(70)])
        levels[delay] = rms(samples[:, 500:]).mean()
    assert levels[0.1] > 3 * levels[0.8]


def test_a_request_replaces_those_that_would_begin_later():
    person = Performer(Wearer(reaction_s=(0.1, 0.5), seed=1, **STILL))
    for sample in range(0, 2000, 20):  # somebody who presses keys at random
        person.perform(("hand_close", "rest")[sample // 20 % 2], sample)
    samples = np.hstack([person.block() for _ in range(500)])
    assert rms(samples[:, 3500:]).mean() < 8.0  # the last request was rest


def test_electrodes_can_be_displaced_on_the_way():
    source = Simulated(speed=float("inf"), **STILL)
    source.open()
    source.perform("hand_close")
    before = np.hstack([source.read().samples for _ in range(400)])[:, 1500:]
    source.move_electrodes(rotation_deg=90.0)
    after = np.hstack([source.read().samples for _ in range(300)])[:, 500:]
    assert np.abs(np.log(rms(after) / rms(before))).max() > 0.5
    assert [a.gesture for a in source.asked] == ["hand_close"]


def test_faults():
    faults = (Fault(0), Fault(1, "rail", 0.5), Fault(2, "noise", 0.0, 0.5), Fault(3, "mains"))
    chunks = played([1.0], [], faults=faults, noise_uv=1.0, mains_uv=0.0, artefacts_per_min=0.0)
    s = np.hstack([chunk.samples for chunk in chunks])
    assert (s[0] == 0).all()
    assert (s[1, 500:] == RAIL_UV).all()
    assert np.abs(s[1, :500]).max() < 100
    assert rms(s[2, :500]) > 10 * rms(s[2, 500:])
    spectrum = np.abs(np.fft.rfft(s[3])) * 2 / 1000
    assert spectrum.argmax() == 50
    assert spectrum[50] == pytest.approx(MAINS_UV, rel=0.05)
    with pytest.raises(ConfigError, match="'dead', 'rail', 'noise' or 'mains'"):
        Fault(0, "broken")
    with pytest.raises(ConfigError, match="below 12"):
        Simulated(faults=(Fault(12),))


def test_a_prompt_is_answered_as_fast_by_a_person_whose_reader_is_late():
    """What is asked for after the first second is performed in the second one, whenever that second is read."""
    loud = []
    for late_s in (0.0, 5.0):
        clock = Clock()
        source = Simulated(clock=clock, seed=1, reaction_s=(0.2, 0.2))
        source.open()
        clock.now += 1.0 + late_s
        read = [source.read().samples for _ in range(10)]
        source.perform("hand_close", at=1000)
        clock.now += 1.0
        read += [source.read().samples for _ in range(10)]
        loud.append(np.hstack(read))
    np.testing.assert_array_equal(*loud)
    assert loud[0][:, 1500:].std() > 3 * loud[0][:, :1000].std()


def test_lost_packets_and_a_late_reader_are_gaps():
    clock = Clock()
    source = Simulated(clock=clock, loss=0.2, seed=1)
    whole = Simulated(clock=clock, seed=1)
    source.open()
    whole.open()
    clock.now += 3.0
    complete = np.hstack([whole.read().samples for _ in range(30)])
    assert complete.shape[1] == 3000  # in chunks of 100 ms at most
    assert whole.read() is None
    keeper = Gaps("fill", most_ms=1000).start(12, 1000.0)
    seen = 0
    while (chunk := source.read()) is not None:
        np.testing.assert_array_equal(chunk.samples, complete[:, chunk.first :][:, : chunk.samples.shape[1]])
        keeper.take(chunk)
        seen += chunk.samples.shape[1]
    assert 2000 < seen < 2800
    assert keeper.counts["filled"] == keeper.next - seen > 0
    clock.now += 60.0
    assert whole.read().first == 3000 + 50_000  # a buffer of 10 s


def test_what_cannot_be():
    with pytest.raises(ConfigError, match=r"n_channels must be one of .*12"):
        Simulated(n_channels=7)
    with pytest.raises(ConfigError, match="reaction_s"):
        Simulated(reaction_s=(0.4, 0.1))
    with pytest.raises(ConfigError, match=r"open\(\)"):
        Simulated().perform("rest")
    source = Simulated()
    source.open()
    with pytest.raises(UnknownNameError, match="hand_close"):
        source.perform("hand_closed")
    with pytest.raises(ConfigError, match="effort"):
        source.perform("hand_close", -1.0)


# A session that is stepped, and a device that goes away


class Flaky(Source):
    """Chunks of a signal; an error where the plan says so, after which the device counts as the plan says."""

    def __init__(self, signal, plan):
        self.signal, self.plan, self.opened = signal, list(plan), 0

    def open(self):
        self.opened += 1
        if self.plan and self.plan[0] == "closed":
            self.plan.pop(0)
            raise SourceError("nobody answers")
        return StreamInfo(self.signal.shape[0], 1000.0, "uV", name="flaky")

    def read(self):
        part = self.plan.pop(0)
        if part == "lost":
            raise SourceError("the plug was pulled")
        start, stop, first = part
        return Chunk(self.signal[:, start:stop], first, np.zeros(stop - start))


@pytest.fixture(scope="module")
def small():
    (recording,) = load("simulated", subjects="1", n_sessions=1, n_gestures=2, n_repetitions=2)
    return recording, Decoder.fit(recording, "lda", windowing=Windowing(100, 20))


def stepped(session, n):
    session.open()
    found = []
    while len(found) < n:
        if (piece := session.step()) is not None:
            found.append(piece)
    return found


@pytest.mark.parametrize("counts_on", [True, False])
def test_a_connection_is_made_again(small, counts_on):
    recording, decoder = small
    plan = [
        (0, 500, 0),
        "lost",
        "closed",
        "closed",
        (700, 1300, 700 if counts_on else 0),
        (1300, 1400, 1300 if counts_on else 600),
    ]
    source = Flaky(recording.signal, plan)
    session = Session(decoder, source, reconnect_s=60.0)
    pieces = stepped(session, 3)
    assert source.opened == 4
    assert [p.first for p in pieces] == ([0, 700, 1300] if counts_on else [0, 500, 1100])
    assert [p.restarted for p in pieces] == [True, True, False]
    assert session.counts["restarts"] == 1
    assert session.counts["lost"] == (200 if counts_on else 0)
    stream = decoder.stream()
    assert pieces[0].decisions == stream.push(recording.signal[:, :500])
    stream.reset(700 if counts_on else 500)
    assert pieces[1].decisions == stream.push(recording.signal[:, 700:1300])
    assert pieces[2].decisions == stream.push(recording.signal[:, 1300:1400])


def test_nothing_is_lost_where_the_device_kept_its_samples(small):
    recording, decoder = small
    source = Flaky(recording.signal, [(0, 500, 0), "lost", (500, 900, 500)])
    session = Session(decoder, source, Gaps("refuse"), reconnect_s=60.0)
    first, second = stepped(session, 2)
    stream = decoder.stream()
    assert first.decisions == stream.push(recording.signal[:, :500])
    assert second.decisions == stream.push(recording.signal[:, 500:900])
    assert session.counts["restarts"] == 0


def test_a_lost_connection_is_an_error_where_nobody_waits(small):
    recording, decoder = small
    session = Session(decoder, Flaky(recording.signal, [(0, 500, 0), "lost"]))
    with pytest.raises(SourceError, match="plug"):
        stepped(session, 2)


def test_a_device_that_starts_again_is_noticed(small):
    recording, decoder = small
    plan = [(0, 1500, 0), (1500, 1600, 1300), (1500, 2000, 0)]  # 100 late samples, then a device that counts from 0
    session = Session(decoder, Flaky(recording.signal, plan))
    pieces = stepped(session, 3)
    assert (session.counts["repeated"], session.counts["restarts"]) == (100, 1)
    assert pieces[2].restarted
    assert pieces[2].first == 1500
    assert pieces[2].decisions.start[0] == 1500


def test_a_session_without_a_decoder_and_a_change_of_decoders(small):
    recording, decoder = small
    session = Session(None, Flaky(recording.signal, [(0, 500, 0), (500, 900, 500), (900, 1000, 900)]))
    (piece,) = stepped(session, 1)
    assert piece.decisions is None
    np.testing.assert_array_equal(piece.samples, recording.signal[:, :500])
    session.use(decoder)
    stream = decoder.stream()
    stream.reset(500)
    assert session.step().decisions == stream.push(recording.signal[:, 500:900])
    session.use(None)
    assert session.step().decisions is None
    with pytest.raises(ConfigError, match="decoder"):
        next(Session(None, Simulated()).run())
