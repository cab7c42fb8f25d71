"""The features on a real armband's raw counts, which hold many exact zeros."""

from __future__ import annotations

import numpy as np
import pytest

from myograph.datasets.load import load
from myograph.features import FEATURES
from myograph.windows import Windowing, Windows


@pytest.mark.real_data
def test_every_feature_is_finite_and_crossings_at_zero_are_not_lost():
    recordings = load("myoarmband", subjects=["Male0"])
    windows = Windows.cut(recordings, Windowing(length_ms=250, step_ms=250))
    x = np.asarray(windows)
    for name in FEATURES:
        options = {"rate_hz": windows.rate_hz} if FEATURES[name].needs_rate else {}
        assert np.isfinite(FEATURES[name](x, **options)).all(), name
    ours = FEATURES["ZC"](x).sum()
    steps_of_two = (np.abs(np.diff(np.sign(x))) == 2).sum()  # what a count by neighbours alone finds
    assert 0.03 < 1 - steps_of_two / ours < 0.3
