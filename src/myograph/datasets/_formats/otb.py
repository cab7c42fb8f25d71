"""Reads OT Bioelettronica files (`.otb+`, `.otb4`) as a Table: a tar of interleaved samples and an XML description.

The scale is unverified, because we had no real file to compare with a known voltage. Every file gets a note about this.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import numpy as np

from myograph._common.units import microvolts_per
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.edf import chosen_rate, with_annotations
from myograph.datasets._formats.guard import OWN_AGAIN, check_size
from myograph.datasets._formats.table import Table, distinct
from myograph.errors import ConfigError, DataError

RANGE_V = 3.3  # range of the converter of devices that write .otb+, which is not stated in the files
MOST_XML_BYTES = 16 << 20
NOT_EMG = ("control", "quaternion", "buffer", "ramp", "loadcell", "load cell", "aux", "force", "trigger")
UNVERIFIED = (
    "the scale of OT Bioelettronica files is unverified",
    "check one amplitude against the device's own software; set scale in the description if it differs",
)


@dataclass(frozen=True)
class _Signal:
    """One channel of a stream of samples.

    place : index among the channels of the stream. factor : factor from the stream's numbers to `unit`.
    """

    stream: str
    place: int
    name: str
    rate_hz: float
    factor: float
    unit: str


@dataclass(frozen=True)
class _Stream:
    """The storage of the samples of one file inside the tar."""

    n_channels: int
    sample_bytes: int


def read_otb(path: Path, description: Description) -> Table:
    """Read the EMG channels, of one rate, in µV of unverified scale, and markers as annotations.

    `stream` in the description selects one file of samples inside the tar, such as "session.sig", if there are several.

    Raises
    ------
    DataError : the file is truncated or damaged, or lacks the description of its samples. ConfigError : unknown
        `stream`.
    """
    with tarfile.open(path, "r:*") as tar:
        members = {m.name.removeprefix("./"): m for m in tar if m.isreg()}
        plus = path.suffix.lower() == ".otb+"
        signals, streams = _plus(path, tar, members) if plus else _four(path, tar, members)
        if description.stream is not None:
            if description.stream not in streams:
                raise ConfigError(
                    f"{path}: stream must be one of {', '.join(map(repr, streams))}, got {description.stream!r}"
                )
            signals = [s for s in signals if s.stream == description.stream]
        names = distinct(s.name for s in signals)
        stated = {n: s.unit for n, s in zip(names, signals)}
        voltages = {n for n, u in stated.items() if microvolts_per(u) is not None}
        rate_hz = chosen_rate(path, names, [s.rate_hz for s in signals], voltages, description)
        wanted = {s.stream for s in signals if s.rate_hz == rate_hz}
        samples = {name: _samples(path, tar, members, name, streams[name]) for name in sorted(wanted)}
        lengths = {name: len(x) for name, x in samples.items()}
        if len(set(lengths.values())) != 1:
            listed = ", ".join(f"{n} {k}" for n, k in lengths.items())
            raise DataError(f"{path}: its files of samples differ in length ({listed}); choose one with stream")
        columns = {
            n: samples[s.stream][:, s.place] * s.factor if s.rate_hz == rate_hz else np.empty(0)
            for n, s in zip(names, signals)
        }
        onsets, texts = _markers(path, tar, members)
    table = with_annotations(columns, rate_hz, stated, onsets, np.zeros(len(onsets)), texts)
    return Table(table.columns, True, rate_hz, table.to_uv, stated, notes=(UNVERIFIED,))


def _xml(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> ElementTree.Element:
    if member.size > MOST_XML_BYTES:
        raise DataError(
            f"{path}: {member.name} has {member.size} bytes, which is too large for a description; {OWN_AGAIN}"
        )
    text = _bytes(path, tar, member)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise DataError(f"{path}: {member.name} defines XML entities, which are not allowed; {OWN_AGAIN}")
    return ElementTree.fromstring(text)


def _bytes(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    check_size(member.size, path, member.name, OWN_AGAIN)
    file: IO[bytes] | None = tar.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise DataError(f"{path} is cut short: {member.name} has {len(content)} of {member.size} bytes; {OWN_AGAIN}")
    return content


def _samples(
    path: Path, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str, stream: _Stream
) -> np.ndarray:
    """Return the (time, channel) numbers of one file of samples."""
    if name not in members:
        raise DataError(f"{path} lacks {name!r}, it holds {', '.join(members)}; {OWN_AGAIN}")
    raw = _bytes(path, tar, members[name])
    per_sample = stream.n_channels * stream.sample_bytes
    if per_sample <= 0 or len(raw) % per_sample or not raw:
        raise DataError(
            f"{path}: {name} has {len(raw)} bytes, expected a multiple of {per_sample} ({stream.n_channels} channels of "
            f"{stream.sample_bytes} bytes); {OWN_AGAIN}"
        )
    if stream.sample_bytes == 3:
        parts = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = parts[:, 0] | (parts[:, 1] << 8) | (parts[:, 2] << 16)
        return (whole - ((whole & 0x800000) << 1)).reshape(-1, stream.n_channels)
    kinds = {2: "<i2", 4: "<i4", 8: "<f8"}
    if stream.sample_bytes not in kinds:
        raise DataError(
            f"{path}: {name} has samples of {stream.sample_bytes} bytes, which is not supported; {OWN_AGAIN}"
        )
    return np.frombuffer(raw, kinds[stream.sample_bytes]).reshape(-1, stream.n_channels)


def _number(path: Path, text: str | None, what: str, default: float | None = None) -> float:
    if text is None and default is not None:
        return default
    try:
        found = float(str(text).strip())
    except ValueError:
        found = float("nan")
    if not np.isfinite(found):
        raise DataError(f"{path}: {what} is {text!r}, expected a number; {OWN_AGAIN}")
    return found


def _positive(path: Path, text: str | None, what: str, default: float | None = None) -> float:
    found = _number(path, text, what, default)
    if found <= 0:
        raise DataError(f"{path}: {what} is {text!r}, expected a number above 0; {OWN_AGAIN}")
    return found


def _is_emg(*names: str) -> bool:
    return not any(word in name.lower() for name in names for word in NOT_EMG)


def _plus(
    path: Path, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]
) -> tuple[list[_Signal], dict[str, _Stream]]:
    """Return the channels of an .otb+ file: for each `.sig`, those in the `.xml` of the same name."""
    signals: list[_Signal] = []
    streams: dict[str, _Stream] = {}
    for name in (n for n in members if n.endswith(".sig")):
        side = members.get(name.removesuffix(".sig") + ".xml")
        if side is None:
            raise DataError(
                f"{path} lacks the .xml that describes {name!r}, it holds {', '.join(members)}; {OWN_AGAIN}"
            )
        device = _xml(path, tar, side)
        if device.tag != "Device":
            device = next(device.iter("Device"), device)
        n_channels = int(_positive(path, device.get("DeviceTotalChannels"), "DeviceTotalChannels"))
        bits = int(_positive(path, device.get("ad_bits"), "ad_bits"))
        rate_hz = _positive(path, device.get("SampleFrequency"), "SampleFrequency")
        streams[name] = _Stream(n_channels, -(-bits // 8))
        for adapter in device.iter("Adapter"):
            kind = adapter.get("ID") or "adapter"
            start = _number(path, adapter.get("ChannelStartIndex"), "ChannelStartIndex", 0.0)
            for channel in adapter.iter("Channel"):
                place = int(start + _number(path, channel.get("Index"), "Index of a channel"))
                if not 0 <= place < n_channels:
                    raise DataError(f"{path}: a channel of {kind!r} has place {place} of {n_channels}; {OWN_AGAIN}")
                gain = _positive(path, adapter.get("Gain"), "Gain", 1.0) * _positive(
                    path, channel.get("Gain"), "Gain", 1.0
                )
                label = channel.get("ID") or kind
                emg = _is_emg(kind, label)
                factor = RANGE_V / 2.0**bits / gain * 1e6 if emg else 1.0
                signals.append(
                    _Signal(name, place, f"{kind} {label} {place + 1}", rate_hz, factor, "uV" if emg else "")
                )
    if not signals:
        raise DataError(f"{path} describes no channels, it holds {', '.join(members) or 'nothing'}; {OWN_AGAIN}")
    return signals, streams


def _four(
    path: Path, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]
) -> tuple[list[_Signal], dict[str, _Stream]]:
    """Return the channels of an .otb4 file: the tracks of `Tracks_*.xml`, completed from `DeviceParameters.xml`."""
    tracks = [n for n in members if n.startswith("Tracks_") and n.endswith(".xml")]
    if not tracks:
        raise DataError(f"{path} lacks Tracks_000.xml, it holds {', '.join(members) or 'nothing'}; {OWN_AGAIN}")
    device = _xml(path, tar, members["DeviceParameters.xml"]) if "DeviceParameters.xml" in members else None
    signals: list[_Signal] = []
    streams: dict[str, _Stream] = {}
    for track in (t for name in sorted(tracks) for t in _xml(path, tar, members[name]).iter("TrackInfo")):

        def text(key: str, at_device: str = "", track: ElementTree.Element = track) -> str | None:
            found = track.findtext(key)
            return device.findtext(at_device) if found is None and at_device and device is not None else found

        stream = text("SignalStreamPath") or ""
        if stream not in members:
            raise DataError(f"{path} lacks the file of samples {stream!r}, it holds {', '.join(members)}; {OWN_AGAIN}")
        bits = _positive(path, text("ADC_Nbits", "AdBits"), "ADC_Nbits")
        size = int(_positive(path, text("SampleSize"), "SampleSize", float(-(-int(bits) // 8))))
        total = int(_positive(path, text("TotalChannelsInFile", "TotalChannelsInFile"), "TotalChannelsInFile"))
        streams.setdefault(stream, _Stream(total, size))
        gain = _positive(path, text("Gain", "Gain"), "Gain", 1.0)
        scale = _positive(path, text("ADC_Range", "ADC_Range"), "ADC_Range") / 2.0**bits / gain
        factor = (
            1.0 if size == 8 else scale * _number(path, text("UnitOfMeasurementFactor"), "UnitOfMeasurementFactor", 1.0)
        )
        rate_hz = _positive(path, text("SamplingFrequency", "SamplingFrequency"), "SamplingFrequency")
        first = int(_number(path, text("AcquisitionChannel"), "AcquisitionChannel", 0.0))
        count = int(_positive(path, text("NumberOfChannels"), "NumberOfChannels", 1.0))
        if first < 0 or first + count > total:
            raise DataError(f"{path}: a track has channels {first} to {first + count - 1} of {total}; {OWN_AGAIN}")
        title = " ".join(t for t in (text("Title"), text("SubTitle")) if t) or stream
        emg = _is_emg(title) and (text("IsControl") or "").lower() != "true"
        unit = (text("UnitOfMeasurement") or "V") if emg else ""
        signals += [
            _Signal(stream, first + i, f"{title} {i + 1}" if count > 1 else title, rate_hz, factor, unit)
            for i in range(count)
        ]
    if not signals:
        raise DataError(f"{path} describes no tracks; {OWN_AGAIN}")
    return signals, streams


def _markers(path: Path, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> tuple[np.ndarray, list[str]]:
    """Return onsets in seconds and texts of the markers."""
    found: set[tuple[float, str]] = set()
    for name in (n for n in members if n.lower().startswith("marker") and n.endswith(".xml")):
        for marker in _xml(path, tar, members[name]).iter("Marker"):
            text = (marker.findtext("Description") or "").strip()
            if text:
                found.add((_number(path, marker.findtext("Milliseconds"), "Milliseconds") / 1000, text))
    ordered = sorted(found)
    return np.array([onset for onset, _ in ordered]), [text for _, text in ordered]
