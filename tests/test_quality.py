import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import signal as sps
from scipy.io import loadmat

from myograph.datasets.checks import copies, fingerprint
from myograph.datasets.quality import Finding, _median_spectrum, inspect
from myograph.recording import Layout, Recording

RATE = 1000.0


def emg(n_channels=6, seconds=12, seed=0, scale=60.0):
    """Band-limited noise in bursts, as clean as it gets."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    x = sps.sosfilt(sps.butter(4, (20, 450), "band", fs=RATE, output="sos"), rng.standard_normal((n_channels, n)))
    active = np.where(np.arange(n) // 1500 % 2, 1.0, 0.1)
    return scale * active * x


def rec(signal, **options):
    return Recording(signal, options.pop("rate_hz", RATE), np.zeros(signal.shape[1], int), "1", **options)


def only(found):
    assert len(found) == 1, [str(f) for f in found]
    return found[0]


@pytest.mark.parametrize("seed", range(5))
def test_clean_recordings_have_no_findings(seed):
    assert inspect(rec(emg(seed=seed))) == []
    counts = np.clip(np.round(emg(seed=seed) / 2), -128, 127)
    assert inspect(rec(counts, unit="adc")) == []  # a few counts wide, and not clipped


@pytest.mark.parametrize("mains_hz", [50, 60])
@pytest.mark.parametrize("harmonics", [(1,), (1, 3, 5)])
def test_mains(mains_hz, harmonics):
    x = emg()
    t = np.arange(x.shape[1]) / RATE
    for k in harmonics:
        x[2] += 20 * np.sin(2 * np.pi * k * mains_hz * t)
    found = only(inspect(rec(x)))
    assert f"{mains_hz} Hz" in found.what
    assert found.where == "subject 1, session 1, channel 2"
    assert f"MainsComb({mains_hz})" in found.advice


def test_mains_share_by_hand():
    x = emg(n_channels=1)
    power = x[0].var()
    x[0] += np.sqrt(2 * power) * np.sin(2 * np.pi * 50 * np.arange(x.shape[1]) / RATE)
    # Median averaging weighs the typical second, here half rest: the share lies above the 50 % of the mean power.
    share = int(only(inspect(rec(x))).what.split("up to ")[1].split("%")[0])
    assert 50 <= share <= 100


def test_mains_harmonics_are_no_mains_without_the_line_itself():
    x = emg()
    x[2] += 20 * np.sin(2 * np.pi * 150 * np.arange(x.shape[1]) / RATE)
    assert inspect(rec(x)) == []


def test_clipping():
    x = emg()
    x[3] = np.random.default_rng(1).integers(-20, 21, x.shape[1])  # its top is reached as often as the value below it
    x[4] = np.clip(x[4], -100, 100)
    found = only(inspect(rec(x)))
    assert (found.level, found.where) == ("warning", "subject 1, session 1, channel 4")
    share = (np.abs(x[4]) == 100).mean()
    assert f"{share:.2%}" in found.what


@pytest.mark.parametrize("limit", [1.2, 1.0, 0.7, 0.1])
def test_clipping_of_most_samples(limit):
    """Where so much is clipped, the rails lie within the spread of what is left."""
    x = np.random.default_rng(2).standard_normal((3, 12_000)) * 50
    x[0], x[1] = np.clip(x[0], -50 * limit, 50 * limit), np.minimum(x[1], 50 * limit)
    found = only(inspect(rec(x)))
    assert found.where == "subject 1, session 1, channels 0, 1"
    assert f"{(np.abs(x[0]) == 50 * limit).mean():.2%}" in found.what
    floor = np.maximum(x[2:], 5)  # an envelope at rest, and a signal of a few counts, are as they should be
    assert not [f for f in inspect(rec(floor)) if "clipped" in f.what]
    assert inspect(rec(np.clip(np.round(x[2:] / 100), -1, 1), unit="adc")) == []


def test_flat_weak_and_silent_channels():
    x = emg()
    x[1] = 7.0
    x[3] *= 0.001
    x[5, 4000:6000] = x[5, 4000]
    levels = {(f.level, f.where[-1]): f for f in inspect(rec(x))}
    assert "no signal at all" in levels["error", "1"].what
    assert "0.1% of the other" in levels["warning", "3"].what
    assert "2.0 s from 4.0 s" in levels["warning", "5"].what
    assert len(levels) == 3
    assert inspect(rec(x))[0].level == "error"
    assert only(inspect(rec(np.zeros((2, 100))))).where == "subject 1, session 1, all channels"


def test_copied_and_bridged_channels():
    x = emg()
    x[1] = x[0]
    x[4] = -x[3] + 1e-3 * x[5]
    same, bridged = inspect(rec(x))
    assert (same.level, same.where[-4:]) == ("error", "0, 1")
    assert (bridged.level, bridged.where[-4:]) == ("warning", "3, 4")
    assert "-1.000" in bridged.what


def grid_emg(rows, columns, seed=0):
    """Sources under a grid, each seen by the electrodes around it."""
    rng = np.random.default_rng(seed)
    sources = emg(n_channels=30, seed=seed)
    at = rng.uniform((0, 0), (rows, columns), (30, 2))
    place = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 1, 2)
    gain = np.exp(-((place - at) ** 2).sum(-1) / (2 * 1.2**2))
    return gain @ sources + rng.standard_normal((rows * columns, sources.shape[1]))


@pytest.mark.parametrize("seed", range(4))
def test_swapped_channels_of_a_grid(seed):
    layout = Layout.grid(6, 8)
    x = grid_emg(6, 8, seed)
    assert inspect(rec(x, layout=layout)) == []
    x[[9, 38]] = x[[38, 9]]
    found = only(inspect(rec(x, layout=layout)))
    assert "swapped" in found.what
    assert found.where.endswith("channels 9, 38")


def test_hum_in_far_channels_of_a_grid_is_no_misplacement():
    x, layout = grid_emg(6, 8), Layout.grid(6, 8)
    t = np.arange(x.shape[1]) / RATE
    for channel in (3, 38, 44):
        x[channel] = 0.2 * x[channel] + 60 * np.sin(2 * np.pi * 60 * t)
    found = only(inspect(rec(x, layout=layout)))
    assert "60 Hz" in found.what
    assert found.where.endswith("channels 3, 38, 44")


def ring_emg(rows, columns, seed=0, spread=0.6):
    """One source under each electrode of rings round the arm, seen by its neighbours across the seam too."""
    place = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 2)
    away = np.abs(place[:, None] - place[None])
    away[..., 1] = np.minimum(away[..., 1], columns - away[..., 1])
    return np.exp(-(away**2).sum(-1) / (2 * spread**2)) @ emg(n_channels=rows * columns, seed=seed)


@pytest.mark.parametrize("seed", range(2))
def test_neighbours_across_the_seam_of_a_ring(seed):
    x = ring_emg(5, 8, seed)
    x[[16, 23]] = x[[23, 16]]  # the first and the last of a ring, side by side
    assert inspect(rec(x, layout=Layout.grid(5, 8, wraps=True))) == []
    assert "swapped" in only(inspect(rec(x, layout=Layout.grid(5, 8)))).what


def test_offsets_envelopes_and_units():
    below = only(inspect(rec(emg() - 5000)))
    assert "offset of up to 5" in below.what
    offset = only(inspect(rec(emg() + 5000)))
    assert (offset.level, "offset of up to 5" in offset.what) == ("warning", True)
    assert only(inspect(rec(emg() + 5000, unit="adc"))).level == "note"
    assert "or an envelope" in only(inspect(rec(np.abs(emg())))).what
    floored = np.maximum(np.abs(emg()), 12.0)  # an envelope rests at its floor for seconds
    floored[:, 3000:5000] = 12.0
    assert "or an envelope" in only(inspect(rec(floored))).what
    assert "1e6" in only(inspect(rec(emg() * 1e-6))).advice
    assert "1e3" in only(inspect(rec(emg() * 1e-3))).advice
    assert "unit='adc'" in only(inspect(rec(emg() * 1e4))).advice
    assert inspect(rec(emg() * 1e-6, unit="normalised")) == []


def test_short_recordings_and_the_printed_line():
    found = only(inspect(rec(np.ones((1, 1)))))
    assert found.level == "error"
    assert str(Finding("note", "a", "b", "c")) == "note: a: b; c"
    assert inspect(rec(emg(seconds=0.05))) == []


@pytest.mark.real_data
def test_a_real_grid_is_in_order_until_two_channels_are_swapped():
    folder = os.environ.get("MYOGRAPH_DATA")
    archive = Path(folder or "") / "flexemg.zip"
    if not folder or not archive.exists():
        pytest.skip("MYOGRAPH_DATA has no flexemg.zip")
    with zipfile.ZipFile(archive) as z:
        names = z.namelist()
        mat = next(n for n in names if n.endswith(".mat") and "001-" in n)
        raw = loadmat(io.BytesIO(z.read(mat)), variable_names=["raw"])["raw"]
        image = loadmat(io.BytesIO(z.read(next(n for n in names if n.endswith("arraymap.mat")))))["arraymap"]
    row, column = (np.empty(64, int) for _ in range(2))
    for (r, c), channel in np.ndenumerate(image.astype(int) - 1):
        row[channel], column[channel] = r, c
    layout = Layout(tuple(row.tolist()), tuple(column.tolist()))
    x = raw[:, :64].T.astype(np.float32)

    def misplaced(signal):
        return [f for f in inspect(rec(signal, unit="adc", layout=layout)) if "similar to the" in f.what]

    assert misplaced(x) == []
    a, b = int(image[3, 1]) - 1, int(image[12, 2]) - 1
    x[[a, b]] = x[[b, a]]
    where = " ".join(f.where for f in misplaced(x))
    assert str(a) in where
    assert str(b) in where


def test_the_spectrum_is_welchs(monkeypatch):
    x = np.random.default_rng(0).standard_normal(10_000).astype(np.float32) * 20 + np.linspace(0, 500, 10_000)
    found = _median_spectrum(x.astype(np.float32), 2000)
    frequency, expected = sps.welch(x, 1000.0, nperseg=2000, detrend="linear", average="median")
    np.testing.assert_allclose((found / found.sum())[1:-1], (expected / expected.sum())[1:-1], rtol=1e-3)
    assert len(frequency) == len(found)


@pytest.mark.parametrize("times", [2, 3, 4])
def test_samples_held_by_a_logger_that_polls(times):
    x = np.round(emg(seconds=12) / 3)
    held = np.repeat(x[:, :3000], times, axis=1)
    what = only([f for f in inspect(rec(held, unit="adc")) if "repeat" in f.what]).what
    assert what.startswith(f"{1 - 1 / times:.0%} of the samples")
    assert [f for f in inspect(rec(x, unit="adc")) if "repeat" in f.what] == []
    envelope = np.round(np.abs(sps.sosfiltfilt(sps.butter(2, 1.0, fs=RATE, output="sos"), np.abs(emg()))) * 3)
    assert [f for f in inspect(rec(envelope, unit="adc")) if "repeat" in f.what] == []


def test_one_recording_under_two_names_whole_or_in_part():
    one, other = (emg(seconds=12, seed=s).astype(np.float32) for s in (0, 1))
    parts = {
        "a": one,
        "b": other,
        "c": one[:, 3000:9000],
        "d": np.concatenate([other[:, 7000:], one[:, :2000]], axis=1),
    }
    prints = [(name, fingerprint(rec(x))) for name, x in parts.items()]
    found = {f.where: f.what for f in copies(prints)}
    assert set(found) == {"a and c", "a and d", "b and d"}
    assert found["a and c"] == "about 100% of the samples of one are also in the other"
    rest = [(str(s), fingerprint(rec(np.round(emg(seconds=12, seed=s, scale=2.0)), unit="adc"))) for s in range(6)]
    assert copies(rest) == []
