"""WFDB records (PhysioNet) as a Table, through the wfdb package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from myograph._common.units import microvolts_per
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.edf import chosen_rate, with_annotations
from myograph.datasets._formats.guard import OWN_AGAIN
from myograph.datasets._formats.table import Table, distinct
from myograph.errors import DataError, need


def read_wfdb(path: Path, description: Description) -> Table:
    """Read the chosen signals of a record, or all voltages, of one rate, and the annotations of its .atr file.

    All samples of a frame are kept. The annotation file may have its own time unit.

    Raises
    ------
    DataError : the signals differ in rate, or the header names a file elsewhere. MissingExtraError : wfdb is not installed.
    """
    wfdb = need("wfdb", "formats")
    _check_header(path)
    record = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
    if not record.sig_name or not record.n_sig:
        raise ValueError("the header describes no signals")
    names = distinct(record.sig_name)
    per_frame = record.samps_per_frame or [1] * len(names)
    rates = [float(record.fs) * n for n in per_frame]
    stated = {n: str(u).strip() for n, u in zip(names, record.units or [""] * len(names))}
    voltages = {n for n, u in stated.items() if microvolts_per(u) is not None}
    rate_hz = chosen_rate(path, names, rates, voltages, description)
    columns = {n: np.asarray(record.e_p_signal[i]) if rates[i] == rate_hz else np.empty(0) for i, n in enumerate(names)}
    onsets, texts = np.zeros(0), []
    if path.with_suffix(".atr").is_file():
        notes = wfdb.rdann(str(path.with_suffix("")), "atr")
        onsets = np.asarray(notes.sample) / float(notes.fs or record.fs)
        texts = [aux.strip("\x00 ") or symbol for aux, symbol in zip(notes.aux_note, notes.symbol)]
    return with_annotations(columns, rate_hz, stated, onsets, np.zeros(len(onsets)), texts)


def _check_header(path: Path) -> None:
    """Refuse a header that names a file outside its own folder."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name = line.split()[0] if line.strip() and not line.startswith("#") else ""
        if any(c in name for c in ("\\", ":")) or name.startswith("/") or ".." in name:
            raise DataError(f"{path} names a file outside its folder, {name!r}, which is not read; {OWN_AGAIN}")
