"""Units of voltage in the spellings of files."""

from __future__ import annotations

import re

_PREFIXES = {"": 1e6, "milli": 1e3, "m": 1e3, "micro": 1.0, "u": 1.0, "nano": 1e-3, "n": 1e-3}


def microvolts_per(unit: str) -> float | None:
    """Return the number of µV in one `unit`; None if it is blank or not a unit of voltage.

    Case is ignored, and so are brackets around the unit. A replacement character is taken for the micro sign of a file
    in an unknown encoding.

    >>> [microvolts_per(u) for u in ("V", "mV", "µV", "microV", "nanovolts", "[uV]")]
    [1000000.0, 1000.0, 1.0, 1.0, 0.001, 1.0]
    >>> [microvolts_per(u) for u in ("", "g", "counts", "V/s")]
    [None, None, None, None]
    """
    text = re.sub(r"[\s_.()\[\]]", "", unit).lower()
    # The micro sign, the Greek letter, and their replacement in an unknown encoding.
    text = re.sub("[\u00b5\u03bc\ufffd]", "u", text)
    match = re.fullmatch(r"(|milli|m|micro|u|nano|n)v(?:olts?)?", text)
    return None if match is None else _PREFIXES[match[1]]
