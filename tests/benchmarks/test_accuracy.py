"""What counts as found and as a false move, on folders small enough to count by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy import Result, Score, find_scopes, group_hashes, list_false, restrict, score, to_moves
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.store.schemas import COMPARISONS, IMAGES
from imagetwins.store.tables import as_frame

HOME = Path("/corpus")
LABELS = {
    "album/cat.png": "cat",
    "copies/PNG/cat.png": "cat",
    "copies/PNG, 16 bits/cat.png": "cat",
    "lookalikes/chess/00-0.png": "chess/00-0",
    "lookalikes/chess/00-1.png": "chess/00-1",
}


def test_a_kind_of_copies_is_looked_at_with_its_originals_and_look_alikes_alone():
    assert find_scopes(LABELS) == {
        "all together": [""],
        "copies/PNG": ["album", "copies/PNG"],
        "copies/PNG, 16 bits": ["album", "copies/PNG, 16 bits"],
        "lookalikes/chess": ["lookalikes/chess"],
    }


def test_the_first_of_a_group_is_kept_and_the_others_move():
    groups = [["/corpus/b", "/corpus/a", "/corpus/c"], ["/corpus/c", "/corpus/d"]]
    assert to_moves(groups, HOME) == {"b": ["a"], "c": ["a"], "d": ["c"]}


def test_a_move_is_right_if_what_is_kept_has_its_label():
    moves = {"copies/PNG/cat.png": ["album/cat.png"], "lookalikes/chess/00-1.png": ["lookalikes/chess/00-0.png"]}
    review = {"copies/PNG, 16 bits/cat.png": ["album/cat.png"]}
    result = Result("tool", 1.0, {"all": moves}, {"all": review})

    counted = score(result, "all", [""], LABELS)

    assert counted == Score(files=5, movable=2, right=1, false=1, right_review=1, review=1)
    assert (counted.recall, counted.recall_with_review) == (0.5, 1.0)
    assert list_false(result, LABELS) == [["lookalikes/chess/00-1.png", "lookalikes/chess/00-0.png"]]


def test_a_file_that_is_in_two_groups_is_false_if_it_is_so_in_one():
    moves = {"copies/PNG/cat.png": ["lookalikes/chess/00-0.png", "album/cat.png"]}
    assert score(Result("tool", 1.0, {"all": moves}), "all", [""], LABELS).false == 1


def test_only_what_is_in_the_folder_counts():
    moves = {"copies/PNG/cat.png": ["album/cat.png"]}
    counted = score(Result("tool", 1.0, {"PNG": moves}), "PNG", ["album", "copies/PNG"], LABELS)
    assert (counted.movable, counted.recall) == (1, 1.0)


def test_a_hash_joins_the_nearest_kept_one_within_the_distance():
    hashes = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1], [0, 0, 1, 1]], bool)
    assert group_hashes([*"abcde"], hashes, 1) == {"c": ["a"], "d": ["b"]}


@pytest.fixture
def tables():
    """Four pictures, of which the first matches the third, and the second the fourth."""
    count = 4
    images = {
        "image": range(count),
        "path": [f"/corpus/{name}" for name in ("a", "b", "c", "d")],
        "size_bytes": [10] * count,
        "mtime_ns": [0] * count,
        "is_reference": [False] * count,
        "width_px": [100] * count,
        "height_px": [100] * count,
    }
    images = {name: images.get(name, [None] * count) for name in IMAGES.names}
    pairs = {
        "image1": [0, 1],
        "image2": [2, 3],
        "ssim": [0.95, 0.99],
        "detail_ssim": [0.9, 0.9],
        "verified": [True] * 2,
    }
    pairs = {name: pairs.get(name, [None, None]) for name in COMPARISONS.names}
    return as_frame(images, IMAGES), as_frame(pairs, COMPARISONS)


def test_a_part_of_a_run_is_decided_as_a_run_on_the_part(tables):
    images, comparisons = restrict(*tables, np.array([False, True, True, True]))

    decided = decide(images, comparisons, Parameters(folder="/corpus"))

    assert isinstance(decided, pd.DataFrame)
    kept = decided.set_index("FullPath")["kept_path"].dropna().to_dict()
    assert kept == {"/corpus/d": "/corpus/b"}
