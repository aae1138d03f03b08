"""What is said of orientations without pixels agrees with what is done to pixels."""

import numpy as np
import pandas as pd
import pytest

from imagetwins import ssim
from imagetwins.matching.orientation import invert, lies_on_side, read_orientations
from imagetwins.orientation import INVERSE
from imagetwins.text import ORIENTATIONS

PICTURE = np.arange(2 * 3).reshape(2, 3)


def follow(words):
    """Do to PICTURE what `words` say, in their order."""
    pixels = PICTURE
    for step in filter(None, words.split(" and ")):
        if step == "mirrored":
            pixels = np.fliplr(pixels)
        elif step == "mirrored top to bottom":
            pixels = np.flipud(pixels)
        else:
            turned, by, degrees, *way = step.split(" ")
            assert (turned, by) == ("turned", "by")
            quarters = int(degrees) // 90
            pixels = np.rot90(pixels, quarters if way[-1] == "counter-clockwise" else -quarters)
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_words_say_what_is_done_to_a_picture(orientation):
    assert np.array_equal(ssim.turn(PICTURE, orientation), follow(ORIENTATIONS.get(orientation, "")))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_inverse_undoes_it_and_lying_on_a_side_exchanges_width_and_height(orientation):
    turned = ssim.turn(PICTURE, orientation)
    (inverse,) = invert(np.array([orientation], np.uint8))
    assert np.array_equal(ssim.turn(turned, inverse), PICTURE)
    assert inverse == INVERSE[orientation]
    assert lies_on_side(orientation) == (turned.shape == (3, 2))


def test_tables_of_older_versions_have_pictures_as_they_are():
    assert read_orientations(pd.DataFrame({"orientation": pd.array([None, 6, 1], "UInt8")})).tolist() == [1, 6, 1]
