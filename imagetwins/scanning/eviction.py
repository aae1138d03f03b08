"""The end of a run's use of the cache: what it loaded is kept, and all caches together stay within their limit."""

import shutil
from pathlib import Path

import numpy as np

from imagetwins import ssim
from imagetwins.errors import StoreError
from imagetwins.scanning.activity import iter_other_runs_at_work, lock_caches
from imagetwins.scanning.cache import Cache, collect_loaded, read_index
from imagetwins.settings import count_cores
from imagetwins.store.runs import Run


def release_run(run: Run, limit: int, *, keeps_pixels: bool = True) -> None:
    """Put what `run` has loaded into the cache, reduce all caches to `limit` bytes, and remove the run's workspace.

    The last run that uses a cache packs the pixels of all images in it or, unless it `keeps_pixels`, forgets them.
    """
    with lock_caches(run.home):
        directory = run.cache
        size = _thumbnail_size(directory) if directory else None
        if directory and size is not None:
            cache = collect_loaded(run, Cache(directory, size, read_index(directory)))
            in_use = {other.cache for other in iter_other_runs_at_work(run)}
            if directory not in in_use:
                ssim.settle_pixels(directory, keep=keeps_pixels, workers=count_cores())
            _remove_others(cache, in_use, limit)
            if directory not in in_use:
                _shrink(cache, limit // ssim.row_bytes(size, with_pixels=keeps_pixels))
        shutil.rmtree(run.workspace, ignore_errors=True)
        run.lock.unlink(missing_ok=True)


def _thumbnail_size(directory: Path) -> int | None:
    """Return the size of the thumbnails of a cache; None if it is not whole."""
    try:
        size: int = ssim.open_workspace(directory).size
    except (OSError, ValueError, KeyError, StoreError):
        return None
    return None if ssim.count_rows(directory, size) is None else size


def _taken_bytes(directory: Path) -> int:
    """Return the bytes that the arrays take: less than their length, since they have holes."""
    return sum(file.stat().st_blocks * 512 for file in directory.glob("*.bin"))


def _remove_others(cache: Cache, in_use: set[Path | None], limit: int) -> None:
    """Remove whole caches of other settings, the one whose last run is the longest ago first."""
    caches = [directory for directory in cache.directory.parent.glob("thumbnails-*") if directory != cache.directory]
    excess = _taken_bytes(cache.directory) + sum(map(_taken_bytes, caches)) - limit
    for directory in sorted(caches, key=lambda directory: directory.stat().st_mtime):
        if excess > 0 and directory not in in_use:
            excess -= _taken_bytes(directory)
            shutil.rmtree(directory, ignore_errors=True)


def _shrink(cache: Cache, limit: int) -> None:
    """Keep the `limit` rows that were used last."""
    n_rows = max(limit, 1)
    if (ssim.count_rows(cache.directory, cache.size) or 0) <= n_rows:
        return
    last_use = cache.index.groupby("row")["used_ns"].max().nlargest(n_rows)
    kept = np.sort(last_use.index.to_numpy(np.int64))
    source = kept[kept >= n_rows]
    target = np.setdiff1d(np.arange(n_rows), kept)[: len(source)]
    ssim.copy_rows(cache.directory, source, target)
    index = cache.index[cache.index["row"].isin(kept)]
    moved = index["row"].replace(dict(zip(source.tolist(), target.tolist(), strict=True)))
    Cache(cache.directory, cache.size, index.assign(row=moved)).write_index()
    ssim.truncate_workspace(cache.directory, n_rows)
