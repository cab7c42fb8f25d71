"""XDF files, written here byte by byte after the specification, and public examples where they are at hand."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from myograph.datasets.folder import Folder
from myograph.errors import ConfigError, DataError


def chunk(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<I", len(content) + 2) + struct.pack("<H", tag) + content


def stream(number: int, name: str, kind: str, channels: int, rate: float, form: str, units: str = "") -> bytes:
    described = "".join(f"<channel><label>E{i}</label><unit>{units}</unit></channel>" for i in range(channels))
    xml = (
        f"<?xml version='1.0'?><info><name>{name}</name><type>{kind}</type><channel_count>{channels}</channel_count>"
        f"<nominal_srate>{rate}</nominal_srate><channel_format>{form}</channel_format><created_at>0</created_at>"
        f"<desc><channels>{described}</channels></desc></info>"
    )
    return chunk(2, struct.pack("<I", number) + xml.encode())


def samples(number: int, times: np.ndarray, values: np.ndarray | list[str]) -> bytes:
    out = struct.pack("<I", number) + b"\x04" + struct.pack("<I", len(times))
    for time, value in zip(times, values):
        packed = (
            b"\x01" + bytes([len(value)]) + value.encode() if isinstance(value, str) else value.astype("<f4").tobytes()
        )
        out += b"\x08" + struct.pack("<d", time) + packed
    return chunk(3, out)


def offsets(number: int, pairs: list[tuple[float, float]]) -> bytes:
    return b"".join(chunk(4, struct.pack("<Idd", number, *pair)) for pair in pairs)


def write(path: Path, gap_s: float = 0.0, units: str = "millivolts") -> np.ndarray:
    """EMG at 100 Hz whose sender's clock is 50 s behind, and markers whose sender's is 20 s ahead."""
    x = np.arange(800, dtype=np.float32).reshape(400, 2) / 100
    true = 1000 + np.arange(400) / 100 + gap_s * (np.arange(400) >= 200)
    parts = [b"XDF:", chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    parts += [stream(1, "Amp", "EMG", 2, 100, "float32", units), stream(2, "Cue", "Markers", 1, 0, "string")]
    parts += [samples(1, true - 50, x), samples(2, np.array([1001.0, 1001.5]) + 20, ["fist", "rest"])]
    parts += [offsets(1, [(950.0 + i, 50.0) for i in range(4)]), offsets(2, [(1020.0 + i, -20.0) for i in range(4)])]
    path.write_bytes(b"".join(parts))
    return x


def read(folder: Path, extra: str = "") -> tuple[list, list]:
    (folder / "dataset.toml").write_text(f'files = "{{subject}}.xdf"\nlabel = "annotations"\n{extra}')
    dataset = Folder(path=str(folder))
    found = list(dataset.examine(folder, "a"))
    return [r for r in found if hasattr(r, "signal")], [f for f in found if not hasattr(f, "signal")]


def test_clocks_are_brought_together_and_units_are_known(tmp_path: Path) -> None:
    x = write(tmp_path / "a.xdf")
    (recording,), findings = read(tmp_path)
    assert findings == []
    assert (recording.rate_hz, recording.unit, recording.breaks) == (100.0, "uV", ())
    np.testing.assert_allclose(recording.signal, 1000 * x.T, rtol=1e-6)
    names = [*recording.label_names, ""]
    assert [names[i] for i in recording.label] == [""] * 100 + ["fist"] * 50 + ["rest"] * 250


def test_a_gap_is_reported_and_becomes_a_break(tmp_path: Path) -> None:
    write(tmp_path / "a.xdf", gap_s=3.0)
    (recording,), findings = read(tmp_path)
    assert [f.what for f in findings] == ["column 'time stamps': samples 200 and 201 are 3.01 s apart"]
    assert recording.breaks == (200,)


@pytest.mark.parametrize(("extra", "n"), [('stream = "Amp"\n', 1), ('stream = "emg"\n', 1), ('channels = ["E1"]\n', 1)])
def test_streams_are_chosen_by_name_or_type(tmp_path: Path, extra: str, n: int) -> None:
    write(tmp_path / "a.xdf")
    recordings, _ = read(tmp_path, extra)
    assert len(recordings) == n


def test_two_devices_of_one_name_and_trigger_codes(tmp_path: Path) -> None:
    """Two armbands are told apart by source_id; a stream of single numbers without a rate gives annotations."""
    parts = [b"XDF:", chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")]
    x = np.arange(400, dtype=np.float32).reshape(200, 2)
    times = 50 + np.arange(200) / 100
    for number, source in ((1, "left"), (2, "right")):
        made = stream(number, "Myo", "EMG", 2, 100, "float32", "uV")
        made = made[made.index(b"<?xml") :].replace(b"</type>", f"</type><source_id>{source}</source_id>".encode())
        parts += [chunk(2, struct.pack("<I", number) + made), samples(number, times, x * number)]
    codes = np.array([[3.0], [4.0]], np.float32)
    parts += [stream(3, "Trigger", "Stim", 1, 0, "float32"), samples(3, np.array([50.5, 51.0]), codes)]
    (tmp_path / "a.xdf").write_bytes(b"".join(parts))
    (recording,), _ = read(tmp_path, 'stream = "right"\n')
    np.testing.assert_allclose(recording.signal, 2 * x.T)
    names = [*recording.label_names, ""]
    assert [names[i] for i in recording.label] == [""] * 50 + ["3"] * 50 + ["4"] * 100
    (tmp_path / "dataset.toml").write_text('files = "{subject}.xdf"\nlabel = "annotations"\n')
    with pytest.raises(ConfigError, match=r"holds 2 streams .* 'Myo' \(EMG, source_id 'left'\)"):
        list(Folder(path=str(tmp_path)).read(tmp_path))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.xdf", units="counts")
    for extra, message in (
        (
            'stream = "ECG"\n',
            r"holds 0 streams of name or type 'ECG'; set stream to one of 'Amp' \(EMG\), 'Cue' \(Markers\)",
        ),
        ('stream = "Cue"\n', "holds no samples at a fixed rate"),
        ("", "no signal in a known unit of voltage: E0 \\('counts'\\)"),
    ):
        (tmp_path / "dataset.toml").write_text(f'files = "{{subject}}.xdf"\nlabel = "annotations"\n{extra}')
        with pytest.raises(ConfigError, match=message):
            list(Folder(path=str(tmp_path)).read(tmp_path))
    (tmp_path / "a.xdf").write_bytes(b"XDF:" + b"\xff" * 40)
    with pytest.raises((DataError, ConfigError), match=r"a\.xdf"):
        list(Folder(path=str(tmp_path)).read(tmp_path))


def test_a_damaged_chunk_is_refused_and_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    write(tmp_path / "a.xdf")
    whole = (tmp_path / "a.xdf").read_bytes()
    (tmp_path / "dataset.toml").write_text('files = "{subject}.xdf"\nlabel = "annotations"\n')
    last = 27  # bytes of the last chunk, a clock offset
    for raw in (whole[:-10], whole[:-last] + b"\xff" * 9 + whole[-last:], whole[:-last] + b"\x01\x04\x04\x00\x01"):
        (tmp_path / "a.xdf").write_bytes(raw)
        with pytest.raises(DataError, match=r"a\.xdf is cut short or damaged"):
            list(Folder(path=str(tmp_path)).read(tmp_path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.real_data
def test_public_examples(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(os.environ["MYOGRAPH_DATA"]) / "xdf_examples.zip") as packed:
        for name in ("minimal", "clock_resets"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "a.xdf").write_bytes(packed.read(f"xdf_examples/{name}.xdf"))
    (recording,), _ = read(tmp_path / "minimal", 'unit = "adc"\nstream = "SendDataC"\n')
    # The values that the example's own reference implementations agree on.
    assert recording.signal[:, :3].T.tolist() == [[192, 255, 238], [12, 22, 32], [13, 23, 33]]
    (recording,), findings = read(tmp_path / "clock_resets", 'unit = "adc"\nstream = "EEG"\n')
    assert recording.breaks == (12876,)
    assert any("274 s apart" in f.what for f in findings)
