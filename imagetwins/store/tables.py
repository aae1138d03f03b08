"""The Arrow schema of every table, in one place, and the only code that reads or writes one.

A table is a pandas DataFrame in memory and Parquet on disk. Parts are written under a temporary name in the
same directory, flushed, and renamed, so a file that has its final name is a whole file.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagetwins.decoding.model import Decoded
from imagetwins.errors import StoreError
from imagetwins.storage.location import address, filesystem, glob, is_remote, place_of
from imagetwins.store.runs import atomic_target

ROW_GROUP = 1 << 15
"""Rows that are compressed together."""

NOTE = "imagetwins."
"""What the names of our own entries in a Parquet file's metadata begin with."""

LISTING = pa.schema(
    [
        pa.field("image", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        # Only where the name is not valid UTF-8: its bytes. `path` then shows them as \xNN.
        pa.field("path_bytes", pa.binary()),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("is_reference", pa.bool_(), nullable=False),
        pa.field("error", pa.string()),
        # With path, size and mtime what tells an unchanged file; the inode without its sign bit.
        pa.field("ctime_ns", pa.int64(), nullable=False),
        pa.field("inode", pa.int64(), nullable=False),
        # Whether a later change cannot but change these times: none is as late as the listing.
        pa.field("is_settled", pa.bool_(), nullable=False),
    ]
)
"""One row a file, in listing order; `image` is its id in the run's tables, 0, 1, 2 ..."""

_TYPES: dict[Any, pa.DataType] = {str | None: pa.string(), int | None: pa.int32()}
# What decoding finds out; an error has its column in LISTING already.
_FOUND = [
    pa.field(field.name, _TYPES[field.type]) for field in dataclasses.fields(Decoded) if field.name not in LISTING.names
]

RECALLED = pa.schema([*LISTING, *_FOUND, pa.field("row", pa.int64(), nullable=False)])
"""LISTING with what the cache knows of the file (`digest` is null where it must be read) and the row of the cache that is,
or is to be, its thumbnail's; -1 of a file that cannot be read."""

LOADED = pa.schema([*RECALLED, pa.field("thumbnail", pa.binary())])
"""RECALLED once all has been read, with the digest of each thumbnail; `row` is -1 where there is none."""

CACHED = pa.schema(
    [
        pa.field("file", pa.binary(), nullable=False),
        *(LISTING.field(name) for name in ("size_bytes", "mtime_ns", "ctime_ns", "inode")),
        *_FOUND,
        pa.field("row", pa.int64(), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),
        pa.field("used_ns", pa.int64(), nullable=False),
    ]
)
"""The index of a cache: one row a file name, its bytes in `file`; `inode` is -1 where the times are not to be trusted.
`thumbnail` is the digest of the thumbnail in `row`, `used_ns` the end of the last run that used it."""

IMAGES = pa.schema(
    [
        *(field for field in LISTING if field.name not in {"error", "ctime_ns", "inode", "is_settled"}),
        *_FOUND,
        LISTING.field("error"),
    ]
)
"""LISTING with what reading the file told: SHA-256 of its content, dimensions as displayed, format; or the error."""

COMPARISONS = pa.schema(
    [
        pa.field("image1", pa.int32(), nullable=False),
        pa.field("image2", pa.int32(), nullable=False),
        pa.field("ssim", pa.float64(), nullable=False),
        pa.field("detail_ssim", pa.float64()),
        pa.field("max_difference", pa.uint8()),
        pa.field("verified", pa.bool_(), nullable=False),
    ]
)
"""One row a stored pair, image1 < image2, each once. `detail_ssim` is null where neither thumbnail has structure in any
window; there, and only there, `max_difference` holds the largest difference of two pixels, 0..255. `verified`: `ssim`
is scikit-image's own number."""

VERIFIED = pa.schema([COMPARISONS.field(name) for name in ("image1", "image2", "ssim")])
"""scikit-image's scores of pairs, known from an earlier run."""

DECISIONS = pa.schema(
    [
        pa.field("FullPath", pa.string(), nullable=False),
        pa.field("FileName", pa.string(), nullable=False),
        pa.field("Duplicate", pa.bool_(), nullable=False),
        pa.field("NewPath", pa.string(), nullable=False),
        pa.field("kept_path", pa.string()),
        pa.field("ssim", pa.float64()),
        pa.field("detail_ssim", pa.float64()),
        pa.field("action", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("image", pa.int32(), nullable=False),
        pa.field("kept_image", pa.int32()),
    ]
)
"""One row an image. `NewPath` is `FullPath` where nothing moved. `action` is "kept", "moved",
"would move", "not moved", "review" or "unreadable"."""


def path_columns(path: Path) -> tuple[str, bytes | None]:
    """Return the columns `path` and `path_bytes` of a file name, which need not be valid UTF-8; a URL is."""
    if is_remote(path):
        return str(path), None
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), raw


def path_of(row_path: str, row_path_bytes: bytes | None) -> Path:
    """Return the file name that `path_columns` stored."""
    return place_of(row_path if row_path_bytes is None or pd.isna(row_path_bytes) else os.fsdecode(row_path_bytes))


def as_frame(columns: dict[str, Any], schema: pa.Schema) -> pd.DataFrame:
    """Return `columns` (lists or arrays) as a frame with the types that reading it from disk would give."""
    return _to_frame(pa.table(columns, schema=schema))


def write_table(frame: pd.DataFrame, schema: pa.Schema, target: Path, *, notes: dict[str, str] | None = None) -> None:
    """Write `frame` to the Parquet file `target`, whole or not at all; an older file of that name is replaced.

    `notes` go into the file's metadata, see `read_notes`.
    """
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    own = {f"{NOTE}{name}": note for name, note in (notes or {}).items()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **own})
    with atomic_target(target) as temporary:
        # Groups of rows that a reader of a few of them can pass over.
        pq.write_table(table, temporary, compression="zstd", row_group_size=ROW_GROUP)


def read_notes(part: Path) -> dict[str, str]:
    """Return the notes that were written with a part; none if there is no such file, or it is no table."""
    try:
        metadata = _read_metadata(part).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return {}
    found = {name.decode(): note.decode() for name, note in metadata.items()}
    return {name.removeprefix(NOTE): note for name, note in found.items() if name.startswith(NOTE)}


def read_table(place: Path, schema: pa.Schema, *, where: pc.Expression | None = None) -> pd.DataFrame:
    """Read the rows that satisfy `where` of one Parquet file, or of all parts in a folder in the order of their names.

    Raises:
        StoreError: there is no such file or no part, or one has not the columns of `schema`.
    """
    parts = [place] if place.suffix == ".parquet" else list_parts(place)
    return pd.concat([_read_part(part, schema, where) for part in parts], ignore_index=True)


def list_parts(directory: Path) -> list[Path]:
    """Return the Parquet parts of a table, in the order of their names.

    Raises:
        StoreError: there is none.
    """
    parts = glob(directory, "*.parquet")
    if not parts:
        raise StoreError(f"no table in {directory}: the run was pruned, or did not reach this stage")
    return parts


def count_rows(directory: Path) -> int:
    """Return how many rows a table has, from its parts' ends alone.

    Raises:
        StoreError: there is no part, or one is damaged.
    """
    try:
        return sum(_read_metadata(part).num_rows for part in list_parts(directory))
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"the table in {directory} is damaged: {error}") from error


def _read_metadata(part: Path) -> pq.FileMetaData:
    return pq.read_metadata(address(part), filesystem=filesystem(part))


def _read_part(part: Path, schema: pa.Schema, where: pc.Expression | None) -> pd.DataFrame:
    try:
        # `partitioning=None`: the hive column `run_id` of the path is not part of the schema.
        table = pq.read_table(
            address(part), filesystem=filesystem(part), schema=schema, filters=where, partitioning=None
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(f"{part} is not a table that this version reads: {error}") from error
    return _to_frame(table)


def _to_frame(table: pa.Table) -> pd.DataFrame:
    # Integers keep their type where a value is missing, instead of turning into floats.
    return table.to_pandas(types_mapper={pa.int32(): pd.Int32Dtype(), pa.uint8(): pd.UInt8Dtype()}.get)


# -- calibration -----------------------------------------------------------------------------------------------------

PLANTED = pa.schema(
    [
        pa.field("size", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("ssim", pa.float64()),
        pa.field("detail", pa.float64()),
    ]
)
"""One row a planted copy and thumbnail size: its score with its picture, null below the calibration's floor. `detail` is
its detail SSIM; where neither has structure, 1 if they differ by no more than the guard tolerates, else -1."""

UNPLANTED = pa.schema(
    [
        pa.field("size", pa.int32(), nullable=False),
        pa.field("path1", pa.string(), nullable=False),
        pa.field("path2", pa.string(), nullable=False),
        pa.field("ssim", pa.float64(), nullable=False),
        pa.field("detail", pa.float64(), nullable=False),
        pa.field("alike", pa.bool_(), nullable=False),
    ]
)
"""One row a pair of scores at or above the floor between two pictures of the folder or planted copies of them. `alike`: the
two pictures are probably duplicates that were there before; they count neither for nor against a setting."""

OUTCOMES = pa.schema(
    [
        pa.field("size", pa.int32(), nullable=False),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("min_detail_ssim", pa.float64(), nullable=False),
        pa.field("recall", pa.float64(), nullable=False),
        pa.field("false_pairs", pa.int32(), nullable=False),
        pa.field("close_pairs", pa.int32(), nullable=False),
    ]
)
"""One row a setting: the share of planted copies that it finds, the pairs of different pictures that it would match, and
those that it would match at a threshold lower by the calibration's margin."""

COSTS = pa.schema(
    [
        pa.field("size", pa.int32(), nullable=False),
        pa.field("prepare_seconds", pa.float64(), nullable=False),
        pa.field("join_seconds", pa.float64(), nullable=False),
        pa.field("images", pa.int32(), nullable=False),
        pa.field("pairs", pa.int64(), nullable=False),
    ]
)
"""One row a thumbnail size: CPU seconds to prepare `images` thumbnails, and to join their `pairs` at the floor."""
