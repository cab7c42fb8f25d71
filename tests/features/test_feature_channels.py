"""Features of several channels, and the tangent space, against other routes to the same matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from myograph.errors import ConfigError, ShapeError, SignalError
from myograph.features import EPS, FEATURES
from myograph.features.tangent import TangentSpace, riemannian_mean
from myograph.recording import Recording
from myograph.windows import Windowing, Windows

MIX = np.array([[20.0, 0, 0, 0], [8, 30, 0, 0], [0, -9, 12, 0], [3, 3, 3, 25]])
R = MIX @ np.random.default_rng(51).standard_normal((60, 4, 150))
UPPER = np.triu_indices(4)


def test_rms_phasors_by_hand():
    x = np.array([[3.0, -3, 3, -3], [4.0, 4, 4, 4]])  # two channels lie on opposite sides: distances add
    np.testing.assert_allclose(FEATURES["RMSPHASOR"](x), [math.log(7), math.log(7 / 6)])
    np.testing.assert_allclose(FEATURES["WLPHASOR"](x), [math.log(18), math.log(18 / 24)])


def test_phasors_by_loops():
    for name, size, step in (
        ("RMSPHASOR", lambda s: np.sqrt((s**2).mean()), lambda s: np.sqrt((np.diff(s) ** 2).mean())),
        ("WLPHASOR", lambda s: np.abs(np.diff(s)).sum(), lambda s: np.abs(np.diff(s, 2)).sum()),
    ):
        first, second = [], []
        for a in range(4):
            for b in range(a + 1, 4):
                angle = 2 * math.pi * (b - a) / 4
                d, e = (
                    math.sqrt(f(R[0, a]) ** 2 + f(R[0, b]) ** 2 - 2 * f(R[0, a]) * f(R[0, b]) * math.cos(angle))
                    for f in (size, step)
                )
                first.append(math.log(d))
                second.append(math.log(d / e))
        np.testing.assert_allclose(FEATURES[name](R)[0], first + second, rtol=1e-10)
        with pytest.raises(ShapeError, match="at least 2 channels"):
            FEATURES[name](R[:, :1])


def test_covariance_against_numpy():
    for i in (0, 7):
        np.testing.assert_allclose(FEATURES["COV"](R)[i], np.cov(R[i], bias=True)[UPPER], rtol=1e-11)
    np.testing.assert_allclose(FEATURES["COV"](R + 1e6), FEATURES["COV"](R), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:logm result may be inaccurate")
def test_log_covariance_against_the_matrix_logarithm():
    c = np.cov(R[0], bias=True)
    s = 0.95 * c + 0.05 * np.trace(c) / 4 * np.eye(4)
    expected = scipy.linalg.logm(s) * np.where(np.eye(4) == 1, 1, math.sqrt(2))
    np.testing.assert_allclose(FEATURES["LOGCOV"](R)[0], expected[UPPER], rtol=1e-10)
    a, b = FEATURES["LOGCOV"](R[:2], shrinkage=0.0)
    matrices = [scipy.linalg.logm(np.cov(R[i], bias=True)) for i in (0, 1)]
    assert np.linalg.norm(a - b) == pytest.approx(np.linalg.norm(matrices[0] - matrices[1]), rel=1e-10)


def test_log_covariance_gain_and_zeros():
    shift = FEATURES["LOGCOV"](R * 3) - FEATURES["LOGCOV"](R)
    expected = np.where(UPPER[0] == UPPER[1], 2 * math.log(3), 0)
    np.testing.assert_allclose(shift, np.broadcast_to(expected, shift.shape), atol=1e-10)
    zeros = FEATURES["LOGCOV"](np.zeros((4, 50)))
    np.testing.assert_allclose(zeros, np.where(UPPER[0] == UPPER[1], math.log(EPS), 0))
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(ConfigError, match="shrinkage must be a number from 0 to 1"):
            FEATURES["LOGCOV"](R, shrinkage=bad)


def shrunk(x, s=0.05):
    c = np.cov(x, bias=True)
    return (1 - s) * c + s * np.trace(c) / len(c) * np.eye(len(c))


def test_riemannian_mean_of_two_matrices_in_closed_form():
    a, b = shrunk(R[0]), shrunk(R[1])
    root = scipy.linalg.sqrtm(a)
    inverse = np.linalg.inv(root)
    middle = root @ scipy.linalg.sqrtm(inverse @ b @ inverse) @ root
    np.testing.assert_allclose(riemannian_mean(np.stack([a, b]), a), middle, rtol=1e-8)


def test_riemannian_mean_of_diagonal_matrices_is_geometric():
    values = np.random.default_rng(2).uniform(1, 1000, size=(30, 5))
    matrices = np.stack([np.diag(v) for v in values])
    expected = np.diag(np.exp(np.log(values).mean(0)))
    np.testing.assert_allclose(riemannian_mean(matrices, np.eye(5)), expected, rtol=1e-8, atol=1e-8)


def test_tangent_vectors_average_to_zero_and_have_riemannian_length():
    space = TangentSpace().fit(R)
    vectors = space.transform(R)
    assert vectors.shape == (60, 10)
    np.testing.assert_allclose(vectors.mean(0), 0, atol=1e-9)
    eigenvalues = scipy.linalg.eigh(shrunk(R[3]), space.mean_, eigvals_only=True)
    assert np.linalg.norm(vectors[3]) == pytest.approx(np.sqrt((np.log(eigenvalues) ** 2).sum()), rel=1e-9)


def test_a_common_gain_changes_nothing_and_mixing_only_rotates():
    for mean in ("riemann", "log-euclidean"):
        plain = TangentSpace(mean=mean).fit_transform(R)
        np.testing.assert_allclose(TangentSpace(mean=mean).fit_transform(R * 1e-3), plain, atol=1e-8)
    free = TangentSpace(shrinkage=0.0).fit_transform(R)
    gains = np.diag([1.0, 5.0, 0.2, 3.0]) @ MIX
    mixed = TangentSpace(shrinkage=0.0).fit_transform(gains @ R)
    np.testing.assert_allclose(mixed @ mixed.T, free @ free.T, atol=1e-7)


def test_tangent_space_learns_from_training_rows_alone():
    space = TangentSpace().fit(R[:30])
    np.testing.assert_array_equal(space.transform(R)[:30], space.transform(R[:30]))
    np.testing.assert_array_equal(space.mean_, TangentSpace().fit(R[:30].copy()).mean_)
    assert np.abs(space.mean_ - TangentSpace().fit(R).mean_).max() > 1e-3


def test_tangent_space_on_windows_and_its_contract():
    rng = np.random.default_rng(4)
    signal = (MIX @ rng.standard_normal((4, 2000))).astype(np.float32)
    track = np.zeros(2000, dtype=np.int64)
    recording = Recording(signal, 1000.0, track, "1", repetition=track, label_names=("rest",))
    windows = Windows.cut([recording], Windowing(length_ms=200, step_ms=50))
    space = TangentSpace()
    with pytest.raises(NotFittedError):
        space.transform(windows)
    vectors = clone(space).fit_transform(windows)
    np.testing.assert_array_equal(vectors, clone(space).fit_transform(np.asarray(windows)))
    assert len(vectors) == len(windows)
    names = space.fit(windows).get_feature_names_out()
    assert list(names[:2]) == ["TANGENT_ch0_ch0", "TANGENT_ch0_ch1"]
    assert len(names) == vectors.shape[1]


def test_tangent_space_errors():
    with pytest.raises(ConfigError, match="'riemann' or 'log-euclidean', got 'euclid'"):
        TangentSpace(mean="euclid").fit(R)
    with pytest.raises(ShapeError, match=r"got shape \(4, 150\); use x\[None\]"):
        TangentSpace().fit(R[0])
    with pytest.raises(ShapeError, match="got none"):
        TangentSpace().fit(R[:0])
    with pytest.raises(SignalError, match="all training windows are constant"):
        TangentSpace().fit(np.ones((5, 4, 50)))
    bad = R.copy()
    bad[0, 0, 0] = np.nan
    with pytest.raises(SignalError, match="NaN or infinite"):
        TangentSpace().fit(bad)
    with pytest.raises(ShapeError, match="TangentSpace was fitted on windows of 4 channels, got 3"):
        TangentSpace().fit(R).transform(R[:, :3])
    some_dead = R.copy()
    some_dead[:5] = 0
    space = TangentSpace().fit(some_dead)
    assert np.isfinite(space.transform(some_dead)).all()
    np.testing.assert_allclose(space.mean_, TangentSpace().fit(R[5:]).mean_, rtol=1e-12)  # dead windows have no say


def test_lagged_covariance_by_scipys_logm():
    from scipy.linalg import logm

    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 3, 80))
    found = FEATURES["LOGLAGCOV"](x, rate_hz=500.0, lag_ms=4.0, shrinkage=0.02)
    for window, vector in zip(x, found):
        both = np.vstack([window[:, 2:], window[:, :-2]])
        c = np.cov(both, bias=True)
        c = 0.98 * c + 0.02 * np.trace(c) / 6 * np.eye(6)
        a, b = np.triu_indices(6)
        np.testing.assert_allclose(vector, logm(c)[a, b] * np.where(a == b, 1, np.sqrt(2)), atol=1e-10)


def test_a_lag_is_never_less_than_a_sample():
    x = np.random.default_rng(5).normal(size=(3, 80))
    np.testing.assert_array_equal(
        FEATURES["LOGLAGCOV"](x, rate_hz=100.0), FEATURES["LOGLAGCOV"](x, rate_hz=250.0, lag_ms=4.0)
    )
