"""Reads text files as a Table: CSV, TSV and others with one row per sample."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from myograph.datasets._formats.description import FACTS, Description
from myograph.datasets._formats.guard import OWN_AGAIN
from myograph.datasets._formats.table import Table, distinct
from myograph.errors import ConfigError, DataError

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": r"\s+"}
BLANKS = r"\s+"
_SEPARATOR = "\x1f"  # replaces a delimiter of several characters; does not occur in text files


@dataclass(frozen=True)
class _Lines:
    """The lines of a file that hold cells, with their line numbers from 1, and the last comment before them."""

    lines: list[str]
    numbers: np.ndarray
    comment: str | None
    delimiter: str

    def cells(self, i: int) -> list[str]:
        return split_cells(self.lines[i], self.delimiter)


def read_text(path: Path, description: Description) -> Table:
    """Read a text file; every row must have as many cells as the others.

    The encoding is UTF-8 or UTF-16; a file that is neither is read as Latin-1. Lines that begin with # or % are comments.
    Whether the first row holds column names is detected, unless `header` in the description states it.

    Raises
    ------
    DataError : there are no rows, or they differ in their number of cells; the message names the line.
    ConfigError : it is unclear whether the first row holds samples or column names.
    """
    table = _lines(path, description)
    first = [c.strip() for c in table.cells(0)]
    counts = _counts(table)
    names, skipped = _header(path, description, table, first, counts)
    data = counts[skipped:]
    if not len(data):
        raise DataError(f"{path} holds no samples; {OWN_AGAIN}")
    n_cells = _check_rows(path, table, data, skipped, len(names) if names else None)
    wanted = n_cells
    if _ends_in_delimiter(table, skipped) and not (names and len(names) == n_cells and names[-1]):
        wanted -= 1  # every row ends in a delimiter, without a cell after it
    if names and len(names) > wanted:
        names = names[:wanted]
    if names and len(names) < wanted:
        raise DataError(
            f"{path}, line {table.numbers[0]}: {len(names)} column names ({', '.join(names[:8])}), but rows have "
            f"{wanted} "
            "cells; name every column in the file, the row number too, or set skip_rows if the names are further down"
        )
    named = names is not None
    labels = distinct(names) if names else [str(i + 1) for i in range(wanted)]
    return Table(_parse(table, description, labels, skipped, n_cells), named)


def decode(path: Path) -> str:
    """Return a file's text, with line ends as \\n; DataError if it holds zero bytes."""
    raw = path.read_bytes()
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = raw.decode("utf-16")
    elif len(raw) > 3 and raw[1] == 0 and raw[3] == 0:
        text = raw.decode("utf-16-le")
    elif len(raw) > 3 and raw[0] == 0 and raw[2] == 0:
        text = raw.decode("utf-16-be")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
    if "\x00" in text:
        raise DataError(f"{path} is truncated or damaged: it holds zero bytes, which text cannot have; {OWN_AGAIN}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(path: Path, description: Description) -> _Lines:
    delimiter = description.delimiter or DELIMITERS[path.suffix.lower()]
    text = decode(path)
    if len(delimiter) > 1 and delimiter != BLANKS:
        if _SEPARATOR in text:
            raise DataError(f"{path} holds the control character 0x1F; remove it, or use a delimiter of one character")
        text, delimiter = text.replace(delimiter, _SEPARATOR), _SEPARATOR
    lines, numbers, comment = [], [], None
    for number, line in enumerate(text.split("\n"), 1):
        if number <= description.skip_rows or not line.strip():
            continue
        if line.lstrip()[0] in "#%":
            if lines and len(split_cells(line, delimiter)) == len(split_cells(lines[-1], delimiter)) > 1:
                raise DataError(
                    f"{path}, line {number}: this line starts with a comment character, but has as many cells as a "
                    "row of samples; remove the line or the character"
                )
            comment = comment if lines else line
            continue
        lines.append(line)
        numbers.append(number)
    if not lines:
        raise DataError(f"{path} holds no rows; {OWN_AGAIN}")
    return _Lines(lines, np.array(numbers), comment, delimiter)


def split_cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of one line; delimiters inside quotes belong to the cell."""
    if delimiter == BLANKS:
        return next(csv.reader([" ".join(line.split())], delimiter=" "), [])
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _counts(table: _Lines) -> np.ndarray:
    """Return the number of cells of each line."""
    if any('"' in line for line in table.lines):
        return np.array([len(split_cells(line, table.delimiter)) for line in table.lines])
    if table.delimiter == BLANKS:
        return np.array([len(line.split()) for line in table.lines])
    return np.array([line.count(table.delimiter) + 1 for line in table.lines])


def is_number(cell: str, decimal: str = ".") -> bool:
    """Return whether a cell holds a number."""
    try:
        float(cell.strip().replace(decimal, "."))
        return True
    except ValueError:
        return False


def _header(
    path: Path, description: Description, table: _Lines, first: list[str], counts: np.ndarray
) -> tuple[list[str] | None, int]:
    """Return the column names, or None, and the number of lines that they occupy."""
    if description.header is not None:
        return (first, 1) if description.header else (None, 0)
    numeric = [is_number(c, description.decimal) for c in first]
    if not any(numeric):
        return first, 1
    facts = (getattr(description, f) for f in FACTS)
    asked = {v for v in (*(description.channels or ()), *facts, description.time) if isinstance(v, str)}
    if asked & set(first):
        return first, 1
    below = [table.cells(i) for i in range(1, min(len(counts), 2000))]
    below = [row for row in below if len(row) >= len(first)]
    columns = list(zip(*below)) if below else []
    if any(_names_column(cell, column, description.decimal) for cell, column in zip(first, columns)):
        return first, 1
    whole = [int(c) for c in first if re.fullmatch(r"\d+", c)]
    if first[0] == "" and len(first) > 1 and whole == list(range(len(first) - 1)):
        return first, 1  # a table without names but with row numbers, as written by pandas
    counting = len(whole) == len(first) > 1 and whole in (list(range(len(first))), list(range(1, len(first) + 1)))
    if counting and any(not re.fullmatch(r"[+-]?\d+", c.strip()) for row in below for c in row if c.strip()):
        return first, 1
    words_only_once = not all(numeric) and all(
        numeric[i] or first[i] == "" or first[i] not in {c.strip() for c in column}
        for i, column in enumerate(columns[: len(first)])
    )
    if (counting or words_only_once) and len(below) > 1:
        raise ConfigError(
            f"{path}, line {table.numbers[0]}: it is unclear whether {', '.join(first[:8])} are samples or column "
            "names; set "
            "header = false or header = true in the description"
        )
    comment = table.comment.lstrip()[1:].strip() if table.comment else ""
    named = [c.strip() for c in split_cells(comment, table.delimiter)] if comment else []
    if asked & set(named) and len(named) == len(first):  # the column names are in a comment, as written by NumPy
        return named, 0
    return None, 0


def _names_column(cell: str, column: tuple[str, ...], decimal: str) -> bool:
    """Return whether the cell above a column must be its name: a word above numbers, or a number above words."""
    filled = [c for c in column if c.strip()]
    if not cell or not filled:
        return False
    if is_number(cell, decimal):
        return not any(is_number(c, decimal) for c in filled)
    return all(is_number(c, decimal) for c in filled)


def _check_rows(path: Path, table: _Lines, data: np.ndarray, skipped: int, n_names: int | None) -> int:
    """Return the common number of cells of all rows; DataError names the first row that differs."""
    usual = Counter(data.tolist()).most_common(1)[0][0]
    if n_names is not None and n_names in data:
        usual = n_names
    odd = np.flatnonzero(data != usual)
    if len(odd):
        row = int(odd[0])
        last = skipped + row == len(table.lines) - 1
        first = row == 0 and not (data[1:] != usual).any()
        hint = (
            "the file is truncated: copy it again, or remove the line"
            if last
            else "if samples begin further down, set skip_rows in the description"
            if first or row == 0
            else "correct the row or the delimiter"
        )
        raise DataError(
            f"{path}, line {table.numbers[skipped + row]}: {data[row]} cells, but the other rows have {usual}; {hint}"
        )
    return int(usual)


def _ends_in_delimiter(table: _Lines, skipped: int) -> bool:
    if table.delimiter == BLANKS:
        return False
    return all(line.rstrip(" ").endswith(table.delimiter) for line in table.lines[skipped:])


def _parse(
    table: _Lines, description: Description, names: list[str], skipped: int, n_cells: int
) -> dict[str, np.ndarray]:
    """Return the columns by name: facts as text, others as numbers if all cells are numbers."""
    import pandas as pd

    facts = set()
    for where in (getattr(description, f) for f in FACTS):
        if isinstance(where, str):
            facts.add(where)
        elif isinstance(where, int) and not isinstance(where, bool) and 1 <= where <= len(names):
            facts.add(names[where - 1])
    text = [i for i, n in enumerate(names) if n in facts]
    missing = ["", "nan", "NaN", "NAN"]
    frame = pd.read_csv(
        io.StringIO("\n".join(table.lines[skipped:])),
        sep=table.delimiter,
        header=None,
        names=range(n_cells),
        usecols=range(len(names)),
        index_col=False,
        decimal=description.decimal,
        skipinitialspace=True,
        dtype=dict.fromkeys(text, str),
        keep_default_na=False,
        na_values={i: missing for i in range(len(names)) if i not in text},
        low_memory=False,
        skip_blank_lines=False,
        encoding_errors="strict",
    )
    columns = {name: frame[i].to_numpy(object if i in text else None) for i, name in enumerate(names)}
    if description.decimal == ",":
        for i in text:
            column = columns[names[i]]
            columns[names[i]] = np.array([re.sub(r"^([+-]?\d+),(\d*)$", r"\1.\2", c) for c in column], object)
    return columns
