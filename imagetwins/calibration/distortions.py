"""Copies of a picture as people make them, and edits: pictures that differ from it in one place, and are no copies.

Planted in the sample folder, and to calibrate a folder with known duplicates and known look-alikes.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from imagetwins.errors import ParameterError
from imagetwins.orientation import Orientations

Image = npt.NDArray[np.uint8]
"""A picture as OpenCV decodes it: shape (height, width, 3), blue, green, red, 0..255."""

Change = Callable[[Image, np.random.Generator], Image]
"""Returns a picture changed in one way; the generator decides where and how much."""

_CROPPED_SHARE = 0.02  # of each side: a screenshot taken a little too tight.
_MAX_ROTATION_DEG = 1.0  # a sheet laid not quite straight on the scanner.
_MIN_ROTATION_DEG = 0.3
_WATERMARK_OPACITY = 0.35


def plant_copy(image: Image, kind: str, rng: np.random.Generator) -> Image:
    """Return a copy of `image` changed in the way of `kind`, of KINDS or TURNS; `rng` decides where and how much.

    Raises:
        ParameterError: `kind` is unknown.
    """
    return _find_change(_CHANGES | _TURNS, "copy", kind)(image, rng)


def _find_change(changes: Mapping[str, Change], what: str, kind: str) -> Change:
    if kind not in changes:
        raise ParameterError(f"unknown kind of {what} {kind!r}. Known kinds: {', '.join(changes)}.")
    return changes[kind]


def _halved(image: Image, _rng: np.random.Generator) -> Image:
    return _resized(image, 0.5, cv2.INTER_AREA)


def _doubled(image: Image, _rng: np.random.Generator) -> Image:
    return _resized(image, 2.0, cv2.INTER_CUBIC)


def _resized(image: Image, factor: float, interpolation: int) -> Image:
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def _jpeg30(image: Image, _rng: np.random.Generator) -> Image:
    return _recompressed(image, 30)


def _jpeg60(image: Image, _rng: np.random.Generator) -> Image:
    return _recompressed(image, 60)


def _recompressed(image: Image, quality: int) -> Image:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _brightened(image: Image, _rng: np.random.Generator) -> Image:
    return np.asarray(cv2.convertScaleAbs(image, alpha=1.1, beta=12), np.uint8)


def _grey(image: Image, _rng: np.random.Generator) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def _cropped(image: Image, rng: np.random.Generator) -> Image:
    """Cut `_CROPPED_SHARE` off the height and the width, at random from one side or both."""
    height, width = image.shape[:2]
    cut_height, cut_width = round(height * _CROPPED_SHARE), round(width * _CROPPED_SHARE)
    top, left = rng.integers(cut_height + 1), rng.integers(cut_width + 1)
    return image[top : top + height - cut_height, left : left + width - cut_width].copy()


def _rotated(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    degrees = rng.choice([-1, 1]) * rng.uniform(_MIN_ROTATION_DEG, _MAX_ROTATION_DEG)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turned = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


def _watermarked(image: Image, rng: np.random.Generator) -> Image:
    """Write translucent white words with a dark edge across a random third of the picture."""
    height, width = image.shape[:2]
    origin = (round(width * rng.uniform(0.05, 0.3)), round(height * rng.uniform(0.3, 0.95)))
    written = _write(image, "SAMPLE COPY", origin, max(width / 500, 0.3))
    blended = cv2.addWeighted(written, _WATERMARK_OPACITY, image, 1 - _WATERMARK_OPACITY, 0)
    return np.asarray(blended, np.uint8)


def _write(
    image: Image, words: str, origin: tuple[int, int], scale: float, colour: tuple[int, int, int] = (255, 255, 255)
) -> Image:
    """Return the picture with words on it that have a dark edge; `origin` is their left end, on the line."""
    written = image.copy()
    for ink, thickness in (((40, 40, 40), 3), (colour, 1)):
        pen = max(1, round(thickness * scale * 2))
        cv2.putText(written, words, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, pen, cv2.LINE_AA)
    return written


_CHANGES: MappingProxyType[str, Change] = MappingProxyType(
    {
        "halved": _halved,
        "doubled": _doubled,
        "jpeg30": _jpeg30,
        "jpeg60": _jpeg60,
        "brightened": _brightened,
        "grey": _grey,
        "cropped": _cropped,
        "rotated": _rotated,
        "watermarked": _watermarked,
    }
)

KINDS = tuple(_CHANGES)
"""Every kind of copy that `plant_copy` makes, but for TURNS."""


# -- turned and mirrored copies --------------------------------------------------------------------------------------


def _turned(image: Image, rng: np.random.Generator) -> Image:
    """Turn the picture by 90, 180 or 270 degrees, as viewers do, and save it anew."""
    return _recompressed(np.rot90(image, int(rng.integers(1, 4))), 60)


def _mirrored(image: Image, rng: np.random.Generator) -> Image:
    """Mirror the picture left to right, as front cameras do, or top to bottom, and save it anew."""
    return _recompressed(np.flip(image, int(rng.integers(2))), 60)


_TURNS: MappingProxyType[str, Change] = MappingProxyType({"turned": _turned, "mirrored": _mirrored})

TURNS = tuple(_TURNS)
"""The kinds of copies that are found only where pictures are compared turned and mirrored, too: compressed as "jpeg60"."""


def kinds_to_plant(orientations: Orientations) -> tuple[str, ...]:
    """Return the kinds of copies that a calibration for `orientations` plants."""
    return KINDS if orientations == "same" else (*KINDS, *TURNS)


# -- edits -----------------------------------------------------------------------------------------------------------

_PATCH_SHARE = 0.12  # of each side: a face in a photograph of a few people.
_PATCHES_TRIED = 8
_ORANGE = (20, 140, 255)


def plant_edit(image: Image, kind: str, rng: np.random.Generator) -> Image:
    """Return `image` with one place changed in the way of `kind`, one of EDITS; `rng` decides where.

    Raises:
        ParameterError: `kind` is unknown.
    """
    return _find_change(_EDITS, "edit", kind)(image, rng)


def _patched(image: Image, rng: np.random.Generator) -> Image:
    """Put another part of the picture over one part: of some random ones, the two that differ most."""
    height, width = image.shape[:2]
    patch_height, patch_width = (max(1, round(side * _PATCH_SHARE)) for side in (height, width))
    corners = rng.integers(0, (height - patch_height + 1, width - patch_width + 1), (_PATCHES_TRIED, 2, 2))
    parts = [[np.s_[top : top + patch_height, left : left + patch_width] for top, left in pair] for pair in corners]
    there, here = max(parts, key=lambda pair: float(np.abs(image[pair[0]].astype(int) - image[pair[1]]).mean()))
    edited = image.copy()
    edited[here] = image[there]
    return edited


def _captioned(image: Image, rng: np.random.Generator) -> Image:
    """Write a line of text."""
    height, width = image.shape[:2]
    return _write(image, "another line of text", (width // 20, round(height * rng.uniform(0.2, 0.9))), width / 600)


def _stamped(image: Image, rng: np.random.Generator) -> Image:
    """Write a date into the lower right corner, as cameras did."""
    height, width = image.shape[:2]
    date = f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.{rng.integers(1995, 2025)}"
    return _write(image, date, (round(width * 0.6), round(height * 0.95)), width / 600, _ORANGE)


_EDITS: MappingProxyType[str, Change] = MappingProxyType(
    {"patched": _patched, "captioned": _captioned, "stamped": _stamped}
)

EDITS = tuple(_EDITS)
"""Every kind of edit that `plant_edit` makes."""
