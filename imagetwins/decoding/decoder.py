"""Make the thumbnail of one picture file.

OpenCV decodes. Pillow reads headers only: the format by content, the dimensions before anything is decoded, and the
orientation, which OpenCV ignores when it is asked for alpha or 16 bits.

Decoders are C code: on a damaged file one may crash, hang, or write to the standard error. Files from anywhere are decoded
in `program`, a process of its own; call these functions directly only for files that it has decoded.
"""

import hashlib
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imagetwins.decoding.formats import decoded_formats
from imagetwins.decoding.model import MAX_BYTES, MAX_PIXELS, Decoded, DecodeSettings

Pixels = NDArray[Any]
"""8-bit pixels, BGR or grey; OpenCV's own annotations know no element type."""

_IMREAD_FLAGS = {
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    1: cv2.IMREAD_UNCHANGED,
}
"""What OpenCV is asked for, by the factor by which the picture's sides are reduced; the largest factor first."""

LEAST_REDUCED = 2
"""A picture is not reduced while it is decoded to less than this many times its thumbnail."""

_INTERPOLATION = {"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}

_ORIENTATIONS: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""How stored pixels become what is displayed, by EXIF orientation (EXIF 2.32, tag 0x0112); 1 is as stored."""


@dataclass(frozen=True)
class Header:
    """What a picture's header says, before anything is decoded; dimensions as stored."""

    format: str
    width_px: int
    height_px: int
    orientation: int
    is_progressive: bool


class UndecodableError(Exception):
    """The file is no picture that can be compared; the message says why. It becomes the file's `Decoded.error`."""


def decode(
    path: Path, settings: DecodeSettings, reserve: Callable[[int], None] = lambda _bytes: None
) -> tuple[Decoded, Pixels | None]:
    """Return what the file `path` is, and its thumbnail, (size, size, 3) uint8 BGR, or None where there is an error.

    `reserve` is called with the bytes of memory that decoding will take, and returns when it may begin. Never raises for a
    bad file.
    """
    digest: str | None = None
    header: Header | None = None
    try:
        content = read_content(path)
        digest = hashlib.sha256(content).hexdigest()
        header = read_header(content)
        check_size(header)
        check_whole(content, header)
        reduction = plan_reduction(header, settings)
        reserve(estimate_memory(header, reduction))
        pixels = to_displayed(decode_content(content, reduction), header)
        height, width = (reduction * side for side in pixels.shape[:2])
        return Decoded(digest, width, height, header.format, None), to_thumbnail(pixels, settings)
    except (UndecodableError, OSError, MemoryError, cv2.error) as error:
        width, height = (header.width_px, header.height_px) if header else (None, None)
        return Decoded(digest, width, height, header.format if header else None, _describe(error)), None


def _describe(error: Exception) -> str:
    """Return one line on `error`, without the file's name: whoever shows it has that."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, cv2.error):
        return f"OpenCV: {error.err or error}"
    return str(error) or type(error).__name__


def read_content(path: Path) -> bytes:
    """Return the bytes of the regular file `path`; of anything else nothing is read, nor is it waited for.

    Raises:
        UndecodableError: it is not a regular file, is empty or is larger than MAX_BYTES.
        OSError: it cannot be read.
    """
    # O_NONBLOCK: should a FIFO have taken the file's place since the listing, opening it must not wait for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UndecodableError("not a regular file")
        if status.st_size > MAX_BYTES:
            raise UndecodableError(f"{status.st_size} bytes, more than the {MAX_BYTES} that are read")
        content = file.read()
    if not content:
        raise UndecodableError("empty file")
    return content


def read_header(content: bytes) -> Header:
    """Read the header of the picture whose file has this content.

    Raises:
        UndecodableError: its format is unknown, or its header is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=decoded_formats()) as picture:
            width, height = picture.size
            kind = str(picture.format).replace("MPO", "JPEG")
            is_progressive = "progressive" in picture.info
            # To look for EXIF behind the pixels of a PNG, Pillow would decode it.
            has_exif = kind != "PNG" or b"eXIf" in content
            orientation = picture.getexif().get(0x0112, 1) if has_exif else 1
    except UnidentifiedImageError:
        raise UndecodableError(f"not a picture of a known format: {', '.join(decoded_formats())}") from None
    except Exception as error:  # noqa: BLE001 - a damaged header raises anything in Pillow's parsers
        raise UndecodableError(f"damaged header: {error}") from None
    return Header(kind, width, height, orientation if orientation in _ORIENTATIONS else 1, is_progressive)


def check_size(header: Header) -> None:
    """Refuse a picture that would fill the memory: a small file can hold a very large picture.

    Raises:
        UndecodableError: it has more than MAX_PIXELS.
    """
    if header.width_px * header.height_px > MAX_PIXELS:
        size = f"{header.width_px} x {header.height_px}"
        raise UndecodableError(f"{size} pixels, more than the {MAX_PIXELS} that are decoded")


def check_whole(content: bytes, header: Header) -> None:
    """Refuse a truncated JPEG: OpenCV decodes its beginning without an error.

    Raises:
        UndecodableError: there is no end-of-image marker after the picture's data.
    """
    # In entropy-coded data FF is followed by 00 or a restart marker, so FF D9 ends a picture. One before the start of
    # scan belongs to the EXIF thumbnail; what follows the end may be anything.
    if header.format == "JPEG" and content.rfind(b"\xff\xd9", _scan_start(content)) < 0:
        raise UndecodableError("truncated: the JPEG breaks off before its end")


def _scan_start(content: bytes) -> int:
    """Return the offset of the start-of-scan marker of a JPEG, behind which its entropy-coded data are.

    The segments before it follow each other: FF, the marker, and the segment's length in two bytes, itself included.
    """
    offset = 2
    while offset + 4 <= len(content) and content[offset + 1] != 0xDA:
        offset += 1 if content[offset + 1] == 0xFF else 2 + int.from_bytes(content[offset + 2 : offset + 4])
    return offset


def plan_reduction(header: Header, settings: DecodeSettings) -> int:
    """Return the factor by which a picture's sides are reduced while it is decoded: 8, 4, 2, or 1 for not at all.

    libjpeg can leave out the high frequencies of each block of 8 x 8 pixels, which saves most of its work. A factor is used
    only if it divides both sides: otherwise the last pixel reaches beyond the edge, and the picture is stretched by as much.
    Reduced by 4, a picture of 4000 x 3000 scored 0.9997 with itself, one of 3997 x 2997 only 0.989
    (benchmarks/large_photos.py).
    """
    if (header.format, settings.decoding, settings.resampling) != ("JPEG", "reduced", "area"):
        return 1
    sides = (header.width_px, header.height_px)
    least = LEAST_REDUCED * settings.size
    fitting = (by for by in _IMREAD_FLAGS if all(side % by == 0 and side // by >= least for side in sides))
    return next(fitting, 1)


def estimate_memory(header: Header, reduction: int) -> int:
    """Return the bytes of memory that decoding takes at its peak, without the file's content.

    The bytes a pixel are measured ones, of the kind of picture that takes most in its format.
    """
    pixels = header.width_px * header.height_px
    if header.format != "JPEG":
        # Alpha is laid on white in 16 bytes a pixel, an AVIF is decoded in 18; 16-bit colours take 12, plain ones 6.
        return 20 * pixels
    # Three channels, twice: OpenCV copies what it decoded. Of a progressive JPEG, libjpeg holds all coefficients as well,
    # 2 bytes each.
    return 6 * pixels // reduction**2 + (6 * pixels if header.is_progressive else 0)


def decode_content(content: bytes, reduction: int = 1) -> NDArray[Any]:
    """Return the stored pixels of the first frame: (h, w) if grey, else (h, w, 3) BGR or (h, w, 4) BGRA, of any dtype.

    With a `reduction` other than 1, they are (h, w, 3) uint8 BGR, and h and w are the stored ones divided by it.

    Raises:
        UndecodableError: OpenCV does not decode it.
    """
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), _IMREAD_FLAGS[reduction])
    if pixels is None:
        raise UndecodableError("damaged: OpenCV does not decode it")
    return pixels


def to_displayed(pixels: NDArray[Any], header: Header) -> Pixels:
    """Return stored pixels as a viewer shows them on a white page, upright and without alpha.

    The result is uint8, (h, w) if grey, else (h, w, 3) BGR.

    Raises:
        UndecodableError: the pixels are floating-point or 32-bit numbers: which values are black and white is unknown.
    """
    # OpenCV has libtiff decode 8-bit TIFFs, which multiplies colours by alpha; all others are as stored.
    premultiplied = header.format == "TIFF" and pixels.dtype == np.uint8
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    if pixels.dtype != np.uint8:
        raise UndecodableError(f"pixels are {pixels.dtype}, only 8-bit and 16-bit ones are compared")
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = _on_white(pixels, premultiplied=premultiplied)
    # OpenCV turns TIFFs by itself, whatever it was asked for.
    turn = _ORIENTATIONS.get(header.orientation) if header.format != "TIFF" else None
    return turn(pixels) if turn else pixels


def _on_white(pixels: Pixels, *, premultiplied: bool) -> Pixels:
    """Composite (h, w, 4) BGRA pixels on white; `premultiplied`: their colours have been multiplied by alpha."""
    alpha = cv2.cvtColor(cv2.extractChannel(pixels, 3), cv2.COLOR_GRAY2BGR)
    colours = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR)
    if premultiplied:
        return cv2.add(colours, cv2.bitwise_not(alpha))
    return cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(colours), alpha, scale=1 / 255))


def to_thumbnail(pixels: Pixels, settings: DecodeSettings) -> Pixels:
    """Return displayed pixels resized to (size, size, 3) uint8 BGR; grey becomes three equal channels."""
    shape = (settings.size, settings.size)
    small = cv2.resize(pixels, shape, interpolation=_INTERPOLATION[settings.resampling])
    return cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small
