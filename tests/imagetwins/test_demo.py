"""The sample folder holds what it promises: copies that match, near misses that do not, one broken file."""

import hashlib
import itertools

import cv2
import pytest
from skimage.metrics import structural_similarity

from imagetwins.demo import SAMPLES, build_samples
from imagetwins.storage import MARKER


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("samples")
    build_samples(target)
    return target


def digests(folder):
    return {
        file: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.name != MARKER
    }


def score(folder, first, second):
    images = [cv2.imread(str(folder / name)) for name in (first, second)]
    thumbnails = [cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA) for image in images]
    return structural_similarity(*thumbnails, channel_axis=-1)


def test_every_sample_is_a_file_and_no_other(folder):
    assert {file.relative_to(folder).as_posix() for file in digests(folder)} == {sample.path for sample in SAMPLES}


def test_all_but_one_can_be_decoded_and_are_pictures_of_ordinary_size(folder):
    images = {file.name: cv2.imread(str(file)) for file in digests(folder) if file.name != "broken off.jpg"}

    assert min(min(image.shape[:2]) for image in images.values()) >= 150
    assert cv2.imread(str(folder / "downloads/broken off.jpg")) is None


def test_a_second_build_changes_nothing(folder):
    before = {file: file.stat().st_mtime_ns for file in digests(folder)}

    assert build_samples(folder) == len(SAMPLES)
    assert {file: file.stat().st_mtime_ns for file in digests(folder)} == before


def test_another_build_has_the_same_content(folder):
    for file in itertools.islice(sorted(digests(folder)), 0, None, 9):
        sample = next(sample for sample in SAMPLES if sample.path == file.relative_to(folder).as_posix())

        assert sample.encode() == file.read_bytes()


def test_a_missing_and_a_moved_file_come_back(folder):
    before = digests(folder)
    (folder / "album/moon.jpg").unlink()
    moved = folder / "Duplicates/backup/moon.jpg"
    moved.parent.mkdir(parents=True)
    (folder / "backup/moon.jpg").rename(moved)

    build_samples(folder)

    assert digests(folder) == before


def test_a_file_in_duplicates_that_is_not_ours_is_left_there(folder):
    other = folder / "Duplicates/album/moon.jpg"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"mine")
    (folder / "album/moon.jpg").unlink()

    build_samples(folder)

    assert other.read_bytes() == b"mine"
    assert (folder / "album/moon.jpg").stat().st_size > 1000
    other.unlink()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("album/café.jpg", "backup/café [small].jpg"),
        ("album/camera.png", "backup/camera.bmp"),
        ("album/astronaut.jpg", "backup/astronaut (2).png"),
        ("charts/pie.png", "downloads/pie.webp"),
        ("scans/page 1.png", "scans/page 1_copy.jpg"),
        ("scans/page 1.png", "scans/page 2.png"),  # different words: what the detail guard is for
    ],
)
def test_pairs_above_the_default_threshold(folder, first, second):
    assert score(folder, first, second) >= 0.9


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("album/astronaut.jpg", "downloads/IMG_0002.jpg"),
        ("album/moon.jpg", "downloads/IMG_0004.jpg"),
        ("album/coins.jpg", "downloads/IMG_0007.jpg"),
    ],
)
def test_near_misses_lie_between_the_default_floor_and_threshold(folder, first, second):
    assert 0.85 < score(folder, first, second) < 0.9


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("album/motorcycle left eye.jpg", "album/motorcycle right eye.jpg"),
        ("charts/bars 1.png", "charts/bars 2.png"),
        ("album/rocket.jpg", "album/rocket, the tip.jpg"),
    ],
)
def test_different_pictures_score_low(folder, first, second):
    assert score(folder, first, second) < 0.85
