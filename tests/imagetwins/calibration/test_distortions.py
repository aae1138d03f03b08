"""Planted copies are what their names say, by measures that are not ours."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage import data
from skimage.metrics import structural_similarity

from imagetwins.calibration.distortions import EDITS, KINDS, TURNS, kinds_to_plant, plant_copy, plant_edit
from imagetwins.errors import ParameterError


@pytest.fixture(scope="module")
def photo():
    return cv2.cvtColor(data.astronaut()[:400], cv2.COLOR_RGB2BGR)


def thumbnail(image):
    return cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_looks_like_its_picture_and_is_not_the_same(photo, kind):
    before = photo.copy()

    copy = plant_copy(photo, kind, np.random.default_rng(0))

    assert copy.dtype == np.uint8
    assert np.array_equal(photo, before)
    assert copy.shape != photo.shape or not np.array_equal(copy, photo)
    assert structural_similarity(thumbnail(photo), thumbnail(copy), channel_axis=-1) > 0.5


@pytest.mark.parametrize("kind", [*KINDS, *TURNS])
def test_the_seed_decides_all(photo, kind):
    first, second = (plant_copy(photo, kind, np.random.default_rng(3)) for _ in range(2))

    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("kind", "shape"), [("halved", (200, 256, 3)), ("doubled", (800, 1024, 3)), ("cropped", (392, 502, 3))]
)
def test_sizes(photo, kind, shape):
    assert plant_copy(photo, kind, np.random.default_rng(0)).shape == shape


@pytest.mark.parametrize(("kind", "orientations"), [("turned", {3, 6, 8}), ("mirrored", {2, 4})])
def test_a_turned_copy_is_the_picture_in_one_of_the_orientations_of_its_kind(photo, kind, orientations):
    before, found = photo.copy(), set()
    for seed in range(12):
        copy = plant_copy(photo, kind, np.random.default_rng(seed))
        scores = {}
        for orientation in range(1, 9):
            picture = Image.fromarray(photo)
            picture.getexif()[0x0112] = orientation
            scores[orientation] = structural_similarity(
                thumbnail(np.asarray(ImageOps.exif_transpose(picture))), thumbnail(copy), channel_axis=-1
            )
        best = max(scores, key=scores.get)
        assert scores.pop(best) > 0.9
        assert max(scores.values()) < 0.6
        found.add(best)
    assert found == orientations
    assert np.array_equal(photo, before)


def test_turned_copies_are_planted_where_they_can_be_found():
    assert kinds_to_plant("same") == KINDS
    assert kinds_to_plant("all") == (*KINDS, *TURNS)


def test_a_grey_copy_has_equal_channels(photo):
    blue, green, red = cv2.split(plant_copy(photo, "grey", np.random.default_rng(0)))

    assert np.array_equal(blue, green)
    assert np.array_equal(green, red)


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_one_place_and_is_decided_by_the_seed(photo, kind):
    before = photo.copy()

    first, second, other = (plant_edit(photo, kind, np.random.default_rng(seed)) for seed in (3, 3, 4))

    changed = (first != photo).any(axis=2)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(photo, before)
    assert 0.002 < changed.mean() < 0.1
    assert structural_similarity(thumbnail(photo), thumbnail(first), channel_axis=-1) > 0.9


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_of_the_smallest_picture(kind):
    assert plant_edit(np.full((1, 1, 3), 90, np.uint8), kind, np.random.default_rng(0)).shape == (1, 1, 3)


@pytest.mark.parametrize("kind", [*KINDS, *TURNS])
def test_the_smallest_picture(kind):
    copy = plant_copy(np.full((1, 1, 3), 90, np.uint8), kind, np.random.default_rng(0))

    assert min(copy.shape) >= 1


def test_an_unknown_kind_is_refused_with_the_known_ones(photo):
    with pytest.raises(ParameterError, match=r"'blurred'.*halved, doubled.*turned, mirrored"):
        plant_copy(photo, "blurred", np.random.default_rng(0))
    with pytest.raises(ParameterError, match=r"'blurred'.*patched, captioned"):
        plant_edit(photo, "blurred", np.random.default_rng(0))
