"""Make the thumbnail of one picture file.

OpenCV decodes what it can, Pillow the rest. `headers` tells the format by content, the dimensions before anything is decoded,
and the orientation, which OpenCV ignores when it is asked for alpha or 16 bits.

Decoders are C code: on a damaged file one may crash, hang, or write to the standard error. Files from anywhere are decoded
in `program`, a process of its own; call these functions directly only for files that it has decoded.
"""

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagetwins.decoding.formats import RAW, known_format
from imagetwins.decoding.headers import ORIENTATION, Header, check_size, count_pixels_of_pages, read_picture
from imagetwins.decoding.model import (
    MAX_BYTES,
    MAX_PIXELS,
    MIN_FRAME_PIXELS,
    Decoded,
    DecodeSettings,
    UndecodableError,
)
from imagetwins.decoding.pixels import Pixels, iter_blocks, lay_on_page, to_8_bits, to_canonical
from imagetwins.decoding.raw import develop

_IMREAD_FLAGS = {
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    1: cv2.IMREAD_UNCHANGED,
}
"""What OpenCV is asked for, by the factor by which the picture's sides are reduced; the largest factor first."""

LEAST_REDUCED = 2
"""A picture is not reduced while it is decoded to less than this many times its thumbnail."""

_PNG_BIT_DEPTH = 24
"""Offset of the bits a channel in a PNG: the ninth byte of its first chunk, IHDR."""

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


def to_thumbnail(pixels: Pixels, settings: DecodeSettings) -> Pixels:
    """Return displayed pixels resized to (size, size, 3) uint8 BGR; grey becomes three equal channels."""
    shape = (settings.size, settings.size)
    small = cv2.resize(pixels, shape, interpolation=_INTERPOLATION[settings.resampling])
    return cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small


def decode(
    path: Path,
    settings: DecodeSettings | None,
    reserve: Callable[[int], None] = lambda _bytes: None,
    finish: Callable[[Pixels, DecodeSettings], Pixels] = to_thumbnail,
) -> tuple[Decoded, Pixels | None]:
    """Return what the file `path` is, and its thumbnail, (size, size, 3) uint8 BGR, or None where there is an error.

    Without settings there is no thumbnail, but `Decoded.pixels_digest`. `reserve` is called with the bytes of memory that
    decoding will take, and returns when it may begin; `finish` makes the thumbnail of displayed pixels, or whatever else is
    to be returned in its place. Never raises for a bad file.
    """
    decoded, thumbnail = Decoded(), None
    try:
        content = read_content(path)
        decoded = replace(decoded, digest=hashlib.sha256(content).hexdigest())
        header, content = read_picture(content, path.suffix)
        decoded = _add_header(decoded, header)
        check_size(header)
        if settings is None:
            return replace(decoded, pixels_digest=digest_pixels(content, header, reserve)), None
        reduction = plan_reduction(header, settings)
        reserve(estimate_memory(header, reduction))
        pixels = to_displayed(decode_content(content, header, reduction), header)
        if header.format != RAW.name:
            height, width = (reduction * side for side in pixels.shape[:2])
            decoded = replace(decoded, width_px=width, height_px=height)
        thumbnail = finish(pixels, settings)
    except (UndecodableError, OSError, MemoryError, cv2.error) as error:
        return replace(decoded, error=_describe(error)), None
    return decoded, thumbnail


def _add_header(decoded: Decoded, header: Header) -> Decoded:
    """Return `decoded` with what the header says: its fields of the same names."""
    named = {field.name for field in fields(Decoded)}
    return replace(decoded, **{name: value for name, value in vars(header).items() if name in named})


def _describe(error: Exception) -> str:
    """Return one line on `error`, without the file's name: whoever shows it has that."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, cv2.error):
        return f"OpenCV: {error.err or error}"
    # Some libraries write paragraphs.
    return " ".join(str(error).split()) or type(error).__name__


def read_content(path: Path) -> bytes:
    """Return the bytes of the regular file `path`; of anything else nothing is read, nor is it waited for.

    Raises:
        UndecodableError: it is not a regular file, is empty or is larger than MAX_BYTES.
        OSError: it cannot be read.
    """
    # O_NONBLOCK: should a FIFO have taken the file's place since the listing, opening it must not wait for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UndecodableError("not a regular file")
        if status.st_size > MAX_BYTES:
            raise UndecodableError(f"{status.st_size} bytes, more than the {MAX_BYTES} that are read")
        content = file.readall()
    if not content:
        raise UndecodableError("empty file")
    return content


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
    if header.format != "JPEG" and not header.has_preview:
        # An AVIF is decoded in 18 bytes a pixel, colours in floating-point numbers in 24; 16-bit ones take 12, plain ones 6.
        return (24 if header.format == "TIFF" else 20) * pixels
    # Three channels, twice: OpenCV copies what it decoded. Of a progressive JPEG, libjpeg holds all coefficients as well,
    # 2 bytes each.
    return 6 * pixels // reduction**2 + (6 * pixels if header.is_progressive else 0)


def decode_content(content: bytes, header: Header, reduction: int = 1) -> NDArray[Any]:
    """Return the stored pixels of the first frame: (h, w) if grey, else (h, w, 3) BGR or (h, w, 4) BGRA, of any dtype.

    With a `reduction` other than 1, they are (h, w, 3) uint8 BGR, and h and w are the stored ones divided by it.

    Raises:
        UndecodableError: it is not decoded.
    """
    if header.format == RAW.name and not header.has_preview:
        return develop(content)
    if known_format(header.format).decoder == "pillow":
        return _decode_with_pillow(content, header.format)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), _IMREAD_FLAGS[reduction])
    if pixels is None:
        raise UndecodableError("damaged: OpenCV does not decode it")
    return pixels


_PILLOW_MODES = {"1": "L", "LA": "RGBA", "La": "RGBA", "RGBa": "RGBA"} | {
    mode: mode for mode in ("L", "I;16", "F", "RGB", "RGBA")
}
"""To what pixels of a mode of Pillow's are converted; RGB if it is another mode."""


def _decode_with_pillow(content: bytes, kind: str) -> NDArray[Any]:
    """Return what `decode_content` does, of a format that OpenCV does not know."""
    try:
        with Image.open(io.BytesIO(content), formats=(kind,)) as picture:
            # The fourth channel of a PSD may as well be a saved selection; its composite has white in place of nothing.
            mode = "RGB" if kind == "PSD" and picture.mode == "RGBA" else _PILLOW_MODES.get(picture.mode, "RGB")
            pixels = np.asarray(picture.convert(mode))
            # A JPEG that was made a JPEG XL is decoded as the JPEG, of which nobody has turned anything.
            turn = _ORIENTATIONS.get(picture.getexif().get(ORIENTATION, 1)) if getattr(picture, "jpeg", False) else None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged picture raises anything in Pillow's decoders
        # Behind the first sentence libjxl says how to build it.
        raise UndecodableError(f"damaged: {str(error).partition('. ')[0]}") from None
    swapped = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}.get(pixels.shape[2] if pixels.ndim == 3 else 1)
    stored = pixels if swapped is None else cv2.cvtColor(pixels, swapped)
    return turn(stored) if turn else stored


def to_displayed(pixels: NDArray[Any], header: Header) -> Pixels:
    """Return stored pixels as a viewer shows them, upright and without alpha.

    The page behind transparent pictures is white; black, if next to nothing that is drawn would be seen on white.
    The result is uint8, (h, w) if grey, else (h, w, 3) BGR.

    Raises:
        UndecodableError: which of their values are black and white is unknown: they are signed or 32-bit integers, or
            floating-point numbers out of range.
    """
    premultiplied = _is_premultiplied(pixels, header)
    pixels = to_8_bits(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = lay_on_page(pixels, premultiplied=premultiplied)
    return _turn(pixels, header)


def _is_premultiplied(pixels: NDArray[Any], header: Header) -> bool:
    """Whether the colours have been multiplied by alpha, so that different ones may have become the same.

    OpenCV has libtiff decode 8-bit TIFFs, which does that; all others are as stored.
    """
    return header.format == "TIFF" and pixels.dtype == np.uint8 and pixels.shape[2:] == (4,)


def _turn(pixels: NDArray[Any], header: Header) -> NDArray[Any]:
    # OpenCV turns TIFFs by itself, whatever it was asked for.
    turn = _ORIENTATIONS.get(header.orientation) if header.format != "TIFF" else None
    return turn(pixels) if turn else pixels


def digest_pixels(content: bytes, header: Header, reserve: Callable[[int], None]) -> str | None:
    """Return the SHA-256, in hexadecimal, of all that a file shows: two files that have the same show the same.

    That is every pixel of every frame or page as displayed, in full depth and with alpha, and how long each frame is shown.
    Grey, BGR and BGRA pixels that are the same have the same digest, as have 8 bits and 16 bits.

    Returns:
        None where the pixels cannot be known exactly, or are too many: all frames together count as one picture.
    """
    shown = _read_frames(content, header, reserve)
    if shown is None:
        return None
    digest = hashlib.sha256()
    for pixels, duration in shown:
        same = to_canonical(pixels)
        digest.update(repr((same.shape, same.dtype.str, duration)).encode())
        for block in iter_blocks(same):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


Frames = Iterable[tuple[NDArray[Any], float]]
"""The pixels of every frame or page as displayed, BGR(A) or grey, each with its duration in ms, 0 if it stays."""


def _read_frames(content: bytes, header: Header, reserve: Callable[[int], None]) -> Frames | None:
    """Return all that a file shows; None where `digest_pixels` returns that."""
    if known_format(header.format).decoder != "opencv":
        # Decoded to 8 bits although there may be more, or without what the file has beside its picture.
        return None
    if header.frames == 1:
        reserve(estimate_memory(header, 1))
        pixels = decode_content(content, header)
        return None if _is_premultiplied(pixels, header) else [(_turn(pixels, header), 0)]
    if header.format == "TIFF":
        return _read_pages(content, header, reserve)
    # What is animated is decoded by Pillow, to 8 bits.
    has_8_bits = header.format in {"GIF", "WEBP"} or (header.format == "PNG" and content[_PNG_BIT_DEPTH] <= 8)
    if not has_8_bits or header.frames * max(header.width_px * header.height_px, MIN_FRAME_PIXELS) > MAX_PIXELS:
        return None
    reserve(estimate_memory(header, 1))
    return _iter_animation(content, header)


def _read_pages(content: bytes, header: Header, reserve: Callable[[int], None]) -> Frames | None:
    """Return the pages of a TIFF, and None where `digest_pixels` returns that."""
    count = count_pixels_of_pages(content)
    if count > MAX_PIXELS:
        return None
    reserve(24 * count)
    complete, pages = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if not complete or len(pages) != header.frames or any(_is_premultiplied(page, header) for page in pages):
        return None
    # Whether OpenCV turns all pages is not known: those that are turned differently shall not be the same.
    return [(page, header.orientation) for page in pages]


def _iter_animation(content: bytes, header: Header) -> Frames:
    """Yield the frames of a GIF, a WebP or a PNG.

    Raises:
        UndecodableError: one is damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=(header.format,)) as picture:
            for frame in range(header.frames):
                picture.seek(frame)
                pixels = cv2.cvtColor(np.asarray(picture.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
                yield _turn(pixels, header), float(picture.info.get("duration") or 0)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged frame raises anything in Pillow's decoders
        raise UndecodableError(f"damaged: {error}") from None
