"""Copies, as programs, cameras, phones and people make them of a picture that stays the same picture."""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps
from PIL.Image import Image as Picture

from benchmarks.labelled.drawing import (
    BOLD,
    Sheet,
    encode,
    encode_film,
    exif,
    to_array,
    to_picture,
)
from benchmarks.labelled.sources import Sources, shipped
from imagetwins.calibration.distortions import plant_copy

Made = tuple[str, bytes]
"""The suffix and the bytes of a file."""

PAIRS_EACH = 8


@dataclass(frozen=True)
class Original:
    """A picture that is copied: a photograph is a JPEG with the EXIF of its camera, a chart is a PNG."""

    name: str
    suffix: str
    content: bytes
    exif: bytes

    @property
    def picture(self) -> Picture:
        return Image.open(io.BytesIO(self.content)).convert("RGB")


Change = Callable[[Original, np.random.Generator], Made]
Pairs = Callable[[Sources, np.random.Generator], Iterator[tuple[Made, Made]]]


def make_originals(sources: Sources) -> list[Original]:
    photos = []
    for number, photo in enumerate(sources.photos):
        taken = exif(f"2026:05:01 12:{number:02}:00", "250")
        photos.append(Original(f"photo-{number:02}", ".jpg", encode(photo, "JPEG", quality=95, exif=taken), taken))
    charts = [
        Original(f"chart-{number:02}", ".png", encode(chart, "PNG"), b"") for number, chart in enumerate(sources.charts)
    ]
    return photos + charts


def _jpeg(picture: Picture, exif: bytes = b"", quality: int = 90, **options: Any) -> Made:
    return ".jpg", encode(picture, "JPEG", quality=quality, exif=exif, **options)


def _as(kind: str, suffix: str, mode: str = "RGB", **options: Any) -> Change:
    """Return the change that saves in another format, without EXIF."""
    return lambda original, _rng: (suffix, encode(original.picture.convert(mode), kind, **options))


def _as_jpeg(quality: int, **options: Any) -> Change:
    return lambda original, _rng: _jpeg(original.picture, original.exif, quality, **options)


def _planted(kind: str) -> Change:
    """Return a change of `imagetwins calibrate`, saved as a JPEG of quality 90."""

    def change(original: Original, rng: np.random.Generator) -> Made:
        image = np.ascontiguousarray(to_array(original.picture)[..., ::-1])
        return _jpeg(to_picture(plant_copy(image, kind, rng)[..., ::-1]), original.exif)

    return change


def _thumbnail(original: Original, _rng: np.random.Generator) -> Made:
    picture = original.picture
    picture.thumbnail((160, 160))
    return _jpeg(picture, quality=80)


def _sent(original: Original, _rng: np.random.Generator) -> Made:
    """As a messenger sends it: smaller, strongly compressed, without EXIF."""
    picture = original.picture
    picture.thumbnail((480, 480))
    return _jpeg(picture, quality=70)


def _sixteen_bit(original: Original, _rng: np.random.Generator) -> Made:
    pixels = to_array(original.picture)[..., ::-1].astype(np.uint16) * 257
    return ".png", cv2.imencode(".png", pixels)[1].tobytes()


def _darkened(original: Original, _rng: np.random.Generator) -> Made:
    """Darker, and of more contrast."""
    return _jpeg(to_picture((to_array(original.picture).astype(float) - 128) * 1.12 + 118), original.exif)


def _warmed(original: Original, _rng: np.random.Generator) -> Made:
    """White balance: more red, less blue."""
    return _jpeg(to_picture(to_array(original.picture) * np.array([1.06, 1, 0.92])), original.exif)


def _sharpened(original: Original, _rng: np.random.Generator) -> Made:
    pixels = to_array(original.picture).astype(np.float32)
    return _jpeg(to_picture(pixels + 0.6 * (pixels - cv2.GaussianBlur(pixels, (0, 0), 1.5))), original.exif)


def _turned(original: Original, _rng: np.random.Generator) -> Made:
    """Stored lying on its side; EXIF says how to turn it."""
    taken = (
        exif("2026:05:01 12:00:00", "250", orientation=6) if not original.exif else _with_orientation(original.exif, 6)
    )
    return _jpeg(original.picture.transpose(Image.Transpose.ROTATE_90), taken, 92)


def _with_orientation(data: bytes, orientation: int) -> bytes:
    tags = Image.Exif()
    tags.load(data)
    tags[0x0112] = orientation
    return tags.tobytes()


def _new_metadata(original: Original, _rng: np.random.Generator) -> Made:
    """The same pixels, with other metadata: stripped from a photograph, a resolution written into a chart."""
    if original.suffix == ".png":
        return ".png", encode(Image.open(io.BytesIO(original.content)), "PNG", dpi=(300, 300))
    return ".jpg", _without_exif(original.content)


def _without_exif(jpeg: bytes) -> bytes:
    """Return a JPEG without its APP1 segments; a segment is FF, the marker, and its length in two bytes, itself included."""
    kept, offset = jpeg[:2], 2
    while jpeg[offset + 1] != 0xDA:
        end = offset + 2 + int.from_bytes(jpeg[offset + 2 : offset + 4])
        kept += b"" if jpeg[offset + 1] == 0xE1 else jpeg[offset:end]
        offset = end
    return kept + jpeg[offset:]


def _profiled(original: Original, _rng: np.random.Generator) -> Made:
    """Other numbers for the same colours: those of a wider colour space, whose profile is in the file."""
    wide = ImageCms.ImageCmsProfile(io.BytesIO(wide_profile()))
    converted = ImageCms.profileToProfile(original.picture, ImageCms.createProfile("sRGB"), wide)
    return _jpeg(converted, original.exif, 92, icc_profile=wide_profile())


def wide_profile() -> bytes:
    """Return an ICC profile (ICC.1:2001-04, a matrix and gamma 2.2) of the primaries of Adobe RGB (1998), adapted to D50."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    def xyz(*numbers: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*numbers)

    name = b"Wide RGB\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    tags = {
        b"desc": description + bytes(-len(description) % 4),
        b"cprt": b"text\0\0\0\0None\0\0\0\0",
        b"wtpt": xyz(0.9505, 1, 1.0891),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947),
        b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457),
        b"rTRC": gamma,
        b"gTRC": gamma,
        b"bTRC": gamma,
    }
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, offset + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


CHANGES: dict[str, Change] = {
    "same bytes": lambda original, _rng: (original.suffix, original.content),
    "other metadata": _new_metadata,
    "PNG": _as("PNG", ".png"),
    "PNG, 16 bits": _sixteen_bit,
    "TIFF": _as("TIFF", ".tif", compression="tiff_lzw"),
    "JPEG 90": _as_jpeg(90),
    "JPEG 60": _as_jpeg(60),
    "JPEG 30": _as_jpeg(30),
    "JPEG, progressive, full chroma": _as_jpeg(85, progressive=True, subsampling=0),
    "JPEG, CMYK": lambda original, _rng: _jpeg(original.picture.convert("CMYK"), quality=90),
    "WebP": _as("WEBP", ".webp", quality=80),
    "AVIF": _as("AVIF", ".avif", quality=70, speed=8, max_threads=1),
    "JPEG 2000": _as("JPEG2000", ".jp2", quality_mode="rates", quality_layers=[20]),
    "GIF": _as("GIF", ".gif"),
    "colour profile": _profiled,
    "halved": _planted("halved"),
    "doubled": _planted("doubled"),
    "thumbnail": _thumbnail,
    "sent by messenger": _sent,
    "greyed": _planted("grey"),
    "brightened": _planted("brightened"),
    "darkened, more contrast": _darkened,
    "warmed": _warmed,
    "sharpened": _sharpened,
    "cropped by 2 %": _planted("cropped"),
    "turned by up to 1 degree": _planted("rotated"),
    "watermarked": _planted("watermarked"),
    "turned in EXIF": _turned,
}
"""Each kind of copy of an original: its name, and what makes it."""


def _flattened(_sources: Sources, rng: np.random.Generator) -> Iterator[tuple[Made, Made]]:
    """A drawing on a transparent ground, and a JPEG of it on white."""
    for number in range(PAIRS_EACH):
        sheet = Sheet(360, 360, (0, 0, 0, 0), "RGBA")
        colours = [(*(int(part) for part in rng.integers(20, 200, 3)), 255) for _ in range(3)]
        sheet.disc(180, 180, 150, colours[0])
        sheet.box((70 + 5 * number, 120, 290 - 5 * number, 240), colours[1], radius=20)
        sheet.write(180, 180, "ABCDEFGH"[number], 120, colours[2], BOLD, "mm")
        flat = Image.new("RGBA", sheet.picture.size, "white")
        flat.alpha_composite(sheet.picture)
        yield (".png", encode(sheet.picture, "PNG")), _jpeg(flat.convert("RGB"))


def _films(sources: Sources, rng: np.random.Generator) -> Iterator[tuple[list[Picture], int]]:
    """Frames of a picture over which something moves, and how long each is shown, in ms."""
    for number in range(PAIRS_EACH):
        base = sources.others[number].resize((240, 180))
        frames = []
        for step in range(8):
            sheet = Sheet(240, 180)
            sheet.picture.paste(base)
            sheet.disc(20 + 25 * step, 90 + int(rng.integers(-20, 20)), 14, "#d02020")
            frames.append(sheet.picture)
        yield frames, 80


def _animations(sources: Sources, rng: np.random.Generator) -> Iterator[tuple[Made, Made]]:
    """A GIF, and the same film stored again: every frame whole, or as WebP without loss."""
    for number, (colours, duration) in enumerate(_films(sources, rng)):
        frames = [frame.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for frame in colours]
        first = (".gif", encode_film(frames, "GIF", duration=duration, loop=0))
        if number % 2:
            whole = [frame.convert("RGB") for frame in frames]
            yield (
                first,
                (".webp", encode_film(whole, "WEBP", duration=duration, loop=0, lossless=True, method=0, quality=20)),
            )
        else:
            yield first, (".gif", encode_film(frames, "GIF", duration=duration, loop=0, optimize=True, disposal=1))


def _documents(sources: Sources, rng: np.random.Generator) -> Iterator[tuple[Made, Made]]:
    """A TIFF of several pages, and the same pages compressed in another way."""
    for number in range(PAIRS_EACH):
        pages = []
        for page in range(3):
            sheet = Sheet(420, 600)
            sheet.write(210, 80, f"Report {number}, page {page + 1}", 28, anchor="mm")
            sheet.picture.paste(sources.others[3 * number + page].resize((300, 220)), (60, 160))
            for line in range(8):
                sheet.write(60, 400 + 20 * line, "".join(rng.choice([*"abcdefghij "], 36)), 13)
            pages.append(sheet.picture)
        yield (
            (".tif", encode_film(pages, "TIFF", compression="tiff_lzw")),
            (".tif", encode_film(pages, "TIFF", compression="tiff_deflate")),
        )


def _twelve_bit(_sources: Sources, rng: np.random.Generator) -> Iterator[tuple[Made, Made]]:
    """Values of 12 bits in 16, as a PNG and as a TIFF."""
    cells = cv2.resize(to_array(shipped("cell.png"))[..., 0], (900, 1100), interpolation=cv2.INTER_CUBIC)
    for _ in range(PAIRS_EACH):
        top, left = rng.integers(0, 500), rng.integers(0, 400)
        pixels = cells[top : top + 480, left : left + 480].astype(np.uint16) * 16 + rng.integers(0, 16, (480, 480))
        yield tuple(
            (suffix, cv2.imencode(suffix, pixels.astype(np.uint16))[1].tobytes()) for suffix in (".png", ".tif")
        )


PAIRS: dict[str, Pairs] = {
    "transparent, flattened": _flattened,
    "animation stored again": _animations,
    "TIFF of 3 pages": _documents,
    "12 bits in 16": _twelve_bit,
}
"""Each kind of copy that has originals of its own."""


def pair_lookalikes(suffix: str, content: bytes) -> Iterator[tuple[str, Made]]:
    """Yield the names and the files of two copies of a look-alike, if it is a single picture of 8 bits."""
    with Image.open(io.BytesIO(content)) as opened:
        if getattr(opened, "n_frames", 1) > 1 or opened.mode.startswith("I"):
            return
        taken, picture = opened.info.get("exif", b""), ImageOps.exif_transpose(opened)
        picture.load()
    if suffix == ".png":
        yield "saved again", (suffix, encode(picture, "PNG", compress_level=1))
    else:
        yield "saved again", _jpeg(picture, taken, 92)
    half = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    yield "halved", (suffix, encode(half, "PNG")) if suffix == ".png" else _jpeg(half, taken, 92)
