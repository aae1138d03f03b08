"""What a store remembers of pictures: their thumbnails, prepared for comparing, in rows that later runs use again.

    store/cache/thumbnails-<settings>-<id>/    index.parquet and the arrays of imagetwins.ssim, shared by all runs
    store/cache/<run_id>/                      a run's recalled.parquet, loaded/*.parquet
    store/runs/<run_id>/lock                   held while the run works; says which cache it uses
    store/lock                                 held while rows are given away

All of it is in the store, or, if that is in a bucket, in a folder of this machine (`store.local_home`).

A file whose name, size, times and inode are unchanged is not opened; one that is new here by these, but whose size is
that of a known content, is read and hashed; whatever is left is decoded. Times are trusted as git trusts them: only if they
are older than the moment they were read, so that a later change cannot leave them as they are.

A run writes only rows that its `recalled.parquet` gave to it, and no row of a run at work is given to another. The index says
that a row is filled only after it is on the disk. So whatever is deleted or cut short between two runs is found by the
sizes of the files, and made anew; what a run at work loses ends that run with an error.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding import program as decoder
from imagetwins.errors import StoreError
from imagetwins.ssim.windows import restore_thumbnail
from imagetwins.storage.location import is_remote, place_of, remove_tree
from imagetwins.storage.objects import digest_object
from imagetwins.store.runs import Run
from imagetwins.store.tables import CACHED, LOADED, RECALLED, as_frame, read_table, write_table

SETTLED_NS = 2_000_000_000
"""A file that changed less than this before it was listed may change again without a trace; FAT's clock ticks every 2 s."""

INDEX = "index.parquet"
UNCHANGED = ["file", "size_bytes", "mtime_ns", "ctime_ns", "inode"]
FOUND = ["digest", "width_px", "height_px", "format"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Cache:
    """One cache's directory, and its index (`tables.CACHED`) in memory."""

    directory: Path
    size: int
    index: pd.DataFrame

    @property
    def file(self) -> Path:
        return self.directory / INDEX

    def write(self) -> None:
        write_table(self.index, CACHED, self.file)


def describe_thumbnails(parameters: Parameters) -> dict[str, Any]:
    """Return all that a thumbnail depends on, and what is prepared of it, besides the file's content."""
    return asdict(parameters.decode_settings) | {
        "decoder": hashlib.blake2b(Path(decoder.__file__).read_bytes(), digest_size=8).hexdigest(),
        "opencv": cv2.__version__,
        "format": ssim.WORKSPACE_VERSION,
    }


# -- who is at work --------------------------------------------------------------------------------------------------


@contextmanager
def hold_run(run: Run) -> Iterator[None]:
    """Say that `run` is at work, as long as the context lasts: the kernel drops the lock with its holder."""
    run.lock.parent.mkdir(parents=True, exist_ok=True)
    with run.lock.open("a+b") as file:
        _lock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a+b") as file:
        _lock(file, fcntl.LOCK_EX)
        yield


def _lock(file: IO[bytes], kind: int) -> None:
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        raise StoreError(f"{file.name} cannot be locked: {error}. Put it on a file system with locks.") from None


def _others_at_work(run: Run) -> Iterator[Run]:
    for lock in sorted(run.home.glob("runs/*/lock")):
        other = Run(run.store, lock.parent.name)
        with suppress(FileNotFoundError), lock.open("rb") as file:
            if other.run_id != run.run_id:
                try:
                    _lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield other


def _rows_of_others(run: Run, directory: Path) -> Rows:
    """Return the rows of a cache that other runs at work were given.

    Raises:
        StoreError: it is not to be found out any more, because somebody removed a table of theirs.
    """
    rows = [_read(other.recalled, RECALLED)["row"] for other in _others_at_work(run) if other.cache == directory]
    found: Rows = np.unique(np.concatenate([np.empty(0, np.int64), *rows]))
    return found[found >= 0]


def _read(place: Path, schema: pa.Schema) -> pd.DataFrame:
    try:
        return read_table(place, schema)
    except OSError as error:
        raise StoreError(f"{place} cannot be read: {error}") from error


# -- recall ----------------------------------------------------------------------------------------------------------


def recall_files(run: Run, listing: pd.DataFrame, parameters: Parameters, limit: int, workers: int) -> dict[str, int]:
    """Write `run.recalled`: what is known of each file, and rows for the others; return how many there are of each.

    Args:
        run: the run, which must be held.
        listing: `tables.LISTING`.
        parameters: decide which cache is used.
        limit: bytes that the cache may take; a single run that needs more takes them.
        workers: files that are hashed at once.

    Raises:
        StoreError: the disk is too small for what must be prepared.
    """
    with _locked(run.home):
        known = _open(run, parameters).index
    listed = listing.assign(file=pd.Series(_file_names(listing), dtype=object))
    digest = listed[UNCHANGED].merge(known[[*UNCHANGED, "digest"]], on=UNCHANGED, how="left")["digest"]
    digest = digest.where(listing["error"].isna(), None)
    unchanged = int(digest.notna().sum())
    digest = _hash_files(listed, digest, set(known["size_bytes"]), workers)
    with _locked(run.home):
        cache = _open(run, parameters)
        recalled = _assign_rows(run, listing, digest, cache, limit)
        # What was loaded by an earlier try is in the cache by now.
        for place in (run.loaded, run.images):
            remove_tree(place)
        write_table(recalled, RECALLED, run.recalled)
        run.lock.write_text(cache.directory.name, encoding="utf-8")
    counts = {"unchanged": unchanged, "recalled": int(recalled["digest"].notna().sum())}
    return counts | {"to_decode": int((recalled["digest"].isna() & recalled["error"].isna()).sum())}


def _file_names(table: pd.DataFrame) -> list[bytes]:
    """Return the bytes of the names in a table that has the columns of `tables.path_columns`."""
    names = zip(table["path"], table["path_bytes"], strict=True)
    return [raw if isinstance(raw, bytes) else text.encode() for text, raw in names]


def _hash_files(listed: pd.DataFrame, digest: pd.Series, sizes: set[int], workers: int) -> pd.Series:
    """Return `digest` with that of the files that may be known under another name, or with other times."""
    maybe = np.flatnonzero(digest.isna() & listed["error"].isna() & listed["size_bytes"].isin(sizes))
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(_hash_file, listed["file"].iloc[maybe], listed["size_bytes"].iloc[maybe]))
    hashed = digest.astype(object).copy()
    hashed.iloc[maybe] = found
    return hashed


def _hash_file(file: bytes, size_bytes: int) -> str | None:
    place = place_of(os.fsdecode(file))
    try:
        if is_remote(place):
            return digest_object(place, size_bytes)
        return hashlib.sha256(decoder.read_content(place)).hexdigest()
    except (OSError, decoder.Undecodable):
        # The decoder will say what it is.
        return None


def _assign_rows(run: Run, listing: pd.DataFrame, digest: pd.Series, cache: Cache, limit: int) -> pd.DataFrame:
    contents = cache.index.drop_duplicates("digest")[[*FOUND, "row"]]
    recalled = listing.assign(digest=digest).merge(contents, on="digest", how="left")
    missing = recalled["row"].isna()
    recalled["digest"] = recalled["digest"].where(~missing, None)
    row = recalled["row"].fillna(-1).to_numpy(np.int64, copy=True)
    new = np.flatnonzero(missing & listing["error"].isna())
    row[new] = _give_rows(run, cache, row[row >= 0], len(new), limit)
    return as_frame({name: recalled.assign(row=row)[name] for name in RECALLED.names}, RECALLED)


def _give_rows(run: Run, cache: Cache, own: Rows, count: int, limit: int) -> Rows:
    """Return `count` rows that nobody needs: free ones, then, above the limit, those that were used the longest ago."""
    others = _rows_of_others(run, cache.directory)
    last_use = cache.index.groupby("row")["used_ns"].max()
    taken = np.union1d(last_use.index.to_numpy(np.int64), others)
    excess = len(taken) + count - limit // ssim.row_bytes(cache.size)
    evicted = last_use.drop(np.intersect1d(last_use.index, np.union1d(own, others))).nsmallest(max(excess, 0)).index
    if len(evicted):
        # Before anything is written to their rows.
        Cache(cache.directory, cache.size, cache.index[~cache.index["row"].isin(evicted)]).write()
        taken = np.setdiff1d(taken, evicted)
    n_rows = ssim.count_rows(cache.directory, cache.size) or 0
    rows: Rows = np.setdiff1d(np.arange(len(taken) + count), taken)[:count]
    grown = max(int(rows.max(initial=-1)) + 1 - n_rows, 0) * ssim.row_bytes(cache.size)
    free = shutil.disk_usage(run.home).free
    if grown > free:
        raise StoreError(
            f"{count:,} pictures to prepare need {grown / 1e9:.1f} GB in {run.home}, where {free / 1e9:.1f} GB are free. "
            "Free some, choose another store, or a smaller size."
        )
    ssim.create_workspace(cache.directory, int(rows.max(initial=-1)) + 1, cache.size)
    return rows


# -- the caches of a store -------------------------------------------------------------------------------------------


def _open(run: Run, parameters: Parameters) -> Cache:
    """Return the cache for `parameters`, with all that runs which are no longer at work put into it; or a new one."""
    settings = json.dumps(describe_thumbnails(parameters), sort_keys=True)
    name = f"thumbnails-{hashlib.blake2b(settings.encode(), digest_size=6).hexdigest()}"
    in_use = {other.cache for other in _others_at_work(run)}
    for directory in sorted(run.home.glob(f"cache/{name}-*")):
        with suppress(StoreError):
            _rows_of_others(run, directory)
            if ssim.count_rows(directory, parameters.size) is not None:
                return _collect(run, Cache(directory, parameters.size, _read_index(directory)))
        if directory not in in_use:
            shutil.rmtree(directory, ignore_errors=True)
    directory = run.home / "cache" / f"{name}-{uuid.uuid4().hex[:8]}"
    ssim.create_workspace(directory, 1, parameters.size)
    return Cache(directory, parameters.size, _read_index(directory))


def _read_index(directory: Path) -> pd.DataFrame:
    with suppress(StoreError):
        return _read(directory / INDEX, CACHED)
    return as_frame({name: [] for name in CACHED.names}, CACHED)


def _collect(run: Run, cache: Cache) -> Cache:
    """Put into the index what runs that are no longer at work, and `run` itself, have loaded."""
    at_work = set(_others_at_work(run))
    done = [other for other in _runs_with_rows(run) if other not in at_work and other.cache == cache.directory]
    loaded = [_as_cached(other) for other in done]
    index = _canonical(pd.concat([cache.index, *loaded], ignore_index=True))
    thumbnails = ssim.open_workspace(cache.directory).digests
    index = index[index["row"] < len(thumbnails)]
    found = thumbnails[index["row"].to_numpy(np.int64)]
    expected = np.frombuffer(b"".join(index["thumbnail"]), np.uint8).reshape(-1, ssim.DIGEST_BYTES)
    collected = Cache(cache.directory, cache.size, index[(found == expected).all(axis=1)].reset_index(drop=True))
    if loaded:
        collected.write()
    for other in done:
        # Its rows may be given away from now on.
        shutil.rmtree(other.loaded, ignore_errors=True)
    return collected


def _runs_with_rows(run: Run) -> list[Run]:
    return [Run(run.store, place.parent.name) for place in sorted(run.home.glob("cache/*/loaded"))]


def _canonical(index: pd.DataFrame) -> pd.DataFrame:
    """Return the index with its last entry of each file name, and one row for each content: the first it had."""
    last = index.drop_duplicates("file", keep="last")
    first = index.drop_duplicates("digest").set_index("digest")
    content = first.loc[last["digest"], ["row", "thumbnail"]].reset_index(drop=True)
    return last.reset_index(drop=True).assign(row=content["row"], thumbnail=content["thumbnail"])


def _as_cached(run: Run) -> pd.DataFrame:
    """Return what `run` has loaded as entries of the index."""
    loaded = []
    for part in sorted(run.loaded.glob("*.parquet")):
        with suppress(StoreError):
            loaded.append(_read(part, LOADED))
    if not loaded:
        return as_frame({name: [] for name in CACHED.names}, CACHED)
    found = pd.concat(loaded, ignore_index=True)
    found = found[found["row"] >= 0]
    inode = found["inode"].where(found["is_settled"], -1)
    columns = {
        "file": pa.array(_file_names(found), pa.binary()),
        "inode": inode,
        "used_ns": [time.time_ns()] * len(found),
    }
    return as_frame({name: columns.get(name, found.get(name)) for name in CACHED.names}, CACHED)


# -- the end of a run ------------------------------------------------------------------------------------------------


def release_run(run: Run, limit: int) -> None:
    """Put what `run` has loaded into the cache, cut all caches to `limit` bytes, and remove the run's workspace."""
    with _locked(run.home):
        directory = run.cache
        size = _size_of(directory) if directory else None
        if directory and size is not None:
            cache = _collect(run, Cache(directory, size, _read_index(directory)))
            in_use = {other.cache for other in _others_at_work(run)}
            _remove_others(cache, in_use, limit)
            if directory not in in_use:
                _shrink(cache, limit)
        shutil.rmtree(run.workspace, ignore_errors=True)
        run.lock.unlink(missing_ok=True)


def _size_of(directory: Path) -> int | None:
    """Return the size of the thumbnails of a cache; None if it is not whole."""
    try:
        size: int = ssim.open_workspace(directory).size
    except (OSError, ValueError, KeyError, StoreError):
        return None
    return None if ssim.count_rows(directory, size) is None else size


def _taken_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.glob("*.bin"))


def _remove_others(cache: Cache, in_use: set[Path | None], limit: int) -> None:
    """Remove whole caches of other settings, the one whose last run is the longest ago first."""
    caches = [directory for directory in cache.directory.parent.glob("thumbnails-*") if directory != cache.directory]
    excess = _taken_bytes(cache.directory) + sum(map(_taken_bytes, caches)) - limit
    for directory in sorted(caches, key=lambda directory: directory.stat().st_mtime):
        if excess > 0 and directory not in in_use:
            excess -= _taken_bytes(directory)
            shutil.rmtree(directory, ignore_errors=True)


def _shrink(cache: Cache, limit: int) -> None:
    """Keep the rows that were used last, as many as `limit` allows."""
    n_rows = max(limit // ssim.row_bytes(cache.size), 1)
    if (ssim.count_rows(cache.directory, cache.size) or 0) <= n_rows:
        return
    last_use = cache.index.groupby("row")["used_ns"].max().nlargest(n_rows)
    kept = np.sort(last_use.index.to_numpy(np.int64))
    source = kept[kept >= n_rows]
    target = np.setdiff1d(np.arange(n_rows), kept)[: len(source)]
    ssim.copy_rows(cache.directory, source, target)
    index = cache.index[cache.index["row"].isin(kept)]
    moved = index["row"].replace(dict(zip(source.tolist(), target.tolist(), strict=True)))
    Cache(cache.directory, cache.size, index.assign(row=moved)).write()
    ssim.truncate_workspace(cache.directory, n_rows)


# -- a run's pictures ------------------------------------------------------------------------------------------------


def read_rows(run: Run) -> Rows:
    """Return (images,) the rows of the cache that hold the images of `run`, -1 of those without one."""
    rows: Rows = read_table(run.loaded, LOADED)["row"].to_numpy(np.int64)
    return rows


def cached_thumbnails(run: Run) -> Callable[[int], NDArray[np.uint8]]:
    """Return a function from an image's id to its (size, size, 3) BGR thumbnail, as the run compared it."""
    rows, directory = read_rows(run), run.cache
    if directory is None:
        raise StoreError(f"run {run.run_id} has no cache: it is not at work")
    pixels = ssim.open_workspace(directory).pixels
    return lambda image: restore_thumbnail(pixels[rows[image]])
