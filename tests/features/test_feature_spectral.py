"""Spectral and wavelet features against SciPy, PyWavelets, and tones whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import scipy.signal
import scipy.stats

from myograph.errors import ConfigError
from myograph.features import FEATURES
from myograph.features._dwt import dwt
from myograph.features.spectral import power_spectrum

RATE = 1000.0
R = 50 * np.random.default_rng(31).standard_normal((2, 3, 200))
T256 = np.arange(256) / RATE


def periodogram(x):
    """SciPy's one-sided spectrum of the padded window: twice P_k but at 0 and Nyquist, which is dropped."""
    n = 256
    f, p = scipy.signal.periodogram(
        np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n - x.shape[-1])]),
        RATE,
        window="boxcar",
        detrend=False,
        scaling="spectrum",
    )
    p = p * (n / x.shape[-1]) ** 2
    p[..., 1:-1] /= 2
    return f[:-1], p[..., :-1]


def test_power_spectrum_against_scipy():
    np.testing.assert_allclose(power_spectrum(R), periodogram(R)[1], rtol=1e-9, atol=1e-12)


def test_frequencies_against_their_formulas_on_scipys_spectrum():
    f, p = periodogram(R)
    total = p.sum(-1)
    mean = (f * p).sum(-1) / total
    expected = {
        "MNF": mean,
        "MNP": total / 128,
        "TTP": total,
        "SM": (f**2 * p).sum(-1),
        "VCF": (f**2 * p).sum(-1) / total - mean**2,
        "PKF": f[p.argmax(-1)],
    }
    for name, value in expected.items():
        options = {"rate_hz": RATE} if FEATURES[name].needs_rate else {}
        np.testing.assert_allclose(FEATURES[name](R, **options), value, rtol=1e-9, err_msg=name)
    median = FEATURES["MDF"](R, rate_hz=RATE)
    for index in np.ndindex(2, 3):
        k = int(np.flatnonzero(f == median[index])[0])
        assert p[index][: k + 1].sum() > total[index] / 2 >= p[index][:k].sum()


@pytest.mark.parametrize("rate_hz", [200.0, 1000.0, 2048.0])
def test_a_tone_on_a_bin(rate_hz):
    k = 40
    x = 3 * np.sin(2 * np.pi * k * np.arange(256) / 256 + 0.3)
    for name in ("MNF", "MDF", "PKF"):
        assert FEATURES[name](x, rate_hz=rate_hz) == pytest.approx(k * rate_hz / 256, rel=1e-9)
    assert FEATURES["TTP"](x) == pytest.approx((3 / 2) ** 2)
    assert FEATURES["SM"](x, rate_hz=rate_hz, order=1) == pytest.approx((3 / 2) ** 2 * k * rate_hz / 256)
    assert FEATURES["VCF"](x, rate_hz=rate_hz) == pytest.approx(0, abs=1e-6)


def test_two_tones():
    x = 2 * np.sin(2 * np.pi * 62.5 * T256) + 1 * np.sin(2 * np.pi * 250 * T256)  # bins 16 and 64, powers 1 and 1/4
    assert FEATURES["MNF"](x, rate_hz=RATE) == pytest.approx((62.5 * 1 + 250 * 0.25) / 1.25)
    assert FEATURES["MDF"](x, rate_hz=RATE) == 62.5
    assert FEATURES["PKF"](x, rate_hz=RATE) == 62.5


def test_zeros_and_a_constant_have_frequency_zero():
    for x in (np.zeros(200), np.full(256, 5.0)):
        for name in ("MNF", "MDF", "PKF", "VCF"):
            assert FEATURES[name](x, rate_hz=RATE) == pytest.approx(0, abs=1e-9)


def test_dftr_puts_each_tone_into_its_band():
    for band, hz in enumerate((50.78125, 125.0, 200.1953125, 269.53125, 339.84375, 414.0625)):
        x = np.sin(2 * np.pi * hz * T256)  # on a bin of 1000 / 256 Hz but for one
        value = FEATURES["DFTR"](x, rate_hz=RATE)
        assert value.shape == (6,)
        assert value.argmax() == band
    on_bin = FEATURES["DFTR"](np.sin(2 * np.pi * 125.0 * T256), rate_hz=RATE)
    bins = [k for k in range(128) if 92 <= k * RATE / 256 < 163]
    assert on_bin[1] == pytest.approx((0.5 / len(bins)) ** (2 / 3), rel=1e-9)


def test_dftr_bands_follow_the_rate():
    assert [FEATURES["DFTR"].n_outputs(rate_hz=r) for r in (185.0, 200.0, 400.0, 1000.0, 2000.0)] == [1, 1, 2, 6, 6]
    with pytest.raises(ConfigError, match="lowest band ends at 92 Hz"):
        FEATURES["DFTR"](R, rate_hz=100.0)
    for rate_hz in (200.0, 1000.0, 4000.0, 10000.0):
        assert np.isfinite(FEATURES["DFTR"](R[..., :3], rate_hz=rate_hz)).all()


def test_dftr_counts_a_bin_on_an_edge_in_the_band_above():
    x = np.sin(2 * np.pi * 92 * np.arange(1024) / 1024)  # bins of 1 Hz: 92 Hz belongs to 92 .. 163
    value = FEATURES["DFTR"](x, rate_hz=1024.0)
    np.testing.assert_allclose(value, [0, (0.5 / (163 - 92)) ** (2 / 3), 0, 0, 0, 0], rtol=1e-9, atol=1e-9)


def test_mdwt_against_pywavelets_level_by_level():
    value = FEATURES["MDWT"](R)
    approximation = R
    for level in range(3):
        approximation, detail = pywt.dwt(approximation, "db7", mode="symmetric")
        np.testing.assert_allclose(value[..., level], np.abs(detail).sum(-1), rtol=1e-12)
    assert FEATURES["MDWT"](R, wavelet="db2", level=5).shape == (2, 3, 5)


def test_mdwt_of_haar_by_hand():
    x = np.array([1.0, 3, 2, 8])  # details (1-3)/r2 (2-8)/r2; then ((1+3) - (2+8)) / 2
    np.testing.assert_allclose(FEATURES["MDWT"](x, wavelet="haar", level=2), [8 / np.sqrt(2), 3])


def test_wavelet_set_against_its_formulas():
    level = 7  # floor(log2(500) - 1)
    names = ("WENG", "WV", "WWL", "WENT")
    values = {name: FEATURES[name](R, rate_hz=RATE) for name in names}
    details, approximation = [], R
    for _ in range(level):
        approximation, detail = pywt.dwt(approximation, "sym8", mode="symmetric")
        details.insert(0, detail)
    for j, w in enumerate([approximation, *details]):
        e = w**2
        expected = {
            "WENG": np.log(e.sum(-1) + 1e-10),
            "WV": np.log(e.var(-1) + 1e-10),
            "WWL": np.log(np.abs(np.diff(e)).sum(-1) + 1e-10),
            "WENT": scipy.stats.entropy(e, axis=-1),
        }
        for name in names:
            np.testing.assert_allclose(values[name][..., j], expected[name], rtol=1e-10, err_msg=name)


def test_wavelet_levels_follow_the_rate_or_the_option():
    weng = FEATURES["WENG"]
    assert [weng.n_outputs(rate_hz=r) for r in (100.0, 200.0, 1000.0, 1024.0, 2000.0)] == [5, 6, 8, 9, 9]
    assert weng(R, rate_hz=RATE, level=2).shape == (2, 3, 3)
    with pytest.raises(ConfigError, match="no discrete wavelet is named 'db99'"):
        weng(R, rate_hz=RATE, wavelet="db99")
    with pytest.raises(ConfigError, match="WENG: level must be a whole number"):
        weng(R, rate_hz=RATE, level=0)


def test_wavelet_entropy_of_zero_coefficients_is_defined():
    assert (FEATURES["WENT"](np.zeros(200), rate_hz=RATE) == 0).all()
    impulse = np.zeros(64)
    impulse[32] = 5.0
    value = FEATURES["WENT"](impulse, rate_hz=RATE, wavelet="haar", level=2)
    np.testing.assert_allclose(value, 0, atol=1e-12)  # one coefficient a subband, the others exactly 0


@pytest.mark.parametrize("wavelet", ["haar", "db7", "sym8", "bior3.5"])
@pytest.mark.parametrize("n", [1, 2, 5, 16, 17, 101, 600])
def test_wavelet_transform_against_pywavelets(wavelet, n):
    x = np.random.default_rng(n).standard_normal((3, n))
    kernel = pywt.Wavelet(wavelet)
    for mine, peer in zip(
        dwt(x, np.array(kernel.dec_lo), np.array(kernel.dec_hi)), pywt.dwt(x, wavelet, mode="symmetric")
    ):
        np.testing.assert_allclose(mine, peer, atol=1e-13, strict=True)
    alone = dwt(x[2:], np.array(kernel.dec_lo), np.array(kernel.dec_hi))
    np.testing.assert_array_equal(alone[1], dwt(x, np.array(kernel.dec_lo), np.array(kernel.dec_hi))[1][2:])
