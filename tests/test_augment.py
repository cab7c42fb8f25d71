"""Each augmentation does what it says, measured on its output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from myograph.errors import ConfigError, ShapeError, UnknownNameError
from myograph.recording import Layout
from myograph.training import augment
from myograph.training.augment import AUGMENTATIONS, compose


@pytest.fixture(params=["numpy", "torch"])
def kind(request):
    return request.param


def batch(kind, shape=(64, 8, 400), seed=0):
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    x *= np.linspace(0.1, 5, shape[1], dtype=np.float32)[:, None]
    rng = np.random.default_rng(1) if kind == "numpy" else torch.Generator().manual_seed(1)
    return (x, rng) if kind == "numpy" else (torch.from_numpy(x), rng)


@pytest.mark.parametrize("snr_db", [25.0, 10.0])
def test_noise_has_the_stated_snr_in_every_channel(kind, snr_db):
    x, rng = batch(kind)
    noise = np.asarray(augment.gaussian_noise(x, snr_db, rng)) - np.asarray(x)
    signal = np.asarray(x)
    measured = 10 * np.log10((signal**2).mean((0, 2)) / (noise**2).mean((0, 2)))
    assert np.abs(measured - snr_db).max() < 0.15
    assert abs(stats.kurtosis((noise / noise.std((0, 2), keepdims=True)).ravel())) < 0.05  # Gaussian
    spectrum = np.abs(np.fft.rfft(noise[:, 0])) ** 2
    assert abs(spectrum[:, 1:100].mean() / spectrum[:, 101:200].mean() - 1) < 0.05  # white


def test_scale_draws_one_gain_a_channel_within_bounds(kind):
    x, rng = batch(kind)
    gain = np.asarray(augment.scale_amplitude(x, 0.3, rng)) / np.asarray(x)
    assert gain.std(axis=2).max() < 1e-4
    gain = gain[:, :, 0]
    assert gain.min() >= 0.7 - 1e-5
    assert gain.max() <= 1.3 + 1e-5
    assert stats.kstest(gain.ravel(), stats.uniform(0.7, 0.6).cdf).pvalue > 0.01


def test_rotation_of_a_ring_rolls_channels(kind):
    x, rng = batch(kind)
    out, x = np.asarray(augment.shift_electrodes(x, 2, rng)), np.asarray(x)
    seen = set()
    for a, b in zip(x, out):
        shifts = [s for s in range(-4, 4) if np.array_equal(np.roll(a, s, axis=0), b)]
        assert len(shifts) == 1
        seen.add(shifts[0])
    assert seen == {-2, -1, 0, 1, 2}


def test_two_rings_roll_together_and_extra_electrodes_stay():
    layout = Layout.ring(4, n_rings=2, n_extra=1)
    x = np.broadcast_to(np.arange(9.0)[:, None], (40, 9, 2))
    out = augment.shift_electrodes(x, 1, np.random.default_rng(0), layout=layout)[:, :, 0]
    by_hand = {(0, 1, 2, 3, 4, 5, 6, 7, 8), (1, 2, 3, 0, 5, 6, 7, 4, 8), (3, 0, 1, 2, 7, 4, 5, 6, 8)}
    assert {tuple(int(v) for v in row) for row in out} == by_hand


def test_grid_repeats_its_border():
    x = np.broadcast_to(np.arange(6.0)[:, None], (200, 6, 1))
    out = augment.shift_electrodes(x, 1, np.random.default_rng(0), layout=Layout.grid(2, 3))[:, :, 0]
    # Reading one row below and one column to the right of (0 1 2 / 3 4 5), by hand.
    rows = {tuple(int(v) for v in row) for row in out}
    assert (4, 5, 5, 4, 5, 5) in rows
    assert (0, 0, 1, 3, 3, 4) in rows
    assert len(rows) == 9
    with pytest.raises(ShapeError, match="places 6 electrodes, the windows have 5"):
        augment.shift_electrodes(x[:, :5], 1, np.random.default_rng(0), layout=Layout.grid(2, 3))


def test_channel_dropout_rate_and_never_all(kind):
    x, rng = batch(kind, (500, 8, 3))
    silent = (np.asarray(augment.channel_dropout(x, 0.25, rng)) == 0).all(2)
    assert abs(silent.mean() - 0.25) < 0.02
    x, rng = batch(kind, (200, 2, 3))
    assert not (np.asarray(augment.channel_dropout(x, 0.9, rng)) == 0).all((1, 2)).any()


def test_time_shift_moves_by_at_most_the_fraction_and_mirrors(kind):
    ramp = np.tile(np.arange(50, dtype=np.float32), (300, 2, 1))
    _, rng = batch(kind, (1, 1, 1))
    out = np.asarray(augment.time_shift(ramp if kind == "numpy" else torch.from_numpy(ramp), 0.1, rng))
    shift = 25 - out[:, 0, 25]
    assert set(shift.tolist()) == set(range(-5, 6))
    late = out[shift == 3][0, 0]
    assert late[:5].tolist() == [3, 2, 1, 0, 1]
    early = out[shift == -3][0, 0]
    assert early[-5:].tolist() == [48, 49, 48, 47, 46]


def test_time_mask_is_one_stretch_up_to_the_fraction(kind):
    _, rng = batch(kind, (1, 1, 1))
    ones = np.ones((2000, 2, 40), np.float32)
    out = np.asarray(augment.time_mask(ones if kind == "numpy" else torch.from_numpy(ones), 0.25, rng))
    assert np.array_equal(out[:, 0], out[:, 1])
    lengths = (out[:, 0] == 0).sum(1)
    edges = np.abs(np.diff(np.pad(out[:, 0], ((0, 0), (1, 1)), constant_values=1), axis=1)).sum(1)
    assert set(edges[lengths > 0].tolist()) == {2.0}
    assert set(lengths.tolist()) == set(range(11))
    assert abs(np.bincount(lengths).std() / np.bincount(lengths).mean()) < 0.3


def test_mains_is_a_line_at_its_frequency(kind):
    x, rng = batch(kind, (200, 4, 1000))
    added = np.asarray(augment.mains(x, 0.5, rng, rate_hz=1000.0)) - np.asarray(x)
    power = np.abs(np.fft.rfft(added.astype(float))) ** 2
    assert power[:, :, 50].sum() / power.sum() > 0.999
    ratio = added.std(2) / np.sqrt((np.asarray(x) ** 2).mean(2))
    assert ratio.max() <= 0.5 + 1e-4
    assert abs(ratio.mean() - 0.25) < 0.02
    phase = np.angle(np.fft.rfft(added)[:, :, 50])
    assert np.abs(np.exp(1j * phase) - np.exp(1j * phase[:, :1])).max() < 0.05  # the same moment in every channel


def test_baseline_is_slow_and_bounded(kind):
    x, rng = batch(kind, (100, 4, 4000))
    added = np.asarray(augment.baseline_wander(x, 0.3, rng, rate_hz=1000.0)) - np.asarray(x)
    power = np.abs(np.fft.rfft(added * np.hanning(4000))) ** 2
    assert power[:, :, :13].sum() / power.sum() > 0.999  # bins of 0.25 Hz: all below 3.25 Hz
    assert (np.abs(added).max(2) <= 0.3 * np.sqrt((np.asarray(x) ** 2).mean(2)) + 1e-4).all()


def test_mixup_mixes_labels_as_it_mixes_windows(kind):
    x, rng = batch(kind, (400, 3, 5))
    y = np.arange(400) % 4
    marked = np.asarray(x).copy()
    marked[:, 0, 0] = y == 0  # a sample that is the first class's own label mixes as the label does
    given = marked if kind == "numpy" else torch.from_numpy(marked)
    mixed, soft = augment.mixup(given, 0.4, rng, y, n_classes=4)
    mixed, soft = np.asarray(mixed), np.asarray(soft)
    assert np.allclose(soft.sum(1), 1, atol=1e-5)
    assert np.allclose(mixed[:, 0, 0], soft[:, 0], atol=1e-6)
    share = soft[soft.max(1) < 0.999].max(1)
    expected = stats.beta(0.4, 0.4)
    assert abs(np.mean(share) - expected.expect(lambda v: max(v, 1 - v))) < 0.1
    assert (soft > 1e-3).sum(1).max() == 2


def test_strength_zero_changes_nothing():
    x, rng = batch("torch", (8, 4, 20))
    for name in ("scale", "shift_electrodes", "channel_dropout", "time_shift", "time_mask"):
        assert torch.equal(AUGMENTATIONS[name][0](x, 0, rng), x), name
    mixed, soft = augment.mixup(x, 0, rng, torch.arange(8) % 3)
    assert torch.equal(mixed, x)
    assert soft.argmax(1).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_same_seed_same_batch_and_input_untouched():
    x, _ = batch("torch", (8, 4, 60))
    kept = x.clone()
    every = [n for n in AUGMENTATIONS if n != "mixup"]
    f = compose([*every, "mixup"], rate_hz=1000.0, n_classes=3)
    y = torch.arange(8) % 3
    a, b = (f(x, y, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert torch.equal(x, kept)
    assert a[0].dtype == torch.float32


def test_compose_explains_what_it_cannot_use():
    with pytest.raises(UnknownNameError, match="Did you mean 'noise'"):
        compose(["nois"])
    with pytest.raises(UnknownNameError, match="mains_hz"):
        compose([("mains", 0.1, {"main_hz": 60, "rate_hz": 1000.0})])
    with pytest.raises(ConfigError, match="needs rate_hz"):
        compose(["mains"])
    with pytest.raises(ConfigError, match="augment_copies=0"):
        compose(["mixup"], n_classes=3, copies=1)
    with pytest.raises(ShapeError, match="window, channel, time"):
        augment.gaussian_noise(np.zeros((3, 4)), 25, np.random.default_rng(0))
