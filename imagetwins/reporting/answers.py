"""Answers as what JSON, Parquet and CSV can hold."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_numeric_dtype

from imagetwins.storage import storage_of
from imagetwins.store.record import RunRecord


def to_plain(answer: Any) -> Any:
    """Return an answer (a frame, a record, or a dataclass of them) as what JSON can hold.

    Frames become lists of rows, missing values None.
    """
    if isinstance(answer, pd.DataFrame):
        return to_rows(answer)
    if isinstance(answer, RunRecord):
        return answer.to_plain()
    if is_dataclass(answer):
        return {field.name: to_plain(getattr(answer, field.name)) for field in fields(answer)}
    if isinstance(answer, dict):
        return {str(key): to_plain(value) for key, value in answer.items()}
    return [to_plain(item) for item in answer] if isinstance(answer, list | tuple) else answer


def write_answer(table: pd.DataFrame, target: Path) -> None:
    """Write the table of an answer to the Parquet file `target`, whole or not at all."""
    with storage_of(target).writing(target) as temporary:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary, compression="zstd")


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet computes a cell of a CSV file that begins so (OWASP, "CSV Injection")."""


def to_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV in UTF-8: a header, commas, quotes where RFC 4180 asks for them, CRLF; nothing where a value is missing.

    A text that a spreadsheet would take for a formula has `./` before it: only a file's bare name can begin so, which it still
    names then. Paths are absolute, and exact.
    """
    harmless = table.apply(lambda column: column if is_numeric_dtype(column) else column.map(_disarm))
    text: str = harmless.to_csv(index=False, lineterminator="\r\n")
    return text.encode()


def _disarm(value: Any) -> Any:
    return f"./{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def write_csv(table: pd.DataFrame, target: Path) -> None:
    """Write the table of an answer to the CSV file `target`, see `to_csv`, whole or not at all."""
    with storage_of(target).writing(target) as temporary:
        temporary.write_bytes(to_csv(table))


def to_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries of plain values, missing ones None."""
    # Through JSON: it turns every kind of missing value, and NumPy's numbers, into plain ones.
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows
