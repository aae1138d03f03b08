"""Thumbnails of images of a past run, decoded again from wherever the files are now."""

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.decoding.model import DecodeSettings
from imagetwins.errors import StoreError
from imagetwins.scanning.reading import decode_locations
from imagetwins.storage.location import place_of
from imagetwins.store.tables import path_of

CACHED = 256
"""Thumbnails held in memory: one kept image has many duplicates, and they follow each other."""


def read_square(place: Path, settings: DecodeSettings) -> NDArray[np.uint8] | None:
    """Return the picture at `place` as a (size, size, 3) BGR thumbnail, None if it cannot be read any more."""
    pixels = np.empty((settings.size, settings.size, 3), np.uint8)
    decoded = decode_locations([place], settings, pixels[None])[0]
    return None if decoded.error else pixels


def thumbnail_reader(
    place: Callable[[int], Path | None], settings: DecodeSettings
) -> Callable[[int], NDArray[np.uint8]]:
    """Return a function from an image's id to the (size, size, 3) BGR thumbnail of the file at `place(id)`.

    The function raises StoreError where there is no file, or none that can be read any more.
    """

    @functools.lru_cache(CACHED)
    def read(image: int) -> NDArray[np.uint8]:
        found = place(image)
        thumbnail = None if found is None else read_square(found, settings)
        if thumbnail is None:
            raise StoreError(f"image {image} ({found}) can no longer be read. Run again on the folder as it is now.")
        return thumbnail

    return read


def find_place(images: pd.DataFrame, decisions: pd.DataFrame, image: int) -> Path | None:
    """Return where the file of `image` is now: where the run moved it, or where it was found; None if it is gone."""
    path, raw = (images[name].iat[image] for name in ("path", "path_bytes"))
    moved = decisions["NewPath"].iat[image]
    found = path_of(path, raw)
    places = [found] if moved == path else [_unescape(moved) if raw else place_of(moved), found]
    return next((place for place in places if place.is_file()), None)


def _unescape(name: str) -> Path:
    """Return the file whose name, not being UTF-8, a table shows as `name`, with \\xNN for its other bytes."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), name.encode())
    return Path(os.fsdecode(raw))
