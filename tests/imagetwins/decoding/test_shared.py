"""Pictures that the parent resizes: the same thumbnails, and none by a way that is not OpenCV's to the bit."""

import cv2
import numpy as np
import pytest

from imagetwins.decoding.model import DecodeSettings
from imagetwins.decoding.pool import decode_files
from imagetwins.decoding.shared import LEAST_SIDE, SLOT_BYTES, plan_bands, probe, slot_of
from imagetwins.ssim.area import shrink_area
from tests.support.decoding import FULL, REDUCED, SIZE
from tests.support.pictures import encode, photo, pictures

SHRUNK = {(300, 200), (200, 300), (SIZE, 2 * SIZE + 1), (2 * SIZE + 1, 3 * SIZE)}
NOT_SHRUNK = {(SIZE, 2 * SIZE), (SIZE - 1, 300), (300, SIZE - 1), (4 * SIZE, 5 * SIZE), (30, 20)}


def by_opencv(pixels, thumbnail_out):
    size = len(thumbnail_out)
    thumbnail_out[:] = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA).reshape(size, size, -1)


def with_other_roundings(pixels, thumbnail_out):
    """Resize in float64: equal but for means midway between two levels."""
    size = len(thumbnail_out)
    means = cv2.resize(pixels.astype(np.float64), (size, size), interpolation=cv2.INTER_AREA)
    thumbnail_out[:] = np.rint(means).reshape(size, size, -1)


class Recorder:
    """Resizes, and holds the shapes of what it resized."""

    def __init__(self, shrink):
        self.shapes, self._shrink = [], shrink

    def __call__(self, pixels, thumbnail_out, *place):
        self.shapes.append(pixels.shape)
        self._shrink(pixels, thumbnail_out, *place)


def decode(files, settings, shrink=None):
    thumbnails = np.zeros((len(files), settings.size, settings.size, 3), np.uint8)
    return decode_files(files, settings, thumbnails, shrink), thumbnails


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures of all kinds, and of shapes that are and are not resized on the general path."""
    folder = tmp_path_factory.mktemp("pictures")
    contents = [
        (f"{picture.name}.{'dng' if picture.format == 'RAW' else 'dat'}", picture.content) for picture in pictures()
    ]
    contents += [
        (f"{height} x {width}.png", encode(photo(height, width), "PNG")) for height, width in SHRUNK | NOT_SHRUNK
    ]
    contents.append(("grey.png", encode(photo(200, 150)[..., 0], "PNG")))
    for name, content in contents:
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("settings", [FULL, REDUCED, DecodeSettings(16), DecodeSettings(SIZE, "linear")])
def test_thumbnails_and_facts_are_the_same_whoever_resizes(files, settings):
    facts, thumbnails = decode(files, settings)
    facts_here, thumbnails_here = decode(files, settings, shrink_area)

    assert facts_here == facts
    for file, here, there in zip(files, thumbnails_here, thumbnails, strict=True):
        assert np.array_equal(here, there), file


def test_only_what_shrinks_on_the_general_path_is_left_to_the_parent(files):
    recorder = Recorder(shrink_area)

    decode([file for file in files if " x " in file.name], FULL, recorder)

    assert {shape[:2] for shape in recorder.shapes if shape[0] != 96} == SHRUNK


@pytest.mark.parametrize("shape", [(2301, 3000, 3), (9000, 1001), (1999, 5003, 3)])
def test_a_large_picture_comes_in_bands(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    files = [tmp_path / f"{number}.bmp" for number in range(3)]
    cv2.imwrite(str(files[0]), pixels)
    files[1].write_bytes(encode(photo(), "PNG"))
    files[2].write_bytes(files[0].read_bytes())
    recorder = Recorder(shrink_area)
    facts, thumbnails = decode(files, FULL)

    facts_here, thumbnails_here = decode(files, FULL, recorder)

    assert len(recorder.shapes) > 2 * 2
    assert max(map(np.prod, recorder.shapes)) <= SLOT_BYTES
    assert facts_here == facts
    assert np.array_equal(thumbnails_here, thumbnails)


@pytest.mark.parametrize("size", [16, 17, 64, 200, 1000])
def test_bands_hold_what_their_rows_cover_and_fit_in_a_slot(size):
    rng = np.random.default_rng(size)
    for height, width in rng.integers(size, [40_000, 9_000], (200, 2)):
        bands = plan_bands((int(height), int(width), 3), size)
        scale = height / size
        assert [band.first for band in bands] == [0, *(band.last for band in bands[:-1])][: len(bands)]
        for band in bands:
            assert 0 <= band.top <= max(band.first * scale - 1e-3, 0)
            assert band.last * scale <= band.bottom + 1e-6
            assert band.bottom <= height
            assert band.bottom - band.top >= LEAST_SIDE
            assert (band.bottom - band.top) * width * 3 <= SLOT_BYTES
        if bands:
            assert bands[-1].last == size
        else:
            assert (height % size == 0 and width % size == 0) or (scale + LEAST_SIDE + 1) * width * 3 > SLOT_BYTES


def test_what_is_not_opencvs_to_the_bit_is_not_used(files):
    _, thumbnails = decode(files, FULL)
    recorder = Recorder(with_other_roundings)

    _, found = decode(files, FULL, recorder)

    assert len(recorder.shapes) == 1
    assert np.array_equal(found, thumbnails)


def test_the_probe_tells_even_the_smallest_difference():
    assert probe(shrink_area) == probe(by_opencv)
    assert probe(with_other_roundings) != probe(by_opencv)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((65, 64, 3), True),
        ((64, 64), False),
        ((128, 192), False),
        ((63, 640), False),
        ((640, 63), False),
        ((128, 193), True),
        ((65, 500_000, 3), False),
    ],
)
def test_the_general_path(shape, expected):
    assert bool(plan_bands(shape, 64)) == expected


def test_no_slot_is_left_for_another():
    memory = np.zeros(2 * SLOT_BYTES, np.uint8)
    assert slot_of(memory, SLOT_BYTES, (2, SLOT_BYTES // 2)).base is not None
    with pytest.raises(ValueError, match="more than the"):
        slot_of(memory, 0, (3, SLOT_BYTES // 2))
