"""Answers as what JSON and Parquet can hold."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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


def to_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame as dictionaries of plain values, missing ones None."""
    # Through JSON: it turns every kind of missing value, and NumPy's numbers, into plain ones.
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return rows
