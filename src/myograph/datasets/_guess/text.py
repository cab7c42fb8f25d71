"""Detects the format of a text file: delimiter, decimal mark, lines above the table, column names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from myograph.datasets._formats.description import Description
from myograph.datasets._formats.table import Table
from myograph.datasets._formats.text import BLANKS, DELIMITERS, decode, is_number, read_text, split_cells
from myograph.datasets._guess.notes import Notes
from myograph.errors import DataError

LINES = 400  # that are examined
CANDIDATES = (",", ";", "\t", "|", BLANKS)
WORDS_FOR = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", BLANKS: "blanks"}


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    decimal: str
    n_cells: int


def guess_text(path: Path, notes: Notes) -> Table:
    """Add the dialect of a text file (delimiter, decimal mark, header) to `notes`, and read the file with it.

    Raises
    ------
    DataError : the file holds no table.
    """
    text = decode(path)
    numbered = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    comments = [line for _, line in numbered if line.lstrip()[0] in "#%"]
    rows = [(i, line) for i, line in numbered if line.lstrip()[0] not in "#%"][:LINES]
    if len(rows) < 2:
        raise DataError(f"{path} holds no table: {len(rows)} rows that are not comments; name another file")
    dialect = _dialect([line for _, line in rows])
    if dialect is None:
        raise DataError(
            f"{path} holds no table that can be recognised; write the description by hand (docs/your-own-data.md)"
        )
    cells = [split_cells(line, dialect.delimiter) for _, line in rows]
    first = next(i for i, row in enumerate(cells) if len(row) == dialect.n_cells and not _prose(row))
    values = notes.values
    if dialect.delimiter != DELIMITERS[path.suffix.lower()]:
        values["delimiter"] = dialect.delimiter
    notes.found.append(f"{path.name}: {dialect.n_cells} columns, separated by {WORDS_FOR[dialect.delimiter]}")
    if dialect.decimal != ".":
        values["decimal"] = dialect.decimal
        notes.found.append("numbers have a decimal comma")
    above = 0
    while first + above + 1 < len(cells) and _above(cells[first + above], cells[first + above + 1 :], dialect.decimal):
        above += 1
    values["header"] = above == 1
    if first or above > 1:
        values["skip_rows"] = rows[first + (above if above > 1 else 0)][0] - 1
        notes.found.append(f"the table begins in line {values['skip_rows'] + 1}")
    if above > 1:
        names = ", ".join(c.strip() for c in cells[first][:12])
        notes.unsure.append(
            f"{above} lines of names are above the samples ({names}), so columns are referred to by number: check them"
        )
    comments += [line for _, line in rows[:first]]
    if comments:
        notes.found.append(f"{len(comments)} comment lines or lines above the table, e.g. {comments[0].strip()[:60]!r}")
    table = read_text(
        path,
        Description(
            "*", label=False, **{k: values[k] for k in ("delimiter", "decimal", "header", "skip_rows") if k in values}
        ),
    )
    _stated_rate(comments, notes)
    return table


def _dialect(lines: list[str]) -> _Dialect | None:
    """Return the delimiter and decimal mark with which most cells of the lower rows are numbers and rows are similar."""
    lower = lines[len(lines) // 3 :][:200]
    best: tuple[tuple[float, float, int], _Dialect] | None = None
    for delimiter in CANDIDATES:
        rows = [split_cells(line, delimiter) for line in lower]
        usual, times = Counter(map(len, rows)).most_common(1)[0]
        alike = times / len(rows)
        single = usual == 1
        if alike < 0.9 or (single and delimiter != BLANKS):
            continue
        cells = [c.strip() for row in rows if len(row) == usual for c in row if c.strip()]
        for decimal in (".", ","):
            if decimal == delimiter or not cells:
                continue
            share = sum(is_number(c, decimal) and not (decimal == "," and "." in c) for c in cells) / len(cells)
            score = (round(share, 2), round(alike, 2), usual if delimiter != BLANKS else usual - 1)
            if best is None or score > best[0]:
                best = score, _Dialect(delimiter, decimal, usual)
    return None if best is None or best[0][0] < 0.2 else best[1]


def _prose(row: list[str]) -> bool:
    """Return whether a row is a sentence with the right number of cells by chance: only one of many cells is filled."""
    return len(row) > 2 and sum(bool(c.strip()) for c in row) < 2


def _above(row: list[str], below: list[list[str]], decimal: str) -> bool:
    """Return whether a row is above the samples: it has a word where the rows below have numbers, or counts up from 0
    or 1.
    """
    rows = [r for r in below[2:] or below if len(r) == len(row)]
    for i, cell in enumerate(row):
        column = [r[i] for r in rows if r[i].strip()]
        if cell.strip() and not is_number(cell, decimal) and column and all(is_number(c, decimal) for c in column):
            return True
    whole = [int(c) for c in row if re.fullmatch(r"\s*\d+\s*", c)]
    counts = (
        len(row) > 1
        and len(whole) >= len(row) - 1
        and whole in (list(range(len(whole))), list(range(1, len(whole) + 1)))
    )
    return counts and any(not re.fullmatch(r"\s*[+-]?\d*\s*", c) for r in rows for c in r)


def _stated_rate(lines: list[str], notes: Notes) -> None:
    """Note a rate in the lines above the table, such as "Sampling frequency: 1000 Hz"."""
    for line in lines:
        match = re.search(r"(?:rate|freq\w*|fs|hz)\D{0,30}?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*hz", line.lower())
        if match:
            rate_hz = float(match[1] or match[2])
            if rate_hz >= 10:
                notes.values.setdefault("rate_hz", rate_hz)
                notes.unsure.append(
                    f"the line {line.strip()[:60]!r} is taken for the sampling rate: is it {rate_hz:g} Hz?"
                )
                return
