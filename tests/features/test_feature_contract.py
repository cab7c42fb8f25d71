"""What holds for every registered feature, whoever adds it."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myograph.errors import ConfigError, ShapeError, SignalError, UnknownNameError
from myograph.features import FEATURES, GROUPS, resolve

NAMES = list(FEATURES)
N = 90  # no power of two, and divisible by neither 4 nor 7


def options(name: str) -> dict:
    return {"rate_hz": 1000.0} if FEATURES[name].needs_rate else {}


def compute(name: str, x) -> np.ndarray:
    return FEATURES[name](x, **options(name))


def emg(*shape: int, seed: int = 5) -> np.ndarray:
    return 40 * np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("name", NAMES)
def test_shape_dtype_and_number_of_outputs(name):
    feature, x = FEATURES[name], emg(4, 3, N)
    k = feature.n_outputs(3, **options(name))
    leading = (4, 3) if feature.axes == "time" else (4,)
    assert compute(name, x).shape == ((*leading, k) if feature.vector else leading)
    assert feature.vector or k == 1
    assert compute(name, x).dtype == np.float64
    assert compute(name, x[0]).shape == compute(name, x).shape[1:]
    if feature.axes == "time":
        assert compute(name, x[0, 0]).shape == compute(name, x).shape[2:]
        assert compute(name, x[None, None]).shape == (1, 1, *compute(name, x).shape)
    assert compute(name, x[:0]).shape == (0, *compute(name, x).shape[1:])


@pytest.mark.parametrize("name", NAMES)
def test_a_row_does_not_see_its_batch(name):
    x = emg(7, 4, N)
    x[2] *= 1e6
    x[3] = 0
    together = compute(name, x)
    for i in range(len(x)):
        np.testing.assert_array_equal(together[i], compute(name, x[i : i + 1])[0])
        np.testing.assert_array_equal(together[i], compute(name, x[i]))
    if FEATURES[name].axes == "time":
        np.testing.assert_array_equal(together[1, 2], compute(name, x[1, 2]))
    order = np.array([6, 0, 3, 2, 2])
    np.testing.assert_array_equal(compute(name, x[order]), together[order])


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_layout_does_not_matter(name):
    signal = emg(4, 400)
    view = np.lib.stride_tricks.sliding_window_view(signal, N, axis=1)[:, ::31].swapaxes(0, 1)
    expected = compute(name, view.copy())
    np.testing.assert_array_equal(compute(name, view), expected)
    np.testing.assert_array_equal(compute(name, np.asfortranarray(view)), expected)
    np.testing.assert_array_equal(compute(name, view[::-1, :, :][::-1]), expected)
    assert view.flags.writeable is False or np.array_equal(signal, emg(4, 400))


@pytest.mark.parametrize("name", NAMES)
def test_float32_and_integers_are_summed_in_float64(name):
    x = np.round(emg(2, 3, N))
    exact = compute(name, x)
    np.testing.assert_array_equal(compute(name, x.astype(np.float32)), exact)
    np.testing.assert_array_equal(compute(name, x.astype(np.int16)), exact)
    np.testing.assert_array_equal(compute(name, x.tolist()), exact)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_finite_for_every_finite_window(name):
    t = np.arange(N)
    noise = emg(3, N)
    hard = {
        "zeros": np.zeros((3, N)),
        "constant": np.full((3, N), 0.1),
        "negative constant": np.full((3, N), -7.0),
        "one impulse": np.eye(3, N) * 50,
        "ramp": np.tile(t * 1.0, (3, 1)),
        "alternating": np.tile((-1.0) ** t, (3, 1)),
        "square": np.tile(np.where(t % 20 < 10, 3.0, -3.0), (3, 1)),
        "large offset": noise + 1e9,
        "tiny": noise * 1e-12,
        "large": noise * 1e9,
        "adc": np.round(noise / 20),
        "one dead channel": noise * np.array([[1.0], [0.0], [1.0]]),
        "equal channels": np.tile(noise[0], (3, 1)),
    }
    for what, x in hard.items():
        value = compute(name, x)
        assert np.isfinite(value).all(), f"{name} of {what}: {value}"


@pytest.mark.parametrize("name", NAMES)
def test_the_input_stays_as_it_is(name):
    x = emg(2, 3, N)
    before = x.copy()
    compute(name, x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", NAMES)
def test_too_short_windows_are_refused_and_the_shortest_work(name):
    feature = FEATURES[name]
    least = feature.shortest_window(3, **options(name))
    assert np.isfinite(compute(name, emg(2, 3, least))).all()
    with pytest.raises(ShapeError, match=rf"{name}: a window needs at least {least} samples, got {least - 1}"):
        compute(name, emg(2, 3, least)[..., : least - 1])


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_never_silent(name):
    for bad in (np.nan, np.inf, -np.inf):
        x = emg(2, 3, N)
        x[1, 2, 40] = bad
        with pytest.raises(SignalError, match="1 of 540 samples are NaN or infinite"):
            compute(name, x)
    with pytest.raises(SignalError, match="complex"):
        compute(name, emg(2, 3, N) * 1j)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_parameters_and_missing_axes(name):
    with pytest.raises(UnknownNameError, match=f"parameter of feature {name}"):
        FEATURES[name](emg(2, 3, N), **options(name), speed=3)
    few = emg(N) if FEATURES[name].axes == "channel" else np.float64(3.0)
    with pytest.raises(ShapeError, match="windows must be"):
        compute(name, few)


@pytest.mark.parametrize("name", [n for n in NAMES if FEATURES[n].needs_rate])
def test_a_rate_is_never_guessed(name):
    with pytest.raises(ConfigError, match=f"{name} needs rate_hz"):
        FEATURES[name](emg(3, N))
    for bad in (0, -1000.0, np.nan):
        with pytest.raises(ConfigError, match="positive number of Hz"):
            FEATURES[name](emg(3, N), rate_hz=bad)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_says_shape_and_source_and_every_parameter(name):
    feature = FEATURES[name]
    text = inspect.getdoc(feature.function) or ""
    shape = "(..., channel, time) ->" if feature.axes == "channel" else "(..., time) -> (...,"
    assert f"Shape: {shape}" in text
    assert feature.source
    assert feature.title
    for parameter in set(feature.parameters) - {"rate_hz"}:
        assert parameter in text, f"{name} does not explain {parameter}"


@pytest.mark.parametrize("name", NAMES)
def test_lookup_ignores_case_and_pickles(name):
    assert FEATURES[name.lower()] is FEATURES[name]
    assert name.lower() in FEATURES
    assert pickle.loads(pickle.dumps(FEATURES[name])) is FEATURES[name]


def test_resolve_expands_groups_keeps_order_and_drops_repetitions():
    assert [f.name for f in resolve("htd")] == ["MAV", "ZC", "SSC", "WL"]
    assert [f.name for f in resolve(["WL", "HTD", "rms", "ISD", "SSI"])] == ["WL", "MAV", "ZC", "SSC", "RMS", "SSI"]
    for group, members in GROUPS.items():
        assert len(resolve(group)) == len(members)


def test_misspelt_names_get_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"no feature named 'SAMPN'. Did you mean 'SAMPEN'"):
        FEATURES["SAMPN"]
    with pytest.raises(UnknownNameError, match=r"Use resolve\(\) for groups such as 'HTD'"):
        FEATURES["LS4"]
    with pytest.raises(UnknownNameError, match="feature or group"):
        resolve(["MAV", "HTDD"])


def test_iteration_lists_names_without_aliases():
    assert "SSI" in NAMES
    assert "ISD" not in NAMES
    assert FEATURES["isd"].name == "SSI"
    assert len(FEATURES) == len(NAMES)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), st.integers(24, 130), st.integers(1, 5), st.integers(0, 10**6))
def test_any_length_and_batch_gives_rows_of_their_own(name, n, rows, seed):
    x = np.round(emg(rows, 3, n, seed=seed) / 10)  # many exact zeros and ties
    value = compute(name, x)
    assert np.isfinite(value).all()
    np.testing.assert_array_equal(value[-1], compute(name, x[-1]))
