"""Readers on the real recordings; counts are those measured from the bytes, not by these readers."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from myograph import Recording
from myograph.datasets.load import load


def real(name: str, subjects: list[str] | None = None) -> list[Recording]:
    home = Path(os.environ["MYOGRAPH_DATA"])
    if not (home / name).is_dir() and not (home / f"{name}.zip").is_file():
        pytest.skip(f"{home} does not hold {name}")
    return load(name, subjects)


@pytest.mark.real_data
def test_real_longterm_myo() -> None:
    recordings = real("longterm_myo")
    assert [r.session for r in recordings] == [f"day{d:02d}" for d in range(1, 31)]
    assert all(r.signal.shape == (8, 22 * 4 * 300) for r in recordings)
    pairs = Counter(zip(recordings[29].label.tolist(), recordings[29].repetition.tolist()))
    assert pairs == {(m, t): 300 for m in range(22) for t in range(1, 5)}
    # The first line of day 1, motion 10, trial 1.
    first = recordings[0]
    motion = first.label == first.label_names.index("wrist extension, pronated")
    start = first.signal[:, motion & (first.repetition == 1)][:, 0]
    expected = [0.015211, -0.012022, 0.01201, -0.066992, -0.021757, 0.00047495, 0.012498, 0.021918]
    np.testing.assert_allclose(start, expected, rtol=1e-6)


@pytest.mark.real_data
def test_real_electrode_shift() -> None:
    recordings = real("electrode_shift")
    assert list(dict.fromkeys(r.subject for r in recordings)) == ["0", "1", "2", "3", "4", "5"]
    assert len(recordings) == 30
    for r in recordings:
        runs = {(int(a), int(b)) for a, b in zip(r.label, r.repetition)}
        assert len(runs) == (25 if r.session == "training" else 10)
        assert r.n_channels == 8
        np.testing.assert_array_equal(r.signal, np.rint(r.signal))
    np.testing.assert_array_equal(recordings[0].signal[:, 0], [8, 6, -3, -1, -1, 4, 1, 2])
    assert recordings[0].label_names[recordings[0].label[0]] == "hand close"


@pytest.mark.real_data
def test_real_unibo_inail() -> None:
    recordings = real("unibo_inail")
    assert [(r.session, r.n_samples) for r in recordings] == [
        ("day1 posture1", 158536),
        ("day2 posture1", 157260),
        ("day4 posture1", 152607),
        ("day8 posture1", 162266),
    ]
    for r in recordings:
        assert r.signal.min() >= 0
        assert r.signal.max() <= 32560
        gestures = [len(np.unique(r.repetition[r.label == g])) for g in range(1, 6)]
        assert min(gestures) >= 9
        assert max(gestures) <= 16
    assert Counter(recordings[0].label.tolist())[5] == 15250


@pytest.mark.real_data
def test_real_flexemg() -> None:
    recordings = real("flexemg")
    assert Counter(r.session for r in recordings) == {"Session1Train": 10, "Session3Test": 10}
    assert all(r.signal.shape == (64, 28000) for r in recordings)
    # 5 s each of rest and four gestures, less 20 % at either end.
    assert all(Counter(r.label.tolist()) == {-1: 13000, **dict.fromkeys(range(5), 3000)} for r in recordings)
    third = recordings[0].label  # its sequence is 3, 4, 2, 1
    assert [recordings[0].label_names[third[i]] for i in (2500, 7500, 12500, 17500, 22500)] == [
        "Rest",
        "Lower",
        "Open",
        "Raise",
        "Fist",
    ]
    assert recordings[0].layout.index()[0].tolist() == [28, 29, 30, 31]
    assert recordings[0].layout.index()[15].tolist() == [35, 34, 33, 32]


@pytest.mark.real_data
def test_real_plux_biceps_bursts_can_be_counted() -> None:
    bursts, fatigue = real("plux_biceps")
    assert (bursts.n_samples, fatigue.n_samples) == (28519, 126900)
    # 12 bits between the rails: -1500 µV and 1500 - 0.73 µV.
    assert fatigue.signal.min() == -1500
    assert fatigue.signal.max() == pytest.approx(1500 - 0.7324, abs=1e-3)
    for recording, expected, shortest in ((bursts, 9, 600), (fatigue, 30, 1500)):
        x = recording.signal[0] - np.median(recording.signal[0])
        envelope = np.sqrt(np.convolve(x**2, np.ones(250) / 250, mode="same"))
        active = envelope > 0.25 * np.percentile(envelope, 95)
        edges = np.flatnonzero(np.diff(np.r_[0, active, 0]))
        assert np.sum(edges[1::2] - edges[::2] >= shortest) == expected


@pytest.mark.real_data
def test_real_delsys_csv() -> None:
    (recording,) = real("delsys_csv")
    assert recording.signal.shape[0] == 2
    assert recording.rate_hz == 1259.259
    # The last row of the file: 0.0002955825 V and -1.762417e-05 V.
    np.testing.assert_allclose(recording.signal[:, -1], [295.5825, -17.62417], rtol=1e-6)
    with zipfile.ZipFile(Path(os.environ["MYOGRAPH_DATA"]) / "delsys_csv.zip") as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".csv")]
        text = archive.read(name).decode()
    assert recording.n_samples == sum(line[:1].isdigit() for line in text.splitlines())
