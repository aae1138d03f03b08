"""Pictures without their common header are whole with it, whatever they show."""

import base64

import cv2
import numpy as np
import pytest

from imagetwins.reporting.pictures import PICTURE_SIZES, JpegWriter
from tests.support import thumbnails


@pytest.mark.parametrize("size", PICTURE_SIZES)
def test_header_and_rest_are_the_jpeg_that_opencv_writes(size):
    writer = JpegWriter(size.side, size.quality)
    for thumbnail in thumbnails.collection(size.side):
        joined = base64.b64decode(writer.header + writer.encode(thumbnail), validate=True)

        shown = cv2.imdecode(np.frombuffer(joined, np.uint8), cv2.IMREAD_COLOR)
        _, whole = cv2.imencode(".jpg", thumbnail, [cv2.IMWRITE_JPEG_QUALITY, size.quality])
        assert (shown == cv2.imdecode(whole, cv2.IMREAD_COLOR)).all()
        assert len(joined) <= len(whole) + 6


def test_a_thumbnail_is_shrunk_by_averaging():
    checkers = np.indices((128, 128)).sum(0)[..., None].repeat(3, -1) % 2 * np.uint8(200)

    writer = JpegWriter(64, 90)
    joined = base64.b64decode(writer.header + writer.encode(checkers.astype(np.uint8)))

    shown = cv2.imdecode(np.frombuffer(joined, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (64, 64, 3)
    assert abs(shown.astype(int) - 100).max() <= 1


def test_there_are_fewer_pixels_the_more_pictures_there_are():
    counts, sides, _ = zip(*PICTURE_SIZES, strict=True)
    assert list(counts) == sorted(counts)
    assert list(sides) == sorted(sides, reverse=True)
    assert counts[-1] == float("inf")
