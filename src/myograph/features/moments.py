"""Moments of the spectrum computed in the time domain: Hjorth's descriptors and the TDPSD set."""

from __future__ import annotations

import numpy as np

from myograph.features._base import EPS, feature, floored_log, ratio


@feature("ACT")
def act(x):
    """Hjorth activity: mean power m_0 = (1/N) sum x_i^2.

    Shape: (..., time) -> (...,), in the squared unit of x.

    Source: Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3).

    Deviation: none for zero-mean signals, to which Hjorth's variance applies; as in LibEMG 2.0.3 the mean stays in.
    """
    return np.square(x).mean(-1)


@feature("MOB", shortest=2)
def mob(x):
    """Hjorth mobility: sqrt(m_2 / m_0), m_2 = (1/N) sum dx_i^2, m_0 = (1/N) sum x_i^2.

    Shape: (..., time) -> (...,), radians a sample (the root mean square frequency, for slow signals); zeros give 0.

    Source: Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3).
    """
    return np.sqrt(ratio(np.square(np.diff(x)).sum(-1), np.square(x).sum(-1)))


@feature("COMP", shortest=3)
def comp(x):
    """Hjorth complexity: the mobility of the first difference over the mobility, sqrt(m_4 m_0) / m_2.

    m_4 = (1/N) sum ddx_i^2 with the second difference ddx; m_2, m_0 as in MOB. A sine gives 1, anything else more.

    Shape: (..., time) -> (...,), without unit; 0 where m_2 is 0.

    Source: Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3).

    Deviation: LibEMG 2.0.3 returns sqrt(m_4 / m_2), the mobility of the difference, and sums m_4 over all windows and
    channels that it is given.
    """
    d = np.diff(x)
    m0, m2, m4 = (np.sqrt(np.square(s).sum(-1)) for s in (x, d, np.diff(d)))
    return ratio(m4 * m0, m2 * m2)


@feature("M0", shortest=2)
def m0(x):
    """Power spectral descriptor of order 0: orientation of f = ln(R_0).

    Descriptors of this set (M0, M2, M4, SPARSI, IRF, WLF) compute one f of the window and one of its log-scaled copy
    y_i = ln(x_i^2 + EPS), and return the cosine-like -2 f(x) f(y) / (f(x)^2 + f(y)^2), which lies within [-1, 1].
    R_0 = (sqrt(sum x_i^2) / (N-1))^0.1 / 0.1; R_2 and R_4 come from the first and second differences as
    sqrt(sum (.)^2 / (N-1))^0.1 / 0.1. Logarithms are taken of magnitudes, of EPS at least.

    Shape: (..., time) -> (...,), without unit.

    Source: Al-Timemy, Khushaba, Bugmann & Escudero 2016, IEEE Trans. Neural Syst. Rehabil. Eng. 24(6); Khushaba et
    al. 2014, Neural Networks 55; the normalisations as in LibEMG 2.0.3.

    Deviation: N - 1 divides outside the root in R_0 and inside it in R_2 and R_4, as in LibEMG 2.0.3.
    """
    return _orientation(x, lambda s: _roots(s, 0)[0])


@feature("M2", shortest=2)
def m2(x):
    """Power spectral descriptor of order 2: orientation (see M0) of f = ln |R_0 - R_2|.

    Shape: (..., time) -> (...,), without unit.

    Source: as M0.
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

    Deviation: the papers print the reciprocal, whose logarithm differs in sign alone: the orientation is the same.
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
    """

    def value(s):
        d = np.diff(s)
        return np.sqrt(ratio(np.abs(d).sum(-1), np.abs(np.diff(d)).sum(-1)))

    return _orientation(x, value)


def _roots(s, orders):
    """[R_0, R_2, R_4][: orders + 1], each (...,)."""
    n = s.shape[-1]
    roots = [(np.sqrt(np.square(s).sum(-1)) / (n - 1)) ** 0.1 / 0.1]
    for _ in range(orders):
        s = np.diff(s)
        roots.append(np.sqrt(np.square(s).sum(-1) / (n - 1)) ** 0.1 / 0.1)
    return roots


def _orientation(x, value):
    a, b = (floored_log(np.abs(value(s))) for s in (x, np.log(np.square(x) + EPS)))
    return ratio(-2 * a * b, a * a + b * b)
