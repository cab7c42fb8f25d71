"""Live tests of a decoder: prompted gestures, rest, and Fitts' law. All metrics are computed from the test's log."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from myograph._common.files import plain
from myograph.cli.studio.plan import REACTION_S, REST, Prompter, PromptPlan
from myograph.cli.studio.record import prompt
from myograph.errors import ConfigError, DataError
from myograph.live.decisions import Decisions
from myograph.live.decoder import Decoder
from myograph.live.fitts import FittsTest, Trial, fitts_summary, random_targets
from myograph.live.log import LiveLog, LoggedSession, read_log
from myograph.live.session import Piece
from myograph.live.sources.base import StreamInfo

KINDS = ("motion", "rest", "fitts")
READY_S = 2.0
DIRECTIONS = {"right": (1.0, 0.0), "left": (-1.0, 0.0), "up": (0.0, 1.0), "down": (0.0, -1.0)}
DISTANCES, WIDTHS = (0.5, 1.0), (0.2, 0.35)  # of the targets, in half widths of the screen; our choice
LEAD_S = 0.45  # how early the simulated person relaxes, because cursor and muscles continue for about that long
FITTED = 0.35  # of a target's width: the distance from its centre at which the simulated person stops correcting


class LiveTest:
    """A test in progress; derived classes define its prompts and when it is over.

    Parameters
    ----------
    path : path of the log, a new file. facts : entries of the log's first line besides decoder and source.
    """

    kind = ""
    prompts = True  # whether the decisions are compared with the prompts

    def __init__(self, path: Path, decoder: Decoder, info: StreamInfo, facts: Mapping[str, Any]):
        self.path, self.rate_hz = path, info.rate_hz
        self.log = LiveLog(path, decoder, info, {"test": {"kind": self.kind, **facts}})
        self.now = 0  # samples since the test began

    @property
    def wanted(self) -> str:
        """The gesture that is prompted now."""
        return REST

    @property
    def over(self) -> bool:
        """Whether the test is finished."""
        raise NotImplementedError

    def take(self, piece: Piece, decisions: Decisions) -> None:
        """Process the samples of a piece and the decisions that they completed."""
        if self.now == 0 and self.prompts:
            self.log.prompt(piece.first / self.rate_hz, REST)
        self._pass(piece, decisions)
        self.log.decisions(decisions)
        self.now += piece.samples.shape[1]

    def _pass(self, piece: Piece, decisions: Decisions) -> None:
        """Process a piece in a derived class."""

    def tick(self) -> dict[str, Any]:
        """Return the progress of the test as plain values."""
        raise NotImplementedError

    def close(self, counts: Mapping[str, int]) -> None:
        """End the log; a test that is not over is marked as stopped early."""
        if not self.over:
            self.log.event("stopped")
        self.log.close(counts)


class MotionTest(LiveTest):
    """Prompts for every gesture and compares the decisions with the prompts."""

    kind = "motion"

    def __init__(self, path: Path, decoder: Decoder, info: StreamInfo, facts: Mapping[str, Any], plan: PromptPlan):
        super().__init__(path, decoder, info, {**facts, "settings": plan.as_dict()})
        self._prompter = Prompter(plan, info.rate_hz)

    @property
    def wanted(self) -> str:
        return self._prompter.wanted

    @property
    def over(self) -> bool:
        return self._prompter.phase == "done"

    def _pass(self, piece: Piece, decisions: Decisions) -> None:
        for event in self._prompter.advance(piece.samples.shape[1]):
            if event.kind != "done":
                asked = event.gesture if event.kind == "begin" else REST
                self.log.prompt((piece.first + event.offset) / self.rate_hz, asked)

    def tick(self) -> dict[str, Any]:
        return {"kind": self.kind, **prompt(self._prompter)}


class RestTest(LiveTest):
    """Prompts only for rest; every activation is a false activation."""

    kind = "rest"

    def __init__(self, path: Path, decoder: Decoder, info: StreamInfo, facts: Mapping[str, Any], seconds: float):
        super().__init__(path, decoder, info, {**facts, "settings": {"seconds": seconds}})
        self._samples = round(seconds * info.rate_hz)

    @property
    def over(self) -> bool:
        return self.now >= self._samples

    def tick(self) -> dict[str, Any]:
        left = max(self._samples - self.now, 0)
        share = 1 - left / self._samples
        return {"kind": self.kind, "phase": "rest", "gesture": REST, "share": share, "left_s": left / self.rate_hz}


class CursorTest(LiveTest):
    """Fitts' law test: gestures move a cursor to targets, in which it must stay.

    Parameters
    ----------
    directions : gesture for each of `DIRECTIONS`. speed : speed of the cursor in half widths of the screen per second.
    control : "decoder", or "hand" for mouse or keyboard, as a control condition.
    """

    kind = "fitts"
    prompts = False  # a target can be reached in many ways, so decisions are not right or wrong

    def __init__(
        self,
        path: Path,
        decoder: Decoder,
        info: StreamInfo,
        facts: Mapping[str, Any],
        directions: Mapping[str, str],
        control: str,
        speed: float,
        fitts: FittsTest,
        seed: int,
    ):
        settings = {"directions": dict(directions), "control": control, "speed": speed, "seed": seed}
        settings.update(n_targets=len(fitts.targets), dwell_s=fitts.dwell_s, timeout_s=fitts.timeout_s)
        super().__init__(path, decoder, info, {**facts, "settings": settings})
        self.fitts, self.control, self.speed = fitts, control, speed
        self._gesture_of = dict(directions)
        self._way_of = {gesture: DIRECTIONS[way] for way, gesture in directions.items()}
        self._velocity = (0.0, 0.0)

    @property
    def over(self) -> bool:
        return self.fitts.done

    @property
    def wanted(self) -> str:
        """The gesture of a simulated person, who moves along the axis with the larger distance and relaxes early."""
        target = self.fitts.target
        if target is None or self.control != "decoder" or self._left_s > 0:
            return REST
        errors = {"x": target.x - self.fitts.x, "y": target.y - self.fitts.y}
        near = FITTED * target.width
        ways = {"x": ("right", "left"), "y": ("up", "down")}
        for axis in sorted(errors, key=lambda a: -abs(errors[a])):
            moving = self._velocity["xy".index(axis)]
            lead = LEAD_S * abs(moving) if moving * errors[axis] > 0 else 0.0
            if abs(errors[axis]) > near + lead:
                return self._gesture_of[ways[axis][errors[axis] < 0]]
        return REST

    @property
    def _left_s(self) -> float:
        return READY_S - self.now / self.rate_hz

    def steer(self, x: float, y: float) -> None:
        """Move the cursor by hand: -1 to 1 times the speed on each axis."""
        if self.control == "hand":
            length = max(math.hypot(x, y), 1.0)
            self._velocity = (self.speed * x / length, self.speed * y / length)

    def _pass(self, piece: Piece, decisions: Decisions) -> None:
        end = piece.first + piece.samples.shape[1]
        if self._left_s > 0:
            return
        for i in range(len(decisions)):
            self._advance(float(decisions.time_s[i]))
            if self.control == "decoder":
                name = decisions.classes[decisions.label[i]]
                gain = 0.0 if decisions.rejected[i] else float(decisions.gain[i]) * self.speed
                x, y = self._way_of.get(name, (0.0, 0.0))
                self._velocity = (gain * x, gain * y)
        self._advance(end / self.rate_hz)

    def _advance(self, time_s: float) -> None:
        before = len(self.fitts.trials)
        self.fitts.advance(time_s, self._velocity)
        for trial in self.fitts.trials[before:]:
            self.log.event("fitts", trial=trial.as_dict())

    def tick(self) -> dict[str, Any]:
        f, target = self.fitts, self.fitts.target
        return {
            "kind": self.kind,
            "phase": "ready" if self._left_s > 0 else "go",
            "left_s": max(self._left_s, 0.0),
            "x": f.x,
            "y": f.y,
            "target": None if target is None else [target.x, target.y, target.width],
            "dwelt": f.dwelt,
            "finished": len(f.trials),
            "completed": sum(t.completed for t in f.trials),
            "total": len(f.targets),
            "control": self.control,
        }


def make_targets(n: int, dwell_s: float, seed: int) -> FittsTest:
    """Create a Fitts' law test of `n` targets at seeded positions.

    Raises
    ------
    ConfigError : a number outside its limits.
    """
    if not 1 <= n <= 100 or not 0 <= dwell_s <= 5:
        raise ConfigError(
            f"a Fitts' law test must have 1 to 100 targets and a dwell time of 0 to 5 s, got {n!r} and {dwell_s!r}"
        )
    return FittsTest(random_targets(n, DISTANCES, WIDTHS, 1.0, seed), dwell_s=dwell_s, timeout_s=20.0)


class Results:
    """The finished tests below `root`, one log per test."""

    def __init__(self, root: Path):
        self.folder = root / "tests"
        found = [_entry(path) for path in sorted(self.folder.glob("*.jsonl"))]
        self.kept = [entry for entry in found if entry is not None]

    def next_path(self, kind: str) -> Path:
        """Return the path for the log of the next test."""
        numbers = [int(p.name[:4]) for p in self.folder.glob("*.jsonl") if p.name[:4].isdigit()]
        return self.folder / f"{1 + max(numbers, default=0):04d}-{kind}.jsonl"

    def add(self, path: Path) -> None:
        """Add a test that has just been finished."""
        entry = _entry(path)
        if entry is not None:
            self.kept.append(entry)

    def path(self, number: int) -> Path:
        """Return the path of a test's log.

        Raises
        ------
        ConfigError : there is no test with this number.
        """
        for entry in self.kept:
            if entry["number"] == number:
                return self.folder / entry["log"]
        raise ConfigError(f"there is no finished test {number}")


def _entry(path: Path) -> dict[str, Any] | None:
    """Return a finished test as the page shows it, or None if it was stopped early or the log is not of a test."""
    try:
        log = read_log(path)
        test = log.start["test"]
        if test["kind"] not in KINDS or not log.complete or any(e["kind"] == "stopped" for e in log.events):
            return None
        return plain(
            {
                "number": int(path.name[:4]),
                "log": path.name,
                "kind": test["kind"],
                "name": test["name"],
                "date": time.strftime("%Y-%m-%d %H:%M", time.localtime(float(log.start["at"]))),
                "settings": test["settings"],
                "post": test["post"],
                "metrics": metrics_of(log),
            }
        )
    except (DataError, KeyError, TypeError, ValueError):
        return None


def metrics_of(log: LoggedSession) -> dict[str, Any]:
    """Return the metrics of a test's log: latency, number of decisions, and the metrics of this kind of test.

    `settled_accuracy` leaves out the decisions in the first half second after each prompt, in which a person reacts.
    """
    summary = log.summary(REST)
    found = {"decisions": summary["decisions"], "latency": summary["latency"]}
    if log.start["test"]["kind"] == "fitts":
        trials = [Trial.from_dict(event["trial"]) for event in log.events if event["kind"] == "fitts"]
        return {**found, **fitts_summary(trials)}
    times = np.array([time_s for time_s, _ in log.prompts])
    since = times[np.maximum(np.searchsorted(times, log.decisions.time_s, side="left") - 1, 0)]
    settled = log.decisions.time_s - since >= REACTION_S
    right = log.decisions.output(REST) == log.truth
    return {
        **found,
        **summary["metrics"],
        "settled_accuracy": float(right[settled].mean()) if settled.any() else math.nan,
    }
