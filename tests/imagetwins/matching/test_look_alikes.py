"""Files whose thumbnails are alike although they are not: none moves without a person. Those that show the same do."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from benchmarks.stages import run_stages
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS, IMAGES
from imagetwins.store.tables import read_table
from tests.support.pictures import encode, exif, glyph, png16, raw
from tests.support.pictures import film as motion

SIDE = 96
RNG = np.random.default_rng(1)
SHARES = [0.9, 0.02, 0.02, 0.02, 0.02, 0.02]
LABELS = [np.kron(RNG.choice(6, (8, 8), p=SHARES).astype(np.uint8), np.ones((12, 12), np.uint8)) for _ in range(4)]
NIGHTS = [RNG.poisson(2, (SIDE, SIDE, 3)).astype(np.uint8) for _ in range(4)]
PHOTOS = [
    getattr(data, name)()[100 : 100 + SIDE, 100 : 100 + SIDE] for name in ("astronaut", "chelsea", "coffee", "rocket")
]
TITLE, ONE, TWO, THREE = (np.asarray(Image.fromarray(photo).quantize(32).convert("RGB")) for photo in PHOTOS)


def film(kind, *frames, durations=100):
    stream = io.BytesIO()
    shown = [Image.fromarray(frame) for frame in frames]
    if kind == "GIF":
        shown = [frame.quantize(32) for frame in shown]
    options = {"lossless": True} if kind == "WEBP" else {}
    shown[0].save(stream, kind, save_all=True, append_images=shown[1:], duration=durations, loop=0, **options)
    return stream.getvalue()


def films(kind):
    """Return three films after one title, one of them at another speed, the title alone, and a copy of the first film."""
    first = film(kind, TITLE, ONE)
    different = [
        first,
        film(kind, TITLE, TWO),
        film(kind, TITLE, ONE, TWO),
        film(kind, TITLE, ONE, durations=[100, 900]),
    ]
    still = encode(TITLE, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return [*different, still], [with_comment(first)]


def pages():
    """Return documents with one cover, the cover alone, and a copy of the first one."""
    made = [pages_of(TITLE, ONE), pages_of(TITLE, TWO), pages_of(TITLE, ONE, ONE), pages_of(TITLE)]
    return made, [pages_of(TITLE, ONE, compression="deflate"), pages_of(TITLE, compression="deflate")]


def pages_of(*frames, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.stack(frames), photometric="rgb", **options)
    return stream.getvalue()


def with_comment(content):
    """Return a GIF, a WebP or a PNG with something in it that nobody sees."""
    if content.startswith(b"GIF"):
        return content[:-1] + b"\x21\xfe\x03abc\0" + content[-1:]
    if content.startswith(b"RIFF"):
        chunk = b"abcd\4\0\0\0abcd"
        return b"RIFF" + (len(content) - 8 + len(chunk)).to_bytes(4, "little") + content[8:] + chunk
    text, end = b"tEXta\0b", content.rindex(b"IEND") - 4
    return content[:end] + (3).to_bytes(4) + text + zlib.crc32(text).to_bytes(4) + content[end:]


def icons(colour):
    return [encode(glyph(number, colour), "PNG") for number in range(7)], [
        encode(glyph(0, colour), "WEBP", lossless=True, exact=True)
    ]


def kept_in_16(bits):
    """Return photographs so dark that, taken for 16 bits, nothing is seen of them."""
    deep = [(photo * (((1 << bits) - 1) / 255)).round().astype(np.uint16) for photo in PHOTOS]
    return [png16(pixels) for pixels in deep], [encode(PHOTOS[0], "PNG")]


KINDS = {
    "GIF": lambda: films("GIF"),
    "WebP": lambda: films("WEBP"),
    "APNG": lambda: films("PNG"),
    "pages": pages,
    "masks": lambda: ([encode(mask, "PNG") for mask in LABELS], [encode(LABELS[0], "BMP")]),
    "masks in 16 bits": lambda: (
        [encode(mask.astype(np.uint16), "PNG") for mask in LABELS],
        [encode(LABELS[0].astype(np.uint16), "TIFF")],
    ),
    "night": lambda: ([encode(night, "PNG") for night in NIGHTS], [encode(NIGHTS[0], "WEBP", lossless=True)]),
    "white icons": lambda: icons(255),
    "faint icons": lambda: icons(240),
    "10 bits": lambda: kept_in_16(10),
    "12 bits": lambda: kept_in_16(12),
}
SEEN = ("white icons", "faint icons", "10 bits", "12 bits")
"""Kinds whose thumbnails show enough, so that nothing is for review and no pixels are read twice."""


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_shows_the_same_moves(tmp_path, kind):
    different, again = KINDS[kind]()

    images, decisions = run(tmp_path, different + again)

    assert images["error"].isna().all()
    first, copies = decisions.iloc[: len(different)], decisions.iloc[len(different) :]
    assert set(first["action"]) == ({"kept"} if kind in SEEN else {"kept", "review"})
    assert copies["action"].tolist() == ["would move"] * len(again)
    assert copies["kept_image"].tolist() == ([0, 3] if kind == "pages" else [0])
    assert images["pixels_digest"].isna().all() == (kind in SEEN)


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        ("GIF", {1: "frames-unequal", 2: "frames-differ", 3: "frames-unequal", 4: "frames-differ"}),
        ("pages", {1: "frames-unequal", 2: "frames-differ", 3: "frames-differ"}),
    ],
)
def test_films_and_documents_are_all_for_review(tmp_path, kind, codes):
    different, _ = KINDS[kind]()

    images, decisions = run(tmp_path, different)

    review = decisions[decisions["action"] == "review"]
    assert dict(zip(review["image"], review["reason_code"], strict=True)) == codes
    assert images["frames"].tolist() == [2, 2, 3, *([2, 1] if kind == "GIF" else [1])]


def run(tmp_path, contents, names=None):
    """Return the images and decisions of a run on files that are listed in this order."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in zip(names or [f"{number}.png" for number in range(len(contents))], contents, strict=True):
        (folder / name).write_bytes(content)
    done = Run(Path(tmp_path / "store"), "20260101T000000Z-00000000")
    run_stages(done, folder)
    return read_table(done.images, IMAGES), read_table(done.decisions, DECISIONS)


def test_the_digest_of_pixels_stays_in_the_cache(tmp_path):
    different, again = KINDS["masks"]()
    run(tmp_path, different)
    (tmp_path / "folder" / "9.png").write_bytes(again[0])
    second = Run(Path(tmp_path / "store"), "20260102T000000Z-00000000")

    record = run_stages(second, tmp_path / "folder")

    assert record.counts["to_decode"] == 1
    assert read_table(second.images, IMAGES)["pixels_digest"].nunique() == len(different)
    assert read_table(second.decisions, DECISIONS)["action"].iloc[-1] == "would move"


def test_a_transparent_picture_is_still_a_copy_of_itself_on_white(tmp_path):
    drawn = np.dstack([PHOTOS[0], np.where(glyph(0, side=SIDE)[..., 3:] > 0, np.uint8(255), np.uint8(0))])
    flat = np.where(drawn[..., 3:] > 0, drawn[..., :3], 255).astype(np.uint8)

    _, decisions = run(tmp_path, [encode(drawn, "PNG"), encode(flat, "JPEG", quality=90)])

    assert decisions["action"].tolist() == ["kept", "would move"]


def test_a_raw_file_and_the_picture_beside_it_are_never_copies(tmp_path):
    picture = np.ascontiguousarray(PHOTOS[0])
    contents = [
        encode(picture, "JPEG", quality=95),
        raw(picture),
        raw(picture, preview=encode(picture, "JPEG", quality=90)),
        raw(picture),
    ]

    images, decisions = run(tmp_path, contents, ["1.jpg", "2.dng", "3.dng", "4.dng"])

    assert images["format"].tolist() == ["JPEG", "RAW", "RAW", "RAW"]
    assert decisions["action"].tolist() == ["kept", "review", "review", "would move"]
    assert decisions["reason_code"].tolist()[1:] == ["raw-preview", "raw-preview", "duplicate"]
    assert decisions["kept_image"].iloc[3] == 1


def test_a_motion_photo_stays_and_its_copy_without_the_film_moves(tmp_path):
    shot, small = PHOTOS[0], encode(PHOTOS[0], "JPEG", quality=70)
    first = encode(shot, "JPEG", quality=90)
    contents = [small, first + motion(), small + motion(), first + motion(1)]

    images, decisions = run(tmp_path, contents)

    assert images["film_digest"].isna().tolist() == [True, False, False, False]
    assert images["film_digest"].nunique() == 2
    assert decisions["action"].tolist() == ["would move", "kept", "would move", "review"]
    assert decisions["reason_code"].iloc[3] == "films-differ"


def shots(photo, *details):
    """Return a photograph a shot, by its moment, the fraction of it, and its exposure: alike but for noise."""
    contents = []
    for number, (taken, fraction, seconds) in enumerate(details):
        seen = np.clip(photo + np.random.default_rng(number).normal(0, 2, photo.shape), 0, 255).astype(np.uint8)
        told = exif(taken, fraction, ExposureTime=seconds)
        contents.append(encode(seen, "JPEG", quality=90, exif=told))
    return contents


def test_frames_of_a_burst_and_of_a_bracket_are_told_from_copies(tmp_path):
    second = "2024:08:12 10:00:00"
    moments = (second, "10", 0.008), (second, "13", 0.008), (second, None, 0.008), (second, "100", 0.0081)
    burst = shots(PHOTOS[0], *moments)
    bracket = shots(PHOTOS[1], *((second, None, seconds) for seconds in (0.008, 0.016, 0.008)))

    _, decisions = run(tmp_path, burst + bracket)

    assert decisions["reason_code"].tolist() == [
        *("has-duplicates", "other-moment", "duplicate", "duplicate"),
        *("has-duplicates", "other-exposure", "duplicate"),
    ]
