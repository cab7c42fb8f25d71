import itertools

import numpy as np
import pytest
from scipy import signal as sps
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from myograph.errors import ConfigError, ShapeError, SignalError
from myograph.features.images import (
    PLACEMENT,
    WAVELETS,
    ChannelPCA,
    LogSpectrogram,
    Spectrogram,
    WaveletImages,
    power_spectrogram,
    wavelet_amplitude,
)
from myograph.recording import Recording
from myograph.windows import Windowing, Windows

RATE = 2000.0


def noise(n=40, channels=3, time=400, seed=0, dtype=np.float64):
    x = np.random.default_rng(seed).standard_normal((n, channels, time)) * np.arange(1, channels + 1)[:, None]
    return x.astype(dtype)


def windows(seconds=4, seed=0):
    x = np.random.default_rng(seed).standard_normal((3, int(seconds * RATE)))
    return Windows.cut(Recording(x, RATE, np.zeros(x.shape[1], int), "1"), Windowing(200, 50))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("segment", "hop", "window"), [(256, 72, "hamming"), (100, 100, "hann"), (33, 7, "boxcar")])
def test_power_spectrogram_is_scipys_stft_squared(dtype, segment, hop, window):
    x = noise(dtype=dtype)
    got = power_spectrogram(x, segment, hop, window)
    _, _, z = sps.stft(x, RATE, window, segment, segment - hop, boundary=None, padded=False, detrend=False)
    assert got.dtype == dtype
    assert got.shape == z.shape
    np.testing.assert_allclose(got, np.abs(z) ** 2, rtol=1e-9 if dtype == np.float64 else 1e-3, atol=1e-6)
    np.testing.assert_array_equal(power_spectrogram(x, segment, hop, window, 5), got[..., :5, :])
    np.testing.assert_allclose(power_spectrogram(x[3, 1], segment, hop, window), got[3, 1], rtol=1e-5)


def test_a_sine_on_a_bin():
    x = 6 * np.sin(2 * np.pi * 20 * np.arange(512) / 256)
    power = power_spectrogram(x, 256, 64, "boxcar")
    np.testing.assert_allclose(power[20], 9, rtol=1e-12)
    assert power.sum() == pytest.approx(9 * 5)


def test_the_papers_shape_and_scaling():
    x = noise(200)
    spectrogram = Spectrogram(rate_hz=RATE)
    image = spectrogram.fit_transform(x)
    assert image.shape == (200, 3, 95, 3)
    raw = power_spectrogram(x, 256, 72)[:, :, :95]
    low, high = np.percentile(raw, (1, 99), axis=(0, 2, 3))
    np.testing.assert_allclose(
        image, np.clip((raw - low[:, None, None]) / (high - low)[:, None, None], 0, 1), atol=1e-12
    )
    assert (image == 0).mean(axis=(0, 2, 3)) == pytest.approx([0.01] * 3, abs=1e-3)
    assert (image == 1).mean(axis=(0, 2, 3)) == pytest.approx([0.01] * 3, abs=1e-3)


def test_scaling_comes_from_train_rows_alone():
    train, test = noise(100, seed=1), 5 * noise(100, seed=2)
    fitted = Spectrogram(rate_hz=RATE).fit(train)
    before = (fitted.low_.copy(), fitted.high_.copy())
    together = fitted.transform(np.concatenate([train, test]))
    np.testing.assert_array_equal(together[100:], fitted.transform(test))
    np.testing.assert_array_equal(together[150], fitted.transform(test[50:51])[0])
    np.testing.assert_array_equal((fitted.low_, fitted.high_), before)
    assert (together[100:] == 1).mean() > 5 * (together[:100] == 1).mean()


def test_other_rates_keep_milliseconds_and_hertz():
    assert Spectrogram(rate_hz=1000.0).fit_transform(noise(time=200)).shape[2:] == (65, 3)  # 128 samples, to 500 Hz
    assert Spectrogram(rate_hz=1000.0, highest_hz=250.0).fit_transform(noise(time=200)).shape[2:] == (33, 3)


@pytest.mark.parametrize("image", [Spectrogram(), LogSpectrogram(), WaveletImages(n_frequencies=5)], ids=repr)
def test_windows_and_arrays_give_the_same(image):
    w = windows()
    array = clone(image).set_params(rate_hz=RATE)
    from_windows = image.fit_transform(w)
    np.testing.assert_allclose(from_windows, array.fit_transform(w.batch()), atol=1e-12)
    assert from_windows.min() == 0
    assert from_windows.max() == 1
    np.testing.assert_allclose(image.transform(w[5:9]), from_windows[5:9], atol=1e-12)
    assert image.transform(w[[]]).shape[0] == 0


@pytest.mark.parametrize(
    "estimator", [Spectrogram(RATE), LogSpectrogram(RATE), WaveletImages(RATE), ChannelPCA(2, "flat")], ids=repr
)
def test_scikit_learns_contract(estimator):
    x = noise()
    before = estimator.get_params()
    with pytest.raises(NotFittedError):
        clone(estimator).transform(x)
    fitted = clone(estimator).fit(x)
    assert fitted.get_params() == before == clone(fitted).get_params()
    np.testing.assert_array_equal(fitted.transform(x), clone(estimator).fit_transform(x, np.arange(len(x))))
    with pytest.raises(ShapeError, match=r"was fitted on|learnt from"):
        fitted.transform(x[:, :2])
    with pytest.raises(SignalError, match="NaN"):
        fitted.transform(np.full_like(x, np.nan))


def test_log_spectrogram_against_its_definition():
    x = noise()
    decibels = 10 * np.log10(power_spectrogram(x, 256, 72)[:, :, :95])
    got = LogSpectrogram(RATE, percentiles=(0, 100)).fit_transform(x)
    low, high = decibels.min(axis=(0, 2, 3)), decibels.max(axis=(0, 2, 3))
    np.testing.assert_allclose(got, (decibels - low[:, None, None]) / (high - low)[:, None, None], atol=1e-12)
    assert np.isfinite(LogSpectrogram(RATE).fit_transform(np.zeros((3, 1, 400)))).all()


def test_long_series_are_sampled_evenly():
    x = noise(300)
    exact = Spectrogram(RATE).fit(x)
    sampled = Spectrogram(RATE, sample=100).fit(x)
    rows = np.unique(np.linspace(0, 299, 100).round().astype(int))
    np.testing.assert_array_equal(sampled.high_, Spectrogram(RATE).fit(x[rows]).high_)
    np.testing.assert_allclose(sampled.high_, exact.high_, rtol=0.1)


@pytest.mark.parametrize("wavelet", WAVELETS)
def test_wavelet_of_a_sine_is_its_amplitude(wavelet):
    t = np.arange(4000) / RATE
    frequencies = np.geomspace(20, 500, 15)
    for at in (3, 8, 13):
        amplitude = wavelet_amplitude(7 * np.sin(2 * np.pi * frequencies[at] * t), RATE, frequencies, wavelet)
        middle = amplitude[:, 1800:2200].mean(axis=1)
        assert middle.argmax() == at
        assert middle[at] == pytest.approx(7, rel=5e-3)


def test_morlet_is_the_sum_in_time():
    x = np.random.default_rng(3).standard_normal(300)
    frequency = 60.0
    scale = 6 / (2 * np.pi * frequency)
    t = (np.arange(300)[:, None] - np.arange(300)) / RATE
    # The gain 2 exp(-(s w - 6)^2 / 2) for w > 0 is the transform of this Gaussian; below 0 it is e^-18 and less.
    kernel = 2 / (np.sqrt(2 * np.pi) * scale * RATE) * np.exp(6j * t / scale - (t / scale) ** 2 / 2)
    np.testing.assert_allclose(wavelet_amplitude(x, RATE, [frequency])[0], np.abs(kernel @ x), atol=1e-6)


def test_wavelet_images_are_means_over_frames():
    x = noise(5, time=401)
    image = WaveletImages(RATE, n_frequencies=4, n_frames=5, percentiles=(0, 100)).fit(x)
    raw = np.concatenate([wavelet_amplitude(x, RATE, image.frequencies(RATE), w) for w in ("morlet", "ricker")], axis=2)
    edges = [0, 80, 160, 241, 321, 401]
    want = np.stack([raw[..., a:b].mean(axis=-1) for a, b in itertools.pairwise(edges)], axis=-1)
    np.testing.assert_allclose(image._image(x, RATE), want, atol=1e-12)
    assert image.transform(x).shape == (5, 3, 8, 5)
    slow = WaveletImages(200.0).frequencies(200.0)
    assert slow[-1] == pytest.approx(90)


def test_channel_pca_against_scikit_learn():
    x = 1000 + noise(1200, 3, 30) @ np.random.default_rng(1).standard_normal((30, 30))  # several batches, an offset
    scores = ChannelPCA(6, "flat").fit_transform(x).reshape(-1, 3, 6)
    for channel in range(3):
        pca = PCA(6).fit(x[:, channel])
        want = (
            pca.transform(x[:, channel])
            * np.sign(np.take_along_axis(pca.components_, np.abs(pca.components_).argmax(axis=1)[:, None], axis=1)).T
        )
        np.testing.assert_allclose(scores[:, channel], want, atol=1e-6)
    fitted = ChannelPCA(6, "flat").fit(x)
    np.testing.assert_allclose(fitted.explained_variance_[2], PCA(6).fit(x[:, 2]).explained_variance_, rtol=1e-9)


def test_spiral_placement_is_the_papers():
    x = noise(60, 2, 40)
    flat = ChannelPCA(25, "flat").fit_transform(x).reshape(60, 2, 25)
    spiral = ChannelPCA(25).fit_transform(x)
    assert spiral.shape == (60, 2, 5, 5)
    np.testing.assert_array_equal(spiral[:, :, 2, 2], flat[:, :, 0])
    for rank, (row, column) in {
        2: (1, 2),
        9: (1, 1),
        10: (0, 1),
        22: (0, 0),
        23: (0, 4),
        24: (4, 4),
        25: (4, 0),
    }.items():
        np.testing.assert_array_equal(spiral[:, :, row, column], flat[:, :, rank - 1])
    assert sorted(PLACEMENT.ravel()) == list(range(1, 26))


def test_the_papers_pipeline():
    pipeline = make_pipeline(Spectrogram(), ChannelPCA())
    w = windows()
    assert pipeline.fit_transform(w[:60]).shape == (60, 3, 5, 5)
    assert pipeline.transform(w[60:]).shape == (len(w) - 60, 3, 5, 5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Spectrogram().fit(noise()), ConfigError, r"Spectrogram\(rate_hz=...\)"),
        (lambda: Spectrogram(RATE).fit(noise(time=100)), ShapeError, "256 samples every 72 do not fit windows of 100"),
        (lambda: Spectrogram(RATE).fit(noise()[0]), ShapeError, r"use x\[None\]"),
        (lambda: Spectrogram(RATE).fit(noise(0)), ShapeError, "no windows"),
        (lambda: Spectrogram(-1.0).fit(noise()), ConfigError, "rate_hz must be a positive number of Hz, got -1.0"),
        (lambda: Spectrogram(RATE, sample=0).fit(noise()), ConfigError, "sample must be 1 window or more, got 0"),
        (lambda: Spectrogram(RATE, highest_hz=-5).fit(noise()), ConfigError, "highest_hz must be 0 or more, got -5"),
        (
            lambda: WaveletImages(RATE, n_frequencies=0).fit(noise()),
            ConfigError,
            "n_frequencies must be 1 or more, got 0",
        ),
        (lambda: Spectrogram(RATE, percentiles=(99, 1)).fit(noise()), ConfigError, "rising"),
        (lambda: WaveletImages(30.0).fit(noise()), ConfigError, "lowest_hz must be above 0 and below 13.5 Hz"),
        (lambda: wavelet_amplitude(np.ones(9), 10.0, [1.0], "haar"), ConfigError, "morlet, paul, ricker"),
        (lambda: ChannelPCA(24).fit(noise()), ConfigError, "25 places"),
        (lambda: ChannelPCA(41, "flat").fit(noise()), ConfigError, "at most 40 components"),
        (lambda: ChannelPCA(2, "round").fit(noise()), ConfigError, "placement must be 'spiral'.* got 'round'"),
        (lambda: ChannelPCA().fit(noise()[:, 0]), ShapeError, "at least two"),
    ],
)
def test_errors_say_what_to_do(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_ranks_are_the_flat_scores_channel_by_channel():
    image = Spectrogram(rate_hz=RATE).fit_transform(noise(80))
    ranks = ChannelPCA(placement="ranks").fit_transform(image)
    assert ranks.shape == (80, 3, 25)
    np.testing.assert_array_equal(ranks.reshape(80, -1), ChannelPCA(placement="flat").fit_transform(image))
    np.testing.assert_array_equal(ranks[:, :, 0], ChannelPCA().fit_transform(image)[:, :, 2, 2])
