"""`lsl`: a stream of the lab streaming layer (LSL) of a device or recording program; needs `pylsl`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, cast

import numpy as np

from myograph._common.units import microvolts_per
from myograph.errors import ConfigError, MissingExtraError, SourceError, need
from myograph.live.sources.base import SOURCES, Chunk, Source, StreamInfo
from myograph.recording import UNITS

BUFFER_S = 360
MOST_SAMPLES = 16_384  # per call of read


@SOURCES.register("lsl")
@dataclass(frozen=True)
class Lsl(Source):
    """A stream of the lab streaming layer, chosen by name or by type.

    Channel names and units are read from the stream's description; voltages are converted to uV. LSL delivers every
    sample in order while the connection exists, so samples are counted as they arrive. Samples lost between the device
    and the LSL outlet can only be detected with a channel that counts the device's samples: set it as `counter`. Time
    stamps are not used for this, because outlets give late samples late stamps. A lost stream raises an error at once.

    Parameters
    ----------
    name : name of the stream; "" selects the first stream of the type.
    type : type of the stream, used if no name is given.
    channels : labels of the channels to read, in this order. By default those of type EMG, or all if the stream has no
        types; the counter is always excluded.
    counter : label of a channel that counts the device's samples.
    unit : unit of the samples, if the stream does not state it: "uV", "adc" or "normalised".
    timeout_s : how long `open` searches for the stream.

    Source: Kothe et al. 2024, doi:10.1101/2024.02.13.580071 (the layer).
    """

    name: str = ""
    type: str = "EMG"
    channels: tuple[str, ...] = ()
    counter: str = ""
    unit: str = ""
    timeout_s: float = 5.0
    _at: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.unit and self.unit not in UNITS:
            raise ConfigError(f"lsl: unit must be one of {UNITS} or '' for the stream's own unit, got {self.unit!r}")
        if not self.timeout_s > 0:
            raise ConfigError(f"lsl: timeout_s must be positive, got {self.timeout_s!r}")

    def open(self) -> StreamInfo:
        """Find the stream and connect.

        Raises
        ------
        MissingExtraError : `pylsl` or its library is not installed.
        SourceError : the stream is not found, has no constant rate, has text instead of numbers, or lacks a label.
        """
        pylsl = load_pylsl()
        prop, value = ("name", self.name) if self.name else ("type", self.type)
        found = pylsl.resolve_byprop(prop, value, 1, self.timeout_s)
        if not found:
            raise SourceError(
                f"lsl: found no stream of {prop} {value!r} within {self.timeout_s:g} s; is it on, and is it in the "
                "same network?"
            )
        # With `recover`, a lost stream could not be told from a stream that sends nothing.
        inlet = pylsl.StreamInlet(found[0], max_buflen=BUFFER_S, recover=False)
        try:
            info = inlet.info(self.timeout_s)
            made, rows, scale, counter = self._describe(pylsl, info)
            offset = inlet.time_correction(self.timeout_s)
            inlet.open_stream(self.timeout_s)
        except (TimeoutError, pylsl.util.LostError) as error:
            inlet.close_stream()
            raise SourceError(
                f"lsl: the stream {found[0].name()!r} does not answer ({error}); start it again"
            ) from error
        self._at.update(inlet=inlet, lost=pylsl.util.LostError, sample=0, rows=rows, scale=scale, counter=counter)
        self._at.update(offset=offset, waiting=[], began=None)
        return made

    def _describe(self, pylsl: ModuleType, info: Any) -> tuple[StreamInfo, list[int], float, int | None]:
        """Return the stream's properties, the rows to read, the factor to uV, and the row of the counter."""
        n, rate_hz = info.channel_count(), float(info.nominal_srate())
        name = info.name()
        if not rate_hz > 0 or info.channel_format() == pylsl.cf_string:
            raise SourceError(
                f"lsl: the stream {name!r} has no constant sampling rate, or holds text; choose a stream of samples"
            )
        labels = _texts(info.get_channel_labels(), n) or [f"channel {i + 1}" for i in range(n)]
        kinds, units = _texts(info.get_channel_types(), n), _texts(info.get_channel_units(), n)
        chosen = list(self.channels)
        for label in [*chosen, self.counter]:
            if label and label not in labels:
                raise SourceError(f"lsl: the stream {name!r} has no channel {label!r}; it has {', '.join(labels)}")
        counter = labels.index(self.counter) if self.counter else None
        if chosen:
            rows = [labels.index(label) for label in chosen]
        else:
            emg = [i for i, kind in enumerate(kinds) if kind.upper() == "EMG"]
            rows = [i for i in (emg or range(n)) if i != counter]
        factors = {microvolts_per(units[i]) if units else None for i in rows}
        if len(factors) > 1:
            stated = ", ".join(f"{labels[i]} {units[i] or 'none'}" for i in rows)
            raise SourceError(
                f"lsl: the channels of {name!r} have different units ({stated}); choose some with channels="
            )
        factor = factors.pop() if factors else None
        unit = self.unit or ("adc" if factor is None else "uV")
        scale = 1.0 if self.unit or factor is None else factor
        names = tuple(labels[i] for i in rows)
        return StreamInfo(len(rows), rate_hz, unit, names, name=f"lsl {name}"), rows, scale, counter

    @property
    def clock_offset_s(self) -> float:
        """The offset from a sample's time stamp to this machine's LSL clock, in s; measured when the stream was opened."""
        return self._at.get("offset", math.nan)

    def read(self) -> Chunk | None:
        if "inlet" not in self._at:
            raise ConfigError("lsl: call open() before read()")
        at = self._at
        if not at["waiting"]:
            try:
                values, stamps = at["inlet"].pull_chunk(timeout=0.0, max_samples=MOST_SAMPLES)
            except at["lost"] as error:
                raise SourceError("lsl: the stream was lost; is the device still on?") from error
            if not len(stamps):
                return None
            at["waiting"] = self._runs(np.asarray(values).T, np.asarray(stamps, float))
        return at["waiting"].pop(0)

    def _runs(self, values: np.ndarray, stamps: np.ndarray) -> list[Chunk]:
        """Split samples into chunks without gaps."""
        at = self._at
        samples = values[at["rows"]]
        if at["scale"] != 1:
            samples = samples * at["scale"]
        if at["counter"] is None:
            first = at["sample"]
            at["sample"] += samples.shape[1]
            return [Chunk(samples, first, stamps)]
        numbers = values[at["counter"]].astype(np.int64)
        if at["began"] is None:
            at["began"] = int(numbers[0])
        numbers -= at["began"]
        cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
        parts = zip(np.split(numbers, cuts), np.split(samples, cuts, axis=1), np.split(stamps, cuts))
        return [Chunk(part, int(n[0]), t) for n, part, t in parts]

    def close(self) -> None:
        if inlet := self._at.pop("inlet", None):
            inlet.close_stream()
        self._at.clear()


def load_pylsl() -> ModuleType:
    """Return the module `pylsl`.

    Raises
    ------
    MissingExtraError : `pylsl` is not installed, or does not find the library liblsl.
    """
    try:
        return cast(ModuleType, need("pylsl", "live"))
    except (RuntimeError, OSError) as error:  # pylsl is installed, but the library is missing
        raise MissingExtraError(
            f"pylsl found no liblsl: install its wheel for this platform (pip install --force-reinstall pylsl), or the "
            f"library itself (conda install -c conda-forge liblsl) ({error})"
        ) from error


def _texts(found: list[Any] | None, n: int) -> list[str]:
    return [] if not found or len(found) != n else [str(text or "") for text in found]
