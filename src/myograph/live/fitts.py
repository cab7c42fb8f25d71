"""Fitts' law test in two dimensions: targets, cursor, state of a test, and metrics, without a display.

The cursor's velocity is integrated over time, so its speed does not depend on the rate of decisions or frames. A target
is reached when the cursor stays inside it for the dwell time. The movement time ends when the cursor enters the target
for the last time; the time including the dwell is reported as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from myograph.errors import ConfigError, ShapeError

EFFECTIVE_WIDTH = 4.133  # in standard deviations: contains 96 % of the end points


def index_of_difficulty(distance: float, width: float) -> float:
    """Return the index of difficulty in bit, Shannon's form: log2(distance / width + 1).

    Source: Soukoreff and MacKenzie 2004, doi:10.1016/j.ijhcs.2004.09.001; ISO 9241-411.

    Raises
    ------
    ConfigError : a width that is not positive, or a negative distance.

    >>> round(index_of_difficulty(300, 40), 5)
    3.08746
    """
    if not width > 0 or not distance >= 0:
        raise ConfigError(
            f"a target must have a positive width and a distance of 0 or more, got {width!r} and {distance!r}"
        )
    return math.log2(distance / width + 1)


def effective_throughput(amplitude: ArrayLike, deviation: ArrayLike, movement_s: ArrayLike) -> float:
    """Return the throughput of one condition from effective width and amplitude, in bit/s; NaN for fewer than two
    movements.

    Parameters
    ----------
    amplitude : (trial,) length of each movement along the task axis, from the start to the target's centre.
    deviation : (trial,) distance of the end point beyond the target's centre along that axis; negative before it.
    movement_s : (trial,) movement times.

    Source: Soukoreff and MacKenzie 2004; the mean over conditions, then over people, is the throughput of a study.

    >>> round(effective_throughput([296, 305, 299, 310], [-4, 5, -1, 10], [1.1, 0.9, 1.0, 1.2]), 5)
    3.49431
    """
    a, x, t = (np.asarray(values, float) for values in (amplitude, deviation, movement_s))
    if not a.shape == x.shape == t.shape or a.ndim != 1:
        raise ShapeError(
            f"amplitude, deviation and movement_s must have one value per trial, got {a.shape}, {x.shape} and {t.shape}"
        )
    if len(a) < 2 or not t.mean() > 0 or not x.std(ddof=1) > 0:
        return math.nan
    return float(np.log2(a.mean() / (EFFECTIVE_WIDTH * x.std(ddof=1)) + 1) / t.mean())


def path_efficiency(path: ArrayLike) -> float:
    """Return the straight-line distance divided by the distance travelled, from 0 to 1; NaN without movement.

    path : (point, 2).

    >>> path_efficiency([[0, 0], [3, 4], [6, 0], [9, 4], [12, 0]])
    0.6
    """
    points = np.asarray(path, float).reshape(-1, 2)
    travelled = path_length(points)
    return float(np.hypot(*(points[-1] - points[0])) / travelled) if travelled else math.nan


def path_length(path: ArrayLike) -> float:
    """Return the distance travelled along (point, 2).

    >>> path_length([[0, 0], [3, 4], [6, 0]])
    10.0
    """
    return float(np.hypot(*np.diff(np.asarray(path, float).reshape(-1, 2), axis=0).T).sum())


@dataclass(frozen=True)
class Target:
    """A round target: centre x, y and diameter `width`, in the units of the screen.

    >>> Target(3.0, 4.0, 2.0).holds(3.5, 4.5)
    True
    """

    x: float
    y: float
    width: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point is inside."""
        return math.hypot(x - self.x, y - self.y) <= self.width / 2


def ring_of_targets(n: int, distance: float, width: float, x: float = 0.0, y: float = 0.0) -> list[Target]:
    """Return targets on a circle in the order of ISO 9241-9: each movement crosses the circle to a nearly opposite
    target.

    Parameters
    ----------
    n : number of targets; odd, so that every target is reached once. distance : diameter of the circle. x, y : its
        centre.

    >>> [round(t.x) for t in ring_of_targets(3, 200.0, 40.0)]
    [100, -50, -50]
    """
    if n < 3 or n % 2 == 0:
        raise ConfigError(f"a ring must have an odd number of targets, 3 or more, got {n!r}")
    index_of_difficulty(distance, width)
    angle = 2 * np.pi * ((np.arange(n) * (n // 2)) % n) / n
    return [Target(x + distance / 2 * math.cos(a), y + distance / 2 * math.sin(a), width) for a in angle]


def random_targets(
    n: int, distances: Sequence[float], widths: Sequence[float], half_size: float, seed: int
) -> list[Target]:
    """Return targets in random directions, each at one of the distances from the previous one; the first starts from
    (0, 0).

    Combinations of distance and width occur equally often, up to a difference of one. The same seed gives the same
    targets.

    Parameters
    ----------
    half_size : targets lie inside the square from -half_size to half_size.

    Raises
    ------
    ConfigError : no distance or width, or one that does not fit into the square.

    >>> targets = random_targets(4, [0.5, 1.0], [0.2], half_size=1.0, seed=0)
    >>> sorted(round(math.hypot(b.x - a.x, b.y - a.y), 6) for a, b in zip([Target(0, 0, 1), *targets], targets))
    [0.5, 0.5, 1.0, 1.0]
    """
    pairs = [(d, w) for d in distances for w in widths]
    for distance, width in pairs:
        index_of_difficulty(distance, width)
    if not pairs:
        raise ConfigError("random_targets needs one or more distances and widths")
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(pairs)) for _ in range(-(-n // len(pairs)))])[:n]
    targets, x, y = [], 0.0, 0.0
    for i in order:
        distance, width = pairs[int(i)]
        room = half_size - width / 2
        for _ in range(1000):
            angle = rng.uniform(0, 2 * math.pi)
            to = (x + distance * math.cos(angle), y + distance * math.sin(angle))
            if max(abs(to[0]), abs(to[1])) <= room:
                break
        else:
            raise ConfigError(f"no place for a target {distance:g} from ({x:.3g}, {y:.3g}); choose smaller distances")
        x, y = to
        targets.append(Target(x, y, width))
    return targets


@dataclass(frozen=True)
class Trial:
    """One target, and the path of the cursor from the moment when the target was shown.

    Attributes
    ----------
    target : the target. time_s : (point,) time of each cursor position, from 0. path : (point, 2) cursor positions.
        dwell_s : required dwell time.
    completed : whether the cursor stayed inside for the dwell time before the timeout.
    """

    target: Target
    time_s: np.ndarray
    path: np.ndarray
    dwell_s: float
    completed: bool

    @property
    def inside(self) -> np.ndarray:
        """Return (point,) whether the cursor was inside the target."""
        return np.hypot(self.path[:, 0] - self.target.x, self.path[:, 1] - self.target.y) <= self.target.width / 2

    @property
    def overshoots(self) -> int:
        """Number of times that the cursor left the target before the dwell time was over."""
        inside = self.inside
        return int(np.count_nonzero(inside[:-1] & ~inside[1:]))

    def metrics(self) -> dict[str, float]:
        """Return the metrics of this trial; times in s, lengths in units of the screen, NaN if the target was not
        reached.

        distance, width, difficulty : of the target, seen from the start of the cursor. movement_s : time to the last
            entry.
        completion_s : time including the dwell. throughput : difficulty / movement_s. throughput_with_dwell :
        difficulty / completion_s, as the myoelectric literature reports it. efficiency : of the path to the last entry.
        overshoots : see `Trial.overshoots`. reaction_s : time until the cursor first moved. stopping_distance :
        distance travelled in the dwell time. amplitude, deviation : see `effective_throughput`, for the position at the
        end of the dwell.
        """
        start, centre = self.path[0], np.array([self.target.x, self.target.y])
        distance = float(np.hypot(*(centre - start)))
        difficulty = index_of_difficulty(distance, self.target.width)
        moved = np.flatnonzero((self.path != start).any(axis=1))
        found = {
            "distance": distance,
            "width": self.target.width,
            "difficulty": difficulty,
            "completed": float(self.completed),
            "overshoots": float(self.overshoots),
            "reaction_s": float(self.time_s[moved[0]]) if len(moved) else math.nan,
        }
        missing = (
            "movement_s",
            "completion_s",
            "throughput",
            "throughput_with_dwell",
            "efficiency",
            "stopping_distance",
        )
        if not self.completed:
            return {**found, **dict.fromkeys((*missing, "amplitude", "deviation"), math.nan)}
        entry = self._last_entry()
        movement, completion = float(self.time_s[entry]), float(self.time_s[-1])
        axis = (centre - start) / distance if distance else np.zeros(2)
        return {
            **found,
            "movement_s": movement,
            "completion_s": completion,
            "throughput": difficulty / movement if movement else math.nan,
            "throughput_with_dwell": difficulty / completion if completion else math.nan,
            "efficiency": path_efficiency(self.path[: entry + 1]),
            "stopping_distance": path_length(self.path[entry:]),
            "amplitude": float((self.path[-1] - start) @ axis),
            "deviation": float((self.path[-1] - centre) @ axis),
        }

    def _last_entry(self) -> int:
        outside = np.flatnonzero(~self.inside)
        return int(outside[-1]) + 1 if len(outside) else 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a log, from which `from_dict` restores the trial."""
        path = {"time_s": self.time_s.tolist(), "path": self.path.tolist()}
        return {"target": asdict(self.target), **path, "dwell_s": self.dwell_s, "completed": self.completed}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """Restore a trial from the values of `as_dict`; invalid values raise KeyError, TypeError or ValueError."""
        time_s, path = np.asarray(values["time_s"], float), np.asarray(values["path"], float)
        if path.shape != (len(time_s), 2) or not len(time_s):
            raise ValueError(f"path must be (point, 2) with one time per point, got {path.shape} and {time_s.shape}")
        return cls(Target(**values["target"]), time_s, path, float(values["dwell_s"]), bool(values["completed"]))


@dataclass
class FittsTest:
    """A test in progress: call `advance` with the time and the cursor's velocity for every decision or frame.

    Parameters
    ----------
    targets : the targets in order.
    dwell_s : time for which the cursor must stay inside. timeout_s : time after which a target is missed.
    half_size : the cursor stays inside the square from -half_size to half_size.
    step_s : longest integration step; longer intervals are divided.

    Attributes
    ----------
    x, y : position of the cursor. trials : finished trials.

    >>> test = FittsTest([Target(1.0, 0.0, 0.51)], dwell_s=0.3, half_size=2.0)
    >>> for time_s in np.arange(0, 1.25, 0.05):
    ...     test.advance(float(time_s), (1.0, 0.0) if test.x < 0.9 else (0.0, 0.0))
    >>> test.done, test.trials[0].completed, round(test.trials[0].metrics()["movement_s"], 2)
    (True, True, 0.75)
    """

    targets: Sequence[Target]
    dwell_s: float = 1.0
    timeout_s: float = 15.0
    half_size: float = 1.0
    step_s: float = 0.01
    x: float = field(default=0.0, init=False)
    y: float = field(default=0.0, init=False)
    trials: list[Trial] = field(default_factory=list, init=False)
    _now: float | None = field(default=None, init=False, repr=False)
    _shown: float = field(default=0.0, init=False, repr=False)
    _inside_since: float | None = field(default=None, init=False, repr=False)
    _path: list[tuple[float, float, float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.targets:
            raise ConfigError("FittsTest: there are no targets")
        if not self.dwell_s >= 0 or not self.timeout_s > self.dwell_s or not self.step_s > 0:
            raise ConfigError(
                f"FittsTest: dwell_s must be 0 or more, timeout_s longer than dwell_s, and step_s positive, got "
                f"{self.dwell_s!r}, {self.timeout_s!r} and {self.step_s!r}"
            )

    @property
    def target(self) -> Target | None:
        """The current target; None when the test is over."""
        return None if self.done else self.targets[len(self.trials)]

    @property
    def done(self) -> bool:
        """Whether all targets were reached or missed."""
        return len(self.trials) >= len(self.targets)

    @property
    def dwelt(self) -> float:
        """Fraction of the dwell time for which the cursor has been inside, from 0 to 1."""
        if self._inside_since is None or self._now is None:
            return 0.0
        return min((self._now - self._inside_since) / self.dwell_s, 1.0) if self.dwell_s else 1.0

    def advance(self, time_s: float, velocity: tuple[float, float]) -> None:
        """Move the cursor with a velocity, in units per s, from the time of the last call to `time_s`, in s.

        Raises
        ------
        ConfigError : `time_s` is before the last call, or a value is not finite.
        """
        if not all(map(math.isfinite, (time_s, *velocity))):
            raise ConfigError(f"FittsTest.advance needs finite numbers, got {time_s!r} and {velocity!r}")
        if self._now is None:
            self._show(time_s)
            return
        if time_s < self._now:
            raise ConfigError(f"FittsTest.advance: time_s must not decrease, got {time_s!r} after {self._now!r}")
        begun = self._now
        n = max(math.ceil((time_s - begun) / self.step_s - 1e-9), 1)
        for i in range(1, n + 1):
            if self.done:
                return
            now = begun + (time_s - begun) * i / n
            self._step(now, velocity)

    def _show(self, now: float) -> None:
        self._now = self._shown = now
        self._inside_since = None
        self._path = [(0.0, self.x, self.y)]
        if (target := self.target) is not None and target.holds(self.x, self.y):
            self._inside_since = now

    def _step(self, now: float, velocity: tuple[float, float]) -> None:
        duration = 0.0 if self._now is None else now - self._now
        limit = self.half_size
        self.x = min(max(self.x + velocity[0] * duration, -limit), limit)
        self.y = min(max(self.y + velocity[1] * duration, -limit), limit)
        self._now = now
        self._path.append((now - self._shown, self.x, self.y))
        target = self.target
        if target is None:
            return
        if not target.holds(self.x, self.y):
            self._inside_since = None
        elif self._inside_since is None:
            self._inside_since = now
        dwelt = self._inside_since is not None and now - self._inside_since >= self.dwell_s - 1e-9
        if dwelt or now - self._shown >= self.timeout_s:
            points = np.array(self._path)
            self.trials.append(Trial(target, points[:, 0], points[:, 1:], self.dwell_s, dwelt))
            self._show(now)


def fitts_summary(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the metrics of a test from its trials; means are over reached targets, NaN if there is none.

    trials, completed, completion_rate; throughput : mean of difficulty / movement time; throughput_with_dwell;
    throughput_effective : the mean over conditions (rounded distance and width) with two or more reached targets;
    efficiency, overshoots (per target, including missed ones), movement_s, completion_s, reaction_s, stopping_distance;
    regression : intercept, slope and r2 of movement time on difficulty.

    >>> test = FittsTest([Target(1.0, 0.0, 0.5)], dwell_s=0.0, half_size=2.0)
    >>> for time_s in (0.0, 2.0):
    ...     test.advance(time_s, (1.0, 0.0))
    >>> round(fitts_summary(test.trials)["completion_rate"], 2)
    1.0
    """
    rows = [trial.metrics() for trial in trials]
    reached = [row for row in rows if row["completed"]]

    def mean(name: str, of: Sequence[Mapping[str, float]] = reached) -> float:
        values = [row[name] for row in of if math.isfinite(row[name])]
        return float(np.mean(values)) if values else math.nan

    conditions: dict[tuple[float, float], list[dict[str, float]]] = {}
    for row in reached:
        conditions.setdefault((float(f"{row['distance']:.2g}"), float(f"{row['width']:.2g}")), []).append(row)
    effective = [
        effective_throughput(*([row[name] for row in of] for name in ("amplitude", "deviation", "movement_s")))
        for of in conditions.values()
    ]
    effective = [value for value in effective if math.isfinite(value)]
    names = ("throughput", "throughput_with_dwell", "efficiency", "movement_s", "completion_s", "stopping_distance")
    return {
        "trials": len(rows),
        "completed": len(reached),
        "completion_rate": len(reached) / len(rows) if rows else math.nan,
        **{name: mean(name) for name in names},
        "throughput_effective": float(np.mean(effective)) if effective else math.nan,
        "overshoots": mean("overshoots", rows),
        "reaction_s": mean("reaction_s", rows),
        "regression": regression([row["difficulty"] for row in reached], [row["movement_s"] for row in reached]),
    }


def regression(difficulty: ArrayLike, movement_s: ArrayLike) -> dict[str, float]:
    """Return the regression of movement time on difficulty: intercept in s, slope in s/bit, r2; NaN for fewer than 2
    values.

    >>> regression([1, 2, 3], [1.0, 1.5, 2.0])
    {'intercept': 0.5, 'slope': 0.5, 'r2': 1.0}
    """
    x, y = np.asarray(difficulty, float), np.asarray(movement_s, float)
    if len(np.unique(x)) < 2:
        return {"intercept": math.nan, "slope": math.nan, "r2": math.nan}
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    total = float(dy @ dy)
    r2 = float((dx @ dy) ** 2 / (dx @ dx) / total) if total else math.nan
    return {"intercept": round(float(y.mean() - slope * x.mean()), 12), "slope": round(slope, 12), "r2": round(r2, 12)}
