import os
from collections import OrderedDict

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.ssim import plan as planning
from imagetwins.ssim.groups import plan_groups
from tests.support import thumbnails as pictures


def groups_of(contents, known):
    digests = np.repeat(np.array(contents, np.uint8)[:, None], 16, axis=1)
    return plan_groups(digests, np.arange(len(contents)), np.array(known, np.bool_))


@pytest.mark.parametrize("n", [0, 1, 2, 15, 40, 257])
@pytest.mark.parametrize("side", [1, 16, 300])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_every_pair_of_groups_is_in_exactly_one_tile(n, side, share):
    contents = np.random.default_rng(n).permutation(n) % 256
    known = np.random.default_rng(1).random(n) < share
    groups = groups_of(contents, known)
    covered = np.zeros((len(groups.rows), len(groups.rows)), int)
    for batch in planning._plan_batches(groups, side, 200):
        for tile in batch:
            if tile.kind == "identical":
                continue
            part = np.ones((tile.row_stop - tile.row_start, tile.column_stop - tile.column_start), int)
            part = np.triu(part, 1) if tile.row_start == tile.column_start else part
            covered[tile.row_start : tile.row_stop, tile.column_start : tile.column_stop] += part
    assert (covered == np.triu(np.ones_like(covered), 1)).all()


def test_groups_of_known_images_come_first_then_those_of_the_first_images():
    contents, known = [7, 3, 7, 9, 3, 1], [0, 1, 0, 1, 1, 0]
    groups = groups_of(contents, known)
    members = [
        groups.members[start:stop].tolist() for start, stop in zip(groups.offsets, groups.offsets[1:], strict=False)
    ]
    assert members == [[1, 4], [3], [0, 2], [5]]
    assert groups.n_known == 2
    assert groups.rows.tolist() == [1, 3, 0, 5]
    weights = groups.weigh()
    assert weights.images.tolist() == [2, 1, 2, 1]
    assert weights.known.tolist() == [2, 1, 0, 0]
    first, second, origin = groups.expand((np.array([0, 0]), np.array([1, 2])))
    assert [*zip(first.tolist(), second.tolist(), origin.tolist(), strict=True)] == [
        (0, 1, 1),
        (1, 2, 1),
        (0, 4, 1),
        (2, 4, 1),
    ]


def count_reads(tiles, room):
    """How many rows and columns of tiles are read from a disk, if memory has room for so many of them."""
    held, reads = OrderedDict(), 0
    for tile in tiles:
        for start in (tile.row_start, tile.column_start):
            reads += start not in held
            held[start] = None
            held.move_to_end(start)
            if len(held) > room:
                held.popitem(last=False)
    return reads


@pytest.mark.parametrize("room", [8, 16, 32])
def test_what_does_not_fit_into_memory_is_read_seldom(room):
    tiles = planning._plan_pairs(groups_of(range(128), [False] * 128), 1)
    by_row = sorted(tiles, key=lambda tile: (tile.row_start, tile.column_start))
    assert count_reads(tiles, room) < 5 / room * count_reads(by_row, room)
    assert count_reads(tiles, 200) == count_reads(by_row, 200) == 128


def test_a_plan_that_replaces_another_at_once_is_read(tmp_path):
    """Within a tick of the file system's clock, and of the same length."""
    ssim.create_workspace(tmp_path, 2, 32)
    ssim.prepare_images(tmp_path, np.arange(2), pictures.photographs(32)[:2])
    for floor in np.linspace(0.1, 0.8, 8):
        ssim.plan_join(tmp_path, tmp_path / "plan", np.arange(2), threshold=0.9, floor=floor)
        assert planning.open_plan(tmp_path / "plan").floor == floor
        os.utime(tmp_path / "plan/plan.json", ns=(0, 0))
        assert planning.open_plan(tmp_path / "plan").floor == floor
    assert planning.open_plan(tmp_path / "plan") is planning.open_plan(tmp_path / "plan")
