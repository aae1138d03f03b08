"""Every rule that can be asked for exists, and says which copy is kept."""

from typing import get_args

import pytest

from imagetwins.config.parameters import Keep
from imagetwins.matching.ranking import KEEP_RULES, rank_images
from tests.support.past_runs import image_table

PATHS = ["/p/a.png", "/p/b.png", "/p/c.png"]


@pytest.fixture
def images():
    table = image_table(PATHS, sizes={PATHS[0]: (200, 10, 10), PATHS[1]: (300, 30, 30), PATHS[2]: (100, 20, 20)})
    return table.assign(mtime_ns=[5, 7, 6])


def test_each_name_of_the_parameter_is_a_rule_and_no_other():
    assert set(KEEP_RULES) == set(get_args(Keep))


@pytest.mark.parametrize(
    ("keep", "order"),
    [("first", "abc"), ("resolution", "bca"), ("size", "bac"), ("oldest", "acb"), ("newest", "bca")],
)
def test_the_order_of_each_rule(images, keep, order):
    ranks = rank_images(images, keep)
    assert "".join(sorted("abc", key=lambda name: ranks["abc".index(name)])) == order


def test_reference_images_come_first_and_what_has_no_size_last(images):
    images["is_reference"] = [False, False, True]
    images.loc[1, ["width_px", "height_px"]] = None
    assert rank_images(images, "resolution").tolist() == [1, 2, 0]
    assert rank_images(images, "oldest").tolist() == [1, 2, 0]
