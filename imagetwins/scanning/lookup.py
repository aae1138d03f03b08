"""Which listed files the cache knows already, and which rows the others get.

A file whose name, size, time and validator (ctime and inode, or ETag) are unchanged is not opened. One that is new by these,
but has the size of a known content, is read and hashed; whatever is left is decoded. Times are trusted as git trusts them:
only if they are older than the moment they were read, so that a later change cannot leave them as they are ("racy git").
"""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import DECODED_FIELDS
from imagetwins.errors import StoreError
from imagetwins.progress import Progress, counted, no_progress
from imagetwins.scanning.activity import lock_caches
from imagetwins.scanning.cache import Cache, Rows, file_names, find_rows_of_others, open_cache
from imagetwins.storage import storage_of
from imagetwins.storage.location import from_file_name
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES, LOOKUP
from imagetwins.store.tables import as_frame, read_table_if_any, write_table

RACY_WINDOW_NS = 2_000_000_000
"""A file that changed less than this before it was listed may change again without a trace; FAT's clock ticks every 2 s."""

CONTENTS = pa.schema([IMAGES.field("image"), IMAGES.field("digest")])

VERSION_COLUMNS = ["file", "size_bytes", "mtime_ns", "validator"]
"""What must be the same for a file not to be opened."""


def lookup_files(
    run: Run,
    listing: pd.DataFrame,
    parameters: Parameters,
    limit: int,
    workers: int,
    progress: Progress = no_progress,
) -> dict[str, int]:
    """Write `run.lookup`: what is known of each file, and rows for the others; return how many there are of each.

    Args:
        run: the run, which must be held (`activity.hold_run`).
        listing: `schemas.LISTING`.
        parameters: decide which cache is used.
        limit: bytes that the cache may take; a single run that needs more takes them.
        workers: files that are hashed at once.
        progress: called with the files that were hashed, of those that must be.

    Returns:
        "unchanged": files that were not opened; "cached": these and those that were found by their digest;
        "to_decode": those of which nothing is known.

    Raises:
        StoreError: the disk is too small for what must be prepared.
    """
    with lock_caches(run.home):
        known = open_cache(run, parameters).index
    listed = listing.assign(file=pd.Series(file_names(listing), dtype=object))
    known_versions = known.loc[known["validator"] != "", [*VERSION_COLUMNS, "digest"]]
    digest = listed[VERSION_COLUMNS].merge(known_versions, on=VERSION_COLUMNS, how="left")["digest"]
    digest = digest.where(listing["error"].isna(), None)
    unchanged = int(digest.notna().sum())
    digest = _hash_files(listed, digest, set(known["size_bytes"]), workers, progress)
    digest = digest.fillna(_read_earlier(run, len(listing)))
    with lock_caches(run.home):
        cache = open_cache(run, parameters)
        max_rows = limit // ssim.row_bytes(cache.size, with_pixels=parameters.keeps_pixels)
        table = _assign_rows(run, listing, digest, cache, max_rows)
        # What an earlier try of this run loaded is in the cache by now.
        for location in (run.loaded, run.images):
            storage_of(location).remove_tree(location)
        write_table(table, LOOKUP, run.lookup)
        run.lock.write_text(cache.directory.name, encoding="utf-8")
    counts = {"unchanged": unchanged, "cached": int(table["digest"].notna().sum())}
    return counts | {"to_decode": int(needs_decoding(table).sum())}


def _read_earlier(run: Run, count: int) -> pd.Series:
    """Return what the `count` files contained when an earlier try of `run` read them, null of others.

    One that is no longer where it was listed, that try has probably moved: it is the same picture still.
    """
    earlier = read_table_if_any(run.images, CONTENTS)
    digests: pd.Series = earlier.set_index("image")["digest"].astype(object).reindex(range(count))
    return digests


def needs_decoding(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which files of `schemas.LOOKUP` nothing is known of, and can be read."""
    return table["digest"].isna() & table["error"].isna()


def _hash_files(
    listed: pd.DataFrame, digest: pd.Series, sizes: set[int], workers: int, progress: Progress
) -> pd.Series:
    """Return `digest` with that of the files that may be known under another name, or with other times."""
    maybe = np.flatnonzero(digest.isna() & listed["error"].isna() & listed["size_bytes"].isin(sizes))
    with ThreadPoolExecutor(workers) as pool:
        hashing = pool.map(_hash_file, listed["file"].iloc[maybe], listed["size_bytes"].iloc[maybe])
        found = list(counted(hashing, progress, len(maybe)))
    hashed = digest.astype(object).copy()
    hashed.iloc[maybe] = found
    return hashed


def _hash_file(file: bytes, size_bytes: int) -> str | None:
    """Return the digest of a file; None if it cannot be read: the decoder will say why."""
    location = from_file_name(file)
    try:
        return storage_of(location).digest(location, size_bytes)
    except OSError:
        return None


def _assign_rows(run: Run, listing: pd.DataFrame, digest: pd.Series, cache: Cache, max_rows: int) -> pd.DataFrame:
    """Return `schemas.LOOKUP`: the row of each known content, and rows for what must be decoded."""
    facts = [name for name in DECODED_FIELDS if name != "error"]
    contents = cache.index.drop_duplicates("digest")[[*facts, "row"]]
    table = listing.assign(digest=digest).merge(contents, on="digest", how="left")
    missing = table["row"].isna()
    table["digest"] = table["digest"].where(~missing, None)
    row = table["row"].fillna(-1).to_numpy(np.int64, copy=True)
    new = np.flatnonzero(missing & listing["error"].isna())
    row[new] = _give_rows(run, cache, row[row >= 0], len(new), max_rows)
    return as_frame({name: table.assign(row=row)[name] for name in LOOKUP.names}, LOOKUP)


def _give_rows(run: Run, cache: Cache, own: Rows, count: int, max_rows: int) -> Rows:
    """Return `count` rows that nobody needs: free ones, then, above the limit, those that were used the longest ago.

    Args:
        run: the run that gets them.
        cache: where they are.
        own: rows that the run uses, and which are not given away.
        count: how many it needs.
        max_rows: how many the cache may have.

    Raises:
        StoreError: the disk is too small for them.
    """
    others = find_rows_of_others(run, cache.directory)
    last_use = cache.index.groupby("row")["used_ns"].max()
    taken = np.union1d(last_use.index.to_numpy(np.int64), others)
    excess = len(taken) + count - max_rows
    evicted = last_use.drop(np.intersect1d(last_use.index, np.union1d(own, others))).nsmallest(max(excess, 0)).index
    if len(evicted):
        # Before anything is written to their rows.
        Cache(cache.directory, cache.size, cache.index[~cache.index["row"].isin(evicted)]).write_index()
        taken = np.setdiff1d(taken, evicted)
    n_rows = ssim.count_rows(cache.directory, cache.size) or 0
    rows: Rows = np.setdiff1d(np.arange(len(taken) + count), taken)[:count]
    grown = max(int(rows.max(initial=-1)) + 1 - n_rows, 0) * ssim.working_row_bytes(cache.size)
    free = shutil.disk_usage(run.home).free
    if grown > free:
        raise StoreError(
            f"{count:,} pictures to prepare need {grown / 1e6:,.1f} MB in {run.home}, where {free / 1e6:,.1f} MB are free. "
            "Free some, choose another store, or a smaller size."
        )
    ssim.create_workspace(cache.directory, int(rows.max(initial=-1)) + 1, cache.size)
    return rows
