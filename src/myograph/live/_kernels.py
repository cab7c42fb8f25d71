"""The compiled loop of a linear discriminant on one window."""

from __future__ import annotations

import math

import numpy as np

from myograph._common.jit import kernel


@kernel
def discriminant(row, scale, weights, intercept):  # pragma: no cover - compiled
    """Return the (class,) probabilities of a (column,) row: the softmax of row @ weights + intercept.

    scale : (column,) scale with which the row is first transformed as in `LogScale`; empty for no transformation.
    """
    scores = intercept.copy()
    for c in range(len(row)):
        value = row[c]
        if len(scale):
            value = math.copysign(math.log1p(abs(value) / scale[c]), value)
        for k in range(len(scores)):
            scores[k] += value * weights[c, k]
    shares = np.exp(scores - scores.max())
    return shares / shares.sum()
