"""Features that share a transform of their window: one periodogram, one wavelet decomposition, or sorted samples.

Each function takes windows (window, channel, time) and the features requested. It returns their values, equal to those
of the pure functions up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.fft

from myograph._common import simd
from myograph._common.jit import njit
from myograph._common.simd import WIDTH, fill, load
from myograph.features._base import check_count, ratio
from myograph.features.spectral import bin_frequencies, fft_length
from myograph.features.wavelet import FLOOR, decompose, default_level

SPECTRAL = ("MNF", "MDF", "PKF", "MNP", "TTP", "SM", "VCF")
WAVELET = ("WENG", "WV", "WWL", "WENT")
TINY = float(np.finfo(np.float64).tiny)


def spectral_features(x: np.ndarray, names: Sequence[str], parameters: Sequence[Mapping[str, Any]]) -> list[np.ndarray]:
    """Compute the named features of SPECTRAL from one transform: (..., time) float64 -> (...,) each."""
    n = fft_length(x.shape[-1])
    spectrum = scipy.fft.rfft(x, n, axis=-1)[..., : n // 2]
    p = np.square(spectrum.real)
    p += np.square(spectrum.imag)
    p /= x.shape[-1] ** 2
    total = p.sum(-1)
    found = []
    for name, given in zip(names, parameters):
        f = bin_frequencies(x.shape[-1], given["rate_hz"]) if "rate_hz" in given else np.empty(0)
        if name == "MNF":
            found.append(ratio(p @ f, total))
        elif name == "MDF":
            found.append(_median_bin(p.reshape(-1, n // 2)).reshape(total.shape) * (given["rate_hz"] / n))
        elif name == "PKF":
            found.append(p.argmax(-1) * (given["rate_hz"] / n))
        elif name == "MNP":
            found.append(total / (n // 2))
        elif name == "TTP":
            found.append(total)
        elif name == "SM":
            found.append(p @ f ** given["order"])
        else:
            mean = ratio(p @ f, total)
            found.append(ratio(np.einsum("...k,...k->...", p, np.square(f - mean[..., None])), total))
    return found


@njit(nogil=True, cache=True)
def _median_bin(p):
    """Return the first bin at which the running sum exceeds half of the total: (row, bin) -> (row,)."""
    found = np.zeros(len(p), np.int64)
    for row in range(len(p)):
        running = 0.0
        for k in range(p.shape[1]):
            running += p[row, k]
        half, running = running / 2, 0.0
        for k in range(p.shape[1]):
            running += p[row, k]
            if running > half:
                found[row] = k
                break
    return found


def wavelet_features(x: np.ndarray, names: Sequence[str], parameters: Mapping[str, Any]) -> list[np.ndarray]:
    """Compute the named features of WAVELET, with one set of parameters, from one transform: (..., time) -> (..., level
    + 1).
    """
    level = parameters["level"]
    level = default_level(parameters["rate_hz"]) if level is None else check_count(names[0], "level", level)
    bands = decompose(names[0], x, parameters["wavelet"], level)
    whole = np.empty((4, *x.shape[:-1], len(bands)))
    for j, band in enumerate(bands):
        sums = _subband(band.reshape(-1, band.shape[-1]))
        whole[..., j] = sums.T.reshape(4, *x.shape[:-1])
    whole[:3] = np.log(whole[:3] + FLOOR)
    return [whole[WAVELET.index(name)] for name in names]


@njit(nogil=True, cache=True, error_model="numpy")
def _subband(w):
    """Of the squared coefficients e: sum, variance, waveform length and entropy. w: (row, coefficient) -> (row, 4)."""
    found = np.zeros((len(w), 4))
    n = w.shape[1]
    whole = (n - 1) // WIDTH * WIDTH  # processed in registers, each value with its successor
    for row in range(len(w)):
        sums, lengths = fill(0.0), fill(0.0)
        for i in range(0, whole, WIDTH):
            v, after = load(w, row, i), load(w, row, i + 1)
            e = v * v
            sums = sums + e
            lengths = lengths + abs(after * after - e)
        total, length = simd.total(sums), simd.total(lengths)
        for i in range(whole, n):
            e = w[row, i] * w[row, i]
            total += e
            if i + 1 < n:
                length += abs(w[row, i + 1] * w[row, i + 1] - e)
        mean, entropy, deviation = total / n, 0.0, 0.0
        centre, scale = fill(mean), fill(total if total > 0 else 1.0)
        squares, informations = fill(0.0), fill(0.0)
        for i in range(0, whole, WIDTH):
            v = load(w, row, i)
            e = v * v
            d, share = e - centre, e / scale
            squares = simd.muladd(d, d, squares)
            # 0 ln 0 is 0, also for shares that are too small to be distinguished from 0.
            informations = simd.muladd(share, simd.log(simd.higher(share, fill(TINY)), fill(0.0)), informations)
        for i in range(whole, n):
            e = w[row, i] * w[row, i]
            share = e / total if total > 0 else 0.0
            deviation += (e - mean) * (e - mean)
            if share > 0:
                entropy -= share * np.log(share)
        found[row, 0], found[row, 1] = total, (deviation + simd.total(squares)) / n
        found[row, 2], found[row, 3] = length, entropy - simd.total(informations)
    return found
