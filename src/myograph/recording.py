"""`Recording`: the samples of one subject in one session at one rate; and `Layout`, the positions of its electrodes."""

from __future__ import annotations

import hashlib
import numbers
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from myograph._common.runs import run_starts as run_starts
from myograph._common.runs import runs_per_label
from myograph.errors import ShapeError, SignalError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Unit = Literal["uV", "adc", "normalised"]
UNITS = ("uV", "adc", "normalised")
NOT_PICKLED = (
    "content_hash",
    "samples_hash",
    "_marks",
    "_fingerprint",
    "_checksum",
)  # values computed from the samples


@dataclass(frozen=True)
class Layout:
    """The position of each channel's electrode on a grid or a ring.

    Parameters
    ----------
    row, column : one number per channel; -1 for an electrode outside the pattern.
    wraps : whether the last column is next to the first, as in an armband.
    spacing_mm : distance between neighbouring columns in mm, if known.

    Raises
    ------
    ShapeError : `row` and `column` differ in length.

    Examples
    --------
    >>> layout = Layout.grid(rows=2, columns=3)
    >>> layout.shape
    (2, 3)
    >>> layout.index()
    array([[0, 1, 2],
           [3, 4, 5]])
    >>> layout.take(np.array([0, 3])).row
    (0, 1)
    >>> Layout.ring(n_channels=8).wraps
    True
    """

    row: tuple[int, ...]
    column: tuple[int, ...]
    wraps: bool = False
    spacing_mm: float | None = None

    def __post_init__(self) -> None:
        if len(self.row) != len(self.column):
            raise ShapeError(
                f"a layout must have one row and one column per channel, got {len(self.row)} and {len(self.column)}"
            )

    @classmethod
    def ring(cls, n_channels: int, n_rings: int = 1, n_extra: int = 0) -> Layout:
        """Lay out `n_rings` armbands of `n_channels` electrodes each, then `n_extra` electrodes placed elsewhere."""
        rows = [r for r in range(n_rings) for _ in range(n_channels)] + [-1] * n_extra
        columns = list(range(n_channels)) * n_rings + [-1] * n_extra
        return cls(tuple(rows), tuple(columns), wraps=True)

    @classmethod
    def grid(cls, rows: int, columns: int, wraps: bool = False, spacing_mm: float | None = None) -> Layout:
        """Lay out a rectangular grid whose channels are numbered row by row."""
        r, c = np.divmod(np.arange(rows * columns), columns)
        return cls(tuple(r.tolist()), tuple(c.tolist()), wraps, spacing_mm)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns of the pattern."""
        return max(self.row, default=-1) + 1, max(self.column, default=-1) + 1

    def index(self) -> np.ndarray:
        """Return the (row, column) array of channel numbers; -1 where there is no electrode."""
        image = np.full(self.shape, -1, np.intp)
        for channel, (r, c) in enumerate(zip(self.row, self.column)):
            if r >= 0:
                image[r, c] = channel
        return image

    def take(self, channels: np.ndarray) -> Layout:
        """Return the layout of the given channels."""
        return replace(self, row=tuple(self.row[i] for i in channels), column=tuple(self.column[i] for i in channels))


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples of one subject in one session, with a label and a repetition number for every sample.

    Parameters
    ----------
    signal : (channel, time) float32 or float64, in `unit`; integers become float32. It is stored as a read-only view,
        so a memory-mapped file is not loaded.
    rate_hz : samples per second.
    label : (time,) index into `label_names`, -1 where unlabelled; None if there are no labels at all.
    repetition : (time,) number of the repetition; if None, the contiguous runs of each label are numbered from 1.
    subject, session : names. They are ordered by appearance, not by spelling.
    unit : "uV", "normalised", or "adc" if the scale is unknown.
    label_names : name of each label index.
    layout : positions of the electrodes, if known.
    name : name used in messages; by default subject and session.
    breaks : increasing sample indices at which recording restarted: the first sample of every file after the first, or
        the first sample after a gap. No window spans a break, and filters restart there.
    reach_samples : number of earlier samples that the filters applied so far mix into each sample. Train windows within
        this distance of a test window are left out.

    Raises
    ------
    ShapeError : axes or lengths that do not agree.
    SignalError : NaN or infinite samples, an unknown unit or an impossible rate.

    Examples
    --------
    >>> label = np.repeat([0, 1, 0, 1], 500)
    >>> recording = Recording(np.ones((8, 2000)), 1000, label, subject="1", label_names=("rest", "fist"))
    >>> recording
    <Recording subject 1, session 1: 8 channels x 2.0 s @ 1000 Hz, uV, 2 labels>
    >>> recording.n_channels, recording.n_samples, recording.duration_s
    (8, 2000, 2.0)
    >>> np.unique(recording.repetition)
    array([1, 2], dtype=int32)
    >>> louder = recording.with_signal(2 * recording.signal, unit="normalised")
    >>> louder.unit, louder.content_hash == recording.content_hash
    ('normalised', False)
    >>> louder.samples_hash == recording.with_signal(2 * recording.signal).samples_hash
    True
    """

    signal: np.ndarray
    rate_hz: float
    label: np.ndarray
    subject: str
    repetition: np.ndarray = None  # type: ignore[assignment]  # filled in below
    session: str = "1"
    unit: Unit = "uV"
    label_names: tuple[str, ...] = ()
    layout: Layout | None = None
    name: str = field(default="")
    breaks: tuple[int, ...] = ()
    reach_samples: int = 0

    if TYPE_CHECKING:  # the types that the constructor accepts; the attributes above have the types after conversion

        def __init__(
            self,
            signal: ArrayLike,
            rate_hz: float,
            label: ArrayLike | None,
            subject: str,
            repetition: ArrayLike | None = None,
            session: str = "1",
            unit: Unit = "uV",
            label_names: Sequence[str] = (),
            layout: Layout | None = None,
            name: str = "",
            breaks: Sequence[int] = (),
            reach_samples: int = 0,
        ) -> None: ...

    def __post_init__(self) -> None:
        put = lambda key, value: object.__setattr__(self, key, value)  # noqa: E731
        put("subject", str(self.subject))
        put("session", str(self.session))
        put("name", self.name or f"subject {self.subject}, session {self.session}")
        signal = np.asarray(self.signal)
        if signal.ndim != 2 or signal.shape[0] == 0:
            raise ShapeError(
                f"{self.name}: signal must be (channel, time), got shape {signal.shape}; use signal[None] for one "
                "channel"
            )
        if signal.dtype not in (np.float32, np.float64):
            if signal.dtype.kind not in "iufb":
                raise SignalError(f"{self.name}: signal must hold numbers, got dtype {signal.dtype}")
            signal = signal.astype(np.float32)
        label = np.full(signal.shape[1], -1, np.int32) if self.label is None else np.asarray(self.label)
        if label.shape != signal.shape[1:]:
            hint = "; is the signal (time, channel)? Pass signal.T" if label.shape == signal.shape[:1] else ""
            raise ShapeError(f"{self.name}: signal (channel, time) is {signal.shape} but label is {label.shape}{hint}")
        if label.dtype.kind not in "iu":
            raise ShapeError(f"{self.name}: label must hold indices into label_names, got dtype {label.dtype}")
        label = label.astype(np.int32, copy=False)
        names = tuple(str(n) for n in self.label_names) or tuple(str(i) for i in range(int(label.max(initial=-1)) + 1))
        if len(set(names)) != len(names):
            raise ShapeError(f"{self.name}: label_names repeat a name: {names}")
        if label.size and (int(label.min()) < -1 or int(label.max()) >= len(names)):
            raise ShapeError(
                f"{self.name}: labels run from {label.min()} to {label.max()}, but there are {len(names)} label names; "
                "use -1 for unlabelled samples"
            )
        repetition = runs_per_label(label) if self.repetition is None else np.asarray(self.repetition)
        if repetition.shape != label.shape:
            raise ShapeError(f"{self.name}: repetition is {repetition.shape}, label is {label.shape}; both are (time,)")
        if repetition.dtype.kind not in "iu" and not (
            repetition.dtype.kind == "f" and np.array_equal(repetition, np.floor(repetition))
        ):
            raise ShapeError(
                f"{self.name}: repetition must hold whole numbers, got {repetition.dtype}"
                + (" with fractions or NaN" if repetition.dtype.kind == "f" else "")
                + "; None numbers the runs of each label"
            )
        if not (isinstance(self.rate_hz, numbers.Real) and np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise SignalError(
                f"{self.name}: rate_hz must be a positive number of samples per second, got {self.rate_hz!r}"
            )
        if self.unit not in UNITS:
            raise SignalError(
                f"{self.name}: unit must be one of {', '.join(UNITS)}, got {self.unit!r}; use 'adc' for an unknown "
                "scale"
            )
        if self.layout is not None and len(self.layout) != len(signal):
            raise ShapeError(
                f"{self.name}: the layout places {len(self.layout)} channels, the signal has {len(signal)}"
            )
        breaks = tuple(int(b) for b in self.breaks)
        if breaks and any(b <= a for a, b in zip((0, *breaks), (*breaks, signal.shape[1]))):
            raise ShapeError(
                f"{self.name}: breaks must be increasing sample indices from 1 to {signal.shape[1] - 1}, got "
                f"{breaks[:8]}"
            )
        check_finite(signal, self.name)
        frozen = signal.view()
        frozen.flags.writeable = False
        put("signal", frozen)
        put("rate_hz", float(self.rate_hz))
        put("label", label)
        put("repetition", repetition.astype(np.int32, copy=False))
        put("label_names", names)
        put("breaks", breaks)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.signal.shape[0]

    @property
    def n_samples(self) -> int:
        """Number of samples per channel."""
        return self.signal.shape[1]

    @property
    def duration_s(self) -> float:
        """Duration in seconds, without the gaps at breaks."""
        return self.n_samples / self.rate_hz

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of samples, labels, repetitions, rate and breaks; recordings with equal hashes hold the same data."""
        breaks = f"{self.breaks}" if self.breaks else ""
        digest = hashlib.sha256(f"{self.signal.shape}{self.signal.dtype}{self.rate_hz}{breaks}".encode())
        for array in (self.signal, self.label, self.repetition):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @cached_property
    def samples_hash(self) -> str:
        """SHA-256 of the samples without their labels."""
        digest = hashlib.sha256(f"{self.signal.shape}{self.signal.dtype}".encode())
        digest.update(np.ascontiguousarray(self.signal).data)
        return digest.hexdigest()

    def stretches(self) -> list[tuple[int, int]]:
        """Return (start, stop), in samples, of each stretch without a break.

        >>> Recording(np.zeros((1, 5)), 100.0, None, "anna", breaks=(2,)).stretches()
        [(0, 2), (2, 5)]
        """
        return list(zip((0, *self.breaks), (*self.breaks, self.n_samples)))

    def parts(self) -> list[Recording]:
        """Split into one Recording per stretch without a break; `one_after_another` joins them again.

        >>> [part.n_samples for part in Recording(np.zeros((1, 5)), 100.0, None, "anna", breaks=(2,)).parts()]
        [2, 3]
        """
        if not self.breaks:
            return [self]
        return [
            replace(
                self,
                signal=self.signal[:, start:stop],
                label=self.label[start:stop],
                repetition=self.repetition[start:stop],
                breaks=(),
            )
            for start, stop in self.stretches()
        ]

    def with_signal(self, signal: np.ndarray, **changes: Any) -> Recording:
        """Return the same recording with other samples, for example a filter's output, and with `changes` to other
        fields.
        """
        return replace(self, signal=signal, **changes)

    def forget_if_changed(self) -> None:
        """Drop the hashes and other cached values if the arrays were changed since the last call. The samples are a
        view of the caller's array, into which the caller can still write.

        >>> signal = np.zeros((1, 5))
        >>> recording = Recording(signal, 100.0, None, "anna")
        >>> recording.forget_if_changed()
        >>> before = recording.content_hash
        >>> signal[:] = 1
        >>> recording.forget_if_changed()
        >>> recording.content_hash == before
        False
        """
        arrays = (self.signal, self.label, self.repetition)
        if not any(_can_change(array) for array in arrays):
            return
        checksum = 0
        for array in arrays:
            checksum = zlib.crc32(np.ascontiguousarray(array).data.cast("B"), checksum)
        if self.__dict__.get("_checksum") != checksum:
            for name in NOT_PICKLED:
                self.__dict__.pop(name, None)
            self.__dict__["_checksum"] = checksum

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in NOT_PICKLED}

    def __repr__(self) -> str:
        return (
            f"<Recording {self.name}: {self.n_channels} channels x {self.duration_s:.1f} s @ {self.rate_hz:g} Hz, "
            f"{self.unit}, {len(self.label_names)} labels>"
        )


def _can_change(array: np.ndarray) -> bool:
    """Return whether the memory behind an array can be written; this is false for a file that is mapped for reading."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.flags.writeable


def one_after_another(parts: Sequence[Recording]) -> Recording:
    """Join recordings of one rate and the same channels into one Recording, with a break at each joint.

    Subject, unit, names and layout are those of the first.

    >>> parts = [Recording(np.zeros((1, n)), 100.0, None, "anna") for n in (2, 3)]
    >>> one_after_another(parts).breaks
    (2,)
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(p.n_samples for p in parts[:-1])]).tolist()
    breaks = {start + b for start, part in zip(starts, parts) for b in (0, *part.breaks)} - {0}
    return replace(
        parts[0],
        signal=np.concatenate([p.signal for p in parts], axis=1),
        label=np.concatenate([p.label for p in parts]),
        repetition=np.concatenate([p.repetition for p in parts]),
        breaks=tuple(sorted(breaks)),
    )


def check_finite(signal: np.ndarray, name: str) -> None:
    """Raise SignalError if a sample is NaN or infinite; the message states their number and the position of the first.

    >>> check_finite(np.array([[0.0, np.nan]]), name="mine")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    myograph.errors.SignalError: mine: 1 samples are NaN or infinite, the first in channel 0 at sample 1; ...
    """
    # One sum costs a fifth of isfinite on every sample, and is never finite if there is a NaN or an infinity.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(signal.sum(dtype=np.float64)):
            return
    bad = ~np.isfinite(signal)
    if bad.any():
        channel, sample = np.argwhere(bad)[0]
        raise SignalError(
            f"{name}: {int(bad.sum())} samples are NaN or infinite, the first in channel {channel} at sample {sample}; "
            "interpolate or cut them out before making a Recording"
        )


def as_chunk(chunk: Any, n_channels: int) -> np.ndarray:
    """Check a chunk of live samples and return it as float32 or float64; other number types become float32.

    Parameters
    ----------
    chunk : (channel, time) real numbers.
    n_channels : expected number of channels.

    Raises
    ------
    ShapeError : other axes or another number of channels.
    SignalError : values that are not real numbers, or are NaN or infinite.

    Examples
    --------
    >>> as_chunk([[1, 2, 3], [4, 5, 6]], n_channels=2).dtype
    dtype('float32')
    """
    chunk = np.asarray(chunk)
    if chunk.ndim != 2 or chunk.shape[0] != n_channels:
        raise ShapeError(f"a chunk must be (channel, time) with {n_channels} channels, got shape {chunk.shape}")
    if chunk.dtype.kind not in "iufb":
        raise SignalError(f"a chunk must hold real numbers, got dtype {chunk.dtype}")
    if chunk.dtype not in (np.float32, np.float64):
        chunk = chunk.astype(np.float32)
    if not np.isfinite(chunk).all():  # for a chunk of usual size, this is faster than the sum in check_finite
        check_finite(chunk, "chunk")
    return chunk
