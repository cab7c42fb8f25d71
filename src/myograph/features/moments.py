"""Skewness and kurtosis of the samples, and moments of the spectrum computed in the time domain (Hjorth, TDPSD)."""

from __future__ import annotations

import numpy as np

from myograph.features._base import EPS, centred, feature, floored_log, ratio


@feature("SKEW")
def skew(x):
    """Skewness: m_3 / m_2^(3/2), m_k = (1/N) sum (x_i - mean)^k.

    Shape: (..., time) -> (...,), without unit; a constant window gives 0.

    Source: the moment coefficient (Fisher-Pearson), biased, as scipy.stats.skew.

    >>> float(skew([0, 0, 0, 4]).round(6))
    1.154701
    """
    z = _standard(x)
    return (z * z * z).mean(-1)


@feature("KURT")
def kurt(x):
    """Kurtosis: m_4 / m_2^2 (3 for a normal distribution), m_k = (1/N) sum (x_i - mean)^k.

    Shape: (..., time) -> (...,), without unit; a constant window gives 0.

    Source: Pearson's moment coefficient, biased, as scipy.stats.kurtosis(fisher=False).

    >>> kurt([1, -1, 1, -1])
    array(1.)
    """
    z = _standard(x)
    return np.square(z * z).mean(-1)


def _standard(x):
    c = centred(x)
    c = ratio(c, np.abs(c).max(-1, keepdims=True))
    return ratio(c, np.sqrt(np.square(c).mean(-1, keepdims=True)))


@feature("ACT")
def act(x):
    """Hjorth activity: mean power m_0 = (1/N) sum x_i^2.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3).

    Deviation: Hjorth's variance is the same for zero-mean signals; as in LibEMG 2.0.3 the mean is not removed here.

    >>> act([1, -3, 2, 0])
    array(3.5)
    """
    return np.square(x).mean(-1)


@feature("MOB", shortest=2)
def mob(x):
    """Hjorth mobility: sqrt(m_2 / m_0), m_2 = (1/N) sum dx_i^2, m_0 = (1/N) sum x_i^2.

    Shape: (..., time) -> (...,), in radians per sample (for slow signals the root mean square frequency); zeros give 0.

    Source: Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3).

    >>> float(mob([2, -2, 2, -2]).round(4))
    1.7321
    """
    return np.sqrt(ratio(np.square(np.diff(x)).sum(-1), np.square(x).sum(-1)))


@feature("COMP", shortest=3)
def comp(x):
    """Hjorth complexity: the mobility of the first difference divided by the mobility, sqrt(m_4 m_0) / m_2.

    m_4 = (1/N) sum ddx_i^2 with the second difference ddx; m_2 and m_0 as in MOB. A sine gives 1, and any other signal
    gives more.

    Shape: (..., time) -> (...,), without unit; 0 where m_2 is 0.

    Source: Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3).

    Deviation: LibEMG 2.0.3 returns sqrt(m_4 / m_2), the mobility of the difference, and sums m_4 over all windows and
    channels that it is given.

    >>> float(comp(np.sin(0.01 * np.arange(10_000))).round(2))
    1.01
    """
    d = np.diff(x)
    m0, m2, m4 = (np.sqrt(np.square(s).sum(-1)) for s in (x, d, np.diff(d)))
    return ratio(m4 * m0, m2 * m2)


@feature("M0", shortest=2)
def m0(x):
    """Power spectral descriptor of order 0: orientation of f = ln(R_0).

    The descriptors of this set (M0, M2, M4, SPARSI, IRF, WLF) compute one f of the window and one of its log-scaled
    copy y_i = ln(x_i^2 + EPS), and return the cosine-like -2 f(x) f(y) / (f(x)^2 + f(y)^2), which lies within [-1, 1].
    R_0 = (sqrt(sum x_i^2) / (N-1))^0.1 / 0.1; R_2 and R_4 are sqrt(sum (.)^2 / (N-1))^0.1 / 0.1 of the first and second
    differences. Logarithms are taken of magnitudes, which are raised to at least EPS.

    Shape: (..., time) -> (...,), without unit.

    Source: Al-Timemy, Khushaba, Bugmann & Escudero 2016, IEEE Trans. Neural Syst. Rehabil. Eng. 24(6); Khushaba et
    al. 2014, Neural Networks 55; the normalisations as in LibEMG 2.0.3.

    Deviation: N - 1 divides outside the root in R_0 and inside it in R_2 and R_4, as in LibEMG 2.0.3.

    >>> m0(np.random.default_rng(0).normal(scale=20, size=(2, 200))).round(4)
    array([-0.9983, -0.9982])
    """
    return _orientation(x, lambda s: _roots(s, 0)[0])


@feature("M2", shortest=2)
def m2(x):
    """Power spectral descriptor of order 2: orientation (see M0) of f = ln |R_0 - R_2|.

    Shape: (..., time) -> (...,), without unit.

    Source: as M0.

    >>> m2(np.random.default_rng(0).normal(scale=20, size=(2, 200))).round(4)
    array([-0.8839, -0.8489])
    """

    def value(s):
        r0, r2 = _roots(s, 1)
        return r0 - r2

    return _orientation(x, value)


@feature("M4", shortest=3)
def m4(x):
    """Power spectral descriptor of order 4: orientation (see M0) of f = ln |R_0 - R_4|.

    Shape: (..., time) -> (...,), without unit.

    Source: as M0.

    >>> m4(np.random.default_rng(0).normal(scale=20, size=(2, 200))).round(4)
    array([-0.9392, -0.9188])
    """

    def value(s):
        r0, _, r4 = _roots(s, 2)
        return r0 - r4

    return _orientation(x, value)


@feature("SPARSI", shortest=3)
def sparsi(x):
    """Sparseness: orientation (see M0) of f = ln(sqrt(|(R_0 - R_2)(R_0 - R_4)|) / R_0).

    Shape: (..., time) -> (...,), without unit.

    Source: as M0.

    Deviation: the papers print the reciprocal. Its logarithm differs only in sign, so the orientation is the same.

    >>> sparsi(np.random.default_rng(0).normal(scale=20, size=(2, 200))).round(4)
    array([-0.9549, -0.94  ])
    """

    def value(s):
        r0, r2, r4 = _roots(s, 2)
        return ratio(np.sqrt(np.abs((r0 - r2) * (r0 - r4))), r0)

    return _orientation(x, value)


@feature("IRF", shortest=3)
def irf(x):
    """Irregularity factor: orientation (see M0) of f = ln(R_2 / sqrt(R_0 R_4)).

    Shape: (..., time) -> (...,), without unit.

    Source: as M0.

    >>> irf(np.random.default_rng(0).normal(scale=20, size=(2, 200))).round(4)
    array([-0.9138, -0.8883])
    """

    def value(s):
        r0, r2, r4 = _roots(s, 2)
        return ratio(r2, np.sqrt(r0 * r4))

    return _orientation(x, value)


@feature("WLF", shortest=3)
def wlf(x):
    """Waveform length factor: orientation (see M0) of f = ln sqrt(sum |dx_i| / sum |ddx_i|).

    Shape: (..., time) -> (...,), without unit.

    Source: as M0.

    >>> wlf(np.random.default_rng(0).normal(scale=20, size=(2, 200))).round(4)
    array([-0.997, -1.   ])
    """

    def value(s):
        d = np.diff(s)
        return np.sqrt(ratio(np.abs(d).sum(-1), np.abs(np.diff(d)).sum(-1)))

    return _orientation(x, value)


def _roots(s, orders):
    """Return [R_0, R_2, R_4][: orders + 1], each of shape (...,)."""
    n = s.shape[-1]
    roots = [(np.sqrt(np.square(s).sum(-1)) / (n - 1)) ** 0.1 / 0.1]
    for _ in range(orders):
        s = np.diff(s)
        roots.append(np.sqrt(np.square(s).sum(-1) / (n - 1)) ** 0.1 / 0.1)
    return roots


def _orientation(x, value):
    a, b = (floored_log(np.abs(value(s))) for s in (x, np.log(np.square(x) + EPS)))
    return ratio(-2 * a * b, a * a + b * b)
