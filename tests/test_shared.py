"""Features that share a transform equal the pure functions."""

from __future__ import annotations

import numpy as np
import pytest

from myograph.features import FEATURES
from myograph.features._fast.shared import SPECTRAL, WAVELET
from myograph.features.transformer import Features


@pytest.mark.parametrize("names", [SPECTRAL, SPECTRAL[::-1], WAVELET, (*WAVELET[::-1], "MAV", *SPECTRAL)])
@pytest.mark.parametrize("length", [64, 150])
def test_one_transform_gives_what_each_feature_gives_alone(names, length):
    x = np.random.default_rng(1).standard_normal((7, 3, length)) * 30
    x[2] = 0.0
    x[3, 1] = 4.0
    got = Features(names, rate_hz=1000.0).transform(x)
    want = []
    for name in names:
        entry = FEATURES[name]
        values = entry(x, **({"rate_hz": 1000.0} if entry.needs_rate else {}))
        want.append((np.moveaxis(values, -1, 1) if entry.vector else values).reshape(7, -1))
    np.testing.assert_allclose(got, np.concatenate(want, axis=1), rtol=1e-9, atol=1e-9)


def test_options_keep_wavelet_features_apart():
    x = np.random.default_rng(2).standard_normal((4, 2, 200))
    got = Features(["WENG", "WV"], options={"WV": {"level": 2}}, rate_hz=1000.0).fit(x).transform(x)
    assert got.shape == (4, 2 * (8 + 3))
    want = np.moveaxis(FEATURES["WV"](x, rate_hz=1000.0, level=2), -1, 1).reshape(4, -1)
    np.testing.assert_allclose(got[:, 16:], want, rtol=1e-12)
