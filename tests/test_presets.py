"""Text files of recording programs, written here as the programs write them; values computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from myograph import Recording
from myograph.datasets.folder import Folder
from myograph.datasets.guess import guess
from myograph.datasets.quality import Finding
from myograph.errors import ConfigError, DataError

RNG = np.random.default_rng(0)


def read(folder: Path, preset: str, ending: str, extra: str = "label = false\n") -> tuple[Recording, list[Finding]]:
    (folder / "dataset.toml").write_text(f'files = "{{subject}}{ending}"\npreset = "{preset}"\n{extra}')
    dataset = Folder(path=str(folder))
    found = list(dataset.examine(folder, dataset.subjects(folder)[0]))
    errors = [f for f in found if isinstance(f, Finding) and f.level == "error"]
    if errors:
        raise DataError(str(errors[0]))
    (recording,) = [r for r in found if isinstance(r, Recording)]
    return recording, [f for f in found if isinstance(f, Finding)]


def trigno(markers: bool = True, n: int = 400, gap: bool = False) -> str:
    """Two sensors of EMG at 1259.2593 Hz and one axis at 148.1481 Hz, whose column ends early."""
    emg = RNG.normal(size=(n, 2)).round(6)
    times = np.arange(n) / 1259.2593 + 30 * gap * (np.arange(n) >= n // 2)
    right = ", , , Type, Name, Label, Time (s)" if markers else ""
    lines = [
        "Application:, Trigno Discover (2.1.0.7)",
        "Date/Time:, 01-01-2026 10:00:00",
        f"Collection Length (seconds):, {n / 1259.2593}",
        "Avanti Sensor 1 (75923), , , , Avanti Sensor 3 (89563), ",
        "sensor mode: 65, , , , sensor mode: 40, ",
        "EMG 1 Time Series (s), EMG 1 (mV), ACC X Time Series (s), ACC X (G), EMG 1 Time Series (s), EMG 1 (mV)",
        ", 1259.2593 Hz, , 148.1481 Hz, , 1259.2593 Hz",
        f", 0.000794 s, , 0.00675 s, , 0.000794 s{right}",
    ]
    for i in range(n):
        slow = f"{i / 148.1481:.6f}, 0.5" if i < n // 9 else ", "
        note = f", , , General, m{i}, {'fist' if i else 'rest'}, {0.1 * i}" if markers and i < 2 else ""
        lines.append(f"{times[i]:.6f}, {emg[i, 0]}, {slow}, {times[i]:.6f}, {emg[i, 1]}{note}")
    return "\n".join(lines) + "\n"


def test_trigno_discover(tmp_path: Path) -> None:
    text = trigno()
    (tmp_path / "a.csv").write_text(text)
    recording, findings = read(tmp_path, "trigno_discover", ".csv", 'label = "annotations"\n')
    assert (recording.rate_hz, recording.unit, findings, recording.breaks) == (1259.2593, "uV", [], ())
    first = [float(c) for c in text.split("\n")[8].split(",")[:6]]
    np.testing.assert_allclose(recording.signal[:, 0], [1000 * first[1], 1000 * first[5]], rtol=1e-6)
    assert recording.n_samples == 400
    names = [recording.label_names[i] for i in recording.label[[0, 125, 126, 399]]]
    assert names == ["rest", "rest", "fist", "fist"]  # the second marker is at 0.1 s, sample 125.9
    assert "trigno_discover" in guess(tmp_path / "a.csv").toml


def test_trigno_discover_gaps_blanks_and_other_sensors(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(trigno(markers=False, gap=True))
    recording, findings = read(tmp_path, "trigno_discover", ".csv")
    assert recording.breaks == (200,)
    assert "samples 200 and 201 are 30 s apart" in findings[0].what
    (tmp_path / "a.csv").write_text(trigno(markers=False))
    recording, _ = read(
        tmp_path, "trigno_discover", ".csv", 'label = false\nunit = "adc"\nchannels = ["Avanti Sensor 1: ACC X"]\n'
    )
    assert (recording.rate_hz, recording.signal.shape) == (148.1481, (1, 44))
    lines = trigno(markers=False).split("\n")
    lines[20] = ", " + lines[20].split(",", 1)[1]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="has a blank cell in line 21 and numbers after it"):
        read(tmp_path, "trigno_discover", ".csv")
    (tmp_path / "a.csv").write_text("time,emg\n0,1\n")
    with pytest.raises(DataError, match=r"a\.csv is not a Trigno Discover export"):
        read(tmp_path, "trigno_discover", ".csv")


def opensignals(device: str = "bitalino_rev", lose: bool = False, **facts: object) -> tuple[str, np.ndarray]:
    header = {
        "device": device, "sampling rate": 1000, "resolution": [4, 1, 1, 1, 1, 10, 10], "channels": [1, 2],
        "sensor": ["EMG", "ECG"], "label": ["A1", "A2"], "column": ["nSeq", "I1", "I2", "O1", "O2", "A1", "A2"], "convertedValues": 0,
    } | facts  # fmt: skip
    counts = RNG.integers(0, 1024, size=(300, 2))
    seq = np.arange(300) + 3 * lose * (np.arange(300) >= 150)
    rows = "".join(f"{seq[i] % 16}\t0\t0\t{i // 100}\t0\t{counts[i, 0]}\t{counts[i, 1]}\t\n" for i in range(300))
    head = f"# OpenSignals Text File Format. Version 1\n# {json.dumps({'00:07:80:3B:46:61': header})}\n# EndOfHeader\n"
    return head + rows, counts


def test_opensignals(tmp_path: Path) -> None:
    text, counts = opensignals()
    (tmp_path / "a.txt").write_text(text)
    recording, findings = read(tmp_path, "opensignals", ".txt", 'label = "O1"\n')
    assert (recording.rate_hz, recording.unit, recording.n_channels, findings) == (1000.0, "uV", 1, [])
    # The data sheet of the BITalino EMG sensor: 10 bits, 3.3 V, gain 1009.
    np.testing.assert_allclose(recording.signal[0], (counts[:, 0] / 1024 - 0.5) * 3.3 / 1009 * 1e6, rtol=1e-5)
    assert recording.label[[0, 99, 100, 299]].tolist() == [0, 0, 1, 2]
    text, counts = opensignals("biosignalsplux", resolution=[16, 16], lose=True)
    (tmp_path / "a.txt").write_text(text)
    recording, findings = read(tmp_path, "opensignals", ".txt")
    np.testing.assert_allclose(recording.signal[0], (counts[:, 0] / 65536 - 0.5) * 3 / 1000 * 1e6, rtol=1e-5)
    assert recording.breaks == (150,)
    assert findings[0].what == "column 'nSeq': 3 samples are missing before sample 151"
    for facts in ({"convertedValues": 1}, {"device": "unknown"}):
        (tmp_path / "a.txt").write_text(opensignals(**facts)[0])  # type: ignore[arg-type]
        with pytest.raises(DataError, match="no signal in a known unit of voltage"):
            read(tmp_path, "opensignals", ".txt")
    for broken in (text.replace("# EndOfHeader", "x"), text.replace('"column"', '"columns"'), text.replace("{", "", 1)):
        (tmp_path / "a.txt").write_text(broken)
        with pytest.raises(DataError, match=r"a\.txt"):
            read(tmp_path, "opensignals", ".txt")


def openbci(lose: int = 0) -> tuple[str, np.ndarray]:
    exg = RNG.normal(size=(600, 8)).round(3) * 50
    index = np.arange(600) + lose * (np.arange(600) >= 300)
    names = [
        "Sample Index",
        *(f"EXG Channel {i}" for i in range(8)),
        *(f"Accel Channel {i}" for i in range(3)),
        "Other",
        "Other",
    ]
    rows = [
        f"{index[i] % 256}.0, {', '.join(f'{v:.4f}' for v in exg[i])}, 0.1, 0.2, 0.9, 192.0, 0.0, {1.7e9 + index[i] / 250:.6f}, 2026-01-01 10:00:{i % 60:02d}"
        for i in range(600)
    ]
    head = (
        "%OpenBCI Raw EXG Data\n%Number of channels = 8\n%Sample Rate = 250 Hz\n%Board = OpenBCI_GUI$BoardCytonSerial\n"
    )
    return head + ", ".join([*names, "Timestamp", "Timestamp (Formatted)"]) + "\n" + "\n".join(rows) + "\n", exg


def test_openbci(tmp_path: Path) -> None:
    text, exg = openbci()
    (tmp_path / "a.txt").write_text(text)
    recording, findings = read(tmp_path, "openbci", ".txt")
    assert (recording.rate_hz, recording.unit, findings, recording.breaks) == (250.0, "uV", [], ())
    np.testing.assert_allclose(recording.signal, exg.T, atol=1e-4)
    text, _ = openbci(lose=5)
    (tmp_path / "a.txt").write_text(text)
    recording, findings = read(tmp_path, "openbci", ".txt")
    assert recording.breaks == (300,)
    assert findings[0].what == "column 'Sample Index': 5 samples are missing before sample 301"
    found = guess(tmp_path / "a.txt")
    assert 'preset = "openbci"' in found.toml
    assert "rate_hz" not in found.toml
    # Logs of earlier versions have no line of names.
    lines = text.split("\n")
    (tmp_path / "a.txt").write_text("\n".join(lines[:4] + lines[5:]))
    assert read(tmp_path, "openbci", ".txt")[0].n_channels == 8
    (tmp_path / "a.txt").write_text("\n".join(lines[4:]))
    with pytest.raises(DataError, match="it lacks the line %Sample Rate"):
        read(tmp_path, "openbci", ".txt")


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    (tmp_path / "anna_fist.txt").write_text(openbci()[0])
    page = (Path(__file__).parent.parent / "docs" / "your-own-data.md").read_text()
    (tmp_path / "dataset.toml").write_text(page.split("<!-- example: preset -->\n```toml\n")[1].split("```")[0])
    (own,) = Folder(path=str(tmp_path)).read(tmp_path)
    assert (own.label_names, own.subject, own.n_channels) == (("fist",), "anna", 8)


def test_myo(tmp_path: Path) -> None:
    counts = RNG.integers(-128, 128, size=(400, 8))
    stamps = 1_700_000_000_000_000 + 10_000 * (np.arange(400) // 2)  # in µs; two samples per packet
    rows = "".join(f"{stamps[i]},{','.join(map(str, counts[i]))},{i // 200}\n" for i in range(400))
    (tmp_path / "a.csv").write_text("timestamp,emg1,emg2,emg3,emg4,emg5,emg6,emg7,emg8,label\n" + rows)
    recording, findings = read(tmp_path, "myo", ".csv", 'label = "label"\n')
    assert (recording.rate_hz, recording.unit) == (200.0, "adc")
    assert [f for f in findings if "share one time" not in f.advice] == []
    np.testing.assert_array_equal(recording.signal, counts.T)
    assert recording.label[[199, 200]].tolist() == [0, 1]
    found = guess(tmp_path / "a.csv")
    assert 'preset = "myo"' in found.toml
    assert 'label = "label"' in found.toml
    (tmp_path / "a.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in counts.tolist()))
    np.testing.assert_array_equal(read(tmp_path, "myo", ".csv", "label = false\nheader = false\n")[0].signal, counts.T)
    (tmp_path / "a.csv").write_text("timestamp,emg1,emg2\n1,2,3\n2,3,4\n")
    with pytest.raises(DataError, match="has 2 columns of a Myo armband, expected 8"):
        read(tmp_path, "myo", ".csv")


def test_presets_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    with pytest.raises(
        ConfigError, match="preset must be one of trigno_discover, opensignals, openbci, myo, got 'mio'"
    ):
        read(tmp_path, "mio", ".csv")
    np.save(tmp_path / "a.npy", np.ones((30, 8)))
    with pytest.raises(DataError, match="a preset describes text files"):
        read(tmp_path, "myo", ".npy")
