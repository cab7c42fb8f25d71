"""The Parquet files of a run: their columns, and reading them without trusting their content."""

from __future__ import annotations

import io

import pandas as pd

from myograph.evaluation.metrics import TITLES

TEXT, WHOLE, REAL = "text", "whole numbers", "numbers"
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


def from_parquet(content: bytes, columns: dict[str, str]) -> pd.DataFrame:
    """Return the table of a Parquet file that has exactly these columns, of plain types; nothing else in it is read.

    Raises
    ------
    ValueError : it is not a Parquet file, is damaged, or has other columns.

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
    # A column without any value has no type of its own.
    if [n for n, _ in found] != [n for n, _ in wanted] or any(
        k not in (w, "null") for (_, k), (_, w) in zip(found, wanted)
    ):
        shown, expected = (", ".join(f"{name} ({kind})" for name, kind in pairs) for pairs in (found, wanted))
        raise ValueError(f"the columns are {shown}; expected {expected}")
    # Without its metadata, which could ask pandas for an index or for other types.
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
