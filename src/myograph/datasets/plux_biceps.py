"""PLUX biceps: one electrode pair over the biceps, OpenSignals HDF5 files, 1 kHz, without labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets.base import DATASETS
from myograph.datasets.file_per_recording import File, FilePerRecording
from myograph.errors import DataError
from myograph.protocols import KFoldRepetitions
from myograph.recording import Recording

SUPPLY_V = 3.0
GAIN = 1000.0


@DATASETS.register
@dataclass(frozen=True)
class PluxBiceps(FilePerRecording):
    """Each file is a separate subject (the files do not state who was recorded); every sample is unlabelled (-1).

    The data set is meant for detectors of bursts: `emg_bursts` holds 9 contractions in 28.5 s, `emg_fatigue` 30 in 127
    s. Layout: OpenSignals HDF5, `{device}/raw/channel_{k}` with (time, 1) counts; resolution in bits and rate are
    attributes of the device. Signal (1, time): µV = (counts / 2^bits - 1/2) x 3 V / 1000 x 10^6, the sensor's transfer
    function. Source and licence: the biosignalsnotebooks repository.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())  # a small made-up set in the original format
    >>> PluxBiceps().write_miniature(folder, np.random.default_rng(0))
    >>> PluxBiceps().subjects(folder)
    ['emg_bursts', 'emg_fatigue']
    >>> next(iter(PluxBiceps().read(folder)))
    <Recording plux_biceps, emg_bursts: 1 channels x 12.0 s @ 1000 Hz, uV, 0 labels>
    """

    name = "plux_biceps"
    title = "PLUX biceps: cyclic contractions of the biceps, 2 recordings, 1 channel @ 1000 Hz, unlabelled"
    licence = "MIT"
    citation = "biosignalsnotebooks, PLUX wireless biosignals (signal samples emg_bursts and emg_fatigue)"
    homepage = "https://github.com/pluxbiosignals/biosignalsnotebooks"
    rest = None
    protocol = KFoldRepetitions()

    def listed(self, folder: Path) -> Iterator[File]:
        return (File(p, p.stem) for p in folder.rglob("*.h5") if not p.name.startswith("."))

    def expected(self) -> str:
        return "OpenSignals .h5 files; put them there"

    def record(self, file: File) -> Recording:
        return read_opensignals(file.path, file.subject)

    def write_miniature(self, folder: Path, rng: np.random.Generator) -> None:
        import h5py

        place = folder / "plux_biceps"
        place.mkdir(parents=True, exist_ok=True)
        for file, device, channel, bits in (
            ("emg_bursts", "00:07:80:3B:46:61", 3, 16),
            ("emg_fatigue", "00:07:80:4C:01:B1", 2, 12),
        ):
            active = np.tile(np.repeat([0, 1], [2000, 1000]), 4)
            volts = rng.normal(size=len(active)) * np.where(active, 300e-6, 5e-6)
            counts = np.clip(np.rint((volts * GAIN / SUPPLY_V + 0.5) * 2**bits), 0, 2**bits - 1).astype(np.uint16)
            with h5py.File(place / f"{file}.h5", "w") as out:
                group = out.create_group(device)
                group.attrs.update(
                    {
                        "sampling rate": 1000,
                        "resolution": np.array([bits]),
                        "channels": np.array([channel]),
                        "nsamples": len(counts),
                    }
                )
                track = group.create_dataset(f"raw/channel_{channel}", data=counts[:, None])
                track.attrs["sensor"] = "EMG"
                group.create_dataset("raw/nSeq", data=(np.arange(len(counts)) % 16).astype(np.uint16)[:, None])


def read_opensignals(path: Path, subject: str) -> Recording:
    """Read the EMG channels of an OpenSignals HDF5 file of one device, in µV and unlabelled.

    Raises
    ------
    DataError : the file is damaged, not of this format, or without an EMG channel.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> PluxBiceps().write_miniature(folder, np.random.default_rng(0))
    >>> read_opensignals(min(folder.rglob("*.h5")), "emg_bursts")
    <Recording plux_biceps, emg_bursts: 1 channels x 12.0 s @ 1000 Hz, uV, 0 labels>
    """
    import h5py

    again = "copy or download it again"
    try:
        with h5py.File(path, "r") as file:
            devices = [g for g in file.values() if "raw" in g]
            if len(devices) != 1:
                raise DataError(f"{path} holds {len(devices)} devices, expected one with a group 'raw'; {again}")
            device = devices[0]
            rate_hz = float(device.attrs["sampling rate"])
            numbers = np.atleast_1d(device.attrs["channels"]).tolist()
            bits = dict(zip(numbers, np.broadcast_to(device.attrs["resolution"], len(numbers)).tolist()))
            tracks = []
            for number in numbers:
                track = device[f"raw/channel_{number}"]
                n_samples = int(device.attrs.get("nsamples", track.shape[0]))
                if track.shape not in ((n_samples,), (n_samples, 1)):
                    raise DataError(
                        f"{path}: channel {number} is of shape {track.shape}, expected ({n_samples}, 1); {again}"
                    )
                sensor = track.attrs.get("sensor", "EMG")
                sensor = sensor.decode() if isinstance(sensor, bytes) else str(sensor)
                if sensor.upper().endswith("EMG"):
                    share = np.asarray(track, np.float64).ravel() / 2.0 ** bits[number] - 0.5
                    tracks.append(share * SUPPLY_V / GAIN * 1e6)
    except DataError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is cut short, damaged or not an OpenSignals file: {error}; {again}") from error
    lengths = {len(t) for t in tracks}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(
            f"{path}: its channels of EMG sensors hold {sorted(lengths) or 'no'} samples, but must all hold "
            f"the same number; {again}"
        )
    signal = np.stack(tracks).astype(np.float32)
    return Recording(signal, rate_hz, np.full(signal.shape[1], -1), subject=subject, name=f"plux_biceps, {subject}")
