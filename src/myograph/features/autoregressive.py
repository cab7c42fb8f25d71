"""Linear prediction: autoregressive and cepstral coefficients."""

from __future__ import annotations

import numpy as np

from myograph.errors import ConfigError
from myograph.features._base import check_count, feature, ratio


def _order(p, c):
    return p["order"]


def _order_and_one(p, c):
    return p["order"] + 1


@feature("AR", outputs=_order, shortest=_order_and_one)
def ar(x, *, order=4, method="burg"):
    """Autoregressive coefficients a_1 .. a_order of the prediction error x_i + a_1 x_(i-1) + ... + a_p x_(i-p).

    Method "burg" chooses the reflection coefficients that minimise the forward and backward prediction errors.
    "yule-walker" solves the equations of the biased autocorrelation by Levinson's recursion. The mean is not removed.

    Shape: (..., time) -> (..., order), without unit. Once the prediction error is zero (zeros, a constant), the
    remaining reflection coefficients are 0. `order` is at least 1 and less than the number of samples.

    Source: Burg 1975, Maximum Entropy Spectral Analysis; Graupe & Cline 1975, IEEE Trans. Syst. Man Cybern. 5(2). Burg
    and the signs as in LibEMG 2.0.3 (and MATLAB's arburg).

    >>> ar([8, 4, 2, 1, 0.5], order=1).round(4)
    array([-0.8])
    >>> ar([8, 4, 2, 1, 0.5], order=1, method="yule-walker").round(4)
    array([-0.4985])
    """
    order = check_count("AR", "order", order)
    if method == "burg":
        return _burg(x, order)
    if method == "yule-walker":
        return _yule_walker(x, order)
    raise ConfigError(f"AR: method must be 'burg' or 'yule-walker', got {method!r}")


@feature("AR9", outputs=_order, shortest=_order_and_one)
def ar9(x, *, order=9, method="burg"):
    """Autoregressive coefficients of order 9, the AR of the COMB set.

    `order` and `method` have the same meaning as for AR.

    Shape: (..., time) -> (..., order), without unit.

    Source: as AR.

    Deviation: LibEMG 2.0.3 lists AR9 in COMB, but has no such feature and leaves it out.

    >>> ar9(np.sin(np.arange(100))).shape
    (9,)
    """
    return ar(x, order=order, method=method)


@feature("CC", outputs=_order, shortest=_order_and_one)
def cc(x, *, order=4, method="burg"):
    """Cepstral coefficients c_1 .. c_order of the autoregressive model: ln(1 / A(z)) = sum_n c_n z^-n.

    c_1 = -a_1, c_n = -a_n - sum_(l=1)^(n-1) (1 - l/n) a_l c_(n-l), where a are the coefficients of AR for the same
    order and method.

    Shape: (..., time) -> (..., order), without unit.

    Source: Atal 1974, J. Acoust. Soc. Am. 55(6); Kang et al. 1995, IEEE Trans. Biomed. Eng. 42(8).

    Deviation: LibEMG 2.0.3 has a_n in place of a_l in the sum and leaves out one of its terms; at order 2 its second
    coefficient is 0.

    >>> x = [8, 4, 2, 1, 0.5]
    >>> ar(x, order=1) + cc(x, order=1)
    array([0.])
    """
    a = ar(x, order=order, method=method)
    c = np.zeros_like(a)
    for n in range(1, a.shape[-1] + 1):
        c[..., n - 1] = -a[..., n - 1]
        for lag in range(1, n):
            c[..., n - 1] -= (1 - lag / n) * a[..., lag - 1] * c[..., n - lag - 1]
    return c


def _burg(x, order):
    peak = np.abs(x).max(-1, keepdims=True)
    x = ratio(x, peak)  # so that squares of very small or large values neither vanish nor overflow
    a = np.zeros((*x.shape[:-1], order + 1))
    a[..., 0] = 1.0
    forward, backward = x[..., 1:], x[..., :-1]
    for m in range(1, order + 1):
        energy = np.square(forward).sum(-1) + np.square(backward).sum(-1)
        k = ratio(-2 * (forward * backward).sum(-1), energy)[..., None]
        a[..., 1 : m + 1] += k * a[..., m - 1 :: -1][..., :m]
        forward, backward = forward[..., 1:] + k * backward[..., 1:], backward[..., :-1] + k * forward[..., :-1]
    return a[..., 1:]


def _yule_walker(x, order):
    n = x.shape[-1]
    r = np.stack([(x[..., : n - lag] * x[..., lag:]).sum(-1) for lag in range(order + 1)], axis=-1)
    a = np.zeros_like(r)
    a[..., 0] = 1.0
    error = r[..., 0].copy()
    for m in range(1, order + 1):
        k = ratio(-(a[..., :m] * r[..., m:0:-1]).sum(-1), error)
        a[..., 1 : m + 1] += k[..., None] * a[..., m - 1 :: -1][..., :m]
        error *= 1 - k * k
    return a[..., 1:]
