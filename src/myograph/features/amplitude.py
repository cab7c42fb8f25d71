"""Amplitude and variability of a window: sums over its samples and over their differences."""

from __future__ import annotations

import numpy as np

from myograph.errors import ConfigError
from myograph.features._base import EPS, EXP_FLOOR, centred, check_count, check_level, feature, ratio


@feature("MAV")
def mav(x):
    """Mean absolute value: (1/N) sum |x_i|.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1).

    >>> mav([[1, -3, 2], [0, 0, 6]])
    array([2., 2.])
    """
    return np.abs(x).mean(-1)


@feature("MEAN")
def mean(x):
    """Mean: (1/N) sum x_i.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: the arithmetic mean; MEAN in LibEMG 2.0.3.

    >>> mean([1, -3, 2])
    array(0.)
    """
    return x.mean(-1)


@feature("IAV", aliases=("IEMG",))
def iav(x):
    """Integrated absolute value: sum |x_i|.

    Shape: (..., time) -> (...,), in the unit of x (times samples).

    Source: Phinyomark, Phukpattaranont & Limsakul 2012, Expert Syst. Appl. 39(8).

    >>> iav([1, -3, 2])
    array(6.)
    """
    return np.abs(x).sum(-1)


@feature("RMS")
def rms(x):
    """Root mean square: sqrt((1/N) sum x_i^2).

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8).

    >>> rms([3, -4, 0, 0])
    array(2.5)
    """
    return np.sqrt(np.square(x).mean(-1))


@feature("VAR")
def var(x):
    """Variance about the window's mean: (1/N) sum (x_i - mean)^2.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: the population variance, as VAR in LibEMG 2.0.3 and in arXiv 2405.19356.

    Deviation: Phinyomark et al. 2012 take the mean as zero and divide by N - 1.

    >>> var([1, 3, 5, 7])
    array(5.)
    """
    return np.square(centred(x)).mean(-1)


@feature("SSI", aliases=("ISD",))
def ssi(x):
    """Simple square integral: sum x_i^2.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: Phinyomark et al. 2012, Expert Syst. Appl. 39(8); LibEMG 2.0.3 calls it ISD, integral square
    descriptor.

    >>> ssi([1, -3, 2])
    array(14.)
    """
    return np.square(x).sum(-1)


@feature("WL", shortest=2)
def wl(x):
    """Waveform length: sum |x_(i+1) - x_i|.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1).

    >>> wl([1, -3, 2])
    array(9.)
    """
    return np.abs(np.diff(x)).sum(-1)


@feature("MFL", shortest=2)
def mfl(x):
    """Maximum fractal length: log10(WL).

    Shape: (..., time) -> (...,), log10 of the unit of x. A constant window gives log10(EPS) = -15.65.

    Source: Arjunan & Kumar 2010, J. NeuroEng. Rehabil. 7:53, in the form of LibEMG 2.0.3.

    Deviation: the paper takes the root of the summed squared differences. LibEMG takes WL, as here, but gives -inf
    where WL is 0.

    >>> mfl([0, 50, 0, 0])
    array(2.)
    """
    return np.log10(np.maximum(np.abs(np.diff(x)).sum(-1), EPS))


@feature("DASDV", shortest=2)
def dasdv(x):
    """Difference absolute standard deviation value: sqrt((1/(N-1)) sum (x_(i+1) - x_i)^2).

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Kim, Choi, Moon & Mun 2011, Curr. Appl. Phys. 11(3); Phinyomark et al. 2012.

    >>> dasdv([0, 3, -1])
    array(3.53553391)
    """
    return np.sqrt(np.square(np.diff(x)).mean(-1))


@feature("MAVFD", shortest=2, aliases=("DAMV",))
def mavfd(x):
    """Mean absolute value of the first difference: (1/(N-1)) sum |x_(i+1) - x_i|.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Picard, Vyzas & Healey 2001, IEEE Trans. Pattern Anal. Mach. Intell. 23(10); DAMV in Kim et al. 2011.

    >>> mavfd([1, -3, 2])
    array(4.5)
    """
    return np.abs(np.diff(x)).mean(-1)


@feature("MDIFF", shortest=2)
def mdiff(x):
    """Mean square of the first difference: (1/N) sum (x_(i+1) - x_i)^2.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: MDIFF in LibEMG 2.0.3, which also divides by N, not by N - 1.

    >>> mdiff([0, 3, -1, -1])
    array(6.25)
    """
    return np.square(np.diff(x)).sum(-1) / x.shape[-1]


@feature("MZP", shortest=2)
def mzp(x):
    """Multiplication of power and peaks: sqrt((1/N) sum (x_(i+1) - x_i)^2), the root of MDIFF.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: MZP in LibEMG 2.0.3.

    >>> mzp([0, 3, -1, -1])
    array(2.5)
    """
    return np.sqrt(np.square(np.diff(x)).sum(-1) / x.shape[-1])


@feature("LD")
def ld(x):
    """Log detector of 1 + |x|, so that zeros count: exp((1/N) sum ln(1 + |x_i|)).

    Shape: (..., time) -> (...,), in the unit of x; a window of zeros gives 1.

    Source: LD in LibEMG 2.0.3.

    Deviation: LOG is the published form, without the 1.

    >>> float(ld([0, -3, 0, 3]).round(6))
    2.0
    """
    return np.exp(np.log1p(np.abs(x)).mean(-1))


@feature("LOG")
def log(x):
    """Log detector: exp((1/N) sum ln |x_i|), the geometric mean of |x|.

    Shape: (..., time) -> (...,), in the unit of x. A window with an exact zero gives 0, as the formula does; LD does
    not give 0.

    Source: Zardoshti-Kermani, Wheeler, Badie & Hashemi 1995, IEEE Trans. Rehabil. Eng. 3(4).

    >>> log([[1, -4], [0, 4]])
    array([2., 0.])
    """
    magnitude = np.abs(x)
    has_zero = (magnitude == 0).any(-1)
    mean_log = np.log(np.where(magnitude == 0, 1.0, magnitude)).mean(-1)
    return np.where(has_zero, 0.0, np.exp(mean_log))


@feature("MMAV1")
def mmav1(x):
    """Modified mean absolute value, type 1: (1/N) sum w_i |x_i|, w_i = 1 for N/4 <= i <= 3N/4, else 1/2; i = 1..N.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Phinyomark, Limsakul & Phukpattaranont 2009, J. Comput. 1(1).

    >>> mmav1([4, -4, 4, -4])
    array(3.5)
    """
    n = x.shape[-1]
    i = np.arange(1, n + 1)
    return (np.where((i >= 0.25 * n) & (i <= 0.75 * n), 1.0, 0.5) * np.abs(x)).mean(-1)


@feature("MMAV2")
def mmav2(x):
    """Modified mean absolute value, type 2: (1/N) sum w_i |x_i| with trapezoidal weights; i = 1..N.

    w_i = 1 for N/4 <= i <= 3N/4, 4i/N before, 4(N-i)/N after.

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Phinyomark, Limsakul & Phukpattaranont 2009, J. Comput. 1(1).

    Deviation: the paper prints 4(i-N)/N after 3N/4, which is negative; its magnitude is used here.

    >>> mmav2([4, -4, 4, -4])
    array(3.)
    """
    n = x.shape[-1]
    i = np.arange(1, n + 1)
    return (np.minimum(1.0, np.minimum(4 * i / n, 4 * (n - i) / n)) * np.abs(x)).mean(-1)


@feature("MAVS", shortest=lambda p, c: p["segments"], outputs=lambda p, c: p["segments"])
def mavs(x, *, segments=2):
    """MAV of each segment of the window, which describes how the contraction changes within the window.

    Shape: (..., time) -> (..., segments), in the unit of x. Segments have floor(N / segments) samples each, from the
    window's start; the remaining samples are not used.

    Source: Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1), who take features of segments.

    >>> mavs([1, -1, 3, -3])
    array([1., 3.])
    """
    return _segment_means(x, check_count("MAVS", "segments", segments, least=2))


@feature("MAVSLP", shortest=lambda p, c: p["segments"], outputs=lambda p, c: p["segments"] - 1)
def mavslp(x, *, segments=2):
    """Slope of the mean absolute value: MAV of segment k+1 minus MAV of segment k.

    Shape: (..., time) -> (..., segments - 1), in the unit of x. Segments are those of MAVS.

    Source: Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1).

    Deviation: LibEMG 2.0.3 rounds N / segments, and with more than two segments it assigns slopes to other windows.

    >>> mavslp([1, -1, 3, -3, 2, -2], segments=3)
    array([ 2., -1.])
    """
    return np.diff(_segment_means(x, check_count("MAVSLP", "segments", segments, least=2)))


def _segment_means(x: np.ndarray, segments: int) -> np.ndarray:
    n = x.shape[-1] // segments
    return np.abs(x[..., : n * segments].reshape(*x.shape[:-1], segments, n)).mean(axis=-1)


@feature("MSR")
def msr(x):
    """Mean square root: |(1/N) sum sqrt(x_i)|, where the roots of negative samples are imaginary.

    That is (1/N) hypot(sum of sqrt(x_i) over x_i > 0, sum of sqrt(-x_i) over x_i < 0).

    Shape: (..., time) -> (...,), in the root of x's unit.

    Source: Samuel, Zhou, Li et al. 2018, Comput. Electr. Eng. 67; the modulus as in LibEMG 2.0.3.

    >>> msr([9, -16])
    array(2.5)
    """
    n = x.shape[-1]
    return np.hypot(np.sqrt(np.maximum(x, 0)).sum(-1), np.sqrt(np.maximum(-x, 0)).sum(-1)) / n


@feature("LS", shortest=2)
def ls(x):
    """L-score: the second L-moment, half the expected distance between two samples.

    l_2 = 2 b_1 - b_0 with b_0 = mean(x), b_1 = (1/N) sum_i ((i-1)/(N-1)) x_(i) over the sorted samples x_(1..N).

    Shape: (..., time) -> (...,), in the unit of x.

    Source: Hosking 1990, J. R. Stat. Soc. B 52(1).

    >>> ls([4, 0, 8])
    array(2.66666667)
    """
    n = x.shape[-1]
    weight = (2 * np.arange(n) - (n - 1)) / (n * (n - 1))
    ordered = np.sort(x)
    ordered -= ordered[..., :1].copy()
    return np.einsum("...k,k->...", ordered, weight)


@feature("MPK")
def mpk(x):
    """Maximum peak: max x_i.

    Shape: (..., time) -> (...,), in the unit of x. PKF is the frequency of the highest power.

    Source: MPK in LibEMG 2.0.3.

    >>> mpk([1, -3, 2])
    array(2.)
    """
    return x.max(-1)


@feature("TM")
def tm(x, *, order=3):
    """Absolute temporal moment: (1/N) sum |x_i|^order.

    Shape: (..., time) -> (...,), in x's unit to the power `order` (a whole number >= 1; 3 by default).

    Source: Saridis & Gootee 1982, IEEE Trans. Biomed. Eng. 29(6); TM3 in Phinyomark et al. 2012.

    >>> tm([1, -2, 3], order=3)
    array(12.)
    """
    order = check_count("TM", "order", order)
    return (np.abs(x) ** order).mean(-1)


@feature("VO")
def vo(x, *, order=2):
    """v-order: ((1/N) sum |x_i|^order)^(1/order).

    Shape: (..., time) -> (...,), in the unit of x; order 2 is RMS.

    Source: Zardoshti-Kermani et al. 1995, IEEE Trans. Rehabil. Eng. 3(4).

    >>> vo([3, -4, 0, 0], order=2)
    array(2.5)
    """
    order = check_level("VO", "order", order, above=0)
    peak = np.abs(x).max(-1, keepdims=True)
    return peak[..., 0] * (ratio(np.abs(x), peak) ** order).mean(-1) ** (1 / order)


@feature("MLK")
def mlk(x):
    """Mean logarithm of the kernel: (1/N) ln(EPS + sum |x_i|).

    Shape: (..., time) -> (...,); zeros give ln(EPS) / N.

    Source: MLK in LibEMG 2.0.3.

    >>> mlk([[1, -1, 1, -1], [0, 0, 0, 0]]).round(4)
    array([ 0.3466, -9.0109])
    """
    return np.log(np.abs(x).sum(-1) + EPS) / x.shape[-1]


@feature("COR", shortest=3)
def cor(x):
    """Coefficient of regularisation: (sum dx_i^2 / N) / ((sum ddx_i^2 / N) sum x_i^2).

    dx is the first difference of x and ddx the second.

    Shape: (..., time) -> (...,), per squared unit of x; 0 if the second difference is zero.

    Source: COR in LibEMG 2.0.3.

    >>> cor([0, 1, 0])
    array(0.5)
    """
    d = np.diff(x)
    return ratio(np.square(d).sum(-1), np.square(np.diff(d)).sum(-1) * np.square(x).sum(-1))


@feature("PAP", shortest=3)
def pap(x):
    """Peak average power: sqrt(sum x_i^2) sqrt(sum dx_i^2) / sqrt(sum ddx_i^2), with dx and ddx as in COR.

    Shape: (..., time) -> (...,), in the unit of x; 0 if the second difference is zero.

    Source: PAP in LibEMG 2.0.3.

    >>> float(pap([0, 2, 0]).round(6))
    1.414214
    """
    d = np.diff(x)
    m0, m2, m4 = (np.sqrt(np.square(s).sum(-1)) for s in (x, d, np.diff(d)))
    return ratio(m0 * m2, m4)


@feature("HIST", outputs=lambda p, c: p["bins"])
def hist(x, *, bins=20, sigma=None, centre=0.0):
    """Histogram: number of samples in each of `bins` equal bins from centre - 3 sigma to centre + 3 sigma.

    Samples outside this range count in the outermost bins, so that each row sums to N. Bins include their lower edge.

    Shape: (..., time) -> (..., bins), counts.

    sigma, in the unit of x, is a number or an array that broadcasts against `x.shape[:-1]` (for example one per
    channel). Learn it on training windows to keep the information about the amplitude. None takes each window's own
    root mean square about `centre` (also in the unit of x), so that a row never depends on other rows. If sigma is 0,
    samples below the centre fall in the lowest bin, those above it in the highest, and those equal to it in the one
    just above the middle.

    Source: Zecca, Micera, Carrozza & Dario 2002, Crit. Rev. Biomed. Eng. 30(4-6); 20 bins over +-3 sigma as in
    Atzori et al. 2014, Sci. Data 1:140053.

    Deviation: neither paper says over which samples sigma is computed.

    >>> hist([-9, -1, 1, 1, 2], bins=4, sigma=1)
    array([1., 1., 2., 1.])
    """
    bins = check_count("HIST", "bins", bins, least=2)
    y = x - centre
    scale = np.sqrt(np.square(y).mean(-1)) if sigma is None else np.asarray(sigma, dtype=np.float64)
    if not (np.isfinite(scale).all() and (scale >= 0).all()):
        raise ConfigError(f"HIST: sigma must be finite and not negative, got {sigma!r}")
    scale = np.broadcast_to(scale, x.shape[:-1])[..., None]
    position = np.where(scale > 0, ratio(y, 6 * scale), np.sign(y)) + 0.5
    index = np.clip(np.floor(position * bins), 0, bins - 1).astype(np.intp)
    rows = index.reshape(-1, x.shape[-1])
    flat = (rows + bins * np.arange(len(rows))[:, None]).ravel()
    counts = np.bincount(flat, minlength=bins * len(rows))
    return counts.reshape(*x.shape[:-1], bins).astype(np.float64)


@feature("ENT")
def ent(x):
    """Entropy of the window's softmax, in nats: -sum p_i ln p_i with p_i = exp(x_i) / sum_j exp(x_j).

    It is computed as ln(1 + R) - (1/(1 + R)) sum (x_i - max) exp(x_i - max), where R is the sum of exp(x_i - max) over
    all samples except the maximum. This neither overflows in any unit nor cancels where the maximum is far above the
    rest.

    Shape: (..., time) -> (...,), nats; a constant window gives ln N. It depends on the unit of x: if the largest sample
    is many units above the next one, it is near 0.

    Source: arXiv 2405.19356 (feature-imitating networks for EMG), as scipy.stats.entropy of softmax(window).

    >>> ent([[2, 2, 2, 2], [0, 0, 0, 100]]).round(4)
    array([1.3863, 0.    ])
    """
    shifted = np.maximum(x - x.max(-1, keepdims=True), EXP_FLOOR)
    weight = np.where(shifted > EXP_FLOOR, np.exp(shifted), 0.0)
    np.put_along_axis(weight, x.argmax(-1)[..., None], 0.0, axis=-1)
    others = weight.sum(-1)
    return np.log1p(others) - (shifted * weight).sum(-1) / (1 + others)
