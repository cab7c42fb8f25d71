"""Tests of a decoder at work: prompted gestures and false activations at rest. One log, from which all metrics are computed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.files import plain, write_json
from myograph.cli.studio.plan import REACTION_S, REST, Plan, Prompter
from myograph.cli.studio.record import prompt
from myograph.errors import ConfigError
from myograph.live.decisions import Decisions
from myograph.live.metrics import all_metrics, latency
from myograph.live.session import Piece

KINDS = ("motion", "rest", "fitts")
Log = list[dict[str, Any]]  # one entry per decision: time_s, truth, settled, decided, confidence, latency_ms


class PromptedTest:
    """Decisions against prompts; a rest test is one without prompts.

    Attributes
    ----------
    log : one entry per decision. `truth` is what was asked for at the window's last sample; `settled` says that it had
        been asked for long enough for a person to react.
    """

    def __init__(self, kind: str, rate_hz: float, step_s: float, plan: Plan | None, seconds: float):
        self.kind, self.rate_hz, self.step_s, self.plan, self.seconds = kind, rate_hz, step_s, plan, seconds
        self.log: Log = []
        self.now = 0
        self._prompter = None if plan is None else Prompter(plan, rate_hz)
        self._changes: list[tuple[int, str]] = [(0, REST)]  # (sample, what is asked for from there on)

    @property
    def wanted(self) -> str:
        """What the person is asked to do."""
        return REST if self._prompter is None else self._prompter.wanted

    @property
    def over(self) -> bool:
        """Is it finished?"""
        if self._prompter is not None:
            return self._prompter.phase == "done"
        return self.now >= self.seconds * self.rate_hz

    def take(self, piece: Piece, decisions: Decisions) -> None:
        """Let the samples of a piece pass, which completed these decisions."""
        n = piece.samples.shape[1]
        before, self.now = self.now, self.now + n
        if self._prompter is not None:
            for event in self._prompter.advance(n):
                wanted = event.gesture if event.kind == "begin" else REST
                if event.kind != "done":
                    self._changes.append((before + event.offset, wanted))
        begun = piece.first - before  # number of the test's first sample
        for i in range(len(decisions)):
            self._note(round(float(decisions.time_s[i]) * self.rate_hz) - begun, decisions, i)

    def _note(self, sample: int, decisions: Decisions, i: int) -> None:
        since, truth = next(c for c in reversed(self._changes) if c[0] < max(sample, 1))
        name = decisions.classes[decisions.label[i]]
        self.log.append(
            {
                "time_s": sample / self.rate_hz,
                "truth": truth,
                "settled": sample - since >= REACTION_S * self.rate_hz,
                "decided": REST if decisions.rejected[i] else name,
                "confidence": float(decisions.confidence[i]),
                "latency_ms": float(decisions.latency_ms[i]),
            }
        )

    def tick(self) -> dict[str, Any]:
        """Where the test is, as plain values."""
        if self._prompter is not None:
            return {"kind": self.kind, **prompt(self._prompter)}
        left = max(self.seconds - self.now / self.rate_hz, 0.0)
        share = min(self.now / self.rate_hz / self.seconds, 1.0)
        return {"kind": self.kind, "phase": "rest", "gesture": REST, "share": share, "left_s": left}

    def result(self) -> dict[str, Any]:
        """The test as plain values: settings, metrics and log."""
        settings = {"seconds": self.seconds} if self.plan is None else self.plan.as_dict()
        return plain({"settings": settings, "metrics": prompted_metrics(self.log, self.step_s), "log": self.log})


def prompted_metrics(log: Log, step_s: float) -> dict[str, Any]:
    """Every decision metric of a log, and the accuracy of the decisions after the person had time to react."""
    truth = [entry["truth"] for entry in log]
    decided = [entry["decided"] for entry in log]
    settled = [t == d for t, d, entry in zip(truth, decided, log) if entry["settled"]]
    confidence = np.array([entry["confidence"] for entry in log])
    found = all_metrics(
        truth,
        decided,
        [entry["time_s"] for entry in log],
        1000 * step_s,
        REST,
        confidence if len(log) and np.isfinite(confidence).all() else None,
    )
    found["settled_accuracy"] = float(np.mean(settled)) if settled else float("nan")
    found["decisions"] = len(log)
    found["latency"] = latency([entry["latency_ms"] for entry in log])
    return found


class Results:
    """Finished tests below `root`, one file each."""

    def __init__(self, root: Path):
        self.folder = root / "tests"
        self.kept = [entry for path in sorted(self.folder.glob("*.json")) if (entry := _read(path)) is not None]

    def add(self, kind: str, decoder: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Keep a result; returns it with its number and date."""
        number = 1 + max((entry["number"] for entry in self.kept), default=0)
        entry = {"number": number, "kind": kind, "date": time.strftime("%Y-%m-%d %H:%M"), "decoder": decoder, **result}
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"{number:04d}-{kind}.json", entry)
        self.kept.append(entry)
        return entry

    def part(self) -> list[dict[str, Any]]:
        """All results without their logs."""
        return [{k: v for k, v in entry.items() if k != "log"} for entry in self.kept]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        return entry if entry["kind"] in KINDS and isinstance(entry["number"], int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def need_decoder(name: str) -> None:
    """Raises ConfigError where no decoder is at work."""
    if not name:
        raise ConfigError("there is no decoder at work; train one, or choose a saved one under Decode")
