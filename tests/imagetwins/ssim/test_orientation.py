"""Turned and mirrored pictures: the best score over all eight orientations, against scikit-image and NumPy's rot90 and flip."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from imagetwins import ssim
from imagetwins.orientation import INVERSE, ORIENTATIONS
from imagetwins.ssim import bounds
from imagetwins.ssim import plan as planning
from imagetwins.ssim.orientation import turn
from imagetwins.ssim.processor import find_runnable, force_kernels
from tests.support import oracle, tight
from tests.support import thumbnails as pictures
from tests.support.joins import STAGES, prepare

SIZE = 32

FLOORS = (-1.0, 0.3, 0.5, 0.7, 0.85, 0.95)

TURNS = {
    1: lambda picture: picture,
    2: np.fliplr,
    3: lambda picture: np.rot90(picture, 2),
    4: np.flipud,
    5: lambda picture: np.rot90(np.fliplr(picture)),
    6: lambda picture: np.rot90(picture, -1),
    7: lambda picture: np.rot90(np.fliplr(picture), -1),
    8: np.rot90,
}
"""By orientation, the same by NumPy's own functions."""


def scores_of(first, second):
    """Return scikit-image's score for each orientation of the second picture."""
    return {o: oracle.score(first, np.ascontiguousarray(one(second))) for o, one in TURNS.items()}


def all_scores(thumbnails):
    """Return {(i, j): {orientation: score}} of every pair i < j."""
    return {
        (i, j): scores_of(thumbnails[i], thumbnails[j]) for i, j in itertools.combinations(range(len(thumbnails)), 2)
    }


def join(directory, rows, floor, threshold=1.0, **options):
    """Return what a join of all orientations stores, and its counts."""
    return join_and_plan(directory, rows, floor, threshold, **options)[:2]


def join_and_plan(directory, rows, floor, threshold=1.0, **options):
    with tempfile.TemporaryDirectory(dir=directory) as target:
        plan = ssim.plan_join(
            directory, Path(target), rows, threshold=threshold, floor=floor, orientations="all", **options
        )
        results = [ssim.join_batch(Path(target), batch) for batch in plan.batches]
    return results, {name: sum(r.counts[name] for r in results) for name in results[0].counts}, plan


def rows_of(results):
    """Return {pair: (score, orientation)}."""
    return {
        (int(i), int(j)): (score, int(o))
        for r in results
        for i, j, score, o in zip(r.image1, r.image2, r.ssim, r.orientation, strict=True)
    }


def check(found, scores, floor):
    """Compare {pair: (score, orientation)} with {pair: {orientation: score}}."""
    best = {pair: max(by_orientation.values()) for pair, by_orientation in scores.items()}
    assert found.keys() == {pair for pair, score in best.items() if score >= floor}
    for pair, (score, orientation) in found.items():
        assert abs(score - best[pair]) < 2e-6
        assert abs(scores[pair][orientation] - score) < 1e-6
        assert score >= floor
        # Of those that are nearly equal, the first.
        assert all(
            scores[pair][o] < best[pair] - 1e-9 or scores[pair][o] < floor <= best[pair] for o in range(1, orientation)
        )


@pytest.fixture(scope="module")
def mixed():
    """Return pictures of every kind, turned copies of some and nearly turned copies, and the scores of all pairs."""
    rng = np.random.default_rng(0)
    photos = pictures.photographs(SIZE)
    grey = np.repeat(photos[:2, ..., 1:2], 3, axis=-1)
    pages = np.array([pictures.page(SIZE, seed) for seed in range(3)])
    noise = rng.integers(0, 256, (1, SIZE, SIZE, 3))
    flats = np.array([pictures.flat(SIZE, level) for level in (100, 116, 255)])
    originals = [*photos, *grey, *pages, *noise]
    copies = [TURNS[2 + k % 7](one) for k, one in enumerate(originals)]
    near = [
        tight.clip(TURNS[1 + (3 * k) % 8](one) + tight.noise_like(rng, one, spread))
        for k, (one, spread) in enumerate(itertools.product(originals[::2], (5, 20)))
    ]
    thumbnails = rng.permutation(np.array([*originals, *copies, *near, *flats], np.uint8))
    return thumbnails, all_scores(thumbnails)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("shape", [(5, 5), (4, 7, 3)])
def test_a_picture_is_turned_as_viewers_turn_it(orientation, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    turned = turn(picture, orientation)
    assert (turned == np.asarray(ImageOps.exif_transpose(image))).all()
    assert (turned == TURNS[orientation](picture)).all()
    assert turned.flags.c_contiguous
    assert (turn(turned, int(INVERSE[orientation])) == picture).all()


@pytest.mark.parametrize("floor", FLOORS)
def test_every_pair_is_stored_with_its_best_score_and_orientation(mixed, tmp_path, floor):
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    results, counts = join(tmp_path, np.arange(len(thumbnails)), floor)
    check(rows_of(results), scores, floor)
    assert counts["pairs"] == len(scores) == sum(counts[stage] for stage in ssim.stage_labels())
    assert counts["stored"] == len(rows_of(results))


def test_what_is_measured_is_of_that_orientation(mixed, tmp_path):
    thumbnails, _ = mixed
    prepare(tmp_path, thumbnails)
    results, _ = join(tmp_path, np.arange(len(thumbnails)), 0.5, threshold=0.9)
    squares = oracle.squares(SIZE - 6)
    n_blank = 0
    for r in results:
        for k, (i, j, o) in enumerate(zip(r.image1, r.image2, r.orientation, strict=True)):
            first, second = thumbnails[i], np.ascontiguousarray(TURNS[o](thumbnails[j]))
            detail = oracle.detail_score(first, second)
            assert r.detail_ssim[k] == pytest.approx(detail, abs=1e-5, nan_ok=True)
            assert r.local_ssim[k] == pytest.approx(oracle.local_score(first, second, squares), abs=1e-5)
            if np.isnan(detail):
                n_blank += 1
                assert r.max_difference[k] == abs(first.astype(int) - second).max()
            if r.verified[k]:
                assert r.ssim[k] == oracle.score(first, second)
    assert n_blank


def test_turned_copies_score_exactly_one(mixed, tmp_path):
    thumbnails, _ = mixed
    photo = thumbnails[np.argmax(thumbnails.std((1, 2, 3)))]
    prepare(tmp_path, np.array([photo, *(TURNS[o](photo) for o in ORIENTATIONS)]))
    results, _ = join(tmp_path, np.arange(9), 0.9, threshold=1.0)
    found = rows_of(results)
    assert len(found) == 36
    assert {score for score, _ in found.values()} == {1.0}
    assert [found[0, k][1] for k in range(1, 9)] == [int(INVERSE[o]) for o in ORIENTATIONS]


@pytest.mark.parametrize("kernels", find_runnable(), ids=lambda kernels: kernels.label)
def test_the_table_does_not_depend_on_the_kernels(mixed, tmp_path, kernels):
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    expected, _ = join(tmp_path, np.arange(len(thumbnails)), 0.6)
    with force_kernels(kernels):
        found, counts = join(tmp_path, np.arange(len(thumbnails)), 0.6)
    assert [columns(r) for r in found] == [columns(r) for r in expected]
    assert counts["pairs"] == len(scores) == sum(counts[stage] for stage in ssim.stage_labels())


def test_the_table_does_not_depend_on_the_tiling(mixed, tmp_path, monkeypatch):
    thumbnails, _ = mixed
    prepare(tmp_path, thumbnails)
    whole, _ = join(tmp_path, np.arange(len(thumbnails)), 0.4)
    monkeypatch.setattr(planning, "TILES_ALONG", 1)
    joined, _ = join(tmp_path, np.arange(len(thumbnails)), 0.4)
    assert rows_of(joined) == rows_of(whole)
    assert len(joined) < len(whole)


# -- the floor at the best score of a pair, by each stage alone and by all ---------------------------------------------


def around(score):
    return float(np.nextafter(score, -1)), score, float(np.nextafter(score, 2))


def test_a_pair_is_stored_exactly_where_the_floor_is_at_or_below_its_best_score(mixed, tmp_path):
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    best = sorted(max(by_orientation.values()) for by_orientation in scores.values())
    for score in [one for one in best if 0.2 < one < 1][::30]:
        for floor in around(score):
            check(rows_of(join(tmp_path, np.arange(len(thumbnails)), floor)[0]), scores, floor)


@pytest.fixture(scope="module")
def planted(soak_factor):
    """Return pairs of every kind, the second picture turned: (kind, first, second, scores by orientation), and dark pictures."""
    return [found for seed in range(2 * soak_factor) for found in plant(SIZE, seed)]


def plant(size, seed):
    found = []
    for k, kind in enumerate(dict.fromkeys(tight.KINDS)):
        rng = np.random.default_rng([seed, k])
        first, second = kind(rng, size)
        turned = np.ascontiguousarray(TURNS[int(rng.integers(1, 9))](second))
        scores = scores_of(first, turned)
        if 0.2 < max(scores.values()) < 1:
            found.append((f"{kind.__name__}, size {size}, seed {seed}", first, turned, scores))
    return found


def check_floors(directory, planted):
    """Join each pair at its best score and a hair beside, among dark pictures, whose pairs the bounds prune."""
    used = []
    for origin, first, second, scores in planted:
        dark = [pictures.flat(len(first), level) for level in range(4)]
        prepare(directory, np.array([first, second, *dark]))
        for floor in around(max(scores.values())):
            results, _, plan = join_and_plan(directory, np.arange(6), floor)
            found = {pair: row for pair, row in rows_of(results).items() if pair == (0, 1)}
            check(found, {(0, 1): scores}, floor)
            assert all(score == scores[o] for score, o in found.values()), origin
            used.append([*plan.stages.values()])
    assert (np.mean(used, axis=0) > 0.95).all()


@pytest.mark.parametrize("stages", STAGES)
def test_planted_pairs_are_stored_exactly_where_the_floor_is_at_or_below_their_best_score(
    stages, planted, tmp_path, monkeypatch
):
    monkeypatch.setattr(bounds, "BOUNDS", STAGES[stages])
    check_floors(tmp_path, planted)


@pytest.mark.parametrize("size", [16, 49, 63, 200, pytest.param(300, marks=pytest.mark.slow)])
def test_they_are_at_any_size(size, tmp_path):
    check_floors(tmp_path, plant(size, 7)[:: 1 if size < 200 else 3])


@pytest.mark.parametrize("bound", bounds.BOUNDS, ids=lambda bound: bound.name)
def test_a_bound_that_is_too_low_by_a_hundredth_would_lose_some_of_them(bound, planted, tmp_path, monkeypatch):
    class Wrong(type(bound)):
        def slack(self, size):
            return super().slack(size) - 0.01

    monkeypatch.setattr(bounds, "BOUNDS", (Wrong(),))
    lost = set()
    for origin, first, second, scores in planted:
        prepare(tmp_path, np.array([first, second, *(pictures.flat(SIZE, level) for level in range(4))]))
        if (0, 1) not in rows_of(join(tmp_path, np.arange(6), max(scores.values()))[0]):
            lost.add(origin.split(",")[0])
    assert len(lost) >= 2


@pytest.mark.parametrize("floor", [0.4, 0.8])
def test_it_is_where_pictures_are_there_twice_and_some_pairs_are_known(mixed, tmp_path, floor):
    """Known pictures come first in a join, whatever their numbers: some pairs are compared the other way round."""
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    rng = np.random.default_rng(1)
    rows = rng.permutation(np.concatenate([np.arange(len(thumbnails)), rng.integers(0, len(thumbnails), 9)]))
    known = rng.random(len(rows)) < 0.5
    expected = {}
    for i, j in itertools.combinations(range(len(rows)), 2):
        a, b = rows[i], rows[j]
        if known[i] and known[j]:
            continue
        if a == b:
            expected[i, j] = {1: 1.0}
        else:
            of_pair = scores[min(a, b), max(a, b)]
            expected[i, j] = {o: of_pair[o if a < b else INVERSE[o]] for o in ORIENTATIONS}
    results, counts = join(tmp_path, rows, floor, known=known)
    found = rows_of(results)
    check(found, expected, floor)
    assert counts["pairs"] == sum(counts[stage] for stage in ssim.stage_labels())
    for r in results:
        for i, j, score, o in zip(
            *(side[r.verified] for side in (r.image1, r.image2, r.ssim, r.orientation)), strict=True
        ):
            assert score == oracle.score(thumbnails[rows[i]], np.ascontiguousarray(TURNS[o](thumbnails[rows[j]])))


def columns(result):
    order = np.lexsort((result.image2, result.image1))
    return {
        name: [None if value != value else value for value in getattr(result, name)[order].tolist()]  # noqa: PLR0124
        for name in vars(result)
        if name != "counts"
    }


def test_reused_pairs_are_those_that_a_join_stores(mixed, tmp_path):
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    rows = np.arange(len(thumbnails))
    ((past,), _) = join(tmp_path, rows, 0.3, max_batches=1)
    best = sorted(max(by_orientation.values()) for by_orientation in scores.values())
    for score in [one for one in best if 0.31 < one < 1][::60]:
        for floor in around(score):
            found = ssim.reuse_pairs(tmp_path, rows, past, threshold=1.0, floor=floor, orientations="all")
            ((expected,), _) = join(tmp_path, rows, floor, max_batches=1)
            assert columns(found) == columns(expected)
            assert found.counts["stored"] == len(found.ssim)


def test_nothing_is_turned_unless_asked_for(mixed, tmp_path):
    thumbnails, _ = mixed
    prepare(tmp_path, thumbnails)
    plan = ssim.plan_join(tmp_path, tmp_path / "plan", np.arange(len(thumbnails)), threshold=0.9, floor=0.5)
    results = [ssim.join_batch(tmp_path / "plan", batch) for batch in plan.batches]
    assert {int(o) for r in results for o in r.orientation} == {1}
