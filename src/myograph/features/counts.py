"""Features that count events: crossings, turns and large steps."""

from __future__ import annotations

import numpy as np

from myograph.features._base import check_level, feature


@feature("ZC", shortest=2)
def zc(x, *, threshold=0.0):
    """Zero crossings: number of neighbouring samples of opposite sign that differ by at least `threshold`.

    Exact zeros are removed first: -2, 0, 4 is one crossing (of step 6), and 2, 0, 4 is none.

    Shape: (..., time) -> (...,), a count. threshold is in the unit of x.

    Source: Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1).

    Deviation: LibEMG 2.0.3 has no threshold and misses every crossing that touches zero.

    >>> zc([[-2, 0, 4, 5], [2, -1, 1, -2]], threshold=3)
    array([1., 2.])
    """
    return _sign_changes(x, lambda a, b: np.abs(a - b), check_level("ZC", "threshold", threshold))


@feature("SSC", shortest=3)
def ssc(x, *, threshold=0.0):
    """Slope sign changes: turning points at which at least one of the two slopes is `threshold` or more.

    With d_i = x_(i+1) - x_i and zero slopes removed: number of neighbours d_a, d_b of opposite sign with
    max(|d_a|, |d_b|) >= threshold. A flat top is one turning point, and a constant window has none.

    Shape: (..., time) -> (...,), a count. threshold is in the unit of x, between neighbouring samples.

    Source: Hudgins, Parker & Scott 1993, IEEE Trans. Biomed. Eng. 40(1).

    Deviation: LibEMG 2.0.3 requires (x_i - x_(i-1)) (x_i - x_(i+1)) >= threshold, in squared units, and so counts every
    sample of a flat stretch when the threshold is 0.

    >>> ssc([0, 5, 0, 1, 1, 0], threshold=3)
    array(2.)
    """
    level = check_level("SSC", "threshold", threshold)
    return _sign_changes(np.diff(x), lambda a, b: np.maximum(np.abs(a), np.abs(b)), level)


@feature("WAMP", shortest=2)
def wamp(x, *, threshold=10.0):
    """Willison amplitude: number of steps |x_(i+1) - x_i| greater than `threshold`.

    Shape: (..., time) -> (...,), a count. threshold is in the unit of x. The default of 10 (µV) is our choice; set it
    to suit the recording.

    Source: Willison 1964, J. Neurol. Neurosurg. Psychiatry 27(5); Phinyomark et al. 2012, Expert Syst. Appl. 39(8).

    Deviation: the default of LibEMG 2.0.3 is 0.002, without a stated unit.

    >>> wamp([0, 50, 45, -20], threshold=10)
    array(2.)
    """
    level = check_level("WAMP", "threshold", threshold)
    return (np.abs(np.diff(x)) > level).sum(-1).astype(np.float64)


@feature("MYOP")
def myop(x, *, threshold=10.0):
    """Myopulse percentage rate: the fraction of samples with |x_i| >= `threshold`.

    Shape: (..., time) -> (...,), 0 to 1. threshold is in the unit of x; 10 (µV) is our choice.

    Source: Philipson 1987, in Phinyomark et al. 2012, Expert Syst. Appl. 39(8).

    >>> myop([0, 50, 5, -20], threshold=10)
    array(0.5)
    """
    level = check_level("MYOP", "threshold", threshold)
    return (np.abs(x) >= level).mean(-1)


def _sign_changes(y, size, threshold):
    """Count neighbours of opposite sign, exact zeros removed, for which `size(a, b)` is at least `threshold`."""
    if (y == 0).any():  # a zero repeats the value before it, which gives the same pairs as removing it
        last = np.where(y != 0, np.arange(y.shape[-1]), 0)
        y = np.take_along_axis(y, np.maximum.accumulate(last, axis=-1), axis=-1)
    a, b = y[..., :-1], y[..., 1:]
    return ((np.sign(a) * np.sign(b) < 0) & (size(a, b) >= threshold)).sum(-1).astype(np.float64)
