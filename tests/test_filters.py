import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as sps

from myograph import preprocessing
from myograph._common.registry import read_registrations
from myograph.errors import ConfigError, MyographError, ShapeError, SignalError
from myograph.preprocessing import filters
from myograph.preprocessing.filters import (
    FILTERS,
    BandPass,
    CommonAverage,
    Differential,
    Envelope,
    Filter,
    HighPass,
    LowPass,
    MainsComb,
    MovingRMS,
    Notch,
    Rectify,
    Resample,
    SpatialMedian3x3,
    ZeroPhase,
    apply_all,
    reach_samples,
    stream_all,
)
from myograph.preprocessing.spatial import next_channel
from myograph.recording import Layout, Recording

# Every registered filter, with settings where it has no defaults; a new one must be added here or have defaults.
OPTIONS = {
    "low_pass": [{"cutoff_hz": 80.0}, {"cutoff_hz": 1.0, "order": 1}],
    "high_pass": [{"cutoff_hz": 20.0, "order": 3}],
    "band_pass": [{"low_hz": 20.0, "high_hz": 200.0}],
    "moving_rms": [{"length_ms": 2.0}, {"length_ms": 14.0}, {"length_ms": 100.0}],
    "resample": [{"rate_hz": r} for r in (500.0, 250.0, 100.0, 300.0, 1000.0, 777.0)],
    "common_average": [{}, {"per_row": True}],
    "first_channels": [{"n": 3}],
    "keep_middle": [{"length_ms": 100.0}],
    "first_repetitions": [{"n": 2}],
    "merge_labels": [{"groups": {"rest": ("0",)}}],
}
CASES = [FILTERS.create(name, **options) for name in FILTERS for options in OPTIONS.get(name, [{}])]


def test_every_filter_of_the_folder_is_registered_by_an_import_in_filters():
    """FILTERS knows only what preprocessing/filters.py imports; the files of the folder name all there are."""
    found = {}
    for path in sorted(Path(preprocessing.__file__).parent.glob("*.py")):
        names, _ = read_registrations(path.read_text(encoding="utf-8"), "FILTERS")
        found.update(dict.fromkeys(names, path.stem))
    code = "from myograph.preprocessing.filters import FILTERS; print(*FILTERS)"  # where nothing else was imported
    known = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    missing = [f"{name} of {file}.py" for name, file in found.items() if name not in known]
    assert not missing, f"import in preprocessing/filters.py: {', '.join(missing)}"
    assert sorted(found) == known
    assert {FILTERS[name].__name__ for name in found} <= {*preprocessing.__all__} & {*filters.__all__}


def recording(signal, rate_hz=500.0, layout=None):
    signal = np.asarray(signal)
    return Recording(signal, rate_hz, np.zeros(signal.shape[1], int), "1", layout=layout)


@pytest.mark.parametrize("one", CASES, ids=repr)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_chunks_of_any_size_are_bit_identical_to_one_pass(one, data):
    rows, columns = data.draw(st.sampled_from([(1, 3), (1, 8), (2, 4), (4, 5)]))
    if one == Differential("rows") and rows == 1:
        rows = 2
    layout = data.draw(st.sampled_from([Layout.grid(rows, columns), Layout.grid(rows, columns, wraps=True)]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    n = data.draw(st.integers(1, 300))
    seed = data.draw(st.integers(0, 2**32 - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=12)))
    signal = (50 * np.random.default_rng(seed).standard_normal((rows * columns, n)) + 1000).astype(dtype)
    whole = one.apply(recording(signal, layout=layout))
    stream = one.stream(500.0, rows * columns, layout)
    live = np.concatenate([stream.push(chunk) for chunk in np.split(signal, cuts, axis=1)], axis=1)
    assert live.dtype == whole.signal.dtype == dtype
    assert (live.shape[0], stream.layout) == (stream.n_channels, whole.layout)
    assert stream.rate_hz == whole.rate_hz
    np.testing.assert_array_equal(live, whole.signal)


@pytest.mark.parametrize("one", CASES, ids=repr)
def test_single_samples_and_long_signals_split_inside_are_identical(one):
    layout = Layout.grid(2, 3)
    signal = np.random.default_rng(0).standard_normal((6, 200_000)).astype(np.float32)
    whole = one.apply(recording(signal, layout=layout)).signal  # longer than one internal block
    stream = one.stream(500.0, 6, layout)
    head = np.concatenate([stream.push(signal[:, i : i + 1]) for i in range(400)], axis=1)
    np.testing.assert_array_equal(head, whole[:, : head.shape[1]])
    tail = stream.push(signal[:, 400:])
    np.testing.assert_array_equal(tail, whole[:, head.shape[1] :])


@pytest.mark.parametrize("one", CASES, ids=repr)
def test_the_past_does_not_depend_on_the_future(one):
    layout = Layout.grid(2, 3)
    signal = np.random.default_rng(0).standard_normal((6, 400))
    other = signal.copy()
    other[:, 200:] = 7
    first, second = (one.apply(recording(x, layout=layout)) for x in (signal, other))
    n = int(200 * first.rate_hz / 500)
    np.testing.assert_array_equal(first.signal[:, :n], second.signal[:, :n])
    assert not np.array_equal(first.signal[:, n:], second.signal[:, n:])


def impulse_response(one, rate, n=4096):
    signal = np.zeros((1, n + 1))
    signal[0, 1] = 1  # the first sample is 0: the start is at rest
    return one.stream(rate, 1).push(signal)[0, 1:]


@pytest.mark.parametrize(
    ("one", "b_a"),
    [
        (LowPass(40.0, order=2), sps.butter(2, 40, fs=1000)),
        (LowPass(100.0, order=5), sps.butter(5, 100, fs=1000)),
        (HighPass(20.0, order=3), sps.butter(3, 20, "high", fs=1000)),
        (BandPass(60.0, 200.0, order=2), sps.butter(2, (60, 200), "band", fs=1000)),
        (Notch(50.0, 10.0), sps.iirnotch(50, 10, fs=1000)),
    ],
)
def test_time_and_frequency_response_agree_with_scipy(one, b_a):
    unit = np.zeros(4096)
    unit[0] = 1
    response = impulse_response(one, 1000.0)
    np.testing.assert_allclose(response, sps.lfilter(*b_a, unit), atol=1e-10)
    _, expected = sps.freqz(*b_a, worN=np.fft.rfftfreq(4096, 1e-3), fs=1000)
    np.testing.assert_allclose(np.fft.rfft(response), expected, atol=1e-6)


@pytest.mark.parametrize("n_channels", [1, 7, 8, 19])  # channels are filtered eight at a time
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_channel_is_filtered_as_scipy_does(n_channels, dtype):
    x = np.random.default_rng(0).normal(5, 1, (n_channels, 300)).astype(dtype)
    sos = sps.butter(4, (20, 200), "band", fs=1000, output="sos")
    steady = sps.sosfilt_zi(sos)[:, None, :] * x[None, :, :1].astype(np.float64)
    want, _ = sps.sosfilt(sos, x.astype(np.float64), zi=steady)
    got = BandPass(20.0, 200.0).stream(1000.0, n_channels).push(x)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, atol=1e-12 if dtype == np.float64 else 1e-5)


def test_half_power_at_the_cutoffs():
    frequencies = np.fft.rfftfreq(2000, 1 / 2000.0)
    for one, at in ((LowPass(300.0), [300]), (HighPass(50.0), [50]), (BandPass(20.0, 450.0), [20, 450])):
        gain = np.abs(np.fft.rfft(impulse_response(one, 2000.0, 2000)))
        for f in at:
            assert gain[np.argmin(abs(frequencies - f))] ** 2 == pytest.approx(0.5, abs=2e-3), (one, f)


def test_mains_comb_takes_out_every_harmonic_and_little_else():
    gain = np.abs(np.fft.rfft(impulse_response(MainsComb(50.0, 30.0), 1000.0, 10_000)))  # 0.1 Hz bins
    for k in range(1, 10):
        assert gain[500 * k] < 1e-3
        assert gain[500 * k + 100] > 0.99
    assert MainsComb(60.0, up_to_hz=150.0).sections(1000.0).shape[0] == 2


def test_start_is_steady_on_an_offset():
    offset = np.full((1, 100), 9000.0)
    assert np.abs(HighPass(20.0).stream(1000.0, 1).push(offset)).max() < 1e-6
    np.testing.assert_allclose(LowPass(1.0, order=1).stream(1000.0, 1).push(offset), 9000, rtol=1e-12)


def test_moving_rms_against_its_definition():
    x = np.random.default_rng(1).standard_normal((2, 700)) * np.where(np.arange(700) < 200, 1e6, 1)
    for width in (1, 2, 37, 150, 900):
        got = MovingRMS(width).apply(recording(x, 1000.0)).signal
        want = [[np.sqrt(np.mean(c[max(0, i - width + 1) : i + 1] ** 2)) for i in range(700)] for c in x]
        # Rest after a burst a million times as large is where a running sum fails.
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_envelope_is_rectify_then_low_pass():
    x = recording(np.random.default_rng(2).standard_normal((3, 500)))
    steps = apply_all([Rectify(), LowPass(6.0, order=2)], x)
    np.testing.assert_array_equal(Envelope(6.0, order=2).apply(x).signal, steps.signal)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(2000, 200), (200, 2000), (1000, 200), (2048, 2000), (1259.259, 1000)]
)
def test_resample_is_scipys_upfirdn_and_zero_phase_its_resample_poly(rate_in, rate_out):
    rng = np.random.default_rng(3)
    x = np.concatenate([np.zeros((2, 1)), rng.standard_normal((2, 1999))], axis=1)
    filter = Resample(rate_out)
    up, down = filter.ratio(rate_in)
    assert up / down == pytest.approx(rate_out / rate_in, rel=1e-6)
    got = filter.apply(recording(x, rate_in)).signal
    taps = filter.taps(rate_in) * up
    np.testing.assert_allclose(got, sps.upfirdn(taps, x, up, down)[:, : got.shape[1]], atol=1e-12)
    assert got.shape[1] == -(-2000 * up // down)
    smooth = recording(np.stack([np.sin(2 * np.pi * 7 * np.arange(4000) / rate_in)]), rate_in)
    out = ZeroPhase(filter).apply(smooth)
    inner = slice(out.n_samples // 4, -out.n_samples // 4)
    np.testing.assert_allclose(
        out.signal[0, inner], np.sin(2 * np.pi * 7 * np.arange(out.n_samples) / rate_out)[inner], atol=4e-3
    )
    np.testing.assert_allclose(
        out.signal, sps.resample_poly(smooth.signal, up, down, axis=1, padtype="edge"), atol=1e-12
    )
    # Live output is the same, late by what delay_ms says.
    late = Resample(rate_out).apply(smooth).signal[0]
    t = np.arange(len(late)) / rate_out - filter.delay_ms(rate_in) / 1000
    np.testing.assert_allclose(late[inner], np.sin(2 * np.pi * 7 * t)[inner], atol=4e-3)


def test_resample_takes_labels_of_the_nearest_sample():
    label = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
    rec = Recording(np.ones((1, 9)), 1000.0, label, "1", repetition=label + 5)
    half = Resample(500.0).apply(rec)
    assert half.label.tolist() == [0, 1, 1, 2, 2]
    assert half.repetition.tolist() == [5, 6, 6, 7, 7]
    assert half.rate_hz == 500.0
    assert Resample(1000.0).ratio(1259.259) == (27, 34)  # a header's rounding of 34000/27
    # Three for two: outputs at inputs 0, 2/3, 4/3, 2, ...
    assert Resample(1500.0).apply(rec).label.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
    np.testing.assert_allclose(half.signal, 1, atol=2e-2)


def test_zero_phase_is_scipys_and_has_no_stream():
    x = recording(np.random.default_rng(4).standard_normal((2, 1000)), 100.0)
    atzori = ZeroPhase(LowPass(1.0, order=1))
    b, a = sps.butter(1, 1 / 50)
    got = atzori.apply(x).signal
    assert not atzori.causal
    assert LowPass(1.0).causal
    want = sps.sosfiltfilt(sps.butter(1, 1, fs=100, output="sos"), x.signal)
    np.testing.assert_allclose(got, want, atol=1e-12)
    np.testing.assert_allclose(got[:, 200:-200], sps.filtfilt(b, a, x.signal)[:, 200:-200], atol=1e-6)
    with pytest.raises(ConfigError, match="cannot run live"):
        atzori.stream(100.0, 2)
    with pytest.raises(ConfigError, match="too few"):
        atzori.apply(recording(np.ones((1, 3)), 100.0))
    with pytest.raises(ConfigError, match="apply other filters separately"):
        ZeroPhase(Rectify())


def test_spatial_filters_by_hand():
    ring = Layout.ring(4, n_extra=1)
    x = np.array([[1.0], [4.0], [9.0], [16.0], [5.0]])
    out = Differential().apply(recording(x, layout=ring))
    assert out.signal[:, 0].tolist() == [3, 5, 7, -15, 5]
    assert out.layout == ring
    grid = Layout.grid(2, 3)
    x = np.array([[1.0, 2, 4], [8, 16, 32]]).reshape(6, 1)
    out = Differential().apply(recording(x, layout=grid))
    assert out.signal[:, 0].tolist() == [1, 2, 8, 16]
    assert out.layout.column == (0, 1, 0, 1)
    out = Differential("rows").apply(recording(x, layout=grid))
    assert out.signal[:, 0].tolist() == [7, 14, 28]
    assert CommonAverage().apply(recording(x)).signal[:, 0] == pytest.approx(x[:, 0] - 63 / 6)
    rows = CommonAverage(per_row=True).apply(recording(x, layout=grid))
    assert rows.signal[:, 0] == pytest.approx([1 - 7 / 3, 2 - 7 / 3, 4 - 7 / 3, 8 - 56 / 3, 16 - 56 / 3, 32 - 56 / 3])


@pytest.mark.parametrize("wraps", [False, True])
def test_spatial_median_against_scipy(wraps):
    rows, columns = 5, 7
    rng = np.random.default_rng(5)
    frames = rng.standard_normal((rows, columns, 20))
    order = rng.permutation(rows * columns)  # channels in any order on the grid
    r, c = np.divmod(order, columns)
    layout = Layout(tuple(r.tolist()), tuple(c.tolist()), wraps=wraps)
    got = SpatialMedian3x3().apply(recording(frames.reshape(-1, 20)[order], layout=layout)).signal
    padded = np.pad(frames, ((1, 1), (0, 0), (0, 0)), constant_values=np.nan)
    padded = np.pad(padded, ((0, 0), (1, 1), (0, 0)), **({"mode": "wrap"} if wraps else {"constant_values": np.nan}))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    want = np.nanmedian(patches, axis=(-1, -2)).reshape(-1, 20)[order]
    np.testing.assert_allclose(got, want, atol=1e-15)


def test_chains_pass_rate_and_layout_on():
    ring = Layout.ring(8)
    rec = recording(np.random.default_rng(6).standard_normal((8, 3000)), 2000.0, ring)
    chain = (BandPass(20.0, 450.0), Differential(), Rectify(), Resample(200.0), LowPass(6.0))
    whole = apply_all(chain, rec)
    stream = stream_all(chain, 2000.0, 8, ring)
    assert (stream.rate_hz, stream.n_channels) == (200.0, 8)
    live = np.concatenate([stream.push(c) for c in np.split(rec.signal, [0, 1, 500, 501, 2222], axis=1)], axis=1)
    np.testing.assert_array_equal(live, whole.signal)
    assert whole.rate_hz == 200.0
    grid = stream_all([Differential(), Differential("rows")], 1000.0, 6, Layout.grid(2, 3))
    assert grid.n_channels == 2
    assert grid.push(np.zeros((6, 0))).shape == (2, 0)
    np.testing.assert_array_equal(stream_all((), 10.0, 1).push(np.ones((1, 3))), np.ones((1, 3)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowPass(500.0).sections(1000.0), r"500 Hz does not exist at a rate of 1000 Hz.*below 500 Hz"),
        (lambda: BandPass().stream(200.0, 1), r"below 100 Hz, half the rate"),
        (lambda: MainsComb().stream(100.0, 1), r"below 50 Hz"),
        (lambda: LowPass("20"), "cutoff_hz must be a positive number, got '20'"),  # type: ignore[arg-type]
        (
            lambda: Notch(490.0, 0.5).sections(1000.0),
            "980 Hz width is too wide for a rate of 1000 Hz; choose q above 0.98",
        ),
        (lambda: MainsComb(60.0, 0.5).stream(200.0, 1), "120 Hz width"),
        (lambda: Rectify().stream(float("nan"), 1), "rate_hz must be a positive number, got nan"),
        (lambda: LowPass(-1.0), "cutoff_hz must be a positive number, got -1.0"),
        (lambda: LowPass(10.0, order=0), "order must be a whole number from 1, got 0"),
        (lambda: HighPass(10.0, order=2.5), "order must be a whole number"),
        (lambda: BandPass(100.0, 50.0), "low_hz must be below high_hz, got 100 and 50"),
        (lambda: MovingRMS(1.0).stream(100.0, 1), "shorter than one sample at 100 Hz"),
        (lambda: Resample(0.1).ratio(1000.0), "no ratio of whole numbers"),
        (lambda: Differential().stream(100.0, 8), r"layout=Layout.ring\(8\)"),
        (lambda: Differential("rows").stream(100.0, 8, Layout.ring(8)), "use along='columns'"),
        (lambda: SpatialMedian3x3().stream(100.0, 8, Layout.ring(6)), "places 6 channels, the signal has 8"),
        (lambda: Differential("diagonal"), "'columns' or 'rows'"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_bad_chunks_are_refused_and_leave_the_state_alone():
    stream = LowPass(10.0).stream(100.0, 2)
    same = LowPass(10.0).stream(100.0, 2)
    x = np.random.default_rng(7).standard_normal((2, 50))
    first = stream.push(x)
    with pytest.raises(ShapeError, match="2 channels"):
        stream.push(x.T)
    with pytest.raises(SignalError, match="NaN"):
        stream.push(x * np.nan)
    for other in (x + 1j, x.astype(str)):
        with pytest.raises(SignalError, match="real numbers, got dtype"):
            stream.push(other)
    second = stream.push(x)
    np.testing.assert_array_equal(np.concatenate([first, second], 1), same.push(np.concatenate([x, x], 1)))
    with pytest.raises(MyographError, match="no filter named 'lowpass'"):
        FILTERS["lowpass"]


def test_mains_comb_reaches_up_to_its_limit_and_not_beyond():
    limits = {149.0: 2, 150.0: 3, None: 9}
    assert {hz: len(MainsComb(50.0, up_to_hz=hz).sections(1000.0)) for hz in limits} == limits


@pytest.mark.parametrize(("n", "following"), [(4, [1, 2, 3, 0]), (3, [1, 2, 0]), (2, [1, -1])])
def test_the_next_electrode_round_a_ring(n, following):
    assert next_channel(Layout.ring(n), "columns").tolist() == following  # of two, each is the other's only neighbour


@pytest.mark.parametrize("q", [0.101, 0.5, 30.0])
def test_every_notch_that_is_made_is_stable(q):
    poles = np.concatenate([np.roots(section[3:]) for section in Notch(50.0, q).sections(1000.0)])
    assert np.abs(poles).max() < 1


def response_to_one_sample(one, at, n, dtype=np.float64):
    """(time,) energy of what one changed sample changes, of a filter that keeps all channels."""
    layout = Layout.grid(2, 3)
    signal = 1 + np.random.default_rng(0).random((6, n)).astype(dtype)  # positive: rectifying changes nothing
    other = signal.copy()
    other[2, at] += 1
    first, second = (one.apply(recording(x, 1000.0, layout)) for x in (signal, other))
    return np.square(first.signal - second.signal).sum(0), first.rate_hz


@pytest.mark.parametrize("one", CASES, ids=repr)
def test_the_reach_of_every_filter_holds_99_percent_of_what_one_sample_changes(one):
    at, reach = 2000, one.reach_samples(1000.0)
    energy, rate = response_to_one_sample(one, at, 12_000)
    inside = np.arange(len(energy)) / rate <= (at + reach) / 1000 + 1e-9
    assert energy[inside].sum() >= 0.9899 * energy.sum() > 0
    if not isinstance(one, Resample) and reach > 1:  # and no longer than that: half of it holds less
        half = np.arange(len(energy)) / rate <= (at + reach // 2) / 1000
        assert energy[half].sum() < 0.99 * energy.sum()


@pytest.mark.parametrize(
    "one", [LowPass(1.0, order=1), HighPass(20.0), BandPass(5.0, 30.0), Notch(50.0, 60.0)], ids=repr
)
def test_the_reach_of_zero_phase_holds_99_percent_on_both_sides_together(one):
    at, reach = 8000, ZeroPhase(one).reach_samples(1000.0)
    energy, _ = response_to_one_sample(ZeroPhase(one), at, 16_000)
    share = lambda n: energy[at - n : at + n + 1].sum() / energy.sum()  # noqa: E731
    assert share(reach) == pytest.approx(0.99, abs=2e-3) or reach == 0
    assert share(reach) >= 0.9899
    if reach:
        assert share(reach - 1) < 0.99


def test_reach_by_hand():
    # A first-order low-pass decays as a power of its pole: 99 % of the energy lies before pole^(2n) = 1 %.
    pole = sps.butter(1, 1.0, fs=1000)[1][1] * -1
    assert LowPass(1.0, order=1).reach_samples(1000.0) == pytest.approx(np.log(0.01) / (2 * np.log(pole)), abs=1)
    assert [MovingRMS(100.0).reach_samples(r) for r in (1000.0, 200.0)] == [99, 19]
    # 10 zero crossings on each side, at the lower of the two rates: 20 periods of 200 Hz.
    assert Resample(200.0).reach_samples(1000.0) == 100
    assert Resample(1000.0).reach_samples(200.0) == 20
    assert ZeroPhase(Resample(200.0)).reach_samples(1000.0) == 50
    # So slow that its response is not computed, only its pole: 1000 s at 2000 Hz, in proportion to a faster one.
    slow, fast = (LowPass(hz, order=1).reach_samples(2000.0) for hz in (1e-5, 1e-2))
    assert slow / fast == pytest.approx(1000, rel=1e-3)


def test_reaches_add_up_over_changes_of_rate():
    chain = (MovingRMS(100.0), Rectify(), Resample(200.0), MovingRMS(50.0))  # 99 + 100 at 1000 Hz, 9 at 200 Hz
    assert reach_samples(chain, 1000.0) == 49  # (199 / 5 = 39.8) + 9, rounded up
    assert reach_samples((), 1000.0) == 0
    assert reach_samples(ZeroPhase(Resample(200.0)), 1000.0) == 10
    with pytest.raises(ConfigError, match="below 50 Hz"):
        reach_samples((Resample(100.0), LowPass(80.0)), 1000.0)


def test_a_filter_that_does_not_state_its_reach_is_refused():
    class Mine(Filter):
        pass

    class Other:
        def apply(self, recording):
            return recording

    for one in (Mine(), Other()):
        with pytest.raises(ConfigError, match=r"does not state its reach; .*reach_samples"):
            reach_samples([one], 1000.0)
