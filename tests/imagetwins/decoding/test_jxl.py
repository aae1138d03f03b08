"""The header of a JPEG XL is read before its decoder, which would decode all of it first."""

import numpy as np
import pytest

from imagetwins.decoding.jxl import CODESTREAM, CONTAINER, read_jxl_header
from imagetwins.decoding.model import UndecodableError
from tests.support.decoding import decode_all
from tests.support.pictures import encode, pictures

SHAPES = [
    (1, 1),
    (8, 8),
    (8, 16),
    (256, 256),
    (257, 3),
    (3, 300),
    (600, 500),
    (90, 160),
    (1, 9000),
    (48, 64),
    (40, 48),
    (40, 80),
]
"""Small and large sides, multiples of 8, and each of the ratios for which a width needs no bits of its own."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"use_container": True}])
def test_the_size_is_what_was_encoded(shape, options):
    pictures()  # They register the encoder.
    content = encode(np.full((*shape, 3), 9, np.uint8), "JXL", effort=1, **options)

    header = read_jxl_header(content)

    assert (header.height_px, header.width_px, header.is_animation) == (*shape, False)


def written(*fields):
    """Return a codestream of (value, number of bits), the least significant bit first."""
    bits, offset = 0, 0
    for value, count in fields:
        bits |= value << offset
        offset += count
    return CODESTREAM + bits.to_bytes(32, "little")


LARGE = [(0, 1), (3, 2), (999_999, 30), (0, 3), (3, 2), (999_999, 30)]
SMALL = [(1, 1), (4, 5), (1, 3)]
NOT_DEFAULT, TURNED, NO_SIZE, NO_PREVIEW = [(0, 1), (1, 1)], [(5, 3)], [(0, 1)], [(0, 1)]


def boxed(content):
    return CONTAINER + (8 + len(content)).to_bytes(4) + b"jxlc" + content


def test_a_size_that_is_too_large_is_refused_before_anything_is_decoded(tmp_path):
    rows, _ = decode_all(tmp_path, {"a.jxl": written(*LARGE), "b.jxl": boxed(written(*LARGE))})

    assert all("1000000 x 1000000" in row.error for row in rows.values())


@pytest.mark.parametrize("intrinsic", [NO_SIZE, [(1, 1), *SMALL]])
def test_an_animation_is_refused_since_its_frames_cannot_be_compared(tmp_path, intrinsic):
    head = [*SMALL, *NOT_DEFAULT, *TURNED, *intrinsic, *NO_PREVIEW]
    assert not read_jxl_header(written(*head, (0, 1))).is_animation

    rows, _ = decode_all(tmp_path, {"a.jxl": written(*head, (1, 1))})

    assert "animated" in rows["a.jxl"].error
    assert (rows["a.jxl"].format, rows["a.jxl"].width_px) == (None, None)


def test_a_codestream_in_parts_is_put_together():
    whole = written(*LARGE)
    parts = [whole[:3], whole[3:7], whole[7:]]
    content = CONTAINER + b"".join(
        (12 + len(part)).to_bytes(4) + b"jxlp" + number.to_bytes(4) + part for number, part in enumerate(parts)
    )

    assert read_jxl_header(content) == read_jxl_header(whole)


@pytest.mark.parametrize(
    "content",
    [
        CODESTREAM,
        CODESTREAM + b"\x00",
        CONTAINER,
        CONTAINER + (0).to_bytes(4) + b"free",
        CONTAINER + (4).to_bytes(4) + b"jxlc" + bytes(20),
        CONTAINER + (1).to_bytes(4) + b"jxlc" + (3).to_bytes(8),
        written(*SMALL, *NOT_DEFAULT, *TURNED, *NO_SIZE, (1, 1)),
    ],
)
def test_a_damaged_header_is_an_error(content):
    with pytest.raises(UndecodableError):
        read_jxl_header(content)
