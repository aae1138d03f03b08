"""Pictures of every kind as file contents, with what a viewer shows of them; written by Pillow and tifffile, not OpenCV."""

import functools
import io
import struct
import tempfile
import zlib
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image
from skimage import data
from skimage.transform import rescale


@dataclass(frozen=True)
class Picture:
    """A file's content and what is seen of it on a white page: (h, w, 3) uint8 RGB, off by at most `tolerance`."""

    name: str
    content: bytes
    displayed: NDArray[np.uint8]
    format: str
    tolerance: float = 0


def photo(height: int = 96, width: int = 144) -> NDArray[np.uint8]:
    """Return a piece of a photograph, RGB."""
    return np.ascontiguousarray(data.astronaut()[:height, 150 : 150 + width])


def encode(pixels: NDArray, kind: str, **options) -> bytes:
    """Return `pixels` as the content of a file of the format `kind`, a name of Pillow's."""
    if kind == "JXL":
        # Pillow knows it by this alone.
        import pillow_jxl  # noqa: F401, PLC0415
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def tiny_png(seed: int) -> bytes:
    """Return a picture of 8 x 8 pixels unlike that of any other seed: cheap, where only names and contents matter."""
    return encode(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8), "PNG")


def grey(pixels: NDArray) -> NDArray[np.uint8]:
    """Return one channel as the three equal ones that are displayed."""
    return np.repeat(pixels[..., None], 3, axis=2)


def with_alpha(pixels: NDArray) -> NDArray[np.uint8]:
    """Return `pixels` with an alpha channel that goes from 0 to 255 over the width."""
    alpha = np.linspace(0, 255, pixels.shape[1]).round().astype(np.uint8)
    return np.dstack([pixels, np.broadcast_to(alpha, pixels.shape[:2])])


def on_white(pixels: NDArray) -> NDArray[np.uint8]:
    """Return RGBA `pixels` as seen on a white page."""
    alpha = pixels[..., 3:] / 255
    return (pixels[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def turned(pixels: NDArray, orientation: int) -> NDArray[np.uint8]:
    """Return how a viewer shows stored `pixels` with this EXIF orientation."""
    rows_are_columns = orientation >= 5
    shown = pixels.transpose(1, 0, 2) if rows_are_columns else pixels
    flips = {1: "", 2: "x", 3: "xy", 4: "y", 5: "", 6: "x", 7: "xy", 8: "y"}[orientation]
    shown = shown[:, ::-1] if "x" in flips else shown
    return np.ascontiguousarray(shown[::-1] if "y" in flips else shown)


def oriented(pixels: NDArray, kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # As bytes: of an object, the encoder of HEIF turns nothing.
    return encode(pixels, kind, exif=exif.tobytes())


def box(kind: bytes, *content: bytes) -> bytes:
    """Return a box as films and HEIFs are made of (ISO/IEC 14496-12)."""
    inside = b"".join(content)
    return (8 + len(inside)).to_bytes(4) + kind + inside


def film(seed: int = 0) -> bytes:
    """Return what begins as an MP4 does, and is another for each seed: as a motion photo has it behind its picture."""
    frames = np.random.default_rng(seed).integers(0, 256, 500, np.uint8).tobytes()
    return box(b"ftyp", b"mp42", bytes(4), b"isommp42") + box(b"mdat", frames) + box(b"moov", box(b"mvhd", bytes(100)))


def exif(taken: str | None = None, fraction: str | None = None, **details: object) -> bytes:
    """Return the EXIF of a camera; `details` are named as Pillow names the tags, in ExifTags.Base."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "Maker", "Model"
    times = {"DateTimeOriginal": taken, "SubsecTimeOriginal": fraction}
    named = {name: value for name, value in (times | details).items() if value is not None}
    tags.get_ifd(0x8769).update({ExifTags.Base[name].value: value for name, value in named.items()})
    return tags.tobytes()


def tiff(pixels: NDArray, **options) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", **options)
    return stream.getvalue()


def png16(pixels: NDArray) -> bytes:
    """Return a 16-bit RGB(A) PNG, which Pillow does not write."""
    return raw_png(
        pixels.shape[1], pixels.shape[0], pixels.astype(">u2"), bits=16, colour={3: 2, 4: 6}[pixels.shape[2]]
    )


def raw_png(width: int, height: int, rows: NDArray, *, bits: int, colour: int) -> bytes:
    """Return a PNG whose header says width x height, whatever `rows` (n, ...) there are."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    scanlines = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


@functools.cache
def pictures() -> list[Picture]:
    """Return one picture of every kind that is decoded."""
    return [*_plain(), *_grey(), *_alpha(), *_deep(), *_turned(), *_moving(), *_in_libraries(), *_odd_shapes()]


def _plain() -> list[Picture]:
    rgb = photo()
    cmyk = np.asarray(Image.fromarray(rgb).convert("CMYK"))
    stream = io.BytesIO()
    Image.fromarray(cmyk, "CMYK").save(stream, "JPEG", quality=95)
    smooth = (rescale(photo(48, 72), 2, channel_axis=2) * 255).astype(np.uint8)
    lossy = [("JPEG", "jpg", {"quality": 95, "subsampling": 0}), ("WEBP", "webp", {"quality": 95})]
    lossy += [("AVIF", "avif", {"quality": 95}), ("JPEG", "progressive.jpg", {"quality": 95, "progressive": True})]
    lossless = [("PNG", "png", {}), ("BMP", "bmp", {}), ("PPM", "ppm", {}), ("WEBP", "exact.webp", {"lossless": True})]
    lossless += [("TIFF", "tif", {}), ("TIFF", "lzw.tif", {"compression": "tiff_lzw"}), ("JPEG2000", "jp2", {})]
    return [
        *(Picture(f"plain.{end}", encode(smooth, kind, **more), smooth, kind, 4) for kind, end, more in lossy),
        *(Picture(f"plain.{end}", encode(rgb, kind, **more), rgb, kind) for kind, end, more in lossless),
        Picture("cmyk.jpg", stream.getvalue(), rgb, "JPEG", 6),
    ]


def _grey() -> list[Picture]:
    one = photo()[..., 1]
    palette = Image.fromarray(photo()).quantize(16)
    indexed = np.asarray(palette.convert("RGB"))
    bits = one > 100
    streams = {kind: io.BytesIO() for kind in ("PNG", "GIF", "TIFF")}
    for kind, stream in streams.items():
        palette.save(stream, kind)
    return [
        *(
            Picture(f"grey.{kind.lower()}", encode(one, kind), grey(one), kind)
            for kind in ("PNG", "TIFF", "BMP", "PPM")
        ),
        Picture("grey.jpg", encode(one, "JPEG", quality=95), grey(one), "JPEG", 4),
        Picture("bits.png", encode(bits, "PNG"), grey(bits * np.uint8(255)), "PNG"),
        Picture("bits.tif", encode(bits, "TIFF"), grey(bits * np.uint8(255)), "TIFF"),
        *(Picture(f"palette.{kind.lower()}", stream.getvalue(), indexed, kind) for kind, stream in streams.items()),
    ]


def _alpha() -> list[Picture]:
    rgba = with_alpha(photo())
    luminance = rgba[..., 1:]
    shown = on_white(rgba)
    grey_shown = on_white(np.dstack([grey(luminance[..., 0]), rgba[..., 3]]))
    la = io.BytesIO()
    Image.merge("LA", [Image.fromarray(luminance[..., 0]), Image.fromarray(rgba[..., 3])]).save(la, "PNG")
    return [
        *(Picture(f"alpha.{kind.lower()}", encode(rgba, kind), shown, kind, 1) for kind in ("PNG", "JPEG2000")),
        Picture("alpha.webp", encode(rgba, "WEBP", lossless=True, exact=True), shown, "WEBP", 1),
        Picture("alpha.tif", tiff(rgba, extrasamples=["unassalpha"]), shown, "TIFF", 1),
        Picture("alpha.16.tif", tiff(rgba.astype(np.uint16) * 257, extrasamples=["unassalpha"]), shown, "TIFF", 1),
        Picture("alpha.16.png", png16(rgba.astype(np.uint16) * 257), shown, "PNG", 1),
        Picture("alpha.grey.png", la.getvalue(), grey_shown, "PNG", 1),
        Picture("alpha.avif", encode(rgba, "AVIF", quality=95, subsampling="4:4:4"), shown, "AVIF", 5),
        *_transparent_colour(),
        *_invisible_on_white(),
    ]


def glyph(number: int, colour: int = 255, side: int = 64) -> NDArray[np.uint8]:
    """Return an icon of one colour on a transparent ground, RGBA; each number from 0 to 6 has another shape."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    drawn = radius < 0.55 + 0.3 * np.cos((number + 1) * angle)
    return np.dstack([np.full((side, side, 3), colour, np.uint8), drawn * np.uint8(255)])


def _invisible_on_white() -> list[Picture]:
    """White, alone or with a coloured dot, is seen on black."""
    dotted = glyph(2)
    dotted[28:36, 28:36, :3] = 200, 30, 30
    shown = [pixels[..., :3] * (pixels[..., 3:] // 255) for pixels in (glyph(2), dotted)]
    return [
        Picture("white.png", encode(glyph(2), "PNG"), shown[0], "PNG"),
        Picture("white.tif", tiff(glyph(2), extrasamples=["unassalpha"]), shown[0], "TIFF"),
        Picture("white with a dot.png", encode(dotted, "PNG"), shown[1], "PNG"),
    ]


def _transparent_colour() -> list[Picture]:
    """One colour of the palette is transparent, as in most GIFs."""
    palette = Image.fromarray(photo()).quantize(16)
    index = int(np.bincount(np.asarray(palette).ravel()).argmax())
    shown = np.where(np.asarray(palette)[..., None] == index, 255, np.asarray(palette.convert("RGB"))).astype(np.uint8)
    made = []
    for kind in ("PNG", "GIF"):
        stream = io.BytesIO()
        palette.save(stream, kind, transparency=index)
        made.append(Picture(f"transparent.{kind.lower()}", stream.getvalue(), shown, kind))
    return made


def _deep() -> list[Picture]:
    rgb = photo()
    deep = rgb.astype(np.uint16) * 257
    return [
        Picture("deep.png", png16(deep), rgb, "PNG"),
        Picture("deep.tif", tiff(deep), rgb, "TIFF"),
        Picture("deep.grey.png", encode(deep[..., 0], "PNG"), grey(rgb[..., 0]), "PNG"),
        Picture("deep.grey.tif", tiff(deep[..., 0]), grey(rgb[..., 0]), "TIFF"),
        *_kept_in_more(),
    ]


def _kept_in_more() -> list[Picture]:
    """8, 10, 12 and 14 bits kept in 16, and floating-point numbers."""
    rgb = photo()
    scaled = {bits: (rgb * (((1 << bits) - 1) / 255)).round().astype(np.uint16) for bits in (8, 10, 12, 14)}
    alpha = np.dstack([scaled[10], with_alpha(rgb)[..., 3].astype(np.uint16) * 257])
    hot = scaled[12].copy()
    hot[40, 50] = 65535
    return [
        *(Picture(f"deep.{bits}.png", png16(values), rgb, "PNG", 1) for bits, values in scaled.items()),
        *(
            Picture(f"deep.{bits}.tif", tiff(values[..., 0]), grey(rgb[..., 0]), "TIFF", 1)
            for bits, values in scaled.items()
        ),
        Picture("deep.10.alpha.png", png16(alpha), on_white(with_alpha(rgb)), "PNG", 2),
        Picture("deep.12.hot.png", png16(hot), rgb, "PNG", 1),
        Picture("float.tif", tiff((rgb[..., 0] / 255).astype(np.float32)), grey(rgb[..., 0]), "TIFF"),
        Picture("float.colours.tif", tiff((rgb / 255).astype(np.float32)), rgb, "TIFF"),
        Picture("float.255.tif", tiff(rgb[..., 0].astype(np.float32)), grey(rgb[..., 0]), "TIFF"),
    ]


def _turned() -> list[Picture]:
    rgb = photo()
    smooth = (rescale(photo(48, 72), 2, channel_axis=2) * 255).astype(np.uint8)
    lossy = [(kind, n) for kind in ("JPEG", "WEBP") for n in range(2, 9)] + [("AVIF", 6), ("AVIF", 2)]
    return [
        *(Picture(f"turned.{n}.{k.lower()}", oriented(smooth, k, n), turned(smooth, n), k, 9) for k, n in lossy),
        *(Picture(f"turned.{n}.png", oriented(rgb, "PNG", n), turned(rgb, n), "PNG") for n in range(2, 9)),
        *(Picture(f"turned.{n}.tif", oriented(rgb, "TIFF", n), turned(rgb, n), "TIFF") for n in (3, 6, 8)),
    ]


def _moving() -> list[Picture]:
    """Several frames or pages, of which the first counts."""
    first, second = Image.fromarray(photo()).quantize(64), Image.fromarray(photo()[::-1]).quantize(64)
    made = []
    for kind, options in {"GIF": {}, "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}.items():
        stream = io.BytesIO()
        frames = [first.convert("RGB"), second.convert("RGB")] if kind != "GIF" else [first, second]
        frames[0].save(stream, kind, save_all=True, append_images=frames[1:], **options)
        made.append(Picture(f"moving.{kind.lower()}", stream.getvalue(), np.asarray(first.convert("RGB")), kind))
    stream = io.BytesIO()
    smooth = (rescale(photo(48, 72), 2, channel_axis=2) * 255).astype(np.uint8)
    Image.fromarray(smooth).save(stream, "MPO", save_all=True, append_images=[second.convert("RGB")], quality=95)
    return [*made, Picture("stereo.mpo", stream.getvalue(), smooth, "JPEG", 5)]


def _in_libraries() -> list[Picture]:
    """Formats that OpenCV does not decode."""
    import pillow_heif  # noqa: PLC0415 - only what makes such pictures needs it
    import pillow_jxl  # noqa: F401, PLC0415

    pillow_heif.register_heif_opener()
    rgb, smooth = photo(), (rescale(photo(48, 72), 2, channel_axis=2) * 255).astype(np.uint8)
    rgba, one = with_alpha(rgb), photo()[..., 1]
    exact = {"quality": -1, "chroma": 444}
    icon = encode(glyph(2), "JXL", lossless=True)
    return [
        Picture("plain.heic", encode(smooth, "HEIF", quality=95), smooth, "HEIF", 4),
        Picture("grey.heic", encode(one, "HEIF", **exact), grey(one), "HEIF", 2),
        Picture("alpha.heic", encode(rgba, "HEIF", **exact), on_white(rgba), "HEIF", 5),
        Picture("turned.heic", oriented(smooth, "HEIF", 6), turned(smooth, 6), "HEIF", 9),
        Picture("moving.heic", _moving_heif(smooth, smooth[::-1]), smooth, "HEIF", 4),
        Picture("plain.jxl", encode(smooth, "JXL", quality=95), smooth, "JXL", 4),
        Picture("exact.jxl", encode(rgb, "JXL", lossless=True), rgb, "JXL"),
        Picture("boxed.jxl", encode(rgb, "JXL", lossless=True, use_container=True), rgb, "JXL"),
        Picture("grey.jxl", encode(one, "JXL", lossless=True), grey(one), "JXL"),
        Picture("alpha.jxl", encode(rgba, "JXL", lossless=True), on_white(rgba), "JXL", 1),
        Picture("white.jxl", icon, np.repeat(glyph(2)[..., 3:], 3, axis=2), "JXL"),
        *(Picture(f"turned.{n}.jxl", _jpeg_made_jxl(smooth, n), turned(smooth, n), "JXL", 9) for n in (1, 6)),
        Picture("plain.psd", psd(rgb), rgb, "PSD"),
        Picture("grey.psd", psd(one[..., None]), grey(one), "PSD"),
        Picture("selected.psd", psd(rgba), rgb, "PSD"),
        *(Picture(f"turned.{n}.dng", raw(smooth, n), turned(smooth, n), "RAW", 9) for n in (1, 3, 6, 8)),
    ]


def _jpeg_made_jxl(pixels: NDArray, orientation: int) -> bytes:
    """Return a JPEG XL from which the same JPEG can be made again; its encoder wants a file."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(oriented(pixels, "JPEG", orientation))
        file.flush()
        stream = io.BytesIO()
        with Image.open(file.name) as picture:
            picture.save(stream, "JXL", lossless_jpeg=True)
    return stream.getvalue()


def _moving_heif(*frames: NDArray) -> bytes:
    stream = io.BytesIO()
    first, *others = map(Image.fromarray, frames)
    first.save(stream, "HEIF", save_all=True, append_images=others, quality=95)
    return stream.getvalue()


def psd(pixels: NDArray, *, layers: bytes = b"") -> bytes:
    """Return a PSD, which Pillow does not write, with these channels of its composite, not compressed."""
    height, width, channels = pixels.shape
    head = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", channels, height, width, 8, 3 if channels >= 3 else 1)
    return head + bytes(8) + struct.pack(">I", len(layers)) + layers + b"\0\0" + pixels.transpose(2, 0, 1).tobytes()


def raw(
    pixels: NDArray,
    orientation: int = 1,
    *,
    preview: bytes | None = None,
    has_preview: bool = True,
    is_dng: bool = True,
) -> bytes:
    """Return a raw file, a DNG or one of a camera that nobody knows: 12 bits of a camera's colour filters, and a JPEG as the preview of it."""
    height, width = pixels.shape[:2]
    seen = encode(pixels, "JPEG", quality=95) if preview is None else preview
    filters = np.empty((height, width), "<u2")
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        filters[y::2, x::2] = pixels[y::2, x::2, channel].astype(np.uint16) * 16
    identity = [value for row in np.eye(3, dtype=int).tolist() for one in row for value in (one, 1)]
    camera = {
        271: b"Maker\0",
        272: b"Model\0",
        274: (3, [orientation]),
        50706: (1, [1, 4, 0, 0]),
        50708: b"Maker Model\0",
    }
    camera |= {50721: (10, identity), 50728: (5, [1] * 6), 50778: (3, [21]), 34665: (4, [0])}
    if not is_dng:
        del camera[50706]
    shown = {254: (4, [1]), 256: (4, [width]), 257: (4, [height]), 258: (3, [8] * 3), 259: (3, [7]), 262: (3, [6])}
    shown |= {273: (4, [0]), 277: (3, [3]), 278: (4, [height]), 279: (4, [len(seen)]), 330: (4, [0])}
    stored = {254: (4, [0]), 256: (4, [width]), 257: (4, [height]), 258: (3, [16]), 259: (3, [1]), 262: (3, [32803])}
    stored |= {273: (4, [0]), 277: (3, [1]), 278: (4, [height]), 279: (4, [filters.nbytes])}
    stored |= {33421: (3, [2, 2]), 33422: (1, [0, 1, 1, 2]), 50714: (3, [0]), 50717: (3, [4095])}
    details = {36867: b"2019:05:01 12:00:00\0", 37521: b"25\0"}
    if not has_preview:
        # Only the picture itself.
        ifds, pieces = [camera | stored, details], [filters.tobytes()]
    else:
        ifds, pieces = [camera | shown, stored, details], [seen + bytes(len(seen) % 2), filters.tobytes()]
    # Twice: where something is does not change how long it is.
    for _ in range(2):
        tables: list[bytes] = []
        for ifd in ifds:
            tables.append(_tiff_directory(ifd, 8 + sum(map(len, tables))))
        ends = np.cumsum([8, *map(len, tables), *map(len, pieces)]).tolist()
        ifds[0][34665] = (4, [ends[len(ifds) - 1]])
        ifds[0][273] = (4, [ends[len(ifds)]])
        if has_preview:
            ifds[0][330] = (4, [ends[1]])
            ifds[1][273] = (4, [ends[len(ifds) + 1]])
    return b"II*\0\x08\0\0\0" + b"".join([*tables, *pieces])


def _tiff_directory(entries: dict, at: int) -> bytes:
    """Return an image file directory of a TIFF with what it refers to; an entry is (type, values), or bytes that are text."""
    table, behind, start = b"", b"", at + 2 + 12 * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        kind, values = (2, entry) if isinstance(entry, bytes) else entry
        content = (
            values if kind == 2 else struct.pack(f"<{len(values)}{ {1: 'B', 3: 'H', 10: 'i'}.get(kind, 'I') }", *values)
        )
        count = len(values) // (2 if kind in {5, 10} else 1)
        field = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", start + len(behind))
        behind += content + bytes(len(content) % 2) if len(content) > 4 else b""
        table += struct.pack("<HHI", tag, kind, count) + field
    return struct.pack("<H", len(entries)) + table + bytes(4) + behind


def _odd_shapes() -> list[Picture]:
    shapes = [(1, 1), (1, 5000), (5000, 1), (3, 2), (200, 200), (199, 401)]
    rng = np.random.default_rng(5)
    noise = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    constant = np.full((50, 70, 3), 77, np.uint8)
    return [
        *(Picture(f"{p.shape[1]}x{p.shape[0]}.png", encode(p, "PNG"), p, "PNG") for p in noise),
        Picture("constant.png", encode(constant, "PNG"), constant, "PNG"),
        Picture("constant.jpg", encode(constant, "JPEG"), constant, "JPEG", 1),
    ]


@functools.cache
def damaged() -> dict[str, bytes]:
    """Return files that are no whole pictures: nothing of them must be compared, none must stop a run."""
    whole = {picture.name: picture.content for picture in pictures() if picture.name.startswith(("plain", "moving"))}
    cut = {
        f"cut.{share}.{name}": content[: int(len(content) * share)]
        for name, content in whole.items()
        for share in (0.2, 0.6, 0.98)
        if not (name.startswith("moving") and share > 0.5)
    }
    one_bit = bytearray(whole["plain.png"])
    one_bit[len(one_bit) // 2] ^= 4
    return cut | {
        "empty.jpg": b"",
        "text.jpg": b"not a picture\n" * 100,
        "flipped.png": bytes(one_bit),
        "bomb.png": raw_png(100_000, 100_000, np.zeros((1, 10), np.uint8), bits=8, colour=2),
        "only-header.jpg": b"\xff\xd8\xff\xe0",
        "only-magic.png": b"\x89PNG\r\n\x1a\n",
        "negative.tif": tiff(np.random.default_rng(0).random((20, 30), np.float32) - 0.5),
        "large.tif": tiff(np.random.default_rng(0).random((20, 30), np.float32) * 300),
        "no numbers.tif": tiff(np.full((20, 30), np.nan, np.float32)),
        "integers.tif": tiff(np.random.default_rng(0).integers(0, 99, (20, 30), np.int32)),
        "picture.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    }
