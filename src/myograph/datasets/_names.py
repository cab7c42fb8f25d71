"""Order of file and subject names, and files that are not data."""

from __future__ import annotations

import re
from pathlib import Path


def aside(path: Path, folder: Path) -> bool:
    """Return whether a file is in a folder without data: resource forks of macOS, or an archive that is being unpacked."""
    return any(p == "__MACOSX" or p.startswith(".") for p in path.relative_to(folder).parts[:-1])


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return the sort key under which "S10" follows "S9"."""
    # Not isdigit, which is true for characters such as "²" that int() refuses.
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", str(name)) if part]
