"""A JPEG is whole if its pixels are: what is odd around them is passed over, and of a cut one nothing is shown as if it were whole."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from imagetwins.decoding.headers import Header, read_header, read_picture
from imagetwins.decoding.jpeg import find_plain_frame, read_jpeg
from imagetwins.decoding.model import UndecodableError
from tests.support.decoding import decode_all
from tests.support.pictures import encode, oriented, photo

KINDS = {
    "plain": {},
    "grey": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "full colours": {"subsampling": 0},
}


def jpeg(kind="plain", **options):
    pixels = photo(40, 56)
    return encode(pixels[..., 0] if kind == "grey" else pixels, "JPEG", quality=90, **KINDS[kind], **options)


def header_ends(content):
    """Return where each segment before the first scan ends, the start marker's end among them."""
    ends = [2]
    while content[ends[-1] + 1] != 0xDA:
        ends.append(ends[-1] + 2 + int.from_bytes(content[ends[-1] + 2 : ends[-1] + 4]))
    return ends


def decode(tmp_path, contents):
    rows, thumbnails = decode_all(tmp_path, {f"{name}.jpg": content for name, content in contents.items()})
    return {name: (rows[f"{name}.jpg"], thumbnails[f"{name}.jpg"]) for name in contents}


@pytest.mark.parametrize("kind", KINDS)
def test_of_all_cuts_only_those_that_cost_no_pixel_are_whole(tmp_path, kind):
    whole = jpeg(kind)
    # The last bytes are cut one by one, the rest at every place where a scan or a segment might end, and at many others.
    markers = [at for at in range(len(whole)) if whole[at] == 0xFF]
    places = {*range(len(whole) - 40, len(whole)), *markers, *range(0, len(whole), 37)}

    found = decode(tmp_path, {"whole": whole} | {at: whole[:at] for at in sorted(places)})

    expected = found.pop("whole")[1]
    accepted = [at for at, (row, thumbnail) in found.items() if row.error is None]
    assert all(np.array_equal(found[at][1], expected) for at in accepted)
    assert {len(whole) - 1, len(whole) - 2} <= set(accepted)
    assert min(accepted) > len(whole) - 6


@pytest.mark.parametrize("filling", [bytes(1), b"\xff", b"\x55", b"\r\n", b"\xff\xd9"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_and_filled_up_to_its_size_is_not_whole(tmp_path, kind, filling):
    whole = jpeg(kind)
    cuts = [header_ends(whole)[-1] + 20, *(int(len(whole) * share) for share in (0.5, 0.7, 0.9, 0.97))]

    found = decode(tmp_path, {at: whole[:at] + (filling * len(whole))[: len(whole) - at] for at in cuts})

    assert all(row.error for row, _ in found.values())


def test_a_scan_that_is_missing_is_not_whole(tmp_path):
    whole = jpeg("progressive")
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]

    found = decode(tmp_path, {at: whole[:at] for at in scans})

    assert len(found) > 5
    assert all("truncated" in row.error for row, _ in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_around_the_pixels_does_not_matter(tmp_path, kind):
    whole = jpeg(kind)
    odd = {
        f"stray {end}": whole[:end] + stray + whole[end:]
        for end, stray in zip(
            header_ends(whole), [b"\0", b"\0\0\0\0", b"stray\xff\0 bytes", b"\xff\xff", b"\n"], strict=False
        )
    }
    odd |= {
        "stray everywhere": with_stray_bytes(whole),
        "two starts": whole[:2] + whole,
        "two headers": whole[: header_ends(whole)[1]] + whole,
        "all of the header twice": whole[: header_ends(whole)[-1]] + whole,
        "no end": whole[:-2],
        "half an end": whole[:-1],
        "leading": b"HTTP/1.1 200 OK\r\n\r\n" + whole,
        "leading, and no end": b"\n" + whole[:-2],
        "a later JFIF": whole.replace(b"JFIF\0\1", b"JFIF\0\2"),
        "all at once": b"\0\0" + whole[: header_ends(whole)[1]] + with_stray_bytes(whole)[:-2],
    }

    found = decode(tmp_path, {"whole": whole} | odd)

    expected = found["whole"][1]
    assert {name: row.error for name, (row, _) in found.items() if row.error} == {}
    assert {row.format for row, _ in found.values()} == {"JPEG"}
    assert all(np.array_equal(thumbnail, expected) for _, thumbnail in found.values())


def with_stray_bytes(content):
    ends = header_ends(content)
    pieces = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    return b"\0\x07\0".join(pieces)


def test_what_is_odd_and_cut_is_not_whole(tmp_path):
    """libjpeg tells the first thing that is wrong alone."""
    whole = jpeg()
    cut = {name: whole[: int(len(whole) * 0.8)] + end for name, end in {"no end": b"", "an end": b"\xff\xd9"}.items()}
    odd = {}
    for name, content in cut.items():
        odd |= {
            f"stray, {name}": with_stray_bytes(content),
            f"leading, {name}": b"\0\0" + content,
            f"JFIF, {name}": content.replace(b"JFIF\0\1", b"JFIF\0\2"),
            f"two headers, {name}": content[: header_ends(content)[1]] + content,
            f"parameters, {name}": with_wrong_scan_parameters(content),
        }
    assert decode(tmp_path, {"a": with_wrong_scan_parameters(whole)})["a"][0].error is None

    found = decode(tmp_path, odd)

    assert all(row.error for row, _ in found.values())


def with_wrong_scan_parameters(content):
    parameters = content.index(b"\0\x3f\0", header_ends(content)[-1])
    return content[:parameters] + b"\0\0\0" + content[parameters + 3 :]


def with_exif_thumbnail(whole, thumbnail):
    embedded = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    return whole[:2] + b"\xff\xe1" + (len(embedded) + 2).to_bytes(2) + embedded + whole[2:]


def test_a_thumbnail_in_damaged_exif_data_is_never_taken_for_the_picture(tmp_path):
    thumbnail = encode(photo(16, 24), "JPEG")
    whole = with_exif_thumbnail(jpeg(), thumbnail)
    length, start = 4, whole.index(thumbnail)
    assert int.from_bytes(whole[length : length + 2]) == len(thumbnail) + 22
    damaged = {
        f"length {wrong}": whole[:length] + wrong.to_bytes(2) + whole[length + 2 :]
        for wrong in (2, 3, 8, 16, 20, 21, start - length, start - length + 1, start - length + 20, len(thumbnail))
    }
    damaged |= {"no start": bytes(2) + whole[2:], "no beginning": bytes(start) + whole[start:]}

    found = decode(tmp_path, {"whole": whole} | damaged)

    assert found["whole"][0].error is None
    sizes = {name: (row.width_px, row.height_px) for name, (row, _) in found.items() if row.error is None}
    assert set(sizes.values()) == {(56, 40)}


def test_pictures_and_films_behind_a_picture_are_counted(tmp_path):
    first, second, gain_map = jpeg(), jpeg("grey"), jpeg("progressive")
    film = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 20
    behind = {
        "nothing": b"",
        "padding": bytes(100),
        "a picture": second,
        "two pictures": second + bytes(8) + with_exif_thumbnail(gain_map, encode(photo(8, 8), "JPEG")),
        "a film": film,
        "a marked film": b"MotionPhoto_Data" + film,
        "a picture and a film": gain_map + film,
        "half a picture": second[: len(second) // 2],
    }

    found = decode(tmp_path, {name: first + more for name, more in behind.items()})

    assert {name: row.error for name, (row, _) in found.items()} == dict.fromkeys(behind)
    assert [row.extras for row, _ in found.values()] == [0, 0, 1, 2, 1, 1, 2, 0]
    assert {row.frames for row, _ in found.values()} == {1}
    assert len({thumbnail.tobytes() for _, thumbnail in found.values()}) == 1


def test_the_orientation_of_a_mended_picture_holds(tmp_path):
    turned = oriented(photo(40, 56), "JPEG", 6)

    found = decode(tmp_path, {"whole": turned, "mended": with_stray_bytes(turned)[:-2]})

    assert [(row.width_px, row.height_px) for row, _ in found.values()] == [(40, 56)] * 2
    assert np.array_equal(found["whole"][1], found["mended"][1])


def test_nothing_of_a_regular_jpeg_is_changed():
    for kind in KINDS:
        assert read_jpeg(jpeg(kind)).content == jpeg(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_says_nothing_but_the_frame_is_read_without_pillow(kind):
    content = jpeg(kind, comment=b"a comment")
    is_progressive = kind == "progressive"

    assert find_plain_frame(content) == (56, 40, is_progressive)
    assert read_picture(content)[0] == read_header(content) == Header("JPEG", 56, 40, 1, is_progressive, 1, 0, None)


def test_a_header_that_says_more_is_not_plain():
    pixels = photo(40, 56)
    xmp = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    cmyk = io.BytesIO()
    Image.new("CMYK", (56, 40)).save(cmyk, "JPEG")
    contents = [oriented(pixels, "JPEG", 6), jpeg(xmp=xmp), jpeg(icc_profile=bytes(200)), cmyk.getvalue()]
    contents += [content[:end] for content in [jpeg()] for end in header_ends(content)]

    assert [find_plain_frame(content) for content in contents] == [None] * len(contents)
    assert [read_picture(content)[0].orientation for content in contents[:3]] == [6, 6, 1]


def test_whatever_a_header_says_it_is_what_pillow_reads(soak_factor):
    rng = np.random.default_rng(0)
    wholes = [jpeg(kind, comment=b"a comment") for kind in KINDS] + [oriented(photo(40, 56), "JPEG", 6)]
    n_plain = 0
    for _ in range(3000 * soak_factor):
        content = mutate_header(wholes[rng.integers(len(wholes))], rng)
        frame = find_plain_frame(content)
        if frame is None:
            continue
        n_plain += 1
        assert pillows_header(content) == Header("JPEG", *frame[:2], 1, frame.is_progressive, 1, 0, None)
    assert n_plain > 500 * soak_factor


def pillows_header(content):
    try:
        return read_header(content)
    except UndecodableError as error:
        return str(error)


def mutate_header(content, rng):
    """Return a JPEG of which segments before the first scan are doubled, left out, moved or cut, or some of their bytes are others."""
    ends = header_ends(content)
    segments = [content[start:end] for start, end in itertools.pairwise(ends)]
    for _ in range(rng.integers(3)):
        place = rng.integers(len(segments))
        if not segments[place]:
            continue
        change = rng.choice(["double", "leave out", "move", "cut", "shorten", "byte", "byte", "byte"])
        one = bytearray(segments[place])
        if change in {"leave out", "move"} and len(segments) > 1:
            segments.pop(place)
        if change in {"double", "move"}:
            segments.insert(rng.integers(len(segments) + 1), bytes(one))
        if change == "byte":
            one[rng.integers(len(one))] = rng.choice(
                [0, 1, 2, 3, 8, 0xC1, 0xC2, 0xDA, 0xE0, 0xE1, 0xE2, 0xFF, rng.integers(256)]
            )
        elif change == "cut":
            del one[rng.integers(len(one)) :]
        elif change == "shorten" and len(one) > 5:
            del one[rng.integers(4, len(one)) :]
            one[2:4] = (len(one) - 2).to_bytes(2)
        if change in {"byte", "cut", "shorten"}:
            segments[place] = bytes(one)
    return content[:2] + b"".join(segments) + content[ends[-1] :]
