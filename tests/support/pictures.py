"""Pictures of every kind as file contents, with what a viewer shows of them; written by Pillow and tifffile, not OpenCV."""

import functools
import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
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
    return encode(pixels, kind, exif=exif)


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
    return [*_plain(), *_grey(), *_alpha(), *_deep(), *_turned(), *_moving(), *_odd_shapes()]


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
