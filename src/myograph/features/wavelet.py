"""Features of the discrete wavelet transform."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pywt

from myograph.errors import ConfigError
from myograph.features._base import centred, check_count, feature, ratio

FLOOR = 1e-10  # as in LibEMG, added to every energy before the logarithm


@feature("MDWT", outputs=lambda p, c: p["level"])
def mdwt(x, *, wavelet="db7", level=3):
    """Marginals of the discrete wavelet transform: sum_u |d_j(u)| for j = 1 (finest) .. level.

    wavelet is the name of a discrete wavelet of PyWavelets; the window is mirrored at its ends (mode "symmetric").

    Shape: (..., time) -> (..., level), in the unit of x.

    Source: Lucas, Gaufriau, Pascual, Doncarli & Farina 2008, Biomed. Signal Process. Control 3(2); db7 at 3 levels as
    in Atzori et al. 2014, Sci. Data 1:140053.

    >>> mdwt([1, 1, 5, 5, 1, 3, 3, 1], wavelet="haar", level=2).round(4)
    array([2.8284, 4.    ])
    """
    details = decompose("MDWT", x, wavelet, check_count("MDWT", "level", level))[:0:-1]
    return np.stack([np.abs(d).sum(-1) for d in details], axis=-1)


def default_level(rate_hz: float) -> int:
    """Return the number of levels of the multi-scale wavelet features: floor(log2(rate_hz / 2) - 1), and at least 1.

    >>> default_level(rate_hz=1000)
    7
    """
    return max(1, math.floor(math.log2(rate_hz / 2) - 1))


def _subbands(p, c):
    return 1 + (default_level(p["rate_hz"]) if p["level"] is None else p["level"])


@feature("WENG", outputs=_subbands, shortest=2)
def weng(x, *, rate_hz, wavelet="sym8", level=None):
    """Wavelet energy: ln(1e-10 + sum_u w_j(u)^2) of each subband j.

    The subbands of this set (WENG, WV, WWL, WENT) are the approximation, then the details from the coarsest to the
    finest, of the orthogonal `wavelet`, sym8 by default. Level None takes floor(log2(rate_hz / 2) - 1), which is 7 at 1
    kHz. In short windows the coarsest coefficients then also describe the mirrored ends (mode "symmetric"), as
    published.

    Shape: (..., time) -> (..., level + 1).

    Source: Khushaba, Kodagoda, Lal & Dissanayake 2011, IEEE Trans. Biomed. Eng. 58(1); as in LibEMG 2.0.3.

    >>> weng([1, -1, 1, -1], rate_hz=1000, wavelet="haar", level=1).round(4)
    array([-23.0259,   1.3863])
    """
    return _each_subband("WENG", x, rate_hz, wavelet, level, lambda e: np.log(e.sum(-1) + FLOOR))


@feature("WV", outputs=_subbands, shortest=2)
def wv(x, *, rate_hz, wavelet="sym8", level=None):
    """Wavelet variance: ln(1e-10 + variance over u of w_j(u)^2) of each subband j.

    Subbands, wavelet and level are those of WENG.

    Shape: (..., time) -> (..., level + 1).

    Source: as WENG.

    >>> wv([1, -1, 0, 0], rate_hz=1000, wavelet="haar", level=1).round(4)
    array([-23.0259,   0.    ])
    """
    return _each_subband("WV", x, rate_hz, wavelet, level, lambda e: np.log(np.square(centred(e)).mean(-1) + FLOOR))


@feature("WWL", outputs=_subbands, shortest=2)
def wwl(x, *, rate_hz, wavelet="sym8", level=None):
    """Wavelet waveform length: ln(1e-10 + sum_u |w_j(u+1)^2 - w_j(u)^2|) of each subband j.

    Subbands, wavelet and level are those of WENG.

    Shape: (..., time) -> (..., level + 1).

    Source: as WENG.

    >>> wwl([1, -1, 0, 0], rate_hz=1000, wavelet="haar", level=1).round(4)
    array([-23.0259,   0.6931])
    """
    return _each_subband("WWL", x, rate_hz, wavelet, level, lambda e: np.log(np.abs(np.diff(e)).sum(-1) + FLOOR))


@feature("WENT", outputs=_subbands, shortest=2)
def went(x, *, rate_hz, wavelet="sym8", level=None):
    """Wavelet entropy: -sum_u p_u ln p_u with p_u = w_j(u)^2 / sum_v w_j(v)^2 of each subband j.

    Subbands, wavelet and level are those of WENG.

    Shape: (..., time) -> (..., level + 1), nats; a subband without energy gives 0.

    Source: as WENG.

    Deviation: LibEMG 2.0.3 gives NaN as soon as one coefficient is 0; here 0 ln 0 is 0.

    >>> float(went([1, -1, 2, 2, 1, -1, 3, 3], rate_hz=1000, wavelet="haar", level=1)[1].round(4))
    0.6931
    """

    def entropy(e):
        p = ratio(e, e.sum(-1, keepdims=True))
        return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)

    return _each_subband("WENT", x, rate_hz, wavelet, level, entropy)


def _each_subband(name, x, rate_hz, wavelet, level, reduce):
    """Apply `reduce` to the squared coefficients of every subband and stack the results: (..., level + 1)."""
    level = default_level(rate_hz) if level is None else check_count(name, "level", level)
    return np.stack([reduce(np.square(w)) for w in decompose(name, x, wavelet, level)], axis=-1)


def decompose(name, x, wavelet, level):
    """Return [approximation, coarsest detail, ..., finest detail] of windows (..., time), each (..., coefficients).

    Parameters
    ----------
    name : the feature that error messages name.
    wavelet : the name of a discrete wavelet of PyWavelets, or a `pywt.Wavelet`.

    >>> [band.round(4).tolist() for band in decompose("WENG", np.array([1.0, 3, 5, 6]), "haar", level=1)]
    [[2.8284, 7.7782], [-1.4142, -0.7071]]
    """
    try:
        # PyWavelets is compiled and has no type information.
        kernel = cast(Any, pywt).Wavelet(wavelet) if isinstance(wavelet, str) else wavelet
    except ValueError as error:
        raise ConfigError(
            f"{name}: no discrete wavelet is named {wavelet!r}; see pywt.wavelist(kind='discrete')"
        ) from error
    from myograph.features._dwt import dwt

    low, high = np.array(kernel.dec_lo), np.array(kernel.dec_hi)
    approximation, details = np.ascontiguousarray(x, np.float64).reshape(math.prod(x.shape[:-1]), x.shape[-1]), []
    for _ in range(level):  # levels beyond the filter's length include the mirrored border, as published
        approximation, detail = dwt(approximation, low, high)
        details.append(detail)
    return [band.reshape(*x.shape[:-1], band.shape[1]) for band in (approximation, *details[::-1])]
