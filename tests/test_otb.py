"""OT Bioelettronica files, written here after the description of the format; values computed by hand."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from myograph.datasets._formats.description import Description
from myograph.datasets._formats.otb import read_otb
from myograph.datasets.folder import Folder
from myograph.datasets.guess import guess
from myograph.errors import ConfigError, DataError

X = np.random.default_rng(0).integers(-30_000, 30_000, size=(500, 4))


def pack(path: Path, members: dict[str, bytes | str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            raw = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


def plus(path: Path, rate: float = 2048, bits: int = 16, gain: float = 2.0, channels: int = 4, **extra: str) -> Path:
    listed = "".join(f'<Channel ID="HD" Index="{i}" Gain="5"/>' for i in range(3))
    xml = (
        f'<Device Name="QUATTROCENTO" SampleFrequency="{rate}" DeviceTotalChannels="{channels}" ad_bits="{bits}"><Channels>'
        f'<Adapter ID="GR08MM1305" Gain="{gain}" ChannelStartIndex="0">{listed}</Adapter>'
        '<Adapter ID="AdapterControl" Gain="1" ChannelStartIndex="3"><Channel ID="Ramp" Index="0" Gain="1"/></Adapter>'
        "</Channels></Device>"
    )
    marker = "<Markers><Marker><Milliseconds>100</Milliseconds><Description>fist</Description></Marker></Markers>"
    members = {"a.sig": X.astype("<i2").tobytes(), "a.xml": xml, "patient.xml": "<patient/>", "markers_0.xml": marker}
    return pack(path, {**members, **extra})


def four(path: Path, size: int = 2, unit: str = "mV", factor: float = 1000.0, **changes: str) -> Path:
    raw = {2: X.astype("<i2"), 3: X.astype("<i4").view(np.uint8).reshape(500, 4, 4)[:, :, :3], 4: X.astype("<i4")}[size]
    facts = {
        "Gain": "256", "AcquisitionChannel": "1", "NumberOfChannels": "2", "SignalStreamPath": "s.sig", "ADC_Nbits": str(8 * size),
        "ADC_Range": "4.8", "SamplingFrequency": "2000", "SampleSize": str(size), "UnitOfMeasurement": unit,
        "UnitOfMeasurementFactor": str(factor), "Title": "Muovi", "SubTitle": "EMG",
    } | changes  # fmt: skip
    body = "".join(f"<{k}>{v}</{k}>" for k, v in facts.items() if v)
    buffer = "<TrackInfo><Title>Buffer</Title><AcquisitionChannel>3</AcquisitionChannel><SignalStreamPath>s.sig</SignalStreamPath></TrackInfo>"
    device = (
        "<DeviceParameters><AdBits>16</AdBits><ADC_Range>1</ADC_Range><TotalChannelsInFile>4</TotalChannelsInFile>"
        "<SamplingFrequency>2000</SamplingFrequency><Gain>1</Gain></DeviceParameters>"
    )
    tracks = f"<ArrayOfTrackInfo><TrackInfo>{body}</TrackInfo>{buffer}</ArrayOfTrackInfo>"
    return pack(path, {"DeviceParameters.xml": device, "Tracks_000.xml": tracks, "s.sig": raw.tobytes()})


def test_otb_plus(tmp_path: Path) -> None:
    plus(tmp_path / "anna.otb+")
    (tmp_path / "dataset.toml").write_text('files = "{subject}.otb+"\nlabel = "annotations"\n')
    (recording,) = Folder(path=str(tmp_path)).read(tmp_path)
    assert (recording.rate_hz, recording.unit, recording.n_channels) == (2048.0, "uV", 3)
    np.testing.assert_allclose(recording.signal, X[:, :3].T * (3.3 / 65536 / 10 * 1e6), rtol=1e-6)
    start = round(0.1 * 2048)
    assert (recording.label[:start] == -1).all()
    assert recording.label_names[recording.label[start]] == "fist"
    findings = [f for f in Folder(path=str(tmp_path)).examine(tmp_path, "anna") if hasattr(f, "advice")]
    assert [f.what for f in findings] == ["the scale of OT Bioelettronica files is unverified"]


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize(("unit", "factor"), [("mV", 1000.0), ("V", 1.0), ("uV", 1e6)])
def test_otb4(tmp_path: Path, size: int, unit: str, factor: float) -> None:
    table = read_otb(four(tmp_path / "a.otb4", size, unit, factor), Description("*", label=False))
    chosen = [n for n in table.columns if n in (table.to_uv or {})]
    assert chosen == ["Muovi EMG 1", "Muovi EMG 2"]
    assert table.rate_hz == 2000.0
    for name, column in zip(chosen, (1, 2)):
        microvolts = table.columns[name] * (table.to_uv or {})[name]
        np.testing.assert_allclose(microvolts, X[:, column] * (4.8 / 2.0 ** (8 * size) / 256 * 1e6), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: plus(p, **{"a.sig": X.astype("<i2").tobytes()[:-3]}), "expected a multiple of 8"),
        (lambda p: plus(p, gain=0.0), "Gain is '0.0', expected a number above 0"),
        (lambda p: plus(p, channels=3), "has place 3 of 3"),
        (lambda p: plus(p, rate=float("nan")), "SampleFrequency is 'nan'"),
        (lambda p: plus(p, bits=40), "samples of 5 bytes"),
        (lambda p: plus(p, **{"a.xml": "<Device"}), "cut short or damaged"),
        (lambda p: plus(p, **{"a.xml": '<!DOCTYPE a [<!ENTITY b "c">]><Device/>'}), "defines XML entities"),
        (lambda p: pack(p, {"a.sig": b"12"}), r"lacks the \.xml that describes 'a\.sig'"),
        (lambda p: pack(p, {}), "describes no channels"),
        (lambda p: p.write_bytes(plus(p).read_bytes()[:2000]), "cut short"),
    ],
)
def test_damage_is_named(tmp_path: Path, change, message: str) -> None:
    change(tmp_path / "a.otb+")
    (tmp_path / "dataset.toml").write_text('files = "{subject}.otb+"\nlabel = false\n')
    with pytest.raises(DataError, match=message) as error:
        list(Folder(path=str(tmp_path)).read(tmp_path))
    assert "a.otb+" in str(error.value)


def test_damage_of_otb4_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text('files = "{subject}.otb4"\nlabel = false\n')
    for changes, message in (
        ({"SignalStreamPath": "../s.sig"}, r"lacks the file of samples '\.\./s\.sig'"),
        ({"NumberOfChannels": "9"}, "has channels 1 to 9 of 4"),
        ({"ADC_Nbits": "many"}, "ADC_Nbits is 'many'"),
        ({"SampleSize": "5"}, "samples of 5 bytes, which is not supported"),
    ):
        four(tmp_path / "a.otb4", **changes)
        with pytest.raises(DataError, match=message):
            list(Folder(path=str(tmp_path)).read(tmp_path))
    four(tmp_path / "a.otb4", unit="A.U.")
    with pytest.raises(ConfigError, match="no signal in a known unit of voltage"):
        list(Folder(path=str(tmp_path)).read(tmp_path))


def test_inspect_describes_it(tmp_path: Path) -> None:
    plus(tmp_path / "anna.otb+")
    found = guess(tmp_path)
    assert 'files = "anna.otb+"' in found.toml
    assert 'label = "annotations"' in found.toml
