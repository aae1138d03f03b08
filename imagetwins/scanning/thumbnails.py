"""Thumbnails of a run's images: as the run compared them, or decoded again from wherever the files are now."""

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.decoding.model import DecodeSettings
from imagetwins.errors import StoreError
from imagetwins.scanning.reading import decode_locations
from imagetwins.ssim.windows import restore_thumbnail
from imagetwins.storage import Location, parse_location, storage_of
from imagetwins.storage.location import from_columns, unescape_path
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LOADED
from imagetwins.store.tables import read_table

MAX_HELD = 256
"""Thumbnails held in memory: one kept image has many duplicates, and they follow each other."""

ThumbnailLoader = Callable[[int], NDArray[np.uint8]]
"""Returns the (size, size, 3) uint8 BGR thumbnail of an image, by its id in the run."""


def read_rows(run: Run) -> NDArray[np.int64]:
    """Return (images,) the rows of the cache that hold the images of `run`, -1 of those without one."""
    rows: NDArray[np.int64] = read_table(run.loaded, LOADED)["row"].to_numpy(np.int64)
    return rows


def cached_thumbnails(run: Run) -> ThumbnailLoader:
    """Return a loader of the thumbnails that `run`, which is at work, compares.

    Raises:
        StoreError: the run is not at work.
    """
    rows, pixels = read_rows(run), ssim.open_workspace(run.cache_directory()).pixels
    return lambda image: restore_thumbnail(pixels[rows[image]])


def read_square(location: Location, settings: DecodeSettings) -> NDArray[np.uint8] | None:
    """Return the picture at `location` as a (size, size, 3) uint8 BGR thumbnail, None if it cannot be read any more."""
    pixels = np.empty((1, settings.size, settings.size, 3), np.uint8)
    (decoded,) = decode_locations([location], settings, pixels)
    return None if decoded.error else pixels[0]


def decoded_thumbnails(find_file: Callable[[int], Location | None], settings: DecodeSettings) -> ThumbnailLoader:
    """Return a loader that decodes the file at `find_file(image)` again.

    The loader raises StoreError where there is no file, or none that can be read any more.
    """

    @functools.lru_cache(MAX_HELD)
    def load(image: int) -> NDArray[np.uint8]:
        found = find_file(image)
        thumbnail = None if found is None else read_square(found, settings)
        if thumbnail is None:
            raise StoreError(f"image {image} ({found}) can no longer be read. Run again on the folder as it is now.")
        return thumbnail

    return load


def find_file(images: pd.DataFrame, decisions: pd.DataFrame, image: int) -> Location | None:
    """Return where the file of `image` is now: where the run moved it, or where it was found; None if it is gone."""
    path, raw = (images[name].iat[image] for name in ("path", "path_bytes"))
    moved = decisions["NewPath"].iat[image]
    original = from_columns(path, raw)
    moved_to = unescape_path(moved) if isinstance(raw, bytes) else parse_location(moved)
    candidates = [original] if moved == path else [moved_to, original]
    return next((one for one in candidates if storage_of(one).stat(one) is not None), None)
