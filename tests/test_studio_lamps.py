"""The lamps of the studio: each fault on a channel of its own, and good channels left alone."""

import numpy as np
import pytest

from myograph.cli.studio.lamps import SPAN_S, Judge, Last, lamps

RATE = 1000.0


def signal(seed=0, n_channels=6):
    """Noise of good electrodes with two contractions, in µV."""
    rng = np.random.default_rng(seed)
    n = round(SPAN_S * RATE)
    gain = np.where((np.arange(n) // 1000) % 2, 60.0, 4.0)
    return rng.normal(size=(n_channels, n)) * gain


@pytest.mark.parametrize("seed", range(5))
def test_good_channels_are_good(seed):
    assert lamps(signal(seed), RATE, "uV") == ["good"] * 6


@pytest.mark.parametrize("unit", ["uV", "adc"])
def test_each_fault_lights_its_lamp_alone(unit):
    x = signal()
    t = np.arange(x.shape[1]) / RATE
    x[0] = 0.0
    x[1] = np.clip(x[1] * 4, -150, 150)
    x[2] += 60 * np.sin(2 * np.pi * 50 * t)
    x[3] += 45 * np.random.default_rng(9).normal(size=len(t))
    assert lamps(x, RATE, unit) == ["dead", "rail", "mains", "noise", "good", "good"]


def test_an_electrode_that_hangs_in_the_air_is_dead():
    x = signal()
    x[4] *= 1e-3
    assert lamps(x, RATE, "adc")[4] == "dead"


def test_sixty_hertz_is_mains_as_well():
    x = signal()
    x[5] += 60 * np.sin(2 * np.pi * 60 * np.arange(x.shape[1]) / RATE)
    assert lamps(x, RATE, "uV")[5] == "mains"


def test_little_hum_of_a_quiet_electrode_is_no_fault():
    x = np.random.default_rng(0).normal(size=(4, 8000)) * 3 + 2 * np.sin(2 * np.pi * 50 * np.arange(8000) / RATE)
    assert lamps(x, RATE, "uV") == ["good"] * 4


@pytest.mark.parametrize("step", [1, 13, 400, 9000])
def test_the_last_samples_are_in_order(step):
    last = Last(2, 100.0)
    x = np.arange(2 * 9000, dtype=np.float32).reshape(2, 9000)
    for start in range(0, 9000, step):
        last.push(x[:, start : start + step])
    assert np.array_equal(last.samples(), x[:, -800:])


def test_before_there_is_enough_all_are_good():
    last = Last(2, 100.0)
    last.push(np.zeros((2, 10), np.float32))
    assert last.samples().shape == (2, 10)
    assert lamps(last.samples(), 100.0, "uV") == ["good", "good"]


def test_a_contraction_with_a_line_in_its_spectrum_is_not_hum():
    """A motor unit that fires regularly at 50 Hz for some seconds."""
    x = signal()
    x[2, -3500::20] += 800.0
    assert lamps(x, RATE, "uV")[2] == "good"


def test_a_long_contraction_is_not_noise_but_a_loose_electrode_is():
    rng = np.random.default_rng(0)
    judge, last = Judge(RATE, "uV"), Last(4, RATE)
    for second in range(28):
        x = rng.normal(size=(4, 1000)) * (5.0 if second < 10 else 60.0)
        x[3] += 45 * rng.normal(size=1000)
        last.push(x.astype(np.float32))
        found = judge.judge(last.samples())
        assert found[:3] == ["good"] * 3, second
    assert found[3] == "noise"
