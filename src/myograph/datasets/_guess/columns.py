"""Finds the columns with time, labels, repetitions and samples by their names and values."""

from __future__ import annotations

import re

import numpy as np

from myograph._common.runs import run_starts
from myograph._common.units import microvolts_per
from myograph.datasets._formats import clock
from myograph.datasets._guess.notes import Notes
from myograph.datasets._guess.words import COLUMNS, COUNTERS, EMG, OTHER, REST, UNIT, plain
from myograph.datasets.quality import PLAUSIBLE_PEAK_UV

NICE_HZ = (
    *(50, 60, 64, 100, 111.111, 120, 125, 128, 148.148, 150, 200, 250, 256, 296.296, 300, 400, 500, 512, 600, 800, 960),
    *(1000, 1024, 1111.111, 1200, 1259.259, 1500, 1777.778, 1925.926, 2000, 2048, 2148.148, 2222.222, 2400, 2500, 2560),
    *(3000, 4000, 4096, 4800, 5000, 5120, 8000, 8192, 10_000, 10_240, 20_000),
)
NICE_WITHIN = 2e-3
RATES_HZ = (50.0, 30_000.0)  # a unit of time is plausible if it gives a rate in this range
MOST_LABELS = 64
LABEL_BY_VALUES = "and is taken for the label"
LEAST_RUN = 15  # least mean duration of a label in samples; a signal does not keep one value as long


def rate_of(times: np.ndarray, name: str) -> tuple[float, str, bool] | None:
    """Return samples per second from sample times, their unit, and whether the rate is a usual one, or None.

    >>> rate_of(np.arange(500) / 200.0 + 7, "time")
    (200.0, 's', True)
    >>> rate_of(np.arange(500) * 5.0, "t")
    (200.0, 'ms', True)
    """
    times = np.asarray(times, np.float64)
    if len(times) < 3 or not np.isfinite(times).all():
        return None
    steps = np.diff(times)
    moves = np.flatnonzero(steps > 0)
    if len(moves) < max(2, len(steps) / 200):
        return None
    # Use the mean step without gaps, since a packet of samples often has one time stamp. The last packet may be
    # incomplete.
    steps = steps[: moves[-1] + 1]
    forward = steps[steps > 0]
    short = steps[(steps >= 0) & (steps <= 20 * max(float(np.median(forward)), float(steps.mean())))]
    step = float(short.mean()) if len(short) else float(forward.mean())
    stated = re.search(r"[\[(]\s*(s|sec|seconds|ms|us|µs|ns)\s*[\])]|_(s|ms|us|ns)$", name.strip().lower())
    said = next((g for g in stated.groups() if g), None) if stated else None
    said = {"sec": "s", "seconds": "s", "us": "µs"}.get(said or "", said)
    for unit, per_s in clock.UNITS_PER_S.items():
        found = per_s / step if step > 0 else 0.0
        if said == unit or (said is None and RATES_HZ[0] * (1 - NICE_WITHIN) <= found <= RATES_HZ[1]):
            near = min(NICE_HZ, key=lambda hz: abs(hz / found - 1))
            usual = abs(near / found - 1) <= NICE_WITHIN
            return (float(near) if usual else float(f"{found:.5g}")), unit, usual
    return None


def note_rate(name: str, times: np.ndarray, notes: Notes) -> bool:
    """Note the rate given by a column of times; return False if it does not fit."""
    found = rate_of(times, name)
    if found is None:
        notes.unsure.append(
            f"column {name!r} should hold times, but does not advance evenly: what is the sampling rate?"
        )
        return False
    rate_hz, unit, usual = found
    notes.values["rate_hz"] = rate_hz
    notes.found.append(f"column {name!r} holds times in {unit}, which gives {rate_hz:g} Hz")
    if not usual:
        notes.unsure.append(f"the times give {rate_hz:g} Hz, which is not a usual rate: is it {rate_hz:g} Hz?")
    return True


def assign(columns: dict[str, np.ndarray], named: bool, notes: Notes) -> None:
    """Assign a role to each column. `columns` are numbers, or text as objects; unnamed columns are called "1", "2", ..."""
    left = dict(columns)
    _time(left, named, notes)
    for fact, words in COLUMNS.items():
        fitting = [n for n in left if named and words.fullmatch(plain(n))]
        if fitting:
            chosen = next((n for n in fitting if plain(n).startswith("re") and fact != "repetition"), fitting[0])
            chosen = next((n for n in fitting if plain(n) == "rerepetition"), chosen)
            notes.values[fact] = _key(chosen, named)
            notes.found.append(f"column {chosen!r} gives the {fact}, by its name: {some(left[chosen])}")
            if len(fitting) > 1:
                others = ", ".join(repr(n) for n in fitting if n != chosen)
                notes.unsure.append(f"{others} could also give the {fact}: is {chosen!r} the right column?")
            for name in fitting:
                left.pop(name)
    if "label" not in notes.values:
        _label_by_values(left, named, notes)
    _channels(columns, left, named, notes)


def _key(name: str, named: bool) -> str | int:
    return name if named else int(name)


def some(values: np.ndarray) -> str:
    """Return the first distinct values for a message."""
    found = list(dict.fromkeys(str(v).strip() for v in values[:: max(1, len(values) // 20_000)].tolist()))
    return ", ".join(found[:6]) + (f", … ({len(found)} values)" if len(found) > 6 else "")


def _numeric(values: np.ndarray) -> bool:
    return values.dtype.kind in "iufb"


def _time(left: dict[str, np.ndarray], named: bool, notes: Notes) -> None:
    fitting = [n for n in left if named and clock.is_time(n)]
    numeric = [n for n in fitting if _numeric(left[n])]
    if not fitting and left:
        first = next(iter(left))
        counts = named and COUNTERS.fullmatch(plain(first))
        if _numeric(left[first]) and not counts and _even(left[first]) and rate_of(left[first], first):
            numeric = [first]
            notes.unsure.append(f"column {first!r} increases evenly and is taken for the time: is that right?")
    if numeric and note_rate(numeric[0], left[numeric[0]], notes):
        if not clock.is_time(numeric[0]) or not named:
            notes.values["time"] = _key(numeric[0], named)
    elif numeric:
        notes.values["time"] = False
    for name in {*fitting, *numeric}:
        left.pop(name)


def _even(values: np.ndarray) -> bool:
    steps = np.diff(np.asarray(values, np.float64))
    return len(steps) > 2 and bool((steps > 0).all()) and float(steps.max()) < 3 * float(np.median(steps))


def _label_by_values(left: dict[str, np.ndarray], named: bool, notes: Notes) -> None:
    """Note a column of words, or of whole numbers that stay the same for many samples, as the label."""
    fitting = []
    for name, values in left.items():
        if (named and any(w.search(plain(name)) for w in (EMG, OTHER))) or COUNTERS.fullmatch(plain(name)):
            continue
        if _numeric(values):
            whole = values.dtype.kind in "iub" or bool((values == np.rint(values)).all())
            lasting = len(values) / max(1, len(run_starts(values))) >= LEAST_RUN
            if not whole or not lasting:
                continue
        if 2 <= len(set(values[:200_000].tolist())) <= MOST_LABELS:
            fitting.append(name)
    if not fitting:
        return
    words = [n for n in fitting if not _numeric(left[n])]
    chosen = (words or fitting[::-1])[0]
    notes.values["label"] = _key(chosen, named)
    notes.unsure.append(
        f"column {chosen!r} holds {some(left[chosen])} {LABEL_BY_VALUES}: is that right? For unlabelled recordings write "
        "label = false"
    )
    for name in fitting:  # other columns that keep a value as long are not signals
        left.pop(name)


def _channels(columns: dict[str, np.ndarray], left: dict[str, np.ndarray], named: bool, notes: Notes) -> None:
    numeric = [n for n in left if _numeric(left[n])]
    chosen = [n for n in numeric if EMG.search(n.lower())] if named else []
    if named and not chosen:
        chosen = [n for n in numeric if not COUNTERS.fullmatch(plain(n)) and not OTHER.search(plain(n))]
    chosen = chosen or numeric
    if not chosen:
        notes.unsure.append(f"no column of numbers is left for the samples: which of {', '.join(columns)} hold them?")
        return
    out = [n for n in left if n not in chosen]
    if out:
        notes.unsure.append(f"left out of the channels: {', '.join(map(repr, out[:12]))}. Is one of them EMG?")
    notes.found.append(f"{len(chosen)} channels: {', '.join(chosen[:16])}" + (", …" if len(chosen) > 16 else ""))
    roles = {v for k, v in notes.values.items() if k in (*COLUMNS, "time")}
    if named or any(_key(n, named) not in roles and n not in chosen for n in columns):
        notes.values["channels"] = [_key(n, named) for n in chosen]
    odd = [n for n in chosen if not np.isfinite(np.asarray(left[n], np.float64)).all()]
    if odd:
        notes.unsure.append(
            f"{', '.join(map(repr, odd[:8]))} have blank or infinite cells, which are an error: fill or cut them"
        )
    unit(chosen, np.stack([np.asarray(left[n], np.float64) for n in chosen]), notes)


def unit(names: list[str], signal: np.ndarray, notes: Notes) -> None:
    """Note the unit in the names, or else "adc" (unknown scale) and a question that depends on the amplitude."""
    stated = {UNIT.search(n.strip().lower()) for n in names}
    units = {m.group(0).strip("[]()_ ") if m else None for m in stated}
    factors = {None if u is None else microvolts_per(u) for u in units}
    known = {1e6: "V", 1e3: "mV", 1.0: "uV"}.get(next(iter(factors)) or 0.0) if len(factors) == 1 else None
    if known:
        notes.values["unit"] = known
        notes.found.append(f"the names of the channels state the unit {known}")
        return
    notes.values["unit"] = "adc"
    signal = signal[:, np.isfinite(signal).all(axis=0)]
    if not signal.size:
        return
    peak = float(np.median(np.percentile(np.abs(signal - np.median(signal, axis=1, keepdims=True)), 99.9, axis=1)))
    low, high = PLAUSIBLE_PEAK_UV
    fitting = [u for u, factor in (("uV", 1.0), ("mV", 1e3), ("V", 1e6)) if low <= peak * factor <= high]
    whole = bool((signal == np.rint(signal)).all())
    kind = "whole numbers (counts of a converter?)" if whole else f"peaks of {peak:.3g}"
    fits = f"; as an amplitude of EMG that would fit {' or '.join(fitting)}" if fitting and not whole else ""
    notes.unsure.append(
        f'no unit is stated, so the scale counts as unknown (unit = "adc"). The samples are {kind}{fits}: which unit is it?'
    )


def note_rest(labels: list[str], notes: Notes) -> None:
    """Note which label means rest: a word for it, or the number 0 with a question."""
    if labels:
        notes.found.append(f"labels: {', '.join(labels[:20])}" + (f", … ({len(labels)})" if len(labels) > 20 else ""))
    words = [v for v in labels if re.sub(r"[^a-z]", "", v.lower()) in REST]
    if words:
        notes.values["rest"] = words[0]
        notes.found.append(f"the label {words[0]!r} means rest, by its name")
    elif "0" in labels and len(labels) > 1 and all(re.fullmatch(r"\d+", v) for v in labels):
        notes.values["rest"] = 0
        notes.unsure.append("label 0 is taken for rest: is that right?")
