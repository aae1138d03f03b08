"""The labels of the corpus are right: copies show their original, look-alikes differ, and all is the same on every call."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps, ImageSequence

from benchmarks.labelled.copies import CHANGES, PAIRS, Original, make_originals
from benchmarks.labelled.lookalikes import LOOKALIKES
from benchmarks.labelled.sources import Sources

LOSSLESS = ("same bytes", "other metadata", "PNG", "TIFF")
QUICK = (
    "emoji",
    "icons, white",
    "icons, dark",
    "label masks",
    "colour cards",
    "bursts",
    "map tiles",
    "exposure brackets",
)
"""Kinds that are drawn in a moment."""


def random_picture(rng, width, height):
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(3)
    others = [random_picture(rng, 160, 120) for _ in range(32)]
    return Sources([random_picture(rng, 120, 90)], [random_picture(rng, 90, 60)], others)


def read_frames(content):
    """Return all that a file shows: the pixels of each of its frames, upright, with alpha."""
    with Image.open(io.BytesIO(content)) as opened:
        is_deep = opened.mode.startswith("I")
        return [
            np.asarray(frame) if is_deep else np.asarray(ImageOps.exif_transpose(frame).convert("RGBA"))
            for frame in ImageSequence.Iterator(opened)
        ]


def show_the_same(first, second):
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def read_taken(content):
    """Return EXIF's time, its fraction and the exposure."""
    with Image.open(io.BytesIO(content)) as opened:
        return [opened.getexif().get_ifd(0x8769).get(tag) for tag in (0x9003, 0x9291, 0x829A)]


def generator():
    return np.random.default_rng(5)


@pytest.mark.parametrize("kind", CHANGES)
def test_a_copy_shows_its_original(kind, sources):
    for original in make_originals(sources):
        _, content = CHANGES[kind](original, generator())
        (copy,), (shown,) = read_frames(content), read_frames(original.content)
        if kind in LOSSLESS:
            assert show_the_same([copy], [shown])
        if kind == "PNG, 16 bits":
            return  # Pillow reads 8 bits of it, and the test of what is decoded is the decoder's.
        small = [
            np.asarray(Image.fromarray(one).convert("RGB").resize((8, 6), Image.Resampling.BOX), float)
            for one in (copy, shown)
        ]
        if kind == "greyed":
            small = [one.mean(axis=2) for one in small]
        assert np.abs(small[0] - small[1]).mean() < 30


@pytest.mark.parametrize("kind", CHANGES)
def test_a_copy_is_the_same_on_every_call(kind, sources):
    for original in make_originals(sources):
        assert CHANGES[kind](original, generator()) == CHANGES[kind](original, generator())


@pytest.mark.parametrize("kind", ["animation stored again", "12 bits in 16"])
def test_pairs_show_the_same(kind, sources):
    for first, second in PAIRS[kind](sources, generator()):
        assert show_the_same(read_frames(first[1]), read_frames(second[1]))


@pytest.mark.parametrize("kind", QUICK)
def test_the_pictures_of_all_families_differ(kind, sources):
    files = [read_frames(content) for family in LOOKALIKES[kind](sources, generator()) for _, content in family]
    for first, second in itertools.combinations(files, 2):
        assert not show_the_same(first, second)


@pytest.mark.parametrize("kind", QUICK)
def test_a_family_is_the_same_on_every_call(kind, sources):
    first, second = (list(LOOKALIKES[kind](sources, generator())) for _ in range(2))
    assert first == second
    assert len(first) >= 4
    assert all(len(family) >= 3 for family in first)


def test_the_frames_of_a_bracket_have_their_own_exposure_and_instant(sources):
    families = [
        [read_taken(content) for _, content in family]
        for family in LOOKALIKES["exposure brackets"](sources, generator())
    ]
    for taken in families:
        assert all(time == "2026:05:03 09:00:00" for time, _, _ in taken)
        assert len({exposure for _, _, exposure in taken}) == 3
    instants = [len({fraction for _, fraction, _ in taken}) for taken in families]
    assert sorted(instants) == [1] * (len(families) // 2) + [3] * (len(families) // 2)


def test_a_copy_without_metadata_has_none_and_a_changed_one_keeps_its_time(sources):
    photo: Original = make_originals(sources)[0]
    assert read_taken(photo.content)[0] == "2026:05:01 12:00:00"
    assert read_taken(CHANGES["other metadata"](photo, generator())[1]) == [None, None, None]
    assert read_taken(CHANGES["brightened"](photo, generator())[1])[0] == "2026:05:01 12:00:00"
