"""What a store keeps of pictures between runs: their thumbnails, prepared for comparing, in rows that later runs use again.

    store/cache/thumbnails-<settings>-<id>/    index.parquet and the arrays of imagetwins.ssim, shared by all runs
    store/cache/<run_id>/                      a run's lookup.parquet, loaded/*.parquet
    store/runs/<run_id>/lock                   held while the run is at work; names the cache it uses
    store/lock                                 held while rows are given away

All of it is in the store, or, if that is in a bucket, in a folder of this machine (`Storage.local_directory`).

A run writes only rows that its `lookup.parquet` gave to it, and no row of a run at work is given to another. The index says
that a row is filled only after it is on the disk. So whatever is deleted or truncated between two runs is found by the
sizes of the files, and made anew; if a run at work loses something, it ends with an error.

`lookup.py` finds known files, `eviction.py` ends a run's use of the cache and keeps it within its limit.
"""

import hashlib
import json
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import DECODER_VERSION
from imagetwins.errors import StoreError
from imagetwins.scanning.activity import iter_other_runs_at_work
from imagetwins.storage.location import to_file_name
from imagetwins.store.runs import Run
from imagetwins.store.schemas import CACHED, LOADED, LOOKUP
from imagetwins.store.tables import as_frame, read_table, write_table

INDEX = "index.parquet"

Rows = NDArray[np.int64]
"""Rows of a cache's arrays."""


@dataclass(frozen=True)
class Cache:
    """The directory of one cache, and its index (`schemas.CACHED`) in memory."""

    directory: Path
    size: int
    index: pd.DataFrame

    def write_index(self) -> None:
        """Replace the index on the disk by this one."""
        write_table(self.index, CACHED, self.directory / INDEX)


def describe_thumbnails(parameters: Parameters) -> dict[str, Any]:
    """Return all that a thumbnail depends on, and what is prepared of it, besides the file's content."""
    import cv2  # noqa: PLC0415 - only its version is needed

    return asdict(parameters.decode_settings) | {
        "decoder": DECODER_VERSION,
        "opencv": cv2.__version__,
        "format": ssim.WORKSPACE_VERSION,
    }


def open_cache(run: Run, parameters: Parameters) -> Cache:
    """Return the cache for `parameters`, or a new one; what runs that are no longer at work have loaded is put into it.

    To be called under `activity.lock_caches`.
    """
    name = name_cache(parameters)
    in_use = {other.cache for other in iter_other_runs_at_work(run)}
    for directory in find_caches(run, parameters):
        with suppress(StoreError):
            find_rows_of_others(run, directory)
            if ssim.count_rows(directory, parameters.size) is not None:
                return collect_loaded(run, Cache(directory, parameters.size, read_index(directory)))
        if directory not in in_use:
            shutil.rmtree(directory, ignore_errors=True)
    directory = run.home / "cache" / f"{name}-{uuid.uuid4().hex[:8]}"
    ssim.create_workspace(directory, 1, parameters.size)
    return Cache(directory, parameters.size, read_index(directory))


def name_cache(parameters: Parameters) -> str:
    """Return what the name of a cache for `parameters` begins with."""
    settings = json.dumps(describe_thumbnails(parameters), sort_keys=True)
    return f"thumbnails-{hashlib.blake2b(settings.encode(), digest_size=6).hexdigest()}"


def find_caches(run: Run, parameters: Parameters) -> list[Path]:
    """Return the caches for `parameters` in the store of `run`: one, unless it was in use when it was found to be damaged."""
    return sorted(run.home.glob(f"cache/{name_cache(parameters)}-*"))


def find_rows_of_others(run: Run, directory: Path) -> Rows:
    """Return the rows of a cache that other runs at work were given, sorted.

    Raises:
        StoreError: they cannot be known any more, because somebody removed a table of such a run.
    """
    others = [other for other in iter_other_runs_at_work(run) if other.cache == directory]
    rows = [_read(other.lookup, LOOKUP)["row"] for other in others]
    found: Rows = np.unique(np.concatenate([np.empty(0, np.int64), *rows]))
    return found[found >= 0]


def _read(location: Path, schema: pa.Schema) -> pd.DataFrame:
    try:
        return read_table(location, schema)
    except OSError as error:
        raise StoreError(f"{location} cannot be read: {error}") from error


def read_index(directory: Path) -> pd.DataFrame:
    """Return the index (`schemas.CACHED`) of a cache; an empty one if there is none that can be read."""
    with suppress(StoreError):
        return _read(directory / INDEX, CACHED)
    return as_frame({name: [] for name in CACHED.names}, CACHED)


def collect_loaded(run: Run, cache: Cache) -> Cache:
    """Put into the index what runs that are no longer at work, and `run` itself, have loaded; return the cache as it is then.

    Entries whose row does not hold the thumbnail they name are dropped.
    """
    at_work = set(iter_other_runs_at_work(run))
    with_rows = [Run(run.store, folder.parent.name) for folder in sorted(run.home.glob("cache/*/loaded"))]
    done = [other for other in with_rows if other not in at_work and other.cache == cache.directory]
    loaded = [_to_index(other) for other in done]
    # What is in the index has been merged already.
    index = _merge_entries(pd.concat([cache.index, *loaded], ignore_index=True)) if loaded else cache.index
    thumbnails = ssim.open_workspace(cache.directory).digests
    index = index[index["row"] < len(thumbnails)]
    found = thumbnails[index["row"].to_numpy(np.int64)]
    expected = np.frombuffer(b"".join(index["thumbnail"]), np.uint8).reshape(-1, ssim.DIGEST_BYTES)
    collected = Cache(cache.directory, cache.size, index[(found == expected).all(axis=1)].reset_index(drop=True))
    if loaded:
        collected.write_index()
    for other in done:
        # Its rows may be given away from now on.
        shutil.rmtree(other.loaded, ignore_errors=True)
    return collected


def _merge_entries(index: pd.DataFrame) -> pd.DataFrame:
    """Return the last entry of each file name, with one row for each content: the first that it had."""
    last = index.drop_duplicates("file", keep="last")
    first = index.drop_duplicates("digest").set_index("digest")
    content = first.loc[last["digest"], ["row", "thumbnail"]].reset_index(drop=True)
    return last.reset_index(drop=True).assign(row=content["row"], thumbnail=content["thumbnail"])


def _to_index(run: Run) -> pd.DataFrame:
    """Return what `run` has loaded as entries of the index."""
    loaded = []
    for part in sorted(run.loaded.glob("*.parquet")):
        with suppress(StoreError):
            loaded.append(_read(part, LOADED))
    if not loaded:
        return as_frame({name: [] for name in CACHED.names}, CACHED)
    found = pd.concat(loaded, ignore_index=True)
    found = found[found["row"] >= 0]
    columns = {
        "file": pa.array(file_names(found), pa.binary()),
        "validator": found["validator"].where(~found["is_racy"], ""),
        "used_ns": [time.time_ns()] * len(found),
    }
    return as_frame({name: columns.get(name, found.get(name)) for name in CACHED.names}, CACHED)


def file_names(table: pd.DataFrame) -> list[bytes]:
    """Return the bytes of the names in a table with the columns `path` and `path_bytes`."""
    if table["path_bytes"].isna().all():
        return list(map(str.encode, table["path"]))
    return [to_file_name(*names) for names in zip(table["path"], table["path_bytes"], strict=True)]
