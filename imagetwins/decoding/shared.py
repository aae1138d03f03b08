"""The memory through which a decoder process gives pixels to its parent, and which of them the parent resizes.

OpenCV's general path of INTER_AREA has a twin to the bit that takes a sixth of its time, but needs numba
(`imagetwins.ssim.area`): loading that takes a decoder process longer than resizing some hundred photos with OpenCV. Its
parent has it loaded. So a picture that is to be resized on that path is handed over as it was decoded, a large one in bands.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

AHEAD = 2
"""Requests that a decoder process is sent before it has answered the first: it never waits for its parent between two files."""

SLOT_BYTES = 8 << 20
"""Room for the pixels of one answer: a thumbnail of any size, or a band of a picture, all of one of 2.8 megapixels."""

SHARED_BYTES = AHEAD * SLOT_BYTES

LEAST_SIDE = 16
"""Pictures with a shorter side are never left to the parent."""


class Shrink(Protocol):
    """Resizes by area, to the bit as OpenCV does on its general path. Two calls may be made at once."""

    def __call__(
        self,
        pixels: NDArray[np.uint8],
        thumbnail_out: NDArray[np.uint8],
        height: int = 0,
        top: int = 0,
        rows: tuple[int, int] | None = None,
    ) -> None:
        """Write the rows from `rows[0]` to `rows[1]`, or all, of a (size, size, 3) uint8 thumbnail.

        `pixels` are (h, w) or (h, w, 3) uint8: of a picture of that `height` the rows from `top` on, or all of one.
        """

    def __hash__(self) -> int:
        """Whatever is probed once is a key."""


class Band(NamedTuple):
    """The rows `top` to `bottom` of a picture, which hold all that the rows `first` to `last` of its thumbnail cover."""

    top: int
    bottom: int
    first: int
    last: int


_PROBE_SIZE = 40


def plan_bands(shape: tuple[int, ...], size: int) -> list[Band]:
    """Return the bands in which a parent is handed 8-bit pixels of this shape, to resize them to a square of `size`.

    There are none if OpenCV does not resize them on its general path, for which no side grows and not both are divided by a whole
    number; and if a slot has no room for a few rows.
    """
    height, width = shape[:2]
    scale, room = height / size, SLOT_BYTES // (width * math.prod(shape[2:]))
    is_general = min(height, width) >= max(size, LEAST_SIDE) and (height % size or width % size)
    # Rows of the thumbnail to a band, which covers one row more than it needs at either end; LEAST_SIDE at least.
    count = int((room - LEAST_SIDE) / scale)
    if not is_general or count < 1:
        return []
    if height <= room:
        return [Band(0, height, 0, size)]
    bands = []
    for first in range(0, size, count):
        last = min(first + count, size)
        bottom = min(max(int(last * scale) + 2, LEAST_SIDE), height)
        bands.append(Band(max(min(int(first * scale) - 1, bottom - LEAST_SIDE), 0), bottom, first, last))
    return bands


def slot_of(memory: NDArray[np.uint8], offset: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the part of `memory` at `offset` as an array of this shape.

    Raises:
        ValueError: it does not fit in a slot.
    """
    length = math.prod(shape)
    if length > SLOT_BYTES:
        raise ValueError(f"{shape}: more than the {SLOT_BYTES} bytes of a slot")
    return memory[offset : offset + length].reshape(shape)


def probe(shrink: Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]) -> str:
    """Return what `shrink` makes of a picture on which any other way to compute the same would show, in hexadecimal.

    Most ways differ in the last bit of float32, as when products are not rounded before they are added. At this scale, 12
    to 5 in both directions, the exact means are multiples of 1/144: one of 144 lies midway between two whole numbers, where
    the last bit decides.
    """
    side = _PROBE_SIZE * 12 // 5
    noise = (np.arange(side * side * 3, dtype=np.uint32) * np.uint32(2654435761)) >> np.uint32(24)
    thumbnail = np.empty((_PROBE_SIZE, _PROBE_SIZE, 3), np.uint8)
    shrink(noise.astype(np.uint8).reshape(side, side, 3), thumbnail)
    return thumbnail.tobytes().hex()
