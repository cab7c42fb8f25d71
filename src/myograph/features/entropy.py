"""Entropies that measure a window's regularity: sample, fuzzy, multiscale and permutation entropy."""

from __future__ import annotations

import math

import numpy as np

from myograph.errors import ConfigError
from myograph.features._base import centred, check_count, check_level, feature, ratio


def _dim_and_two(p, c):
    return p["dim"] + 2


@feature("SAMPEN", shortest=_dim_and_two)
def sampen(x, *, dim=2, tolerance=0.3):
    """Sample entropy: ln(B / A).

    B counts the pairs of templates i < j, among the N - dim templates that start at i = 1 .. N - dim, whose `dim`
    samples differ by at most r. A counts the pairs whose dim + 1 samples differ by at most r. r is `tolerance` times
    the window's standard deviation (divisor N).

    Shape: (..., time) -> (...,), nats. If A or B is 0, the result is the greatest value that N samples can give,
    ln((N - dim)(N - dim - 1) / 2); a constant window gives 0.

    Source: Richman & Moorman 2000, Am. J. Physiol. Heart Circ. Physiol. 278(6); dim 2 and tolerance 0.3 as in LibEMG.

    Deviation: LibEMG 2.0.3 compares N - m templates with N - m + 1, so A and B count different sets of templates.

    >>> float(sampen(np.tile([0, 1, 0, -1], 25)).round(4))
    0.0
    >>> float(sampen(np.random.default_rng(0).normal(size=100)).round(4))
    1.8326
    """
    dim = check_count("SAMPEN", "dim", dim)
    tolerance = check_level("SAMPEN", "tolerance", tolerance, above=0)
    c = centred(x)
    radius = tolerance * np.sqrt(np.square(c).mean(-1))
    return _sample_entropy(c, radius, dim)


@feature(
    "MSE",
    outputs=lambda p, c: p["scales"],
    shortest=lambda p, c: (p["dim"] + 2) * p["scales"],
    aliases=("MSEN",),
)
def mse(x, *, scales=5, dim=2, tolerance=0.3):
    """Multiscale entropy: the sample entropy of the means of 1, 2, .. `scales` consecutive samples.

    Scale s uses the means of floor(N / s) stretches that do not overlap, with templates of `dim` and dim + 1 means. r
    is the same at every scale: `tolerance` times the standard deviation of the window at scale 1.

    Shape: (..., time) -> (..., scales), nats; see SAMPEN for windows without matches.

    Source: Costa, Goldberger & Peng 2002, Phys. Rev. Lett. 89(6):068102.

    >>> mse(np.random.default_rng(0).normal(size=100), scales=2).round(4)
    array([1.8326, 1.7148])
    """
    scales, dim = check_count("MSE", "scales", scales), check_count("MSE", "dim", dim)
    tolerance = check_level("MSE", "tolerance", tolerance, above=0)
    c = centred(x)
    radius = tolerance * np.sqrt(np.square(c).mean(-1))
    coarse = (_coarse(c, scale) for scale in range(1, scales + 1))
    return np.stack([_sample_entropy(s, radius, dim) for s in coarse], axis=-1)


@feature("FUZZYEN", shortest=_dim_and_two)
def fuzzyen(x, *, dim=2, tolerance=0.3, power=2.0):
    """Fuzzy entropy: ln(phi_dim / phi_(dim+1)).

    The window is scaled to zero mean and unit standard deviation. phi_m is the mean of exp(-d^power / tolerance) over
    all pairs i < j of the N - dim templates. A template is the m samples from i on, minus their own mean, and d is the
    largest difference between two templates.

    Shape: (..., time) -> (...,), nats; a constant window gives 0, and both means are at least EPS.

    Source: Chen, Wang, Xie & Yu 2007, IEEE Trans. Neural Syst. Rehabil. Eng. 15(2); the defaults as in LibEMG 2.0.3
    (`power` is its `win`).

    Deviation: LibEMG 2.0.3 does not scale the window and divides d^power by tolerance times its standard deviation, so
    that the entropy of a signal differs between mV and V; and it compares N - m templates with N - m + 1.

    >>> float(fuzzyen(np.random.default_rng(0).normal(size=100)).round(4))
    1.1967
    """
    dim = check_count("FUZZYEN", "dim", dim)
    tolerance = check_level("FUZZYEN", "tolerance", tolerance, above=0)
    power = check_level("FUZZYEN", "power", power, above=0)
    c = centred(x)
    c = ratio(c, np.abs(c).max(-1, keepdims=True))
    scaled = ratio(c, np.sqrt(np.square(c).mean(-1, keepdims=True)))
    from myograph.features._pairs import fuzzy_entropies

    return fuzzy_entropies(scaled.reshape(-1, x.shape[-1]), dim, tolerance, power).reshape(x.shape[:-1])


@feature("PERMEN", shortest=lambda p, c: (p["order"] - 1) * p["delay"] + 1)
def permen(x, *, order=3, delay=1):
    """Permutation entropy: -sum p ln p over the frequencies p of the orderings of x_i, x_(i+delay), .. (`order`
    samples).

    If samples are equal, the earlier one ranks first.

    Shape: (..., time) -> (...,), nats, 0 to ln(order!); order is 2 to 7, delay in samples.

    Source: Bandt & Pompe 2002, Phys. Rev. Lett. 88(17):174102.

    Deviation: nats instead of the paper's bits.

    >>> permen([[1, 3, 2, 4, 3]], order=2).round(4)
    array([0.6931])
    """
    order, delay = check_count("PERMEN", "order", order, least=2), check_count("PERMEN", "delay", delay)
    if order > 7:
        raise ConfigError(f"PERMEN: order must be 2 to 7 ({math.factorial(7)} orderings), got {order}")
    n = x.shape[-1] - (order - 1) * delay
    samples = [x[..., k * delay : k * delay + n] for k in range(order)]
    ordering = np.zeros(samples[0].shape, dtype=np.intp)  # the Lehmer code, a number in 0 .. order! - 1
    for k in range(order - 1):
        inversions = sum(samples[later] < samples[k] for later in range(k + 1, order))
        ordering = ordering * (order - k) + inversions
    kinds = math.factorial(order)
    rows = ordering.reshape(-1, n)
    flat = (rows + kinds * np.arange(len(rows))[:, None]).ravel()
    p = np.bincount(flat, minlength=kinds * len(rows)).reshape(*x.shape[:-1], kinds) / n
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)


def _coarse(x, scale):
    """Return the means of `scale` consecutive samples: (..., floor(N / scale))."""
    n = x.shape[-1] // scale
    return x[..., : n * scale].reshape(*x.shape[:-1], n, scale).mean(-1)


def _sample_entropy(x, radius, dim):
    from myograph.features._pairs import count_matches

    n = x.shape[-1]
    b, a = count_matches(np.ascontiguousarray(x.reshape(-1, n)), radius.ravel(), dim).T
    greatest = math.log((n - dim) * (n - dim - 1) / 2)
    found = (a > 0) & (b > 0)
    entropy = np.where(found, np.log(np.where(found, b, 1) / np.where(found, a, 1)), greatest)
    return entropy.reshape(x.shape[:-1])
