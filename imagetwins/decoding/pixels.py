"""What stored pixels show: in 8 bits, on a page, and without what says nothing."""

import itertools
from collections.abc import Iterator
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from imagetwins.decoding.model import UndecodableError

Pixels = NDArray[Any]
"""8-bit pixels, BGR or grey; OpenCV's own annotations know no element type."""

OUTLIERS = 10_000
"""Of 16-bit values, one in so many is passed over when their depth is found: no more than a few pixels of a thumbnail show."""

SEEN_LEVELS = 32
"""A pixel is seen on white if it differs from white by so many levels in a channel."""

SEEN_SHARE = 0.1
"""The least share of what is drawn of a transparent picture, by opacity, that is to be seen on white; else the page is black.

A white glyph with a coloured dot shows the dot alone on white; a white window with text and a shadow shows more than a tenth.
"""


def to_8_bits(pixels: NDArray[Any]) -> Pixels:
    """Return pixels of any type as uint8 of the same shape.

    16-bit integers are scaled by the depth that they use (`find_depth`), alpha by its own; floating-point numbers from 0 to
    1 are multiplied by 255, those from 0 to 255 rounded.

    Raises:
        UndecodableError: they are of another type, or floating-point numbers out of range.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        has_alpha = pixels.ndim == 3 and pixels.shape[2] == 4
        levels = _scale(pixels, find_depth(pixels[..., :3] if has_alpha else pixels))
        if has_alpha:
            alpha = cv2.extractChannel(pixels, 3)
            levels = cv2.insertChannel(_scale(alpha, find_depth(alpha)), levels, 3)
        return levels
    if pixels.dtype.kind != "f":
        raise UndecodableError(f"pixels are {pixels.dtype}, only 8-bit, 16-bit and floating-point ones are compared")
    low, high = float(pixels.min()), float(pixels.max())
    # Not a number is in no range.
    if not (low >= 0 and high <= 255):
        raise UndecodableError(f"pixels from {low:g} to {high:g}: floating-point ones are compared from 0 to 1 or 255")
    return cv2.convertScaleAbs(pixels, alpha=255 if high <= 1 else 1)


def _scale(pixels: NDArray[Any], depth: int) -> Pixels:
    """Return pixels of `depth` bits as uint8; larger values are 255."""
    return cv2.convertScaleAbs(pixels, alpha=255 / ((1 << depth) - 1))


def find_depth(values: NDArray[Any]) -> int:
    """Return how many bits uint16 values use: 8, 10, 12, 14 or 16, the fewest that hold all but one value in OUTLIERS.

    Cameras, scanners and microscopes keep 10 and 12 bits in 16: taken for 16, they would be nearly black. Only depths that
    exist are tried, and a few hot pixels do not count, so that two copies of a scene are seldom scaled differently.
    """
    for depth, smaller in itertools.pairwise((16, 14, 12, 10, 8)):
        larger = sum(np.count_nonzero(block >> smaller) for block in iter_blocks(values))
        if larger * OUTLIERS > values.size:
            return depth
    return 8


def iter_blocks(pixels: NDArray[Any], *, like: NDArray[Any] | None = None) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array in pieces, of a megabyte or with as many rows as those of `like`.

    What is computed of a piece takes little memory.
    """
    rows = max(1, (1 << 20) // max((pixels if like is None else like)[0].nbytes, 1))
    return (pixels[start : start + rows] for start in range(0, len(pixels), rows))


def lay_on_page(pixels: Pixels, *, premultiplied: bool) -> Pixels:
    """Composite (h, w, 4) BGRA pixels on white or black; `premultiplied`: their colours have been multiplied by alpha."""
    page = np.empty((*pixels.shape[:2], 3), np.uint8)
    drawn = seen = 0
    for block, out in zip(iter_blocks(pixels), iter_blocks(page, like=pixels), strict=True):
        out[:] = _composite(block, page=255, premultiplied=premultiplied)
        alpha = block[..., 3]
        drawn += int(alpha.sum(dtype=np.int64))
        seen += int(alpha[out.min(axis=2) <= 255 - SEEN_LEVELS].sum(dtype=np.int64))
    if seen < SEEN_SHARE * drawn:
        for block, out in zip(iter_blocks(pixels), iter_blocks(page, like=pixels), strict=True):
            out[:] = _composite(block, page=0, premultiplied=premultiplied)
    return page


def _composite(pixels: Pixels, *, page: Literal[0, 255], premultiplied: bool) -> Pixels:
    alpha = cv2.cvtColor(cv2.extractChannel(pixels, 3), cv2.COLOR_GRAY2BGR)
    colours = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if premultiplied:
        return cv2.add(colours, cv2.bitwise_not(alpha)) if page else colours
    if page:
        return cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(colours), alpha, scale=1 / 255))
    return cv2.multiply(colours, alpha, scale=1 / 255)


def to_canonical(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels without what says nothing: (h, w, channels) of 1 to 4 channels, uint8 if that is enough for uint16."""
    found = pixels.reshape(*pixels.shape[:2], -1)
    if found.dtype == np.uint16 and all((block % 257 == 0).all() for block in iter_blocks(found)):
        found = cv2.convertScaleAbs(pixels, alpha=1 / 257).reshape(found.shape)
    opaque = np.iinfo(found.dtype).max if found.dtype.kind == "u" else 1
    if found.shape[2] == 4 and all((block[..., 3] == opaque).all() for block in iter_blocks(found)):
        found = found[..., :3]
    if found.shape[2] >= 3 and all((block[..., :3] == block[..., :1]).all() for block in iter_blocks(found)):
        found = found[..., [0, *range(3, found.shape[2])]]
    return found
