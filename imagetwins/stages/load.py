"""Stage 3: load the pictures that the cache does not know, resize them, and prepare them for the comparison."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import DECODED_FIELDS, Decoded, DecodeSettings
from imagetwins.progress import Progress, continued, no_progress, without_total
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.lookup import needs_decoding
from imagetwins.scanning.reading import MIN_BATCH, decode_locations, digest_locations
from imagetwins.storage import Location, storage_of
from imagetwins.storage.location import from_columns
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES, LOADED, LOOKUP
from imagetwins.store.tables import as_frame, read_table, write_table

CHUNK = 64
"""Pictures decoded before they are prepared: 64 thumbnails of 200 x 200 are 7.7 MB, which stay in the processor's cache."""

MAX_BATCHES = 200


class Batch(NamedTuple):
    """The images `start` to `stop`, of which `to_decode` must be decoded."""

    start: int
    stop: int
    to_decode: int


def plan_batches(run: Run, workers: int) -> list[Batch]:
    """Split the images into ranges with about as many to decode: enough to keep `workers` busy, at least one."""
    table = read_table(run.lookup, LOOKUP)
    to_decode = np.flatnonzero(needs_decoding(table))
    length = batch_length(len(to_decode), workers)
    starts = [0, *to_decode[::length][1:].tolist()]
    sizes = [min(length, len(to_decode) - length * number) for number in range(len(starts))]
    return list(map(Batch, starts, [*starts[1:], len(table)], sizes))


def batch_length(count: int, workers: int) -> int:
    """Return how many files to decode a batch has: batches few enough for Prefect, and enough for all workers."""
    return max(MIN_BATCH, -(-count // MAX_BATCHES), min(256, -(-count // (4 * workers))))


def load_images(
    run: Run, parameters: Parameters, start: int, stop: int, progress: Progress = no_progress
) -> dict[str, int]:
    """Load the images `start` to `stop` into the rows given to them; return how many there are, and how many are not compared."""
    part = f"part-{start:07d}.parquet"
    if storage_of(run.images).stat(run.images / part) is None:
        loaded = _load(run, parameters, start, stop, without_total(progress))
        # The images last: they say that the batch is done.
        write_table(loaded, LOADED, run.loaded / part)
        write_table(loaded, IMAGES, run.images / part)
    return count_images(read_table(run.images / part, IMAGES))


def count_images(images: pd.DataFrame) -> dict[str, int]:
    """Return how many `images` (`schemas.IMAGES`) there are, and how many are not compared: unreadable, of formats that are not read, too small."""
    codes = images["error_code"].value_counts()
    others = {"not_read": ReasonCode.FORMAT_NOT_READ, "too_small": ReasonCode.TOO_SMALL}
    counts = {name: int(codes.get(code, 0)) for name, code in others.items()}
    return {"images": len(images), "errors": int(images["error"].notna().sum()) - sum(counts.values())} | counts


def _load(run: Run, parameters: Parameters, start: int, stop: int, progress: Progress) -> pd.DataFrame:
    """Return `schemas.LOADED` of some images, once all that was prepared of them is on the disk."""
    cache = run.cache_directory()
    within = (pc.field("image") >= start) & (pc.field("image") < stop)
    table = read_table(run.lookup, LOOKUP, where=within)
    facts = {name: table[name].astype(object).where(table[name].notna(), None).tolist() for name in DECODED_FIELDS}
    to_decode = np.flatnonzero(needs_decoding(table))
    # The same memory for all chunks: new memory would have to be cleared by the system each time.
    thumbnails = np.empty((min(CHUNK, len(to_decode)), parameters.size, parameters.size, 3), np.uint8)
    with ssim.flushing(cache) as flush_behind:
        for first in range(0, len(to_decode), CHUNK):
            chunk = to_decode[first : first + CHUNK]
            files = table.iloc[chunk]
            locations = [from_columns(*names) for names in zip(files["path"], files["path_bytes"], strict=True)]
            loaded = load_files(
                cache,
                files["row"].to_numpy(),
                locations,
                parameters.decode_settings,
                thumbnails[: len(chunk)],
                continued(progress, first),
            )
            flush_behind()
            for position, decoded in zip(chunk, loaded, strict=True):
                for name in DECODED_FIELDS:
                    facts[name][position] = getattr(decoded, name)
    rows = np.where([error is None for error in facts["error"]], table["row"], -1)
    digests = ssim.open_workspace(cache).digests[rows]
    own = facts | {
        "row": rows,
        "thumbnail": [digest.tobytes() if row >= 0 else None for digest, row in zip(digests, rows, strict=True)],
    }
    loaded = as_frame({name: own.get(name, table.get(name)) for name in LOADED.names}, LOADED)
    return _mark_small(loaded, parameters.min_side)


def _mark_small(loaded: pd.DataFrame, min_side: int) -> pd.DataFrame:
    """Return `loaded` (`schemas.LOADED`) with an error for each picture whose shorter side has fewer than `min_side` pixels."""
    sides = loaded[["width_px", "height_px"]].min(axis=1)
    is_small = (sides < min_side).fillna(value=False) & loaded["error"].isna()
    reasons = [Reason.of(ReasonCode.TOO_SMALL, side=side, limit=min_side) for side in sides[is_small]]
    loaded.loc[is_small, "error"] = [str(reason) for reason in reasons]
    loaded.loc[is_small, "error_code"] = [reason.code.value for reason in reasons]
    return loaded


def load_files(
    cache: Path,
    rows: NDArray[np.int64],
    locations: Sequence[Location],
    settings: DecodeSettings,
    thumbnails: NDArray[np.uint8],
    progress: Progress = no_progress,
) -> list[Decoded]:
    """Decode some files, prepare their thumbnails in rows of a cache, and return what they are.

    Args:
        cache: the directory of the cache, see `ssim.create_workspace`.
        rows: (files,) int64.
        locations: where the files are, on disks or in buckets.
        settings: how thumbnails are made.
        thumbnails: (files, size, size, 3) uint8, C-contiguous, overwritten: the thumbnails of those that have no error.
        progress: called with the files that are decoded.
    """
    decoded = decode_locations(locations, settings, thumbnails, progress)
    is_image = np.array([one.error is None for one in decoded], bool)
    images = thumbnails if is_image.all() else thumbnails[is_image]
    ssim.prepare_images(cache, rows[is_image], images)
    structured = ssim.open_workspace(cache).structured[rows].astype(bool)
    return _add_pixels_digests(decoded, locations, is_image & ~structured)


def _add_pixels_digests(
    decoded: list[Decoded], locations: Sequence[Location], is_blank: NDArray[np.bool_]
) -> list[Decoded]:
    """Return `decoded` with the digests of all pixels of those pictures of which the thumbnail says too little."""
    needed = [
        index for index, one in enumerate(decoded) if is_blank[index] or (one.error is None and (one.frames or 1) > 1)
    ]
    digested = dict(zip(needed, digest_locations([locations[index] for index in needed]), strict=True))
    return [
        # The file may have been replaced in between.
        replace(one, pixels_digest=digested[index].pixels_digest)
        if index in digested and digested[index].error is None and digested[index].digest == one.digest
        else one
        for index, one in enumerate(decoded)
    ]
