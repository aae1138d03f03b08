import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.errors import ParameterError, StoreError
from imagetwins.ssim import plan as planning
from imagetwins.ssim.processor import find_runnable, force_kernels
from imagetwins.ssim.workspace import open_workspace
from tests.support import oracle
from tests.support import thumbnails as pictures
from tests.support.joins import prepare

FLOORS = (-1.0, 0.3, 0.5, 0.7, 0.85, 0.95)


def run(directory, *, threshold, floor, rows=None, mapper=map, **options):
    rows = np.arange(open_workspace(directory).n_rows) if rows is None else rows
    plan = ssim.plan_join(directory, directory / "plan", rows, threshold=threshold, floor=floor, **options)
    return plan, list(mapper(partial(ssim.join_batch, directory / "plan"), plan.batches))


def table(results):
    """Return the rows of all batches, sorted; NaN as None, so that rows compare."""
    rows = []
    for r in results:
        columns = (r.image1, r.image2, r.ssim, r.detail_ssim, r.local_ssim, r.max_difference, r.verified)
        rows += zip(*(column.tolist() for column in columns), strict=True)
    return sorted(tuple(None if value != value else value for value in row) for row in rows)  # noqa: PLR0124


def total(results, name):
    return sum(result.counts[name] for result in results)


@pytest.fixture(scope="module")
def collection():
    thumbnails = pictures.collection(48)
    return thumbnails, oracle.all_scores(thumbnails)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, collection):
    directory = tmp_path_factory.mktemp("collection")
    prepare(directory, collection[0])
    return directory


@pytest.mark.parametrize("floor", FLOORS)
def test_every_pair_at_or_above_the_floor_is_stored_with_scikit_images_score(prepared, collection, floor):
    _, results = run(prepared, threshold=min(1.0, floor + 0.05), floor=floor)
    found = {row[:2]: row[2] for row in table(results)}
    expected = {pair: score for pair, score in collection[1].items() if score >= floor}
    assert found.keys() == expected.keys()
    assert max(abs(found[pair] - expected[pair]) for pair in expected) < 1e-6


@pytest.mark.parametrize("floor", FLOORS)
def test_the_stages_account_for_every_pair(prepared, collection, floor):
    plan, results = run(prepared, threshold=1.0, floor=floor)
    assert [*ssim.stage_labels()] == ["known", "identical", "projection", "cells", "blocks", "scored"]
    assert total(results, "pairs") == plan.n_pairs == len(collection[1])
    assert sum(total(results, stage) for stage in ssim.stage_labels()) == plan.n_pairs
    assert total(results, "stored") == len(table(results))


def test_pairs_at_the_threshold_or_the_floor_have_scikit_images_own_number(prepared, collection):
    scores = sorted(score for score in collection[1].values() if 0.6 < score < 0.9)
    floor, threshold = scores[2], scores[-3]
    _, results = run(prepared, threshold=threshold, floor=floor)
    near = [row for row in table(results) if min(abs(row[2] - floor), abs(row[2] - threshold)) <= 0.9e-4]
    assert {floor, threshold} <= {row[2] for row in near}
    assert all(verified and score == collection[1][i, j] for i, j, score, *_, verified in near)


def test_a_pair_exactly_at_the_floor_is_stored(prepared, collection):
    """In flat pictures the bounds are the scores themselves, all but their roundings."""
    is_flat = collection[0].std(axis=(1, 2, 3)) == 0
    tight = {score for (i, j), score in collection[1].items() if is_flat[i] and is_flat[j]}
    others = [score for score in sorted(collection[1].values()) if 0.2 < score < 1][::20]
    for floor in [*tight, *others]:
        _, results = run(prepared, threshold=1.0, floor=floor)
        found = {row[:2]: row[2] for row in table(results)}
        assert found.keys() == {pair for pair, score in collection[1].items() if score >= floor}
        assert floor in found.values()


@pytest.mark.parametrize("kernels", find_runnable(), ids=lambda kernels: kernels.label)
@pytest.mark.parametrize("floor", [0.3, 0.85])
def test_the_table_does_not_depend_on_the_kernels(prepared, kernels, floor):
    _, expected = run(prepared, threshold=0.9, floor=floor)
    with force_kernels(kernels):
        plan, found = run(prepared, threshold=0.9, floor=floor)
    assert table(found) == table(expected)
    assert sum(total(found, stage) for stage in ssim.stage_labels()) == plan.n_pairs


LESSER = """
import sys
from pathlib import Path
import numpy as np
from imagetwins import ssim
directory, target = map(Path, sys.argv[1:])
plan = ssim.plan_join(directory, target, np.arange(ssim.open_workspace(directory).n_rows), threshold=0.9, floor=0.5)
for batch in plan.batches:
    found = ssim.join_batch(target, batch)
    for pair in zip(found.image1.tolist(), found.image2.tolist(), found.ssim.tolist()):
        print(*pair)
print(ssim.choose_kernels().label)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("features", "label"), [("", "plain"), ("+avx2,+fma", "avx2")])
def test_a_lesser_processor_finds_the_same_pairs(prepared, tmp_path, features, label):
    """All kernels are compiled anew, as for that processor, if this one can do what it can."""
    if label not in {kernels.label for kernels in find_runnable()}:
        pytest.skip(f"this processor has no {label}")
    told = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", LESSER, str(prepared), str(tmp_path / "plan")]
    *rows, used = subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout.splitlines()
    assert used == label
    expected = table(run(prepared, threshold=0.9, floor=0.5)[1])
    found = {(int(i), int(j)): float(score) for i, j, score in map(str.split, rows)}
    assert found.keys() == {row[:2] for row in expected}
    for i, j, score, *_, verified in expected:
        assert abs(found[i, j] - score) <= (0 if verified else 1e-6)


def test_the_table_does_not_depend_on_the_tiling(prepared, monkeypatch):
    _, whole = run(prepared, threshold=0.9, floor=0.5)
    monkeypatch.setattr(planning, "TILE", 16)
    plan, parts = run(prepared, threshold=0.9, floor=0.5, max_batches=5)
    assert len(plan.batches) == 5
    assert table(parts) == table(whole)


def test_scores_do_not_depend_on_the_stages(prepared):
    _, exhaustive = run(prepared, threshold=0.95, floor=-1.0)
    _, pruned = run(prepared, threshold=0.95, floor=0.5)
    by_pair = {row[:2]: row for row in table(exhaustive)}
    kept = [row for row in table(pruned) if abs(row[2] - 0.5) > 2e-4]
    assert total(pruned, "blocks") > 0
    assert total(exhaustive, "blocks") == 0
    assert kept == [by_pair[row[:2]] for row in kept]


@pytest.mark.slow
def test_threads_and_processes_give_the_same_table(prepared, monkeypatch):
    monkeypatch.setattr(planning, "TILE", 16)
    expected = table(run(prepared, threshold=0.9, floor=0.5)[1])
    with ThreadPoolExecutor(4) as threads:
        assert table(run(prepared, threshold=0.9, floor=0.5, mapper=threads.map)[1]) == expected
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert table(run(prepared, threshold=0.9, floor=0.5, mapper=processes.map)[1]) == expected


def test_preparing_in_parts_and_again_changes_nothing(tmp_path, prepared, collection):
    thumbnails = collection[0]
    for _ in range(2):
        ssim.create_workspace(tmp_path, len(thumbnails), 48)
        for start in range(0, len(thumbnails), 7):
            part = thumbnails[start : start + 7]
            ssim.prepare_images(tmp_path, start + np.arange(len(part)), part)
    assert table(run(tmp_path, threshold=0.9, floor=0.5)[1]) == table(run(prepared, threshold=0.9, floor=0.5)[1])


def test_identical_thumbnails_score_exactly_one(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "IDENTICAL_PAIRS", 10)
    thumbnails = np.concatenate([np.repeat(pictures.photographs(32)[:1], 9, axis=0), pictures.collection(32)[:2]])
    prepare(tmp_path, thumbnails)
    plan, results = run(tmp_path, threshold=1.0, floor=1.0)
    expected = [(i, j, 1.0, 1.0, 1.0, 0, True) for i in range(10) for j in range(i + 1, 10)]
    assert table(results) == expected
    assert plan.n_distinct == 2
    assert total(results, "identical") == len(expected)


def test_a_folder_of_flat_pictures_has_no_detail_but_differences(tmp_path):
    levels = [3, 100, 100, 108, 255]
    prepare(tmp_path, np.array([pictures.flat(32, level) for level in levels]))
    _, results = run(tmp_path, threshold=0.9, floor=-1.0)
    for i, j, score, detail, local, difference, _ in table(results):
        assert detail is None
        assert local == 1
        assert difference == abs(levels[i] - levels[j])
        assert score == pytest.approx(
            oracle.score(pictures.flat(32, levels[i]), pictures.flat(32, levels[j])), abs=1e-6
        )
    assert len(table(results)) == 10


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_make_no_pair(tmp_path, n):
    prepare(tmp_path, pictures.photographs(32)[:n].reshape(n, 32, 32, 3))
    plan, results = run(tmp_path, threshold=0.9, floor=-1, rows=np.arange(n))
    assert plan.n_pairs == 0
    assert table(results) == []


def test_images_lie_in_any_rows_and_those_without_one_take_no_part(tmp_path, prepared, collection):
    thumbnails = collection[0]
    rows = np.random.default_rng(0).permutation(2 * len(thumbnails))[: len(thumbnails)]
    ssim.create_workspace(tmp_path, 2 * len(thumbnails), 48)
    ssim.prepare_images(tmp_path, rows, thumbnails)
    takes_part = np.arange(len(thumbnails)) % 3 > 0
    plan, results = run(tmp_path, threshold=0.9, floor=0.5, rows=np.where(takes_part, rows, -1))
    whole = table(run(prepared, threshold=0.9, floor=0.5)[1])
    assert table(results) == [row for row in whole if takes_part[list(row[:2])].all()]
    assert plan.n_decoded == takes_part.sum()


def test_rows_may_be_of_any_integer_type(prepared, collection):
    rows = np.arange(len(collection[0]))
    wide, narrow = (run(prepared, threshold=0.9, floor=0.5, rows=rows.astype(kind))[1] for kind in (np.int64, np.int32))
    assert table(narrow) == table(wide)


def test_a_workspace_grows_and_keeps_its_rows(tmp_path, prepared, collection):
    thumbnails = collection[0]
    for stop in (1, 10, len(thumbnails)):
        ssim.create_workspace(tmp_path, stop, 48)
        ssim.prepare_images(tmp_path, np.arange(stop)[-9:], thumbnails[:stop][-9:])
    ssim.create_workspace(tmp_path, 5, 48)
    ssim.prepare_images(tmp_path, np.arange(10, len(thumbnails)), thumbnails[10:])
    assert table(run(tmp_path, threshold=0.9, floor=0.5)[1]) == table(run(prepared, threshold=0.9, floor=0.5)[1])


def test_a_workspace_of_another_size_is_made_anew(tmp_path):
    for size in (32, 16):
        prepare(tmp_path, pictures.photographs(size))
        assert (ssim.load_thumbnail(tmp_path, 2) == pictures.photographs(size)[2]).all()


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_known_pairs_are_left_out_and_no_others(prepared, collection, monkeypatch, share, floor):
    monkeypatch.setattr(planning, "TILE", 16)
    known = np.random.default_rng(1).random(len(collection[0])) < share
    plan, results = run(prepared, threshold=1.0, floor=floor, known=known)
    whole = table(run(prepared, threshold=1.0, floor=floor)[1])
    assert table(results) == [row for row in whole if not known[list(row[:2])].all()]
    assert total(results, "known") == known.sum() * (known.sum() - 1) // 2
    assert sum(total(results, stage) for stage in ssim.stage_labels()) == total(results, "pairs") == plan.n_pairs


def test_no_bound_is_prepared_where_all_pairs_are_known(prepared, collection):
    known = np.ones(len(collection[0]), np.bool_)
    assert any(run(prepared, threshold=0.9, floor=0.85)[0].stages.values())
    plan, results = run(prepared, threshold=0.9, floor=0.85, known=known)
    assert not any(plan.stages.values())
    assert total(results, "known") == total(results, "pairs") == plan.n_pairs


def test_a_thumbnail_comes_back_as_it_went_in(prepared, collection):
    for image in (0, 5, len(collection[0]) - 1):
        assert (ssim.load_thumbnail(prepared, image) == collection[0][image]).all()


def test_a_floor_above_the_threshold_is_refused(prepared):
    with pytest.raises(ParameterError, match=r"floor 0\.9 is above the threshold 0\.8"):
        run(prepared, threshold=0.8, floor=0.9)


def test_a_directory_without_a_workspace_is_refused(tmp_path):
    with pytest.raises(StoreError, match="create_workspace"):
        ssim.plan_join(tmp_path, tmp_path, np.arange(2), threshold=0.9, floor=0.8)
