"""Post-processing of decisions: majority vote, rejection, onset lock and velocity ramp.

Every post-processor is a frozen dataclass of settings. Its `start(classes)` returns a function with its own state that
maps each `Step`, in the order of time, to a processed `Step`. A decoder runs its post-processors in order, both live
and offline. All are causal: a decision does not depend on later ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from myograph._common.registry import Registry
from myograph.errors import ConfigError

POSTPROCESSORS = Registry("post-processor", "myograph.live.postprocess")


class Step(NamedTuple):
    """One decision as it passes through the post-processors.

    Parameters
    ----------
    label : index of the class.
    proba : (class,) posterior probabilities; NaN if the method has none.
    rejected : whether the decision is withheld. A rejected decision counts as rest in the metrics.
    gain : speed of the movement as a fraction of its maximum, 0 to 1.
    amplitude : mean absolute value of the window over its channels, in the recording's unit.

    >>> Step(label=1, proba=np.array([0.2, 0.8])).gain
    1.0
    """

    label: int
    proba: np.ndarray
    rejected: bool = False
    gain: float = 1.0
    amplitude: float = float("nan")


Push = Callable[[Step], Step]


class PostProcessor:
    """Base class of all post-processors: a subclass is a frozen dataclass that defines `start`.

    >>> class Never(PostProcessor):
    ...     def start(self, classes):
    ...         return lambda step: step._replace(rejected=True)
    >>> Never().start(["rest", "fist"])(Step(1, np.array([0.2, 0.8]))).rejected
    True
    """

    needs_proba: bool = False

    def start(self, classes: Sequence[str]) -> Push:
        """Return a function with a new state that maps one `Step` to another, for decisions among `classes`.

        Raises
        ------
        ConfigError : the settings name a class that the decoder does not have.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define start(classes)")


def run_all(post: Sequence[PostProcessor], classes: Sequence[str]) -> Push:
    """Return one function that runs the post-processors in order, each with a new state.

    >>> push = run_all([MajorityVote(3)], ["rest", "fist"])
    >>> [push(Step(label, np.zeros(2))).label for label in (0, 0, 1, 1)]
    [0, 0, 0, 1]
    """
    pushes = [one.start(classes) for one in post]

    def push(step: Step) -> Step:
        for one in pushes:
            step = one(step)
        return step

    return push


@POSTPROCESSORS.register
@dataclass(frozen=True)
class MajorityVote(PostProcessor):
    """The most frequent class among the last `n` decisions, including the current one.

    On a tie, the last output is kept if it is among the tied classes; otherwise the most recent of the tied classes
    wins. Rejected decisions do not vote; if all of the last `n` were rejected, the output is rejected as well.

    Source: Englehart and Hudgins 2003, doi:10.1109/TBME.2003.813539. The rule for ties is our choice.

    >>> push = MajorityVote(n=3).start(["a", "b", "c"])
    >>> [push(Step(d, np.ones(3) / 3)).label for d in [0, 0, 1, 1, 1, 2, 1, 0, 0]]
    [0, 0, 0, 1, 1, 1, 1, 1, 0]
    """

    n: int = 5

    def __post_init__(self) -> None:
        _whole(self, "n", self.n, 1)

    def start(self, classes: Sequence[str]) -> Push:
        recent: deque[int] = deque(maxlen=self.n)
        last: int | None = None

        def push(step: Step) -> Step:
            nonlocal last
            recent.append(-1 if step.rejected else step.label)
            votes = [d for d in recent if d >= 0]
            if not votes:
                return step._replace(rejected=True)
            most = max(votes.count(d) for d in votes)
            tied = {d for d in votes if votes.count(d) == most}
            last = last if last in tied else next(d for d in reversed(votes) if d in tied)
            return step._replace(label=last, rejected=False)

        return push


@POSTPROCESSORS.register
@dataclass(frozen=True)
class ConfidenceRejection(PostProcessor):
    """Withhold a decision whose posterior probability is below a threshold.

    Parameters
    ----------
    threshold : lowest accepted probability. The source found 0.60 to 0.75 to be best.
    per_class : thresholds of individual classes, by name; the others use `threshold`.
    stay : lowest accepted probability for the class that was accepted last (hysteresis); it must not be above any of
        the other thresholds. None uses the other thresholds for this class as well.

    Source: Scheme, Hudgins and Englehart 2013, doi:10.1109/TBME.2013.2238939. The hysteresis is our choice.

    >>> push = ConfidenceRejection(threshold=0.7, stay=0.5).start(["rest", "fist"])
    >>> [push(Step(1, np.array([1 - p, p]))).rejected for p in (0.6, 0.8, 0.55, 0.4, 0.6)]
    [True, False, False, True, True]
    """

    threshold: float = 0.65
    per_class: Mapping[str, float] = field(default_factory=dict)
    stay: float | None = None
    needs_proba = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "per_class", MappingProxyType(dict(self.per_class)))
        for name, value in [("threshold", self.threshold), *self.per_class.items(), ("stay", self.stay)]:
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"ConfidenceRejection: {name} must be a probability from 0 to 1, got {value!r}")
        if self.stay is not None and self.stay > min([self.threshold, *self.per_class.values()]):
            raise ConfigError(
                f"ConfidenceRejection: stay={self.stay} is above another threshold; for hysteresis it must be at or "
                "below all of them"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "per_class": dict(self.per_class)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, MappingProxyType(value) if name == "per_class" else value)

    def start(self, classes: Sequence[str]) -> Push:
        _known(self, self.per_class, classes)
        enter = [self.per_class.get(name, self.threshold) for name in classes]
        active: int | None = None

        def push(step: Step) -> Step:
            nonlocal active
            least = self.stay if self.stay is not None and step.label == active else enter[step.label]
            rejected = step.rejected or not step.proba[step.label] >= least
            active = None if rejected else step.label
            return step._replace(rejected=rejected)

        return push


@POSTPROCESSORS.register
@dataclass(frozen=True)
class ChangeRejection(PostProcessor):
    """Keep the last output until a change of class is confident enough (decision-change-informed rejection).

    A decision for the class of the last output is accepted. A decision for another class is accepted only if its
    probability is at least `threshold`; otherwise the last output is repeated. The first decision is always accepted.

    Source: the rule described in arXiv:2409.14169, the best of nine schemes compared there. The default threshold is
    our choice.

    >>> push = ChangeRejection(threshold=0.8).start(["rest", "fist"])
    >>> [push(Step(int(p > 0.5), np.array([1 - p, p]))).label for p in (0.1, 0.7, 0.9, 0.4, 0.15)]
    [0, 0, 1, 1, 0]
    """

    threshold: float = 0.8
    needs_proba = True

    def __post_init__(self) -> None:
        _share(self, "threshold", self.threshold)

    def start(self, classes: Sequence[str]) -> Push:
        last: int | None = None

        def push(step: Step) -> Step:
            nonlocal last
            if step.rejected:
                return step
            if last is None or step.label == last or step.proba[step.label] >= self.threshold:
                last = step.label
            return step._replace(label=last)

        return push


@POSTPROCESSORS.register
@dataclass(frozen=True)
class OnsetLock(PostProcessor):
    """Hold the class decided at a movement's onset until rest is decided.

    The first `n` decisions after rest are output unchanged, and their majority (the most recent class on a tie) is
    locked: it is the output until `release` consecutive decisions for rest unlock it.

    Source: onset locking as described in the survey arXiv:2409.14169; the numbers are our choice.

    >>> push = OnsetLock(rest="rest", n=2, release=2).start(["rest", "a", "b"])
    >>> [push(Step(d, np.ones(3) / 3)).label for d in [0, 1, 1, 2, 0, 2, 0, 0, 2]]
    [0, 1, 1, 1, 1, 1, 1, 0, 2]
    """

    rest: str = "rest"
    n: int = 3
    release: int = 2

    def __post_init__(self) -> None:
        _whole(self, "n", self.n, 1)
        _whole(self, "release", self.release, 1)

    def start(self, classes: Sequence[str]) -> Push:
        _known(self, [self.rest], classes)
        rest = list(classes).index(self.rest)
        onset: list[int] = []
        resting = self.release

        def push(step: Step) -> Step:
            nonlocal resting
            if step.rejected:
                return step
            resting = resting + 1 if step.label == rest else 0
            if resting >= self.release:
                onset.clear()
                return step
            if step.label != rest and len(onset) < self.n:
                onset.append(step.label)
            if len(onset) < self.n:
                return step._replace(label=onset[-1]) if onset else step
            most = max(onset.count(d) for d in onset)
            return step._replace(label=next(d for d in reversed(onset) if onset.count(d) == most))

        return push


@POSTPROCESSORS.register
@dataclass(frozen=True)
class VelocityRamp(PostProcessor):
    """Speed that grows with consecutive decisions for a class, so that a short wrong decision causes little movement.

    Each class has a counter from 0 to `n`. A decision raises the counter of its class by 1 and lowers all others by
    `down`. The gain is the counter of the decided class divided by `n`. A rejected decision lowers all counters and has
    gain 0.

    Source: Simon et al. 2011, doi:10.1682/JRRD.2010.08.0149. The step down of 2 is from memory of the paper.

    >>> push = VelocityRamp(n=4).start(["a", "b", "c"])
    >>> [push(Step(d, np.ones(3) / 3)).gain for d in [1, 1, 1, 1, 2, 1, 1, 2, 2, 2]]
    [0.25, 0.5, 0.75, 1.0, 0.25, 0.75, 1.0, 0.25, 0.5, 0.75]
    """

    n: int = 10
    down: int = 2

    def __post_init__(self) -> None:
        _whole(self, "n", self.n, 1)
        _whole(self, "down", self.down, 0)

    def start(self, classes: Sequence[str]) -> Push:
        counters = np.zeros(len(classes), int)

        def push(step: Step) -> Step:
            decided = -1 if step.rejected else step.label
            for i in range(len(counters)):
                counters[i] = min(counters[i] + 1, self.n) if i == decided else max(counters[i] - self.down, 0)
            ramp = 0.0 if step.rejected else counters[decided] / self.n
            return step._replace(gain=float(step.gain * ramp))

        return push


@POSTPROCESSORS.register
@dataclass(frozen=True)
class ProportionalVelocity(PostProcessor):
    """Speed proportional to the contraction's amplitude, relative to the range of the class's training windows.

    gain = (amplitude - low) / (high - low), kept between 0 and 1. `low` and `high` are percentiles of the amplitude
    (mean absolute value over channels) of the class's training windows; `learn` fills them in.

    Parameters
    ----------
    low_percentile, high_percentile : percentiles of the training windows that give gain 0 and gain 1.
    ranges : class name to (low, high), in the recording's unit.

    Source: Scheme et al. 2014, doi:10.1109/TNSRE.2013.2247421, who normalise by motion. The percentiles are our choice.

    >>> push = ProportionalVelocity(ranges={"fist": (10.0, 30.0)}).start(["rest", "fist"])
    >>> [push(Step(1, np.array([0.1, 0.9]), amplitude=a)).gain for a in (5.0, 20.0, 50.0)]
    [0.0, 0.5, 1.0]
    """

    low_percentile: float = 5.0
    high_percentile: float = 95.0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ConfigError(
                "ProportionalVelocity: percentiles must be from 0 to 100, the low one below the high one, got "
                f"{self.low_percentile} and {self.high_percentile}"
            )
        ranges = {name: (float(low), float(high)) for name, (low, high) in self.ranges.items()}
        object.__setattr__(self, "ranges", MappingProxyType(ranges))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ranges": dict(self.ranges)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, MappingProxyType(value) if name == "ranges" else value)

    def learn(self, amplitude: np.ndarray, labels: np.ndarray) -> ProportionalVelocity:
        """Return the same settings with ranges learnt from these training windows.

        Parameters
        ----------
        amplitude : (window,) mean absolute value over channels.
        labels : (window,) class names.

        >>> post = ProportionalVelocity(0, 100).learn(np.array([10.0, 30.0]), np.array(["fist", "fist"]))
        >>> dict(post.ranges)
        {'fist': (10.0, 30.0)}
        """
        percentiles = (self.low_percentile, self.high_percentile)
        found = {
            str(name): tuple(np.percentile(amplitude[labels == name], percentiles).tolist())
            for name in np.unique(labels)
        }
        return replace(self, ranges=found)

    def start(self, classes: Sequence[str]) -> Push:
        _known(self, self.ranges, classes)
        ranges = [self.ranges.get(name) for name in classes]

        def push(step: Step) -> Step:
            found = ranges[step.label]
            if found is None or step.rejected:
                return step._replace(gain=0.0)
            low, high = found
            share = (step.amplitude - low) / (high - low) if high > low else float(step.amplitude >= high)
            return step._replace(gain=float(step.gain * min(max(share, 0.0), 1.0)))

        return push


def _whole(owner: object, name: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{type(owner).__name__}: {name} must be a whole number of at least {least}, got {value!r}")


def _share(owner: object, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{type(owner).__name__}: {name} must be a probability from 0 to 1, got {value!r}")


def _known(owner: object, names: Any, classes: Sequence[str]) -> None:
    if strange := [name for name in names if name not in classes]:
        raise ConfigError(
            f"{type(owner).__name__} names the class {strange[0]!r}, which the decoder does not have: {', '.join(classes)}"
        )
