"""The film of a motion photo is found wherever phones put it, and is the same one behind every copy of the picture."""

import hashlib

import pytest

from imagetwins.decoding.film import find_in_boxes
from tests.support.decoding import decode_all
from tests.support.pictures import box, encode, exif, film, photo

PICTURES = {
    kind: encode(photo(24, 32), kind, quality=90, exif=exif("2024:08:12 10:00:00", "25"))
    for kind in ("JPEG", "HEIF", "AVIF")
}
OTHER = encode(photo(24, 32), "JPEG", quality=60)
FILM = film()
DIGEST = hashlib.sha256(FILM).hexdigest()


def found(tmp_path, contents):
    rows, _ = decode_all(tmp_path, {str(number): content for number, content in enumerate(contents)})
    assert [row.error for row in rows.values()] == [None] * len(contents)
    return [(row.film_digest, row.extras) for row in rows.values()]


def test_behind_a_jpeg_it_is_a_file_as_it_stands(tmp_path):
    first = PICTURES["JPEG"]
    contents = [
        first,
        first + bytes(100),
        first + OTHER,
        first + FILM,
        OTHER + FILM,
        # A gain map, and the film last of all.
        first + OTHER + FILM,
        # As Samsung marks it.
        first + b"\0\0\x30\x0a\x10\0\0\0MotionPhoto_Data" + FILM,
        # Mended: its start is begun twice.
        first[:2] + first + FILM,
        first + film(1),
    ]
    behind = [(None, 0), (None, 0), (None, 1), *[(DIGEST, 1)] * 2, (DIGEST, 2), *[(DIGEST, 1)] * 2]
    assert found(tmp_path, contents) == [*behind, (hashlib.sha256(film(1)).hexdigest(), 1)]


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_in_a_file_of_boxes_it_is_in_one_or_follows_them(tmp_path, kind):
    first = PICTURES[kind]
    contents = [first, first + box(b"free", bytes(20)), first + box(b"mpvd", FILM), first + FILM]
    assert found(tmp_path, contents) == [*[(None, 0)] * 2, *[(DIGEST, 1)] * 2]


def test_boxes_of_all_lengths_are_passed_over_and_damaged_ones_end_the_search():
    head, large = box(b"ftyp", b"heic"), b"\0\0\0\1" + b"free" + (21).to_bytes(8) + b"abcde"
    motion = box(b"mpvd", FILM)
    for boxes in (head, head + large, head + large + box(b"meta", FILM)):
        assert find_in_boxes(boxes + motion) == len(boxes) + 8
    to_the_end = head + b"\0\0\0\0" + b"mpvd"
    assert find_in_boxes(to_the_end + FILM) == len(to_the_end)
    for damaged in (head + b"\0\0\0\0" + b"mdat", head + b"\0\0\0\7" + b"free", head + b"\xff\xff\xff\xff" + b"free"):
        content = damaged + motion
        assert find_in_boxes(content) == len(content)
    for end in range(len(head + motion)):
        assert end <= len(head) + 8 or find_in_boxes((head + motion)[:end]) == len(head) + 8
