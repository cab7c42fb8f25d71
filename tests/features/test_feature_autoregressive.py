"""Prediction coefficients against equations solved another way, and processes whose coefficients are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.signal

from myograph.errors import ConfigError
from myograph.features import FEATURES

R = np.random.default_rng(41).standard_normal((2, 3, 120)).cumsum(-1)


def burg_by_loops(x, order):
    n = len(x)
    a, f, b = [1.0], list(x), list(x)
    for m in range(1, order + 1):
        num = sum(f[i] * b[i - 1] for i in range(m, n))
        den = sum(f[i] ** 2 + b[i - 1] ** 2 for i in range(m, n))
        k = -2 * num / den
        a = [u + k * v for u, v in zip([*a, 0.0], [0.0, *reversed(a)])]
        f, b = (
            [f[i] + k * b[i - 1] if i >= m else 0.0 for i in range(n)],
            [b[i - 1] + k * f[i] if i >= m else 0.0 for i in range(n)],
        )
    return a[1:]


@pytest.mark.parametrize("order", [1, 2, 4, 9])
def test_burg_by_loops(order):
    value = FEATURES["AR"](R, order=order)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(value[index], burg_by_loops(R[index], order), rtol=1e-9)


@pytest.mark.parametrize("order", [1, 4, 9])
def test_yule_walker_against_the_toeplitz_equations(order):
    value = FEATURES["AR"](R, order=order, method="yule-walker")
    for index in np.ndindex(2, 3):
        s = R[index]
        r = np.array([s[: len(s) - lag] @ s[lag:] for lag in range(order + 1)])
        np.testing.assert_allclose(value[index], -scipy.linalg.solve_toeplitz(r[:-1], r[1:]), rtol=1e-8)


@pytest.mark.parametrize("method", ["burg", "yule-walker"])
def test_coefficients_of_a_known_process_come_back(method):
    a = [1.0, -1.6, 0.9, -0.2]
    x = scipy.signal.lfilter([1.0], a, np.random.default_rng(5).standard_normal(200_000))
    np.testing.assert_allclose(FEATURES["AR"](x, order=3, method=method), a[1:], atol=0.02)


def test_burg_is_exact_for_a_sine_and_does_not_depend_on_the_unit():
    w = 2 * np.pi * 0.1
    x = np.sin(w * np.arange(4000))
    np.testing.assert_allclose(FEATURES["AR"](x, order=2), [-2 * np.cos(w), 1], atol=1e-3)
    np.testing.assert_allclose(FEATURES["AR"](R * 1e-150), FEATURES["AR"](R), rtol=1e-9)


def test_constants_and_zeros():
    np.testing.assert_allclose(FEATURES["AR"](np.full(50, 3.0)), [-1, 0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(FEATURES["AR"](np.zeros(50)), np.zeros(4))
    np.testing.assert_array_equal(FEATURES["AR"](np.zeros(50), method="yule-walker"), np.zeros(4))


def test_ar9_is_ar_of_order_nine():
    assert FEATURES["AR9"].n_outputs() == 9
    np.testing.assert_array_equal(FEATURES["AR9"](R), FEATURES["AR"](R, order=9))


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_cepstrum_is_that_of_the_all_pole_model(order):
    a, c = FEATURES["AR"](R, order=order), FEATURES["CC"](R, order=order)
    for index in np.ndindex(2, 3):
        response = np.fft.fft(np.concatenate([[1.0], a[index]]), 1 << 16)
        cepstrum = np.fft.ifft(
            -2 * np.log(np.abs(response))
        ).real  # of the magnitude: c_n at n and at -n, so twice half
        np.testing.assert_allclose(c[index], cepstrum[1 : order + 1], rtol=1e-6, atol=1e-8)


def test_unknown_methods_and_orders():
    with pytest.raises(ConfigError, match="'burg' or 'yule-walker', got 'covariance'"):
        FEATURES["AR"](R, method="covariance")
    with pytest.raises(ConfigError, match="order must be a whole number of at least 1, got 0"):
        FEATURES["AR"](R, order=0)
