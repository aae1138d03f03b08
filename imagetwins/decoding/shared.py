"""The memory through which a decoder process gives pixels to its parent, and which of them the parent resizes.

OpenCV's general path of INTER_AREA has a twin to the bit that takes a sixth of its time, but needs numba
(`imagetwins.ssim.area`): loading that takes a decoder process longer than resizing some hundred photos with OpenCV. Its
parent has it loaded. So a picture that is to be resized on that path, and is not large, is handed over as it was decoded.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

AHEAD = 2
"""Requests that a decoder process is sent before it has answered the first: it never waits for its parent between two files."""

SLOT_BYTES = 8 << 20
"""Room for the pixels of one answer: a thumbnail of any size, or a picture of up to 2.8 megapixels in colour."""

SHARED_BYTES = AHEAD * SLOT_BYTES

LEAST_SIDE = 16
"""Pictures with a shorter side are never left to the parent."""

Shrink = Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]
"""Writes to a (size, size, 3) uint8 array what OpenCV's INTER_AREA makes of (h, w) or (h, w, 3) uint8 pixels.

Called only with what `shrinks_generally`; two may be called at once.
"""

_PROBE_SIZE = 40


def shrinks_generally(shape: tuple[int, ...], size: int) -> bool:
    """Whether OpenCV resizes pixels of this shape to a square of `size` by area on its general path.

    That is where no side grows and not both are divided by a whole number.
    """
    sides = shape[:2]
    return min(sides) >= max(size, LEAST_SIDE) and any(side % size for side in sides)


def slot_of(memory: NDArray[np.uint8], offset: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the part of `memory` at `offset` as an array of this shape.

    Raises:
        ValueError: it does not fit in a slot.
    """
    length = int(np.prod(shape))
    if length > SLOT_BYTES:
        raise ValueError(f"{shape}: more than the {SLOT_BYTES} bytes of a slot")
    return memory[offset : offset + length].reshape(shape)


def probe(shrink: Shrink) -> str:
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
