"""Names of files and subjects: their order, and which files are not data."""

from __future__ import annotations

import re
from pathlib import Path


def aside(path: Path, folder: Path) -> bool:
    """Is a file in a folder that holds no data: a Mac's second set of names, or an archive being unpacked?"""
    return any(p == "__MACOSX" or p.startswith(".") for p in path.relative_to(folder).parts[:-1])


def natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key under which "S10" follows "S9"."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", str(name)) if part]
