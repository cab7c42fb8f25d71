"""OpenSignals files (PLUX): channels, resolutions and what is refused, with files written by h5py here."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from myograph import Recording
from myograph.datasets.base import DATASETS
from myograph.errors import DataError


def read(folder: Path) -> list[Recording]:
    return list(DATASETS.create("plux_biceps").read(folder, ["a"]))


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ({1: (900, 1)}, r"channel 1 is of shape \(900, 1\), expected \(1000, 1\)"),
        ({1: (500, 2)}, r"channel 1 is of shape \(500, 2\)"),
        ({1: (1000, 1), 2: (1000, 3)}, "channel 2 is of shape"),
        ({}, "EMG sensors hold no samples"),
    ],
)
def test_opensignals_channels_of_wrong_shape(tmp_path: Path, tracks: dict[int, tuple[int, int]], message: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        device = file.create_group("00:07")
        device.attrs.update({"sampling rate": 1000, "resolution": 12, "channels": list(tracks), "nsamples": 1000})
        device.create_group("raw")
        for number, shape in tracks.items():
            device.create_dataset(f"raw/channel_{number}", data=np.zeros(shape, np.uint16))
    with pytest.raises(DataError, match=message + ".*download it again"):
        read(tmp_path)


def test_opensignals_of_two_channels(tmp_path: Path) -> None:
    counts = np.random.default_rng(4).integers(0, 4096, (100, 2)).astype(np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        device = file.create_group("00:07")
        device.attrs.update({"sampling rate": 1000, "resolution": [12, 16], "channels": [2, 5], "nsamples": 100})
        for i, number in enumerate((2, 5)):
            device.create_dataset(f"raw/channel_{number}", data=counts[:, [i]])
    (recording,) = read(tmp_path)
    expected = (counts / [2**12, 2**16] - 0.5) * 3000  # 3 V at a gain of 1000 are 3000 µV
    np.testing.assert_allclose(recording.signal, expected.T, rtol=1e-5, atol=1e-3)


def test_plux_refuses_what_is_not_opensignals(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["emg"] = np.zeros(5)
    with pytest.raises(DataError, match="holds 0 devices"):
        read(tmp_path)
