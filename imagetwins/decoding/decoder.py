"""Make the thumbnail of one picture file.

OpenCV decodes. Pillow reads headers: the format by content, the dimensions before anything is decoded, and the
orientation, which OpenCV ignores when it is asked for alpha or 16 bits.

Decoders are C code: on a damaged file one may crash, hang, or write to the standard error. Files from anywhere are decoded
in `program`, a process of its own; call these functions directly only for files that it has decoded.
"""

import hashlib
import io
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from imagetwins.decoding.formats import FORMATS, RAW, decoded_formats, known_format
from imagetwins.decoding.jpeg import find_start, read_jpeg
from imagetwins.decoding.jxl import is_jxl, read_jxl_header
from imagetwins.decoding.model import (
    MAX_BYTES,
    MAX_FRAMES,
    MAX_PIXELS,
    MIN_FRAME_PIXELS,
    Decoded,
    DecodeSettings,
    UndecodableError,
)
from imagetwins.decoding.pixels import Pixels, iter_blocks, lay_on_page, to_8_bits, to_canonical
from imagetwins.decoding.raw import develop, import_library, read_raw

_IMREAD_FLAGS = {
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    1: cv2.IMREAD_UNCHANGED,
}
"""What OpenCV is asked for, by the factor by which the picture's sides are reduced; the largest factor first."""

LEAST_REDUCED = 2
"""A picture is not reduced while it is decoded to less than this many times its thumbnail."""

_ORIENTATION, _EXIF_DETAILS, _DATE_TIME_ORIGINAL, _SUBSEC_TIME_ORIGINAL = 0x0112, 0x8769, 0x9003, 0x9291
"""EXIF 2.32: tags, and the one that points to the details."""

_BIG_TIFF = (b"II+\0", b"MM\0+")
_TIFF = (b"II*\0", b"MM\0*", *_BIG_TIFF)

_NEW_SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH, _BITS_PER_SAMPLE, _SUB_IFDS, _DNG_VERSION = (
    254,
    256,
    257,
    258,
    330,
    50706,
)
"""TIFF 6.0 and its supplements, DNG 1.4: tags. The first's lowest bit says that a picture is a reduced version of another."""

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


@dataclass(frozen=True)
class Header:
    """What a picture's header says, before anything is decoded; dimensions as stored."""

    format: str
    width_px: int
    height_px: int
    orientation: int
    is_progressive: bool
    frames: int
    extras: int
    taken: str | None


_NO_HEADER = Header("", 0, 0, orientation=1, is_progressive=False, frames=1, extras=0, taken=None)


class _UnknownFormatError(UndecodableError):
    """The content is of no known format."""


class _InexactError(Exception):
    """Not all pixels of a file can be known exactly."""


def decode(
    path: Path, settings: DecodeSettings | None, reserve: Callable[[int], None] = lambda _bytes: None
) -> tuple[Decoded, Pixels | None]:
    """Return what the file `path` is, and its thumbnail, (size, size, 3) uint8 BGR, or None where there is an error.

    Without settings there is no thumbnail, but `Decoded.pixels_digest`. `reserve` is called with the bytes of memory that
    decoding will take, and returns when it may begin. Never raises for a bad file.
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
        thumbnail = to_thumbnail(pixels, settings)
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


def read_picture(content: bytes, suffix: str = "") -> tuple[Header, bytes]:
    """Return the header of the picture in a file's content, and what of it is decoded.

    That is the content itself, what `jpeg.read_jpeg` makes of a JPEG, or the preview in a camera's raw file. `suffix`, with
    its dot, is the file's: only by that are most raw files known.

    Raises:
        UndecodableError: its format is unknown, its header is damaged, or it is a JPEG that breaks off.
    """
    start = find_start(content)
    if suffix.lower() in RAW.suffixes or RAW.has_magic(content):
        return _read_raw(content)
    if start == 0:
        return _read_jpeg(content, 0)
    if is_jxl(content):
        return _read_jxl(content), content
    if content.startswith(_TIFF):
        return _read_tiff(content)
    try:
        return read_header(content), content
    except _UnknownFormatError:
        if start < 0:
            raise
        return _read_jpeg(content, start)


def _read_tiff(content: bytes) -> tuple[Header, bytes]:
    """Return what `read_picture` does of a TIFF, or of a raw file under the name of one.

    That is a DNG, or a file whose first picture is a smaller version of one inside it.
    """
    try:
        first = next(_iter_tiff_pages(content), {})
        is_raw = _DNG_VERSION in first or (first.get(_NEW_SUBFILE_TYPE, 0) & 1 == 1 and _SUB_IFDS in first)
        width, height = (int(first.get(tag, 0)) for tag in (_IMAGE_WIDTH, _IMAGE_LENGTH))
        bits = max(first.get(_BITS_PER_SAMPLE, (1,)))
    except Exception as error:  # noqa: BLE001 - a damaged header raises anything in Pillow's parsers
        raise UndecodableError(f"damaged header: {error}") from None
    if is_raw:
        return _read_raw(content)
    try:
        return read_header(content), content
    except _UnknownFormatError:
        # Of 64-bit colours nobody has measured the memory that they take.
        if not (width and height) or bits > 32:
            raise
    # Pillow knows no colours in floating-point numbers.
    try:
        pages = sum(1 for _ in _iter_tiff_pages(content))
    except Exception as error:  # noqa: BLE001 - as above
        raise UndecodableError(f"damaged header: {error}") from None
    return replace(_NO_HEADER, format="TIFF", width_px=width, height_px=height, frames=pages), content


def _iter_tiff_pages(content: bytes) -> Iterator[Mapping[int, Any]]:
    """Yield the tags of each page of a TIFF; they hold until the next page is asked for."""
    stream, seen = io.BytesIO(content), set()
    directory = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if content.startswith(_BIG_TIFF) else 8])
    while directory.next and directory.next not in seen:
        seen.add(directory.next)
        stream.seek(directory.next)
        directory.load(stream)
        yield directory


def _read_jpeg(content: bytes, start: int) -> tuple[Header, bytes]:
    jpeg = read_jpeg(content, start)
    return replace(read_header(jpeg.content), extras=jpeg.extras), jpeg.content


def _read_raw(content: bytes) -> tuple[Header, bytes]:
    """Return the header of a raw file, with the size of its picture as displayed, and its preview, itself if it has none."""
    raw = read_raw(content)
    kind = replace(
        _NO_HEADER, format=RAW.name, width_px=raw.width_px, height_px=raw.height_px, taken=_read_taken(raw.exif)
    )
    if raw.preview is None:
        return replace(kind, orientation=raw.orientation), content
    header, preview = _read_jpeg(raw.preview, 0)
    check_size(header)
    # A preview may be turned already. What it says itself of that is no evidence: LibRaw writes it.
    is_stored_alike = (header.width_px > header.height_px) == (raw.is_wide if raw.orientation < 5 else not raw.is_wide)
    turn = raw.orientation if is_stored_alike else 1
    return replace(kind, orientation=turn, taken=kind.taken or header.taken), preview


def _read_jxl(content: bytes) -> Header:
    _load_plugins(content)
    header = read_jxl_header(content)
    if header.is_animation:
        raise UndecodableError("an animated JPEG XL, of which Pillow's plugin tells no frames")
    exif = Image.Exif()
    with suppress(Exception):
        exif.load(b"Exif\0\0" + header.exif)
    return replace(
        _NO_HEADER,
        format="JXL",
        width_px=header.width_px,
        height_px=header.height_px,
        taken=_read_taken(exif),
    )


def read_header(content: bytes) -> Header:
    """Read the header of the picture whose file has this content, which is no raw file and no JPEG XL.

    Raises:
        UndecodableError: its format is unknown, or its header is damaged.
    """
    kinds = [known.name for known in FORMATS if known.decoder != "rawpy" and not known.plugin]
    try:
        with Image.open(io.BytesIO(content), formats=[*kinds, *_load_plugins(content)]) as picture:
            kind = str(picture.format).replace("MPO", "JPEG")
            # To look for EXIF behind the pixels of a PNG, Pillow would decode it.
            exif = picture.getexif() if kind != "PNG" or b"eXIf" in content else Image.Exif()
            orientation = exif.get(_ORIENTATION, 1)
            return Header(
                format=kind,
                width_px=picture.width,
                height_px=picture.height,
                # libheif turns by itself.
                orientation=orientation if orientation in _ORIENTATIONS and kind != "HEIF" else 1,
                is_progressive="progressive" in picture.info,
                frames=1 if kind in _ONE_PICTURE else min(getattr(picture, "n_frames", 1), MAX_FRAMES),
                extras=_count_extras(picture),
                taken=_read_taken(exif),
            )
    except UnidentifiedImageError:
        raise _UnknownFormatError(_describe_unknown(content)) from None
    except UndecodableError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged header raises anything in Pillow's parsers
        raise UndecodableError(f"damaged header: {error}") from None


_ONE_PICTURE = ("JPEG", "PSD")
"""Formats of which Pillow counts as frames what is beside the picture."""


def _count_extras(picture: Image.Image) -> int:
    """Return the layers of a PSD, and the gain maps and depth maps of a HEIF."""
    if picture.format == "PSD":
        return int(getattr(picture, "n_frames", 0))
    return sum(map(len, picture.info.get("aux", {}).values())) + len(picture.info.get("depth_images", ()))


def _load_plugins(content: bytes) -> list[str]:
    """Import what Pillow needs to know the format of `content`; return the formats that it knows by that."""
    found = [known for known in FORMATS if known.plugin and known.has_magic(content)]
    for known in found:
        import_library(str(known.plugin), known.name)
        # As many processes decode as there are cores to use.
        for settings in {"pillow_heif.options", "pillow_jxl.JpegXLImagePlugin"} & sys.modules.keys():
            vars(sys.modules[settings])["DECODE_THREADS"] = 1
    return [known.name for known in found]


def _describe_unknown(content: bytes) -> str:
    named = [known.name for known in FORMATS if known.has_magic(content)]
    if named:
        return f"damaged, or of a kind that is not read: it begins like a {named[0]}"
    return f"not a picture of a known format: {', '.join(decoded_formats())}"


def _read_taken(exif: Image.Exif) -> str | None:
    """Return the time that `Decoded.taken` describes; None if there is none, or if it is no time."""
    try:
        details = exif.get_ifd(_EXIF_DETAILS)
        taken = datetime.strptime(str(details[_DATE_TIME_ORIGINAL]).strip("\0 "), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007
    except Exception:  # noqa: BLE001 - of damaged EXIF data nothing is needed, and Pillow raises anything
        return None
    fraction = str(details.get(_SUBSEC_TIME_ORIGINAL, "")).strip("\0 ")
    return f"{taken.isoformat()}.{fraction}" if fraction.isdecimal() and fraction.isascii() else taken.isoformat()


def check_size(header: Header) -> None:
    """Refuse a picture that would fill the memory: a small file can hold a very large picture.

    Raises:
        UndecodableError: it has more than MAX_PIXELS.
    """
    if header.width_px * header.height_px > MAX_PIXELS:
        size = f"{header.width_px} x {header.height_px}"
        raise UndecodableError(f"{size} pixels, more than the {MAX_PIXELS} that are decoded")


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
        # A raw file that has no preview is developed at half its size; a preview takes less.
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
    if header.format == RAW.name and find_start(content) != 0:
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
            turn = (
                _ORIENTATIONS.get(picture.getexif().get(_ORIENTATION, 1)) if getattr(picture, "jpeg", False) else None
            )
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
    # OpenCV has libtiff decode 8-bit TIFFs, which multiplies colours by alpha; all others are as stored.
    premultiplied = header.format == "TIFF" and pixels.dtype == np.uint8
    pixels = to_8_bits(pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = lay_on_page(pixels, premultiplied=premultiplied)
    return _turn(pixels, header)


def _turn(pixels: NDArray[Any], header: Header) -> NDArray[Any]:
    # OpenCV turns TIFFs by itself, whatever it was asked for.
    turn = _ORIENTATIONS.get(header.orientation) if header.format != "TIFF" else None
    return turn(pixels) if turn else pixels


def to_thumbnail(pixels: Pixels, settings: DecodeSettings) -> Pixels:
    """Return displayed pixels resized to (size, size, 3) uint8 BGR; grey becomes three equal channels."""
    shape = (settings.size, settings.size)
    small = cv2.resize(pixels, shape, interpolation=_INTERPOLATION[settings.resampling])
    return cv2.cvtColor(small, cv2.COLOR_GRAY2BGR) if small.ndim == 2 else small


def digest_pixels(content: bytes, header: Header, reserve: Callable[[int], None]) -> str | None:
    """Return the SHA-256, in hexadecimal, of all that a file shows: two files that have the same show the same.

    That is every pixel of every frame or page as displayed, in full depth and with alpha, and how long each frame is shown.
    Grey, BGR and BGRA pixels that are the same have the same digest, as have 8 bits and 16 bits.

    Returns:
        None where the pixels cannot be known exactly, or are too many: all frames together count as one picture.
    """
    if known_format(header.format).decoder != "opencv":
        # Decoded to 8 bits although there may be more, or without what the file has beside its picture.
        return None
    if header.frames > 1:
        shown = _iter_frames(content, header, reserve)
    else:
        reserve(estimate_memory(header, 1))
        shown = iter([(_turn(decode_content(content, header), header), 0)])
    digest = hashlib.sha256()
    try:
        for pixels, duration in shown:
            # libtiff has multiplied the colours by alpha: different ones may be the same.
            if header.format == "TIFF" and pixels.dtype == np.uint8 and pixels.shape[2:] == (4,):
                return None
            same = to_canonical(pixels)
            digest.update(repr((same.shape, same.dtype.str, duration)).encode())
            for block in iter_blocks(same):
                digest.update(np.ascontiguousarray(block).data)
    except _InexactError:
        return None
    return digest.hexdigest()


def _iter_frames(
    content: bytes, header: Header, reserve: Callable[[int], None]
) -> Iterator[tuple[NDArray[Any], float]]:
    """Yield the pixels of every frame or page as displayed, BGR(A) or grey, and its duration in ms.

    Raises:
        _InexactError: they are too many, or are decoded to 8 bits although there may be more.
        UndecodableError: one is damaged.
    """
    has_8_bits = header.format in {"GIF", "WEBP"} or (header.format == "PNG" and content[_PNG_BIT_DEPTH] <= 8)
    try:
        with Image.open(io.BytesIO(content), formats=(header.format,)) as picture:
            pages = _count_pixels(picture, header)
            if not (has_8_bits or header.format == "TIFF") or pages > MAX_PIXELS:
                raise _InexactError
            reserve(estimate_memory(header, 1) if has_8_bits else 24 * pages)
            if not has_8_bits:
                complete, decoded = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
                if not complete or len(decoded) != header.frames:
                    raise _InexactError
                yield from ((pixels, 0) for pixels in decoded)
                return
            for frame in range(header.frames):
                picture.seek(frame)
                pixels = np.asarray(picture.convert("RGBA"))
                yield cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA), float(picture.info.get("duration") or 0)
    except (EOFError, SyntaxError, ValueError, struct.error) as error:
        raise UndecodableError(f"damaged: {error}") from None


def _count_pixels(picture: Image.Image, header: Header) -> int:
    """Return the pixels of all frames; a small frame counts as MIN_FRAME_PIXELS, for the time that any takes."""
    if header.format != "TIFF":
        return header.frames * max(header.width_px * header.height_px, MIN_FRAME_PIXELS)
    count = 0
    for page in range(min(header.frames, MAX_PIXELS // MIN_FRAME_PIXELS + 1)):
        picture.seek(page)
        count += max(picture.width * picture.height, MIN_FRAME_PIXELS)
    return count
