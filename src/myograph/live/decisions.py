"""`Decisions`: the decisions of a decoder, one row per decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from myograph._common.files import write_atomically
from myograph.errors import ShapeError
from myograph.live.metrics import all_metrics, latency
from myograph.recording import Recording


@dataclass(frozen=True, eq=False)
class Decisions:
    """Decisions in time, as arrays with one entry per decision.

    Attributes
    ----------
    classes : names of the classes; all class indices refer to them.
    start, stop : (decision,) sample range [start, stop) of the window, counted from the first filtered sample.
    time_s : (decision,) time of the window's last sample, in seconds from the first sample.
    raw : (decision,) class index given by the method, before post-processing.
    label : (decision,) class index after post-processing.
    rejected : (decision,) whether post-processing withheld the decision.
    gain : (decision,) speed from 0 to 1; 1 if no post-processor sets it.
    proba : (decision, class) probabilities of the method; NaN if it has none.
    latency_ms : (decision,) time from the call with the last sample to the decision; NaN offline. `==` ignores it.

    Examples
    --------
    >>> from myograph import Windowing
    >>> from myograph.live.decoder import Decoder
    >>> from myograph.testing import make_recording
    >>> recording = make_recording()
    >>> decisions = Decoder.fit(recording, "lda", windowing=Windowing(200, 100)).decide(recording)
    >>> decisions.names[:3].tolist(), decisions.output()[:3].tolist(), decisions.confidence.shape
    (['rest', 'rest', 'rest'], ['rest', 'rest', 'rest'], (39,))
    >>> decisions.table.columns[:3].tolist(), decisions.truth(recording)[:3].tolist()
    (['time_s', 'start', 'stop'], ['rest', 'rest', 'rest'])
    >>> decisions.metrics(recording)["total_error"] < 0.2
    True
    >>> len(Decisions.concatenate([decisions, decisions])) == 2 * len(decisions)
    True
    """

    classes: tuple[str, ...]
    start: np.ndarray
    stop: np.ndarray
    time_s: np.ndarray
    raw: np.ndarray
    label: np.ndarray
    rejected: np.ndarray
    gain: np.ndarray
    proba: np.ndarray
    latency_ms: np.ndarray = field(default_factory=lambda: np.zeros(0))

    COMPARED = ("start", "stop", "time_s", "raw", "label", "rejected", "gain", "proba")

    def __len__(self) -> int:
        return len(self.start)

    def __eq__(self, other: object) -> bool:
        """Return whether all values are equal bit for bit, with NaN equal to NaN; latencies are not compared."""
        if not isinstance(other, Decisions):
            return NotImplemented
        pairs = [(getattr(self, name), getattr(other, name)) for name in self.COMPARED]
        same = all(a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
        return self.classes == other.classes and same

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def concatenate(cls, parts: Sequence[Decisions]) -> Decisions:
        """Join several `Decisions` of one decoder, in order.

        Raises
        ------
        ShapeError : there are no `Decisions`, or their classes differ.
        """
        if not parts or any(p.classes != parts[0].classes for p in parts):
            raise ShapeError("Decisions.concatenate needs one or more Decisions with the same classes")
        names = (*cls.COMPARED, "latency_ms")
        return cls(parts[0].classes, *(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    @property
    def names(self) -> np.ndarray:
        """(decision,) class names after post-processing."""
        return np.asarray(self.classes, dtype=object)[self.label]

    @property
    def confidence(self) -> np.ndarray:
        """(decision,) probability of the class given by the method, before post-processing."""
        return self.proba[np.arange(len(self)), self.raw]

    def output(self, rest: str = "rest") -> np.ndarray:
        """Return (decision,) class names, with `rest` for rejected decisions."""
        return np.where(self.rejected, rest, self.names.astype(str))

    @property
    def table(self) -> pd.DataFrame:
        """Return the decisions as a table: time_s, start, stop, decision, rejected, gain, raw, confidence, one column
        per class, latency_ms.
        """
        table = pd.DataFrame(
            {
                "time_s": self.time_s,
                "start": self.start,
                "stop": self.stop,
                "decision": self.names,
                "rejected": self.rejected,
                "gain": self.gain,
                "raw": np.asarray(self.classes, dtype=object)[self.raw],
                "confidence": self.confidence,
            }
        )
        shares = pd.DataFrame(self.proba, columns=[f"p({name})" for name in self.classes])
        return pd.concat([table, shares, pd.Series(self.latency_ms, name="latency_ms")], axis=1)

    def to_csv(self, path: str | Path) -> None:
        """Write `table` as CSV; an existing file is replaced only when the new one is complete.

        >>> import tempfile
        >>> none, of = np.zeros(0), np.zeros(0, int)
        >>> decisions = Decisions(("rest", "fist"), of, of, none, of, of, of, none, np.zeros((0, 2)), none)
        >>> decisions.to_csv(Path(tempfile.mkdtemp()) / "decisions.csv")
        """
        write_atomically(Path(path), lambda to: self.table.to_csv(to, index=False))

    def truth(self, recording: Recording) -> np.ndarray:
        """Return the (decision,) label name of the recording at each window's last sample; "" if it is unlabelled.

        recording : the recording that was decided, before filters.
        """
        sample = np.minimum(np.round(self.time_s * recording.rate_hz).astype(np.int64), recording.n_samples) - 1
        names = np.asarray([*recording.label_names, ""], dtype=object)
        return names[recording.label[np.maximum(sample, 0)]].astype(str)

    def metrics(self, recording: Recording, rest: str = "rest", **options: Any) -> dict[str, Any]:
        """Return all decision metrics with the recording's labels as truth (see `myograph.live.metrics.all_metrics`).

        Decisions at unlabelled samples are left out. A rejected decision counts as `rest`.
        """
        truth = self.truth(recording)
        known = truth != ""
        step_ms = 1000 * float(np.median(np.diff(self.time_s))) if len(self) > 1 else float("nan")
        confidence = self.confidence[known] if np.isfinite(self.proba).all() else None
        found = all_metrics(
            truth[known], self.output(rest)[known], self.time_s[known], step_ms, rest, confidence, **options
        )
        return {**found, "latency": latency(self.latency_ms)}

    def __repr__(self) -> str:
        return f"<Decisions: {len(self)} among {len(self.classes)} classes, {int(self.rejected.sum())} rejected>"
