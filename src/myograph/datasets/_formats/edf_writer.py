"""Write EDF+ (16 bits) and BDF+ (24 bits) files that keep rates, lengths and whole numbers exactly.

Source: Kemp and Olivan 2003, doi:10.1016/S1388-2457(03)00123-8 (EDF+); BDF+ differs in the sample size and two names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from myograph.errors import ConfigError

BITS = (16, 24)
RECORD_S = 10.0  # the longest data record
ANNOTATION_BYTES = 36  # per record, enough for its start time; a multiple of 2 and of 3
MOST_PER_RECORD = 30_000
SIZES_TRIED = 200
FIELD = 8  # characters of a number in the header
MOST_CHANNELS = 4000


def write_edf(path: Path, signal: np.ndarray, rate_hz: float, names: Sequence[str], unit: str, bits: int = 24) -> int:
    """Write (channel, time) samples, and return the number of zeros appended to fill the last data record.

    Whole numbers that fit into `bits` are stored as they are. Other samples are rounded to 2^-bits of each channel's
    range, or of a slightly larger range that the header can hold.

    Parameters
    ----------
    signal : (channel, time) samples in `unit`.
    rate_hz : samples per second. The header holds it to about seven digits.
    names : one per channel, at most 16 ASCII characters.
    unit : at most 8 ASCII characters, such as "uV".
    bits : 16 writes EDF+, 24 writes BDF+.

    Raises
    ------
    ConfigError : `bits` is another number, a name is too long, or there are too many channels.
    """
    if bits not in BITS:
        raise ConfigError(f"bits must be 16 (EDF+) or 24 (BDF+), got {bits!r}")
    n_channels, n_samples = signal.shape
    long = [n for n in names if len(n) > 16 or not n.isascii()]
    if long or n_channels > MOST_CHANNELS:
        raise ConfigError(
            f"an EDF file holds up to {MOST_CHANNELS} channels with names of 16 ASCII characters, got {n_channels} channels"
            + (f" and the name {long[0]!r}" if long else "")
        )
    per_record, duration = record_of(n_samples, rate_hz)
    n_records = -(-n_samples // per_record)
    scales = [Scale.of(channel, bits) for channel in signal]
    header = _header(names, unit, scales, per_record, duration, n_records, bits)
    with open(path, "wb") as file:
        file.write(header)
        for k in range(n_records):
            block = signal[:, k * per_record : (k + 1) * per_record]
            for channel, scale in zip(block, scales):
                digital = np.zeros(per_record, np.int32)
                digital[: block.shape[1]] = scale.digital(channel)
                file.write(_packed(digital, bits))
            start = f"{k * float(duration):.7f}".rstrip("0").rstrip(".")
            file.write(f"+{start}\x14\x14\x00".encode().ljust(ANNOTATION_BYTES, b"\x00"))
    return n_records * per_record - n_samples


@lru_cache(maxsize=256)
def record_of(n_samples: int, rate_hz: float) -> tuple[int, str]:
    """Return the samples per data record, and its duration in seconds as text for the header.

    Sizes are preferred that need few appended samples and whose duration is exact in eight characters.

    >>> record_of(12_000, 1000.0), record_of(5003, 1000.0), record_of(3400, 34 / 0.027)
    ((6000, '6'), (5003, '5.003'), (3400, '2.7'))
    """
    most = max(1, min(math.floor(RECORD_S * rate_hz), MOST_PER_RECORD))
    sizes = np.arange(most, max(1, math.floor(0.05 * rate_hz)) - 1, -1)
    least = sizes[np.argsort(-n_samples % sizes, kind="stable")[:SIZES_TRIED]].tolist()
    texts = {size: _field(size / rate_hz) for size in least}
    error = lambda size: abs(float(texts[size]) * rate_hz / size - 1) if float(texts[size]) else math.inf  # noqa: E731
    best = min(least, key=lambda size: (round(error(size), 6), -n_samples % size, round(error(size), 9), -size))
    return best, texts[best]


class Scale:
    """The linear map of one channel between samples and whole numbers, with the precision of the header."""

    def __init__(self, low: str, high: str, digital_low: int, digital_high: int):
        self.low, self.high, self.digital_low, self.digital_high = low, high, digital_low, digital_high

    @classmethod
    def of(cls, samples: np.ndarray, bits: int) -> Scale:
        """Return the smallest range that holds all samples; whole numbers that fit have one unit per step."""
        most = 2 ** (bits - 1)
        peak = float(np.abs(samples).max(initial=0.0))
        whole = peak < most and bool((samples == np.rint(samples)).all())
        if whole:
            return cls(str(-most), str(most - 1), -most, most - 1)
        high = _field(peak, up=True)
        low = f"-{high}" if len(high) < FIELD else f"-{_field(peak, up=True, width=FIELD - 1)}"
        return cls(low, low[1:], -most + 1, most - 1)

    def digital(self, samples: np.ndarray) -> np.ndarray:
        """Return (time,) int32 numbers of the nearest steps."""
        low, high = float(self.low), float(self.high)
        steps = (np.asarray(samples, np.float64) - low) * ((self.digital_high - self.digital_low) / (high - low))
        return (np.rint(steps) + self.digital_low).astype(np.int32)


def _field(number: float, up: bool = False, width: int = FIELD) -> str:
    """Return a positive number in `width` characters, rounded to nearest or up, without an exponent (for old readers).

    >>> _field(1 / 3), _field(1 / 3, up=True), _field(123456.789)
    ('0.333333', '0.333334', '123456.8')
    """
    if number >= 10**width:
        raise ConfigError(f"the number {number:g} does not fit into the header of an EDF file; scale the samples")
    for decimals in range(width, -1, -1):
        step = 10.0**-decimals
        value = math.ceil(number / step) * step if up else number
        text = f"{value:.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        if len(text) <= width and not (up and float(text) < number):
            if up and float(text) == 0:
                return "1"
            return text
    return "9" * width


def _packed(digital: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return digital.astype("<i2").tobytes()
    return digital.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _header(
    names: Sequence[str], unit: str, scales: Sequence[Scale], per_record: int, duration: str, n_records: int, bits: int
) -> bytes:
    kind = "EDF" if bits == 16 else "BDF"
    n = len(names) + 1
    text = lambda value, width: str(value).encode("ascii").ljust(width)[:width]  # noqa: E731
    top = [
        text("0", 8) if bits == 16 else b"\xffBIOSEMI",
        text("X X X X", 80),
        text("Startdate X X X X", 80),
        text("01.01.85", 8),
        text("00.00.00", 8),
        text(256 * (n + 1), 8),
        text(f"{kind}+C", 44),
        text(n_records, 8),
        text(duration, 8),
        text(n, 4),
    ]
    most = 2 ** (bits - 1)
    columns = [
        (16, [*names, f"{kind} Annotations"]),
        (80, [""] * n),
        (8, [*[unit] * len(names), ""]),
        (8, [*(s.low for s in scales), "-1"]),
        (8, [*(s.high for s in scales), "1"]),
        (8, [*(s.digital_low for s in scales), -most]),
        (8, [*(s.digital_high for s in scales), most - 1]),
        (80, [""] * n),
        (8, [*[per_record] * len(names), ANNOTATION_BYTES // (bits // 8)]),
        (32, [""] * n),
    ]
    return b"".join(top + [text(v, width) for width, values in columns for v in values])
