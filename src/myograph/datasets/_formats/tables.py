"""Reads a user's own file as a Table; the reader is selected by the file name's ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from myograph.datasets._formats.arrays import read_npy, read_variables
from myograph.datasets._formats.description import Description
from myograph.datasets._formats.edf import read_edf
from myograph.datasets._formats.guard import OWN_AGAIN, reading
from myograph.datasets._formats.otb import read_otb
from myograph.datasets._formats.physionet import read_wfdb
from myograph.datasets._formats.presets import PRESETS
from myograph.datasets._formats.table import Table, channels
from myograph.datasets._formats.text import DELIMITERS, read_text
from myograph.datasets._formats.xdf import read_xdf
from myograph.errors import ConfigError

__all__ = ["ENDINGS", "Table", "channels", "read_table"]

_READERS: dict[str, Callable[[Path, Description], Table]] = {
    **dict.fromkeys(DELIMITERS, read_text),
    ".npy": read_npy,
    **dict.fromkeys((".npz", ".mat", ".h5", ".hdf5"), read_variables),
    **dict.fromkeys((".edf", ".bdf"), read_edf),
    ".hea": read_wfdb,
    ".xdf": read_xdf,
    **dict.fromkeys((".otb+", ".otb4"), read_otb),
}
ENDINGS = tuple(_READERS)


def read_table(path: Path, description: Description) -> Table:
    """Read one file with the reader for its ending.

    Raises
    ------
    DataError : the file is damaged, truncated or lacks a variable.
    ConfigError : the description is incomplete, or the file format is not supported.
    MissingExtraError : an EDF, BDF, WFDB or XDF file needs a package that is not installed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"{path}: this file format is not supported; convert the files to one of {', '.join(ENDINGS)}"
        )
    if description.preset is not None:
        if path.suffix.lower() not in DELIMITERS:
            raise ConfigError(f"{path}: a preset describes text files ({', '.join(DELIMITERS)}); remove preset")
        reader = PRESETS[description.preset]
    with reading(path, OWN_AGAIN):
        return reader(path, description)
