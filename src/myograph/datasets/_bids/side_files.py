"""The side files of a BIDS recording: how tables and JSON files are found, read and written."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from myograph.datasets._formats.guard import reading
from myograph.errors import DataError

AGAIN = "correct it according to the BIDS specification, or leave the file out"
MISSING = "n/a"


def entities(path: Path) -> dict[str, str]:
    """Return the entities of a BIDS file name.

    >>> entities(Path("sub-01_ses-2_task-grasp_emg.edf"))
    {'sub': '01', 'ses': '2', 'task': 'grasp'}
    """
    return dict(re.findall(r"(?:^|_)([a-z]+)-([^_.]+)", path.name))


def beside(path: Path, folder: Path, ending: str) -> list[Path]:
    """Return the side files of a recording, nearest first: in its own folder, then in parent folders up to `folder`.

    A file applies to the recording if all entities of its name are entities of the recording (the inheritance
    principle), except the name of a coordinate system ("space").
    """
    own = entities(path).items()
    found: list[Path] = []
    for place in path.parents:
        fitting = [p for p in place.glob(f"*{ending}") if _without_space(entities(p)).items() <= own]
        found += sorted(fitting, key=lambda p: (-len(entities(p)), p.name))
        if place == folder:
            break
    return found


def _without_space(parts: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in parts.items() if k != "space"}


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a tab-separated file; DataError if a row and the header differ in their number of cells."""
    with reading(path), open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", strict=True))
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise DataError(f"{path}, line {number}: another number of cells than the header; {AGAIN}")
        return rows


def read_facts(paths: Iterable[Path]) -> dict[str, Any]:
    """Merge JSON objects; values of nearer files take precedence."""
    facts: dict[str, Any] = {}
    for path in paths:
        with reading(path):
            found = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(found, dict):
            raise DataError(f"{path} holds {type(found).__name__}, expected a JSON object; {AGAIN}")
        facts = {**found, **facts}
    return facts


def cell(row: Mapping[str, str], key: str) -> str:
    """Return the text of a cell, or "" if the column or the value is missing.

    >>> cell({"units": "n/a", "name": " E1 "}, "units"), cell({"name": " E1 "}, "name"), cell({}, "name")
    ('', 'E1', '')
    """
    text = (row.get(key) or "").strip()
    return "" if text.lower() == MISSING else text


def number(row: Mapping[str, str], key: str, path: Path) -> float | None:
    """Return the number in a cell, or None if it is missing; DataError for anything else."""
    text = cell(row, key)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: {text!r} in column {key} is not a number; {AGAIN}") from None


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a tab-separated file; missing values become n/a."""
    lines = ["\t".join(columns)]
    lines += ["\t".join(_cell_text(row.get(c)) for c in columns) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell_text(value: Any) -> str:
    text = MISSING if value is None or value == "" else repr(value) if isinstance(value, float) else str(value)
    return re.sub(r"[\t\r\n]+", " ", text)


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a JSON object."""
    path.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
