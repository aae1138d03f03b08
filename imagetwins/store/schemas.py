"""The Arrow schema of every table, in one place.

A table is a pandas DataFrame in memory and Parquet on disk; `tables.py` reads and writes it.
"""

from dataclasses import fields
from enum import StrEnum
from typing import Any

import pyarrow as pa

from imagetwins.decoding.model import Decoded


class Action(StrEnum):
    """What became of an image: the column `action` of `DECISIONS`."""

    KEPT = "kept"
    WOULD_MOVE = "would move"
    MOVED = "moved"
    NOT_MOVED = "not moved"
    REVIEW = "review"
    UNREADABLE = "unreadable"


LISTING = pa.schema(
    [
        pa.field("image", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        # Only where the name is not valid UTF-8: its bytes. `path` then shows them as \xNN.
        pa.field("path_bytes", pa.binary()),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("is_reference", pa.bool_(), nullable=False),
        # How many files belong to it, see COMPANIONS; null in tables of imagetwins 0.1.
        pa.field("companions", pa.int32()),
        # Why it is not compared, null if it is; and, where that is none of damage, one of `reasons.ReasonCode`.
        pa.field("error", pa.string()),
        pa.field("error_code", pa.string()),
        # What a change of the content changes besides size and time: ctime and inode of a file, the ETag of an object.
        pa.field("validator", pa.string(), nullable=False),
        # Changed so shortly before it was listed that another change may leave size, time and validator as they are.
        pa.field("is_racy", pa.bool_(), nullable=False),
    ]
)
"""One row a file, in listing order; `image` is its id in the run's tables, 0, 1, 2 ..."""

COMPANIONS = pa.schema(
    [
        *(LISTING.field(name) for name in ("image", "path", "path_bytes", "size_bytes", "mtime_ns")),
        pa.field("new_path", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
"""One row a file (`path`) that belongs to the picture `image`: a sidecar, a film, a raw file; several rows where it belongs to
several. `new_path` is `path` where it did not follow its picture; `reason` says why, if the picture moved."""

LINKS = pa.schema(
    [
        *(LISTING.field(name) for name in ("path", "path_bytes")),
        pa.field("says", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
    ]
)
"""One row a symbolic link (`path`) that led to a picture, or to what belongs to one, when the run listed it: the `path` of that is
`target`, what the link itself says `says`. A link that a person had changed before the run moved its files has none."""

_ARROW_TYPES: dict[Any, pa.DataType] = {str | None: pa.string(), int | None: pa.int32()}

_FOUND = [
    pa.field(field.name, _ARROW_TYPES[field.type]) for field in fields(Decoded) if field.name not in LISTING.names
]
"""What decoding a file found out about it: the fields of `decoding.model.Decoded`, but for the error."""

LOOKUP = pa.schema([*LISTING, *_FOUND, pa.field("row", pa.int64(), nullable=False)])
"""LISTING with what the cache knows of each file (`digest` is null where the file must be read) and the row of the cache that
holds, or is to hold, its thumbnail; -1 of a file that cannot be read."""

LOADED = pa.schema([*LOOKUP, pa.field("thumbnail", pa.binary())])
"""LOOKUP once all files have been read, with the digest of each thumbnail; `row` is -1 where there is none. What is too small to be
compared has an error, and its row all the same, which other runs may compare."""

CACHED = pa.schema(
    [
        pa.field("file", pa.binary(), nullable=False),
        *(LISTING.field(name) for name in ("size_bytes", "mtime_ns", "validator")),
        *_FOUND,
        pa.field("row", pa.int64(), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),
        pa.field("used_ns", pa.int64(), nullable=False),
    ]
)
"""The index of a cache: one row a file name, its bytes in `file`; `validator` is empty where the file was racy.
`thumbnail` is the digest of the thumbnail in `row`, `used_ns` the end of the last run that used it."""

IMAGES = pa.schema(
    [
        *(field for field in LISTING if field.name not in {"error", "error_code", "validator", "is_racy"}),
        *_FOUND,
        LISTING.field("error"),
        LISTING.field("error_code"),
    ]
)
"""LISTING with what decoding the file found out (`decoding.model.Decoded` says what each column holds), or the error.

Tables of older versions have no `error_code`. Runs of decoder 1 have no `frames`, `extras`, `taken` and `pixels_digest`, and those of
decoder 2 no `film_digest` and `exposure`, and of some pictures no `camera`."""

COMPARISONS = pa.schema(
    [
        pa.field("image1", pa.int32(), nullable=False),
        pa.field("image2", pa.int32(), nullable=False),
        pa.field("ssim", pa.float64(), nullable=False),
        pa.field("detail_ssim", pa.float64()),
        pa.field("local_ssim", pa.float64()),
        pa.field("peak_difference", pa.float64()),
        pa.field("colour_difference", pa.float64()),
        pa.field("max_difference", pa.uint8()),
        pa.field("orientation", pa.uint8()),
        pa.field("verified", pa.bool_(), nullable=False),
        pa.field("kernel_ssim", pa.float64()),
    ]
)
"""One row a stored pair, image1 < image2, each once. `detail_ssim` is null where neither thumbnail has structure in any
window; there, and only there, `max_difference` holds the largest difference of two pixels, 0..255. `local_ssim` is that of
the square of the pictures that differs most (imagetwins/ssim/local.py); engines before version 2 did not compute it.
`verified`: `ssim` is scikit-image's own number, to the last bit (imagetwins/ssim/reference.py), in place of `kernel_ssim`, which
is null elsewhere. `peak_difference` and `colour_difference` (imagetwins/ssim/peaks.py) are measured only of pairs that decide about
an image. `orientation`: image2 was compared as a viewer shows it that obeys this number of EXIF's, 1 to 8; all that is said of the
pair is said of image1 and image2 turned so. Tables of older versions have none, which is 1: as it is."""

VERIFIED = pa.schema(
    [
        COMPARISONS.field(name)
        for name in ("image1", "image2", "orientation", "ssim", "peak_difference", "colour_difference")
    ]
)
"""scikit-image's scores, and the differences, of pairs, known from an earlier run."""

DECISIONS = pa.schema(
    [
        pa.field("FullPath", pa.string(), nullable=False),
        pa.field("FileName", pa.string(), nullable=False),
        pa.field("Duplicate", pa.bool_(), nullable=False),
        pa.field("NewPath", pa.string(), nullable=False),
        pa.field("kept_path", pa.string()),
        pa.field("ssim", pa.float64()),
        pa.field("detail_ssim", pa.float64()),
        pa.field("local_ssim", pa.float64()),
        pa.field("action", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("image", pa.int32(), nullable=False),
        pa.field("kept_image", pa.int32()),
        pa.field("reason_code", pa.string()),
        pa.field("orientation", pa.uint8()),
    ]
)
"""One row an image. `NewPath` is `FullPath` where nothing moved. `orientation` is EXIF's number that turns the image to match
`kept_image`, null where that is null. Tables of older versions have none, which is 1: as it is. `action` is one of `Action`, `reason_code` one of
`reasons.ReasonCode`, which `reason` puts into words; runs of imagetwins 0.1 have no `reason_code`."""

NOT_DUPLICATES = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("digest1", "digest2", "path1", "path2")),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("decided", pa.string(), nullable=False),
        pa.field("who", pa.string(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("run_id", pa.string()),
    ]
)
"""One row a pair of pictures about which a person decided, see memory.py: what they are is their content, by its SHA-256, as in
IMAGES; the paths are where they lay, for people. `verdict` is one of `memory.Verdict`, `source` one of `memory.Source`; `decided`
is the time in UTC as in ISO 8601; `run_id` the run that had matched them, null where none did."""


# -- calibration -----------------------------------------------------------------------------------------------------

PLANTED = pa.schema(
    [
        pa.field("size", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("is_copy", pa.bool_(), nullable=False),
        pa.field("ssim", pa.float64()),
        pa.field("detail", pa.float64()),
        pa.field("local", pa.float64()),
    ]
)
"""One row a planted copy, or edit, and thumbnail size: its scores with its picture, null below the calibration's floor.
`detail` is its detail SSIM; where neither has structure, 1 if they differ by no more than `calibration.sweep.BLANK_TOLERANCE`,
else -1. `local` is its local SSIM."""

UNPLANTED = pa.schema(
    [
        pa.field("size", pa.int32(), nullable=False),
        pa.field("path1", pa.string(), nullable=False),
        pa.field("path2", pa.string(), nullable=False),
        pa.field("ssim", pa.float64(), nullable=False),
        pa.field("detail", pa.float64(), nullable=False),
        pa.field("local", pa.float64(), nullable=False),
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
        pa.field("min_local_ssim", pa.float64(), nullable=False),
        pa.field("recall", pa.float64(), nullable=False),
        pa.field("edits", pa.float64(), nullable=False),
        pa.field("false_pairs", pa.int32(), nullable=False),
        pa.field("close_pairs", pa.int32(), nullable=False),
    ]
)
"""One row a setting: the share of planted copies that it finds, the share of planted edits that it would match, the pairs
of different pictures that it would match, and those that it would match at a threshold lower by the calibration's margin."""

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
