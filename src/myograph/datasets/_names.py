"""Order of file and subject names, and files that are not data."""

from __future__ import annotations

import re
from pathlib import Path


def aside(path: Path, folder: Path) -> bool:
    """Whether a file is in a folder without data: macOS's resource forks, or an archive being unpacked."""
    return any(p == "__MACOSX" or p.startswith(".") for p in path.relative_to(folder).parts[:-1])


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return the sort key under which "S10" follows "S9"."""
    # Not isdigit: it holds for characters such as "²", which int() refuses.
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", str(name)) if part]
