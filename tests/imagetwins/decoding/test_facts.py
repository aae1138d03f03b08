"""What is found out about a file beside its thumbnail: how many frames it has, when it was taken, and what all its pixels are."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import IFDRational

from imagetwins.decoding.headers import MAX_NAME
from imagetwins.decoding.model import MAX_FRAMES, MAX_PIXELS, Decoded
from imagetwins.decoding.pool import digest_files
from tests.support.decoding import decode_all
from tests.support.pictures import (
    encode,
    exif,
    grey,
    oriented,
    photo,
    pictures,
    png16,
    tiff,
    tiny_png,
    turned,
    with_alpha,
)

COLOUR = photo(20, 30)
GREY = np.ascontiguousarray(COLOUR[..., 0])
TURNED = {n: oriented(np.ascontiguousarray(turned(COLOUR, {6: 8, 8: 6}.get(n, n))), "PNG", n) for n in range(2, 9)}


def moving(kind, *frames, duration=100, **options):
    stream = io.BytesIO()
    first, *others = map(Image.fromarray, frames)
    first.save(stream, kind, save_all=True, append_images=others, duration=duration, **options)
    return stream.getvalue()


def digests(tmp_path, contents):
    """Return the digests of the pixels of files, or why there is none; each is a file of its own."""
    paths = [tmp_path / f"{number}.dat" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    found = digest_files(paths)
    assert all(len(one.pixels_digest) == 64 for one in found if one.pixels_digest)
    return [one.error or one.pixels_digest for one in found]


SAME = {
    "colour": [
        *(encode(COLOUR, kind) for kind in ("PNG", "BMP", "TIFF", "PPM", "JPEG2000")),
        encode(COLOUR, "PNG", compress_level=0),
        encode(COLOUR, "WEBP", lossless=True),
        png16(COLOUR.astype(np.uint16) * 257),
        tiff(COLOUR.astype(np.uint16) * 257),
        encode(np.dstack([COLOUR, np.full_like(GREY, 255)]), "PNG"),
        *TURNED.values(),
    ],
    "grey": [
        encode(GREY, "PNG"),
        encode(GREY, "BMP"),
        encode(grey(GREY), "PNG"),
        encode(GREY.astype(np.uint16) * 257, "PNG"),
        encode(np.dstack([grey(GREY), np.full_like(GREY, 255)]), "PNG"),
    ],
    "moving": [
        moving("PNG", COLOUR, COLOUR[::-1]),
        moving("PNG", COLOUR, COLOUR[::-1], compress_level=0),
        moving("WEBP", COLOUR, COLOUR[::-1], lossless=True),
    ],
    "pages": [moving("TIFF", COLOUR, COLOUR[::-1]), moving("TIFF", COLOUR, COLOUR[::-1], compression="tiff_lzw")],
}


@pytest.mark.parametrize("name", SAME)
def test_files_that_show_the_same_have_one_digest(tmp_path, name):
    assert len(set(digests(tmp_path, SAME[name]))) == 1


def changed(pixels, by=1):
    """Return `pixels` with the last value another one."""
    copy = pixels.copy()
    copy[(-1,) * pixels.ndim] ^= by
    return copy


def upside_down():
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif.tobytes()


def test_files_that_show_anything_else_have_another(tmp_path):
    deep, clear = COLOUR.astype(np.uint16) * 257, np.dstack([COLOUR, np.zeros_like(GREY)])
    contents = [
        *(files[0] for files in SAME.values()),
        encode(changed(COLOUR), "PNG"),
        png16(changed(deep)),
        png16(changed(deep, 256)),
        encode(COLOUR.reshape(30, 20, 3), "PNG"),
        encode(COLOUR[..., ::-1], "PNG"),
        encode(with_alpha(COLOUR), "PNG"),
        encode(changed(with_alpha(COLOUR)), "PNG"),
        # What is under full transparency may be data.
        encode(clear, "PNG"),
        encode(np.dstack([changed(COLOUR), clear[..., 3]]), "PNG"),
        oriented(COLOUR, "PNG", 6),
        moving("PNG", COLOUR, changed(COLOUR)),
        moving("PNG", COLOUR, COLOUR[::-1], duration=[100, 110]),
        moving("PNG", COLOUR, COLOUR[::-1], COLOUR),
        moving("WEBP", COLOUR, COLOUR[::-1], lossless=True, exif=upside_down()),
        moving("TIFF", COLOUR, changed(COLOUR[::-1])),
        moving("TIFF", COLOUR[::-1], COLOUR),
        *(moving("GIF", grey(GREY), grey(changed(GREY, 128)), duration=duration) for duration in (100, 110)),
    ]

    found = digests(tmp_path, contents)

    assert len(set(found)) == len(contents)
    assert {len(one) for one in found} == {64}


def test_pixels_that_cannot_be_known_exactly_have_no_digest(tmp_path):
    rgba = with_alpha(COLOUR)
    contents = [
        tiff(rgba, extrasamples=["unassalpha"]),
        moving("AVIF", COLOUR, COLOUR[::-1]),
        with_frames(png16(COLOUR.astype(np.uint16) * 250), 2),
        # The header says more than is decoded in a moment.
        with_frames(moving("PNG", COLOUR, COLOUR[::-1]), MAX_PIXELS // 10_000 + 1),
    ]

    assert digests(tmp_path, contents) == [None] * len(contents)


def test_what_is_damaged_behind_its_first_frame_has_no_digest(tmp_path):
    whole = {kind: moving(kind, photo(), photo()[::-1]) for kind in ("PNG", "WEBP", "TIFF")}
    cut = {kind: content[: int(len(content) * 0.75)] for kind, content in whole.items()}

    found = digests(tmp_path, list(cut.values()))

    assert all(one is None or len(one) != 64 for one in found)


def test_a_digest_comes_with_what_else_is_known_of_the_file(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(tiny_png(number))
    rows, _ = decode_all(tmp_path, {f"{number}.png": tiny_png(number) for number in range(3)})

    found = digest_files([tmp_path / "0.png", tmp_path / "gone.png", tmp_path / "2.png"])

    assert [one.digest for one in found] == [rows["0.png"].digest, None, rows["2.png"].digest]
    assert (found[1].error, found[1].pixels_digest) == ("No such file or directory", None)


def test_frames_and_pages_are_counted(tmp_path):
    contents = {picture.name: picture.content for picture in pictures()}
    contents |= {
        f"three.{kind}": moving(kind, COLOUR, GREY_TWICE, COLOUR) for kind in ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
    }

    rows, _ = decode_all(tmp_path, contents)

    counts = {name: 3 if name.startswith("three") else 2 if name.startswith("moving") else 1 for name in contents}
    assert {name: row.frames for name, row in rows.items()} == counts


GREY_TWICE = grey(GREY)[::-1]


@pytest.mark.parametrize("count", [2**31 - 1, 2**31])
def test_a_count_that_no_table_holds_is_a_large_one(tmp_path, count):
    rows, _ = decode_all(tmp_path, {"a.png": with_frames(moving("PNG", COLOUR, COLOUR[::-1]), count)})

    assert rows["a.png"].frames == MAX_FRAMES


def with_frames(content, count):
    """Return a PNG whose header says that it has `count` frames."""
    body = b"acTL" + struct.pack(">II", count, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    start = content.find(b"acTL") - 4
    before, after = (33, 33) if start < 0 else (start, start + len(chunk))
    return content[:before] + chunk + content[after:]


def dated(kind, date, fraction=None):
    details = {0x9003: date} if fraction is None else {0x9003: date, 0x9291: fraction}
    if kind == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[0x8769], tags.tagtype[0x8769] = details, 4
        return encode(COLOUR, kind, tiffinfo=tags)
    exif = Image.Exif()
    exif[0x8769] = details
    return encode(COLOUR, kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_time_of_the_picture_is_that_of_its_exif_data(tmp_path, kind):
    contents = {
        "second": dated(kind, "2019:05:01 12:00:00"),
        "fraction": dated(kind, "2019:05:01 12:00:00", "25"),
        "padded": dated(kind, "2019:05:01 12:00:00", "07 "),
        "none": encode(COLOUR, kind),
        "zero": dated(kind, "0000:00:00 00:00:00", "25"),
        "blank": dated(kind, "    :  :     :  :  "),
        "text": dated(kind, "yesterday"),
        "odd fraction": dated(kind, "2019:05:01 12:00:00", "-1"),
    }

    rows, _ = decode_all(tmp_path, contents)

    assert [row.error for row in rows.values()] == [None] * len(contents)
    second = "2019-05-01T12:00:00"
    assert [row.taken for row in rows.values()] == [second, f"{second}.25", f"{second}.07", *[None] * 4, second]


def made_by(kind, make, model):
    tags = {0x010F: make, 0x0110: model}
    exif = Image.Exif()
    exif.update({tag: text for tag, text in tags.items() if text is not None})
    # In a JPEG XL the data has its offset before it, which Pillow's plugin leaves to whoever calls it.
    return encode(COLOUR, kind, exif=bytes(4) + exif.tobytes()[6:] if kind == "JXL" else exif.tobytes())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JXL"])
def test_the_camera_is_that_of_the_exif_data(tmp_path, kind):
    contents = {
        "Canon EOS 5D": made_by(kind, "Canon", "Canon EOS 5D"),
        "NIKON D750": made_by(kind, "NIKON CORPORATION", "NIKON D750"),
        "SONY ILCE-7M3": made_by(kind, "SONY", "ILCE-7M3"),
        "Apple iPhone 12": made_by(kind, "Apple  ", " iPhone\n12 "),
        "LG LG-H815": made_by(kind, "LG ", "LG LG-H815\0\0more"),
        "HERO": made_by(kind, None, "HERO"),
        "GoPro": made_by(kind, "GoPro", None),
        "none": encode(COLOUR, kind),
        "blank": made_by(kind, " ", "\0 "),
    }

    rows, _ = decode_all(tmp_path, contents)

    assert [row.error for row in rows.values()] == [None] * len(contents)
    assert [row.camera for row in rows.values()] == [*list(contents)[:7], None, None]


def test_a_camera_with_an_endless_name_has_a_short_one(tmp_path):
    rows, _ = decode_all(tmp_path, {"a": made_by("JPEG", "x" * 30_000, "y" * 30_000)})

    assert rows["a"].camera == f"{'x' * MAX_NAME} {'y' * MAX_NAME}"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "JXL"])
def test_the_exposure_is_that_of_the_exif_data(tmp_path, kind):
    given = {
        "0.008 s, f/2.8, ISO 100, -0.3333 EV": {
            "ExposureTime": IFDRational(1, 125),
            "FNumber": IFDRational(28, 10),
            "ISOSpeedRatings": 100,
            "ExposureBiasValue": IFDRational(-1, 3),
        },
        "0.008 s, +0 EV": {"ExposureTime": IFDRational(10, 1250), "ExposureBiasValue": IFDRational(0, 6)},
        "30 s, ISO 200": {"ExposureTime": IFDRational(30), "ISOSpeedRatings": (200, 0)},
        "1.25e-05 s": {"ExposureTime": IFDRational(1, 80_000)},
        "none": {},
        "nothing": {"ExposureTime": IFDRational(0, 1), "FNumber": IFDRational(1, 0), "ISOSpeedRatings": 65535},
        "no numbers": {"ExposureTime": "soon", "ISOSpeedRatings": 0},
    }
    told = [exif(**tags) for tags in given.values()]
    # In a JPEG XL the data has its offset before it, which Pillow's plugin leaves to whoever calls it.
    told = [bytes(4) + one[6:] for one in told] if kind == "JXL" else told

    rows, _ = decode_all(tmp_path, {str(n): encode(COLOUR, kind, exif=one) for n, one in enumerate(told)})

    assert [row.error for row in rows.values()] == [None] * len(told)
    assert [row.exposure for row in rows.values()] == [*list(given)[:4], None, None, None]


def test_what_is_not_known_is_none():
    assert set(vars(Decoded()).values()) == {None}
