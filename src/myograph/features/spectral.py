"""Features of one periodogram per window.

All of them use P_k = |X_k|^2 / N^2 of the window, zero-padded to the next power of two n. The bins are k = 0 .. n/2 - 1
at f_k = k rate_hz / n, with the offset (k = 0) and without the Nyquist bin, as in LibEMG 2.0.3.
"""

from __future__ import annotations

import itertools

import numpy as np

from myograph.errors import ConfigError
from myograph.features._base import check_level, feature, ratio


def fft_length(n_samples: int) -> int:
    """Return the power of two that a window of `n_samples` is padded to.

    >>> fft_length(200)
    256
    """
    return 1 << (n_samples - 1).bit_length()


def power_spectrum(x: np.ndarray) -> np.ndarray:
    """Return P_k of the periodogram described at the top of this module.

    Shape: (..., time) -> (..., n/2), in the squared unit of x.

    >>> power_spectrum(np.cos(np.pi / 2 * np.arange(8))).round(4)
    array([0.  , 0.  , 0.25, 0.  ])
    """
    n = fft_length(x.shape[-1])
    spectrum = np.fft.rfft(x, n, axis=-1)[..., : n // 2] / x.shape[-1]
    return np.square(spectrum.real) + np.square(spectrum.imag)


def bin_frequencies(n_samples: int, rate_hz: float) -> np.ndarray:
    """Return the frequencies f_k of the bins in Hz, (n/2,).

    >>> bin_frequencies(n_samples=8, rate_hz=1000)
    array([  0., 125., 250., 375.])
    """
    n = fft_length(n_samples)
    return np.arange(n // 2) * (rate_hz / n)


@feature("MNF", shortest=2)
def mnf(x, *, rate_hz):
    """Mean frequency: sum f_k P_k / sum P_k.

    Shape: (..., time) -> (...,), in Hz; zeros give 0, and so does a constant window whose length is a power of two.

    Source: Stulen & De Luca 1981, IEEE Trans. Biomed. Eng. 28(7); Oskoei & Hu 2008, IEEE Trans. Biomed. Eng. 55(8).

    >>> float(mnf(np.sin(2 * np.pi * 125 * np.arange(256) / 1000), rate_hz=1000).round(4))
    125.0
    """
    p = power_spectrum(x)
    return ratio((p * bin_frequencies(x.shape[-1], rate_hz)).sum(-1), p.sum(-1))


@feature("MDF", shortest=2)
def mdf(x, *, rate_hz):
    """Median frequency: f_k of the first bin with sum_(j<=k) P_j > (sum P_j) / 2.

    Shape: (..., time) -> (...,), Hz, a multiple of rate_hz / n; zeros give 0.

    Source: Stulen & De Luca 1981, IEEE Trans. Biomed. Eng. 28(7).

    Deviation: LibEMG 2.0.3 fails on zeros.

    >>> mdf(np.sin(2 * np.pi * 125 * np.arange(256) / 1000), rate_hz=1000)
    array(125.)
    """
    running = np.cumsum(power_spectrum(x), axis=-1)
    above = running > running[..., -1:] / 2
    return above.argmax(-1) * (rate_hz / fft_length(x.shape[-1]))


@feature("PKF", shortest=2)
def pkf(x, *, rate_hz):
    """Peak frequency: f_k of the largest P_k, the lowest one if several are equal.

    Shape: (..., time) -> (...,), in Hz; zeros give 0.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8).

    >>> pkf(np.sin(2 * np.pi * 125 * np.arange(256) / 1000), rate_hz=1000)
    array(125.)
    """
    return power_spectrum(x).argmax(-1) * (rate_hz / fft_length(x.shape[-1]))


@feature("MNP", shortest=2)
def mnp(x):
    """Mean power: (2/n) sum P_k.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8).

    >>> mnp([1, -1, 1, -1, 2, 2, 2, 2])
    array(0.40625)
    """
    return power_spectrum(x).mean(-1)


@feature("TTP", shortest=2)
def ttp(x):
    """Total power: sum P_k.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8), where it is also the spectral moment of order 0.

    >>> ttp([3, 3, 3, 3])
    array(9.)
    """
    return power_spectrum(x).sum(-1)


@feature("SM", shortest=2)
def sm(x, *, rate_hz, order=2):
    """Spectral moment: sum f_k^order P_k.

    Shape: (..., time) -> (...,), Hz^order times the squared unit of x; order is 2 by default.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8), SM1 to SM3.

    >>> float(sm(np.sin(2 * np.pi * 125 * np.arange(256) / 1000), rate_hz=1000, order=1).round(4))
    31.25
    """
    order = check_level("SM", "order", order)
    return (power_spectrum(x) * bin_frequencies(x.shape[-1], rate_hz) ** order).sum(-1)


@feature("VCF", shortest=2)
def vcf(x, *, rate_hz):
    """Variance of the central frequency: sum (f_k - MNF)^2 P_k / sum P_k.

    Shape: (..., time) -> (...,), in Hz^2; zeros give 0.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8).

    Deviation: the paper writes SM2/SM0 - (SM1/SM0)^2, which is equal but suffers from cancellation.

    >>> t = np.arange(256) / 1000
    >>> float(vcf(np.sin(2 * np.pi * 125 * t) + np.sin(2 * np.pi * 250 * t), rate_hz=1000).round(4))
    3906.25
    """
    p, f = power_spectrum(x), bin_frequencies(x.shape[-1], rate_hz)
    total = p.sum(-1)
    mean = ratio((p * f).sum(-1), total)
    return ratio((p * np.square(f - mean[..., None])).sum(-1), total)


BAND_EDGES_HZ = (20.0, 92.0, 163.0, 235.0, 305.0, 378.0, 450.0)


def _bands(p, c):
    return sum(edge < p["rate_hz"] / 2 for edge in BAND_EDGES_HZ[1:])


@feature("DFTR", outputs=_bands, shortest=2)
def dftr(x, *, rate_hz):
    """Discrete Fourier transform representation: mean amplitude in frequency bands, to the power 2/3.

    That is (mean of sqrt(P_k) over the bins of a band)^(2/3) for the bands between 20, 92, 163, 235, 305, 378 and 450
    Hz, which include their lower edge. Bands that reach beyond rate_hz / 2 are left out.

    Shape: (..., time) -> (..., bands): 6 bands above 900 Hz, 1 at 200 Hz. Rates up to 184 Hz raise ConfigError, since
    no band fits.

    Source: He, Zhang, Sheng, Li & Zhu 2015, IEEE J. Biomed. Health Inform. 19(3); bands as in LibEMG 2.0.3.

    Deviation: LibEMG 2.0.3 leaves out bins that lie on an edge, and gives NaN for a band without bins if windows are
    short. Here windows are padded until every band has a bin.

    >>> int(dftr(np.sin(2 * np.pi * 125 * np.arange(256) / 1000), rate_hz=1000).argmax())
    1
    """
    n_bands = _bands({"rate_hz": rate_hz}, 1)
    if n_bands == 0:
        raise ConfigError(f"DFTR: its lowest band ends at 92 Hz, above half the rate of {rate_hz} Hz; leave it out")
    n = x.shape[-1]
    length = max(fft_length(n), fft_length(int(np.ceil(rate_hz / np.diff(BAND_EDGES_HZ).min()))))
    amplitude = np.abs(np.fft.rfft(x, length, axis=-1)[..., : length // 2]) / n
    first = np.ceil(np.array(BAND_EDGES_HZ[: n_bands + 1]) * (length / rate_hz)).astype(int)
    bands = [amplitude[..., low:high].mean(-1) for low, high in itertools.pairwise(first)]
    return np.stack(bands, axis=-1) ** (2 / 3)
