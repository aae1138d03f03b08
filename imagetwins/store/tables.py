"""Reading and writing tables: the only code that does.

A table is a pandas DataFrame in memory and Parquet on disk, in one file or in the parts of a folder. A part is written under a
temporary name, flushed, and renamed, so that a file which has its final name is a whole file.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagetwins.errors import StoreError
from imagetwins.storage import Location, storage_of

ROW_GROUP = 1 << 15
"""Rows that are compressed together."""

NOTE = "imagetwins."
"""What the names of our own entries in a Parquet file's metadata begin with."""


def as_frame(columns: dict[str, Any], schema: pa.Schema) -> pd.DataFrame:
    """Return `columns` (lists or arrays) as a frame with the types that reading it from disk would give.

    As in a table that is read, a column that may be null is null where there is none.
    """
    count = len(next(iter(columns.values())))
    missing = {field.name: [None] * count for field in schema if field.nullable and field.name not in columns}
    return _to_frame(pa.table(missing | columns, schema=schema))


def write_table(
    frame: pd.DataFrame, schema: pa.Schema, target: Location, *, notes: dict[str, str] | None = None
) -> None:
    """Write `frame` to the Parquet file `target`, whole or not at all; an older file of that name is replaced.

    `notes` go into the file's metadata, see `read_notes`.
    """
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    own = {f"{NOTE}{name}": note for name, note in (notes or {}).items()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **own})
    with storage_of(target).writing(target) as temporary:
        # Groups of rows that a reader of a few of them can pass over.
        pq.write_table(table, temporary, compression="zstd", row_group_size=ROW_GROUP)


def read_notes(part: Location) -> dict[str, str]:
    """Return the notes that were written with a part; none if there is no such file, or it is no table."""
    try:
        metadata = _read_metadata(part).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}
    found = {name.decode(): note.decode() for name, note in metadata.items()}
    return {name.removeprefix(NOTE): note for name, note in found.items() if name.startswith(NOTE)}


def read_table(location: Location, schema: pa.Schema, *, where: pc.Expression | None = None) -> pd.DataFrame:
    """Read the rows that satisfy `where` of one Parquet file, or of all parts in a folder in the order of their names.

    A column of `schema` that an older version did not write, and that may be null, is null.

    Raises:
        StoreError: there is no such file or no part, or one has not the columns of `schema`.
    """
    parts = [location] if location.suffix == ".parquet" else list_parts(location)
    return _to_frame(pa.concat_tables([_read_part(part, schema, where) for part in parts]))


def both_among(images: Sequence[int]) -> pc.Expression:
    """Return the condition for rows of `schemas.COMPARISONS` whose pictures both are among `images`."""
    return pc.field("image1").isin(list(images)) & pc.field("image2").isin(list(images))


def read_table_if_any(directory: Location, schema: pa.Schema) -> pd.DataFrame:
    """Read all parts of a table, as `read_table` does; without a part it has no rows.

    Raises:
        StoreError: a part has not the columns of `schema`.
    """
    if not storage_of(directory).glob(directory, "*.parquet"):
        return _to_frame(schema.empty_table())
    return read_table(directory, schema)


def list_parts(directory: Location) -> list[Location]:
    """Return the Parquet parts of a table, in the order of their names.

    Raises:
        StoreError: there is none.
    """
    parts = storage_of(directory).glob(directory, "*.parquet")
    if not parts:
        raise StoreError(f"no table in {directory}: the run was pruned, or did not reach this stage")
    return parts


def count_rows(directory: Location) -> int:
    """Return how many rows a table has, from its parts' ends alone.

    Raises:
        StoreError: there is no part, or one is damaged.
    """
    try:
        return sum(_read_metadata(part).num_rows for part in list_parts(directory))
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"the table in {directory} is damaged: {error}") from error


def _read_metadata(part: Location) -> pq.FileMetaData:
    source, filesystem = storage_of(part).arrow_source(part)
    return pq.read_metadata(source, filesystem=filesystem)


def _read_part(part: Location, schema: pa.Schema, where: pc.Expression | None) -> pa.Table:
    source, filesystem = storage_of(part).arrow_source(part)
    try:
        # `partitioning=None`: the hive column `run_id` of the path is not part of the schema.
        return pq.read_table(source, filesystem=filesystem, schema=schema, filters=where, partitioning=None)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(f"{part} is not a table that this version reads: {error}") from error


def _to_frame(table: pa.Table) -> pd.DataFrame:
    # Integers keep their type where a value is missing, instead of turning into floats.
    return table.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype(), pa.uint8(): pd.UInt8Dtype()}.get)


def copy_part(part: Location, target: Location) -> None:
    """Copy a part of a table to `target`, whole or not at all."""
    with storage_of(target).writing(target) as temporary:
        temporary.write_bytes(storage_of(part).read_bytes(part))
