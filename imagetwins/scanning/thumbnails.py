"""Thumbnails of a run's images: as the run compared them, or decoded again from wherever the files are now."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import Decoded, DecodeSettings
from imagetwins.errors import StoreError
from imagetwins.scanning.cache import INDEX, find_caches
from imagetwins.scanning.reading import decode_locations
from imagetwins.ssim.windows import restore_channels
from imagetwins.storage import Location, Storage, parse_location, storage_of
from imagetwins.storage.location import from_columns, unescape_path
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LOADED, LOOKUP
from imagetwins.store.tables import read_table

MAX_HELD = 256
"""Thumbnails held in memory: one kept image has many duplicates, and they follow each other."""

ROWS = pa.schema([LOADED.field(name) for name in ("digest", "row", "thumbnail")])
"""The columns, of a cache's index too, that say where a thumbnail is."""

ThumbnailLoader = Callable[[int], NDArray[np.uint8]]
"""Returns the (size, size, 3) uint8 BGR thumbnail of an image, by its id in the run."""


def read_rows(run: Run) -> NDArray[np.int64]:
    """Return (images,) the rows of the cache that hold the images that `run` compares, -1 of the others."""
    loaded = read_table(run.loaded, LOADED)
    rows: NDArray[np.int64] = loaded["row"].where(loaded["error"].isna(), -1).to_numpy(np.int64)
    return rows


def cached_thumbnails(run: Run) -> ThumbnailLoader:
    """Return a loader of the thumbnails that `run`, which is at work, compares, as views of their channels one after the other.

    Raises:
        StoreError: the run is not at work.
    """
    # Opened once: to open it looks at each of its files.
    rows, source, workspace = read_rows(run), pixel_source(run), ssim.open_workspace(run.cache_directory())

    def load(image: int) -> NDArray[np.uint8]:
        ssim.restore_pixels(workspace, rows[image : image + 1], source)
        return restore_channels(workspace.pixels[rows[image]]).transpose(1, 2, 0)

    return load


def pixel_source(run: Run) -> ssim.PixelSource:
    """Return a function that decodes the files of `run`, by their rows in the cache, for pixels that this does not keep."""

    @functools.cache
    def find_files() -> tuple[dict[int, Location], DecodeSettings]:
        table = read_table(run.lookup, LOOKUP).drop_duplicates("row")
        names = zip(table["path"], table["path_bytes"], strict=True)
        files = dict(zip(table["row"].tolist(), (from_columns(*both) for both in names), strict=True))
        return files, run.read_record().parameters.decode_settings

    def load(rows: Sequence[int]) -> list[NDArray[np.uint8] | None]:
        files, settings = find_files()
        decoded = _iter_decoded({row: files[row] for row in rows}, settings)
        found = {row: None if facts.error else thumbnail for row, facts, thumbnail in decoded}
        return [found[row] for row in rows]

    return load


def _iter_decoded(
    files: Mapping[int, Location], settings: DecodeSettings
) -> Iterator[tuple[int, Decoded, NDArray[np.uint8]]]:
    """Yield what is at each of `files`, by their keys, with the (size, size, 3) uint8 BGR thumbnail; by storages."""
    by_storage: dict[Storage, dict[int, Location]] = {}
    for key, file in files.items():
        by_storage.setdefault(storage_of(file), {})[key] = file
    for some in by_storage.values():
        pixels = np.empty((len(some), settings.size, settings.size, 3), np.uint8)
        yield from zip(some, decode_locations(list(some.values()), settings, pixels), pixels, strict=True)


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


class FilePlaces:
    """Where the files of a run's images are, by the run's tables `schemas.IMAGES` and `schemas.DECISIONS`.

    A name is what the tables show; a location can be asked for.
    """

    def __init__(self, images: pd.DataFrame, decisions: pd.DataFrame) -> None:
        columns = images["path"], images["path_bytes"], decisions["NewPath"]
        self._original, self._raw, self._left = (column.tolist() for column in columns)

    def original_name(self, image: int) -> str:
        """Return where the file of `image` was found."""
        return cast("str", self._original[image])

    def left_name(self, image: int) -> str:
        """Return where the run left the file of `image`."""
        return cast("str", self._left[image])

    def find_name(self, image: int) -> str | None:
        """Return where the file of `image` is now: where the run left it, or where it was found; None if it is gone."""
        for name in dict.fromkeys([self.left_name(image), self.original_name(image)]):
            location = self.locate(image, name)
            if storage_of(location).stat(location) is not None:
                return name
        return None

    def locate(self, image: int, name: str) -> Location:
        """Return the location that `name`, one of those of `image`, means."""
        if name == self._original[image]:
            return from_columns(name, self._raw[image])
        return parse_location(name) if self.is_plain(image) else unescape_path(name)

    def is_plain(self, image: int) -> bool:
        """Whether the name of `image` is valid UTF-8, and so its location's."""
        return not isinstance(self._raw[image], bytes)


class Missing(StrEnum):
    """Why there is no thumbnail of an image any more, in the words that pages show."""

    GONE = "no longer there"
    CHANGED = "changed since"
    UNREADABLE = "no longer readable"


class RunThumbnails:
    """The thumbnails that a run compared: from the cache, where that has them still, else decoded again.

    Both are found by the digest of a file's content, so they are what was compared, or there are none. A run at work has all
    its thumbnails in the cache; of an older run, or one that acts on an older run's scores, some may be gone.
    """

    def __init__(self, run: Run, parameters: Parameters, images: pd.DataFrame, decisions: pd.DataFrame) -> None:
        self.places = FilePlaces(images, decisions)
        self._settings = parameters.decode_settings
        self._digests = images["digest"].tolist()
        self._stored = _find_stored(run, parameters)

    @property
    def size(self) -> int:
        """Their side, in pixels."""
        return self._settings.size

    @functools.cached_property
    def _twins(self) -> dict[str, list[int]]:
        """The images of each content."""
        twins: dict[str, list[int]] = {}
        for image, digest in enumerate(self._digests):
            twins.setdefault(digest, []).append(image)
        return twins

    def key(self, image: int) -> bytes | str:
        """Return what images with the same thumbnail have in common, as far as that is known without decoding."""
        digest: str = self._digests[image]
        stored = self._stored.get(digest)
        return stored.thumbnail if stored else digest

    def load(self, images: Sequence[int]) -> list[NDArray[np.uint8] | Missing]:
        """Return the (size, size, 3) uint8 BGR thumbnail of each of `images`, or why there is none."""
        found: dict[int, NDArray[np.uint8] | Missing] = dict(self._read_stored(images))
        found |= self._decode([image for image in images if image not in found])
        return [found[image] for image in images]

    def _read_stored(self, images: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        by_directory: dict[Path, list[tuple[int, _Stored]]] = {}
        for image in images:
            if stored := self._stored.get(self._digests[image]):
                by_directory.setdefault(stored.directory, []).append((image, stored))
        for directory, members in by_directory.items():
            rows, digests = zip(*((stored.row, stored.thumbnail) for _, stored in members), strict=True)
            thumbnails = ssim.read_thumbnails(directory, self.size, rows, digests)
            for (image, _), thumbnail in zip(members, thumbnails, strict=True):
                if thumbnail is not None:
                    yield image, thumbnail

    def _decode(self, images: Sequence[int]) -> dict[int, NDArray[np.uint8] | Missing]:
        found: dict[int, NDArray[np.uint8] | Missing] = dict.fromkeys(images, Missing.GONE)
        files = {image: file for image in images if (file := self._find_content(image)) is not None}
        for image, facts, thumbnail in _iter_decoded(files, self._settings):
            is_same = facts.digest == self._digests[image]
            found[image] = Missing.UNREADABLE if facts.error else thumbnail if is_same else Missing.CHANGED
        return found

    def _find_content(self, image: int) -> Location | None:
        """Return a file that had the content of `image`: its own, or a copy's; None if all are gone."""
        for twin in dict.fromkeys([image, *self._twins[self._digests[image]]]):
            if (name := self.places.find_name(twin)) is not None:
                return self.places.locate(twin, name)
        return None


class _Stored(NamedTuple):
    """The row of a cache that holds a thumbnail, and the thumbnail's digest."""

    directory: Path
    row: int
    thumbnail: bytes


def _find_stored(run: Run, parameters: Parameters) -> dict[str, _Stored]:
    """Return where the thumbnails that `run` may have compared are, by the digest of the file."""
    if run.loaded.exists() and (own := run.cache):
        tables = [(own, run.loaded)]
    else:
        tables = [(directory, directory / INDEX) for directory in find_caches(run, parameters)]
    found: dict[str, _Stored] = {}
    for directory, location in tables:
        with suppress(StoreError, OSError):
            table = read_table(location, ROWS)
            rows = zip(table["digest"], table["row"].tolist(), table["thumbnail"], strict=True)
            found |= {digest: _Stored(directory, row, thumbnail) for digest, row, thumbnail in rows if row >= 0}
    return found
