"""The pictures of a report: a run's thumbnails, as small as it takes to keep the page below 20 MB."""

import base64
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from imagetwins.progress import Progress, counted, no_progress
from imagetwins.scanning.thumbnails import Missing, RunThumbnails
from imagetwins.settings import count_cores

PICTURE_BUDGET = 15_000_000
"""Bytes of base64 that the pictures of a page may take; what is left of 20 MB holds 10,000 duplicates' names and scores."""


class PictureSize(NamedTuple):
    """How pictures are stored where there are no more than `up_to`: square, as compared; the page stretches them."""

    up_to: float
    side: int
    quality: int


PICTURE_SIZES = (
    PictureSize(400, 256, 85),
    PictureSize(2_000, 160, 75),
    PictureSize(3_000, 128, 75),
    PictureSize(5_000, 96, 75),
    PictureSize(8_000, 72, 75),
    PictureSize(12_500, 56, 75),
    PictureSize(math.inf, 48, 70),
)
"""So many photographs fit into the budget. JPEG is a third larger than WebP, and encoded in a thirtieth of the time."""

READ_AT_ONCE = 32
"""Thumbnails that a thread has in memory."""

_MARKER, _SCAN, _COMMENT = 0xFF, 0xDA, 0xFE
"""What a segment of a JPEG begins with, and the second byte of two kinds (ITU-T T.81, table B.1)."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a page.

    Attributes:
        header: what all of them begin with, in base64.
        encoded: the rest of each.
        of_image: by image, the position of its picture in `encoded`, or why it has none. Images are left out, the last ones
            first, where their pictures would take more than the budget.
    """

    header: str
    encoded: list[str]
    of_image: dict[int, int | Missing]


def collect_pictures(thumbnails: RunThumbnails, images: Sequence[int], progress: Progress = no_progress) -> Pictures:
    """Return the pictures of `images`, in that order, until the budget is spent. Those that look the same share one.

    `progress` is called with the pictures that are encoded, of all.
    """
    keys = {image: thumbnails.key(image) for image in images}
    first: dict[bytes | str, int] = {}
    for image, key in keys.items():
        first.setdefault(key, image)
    wanted = next(size for size in PICTURE_SIZES if len(first) <= size.up_to)
    writer = JpegWriter(min(wanted.side, thumbnails.size), wanted.quality)
    encoded: list[str] = []
    positions: dict[bytes | str, int | Missing] = {}
    left = PICTURE_BUDGET
    encoding = _iter_encoded(thumbnails, list(first.values()), writer)
    for key, picture in zip(counted(first, progress, len(first)), encoding, strict=False):
        if isinstance(picture, Missing):
            positions[key] = picture
            continue
        left -= len(picture)
        if left < 0:
            break
        positions[key] = len(encoded)
        encoded.append(picture)
    return Pictures(writer.header, encoded, {image: positions[key] for image, key in keys.items() if key in positions})


def _iter_encoded(thumbnails: RunThumbnails, images: Sequence[int], writer: "JpegWriter") -> Iterator[str | Missing]:
    """Yield the picture of each of `images`, or why there is none; no more are read than are soon asked for."""
    cores = count_cores()

    def encode(start: int) -> list[str | Missing]:
        loaded = thumbnails.load(images[start : start + READ_AT_ONCE])
        return [found if isinstance(found, Missing) else writer.encode(found) for found in loaded]

    ahead = 4 * cores * READ_AT_ONCE
    with ThreadPoolExecutor(cores) as pool:
        for start in range(0, len(images), ahead):
            for pictures in pool.map(encode, range(start, min(start + ahead, len(images)), READ_AT_ONCE)):
                yield from pictures


class JpegWriter:
    """Encodes pictures as JPEGs of one size, without what is the same in all of these: of a small one, a third.

    Attributes:
        header: in base64; followed by what `encode` returns, it is a JPEG in base64.
    """

    def __init__(self, side: int, quality: int) -> None:
        self._side = side
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._length = 0
        blank = self._write(np.zeros((side, side, 3), np.uint8)).tobytes()
        scan = _find_scan(blank)
        self._length = scan + 2 + _segment_length(blank, scan)
        # A comment makes it a multiple of three bytes: then the base64 of both parts can be joined.
        padding = -(self._length + 4) % 3
        comment = bytes([_MARKER, _COMMENT, 0, 2 + padding]) + bytes(padding)
        self.header = base64.b64encode(blank[:scan] + comment + blank[scan : self._length]).decode()

    def encode(self, thumbnail: NDArray[np.uint8]) -> str:
        """Return a (n, n, 3) uint8 BGR thumbnail as the rest of a JPEG, in base64."""
        return base64.b64encode(self._write(thumbnail)[self._length :].data).decode()

    def _write(self, thumbnail: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if len(thumbnail) != self._side:
            thumbnail = cv2.resize(thumbnail, (self._side, self._side), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        return np.asarray(cv2.imencode(".jpg", thumbnail, self._options)[1], np.uint8)


def _find_scan(jpeg: bytes) -> int:
    """Return where the segment begins that the pixels follow."""
    at = 2
    while jpeg[at + 1] != _SCAN:
        at += 2 + _segment_length(jpeg, at)
    return at


def _segment_length(jpeg: bytes, at: int) -> int:
    """Return the length of the segment at `at`, without its marker."""
    return int.from_bytes(jpeg[at + 2 : at + 4])
