"""The physics of the simulator against textbooks, SciPy and an exact solution of the volume conductor."""

import numpy as np
import pytest
from scipy.signal import correlate, welch

from myograph.datasets.simulation import cohort as _cohort
from myograph.datasets.simulation.anatomy import ACTIONS, BICEPS, CATALOGUES, FOREARM, GESTURES, Muscle, activation
from myograph.datasets.simulation.physics import (
    FAT_S_PER_M,
    LAST_THRESHOLD,
    MUSCLE_ANISOTROPY,
    MUSCLE_S_PER_M,
    Electrodes,
    Limb,
    MotorUnits,
    contract,
    discharges,
    membrane_mv,
    potentials,
)
from myograph.errors import ConfigError, ShapeError

RATE_HZ = 2000.0
STEP_S = 0.005
LIMB = Limb(45.0, 3.0)
# Potentials are sums in float32: a peak of 100 uV carries rounding errors of about 1e-5 uV.
ROUNDING_UV = 1e-5
# `one_unit` has its end plate at 0. By symmetry the differential potential right above it is zero, so electrodes are
# placed clear of the end plate and of the tendons at 70 mm.
AWAY_MM = 30.0


@pytest.fixture(scope="module")
def units():
    return MotorUnits.draw(BICEPS, LIMB, np.random.default_rng(0))


def one_unit(depth_mm=8.0, limb=LIMB, **changes):
    place = {
        "muscle": 0, "threshold": 0.0, "peak_rate_hz": 35.0, "fibres": 100.0, "angle_rad": 0.0,
        "radius_mm": limb.radius_mm - limb.fat_mm - depth_mm, "end_plate_mm": 0.0, "up_mm": 70.0, "down_mm": 70.0, "velocity_m_s": 4.0,
    }  # fmt: skip
    return MotorUnits(**{k: np.array([v]) for k, v in (place | changes).items()})


def emg(units, electrodes, effort, seconds=4.0, seed=1):
    out = np.zeros((len(electrodes), int(seconds * RATE_HZ)), np.float32)
    excitation = np.full((1, int(seconds / STEP_S)), effort)
    contract(out, 0, units, electrodes, LIMB, excitation, STEP_S, RATE_HZ, np.random.default_rng(seed))
    return out


def height(potential):
    """Peak-to-peak amplitude in uV along the last axis; fails where it is not far above the rounding errors."""
    heights = np.ptp(potential, axis=-1)
    assert np.min(heights) > 1000 * ROUNDING_UV
    return heights


def median_frequency(signal):
    f, power = welch(signal, RATE_HZ, nperseg=1024)
    return f[np.searchsorted(np.cumsum(power), power.sum() / 2)]


def test_thresholds_grow_exponentially_over_a_thirtyfold_range(units):
    n = len(units)
    ratios = units.threshold[1:] / units.threshold[:-1]
    assert ratios == pytest.approx(30 ** (1 / n))
    assert units.threshold[-1] == pytest.approx(LAST_THRESHOLD) == pytest.approx(30 / 47)


@pytest.mark.parametrize("effort", [0.2, 0.5, 1.0])
def test_rates_follow_fuglevand_and_intervals_scatter_by_the_given_share(units, effort):
    times, counts = discharges(units, np.full((1, 12000), effort), STEP_S, RATE_HZ, np.random.default_rng(3), 0.15)
    for u in range(0, len(units), 7):
        above = effort - units.threshold[u]
        if above < 0:
            assert counts[u] == 0
            continue
        interval = np.diff(times[u, : counts[u]]) / RATE_HZ
        expected = min(8 + 47 * above, units.peak_rate_hz[u])
        assert 1 / interval.mean() == pytest.approx(expected, rel=0.03)
        assert interval.std() / interval.mean() == pytest.approx(0.15, abs=0.02)


def test_no_unit_discharges_at_rest(units):
    _, counts = discharges(units, np.zeros((1, 400)), STEP_S, RATE_HZ, np.random.default_rng(0))
    assert not counts.any()


def test_membrane_potential_is_rosenfalcks():
    # 96 u^3 exp(-u) peaks at u = 3 mm with 96 * 27 / e^3 mV above rest, and is 0 before the front.
    u = np.linspace(-2, 20, 2201)
    v = membrane_mv(u)
    assert u[v.argmax()] == pytest.approx(3.0, abs=0.02)
    assert v.max() == pytest.approx(96 * 27 * np.exp(-3), rel=1e-4)
    assert not v[u < 0].any()


def test_a_units_potential_equals_a_plain_sum_over_its_fibre(units):
    """The compiled kernel against a second route: membrane current of a truncated fibre on a fine grid, summed."""
    unit = one_unit(depth_mm=10.0, end_plate_mm=-12.0, up_mm=60.0, down_mm=45.0)
    electrodes = Electrodes.grid(1, 1, 10.0, LIMB.radius_mm)
    rate = 20000.0
    got = potentials(unit, electrodes, LIMB, rate)[0, 0]

    dz = 0.1
    z = np.arange(-80, 80, dz)
    t = np.arange(len(got)) / rate
    b = np.sqrt(MUSCLE_ANISOTROPY) * 10.0 + 3.0
    stretch = (b / 13.0) ** 2
    spread = 2.5 * np.linspace(-3, 3, 25)  # end plates, as their standard deviations
    weights = np.exp(-0.5 * np.linspace(-3, 3, 25) ** 2)
    expected = np.zeros(len(t))
    h = [1 / np.sqrt((z - pole) ** 2 + stretch * (13.0**2 + 4.0**2)) for pole in (5.0, -5.0)]
    response = h[0] - h[1]
    start_mm = -7.5  # the kernel's time starts this way before the discharge
    for offset, weight in zip(spread, weights / weights.sum()):
        for i, moment in enumerate(t):
            s = np.abs(z + 12.0)
            slope = np.gradient(membrane_mv(start_mm + offset + 4000 * moment - s), dz)
            inside = np.where(z > -12.0, s < 60.0, s < 45.0)
            current = np.gradient(slope * inside, dz)
            expected[i] += weight * np.sum(current * response) * dz
    expected *= 1000 * 1.01 * 0.03**2 / (2 * 0.1) * 100
    assert np.corrcoef(got, expected)[0, 1] > 0.995
    assert np.ptp(got) == pytest.approx(np.ptp(expected), rel=0.06)


def exact_profile(depth_mm, fat_mm, along=True):
    """Potential along a line at the skin over a unit point source: muscle half-space, fat, air; by Fourier integral."""
    n, d = 1024, 0.75
    k = 2 * np.pi * np.fft.fftfreq(n, d)
    kx, kz = np.meshgrid(k, k, indexing="ij")
    ka, kf = np.sqrt(kx**2 + MUSCLE_ANISOTROPY * kz**2), np.sqrt(kx**2 + kz**2)
    ka[0, 0] = np.inf
    hf = np.minimum(kf * fat_mm, 300)
    with np.errstate(over="ignore"):
        transfer = np.exp(-ka * depth_mm) / (MUSCLE_S_PER_M * ka * np.cosh(hf) + FAT_S_PER_M * kf * np.sinh(hf))
    image = np.fft.fftshift(np.fft.ifft2(transfer).real) / d**2
    line = image[n // 2] if along else image[:, n // 2]
    return (np.arange(n) - n // 2) * d, line


@pytest.mark.parametrize("depth_mm", [6.0, 12.0])
@pytest.mark.parametrize("fat_mm", [0.0, 2.0, 5.0])
def test_the_closed_form_is_near_the_exact_layered_conductor(depth_mm, fat_mm):
    """Differential potentials, which are what electrodes see, along the fibres."""
    z, exact = exact_profile(depth_mm, fat_mm)
    b = np.sqrt(MUSCLE_ANISOTROPY) * depth_mm + fat_mm
    closed = 1 / (2 * np.pi * MUSCLE_S_PER_M) / np.sqrt(z**2 + b**2)
    near = np.abs(z) < 80
    slope_exact, slope_closed = np.gradient(exact, z)[near], np.gradient(closed, z)[near]
    assert np.corrcoef(slope_exact, slope_closed)[0, 1] > 0.999
    assert np.ptp(slope_closed) == pytest.approx(np.ptp(slope_exact), rel=0.07)
    assert np.abs(z[near][slope_closed.argmax()]) == pytest.approx(np.abs(z[near][slope_exact.argmax()]), abs=2.0)


def test_potentials_sum_to_zero_in_the_far_field():
    # No net current leaves a fibre, so its potential fades faster with distance than that of a single charge.
    electrodes = Electrodes.grid(1, 1, 10.0, LIMB.radius_mm).moved(0.0, AWAY_MM)
    near, far = (height(potentials(one_unit(depth_mm=d), electrodes, LIMB, RATE_HZ)[0, 0]) for d in (6.0, 24.0))

    def single_charge(depth_mm):
        z, b = np.linspace(-200, 200, 4001), np.sqrt(MUSCLE_ANISOTROPY) * depth_mm + LIMB.fat_mm
        return np.max(1 / np.hypot(z + 5, b) - 1 / np.hypot(z - 5, b))

    assert near / far > 2 * single_charge(6.0) / single_charge(24.0)


def test_a_channel_over_the_end_plate_cancels():
    """Both waves reach the two poles at the same time there; what is left is rounding."""
    over, beside = (
        np.ptp(potentials(one_unit(), Electrodes.ring(1).moved(0.0, z), LIMB, RATE_HZ)) for z in (0.0, AWAY_MM)
    )
    assert beside > 10
    assert over < 1000 * ROUNDING_UV


def test_depth_and_fat_attenuate_and_low_pass():
    electrodes = Electrodes.ring(8).moved(0.0, AWAY_MM)
    thin, thick = Limb(45.0, 1.0), Limb(45.0, 8.0)
    shallow, deep = (potentials(one_unit(d), electrodes, LIMB, RATE_HZ)[0, 0] for d in (5.0, 15.0))
    lean, fat = (potentials(one_unit(8.0, limb), electrodes, limb, RATE_HZ)[0, 0] for limb in (thin, thick))
    for strong, weak in ((shallow, deep), (lean, fat)):
        assert height(weak) < 0.7 * height(strong)
        spectra = [np.abs(np.fft.rfft(p, 1024)) ** 2 for p in (strong, weak)]
        means = [np.sum(s * np.arange(len(s))) / s.sum() for s in spectra]
        assert means[1] < 0.9 * means[0]


def test_the_far_side_of_the_limb_hears_little():
    electrodes = Electrodes.ring(8).moved(0.0, AWAY_MM)
    heights = height(potentials(one_unit(), electrodes, LIMB, RATE_HZ)[0])
    assert heights.argmax() == 0
    assert heights[4] < 0.05 * heights[0]
    assert heights[1:4] == pytest.approx(heights[:4:-1], rel=1e-3)  # symmetric around the limb


def test_potentials_travel_both_ways_from_the_end_plate_at_the_fibres_velocity(units):
    """Cross-correlation along a column of electrodes: 3 to 5.5 m/s, with opposite signs on the two sides."""
    electrodes = Electrodes.grid(25, 1, 5.0, LIMB.radius_mm)
    signal = emg(units, electrodes, 0.4)
    end_plate = units.end_plate_mm.mean()

    def velocity(a, b):
        up = 10
        n = signal.shape[1]
        x, y = (np.fft.irfft(np.fft.rfft(signal[i]), up * n) * up for i in (a, b))
        c = correlate(y, x, "same", "fft")
        middle = len(c) // 2
        lag = np.argmax(c[middle - 200 : middle + 200]) - 200
        return (electrodes.z_mm[b] - electrodes.z_mm[a]) / 1000 / (lag / up / RATE_HZ)

    z = electrodes.z_mm
    # Clear of the end plates, which scatter, and of the tendons, where what ends there does not travel.
    distal = [i for i in range(24) if end_plate + 12 < z[i + 1] and z[i] < end_plate + 30]
    proximal = [i for i in range(24) if end_plate - 45 < z[i + 1] and z[i] < end_plate - 15]
    assert len(distal) >= 2
    assert len(proximal) >= 2
    assert all(3 <= velocity(i, i + 1) <= 5.5 for i in distal)
    assert all(-5.5 <= velocity(i, i + 1) <= -3 for i in proximal)


def test_rms_rises_with_effort_and_the_spectrum_is_that_of_surface_emg(units):
    electrodes = Electrodes.grid(4, 1, 10.0, LIMB.radius_mm).moved(0.0, -25.0)
    rms = [np.sqrt(np.mean(emg(units, electrodes, e) ** 2)) for e in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert np.all(np.diff(rms) > 0)
    moderate = emg(units, electrodes, 0.3)
    assert all(60 <= median_frequency(channel) <= 130 for channel in moderate)
    assert 20 < np.sqrt(np.mean(moderate**2)) < 1000  # uV


def test_slower_fibres_lower_the_spectrum():
    """The wave keeps its shape in space, so all frequencies scale with the conduction velocity."""
    electrodes = Electrodes.grid(1, 1, 10.0, LIMB.radius_mm).moved(0.0, AWAY_MM)
    fresh, tired = (potentials(one_unit(), electrodes, LIMB, RATE_HZ, factor)[0, 0] for factor in (1, 0.8))
    assert min(height(fresh), height(tired)) > 10

    def centre(potential):
        power = np.abs(np.fft.rfft(potential, 4096)) ** 2
        return np.sum(power * np.arange(len(power))) / np.sum(power)

    assert centre(tired) == pytest.approx(0.8 * centre(fresh), rel=0.01)


def test_the_same_seed_gives_the_same_samples(units):
    electrodes = Electrodes.ring(8)
    assert np.array_equal(emg(units, electrodes, 0.3, 1.0), emg(units, electrodes, 0.3, 1.0))
    assert not np.array_equal(emg(units, electrodes, 0.3, 1.0), emg(units, electrodes, 0.3, 1.0, seed=2))


def test_contractions_add_up_sample_by_sample(units):
    """The sum of trains against a convolution of each unit's impulses with its potential."""
    electrodes = Electrodes.ring(8)
    got = emg(units, electrodes, 0.15, 1.0, seed=5)
    assert got.std(axis=1).min() > 0.1  # uV; the tolerance below is 1 % of it
    times, counts = discharges(units, np.full((1, 200), 0.15), STEP_S, RATE_HZ, np.random.default_rng(5))
    shapes = potentials(units[np.flatnonzero(counts)], electrodes, LIMB, RATE_HZ)
    expected = np.zeros_like(got)
    for row, u in enumerate(np.flatnonzero(counts)):
        impulses = np.bincount(times[u, : counts[u]], minlength=2000)[:2000]
        for c in range(8):
            expected[c] += np.convolve(impulses, shapes[row, c])[:2000]
    assert np.allclose(got, expected, atol=1e-3)


def test_every_gesture_uses_muscles_that_exist():
    names = {m.name for m in FOREARM}
    assert len(names) == len(FOREARM)
    assert all(set(action) <= names for action in ACTIONS.values())
    for gesture in GESTURES:
        plan = activation(gesture)
        assert plan
        assert all(0 < v <= 1 for v in plan.values())
    assert len(CATALOGUES["A"]) == 12
    assert len(CATALOGUES["B"]) == 17
    assert len(set(CATALOGUES["ABC"])) == 52
    assert len(set(CATALOGUES["BCD"])) == 49


def test_the_muscles_mirror_the_anatomy():
    plan = activation("wrist_flexion")
    by_name: dict[str, Muscle] = {m.name: m for m in FOREARM}
    assert all(abs(by_name[name].angle_deg) < 90 for name in plan)  # palmar side
    assert all(abs(by_name[name].angle_deg) > 90 for name in activation("wrist_extension"))


def test_mistakes_are_explained(units):
    with pytest.raises(ConfigError, match="1000 Hz or more"):
        potentials(units, Electrodes.ring(8), LIMB, 200.0)
    with pytest.raises(ConfigError, match="fat_mm must be from 0"):
        Limb(40.0, 45.0)
    with pytest.raises(ShapeError, match="out must be"):
        contract(
            np.zeros((3, 100), np.float32),
            0,
            units,
            Electrodes.ring(8),
            LIMB,
            np.zeros((1, 10)),
            STEP_S,
            RATE_HZ,
            np.random.default_rng(0),
        )
    with pytest.raises(ShapeError, match="excitation"):
        discharges(
            MotorUnits.draw(BICEPS, LIMB, np.random.default_rng(0), row=3),
            np.zeros((1, 10)),
            STEP_S,
            RATE_HZ,
            np.random.default_rng(0),
        )


def test_drift_grows_with_the_repetition_and_leaves_the_first_alone():
    def at(drift, n):
        keys = _cohort.Keys(0)
        person = _cohort.Person.draw(keys, 0)
        day = _cohort.Day.draw(keys, 0, 0, 12, 1.0)
        names = ("wrist_flexion", "hand_open", "supination", "fist", "tripod", "lateral")
        drawn = [_cohort.Attempt.draw(keys, person, day, (0, 0), name, n, 0.3, drift) for name in names]
        return np.log(np.stack([a.plateau for a in drawn])), drawn[0]

    for n in (1, 6):
        still, moving, far = at(0.0, n), at(1.0, n), at(3.0, n)
        if n == 1:
            np.testing.assert_array_equal(still[0], far[0])
            continue
        # Five steps of a trend of 0.1 and of a walk of 0.07, on a scale of 0.3.
        spread = 0.3 * np.hypot(5 * _cohort.TREND_SPREAD, 5**0.5 * _cohort.DRIFT_SPREAD)
        assert np.std(moving[0] - still[0]) == pytest.approx(spread, rel=0.25)
        assert np.std(far[0] - still[0]) == pytest.approx(3 * spread, rel=0.25)
        assert far[1].velocity_factor == pytest.approx(1 - 0.3 * 3 * _cohort.FATIGUE_PER_REPETITION * 5)


def test_compiled_potentials_are_those_of_plain_ieee_arithmetic():
    """The compiler may not rearrange sums or approximate roots: Python runs the same loop one operation at a time."""
    from myograph.datasets.simulation._fibres import unit_potentials

    rng = np.random.default_rng(3)
    n_units, n_channels, length, taps = 2, 2, 90, 20
    draw = lambda low, high, n: rng.uniform(low, high, n).astype(np.float32)  # noqa: E731
    units = [draw(*limits, n_units) for limits in ((5, 30), (5, 30), (1, 3), (1, 5), (-5, 5), (50, 60), (50, 60))]
    wave = rng.standard_normal((n_units, taps)).astype(np.float32)
    poles = [draw(*limits, n_channels) for limits in ((30, 40), (0, 10), (20, 35))]
    found, plain = (np.empty((n_units, n_channels, length), np.float32) for _ in range(2))
    arguments = [*units, draw(1.8, 2.2, n_units), wave, *poles, 10.0]
    unit_potentials(*arguments, found)
    unit_potentials.py_func(*arguments, plain)
    assert np.abs(plain).max() > 1e-4
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-6 * np.abs(plain).max())
