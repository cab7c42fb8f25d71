"""Features of the discrete wavelet transform."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pywt

from myograph.errors import ConfigError
from myograph.features._base import check_count, feature

FLOOR = 1e-10  # LibEMG's, added to every energy before its logarithm


@feature("MDWT", outputs=lambda p, c: p["level"])
def mdwt(x, *, wavelet="db7", level=3):
    """Marginals of the discrete wavelet transform: sum_u |d_j(u)| for j = 1 (finest) .. level.

    Shape: (..., time) -> (..., level), in the unit of x. Borders are mirrored (PyWavelets' "symmetric").

    Source: Lucas, Gaufriau, Pascual, Doncarli & Farina 2008, Biomed. Signal Process. Control 3(2); db7 at 3 levels as
    in Atzori et al. 2014, Sci. Data 1:140053.
    """
    details = _decompose("MDWT", x, wavelet, check_count("MDWT", "level", level))[:0:-1]
    return np.stack([np.abs(d).sum(-1) for d in details], axis=-1)


def default_level(rate_hz: float) -> int:
    """Levels of the multi-scale wavelet features: floor(log2(rate / 2) - 1), 7 at 1 kHz, and at least 1."""
    return max(1, math.floor(math.log2(rate_hz / 2) - 1))


def _decompose(name, x, wavelet, level):
    """[approximation, coarsest detail, ..., finest detail], each (..., coefficients)."""
    try:
        kernel = pywt.Wavelet(wavelet) if isinstance(wavelet, str) else wavelet
    except ValueError as error:
        raise ConfigError(
            f"{name}: no discrete wavelet is named {wavelet!r}; see pywt.wavelist(kind='discrete')"
        ) from error
    with warnings.catch_warnings():  # levels beyond the filter's length see the mirrored border, as published
        warnings.filterwarnings("ignore", message="Level value of", category=UserWarning)
        return pywt.wavedec(x, kernel, mode="symmetric", level=level, axis=-1)
