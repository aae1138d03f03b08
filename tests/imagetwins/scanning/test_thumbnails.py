"""Pictures of past runs, decoded again: the file as it is now, or an error, never made-up pixels."""

import cv2
import numpy as np
import pytest

from imagetwins.decoding.model import DecodeSettings
from imagetwins.errors import StoreError
from imagetwins.scanning.thumbnails import decoded_thumbnails


def test_a_file_that_is_gone_or_no_picture_any_more_is_an_error_and_not_a_black_picture(tmp_path):
    picture, text = tmp_path / "a.png", tmp_path / "b.png"
    cv2.imwrite(str(picture), np.full((20, 30, 3), 90, np.uint8))
    text.write_text("no picture")
    places = {0: picture, 1: text, 2: tmp_path / "gone.png"}
    read = decoded_thumbnails(places.get, DecodeSettings(16))
    assert read(0).shape == (16, 16, 3)
    assert (read(0) == 90).all()
    for image in (1, 2, 3):
        with pytest.raises(StoreError, match=f"image {image} .*can no longer be read"):
            read(image)
