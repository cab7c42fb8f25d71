"""The Parquet files of a run: their columns, and a reader that does not trust their content."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from myograph.evaluation.metrics import TITLES

TEXT, WHOLE, REAL, TRUTH = "text", "whole numbers", "numbers", "truth values"
PLACE = {"recording": WHOLE, "start": WHOLE, "stop": WHOLE, "subject": TEXT, "session": TEXT, "repetition": WHOLE}
PREDICTIONS = {"fold": TEXT, "row": WHOLE, **PLACE, "y_true": TEXT, "y_pred": TEXT, "confidence": REAL}
ONE_FOLD = {**PREDICTIONS, "seconds": REAL}
FOLDS = {
    "fold": TEXT,
    "subject": TEXT,
    **dict.fromkeys(TITLES, REAL),
    **dict.fromkeys(("n_train", "n_test"), WHOLE),
    "seconds": REAL,
    **dict.fromkeys(("sharing_samples", "sharing_repetition"), WHOLE),
}


def to_parquet(table: pd.DataFrame) -> bytes:
    """Return the table as the content of a Parquet file.

    >>> from_parquet(to_parquet(pd.DataFrame({"row": [3]})), {"row": WHOLE})["row"].tolist()
    [3]
    """
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def rows_to_parquet(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> bytes:
    """Return rows as the content of a Parquet file with these columns; NaN is stored as missing.

    A table of a few rows and many columns takes a fifth of the time that pandas needs for it.

    >>> read_rows(io.BytesIO(rows_to_parquet([{"row": 3}], {"row": WHOLE})), {"row": WHOLE}).to_pylist()
    [{'row': 3}]
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(columns)
    arrays = [pa.array([row[f.name] for row in rows], f.type, from_pandas=True) for f in schema]
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=schema), buffer)
    return buffer.getvalue()


def read_rows(file: Any, columns: Mapping[str, str]) -> Any:
    """Return the Arrow table of a Parquet file that has these columns.

    Raises
    ------
    ValueError : it is not a Parquet file, is damaged, or has other columns.

    >>> read_rows(io.BytesIO(rows_to_parquet([{"row": 3}], {"row": WHOLE})), {"line": WHOLE})
    Traceback (most recent call last):
    ValueError: its columns are row; expected line
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file).read().replace_schema_metadata(None)
        if table.column_names != list(columns):
            raise ValueError(f"its columns are {', '.join(table.column_names)}; expected {', '.join(columns)}")
        return table.cast(arrow_schema(columns))
    except (pa.ArrowException, TypeError, KeyError, MemoryError) as error:
        raise ValueError(f"it is not a readable Parquet file ({error})") from error


def arrow_schema(columns: Mapping[str, str]) -> Any:
    """Return the Arrow types of columns.

    >>> arrow_schema({"fold": TEXT, "row": WHOLE}).names
    ['fold', 'row']
    """
    import pyarrow as pa

    types = {TEXT: pa.string(), WHOLE: pa.int64(), REAL: pa.float64(), TRUTH: pa.bool_()}
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def from_parquet(content: bytes, columns: dict[str, str]) -> pd.DataFrame:
    """Return the table of a Parquet file with exactly these columns of plain types; other content is not read.

    Raises
    ------
    ValueError : the content is not a Parquet file, is damaged, or has other columns.

    >>> content = to_parquet(pd.DataFrame({"fold": ["a"], "row": [3]}))
    >>> from_parquet(content, {"fold": TEXT, "row": WHOLE})["row"].tolist()
    [3]
    >>> from_parquet(content, {"fold": TEXT, "row": TEXT})
    Traceback (most recent call last):
    ValueError: the columns are fold (text), row (whole numbers); expected fold (text), row (text)
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise ValueError(f"it is not a readable Parquet file ({error})") from error
    found = [(field.name, _kind(field.type)) for field in table.schema]
    wanted = list(columns.items())
    # a column without values has no type
    if [n for n, _ in found] != [n for n, _ in wanted] or any(
        k not in (w, "null") for (_, k), (_, w) in zip(found, wanted)
    ):
        shown, expected = (", ".join(f"{name} ({kind})" for name, kind in pairs) for pairs in (found, wanted))
        raise ValueError(f"the columns are {shown}; expected {expected}")
    # without its metadata, which could make pandas create an index or other types
    return table.replace_schema_metadata(None).to_pandas()


def _kind(arrow_type: object) -> str:
    import pyarrow.types as of

    if of.is_string(arrow_type) or of.is_large_string(arrow_type):
        return TEXT
    if of.is_integer(arrow_type):
        return WHOLE
    if of.is_floating(arrow_type):
        return REAL
    return "null" if of.is_null(arrow_type) else str(arrow_type)
