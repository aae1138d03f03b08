"""Every word that can be asked for is a rule, and says which copy is kept."""

import pytest

from imagetwins.config.keep import KEEP_WORDS
from imagetwins.config.parameters import Parameters
from imagetwins.matching.ranking import KEEP_RULES, is_copy_name, rank_images
from tests.support.past_runs import image_table

PATHS = ["/p/a.png", "/p/b.png", "/p/c.png"]


@pytest.fixture
def images():
    table = image_table(PATHS, sizes={PATHS[0]: (200, 10, 10), PATHS[1]: (300, 30, 30), PATHS[2]: (100, 20, 20)})
    return table.assign(mtime_ns=[5, 7, 6])


def order(images, *ranking):
    ranks = rank_images(images, ranking)
    return "".join(sorted("abc", key=lambda name: ranks["abc".index(name)]))


def test_each_word_of_the_parameter_is_a_rule_and_no_other():
    assert set(KEEP_RULES) == set(KEEP_WORDS)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [("first", "abc"), ("resolution", "bca"), ("size", "bac"), ("oldest", "acb"), ("newest", "bca")],
)
def test_the_order_of_each_rule(images, keep, expected):
    assert order(images, keep) == expected


def test_the_first_word_that_tells_two_copies_apart_decides(images):
    images["size_bytes"] = [1, 2, 2]
    assert order(images, "size", "oldest") == "cba"
    assert order(images, "size", "newest") == "bca"
    assert order(images, "size", "first") == "bca"


def test_reference_images_come_first_and_what_has_no_size_last(images):
    images["is_reference"] = [False, False, True]
    images.loc[1, ["width_px", "height_px"]] = None
    assert order(images, "reference", "resolution") == "cab"
    assert order(images, "reference", "oldest") == "cab"


def test_a_picture_is_as_old_as_its_camera_says_and_else_as_its_file(images):
    images["mtime_ns"] = [1_600_000_000_000_000_000, 1_500_000_000_000_000_000, 1_400_000_000_000_000_000]
    images["taken"] = ["2010-05-01T12:00:00.25", "2010-05-01T12:00:00.5", None]
    assert order(images, "oldest") == "abc"
    assert order(images, "newest") == "cba"
    assert order(images, "exif-date", "size") == "bac"


def test_the_copy_with_more_that_belongs_to_it_comes_first(images):
    images["companions"] = [0, 1, 0]
    images["extras"] = [0, 0, 2]
    assert order(images, "companions", "first") == "cba"
    images[["companions", "extras"]] = None
    assert order(images, "companions", "first") == "abc"


@pytest.mark.parametrize("folder", ["originals", "/originals/", "2019/originals"])
def test_a_folder_is_preferred_wherever_it_is(images, folder):
    images["path"] = ["/p/original/a.png", "/p/2019/originals/b.png", "/p/originals, thumbs/c.png"]
    assert order(images, f"folder:{folder}", "first") == "bac"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "x (1)",
            "x(12)",
            "x copy",
            "x copy 2",
            "x - Copy",
            "x - Copy (2)",
            "Copy of x",
            "x_copy",
            "x-copy",
            "x (copy)",
        ),
        *("x (another copy)", "x (3rd copy)", "x-1", "x_2", "x~1", "x - Kopie", "x Kopie 2", "Kopie von x", "x - kopi"),
        *("Copie de x", "x - Copie", "x copia", "Copia di x", "x - Copia (3)", "x - Cópia", "x - kopia", "x - Kopya"),
        *("x - másolat", "x — копия", "x - Копія", "x - コピー", "xのコピー", "x - 副本", "x的副本", "x 복사본"),
    ],
)
def test_names_that_systems_give_to_copies_rank_last(images, name):
    assert is_copy_name(name)
    images["path"] = [f"/p/{name}.png", "/p/x.png", "/p/y.png"]
    assert order(images, "name", "first") == "bca"


@pytest.mark.parametrize(
    "name", ["x", "hardcopy", "IMG_2041", "photocopy", "2019-05-01", "x 2", "(1) x", "copy", "x (2019)"]
)
def test_other_names_are_no_copies(name):
    assert not is_copy_name(name)


@pytest.mark.parametrize(
    ("asked", "ranking"),
    [
        ({}, ("reference", "companions", "first")),
        ({"keep": "resolution, name"}, ("reference", "companions", "resolution", "name")),
        ({"keep": "resolution,companions"}, ("reference", "resolution", "companions")),
        ({"keep": "resolution", "rule": "plain"}, ("reference", "first")),
    ],
)
def test_what_always_comes_first(asked, ranking):
    assert Parameters(folder="f", **asked).ranking == ranking
