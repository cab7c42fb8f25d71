"""Window features as pure functions, with the registry that names them.

Each feature maps windows `(..., time)` to one number `(...,)` or to `(..., k)` numbers per window. The few features of
several channels (`axes == "channel"`) map `(..., channel, time)` to `(..., k)`.

>>> import numpy as np
>>> from myograph.features import FEATURES, resolve
>>> windows = np.random.default_rng(0).normal(size=(5, 2, 100))  # window, channel, time
>>> FEATURES["mav"](windows).shape
(5, 2)
>>> FEATURES["AR"](windows, order=6).shape
(5, 2, 6)
>>> [f.name for f in resolve(["HTD", "RMS"])]  # a group stands for its members
['MAV', 'ZC', 'SSC', 'WL', 'RMS']

The following holds for all features:

- The result for a window depends on that window alone, never on the others in the array.
- Sums are computed in float64, whatever the dtype of the input. Samples are in the recording's unit (µV, or adc counts).
- NaN or infinite samples raise `SignalError`, too short windows `ShapeError`, and impossible options `ConfigError`.
- Every finite window has a finite result: 0/0 counts as 0, and the argument of a logarithm is raised to at least `EPS`.
"""

from __future__ import annotations

from myograph.features._base import EPS, FEATURES, GROUPS, Feature, feature, resolve

__all__ = ["EPS", "FEATURES", "GROUPS", "Feature", "feature", "resolve"]
