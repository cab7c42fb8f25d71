"""`LiveLog` writes the events of a live session line by line; `read_log` reads them."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from myograph._common.files import cannot_write, plain
from myograph.errors import DataError, ResultsError
from myograph.live.decisions import Decisions
from myograph.live.decoder import Decoder
from myograph.live.metrics import all_metrics, expected_delay_ms, latency
from myograph.live.postprocess import MajorityVote
from myograph.live.sources.base import StreamInfo

FORMAT = "myograph live log 1"
SYNC_S = 1.0


class LiveLog:
    """A file to which a running session is written, one JSON object per line.

    Lines are only appended. If the program is killed, everything written so far is kept; a power cut loses about the
    last second. `read_log` skips an incomplete last line.

    Parameters
    ----------
    path : path of a new file.
    decoder, source : decoder and source in use, for the first line.
    facts : further values for the first line.

    Raises
    ------
    ResultsError : the file already exists, or cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], decoder: Decoder, source: StreamInfo, facts: Mapping[str, Any] | None = None
    ):
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "x", encoding="utf-8")  # noqa: SIM115
        except FileExistsError:
            raise ResultsError(
                f"{self.path} already exists, and a live log is never overwritten; choose another name"
            ) from None
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._synced = time.monotonic()
        stated = {"name": source.name, "channels": list(source.channels), "n_channels": source.n_channels}
        stated.update(rate_hz=source.rate_hz, unit=source.unit)
        self._write("start", format=FORMAT, at=time.time(), source=stated, **start_facts(decoder), **(facts or {}))

    def decisions(self, made: Decisions) -> None:
        """Write decisions, one line each."""
        rows = zip(made.start, made.stop, made.time_s, made.raw, made.label, made.rejected, made.gain, made.latency_ms)
        for i, (start, stop, time_s, raw, label, rejected, gain, spent) in enumerate(rows):
            self._put(
                "decision",
                {
                    "start": int(start),
                    "stop": int(stop),
                    "time_s": float(time_s),
                    "raw": int(raw),
                    "label": int(label),
                    "rejected": bool(rejected),
                    "gain": _number(gain),
                    "latency_ms": _number(spent),
                    "proba": [_number(p) for p in made.proba[i]],
                },
            )
        self._flush()

    def prompt(self, time_s: float, label: str) -> None:
        """Write a prompt that applies from `time_s` on, in seconds from the first sample; "" for no prompt."""
        self._write("prompt", time_s=time_s, label=label)

    def event(self, kind: str, **values: Any) -> None:
        """Write another event: a gap, a correction, a trial of a test."""
        self._write(kind, **values)

    def close(self, counts: Mapping[str, int] | None = None) -> None:
        """Write the last line, with the counts of the session's samples; a second call does nothing."""
        if not self._file.closed:
            self._write("end", at=time.time(), counts=dict(counts or {}))
            self._sync()
            self._file.close()

    def _write(self, kind: str, **values: Any) -> None:
        self._put(kind, plain(values))
        self._flush()

    def _put(self, kind: str, values: dict[str, Any]) -> None:
        self._file.write(json.dumps({"kind": kind, **values}, separators=(",", ":")) + "\n")

    def _flush(self) -> None:
        try:
            self._file.flush()
            if time.monotonic() - self._synced > SYNC_S:
                self._sync()
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def start_facts(decoder: Decoder) -> dict[str, Any]:
    """Return the facts about the decoder in the first line of a log."""
    votes = [cast(MajorityVote, p).n for p in decoder.post if isinstance(p, MajorityVote)]
    windowing = decoder.windowing
    steps = {"step_ms": windowing.step_ms, "length_ms": windowing.length_ms}
    return {"decoder": decoder.info, **steps, "n_votes": max(votes, default=1)}


@dataclass(frozen=True)
class LoggedSession:
    """A live session, read from its log.

    Attributes
    ----------
    start : values of the first line: decoder, source, step_ms and others.
    decisions : all decisions in order.
    prompts : (time_s, label) of each prompt.
    events : all other lines, such as gaps and trials of tests.
    counts : samples received, filled, lost and repeated, and restarts; empty if the session did not end normally.
    complete : whether the session ended normally.
    """

    start: dict[str, Any]
    decisions: Decisions
    prompts: tuple[tuple[float, str], ...] = ()
    events: tuple[dict[str, Any], ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    complete: bool = True

    @property
    def step_s(self) -> float:
        """Time from one decision to the next, in s."""
        return float(self.start["step_ms"]) / 1000

    @property
    def truth(self) -> np.ndarray:
        """(decision,) the prompt at the last sample of each decision; "" before the first prompt."""
        if not self.prompts:
            return np.full(len(self.decisions), "")
        times = np.array([time_s for time_s, _ in self.prompts])
        labels = np.array(["", *(label for _, label in self.prompts)])
        # A decision at time t is based on the samples before t.
        return labels[np.searchsorted(times, self.decisions.time_s, side="left")]

    def summary(self, rest: str = "rest", **options: Any) -> dict[str, Any]:
        """Return counts, latency, shares of the classes and, if there were prompts, the decision metrics.

        Delays are measured from the prompt, so they include the person's reaction time. Decisions without a prompt are
        left out of the metrics; a rejected decision counts as `rest`.

        Parameters
        ----------
        options : options of `myograph.live.metrics.all_metrics`.
        """
        decided, truth = self.decisions.output(rest), self.truth
        known, step_ms = truth != "", float(self.start["step_ms"])
        classes = list(self.decisions.classes)
        spent = latency(self.decisions.latency_ms)
        processing = spent["p50_ms"] if np.isfinite(spent["p50_ms"]) else 0.0
        found: dict[str, Any] = {
            "decisions": len(self.decisions),
            "duration_s": len(self.decisions) * step_ms / 1000,
            "rejected": int(self.decisions.rejected.sum()),
            "shares": {name: float((decided == name).mean()) if len(decided) else math.nan for name in classes},
            "latency": spent,
            "expected_delay_ms": expected_delay_ms(
                float(self.start["length_ms"]), step_ms, int(self.start["n_votes"]), processing
            ),
            "counts": dict(self.counts),
            "complete": self.complete,
        }
        if known.any():
            usable = bool(np.isfinite(self.decisions.proba).all())
            confidence = self.decisions.confidence[known] if usable else None
            found["metrics"] = all_metrics(
                truth[known], decided[known], self.decisions.time_s[known], step_ms, rest, confidence, **options
            )
        return found


def read_log(path: str | os.PathLike[str]) -> LoggedSession:
    """Read a file of `LiveLog`; an incomplete last line is skipped.

    Raises
    ------
    DataError : no such file, not a live log, or a damaged line before the last one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    rows = _rows(text, path)
    if not rows or rows[0].get("format") != FORMAT:
        raise DataError(f"{path} is not a live log of this version of myograph: its first line lacks {FORMAT!r}")
    try:
        classes = tuple(str(name) for name in rows[0]["decoder"]["classes"])
        end = next((row for row in rows if row["kind"] == "end"), None)
        own = ("start", "decision", "prompt", "end")
        return LoggedSession(
            start=rows[0],
            decisions=_decisions([row for row in rows if row["kind"] == "decision"], classes),
            prompts=tuple((float(row["time_s"]), str(row["label"])) for row in rows if row["kind"] == "prompt"),
            events=tuple(row for row in rows if row["kind"] not in own),
            counts={} if end is None else {name: int(n) for name, n in end["counts"].items()},
            complete=end is not None,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"{path} is damaged: a value is missing or invalid in a line ({error})") from error


def _rows(text: str, path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    lines, rows = text.split("\n"), []
    for i, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or "kind" not in row:
                raise ValueError("not an object with a kind")
        except (ValueError, RecursionError) as error:
            if i == len(lines) - 1:  # not followed by a newline: the program was killed while writing it
                break
            raise DataError(f"{path} is damaged in line {i + 1}: {error}") from error
        rows.append(row)
    return rows


def _decisions(rows: Sequence[Mapping[str, Any]], classes: tuple[str, ...]) -> Decisions:
    def column(name: str, kind: type) -> np.ndarray:
        return np.array([math.nan if row[name] is None else row[name] for row in rows], kind)

    proba = [[math.nan if p is None else p for p in row["proba"]] for row in rows]
    made = Decisions(
        classes=classes,
        start=column("start", np.int64),
        stop=column("stop", np.int64),
        time_s=column("time_s", float),
        raw=column("raw", np.intp),
        label=column("label", np.intp),
        rejected=column("rejected", bool),
        gain=column("gain", float),
        proba=np.array(proba, float).reshape(len(rows), len(classes)),
        latency_ms=column("latency_ms", float),
    )
    for index in (made.raw, made.label):
        if len(index) and not (index.min() >= 0 and index.max() < len(classes)):
            raise ValueError("a class index within the classes")
    return made


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
