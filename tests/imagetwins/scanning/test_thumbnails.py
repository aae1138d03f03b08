"""Thumbnails of past runs: what was compared, from the cache or decoded again, or an error, never made-up pixels."""

import hashlib
import shutil

import cv2
import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import DecodeSettings
from imagetwins.errors import StoreError
from imagetwins.scanning.cache import INDEX, name_cache
from imagetwins.scanning.thumbnails import Missing, RunThumbnails, decoded_thumbnails
from imagetwins.store.runs import Run
from imagetwins.store.schemas import CACHED, DECISIONS, LOADED
from imagetwins.store.tables import as_frame, write_table
from tests.support.past_runs import digest_all, image_table
from tests.support.tables import make_table

SIZE = 16
SHADES = {"a.png": 30, "b.png": 90, "c.png": 200}


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


class Past:
    """A run over one-coloured pictures in a folder, whose thumbnails a cache may hold; there they are one level brighter."""

    def __init__(self, place):
        self.folder = place / "pictures"
        self.folder.mkdir()
        for name, shade in SHADES.items():
            cv2.imwrite(str(self.folder / name), np.full((20, 30, 3), shade, np.uint8))
        self.paths = [str(self.folder / name) for name in SHADES]
        self.digests = digest_all(self.paths)
        self.parameters = Parameters(folder=str(self.folder), size=SIZE)
        self.run = Run(place / "store", "1")
        self.cache = self.run.home / "cache" / f"{name_cache(self.parameters)}-1"

    def fill_cache(self):
        """Fill rows 2, 1, 0 of a cache; return the entries of its index."""
        bright = np.array([np.full((SIZE, SIZE, 3), shade + 1, np.uint8) for shade in SHADES.values()])
        ssim.create_workspace(self.cache, 3, SIZE)
        ssim.prepare_images(self.cache, np.array([2, 1, 0]), bright)
        digests = [hashlib.blake2b(thumbnail, digest_size=16).digest() for thumbnail in bright]
        return [
            {"digest": digest, "row": row, "thumbnail": thumbnail, "size_bytes": 1, "mtime_ns": 1, "validator": "1:1"}
            for digest, row, thumbnail in zip(self.digests, (2, 1, 0), digests, strict=True)
        ]

    def keep_cache(self):
        entries = [entry | {"file": path.encode()} for entry, path in zip(self.fill_cache(), self.paths, strict=True)]
        write_table(make_table(CACHED, entries), CACHED, self.cache / INDEX)

    def thumbnails(self, parameters=None):
        images = image_table(self.paths, self.digests)
        columns = dict.fromkeys(DECISIONS.names, [""] * 3) | {"NewPath": self.paths, "FullPath": self.paths}
        blank = dict.fromkeys(("ssim", "detail_ssim", "local_ssim", "kept_image", "orientation"), [None] * 3)
        decisions = as_frame(columns | blank | {"Duplicate": [False] * 3, "image": range(3)}, DECISIONS)
        return RunThumbnails(self.run, parameters or self.parameters, images, decisions)

    def load(self, parameters=None):
        found = self.thumbnails(parameters).load([0, 1, 2])
        return [one if isinstance(one, Missing) else np.unique(one).tolist() for one in found]


@pytest.fixture
def past(tmp_path):
    return Past(tmp_path)


def test_a_run_at_work_has_all_its_thumbnails_though_its_files_are_gone(past):
    write_table(
        make_table(LOADED, [entry | {"path": "p"} for entry in past.fill_cache()]),
        LOADED,
        past.run.loaded / "0.parquet",
    )
    past.run.lock.parent.mkdir(parents=True)
    past.run.lock.write_text(past.cache.name)
    shutil.rmtree(past.folder)

    assert past.load() == [[31], [91], [201]]


def test_a_past_run_finds_them_in_the_cache_by_the_content_of_the_files(past):
    past.keep_cache()
    shutil.rmtree(past.folder)

    assert past.load() == [[31], [91], [201]]


def test_what_the_cache_has_lost_is_decoded(past):
    past.keep_cache()
    other = np.full((1, SIZE, SIZE, 3), 7, np.uint8)
    ssim.prepare_images(past.cache, np.array([1]), other)
    assert past.load() == [[31], [90], [201]], "row 1 was given away"

    ssim.truncate_workspace(past.cache, 1)
    assert past.load() == [[30], [90], [201]], "rows 1 and 2 were removed"

    shutil.rmtree(past.cache)
    assert past.load() == [[30], [90], [200]]


def test_a_cache_of_other_settings_is_none(past):
    past.keep_cache()

    assert past.load(past.parameters.model_copy(update={"resampling": "linear"})) == [[30], [90], [200]]


def test_a_thumbnail_that_was_compared_and_cannot_be_had_any_more_is_missing(past):
    (past.folder / "a.png").unlink()
    (past.folder / "b.png").write_bytes((past.folder / "c.png").read_bytes())
    (past.folder / "c.png").write_text("no picture")

    assert past.load() == [Missing.GONE, Missing.CHANGED, Missing.UNREADABLE]


def test_images_of_equal_thumbnails_have_the_same_key(past):
    entries = past.fill_cache()
    entries[1]["thumbnail"] = entries[0]["thumbnail"]
    write_table(make_table(CACHED, [entry | {"file": b"f"} for entry in entries[:2]]), CACHED, past.cache / INDEX)

    keys = [past.thumbnails().key(image) for image in range(3)]

    assert keys[0] == keys[1]
    assert keys[2] == past.digests[2], "it is not in the cache"
