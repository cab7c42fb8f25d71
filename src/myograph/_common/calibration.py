"""The choice of labelled windows of a new person or session that calibrate a method, for protocols that allow it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from myograph._common.splits import groups_of, is_whole
from myograph.errors import ProtocolError

FIELDS = ("calibration_repetitions", "calibration_seconds", "reserved_repetitions")


def check_calibration(protocol: Any) -> None:
    """Check the fields that `calibration_rows` reads.

    Raises
    ------
    ProtocolError : a count is not a whole number of at least 0, or the seconds are not positive.
    """
    for name in ("calibration_repetitions", "reserved_repetitions"):
        if not is_whole(getattr(protocol, name), 0):
            raise ProtocolError(f"{name} must be a whole number of at least 0, got {getattr(protocol, name)!r}")
    seconds = protocol.calibration_seconds
    if seconds is not None and not (isinstance(seconds, (int, float)) and seconds > 0):
        raise ProtocolError(f"calibration_seconds must be a positive number of seconds or None, got {seconds!r}")
    if seconds is not None and not protocol.calibration_repetitions:
        raise ProtocolError(
            "calibration_seconds limits the windows of the calibration repetitions; give calibration_repetitions too"
        )
    if getattr(protocol, "calibration", 0) and (protocol.calibration_repetitions or protocol.reserved_repetitions):
        raise ProtocolError("give either calibration, a fraction, or calibration_repetitions, a number, not both")
    if getattr(protocol, "calibration_sessions", "each") not in ("each", "first"):
        raise ProtocolError(f"calibration_sessions must be 'each' or 'first', got {protocol.calibration_sessions!r}")


def calibration_rows(protocol: Any, table: pd.DataFrame, rows: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of one session that calibrate, and those that are not tested.

    Parameters
    ----------
    protocol : has the fields of `FIELDS`. The first `calibration_repetitions` repetitions of the session calibrate;
        with `calibration_seconds`, only this many seconds of each label, from the start. These repetitions and the
        first `reserved_repetitions` are not tested.
    table : table of windows; `attrs["rates_hz"]` holds the sampling rate of each recording, needed for seconds.
    rows : (window,) mask of the session. name : name of the session for messages.

    Returns
    -------
    Two (window,) masks.

    Raises
    ------
    ProtocolError : no repetition is left to test, or the sampling rates are unknown.
    """
    repetition = table["repetition"].to_numpy()
    numbers = np.unique(repetition[rows])
    used = max(protocol.calibration_repetitions, protocol.reserved_repetitions)
    if len(numbers) <= used:
        raise ProtocolError(
            f"subject {name} has {len(numbers)} repetitions, of which {used} calibrate or are reserved: none is left "
            "to "
            "test; lower calibration_repetitions or reserved_repetitions, or leave the subject out"
        )
    calibrate = rows & np.isin(repetition, numbers[: protocol.calibration_repetitions])
    if protocol.calibration_seconds is not None:
        calibrate = _first_seconds(table, calibrate, protocol.calibration_seconds)
    return calibrate, rows & np.isin(repetition, numbers[:used])


def _first_seconds(table: pd.DataFrame, rows: np.ndarray, seconds: float) -> np.ndarray:
    """Return the mask of the windows within the first `seconds` of signal of each label."""
    rates = table.attrs.get("rates_hz")
    if rates is None:
        raise ProtocolError("calibration_seconds needs the sampling rate: give the protocol Windows, not their table")
    kept = np.zeros(len(table), bool)
    order = table[rows].assign(row=np.flatnonzero(rows)).sort_values(by=["recording", "start"], kind="stable")
    for _, part in order.groupby("label", observed=True, sort=False):
        rate = np.asarray(rates)[part["recording"].to_numpy()]
        start, stop, of = (part[c].to_numpy() for c in ("start", "stop", "recording"))
        reached = np.where(np.append(False, of[1:] == of[:-1]), np.append(0, stop[:-1]), 0)
        fresh = (stop - np.maximum(start, reached)) / rate  # seconds not covered by earlier windows
        kept[part["row"].to_numpy()[np.cumsum(fresh) <= seconds + 1e-9]] = True
    return kept


def left_out_subject(protocol: Any, table: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the masks (train, test, calibration) of a fold that leaves one subject out.

    Parameters
    ----------
    protocol : has the fields of `FIELDS`, and `calibration` (a fraction of each session's repetitions) and
        `calibration_sessions` ("each" or "first").
    rows : (window,) mask of the subject.
    """
    test, calibrate, spent = rows.copy(), np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    repetition = table["repetition"].to_numpy()
    sessions = list(groups_of(table, "subject", "session", within=rows))
    if protocol.calibration:
        for key, part in sessions:
            numbers = np.unique(repetition[part])
            if len(numbers) < 2:
                raise ProtocolError(f"subject {key} has only one repetition: none is left to test after calibration")
            n = min(max(round(protocol.calibration * len(numbers)), 1), len(numbers) - 1)
            calibrate |= part & np.isin(repetition, numbers[:n])
        spent = calibrate
    elif protocol.calibration_repetitions or protocol.reserved_repetitions:
        for key, part in sessions[:1] if protocol.calibration_sessions == "first" else sessions:
            found, used = calibration_rows(protocol, table, part, key)
            calibrate, spent = calibrate | found, spent | used
    test &= ~spent
    return ~rows | calibrate, test, calibrate
