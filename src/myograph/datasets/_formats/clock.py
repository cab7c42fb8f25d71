"""A column of sample times compared with the sampling rate."""

from __future__ import annotations

import numpy as np

NAMES = {"time", "t", "timestamp", "timestamps", "time_s", "time_ms", "seconds", "sec", "x[s]"}
UNITS_PER_S = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}
RATE_TOLERANCE = 0.02
GAP_S, GAP_STEPS = 0.1, 5.0  # a gap is longer than both: packets of wireless sensors arrive in bunches
DUPLICATES_SHARE = 0.01
Notes = tuple[tuple[str, str], ...]


def is_time(name: str) -> bool:
    """Return whether the name of a column says that it holds times.

    >>> [is_time(n) for n in ("Time (s)", "timestamp", "emg1", "t")]
    [True, True, False, True]
    """
    text = name.strip().lower()
    return text in NAMES or text.split("(")[0].split("[")[0].strip() in NAMES


def compare(times: np.ndarray, rate_hz: float, name: str) -> tuple[Notes, tuple[int, ...]]:
    """Return what is unusual about the times of samples, as (what, advice), and the samples that follow a gap.

    times : (time,) in seconds, ms, µs or ns; the unit that fits `rate_hz` best is used.

    >>> times = np.arange(1000) / 200
    >>> compare(times, 200.0, "time")
    ((), ())
    >>> times[600:] += 30
    >>> notes, breaks = compare(times, 200.0, "time")
    >>> notes[0][0], breaks
    ("column 'time': samples 600 and 601 are 30 s apart", (600,))
    """
    times = np.asarray(times, np.float64)
    if len(times) < 3 or not np.isfinite(times).all():
        return (), ()
    steps = np.diff(times)
    moving = steps[steps > 0]
    if not len(moving):
        return ((f"column {name!r} does not advance", "set time = false if it does not hold times"),), ()
    # Use the duration without gaps, not the single steps, since a packet of samples often has one time stamp.
    typical = float(np.median(moving))
    short = steps[(steps >= 0) & (steps <= GAP_STEPS * max(typical, float(np.mean(moving))))]
    mean_step = float(short.mean()) if len(short) else typical
    unit, per_s = min(UNITS_PER_S.items(), key=lambda u: abs(np.log(mean_step * rate_hz / u[1])))
    notes: list[tuple[str, str]] = []
    found_hz = per_s / mean_step
    if abs(found_hz / rate_hz - 1) > RATE_TOLERANCE:
        unit, per_s = ("s", 1.0) if abs(np.log(found_hz / rate_hz)) > np.log(20) else (unit, per_s)
        notes.append(
            (
                f"column {name!r} steps by {mean_step:.4g} {unit} ({per_s / mean_step:.5g} Hz), rate_hz is {rate_hz:g}",
                "correct rate_hz, or set time = false if the column does not hold times",
            )
        )
    gaps = np.flatnonzero((steps > GAP_STEPS * typical) & (steps > max(GAP_S * per_s, GAP_STEPS * mean_step)))
    for at in gaps[:5]:
        notes.append(
            (
                f"column {name!r}: samples {at + 1} and {at + 2} are {steps[at] / per_s:.3g} s apart",
                "samples were lost; no window spans the gap",
            )
        )
    if len(gaps) > 5:
        notes.append((f"column {name!r} has {len(gaps)} gaps", "samples were lost; no window spans a gap"))
    if (steps < 0).any():
        at = int(np.argmax(steps < 0))
        notes.append((f"column {name!r} goes back after sample {at + 1}", "check the order of the rows"))
    repeated = float((steps == 0).mean())
    if 0 < repeated <= DUPLICATES_SHARE:
        at = int(np.argmax(steps == 0)) + 2
        notes.append(
            (
                f"column {name!r}: {int((steps == 0).sum())} samples have the same time as the sample before, the "
                f"first is sample {at}",
                "check whether rows were written twice",
            )
        )
    if repeated > DUPLICATES_SHARE:
        notes.append(
            (
                f"column {name!r}: {repeated:.0%} of the samples have the same time as the sample before",
                "check whether rows were written twice; packets of a wireless sensor may share one time",
            )
        )
    return tuple(notes), tuple(int(g) + 1 for g in gaps)
