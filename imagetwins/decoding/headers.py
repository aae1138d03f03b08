"""What a picture's header says, of whatever format, before anything is decoded."""

import io
import itertools
import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from imagetwins.decoding.film import digest_film, find_in_boxes
from imagetwins.decoding.formats import FORMATS, RAW, decoded_formats
from imagetwins.decoding.jpeg import find_plain_frame, find_start, read_jpeg
from imagetwins.decoding.jxl import is_jxl, read_jxl_header
from imagetwins.decoding.model import MAX_FRAMES, MAX_PIXELS, MIN_FRAME_PIXELS, UndecodableError
from imagetwins.decoding.raw import import_library, read_raw

_MAKE, _MODEL = 0x010F, 0x0110
ORIENTATION, _EXIF_DETAILS, _DATE_TIME_ORIGINAL, _SUBSEC_TIME_ORIGINAL = 0x0112, 0x8769, 0x9003, 0x9291
_EXPOSURE_TIME, _F_NUMBER, _SENSITIVITY, _EXPOSURE_BIAS = 0x829A, 0x829D, 0x8827, 0x9204
"""EXIF 2.32: tags, and the one that points to the details."""

_NO_SENSITIVITY = 65535
"""What stands for a sensitivity that takes more than 16 bits, and is in another tag."""

_BOXED = ("HEIF", "AVIF")
"""Formats that are made of boxes, as films are."""

MAX_NAME = 100
"""Characters of a camera's make, or of its model, that are kept: a damaged header may hold any number."""

_BIG_TIFF = (b"II+\0", b"MM\0+")
_TIFF = (b"II*\0", b"MM\0*", *_BIG_TIFF)

_NEW_SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH, _BITS_PER_SAMPLE = 254, 256, 257, 258
_SUB_IFDS, _DNG_VERSION = 330, 50706
"""TIFF 6.0 and its supplements, DNG 1.4: tags. The first's lowest bit says that a picture is a reduced version of another."""


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
    camera: str | None = None
    exposure: str | None = None
    film_digest: str | None = None
    has_preview: bool = False


_NO_HEADER = Header("", 0, 0, orientation=1, is_progressive=False, frames=1, extras=0, taken=None)


class _UnknownFormatError(UndecodableError):
    """The content is of no known format."""


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
    frame = find_plain_frame(jpeg.content)
    header = replace(_NO_HEADER, format="JPEG", **frame._asdict()) if frame else read_header(jpeg.content)
    return replace(header, extras=jpeg.extras, film_digest=digest_film(content, jpeg.film)), jpeg.content


def _read_raw(content: bytes) -> tuple[Header, bytes]:
    """Return the header of a raw file, with the size of its picture as displayed, and its preview, itself if it has none."""
    raw = read_raw(content)
    kind = replace(
        _NO_HEADER,
        format=RAW.name,
        width_px=raw.width_px,
        height_px=raw.height_px,
        taken=_read_taken(raw.exif),
        camera=_read_camera(raw.exif),
        exposure=_read_exposure(raw.exif),
    )
    if raw.preview is None:
        return replace(kind, orientation=raw.orientation), content
    header, preview = _read_jpeg(raw.preview, 0)
    check_size(header)
    # A preview may be turned already. What it says itself of that is no evidence: LibRaw writes it.
    is_stored_alike = (header.width_px > header.height_px) == (raw.is_wide if raw.orientation < 5 else not raw.is_wide)
    turn = raw.orientation if is_stored_alike else 1
    told = {name: getattr(kind, name) or getattr(header, name) for name in ("taken", "camera", "exposure")}
    return replace(kind, orientation=turn, has_preview=True, **told), preview


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
        camera=_read_camera(exif),
        exposure=_read_exposure(exif),
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
            orientation = exif.get(ORIENTATION, 1)
            film = digest_film(content, find_in_boxes(content)) if kind in _BOXED else None
            return Header(
                format=kind,
                width_px=picture.width,
                height_px=picture.height,
                # libheif turns by itself.
                orientation=orientation if orientation in range(1, 9) and kind != "HEIF" else 1,
                is_progressive="progressive" in picture.info,
                frames=1 if kind in _ONE_PICTURE else min(getattr(picture, "n_frames", 1), MAX_FRAMES),
                extras=_count_extras(picture) + (film is not None),
                taken=_read_taken(exif),
                camera=_read_camera(exif),
                exposure=_read_exposure(exif),
                film_digest=film,
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


def _read_exposure(exif: Image.Exif) -> str | None:
    """Return the text that `Decoded.exposure` describes; None if EXIF says nothing of it."""
    try:
        details = exif.get_ifd(_EXIF_DETAILS)
    except Exception:  # noqa: BLE001 - as above
        return None
    seconds, aperture, sensitivity = (_read_number(details, tag) for tag in (_EXPOSURE_TIME, _F_NUMBER, _SENSITIVITY))
    bias = _read_number(details, _EXPOSURE_BIAS)
    told = [
        f"{seconds:.4g} s" if seconds and seconds > 0 else "",
        f"f/{aperture:.4g}" if aperture and aperture > 0 else "",
        f"ISO {sensitivity:.0f}" if sensitivity and 0 < sensitivity < _NO_SENSITIVITY else "",
        f"{bias:+.4g} EV" if bias is not None else "",
    ]
    return ", ".join(filter(None, told)) or None


def _read_number(details: Mapping[int, Any], tag: int) -> float | None:
    """Return the number, or the first of several, that a tag has; None where there is none."""
    value = details.get(tag)
    try:
        number = float(value[0] if isinstance(value, tuple) else value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - as above
        return None
    return number if math.isfinite(number) else None


def _read_camera(exif: Image.Exif) -> str | None:
    """Return the name that `Decoded.camera` describes; None if there is none."""
    try:
        found = exif.get(_MAKE), exif.get(_MODEL)
    except Exception:  # noqa: BLE001 - as above
        return None
    make, model = (_clean(text) if isinstance(text, str) else "" for text in found)
    return name_camera(make, model)


def name_camera(make: str, model: str) -> str | None:
    """Return make and model as one name: the model alone where it begins with the make's first word; None if both are empty."""
    brand = make.partition(" ")[0]
    has_brand = bool(brand) and model.casefold().startswith(brand.casefold())
    return model if has_brand else f"{make} {model}".strip() or None


def _clean(text: str) -> str:
    """Return `text` up to its first NUL, in one line of at most MAX_NAME characters, all of which can be printed."""
    printed = (character if character.isprintable() else " " for character in text.partition("\0")[0][:MAX_NAME])
    return " ".join("".join(printed).split())


def check_size(header: Header) -> None:
    """Refuse a picture that would fill the memory: a small file can hold a very large picture.

    Raises:
        UndecodableError: it has more than MAX_PIXELS.
    """
    if header.width_px * header.height_px > MAX_PIXELS:
        size = f"{header.width_px} x {header.height_px}"
        raise UndecodableError(f"{size} pixels, more than the {MAX_PIXELS} that are decoded")


def count_pixels_of_pages(content: bytes) -> int:
    """Return the pixels of all pages of a TIFF; a small one counts as MIN_FRAME_PIXELS, for the time that any takes.

    Raises:
        UndecodableError: its header is damaged.
    """
    count = 0
    try:
        for page in itertools.islice(_iter_tiff_pages(content), MAX_PIXELS // MIN_FRAME_PIXELS + 1):
            count += max(int(page.get(_IMAGE_WIDTH, 0)) * int(page.get(_IMAGE_LENGTH, 0)), MIN_FRAME_PIXELS)
    except Exception as error:  # noqa: BLE001 - a damaged header raises anything in Pillow's parsers
        raise UndecodableError(f"damaged header: {error}") from None
    return count
