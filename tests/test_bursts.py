import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sps

from myograph.errors import ConfigError, ShapeError, SignalError, WindowError
from myograph.preprocessing.bursts import Baseline, BurstDetector, Bursts, EnergyStream, teager_kaiser
from myograph.recording import Recording
from myograph.windows import Windows

RATE = 1000.0


def rec(signal, label=None, rate_hz=RATE, **options):
    signal = np.atleast_2d(signal)
    label = np.zeros(signal.shape[1], int) if label is None else label
    return Recording(signal, rate_hz, label, "1", **options)


def simulate(rng, snr_db, n_bursts=60, n_channels=1, high_hz=450.0):
    """Band-limited bursts on band-limited noise: recording, onsets and offsets in samples."""
    gap, length = rng.uniform(0.7, 2.0, n_bursts + 1), rng.uniform(0.3, 1.2, n_bursts)
    onset = np.cumsum(gap[:-1]) + np.cumsum(length) - length
    t = np.arange(int((onset[-1] + length[-1] + gap[-1]) * RATE)) / RATE
    active = ((t >= onset[:, None]) & (t < (onset + length)[:, None])).any(axis=0)

    def band(high):
        sos = sps.butter(4, (20, high), "band", fs=RATE, output="sos")
        x = sps.sosfilt(sos, rng.standard_normal((n_channels, len(t) + 500)))[:, 500:]
        return x / x.std()

    return rec(10 * (band(450.0) + 10 ** (snr_db / 20) * active * band(high_hz))), onset * RATE, (onset + length) * RATE


def test_teager_kaiser_of_a_sine_is_exact():
    w = 0.3
    x = 5 * np.sin(w * np.arange(50) + 1)
    np.testing.assert_allclose(teager_kaiser(x), 25 * np.sin(w) ** 2, rtol=1e-10)
    assert teager_kaiser(np.array([[1.0, 3, 2, 5]])).tolist() == [[9 - 2, 4 - 15]]
    with pytest.raises(ShapeError, match="three samples"):
        teager_kaiser(np.ones(2))


@pytest.mark.parametrize("width", [1, 2, 5, 7, 8, 15, 80, 97, 500])
@pytest.mark.parametrize("n_channels", [1, 3, 4, 9])
def test_smoothed_energy_against_its_definition(width, n_channels):
    rng = np.random.default_rng(width)
    x = rng.standard_normal((n_channels, 400)) * np.where(np.arange(400) < 100, 1e5, 1)
    got = EnergyStream(n_channels, width).push(x)
    psi = np.abs(teager_kaiser(np.concatenate([x[:, :1], x], axis=1)))
    want = np.stack([psi[:, max(0, i - width + 1) : i + 1].mean(axis=1) for i in range(399)], axis=1)
    # Rest after a burst ten thousand million times its energy: a running sum fails here.
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("smooth_ms", [80.0, 97.0])
def test_detection_against_its_definition(dtype, smooth_ms):
    """Baseline of the quietest three tenths of the quarter seconds, then votes, by plain NumPy."""
    recording, *_ = simulate(np.random.default_rng(5), 12, n_bursts=20, n_channels=4)
    x, width = recording.signal.astype(dtype), round(smooth_ms)
    energy = EnergyStream(4, width).push(x)
    n = energy.shape[1] // 250
    parts = energy[:, : n * 250].reshape(4, n, 250)
    quiet = [c[np.argsort(c.mean(axis=1))[: round(0.3 * n)]].ravel() for c in parts]
    baseline = BurstDetector(smooth_ms=smooth_ms).calibrate(rec(x))
    np.testing.assert_allclose(baseline.mean, [q.mean() for q in quiet], rtol=1e-12)
    np.testing.assert_allclose(baseline.sd, [q.std() for q in quiet], rtol=1e-10)
    limit = baseline.mean + 7 * baseline.sd
    for vote, needed in ((0.0, 1), (0.5, 2), (1.0, 4)):
        detector = BurstDetector(smooth_ms=smooth_ms, vote=vote, gap_ms=0, min_duration_ms=0)
        active = (energy > limit[:, None]).sum(axis=0) >= needed
        edges = np.flatnonzero(np.diff(active, prepend=False, append=False))
        # A lull of one sample, the shortest gap there is, does not end a burst.
        apart = edges[2::2] - edges[1:-1:2] > 1
        onsets = edges[::2][np.append(True, apart)]
        np.testing.assert_array_equal(detector.detect(rec(x))[:, 0], onsets)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_stream_equals_offline(data):
    seed, n_channels = data.draw(st.integers(0, 2**31)), data.draw(st.integers(1, 6))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    recording, *_ = simulate(np.random.default_rng(seed), 12, n_bursts=3, n_channels=n_channels)
    signal = recording.signal.astype(dtype)
    cuts = sorted(data.draw(st.lists(st.integers(0, signal.shape[1]), max_size=15)))
    detector = BurstDetector(
        k=data.draw(st.sampled_from([1.0, 7.0])),
        smooth_ms=data.draw(st.sampled_from([1.0, 13.0, 80.0])),
        m_of_n=data.draw(st.sampled_from([(1, 1), (3, 5), (20, 20)])),
        vote=data.draw(st.sampled_from([0.0, 0.5, 1.0])),
        gap_ms=data.draw(st.sampled_from([0.0, 30.0, 250.0])),
        min_duration_ms=data.draw(st.sampled_from([0.0, 150.0])),
        refractory_ms=data.draw(st.sampled_from([0.0, 700.0])),
        baseline_s=data.draw(st.sampled_from([None, 0.3])),
    )
    recording = rec(signal)
    offline = detector.detect(recording)
    baseline = None if detector.baseline_s else detector.calibrate(recording)
    stream = detector.stream(RATE, n_channels, baseline)
    live = [stream.push(chunk) for chunk in np.split(signal, cuts, axis=1)]
    np.testing.assert_array_equal(np.concatenate([*live, stream.finish()]), offline)
    energy, whole = EnergyStream(n_channels, 13), EnergyStream(n_channels, 13).push(signal)
    pieces = np.concatenate([energy.push(chunk) for chunk in np.split(signal, cuts, axis=1)], axis=1)
    np.testing.assert_array_equal(pieces, whole)


@pytest.mark.parametrize(("snr_db", "f1_bar", "error_bar_ms"), [(20, 0.99, 15), (10, 0.97, 25), (6, 0.90, 40)])
@pytest.mark.parametrize("high_hz", [450.0, 250.0])
def test_simulated_bursts_with_known_onsets(snr_db, f1_bar, error_bar_ms, high_hz):
    hits = found = known = 0
    errors, offset_errors = [], []
    for seed in range(4):
        recording, onset, offset = simulate(np.random.default_rng(seed), snr_db, high_hz=high_hz)
        bursts = BurstDetector().detect(recording)
        nearest = np.abs(bursts[:, :1] - onset).argmin(axis=1)
        _, first = np.unique(nearest, return_index=True)  # a burst found twice counts once
        error = bursts[first, 0] - onset[nearest[first]]
        right = np.abs(error) <= 250
        hits, found, known = hits + right.sum(), found + len(bursts), known + len(onset)
        errors.extend(np.abs(error[right]))
        offset_errors.extend(np.abs(bursts[first, 1] - offset[nearest[first]])[right])
    assert 2 * hits / (found + known) >= f1_bar
    assert np.median(errors) <= error_bar_ms
    assert np.median(offset_errors) <= error_bar_ms


def steps(*intervals, n=4000):
    """1 1 -1 -1 ... in the given intervals (psi = 2, 1 at both ends), zeros elsewhere (psi = 0)."""
    active = np.zeros(n)
    for start, stop in intervals:
        active[start:stop] = 1
    return active * np.where(np.arange(n) // 2 % 2, 1.0, -1.0)


NOTHING = Baseline(np.array([0.0]), np.array([0.01]))


def times(signal, **options):
    defaults = {"smooth_ms": 1.0, "gap_ms": 50.0, "min_duration_ms": 0.0}
    return BurstDetector(**{**defaults, **options}).detect(rec(signal), NOTHING).tolist()


def test_durations_gaps_and_refractory_time_by_hand():
    two = steps((1000, 1200), (1230, 1400))
    assert times(two) == [[1000, 1400]]  # a lull of 30 ms is bridged
    assert times(two, gap_ms=20.0) == [[1000, 1200], [1230, 1400]]
    short = steps((500, 560), (1000, 1400))
    assert times(short, min_duration_ms=100.0) == [[1000, 1400]]
    assert times(short) == [[500, 560], [1000, 1400]]
    assert times(short, refractory_ms=600.0) == [[500, 560], [1160, 1400]]
    assert times(short, refractory_ms=1000.0) == [[500, 560]]
    assert times(steps((3900, 4000))) == [[3900, 3999]]  # cut short by the end
    assert times(steps()) == []


def test_gaps_and_durations_at_their_limits():
    assert times(steps((1000, 1200), (1250, 1400))) == [[1000, 1400]]  # gap_ms is 50
    assert times(steps((1000, 1200), (1252, 1400))) == [[1000, 1200], [1252, 1400]]
    assert times(steps((500, 560)), min_duration_ms=60.0) == [[500, 560]]
    assert times(steps((500, 560)), min_duration_ms=61.0) == []


def test_label_of_a_window_is_that_at_its_middle():
    signal, detector = steps((1000, 1400), (2000, 2400)), BurstDetector(smooth_ms=1.0, gap_ms=50.0, k=1.0)
    label = np.where(np.arange(4000) < 1100, 0, 1)  # changes within the first window's first half
    table = Windows.cut(rec(signal, label, label_names=("a", "b")), Bursts(400.0, detector)).table
    assert table["start"].tolist() == [1000, 2000]
    assert table["label"].tolist() == ["b", "b"]


def test_m_of_n_by_hand():
    clicks = steps(*[(1000 + 10 * i, 1002 + 10 * i) for i in range(5)], (2000, 2300))
    assert len(times(clicks, gap_ms=5.0)) == 6
    # Eight of ten: reached eight samples into the long step, left three after its end.
    assert times(clicks, gap_ms=5.0, m_of_n=(8, 10)) == [[2007, 2302]]


def test_voting():
    x = np.stack([steps((500, 900), (2000, 2400)), steps((2000, 2400)), steps((2000, 2200))])
    baseline = Baseline(np.zeros(3), np.full(3, 0.01))
    onsets = {
        vote: BurstDetector(smooth_ms=1.0, vote=vote).detect(rec(x), baseline).tolist() for vote in (0.0, 0.5, 1.0)
    }
    assert onsets == {
        0.0: [[500, 900], [2000, 2400]],
        0.5: [[2000, 2400]],
        1.0: [[2000, 2200]],
    }


def test_live_onset_and_baseline():
    detector = BurstDetector(baseline_s=1.0, smooth_ms=10.0)
    stream = detector.stream(RATE, 1)
    rng = np.random.default_rng(0)
    rest = rng.standard_normal((1, 1000))
    assert len(stream.push(rest)) == 0
    assert stream.baseline is None  # one sample behind
    stream.push(rng.standard_normal((1, 200)))
    assert stream.baseline is not None
    assert stream.baseline.mean == pytest.approx(np.abs(teager_kaiser(rest)).mean(), rel=0.02)
    assert stream.onset is None
    stream.push(50 * rng.standard_normal((1, 200)))
    assert abs(stream.onset - 1200) <= 3
    assert len(stream.push(rng.standard_normal((1, 500)))) == 1


def test_bursts_windowing_numbers_repetitions_per_label():
    rng = np.random.default_rng(1)
    recording, onset, _ = simulate(rng, 20, n_bursts=9)
    label = np.where(np.arange(recording.n_samples) < onset[4] - 100, 0, 1)
    label[int(onset[8]) - 100 :] = -1
    named = rec(recording.signal, label, label_names=("a", "b", "other"))
    windows = Windows.cut(named, Bursts(length_ms=300))
    assert windows.shape == (8, 1, 300)
    assert windows.table["repetition"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
    assert windows.y.tolist() == ["a"] * 4 + ["b"] * 4
    assert np.abs(windows.table["start"] - onset[:8]).max() < 40
    assert (windows.table["position"] == 0).all()
    more = Windows.cut(named, Bursts(length_ms=300, unlabelled_as="other"))
    assert more.y.tolist()[-1] == "other"
    assert more.table["repetition"].tolist()[-1] == 1
    with pytest.raises(WindowError, match="no label named 'c'"):
        Windows.cut(named, Bursts(unlabelled_as="c"))


def test_windows_of_bursts_never_overlap():
    recording, *_ = simulate(np.random.default_rng(2), 20, n_bursts=20)
    table = Windows.cut(recording, Bursts(length_ms=1900)).table
    assert (table["start"].to_numpy()[1:] >= table["stop"].to_numpy()[:-1]).all()
    assert table["stop"].max() <= recording.n_samples
    assert table["repetition"].tolist() == list(range(1, len(table) + 1))
    assert 1 < len(table) < 20


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0},
        {"smooth_ms": -1},
        {"quietest": 0},
        {"vote": 2},
        {"m_of_n": (3, 2)},
        {"m_of_n": 2},
        {"m_of_n": (1.5, 3)},
        {"gap_ms": -1},
        {"baseline_s": 0},
    ],
)
def test_settings_that_cannot_be(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        BurstDetector(**options)


def test_errors_say_what_to_do():
    with pytest.raises(ConfigError, match="calibrate"):
        BurstDetector().stream(RATE, 1)
    with pytest.raises(SignalError, match="too short"):
        BurstDetector().detect(rec(np.ones((1, 500))))
    stream = BurstDetector(baseline_s=1).stream(RATE, 2)
    with pytest.raises(ShapeError, match="2 channels"):
        stream.push(np.ones((3, 5)))
    with pytest.raises(SignalError, match="NaN"):
        stream.push(np.full((2, 5), np.nan))
    with pytest.raises(SignalError, match="real numbers, got dtype complex128"):
        stream.push(np.ones((2, 5), complex))


def test_a_baseline_of_other_channels_is_refused():
    one = BurstDetector().calibrate(rec(np.random.default_rng(3).standard_normal((1, 5000))))
    two = rec(np.random.default_rng(4).standard_normal((2, 5000)))
    for use in (lambda: BurstDetector().detect(two, one), lambda: BurstDetector().stream(RATE, 2, one)):
        with pytest.raises(ShapeError, match=r"are \(1,\) and \(1,\), the signal has 2 channels"):
            use()


@pytest.mark.real_data
@pytest.mark.parametrize(("file", "count"), [("emg_bursts.h5", 9), ("emg_fatigue.h5", 30)])
def test_bursts_of_a_biceps(file, count):
    import h5py

    archive = Path(os.environ.get("MYOGRAPH_DATA", "")) / "plux_biceps.zip"
    if not archive.is_file():
        pytest.skip("MYOGRAPH_DATA has no plux_biceps.zip")
    with zipfile.ZipFile(archive) as z, h5py.File(io.BytesIO(z.read(f"plux_biceps/{file}"))) as f:
        (device,) = f.values()
        name = next(n for n in device["raw"] if n.startswith("channel"))
        adc = device["raw"][name][:, 0]
        bits = int(np.ravel(device.attrs["resolution"])[0])
    recording = rec((adc / 2**bits - 0.5) * 3 / 1000 * 1e6)
    bursts = BurstDetector().detect(recording)
    assert len(bursts) == count
    lengths = (bursts[:, 1] - bursts[:, 0]) / RATE
    shortest, longest = {"emg_bursts.h5": (0.9, 1.8), "emg_fatigue.h5": (2.3, 3.6)}[file]
    assert lengths.min() > shortest
    assert lengths.max() < longest
