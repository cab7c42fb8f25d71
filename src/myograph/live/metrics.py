"""Metrics of decisions in time. They measure what a user of a decoder notices, which window accuracy does not show.

`truth` and `decided` hold one class name per decision, in time, at a constant step. A rejected decision must be passed
as the name of rest, unless a function says otherwise. The values in the tests were computed by hand.

If the decisions come from several stretches of signal, `part` holds the number of the stretch for each decision.
Changes, activations, contractions and delays are then computed within each stretch only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from myograph.errors import ConfigError, ShapeError
from myograph.recording import run_starts


def total_error(truth: ArrayLike, decided: ArrayLike) -> float:
    """Return the fraction of wrong decisions; NaN without decisions.

    >>> total_error(["rest", "fist"], ["rest", "open"])
    0.5
    """
    c, d = _pair(truth, decided)
    return float(np.mean(c != d)) if len(c) else float("nan")


def active_error(truth: ArrayLike, decided: ArrayLike, rest: str = "rest") -> float:
    """Return the fraction of all decisions that are wrong and not rest, that is, cause a wrong movement.

    Source: Hargrove et al. 2010 (from memory of the paper).

    >>> active_error(["rest", "fist", "fist", "rest"], ["open", "rest", "open", "rest"])
    0.5
    """
    c, d = _pair(truth, decided)
    return float(np.mean((c != d) & (d != rest))) if len(c) else float("nan")


def libemg_active_error(truth: ArrayLike, decided: ArrayLike, rest: str = "rest") -> float:
    """Return the fraction of wrong decisions among those that are not rest, LibEMG's AER; NaN if all decisions are
    rest.

    Deviation: LibEMG returns 0 if all decisions are rest.

    >>> libemg_active_error(["rest", "fist", "fist"], ["open", "fist", "rest"])
    0.5
    """
    c, d = _pair(truth, decided)
    active = d != rest
    return float(np.mean(c[active] != d[active])) if active.any() else float("nan")


def instability(truth: ArrayLike, decided: ArrayLike, part: ArrayLike | None = None) -> float:
    """Return the excess changes per decision: max(0, (changes of decisions d - changes of truth c) / N).

    Source: LibEMG's offline metrics.

    >>> instability(["a", "a", "b", "b"], ["a", "b", "a", "b"])
    0.5
    """
    c, d = _pair(truth, decided)
    if not len(c):
        return float("nan")
    same = np.diff(_parts(part, c)) == 0
    changes = np.count_nonzero((d[1:] != d[:-1]) & same) - np.count_nonzero((c[1:] != c[:-1]) & same)
    return float(max(0.0, changes / len(c)))


@dataclass(frozen=True)
class FalseActivations:
    """Activations that began while the truth was rest.

    Attributes
    ----------
    events : number of runs of decisions other than rest that began while the truth was rest.
    overhang : number of runs that began before the rest and continued into it; they are not counted in `events`.
    hours : hours of rest.
    per_hour, low, high : the rate and its exact 95 % Poisson interval (Garwood 1936); NaN without rest.

    >>> found = false_activations(["rest"] * 4, ["rest", "fist", "rest", "rest"], step_ms=900_000.0)
    >>> found.events, found.hours, found.per_hour
    (1, 1.0, 1.0)
    """

    events: int
    overhang: int
    hours: float
    per_hour: float
    low: float
    high: float


def false_activations(
    truth: ArrayLike,
    decided: ArrayLike,
    step_ms: float,
    rest: str = "rest",
    min_ms: float = 0.0,
    merge_ms: float = 0.0,
    part: ArrayLike | None = None,
) -> FalseActivations:
    """Count the activations that begin while the person rests.

    Parameters
    ----------
    step_ms : time from one decision to the next.
    min_ms : shortest run that is counted.
    merge_ms : two runs with a shorter pause between them count as one.

    For comparison: a wrist-worn gesture detector has 0.6 per hour (arXiv:2203.15239).

    >>> found = false_activations(["rest"] * 5 + ["fist"] * 2, ["rest", "fist", "rest", "rest", "rest", "fist", "fist"], 50)
    >>> found.events, found.overhang
    (1, 0)
    """
    if not step_ms > 0:
        raise ConfigError(f"step_ms must be the positive time between two decisions, got {step_ms!r}")
    c, d = _pair(truth, decided)
    of = _parts(part, c)
    runs = _joined(_runs(d != rest, of), round(merge_ms / step_ms), of)
    runs = [(start, stop) for start, stop in runs if (stop - start) * step_ms >= min_ms]
    at_rest = c == rest
    events = sum(bool(at_rest[start]) for start, _ in runs)
    overhang = sum(bool(not at_rest[start] and at_rest[start:stop].any()) for start, stop in runs)
    hours = float(at_rest.sum() * step_ms / 3.6e6)
    low, high = _poisson_interval(events)
    rates = (events / hours, low / hours, high / hours) if hours else (float("nan"),) * 3
    return FalseActivations(events, overhang, hours, *rates)


def missed_activations(
    truth: ArrayLike, decided: ArrayLike, rest: str = "rest", part: ArrayLike | None = None
) -> tuple[int, int]:
    """Return (contractions without any correct decision, contractions). A contraction is a run of one class except
    rest.

    >>> missed_activations(["rest", "a", "a", "rest", "b"], ["rest", "rest", "a", "rest", "a"])
    (1, 2)
    """
    c, d = _pair(truth, decided)
    found = _contractions(c, rest, _parts(part, c))
    return sum(not (d[start:stop] == c[start]).any() for start, stop in found), len(found)


@dataclass(frozen=True)
class Delays:
    """Delays in ms: median, 90th percentile, and the fraction of contractions without one.

    Attributes
    ----------
    p50_ms, p90_ms : median and 90th percentile.
    never : fraction of the `n` contractions in which the decisions in question never occurred.
    n : number of contractions.

    >>> Delays(p50_ms=100.0, p90_ms=150.0, never=0.0, n=4).p90_ms
    150.0
    """

    p50_ms: float
    p90_ms: float
    never: float
    n: int


def onset_delays(
    truth: ArrayLike,
    decided: ArrayLike,
    time_s: ArrayLike,
    consecutive: int = 1,
    rest: str = "rest",
    part: ArrayLike | None = None,
) -> Delays:
    """Return the delays from the first decision time of each contraction to the first of `consecutive` correct
    decisions.

    time_s : (decision,) time at which each decision is made, in seconds.

    >>> onset_delays(["rest", "a", "a", "a"], ["rest", "rest", "a", "a"], [0.0, 0.1, 0.2, 0.3], consecutive=2).p50_ms
    100.0
    """
    c, d = _pair(truth, decided)
    time = _times(time_s, c)
    found = [
        float(_first_run(d[start:stop] == c[start], time[start:stop], consecutive) - time[start])
        for start, stop in _contractions(c, rest, _parts(part, c))
    ]
    return _delays(found)


def offset_delays(
    truth: ArrayLike,
    decided: ArrayLike,
    time_s: ArrayLike,
    consecutive: int = 1,
    rest: str = "rest",
    part: ArrayLike | None = None,
) -> Delays:
    """Return the delays from the end of each contraction to the first of `consecutive` decisions for rest.

    Contractions that are not followed by rest are left out.

    >>> offset_delays(["a", "rest", "rest", "rest"], ["a", "a", "rest", "rest"], [0.0, 0.1, 0.2, 0.3]).p50_ms
    100.0
    """
    c, d = _pair(truth, decided)
    time = _times(time_s, c)
    of = _parts(part, c)
    starts = run_starts(_codes(c), of)
    stops = np.append(starts[1:], len(c))
    found = [
        float(_first_run(d[start:stop] == rest, time[start:stop], consecutive) - time[start])
        for start, stop in zip(starts[1:], stops[1:])
        if c[start] == rest and of[start] == of[start - 1]
    ]
    return _delays(found)


def coverage_and_risk(confidence: ArrayLike, right: ArrayLike, threshold: float) -> tuple[float, float]:
    """Return the fraction of decisions with at least this confidence, and the fraction of errors among them (NaN if
    none).

    >>> coverage_and_risk([0.9, 0.8, 0.7, 0.6, 0.55], [1, 1, 0, 1, 0], 0.75)
    (0.4, 0.0)
    """
    p, hit = _confidences(confidence, right)
    kept = p >= threshold
    risk = float(1 - hit[kept].mean()) if kept.any() else float("nan")
    return float(kept.mean()) if len(p) else float("nan"), risk


def risk_curve(confidence: ArrayLike, right: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return (coverage, risk), each (decision,): the risk if only the k most confident decisions are used, for k = 1 …
    N.

    >>> risk_curve([0.9, 0.5], [1, 0])[1].tolist()
    [0.0, 0.5]
    """
    p, hit = _confidences(confidence, right)
    order = np.argsort(-p, kind="stable")
    taken = np.arange(1, len(p) + 1)
    return taken / max(len(p), 1), np.cumsum(1 - hit[order]) / taken


def aurc(confidence: ArrayLike, right: ArrayLike) -> float:
    """Return the area under the risk-coverage curve: the mean risk over all N coverages; lower is better.

    Source: Geifman and El-Yaniv 2017, arXiv:1705.08500.

    >>> round(aurc([0.9, 0.8, 0.7, 0.6, 0.55], [1, 1, 0, 1, 0]), 5)
    0.19667
    """
    risks = risk_curve(confidence, right)[1]
    return float(risks.mean()) if len(risks) else float("nan")


def expected_delay_ms(length_ms: float, step_ms: float, n_votes: int = 1, processing_ms: float = 0.0) -> float:
    """Return the expected delay of a controller: length / 2 + (n_votes + 1) / 2 * step + processing, in ms.

    Source: Farrell and Weir 2007 and Smith et al. 2011 (from memory of the papers).

    >>> expected_delay_ms(200, 50, 1, 10), expected_delay_ms(200, 50, 5, 10), expected_delay_ms(250, 25, 7, 5)
    (160.0, 260.0, 230.0)
    """
    return length_ms / 2 + (n_votes + 1) / 2 * step_ms + processing_ms


def latency(latency_ms: ArrayLike) -> dict[str, float]:
    """Return percentiles of the time from a window's last sample to its decision, in ms; NaN without decisions.

    >>> latency([1.0, 2.0, 3.0])["p50_ms"]
    2.0
    """
    values = np.asarray(latency_ms, float)
    values = values[np.isfinite(values)]
    percentiles = np.percentile(values, [50, 95, 99, 100]) if len(values) else np.full(4, np.nan)
    return dict(zip(("p50_ms", "p95_ms", "p99_ms", "max_ms"), percentiles.tolist()))


def all_metrics(
    truth: ArrayLike,
    decided: ArrayLike,
    time_s: ArrayLike,
    step_ms: float,
    rest: str = "rest",
    confidence: ArrayLike | None = None,
    min_ms: float = 0.0,
    merge_ms: float = 0.0,
    consecutive: int = 1,
    part: ArrayLike | None = None,
) -> dict[str, Any]:
    """Return every metric of this module as plain values, for tables and reports.

    Parameters
    ----------
    truth, decided : (decision,) class names; a rejected decision as `rest`.
    time_s : (decision,) time of each decision in seconds.
    step_ms : time from one decision to the next.
    confidence : (decision,) probability of the decided class, if known.
    min_ms, merge_ms, consecutive : see `false_activations` and `onset_delays`.
    part : (decision,) number of the stretch of signal of each decision; None if there is only one.

    >>> names = ["rest", "rest", "fist", "fist"]
    >>> found = all_metrics(names, names, time_s=[0.1, 0.2, 0.3, 0.4], step_ms=100.0)
    >>> found["total_error"], found["contractions"], found["onset_delay"]["p50_ms"]
    (0.0, 1, 0.0)
    """
    c, d = _pair(truth, decided)
    missed, contractions = missed_activations(c, d, rest, part)
    found: dict[str, Any] = {
        "total_error": total_error(c, d),
        "active_error": active_error(c, d, rest),
        "libemg_active_error": libemg_active_error(c, d, rest),
        "instability": instability(c, d, part),
        "false_activations": asdict(false_activations(c, d, step_ms, rest, min_ms, merge_ms, part)),
        "missed_activations": missed,
        "contractions": contractions,
        "onset_delay": asdict(onset_delays(c, d, time_s, consecutive, rest, part)),
        "offset_delay": asdict(offset_delays(c, d, time_s, consecutive, rest, part)),
    }
    if confidence is not None:
        found["aurc"] = aurc(confidence, c == d)
    return found


def _pair(truth: ArrayLike, decided: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    c, d = np.asarray(truth).astype(str), np.asarray(decided).astype(str)
    if c.ndim != 1 or c.shape != d.shape:
        raise ShapeError(f"truth and decisions must be (decision,) of one length, got {c.shape} and {d.shape}")
    return c, d


def _parts(part: ArrayLike | None, c: np.ndarray) -> np.ndarray:
    of = np.zeros(len(c), np.int64) if part is None else np.asarray(part)
    if of.shape != c.shape:
        raise ShapeError(f"part must have one entry per decision, got {of.shape} for {len(c)} decisions")
    return of


def _times(time_s: ArrayLike, c: np.ndarray) -> np.ndarray:
    time = np.asarray(time_s, float)
    if time.shape != c.shape:
        raise ShapeError(f"time_s must have one entry per decision, got {time.shape} for {len(c)} decisions")
    return time


def _confidences(confidence: ArrayLike, right: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, hit = np.asarray(confidence, float), np.asarray(right).astype(float)
    if p.ndim != 1 or p.shape != hit.shape:
        raise ShapeError(f"confidence and right must be (decision,) of one length, got {p.shape} and {hit.shape}")
    return p, hit


def _codes(names: np.ndarray) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1]


def _runs(active: np.ndarray, part: np.ndarray | None = None) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True within one part."""
    of = np.zeros(len(active), np.int64) if part is None else part
    starts = run_starts(active, of)
    stops = np.append(starts[1:], len(active))
    return [(int(a), int(b)) for a, b in zip(starts, stops) if active[a]]


def _joined(runs: list[tuple[int, int]], pause: int, part: np.ndarray) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, stop in runs:
        if joined and start - joined[-1][1] < pause and part[start] == part[joined[-1][0]]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def _contractions(c: np.ndarray, rest: str, part: np.ndarray) -> list[tuple[int, int]]:
    starts = run_starts(_codes(c), part)
    return [(int(a), int(b)) for a, b in zip(starts, np.append(starts[1:], len(c))) if c[a] != rest]


def _first_run(right: np.ndarray, time: np.ndarray, consecutive: int) -> float:
    for start, stop in _runs(right):
        if stop - start >= consecutive:
            return float(time[start])
    return float("nan")


def _delays(found: list[float]) -> Delays:
    values = np.array(found, float) * 1000
    reached = values[np.isfinite(values)]
    p50, p90 = np.percentile(reached, [50, 90]).round(9).tolist() if len(reached) else (float("nan"),) * 2
    never = float(1 - len(reached) / len(values)) if len(values) else float("nan")
    return Delays(p50, p90, never, len(values))


def _poisson_interval(events: int, level: float = 0.95) -> tuple[float, float]:
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * events)) / 2 if events else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * events + 2)) / 2
