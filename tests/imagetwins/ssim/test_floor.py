"""No pair is lost: the floor at the very score of a pair, a hair below it and a hair above, by each stage alone and by all.

A bound that prunes too much loses those pairs first whose bounds are tight. All of this goes through the public functions,
so that it holds for whatever bounds there are.
"""

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.ssim import bounds
from imagetwins.ssim.bounds.base import ArraySpec, VectorBound
from imagetwins.ssim.bounds.projection import (
    ProjectionBound,
    plan_scale,
    plan_transform,
    project_features,
    quantise_projection,
)
from imagetwins.ssim.features import count_features, feature_slack, plan_cells
from imagetwins.ssim.processor import find_runnable, force_kernels
from imagetwins.ssim.workspace import open_workspace
from tests.support import oracle, tight
from tests.support import thumbnails as pictures
from tests.support.joins import STAGES, BlocksAlone, prepare

SIZE = 32
"""Side of most thumbnails, in pixels. What is tight is so at any size, and small ones are scored soonest."""

FLOORS = np.linspace(0.3, 0.95, 14).round(2).tolist()

EVERY = {"all, of a list": 4, "blocks": 3, "none": 4}
"""By these stages, only the pairs of every third or fourth seed are joined."""

DARK = 4
"""Dark pictures in each join: a bound is used where it prunes something, and it prunes the pairs of these."""

CROWD = 600
"""Pictures among which a sample misses most others."""


# -- joins ----------------------------------------------------------------------------------------------------------


def join(directory, rows, floor, **options):
    """Return {pair: score} of what a join stores, its counts, and the plan."""
    # A directory for each plan: one that replaced another within a tick of the file system's clock would not be read.
    with tempfile.TemporaryDirectory(dir=directory) as plan_directory:
        plan = ssim.plan_join(
            directory, Path(plan_directory), rows, threshold=1.0, floor=floor, max_batches=1, **options
        )
        results = [ssim.join_batch(Path(plan_directory), batch) for batch in plan.batches]
    stored = {(int(i), int(j)): score for r in results for i, j, score in zip(r.image1, r.image2, r.ssim, strict=True)}
    return stored, {name: sum(r.counts[name] for r in results) for name in results[0].counts}, plan


def hair_around(scores):
    """Return a floor a hair below all of some scores that are nearly the same, at the lowest, and a hair above all."""
    return float(np.nextafter(min(scores), -1)), min(scores), float(np.nextafter(max(scores), 2))


# -- thousands of pairs ---------------------------------------------------------------------------------------------


class Planted(NamedTuple):
    """Pairs of nearly the same score, and dark pictures.

    Attributes:
        origin: what they are, for messages.
        thumbnails: the first picture of each pair, then the second ones, then the dark ones.
        scores: of each pair, scikit-image's.
    """

    origin: str
    thumbnails: np.ndarray
    scores: list[float]

    @property
    def pairs(self):
        return [(k, len(self.scores) + k) for k in range(len(self.scores))]

    def expect(self, floor):
        """Return {pair: score} of those that a join at this floor stores."""
        return {pair: score for pair, score in zip(self.pairs, self.scores, strict=True) if score >= floor}


def plant(size, seed, turns=16):
    """Return pairs of every kind; each of them turned and mirrored, in `turns` ways at most."""
    dark = np.array([pictures.flat(size, level) for level in range(DARK)])
    planted = []
    for k, kind in enumerate(tight.KINDS):
        pairs = tight.turn(*kind(np.random.default_rng([seed, k]), size))[:turns]
        scores = [oracle.score(*pair) for pair in pairs]
        # Below, hardly a bound prunes anything.
        if 0.2 < min(scores) < 1:
            origin = f"{kind.__name__}, size {size}, seed {seed}, {k}"
            planted.append(Planted(origin, np.concatenate([*pairs.swapaxes(0, 1), dark]), scores))
    return planted


@pytest.fixture(scope="module")
def planted(soak_factor):
    """Return the pairs of one seed after the other: each has all kinds."""
    return [plant(SIZE, seed) for seed in range(12 * soak_factor)]


def check_floors(directory, planted):
    """Join the pairs at their own scores and a hair beside, and compare what is stored with scikit-image's scores."""
    used = []
    for some in planted:
        prepare(directory, some.thumbnails)
        for floor in hair_around(some.scores):
            stored, _, plan = join(directory, np.arange(len(some.thumbnails)), floor)
            found = {pair: stored[pair] for pair in some.pairs if pair in stored}
            # So close to the floor, scores are scikit-image's own.
            assert found == some.expect(floor), (some.origin, floor)
            used.append([*plan.stages.values()])
    assert (np.mean(used, axis=0) > 0.95).all()


def test_there_are_thousands_of_pairs_of_every_score(planted):
    scores = [score for some in itertools.chain(*planted) for score in some.scores]
    assert len(scores) >= 2000
    origins = {some.origin.split(",")[0] for some in itertools.chain(*planted)}
    assert origins == {kind.__name__ for kind in tight.KINDS}
    assert all(np.histogram(scores, np.arange(0.3, 1.001, 0.05))[0] >= 10)


@pytest.mark.parametrize("stages", STAGES)
def test_a_pair_is_stored_exactly_where_the_floor_is_at_or_below_its_score(stages, planted, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOUNDS", STAGES[stages])
    check_floors(tmp_path, itertools.chain(*planted[:: EVERY.get(stages, 1)]))


@pytest.mark.parametrize("kernels", find_runnable(), ids=lambda kernels: kernels.label)
def test_it_is_with_the_kernels_of_each_processor(kernels, planted, tmp_path, monkeypatch):
    """In a join of its own: quantised vectors are laid out for the kernels that read them."""
    monkeypatch.setattr(bounds, "BOUNDS", STAGES["projection"])
    with force_kernels(kernels):
        check_floors(tmp_path, itertools.chain(*planted[::4]))


@pytest.mark.parametrize("size", [16, 49, 200, pytest.param(300, marks=pytest.mark.slow)])
def test_it_is_at_any_size(size, tmp_path):
    check_floors(tmp_path, plant(size, 0, turns=3))


@pytest.mark.slow
@pytest.mark.parametrize("stages", STAGES)
def test_it_is_by_each_stage_at_the_usual_size(stages, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOUNDS", STAGES[stages])
    check_floors(tmp_path, plant(200, 1, turns=3))


def test_each_bound_with_its_slack_is_at_least_the_score(planted, tmp_path):
    for some in itertools.chain(*planted):
        prepare(tmp_path, some.thumbnails)
        arrays, (first, second) = open_workspace(tmp_path).arrays, np.transpose(some.pairs)
        for bound in bounds.BOUNDS:
            upper = bound.upper_bounds(arrays, first, second).astype(np.float64) + bound.slack(SIZE)
            assert (upper >= some.scores).all(), (bound.name, some.origin)


# -- the tests notice what is wrong by 0.01 -------------------------------------------------------------------------


@pytest.mark.parametrize("bound", bounds.BOUNDS, ids=lambda bound: bound.name)
def test_a_bound_that_is_too_low_by_a_hundredth_would_lose_some_of_these_pairs(bound, planted, tmp_path, monkeypatch):
    class Wrong(type(bound)):
        def slack(self, size):
            return super().slack(size) - 0.01

    monkeypatch.setattr(bounds, "BOUNDS", (Wrong(),))
    lost = []
    for some in itertools.chain(*planted[::3]):
        prepare(tmp_path, some.thumbnails)
        stored, *_ = join(tmp_path, np.arange(len(some.thumbnails)), min(some.scores))
        lost += [score for pair, score in some.expect(-1).items() if pair not in stored]
    assert all(np.histogram(lost, [0.5, 0.7, 0.85, 0.95, 1])[0])


@pytest.mark.parametrize("bound", bounds.BOUNDS, ids=lambda bound: bound.name)
def test_a_join_drops_no_pair_whose_bound_reaches_the_floor(bound, planted, tmp_path, monkeypatch):
    """With no more slack than these pairs need. That is less than none, because their bounds are above their scores."""

    class Tightened(type(bound)):
        needed = 0.0

        def slack(self, size):  # noqa: ARG002 - an implementation of an interface
            return self.needed + 1e-5

    tightened = Tightened()
    monkeypatch.setattr(bounds, "BOUNDS", (tightened,))
    for some in itertools.chain(*planted[::6]):
        prepare(tmp_path, some.thumbnails)
        upper = bound.upper_bounds(open_workspace(tmp_path).arrays, *np.transpose(some.pairs))
        tightened.needed = float(max(some.scores - upper))
        stored, *_ = join(tmp_path, np.arange(len(some.thumbnails)), min(some.scores))
        assert stored.keys() >= {*some.pairs}, some.origin


class Lowered(VectorBound):
    """Nine tenths of the inner product of the features, with a slack that allows for that."""

    name = "lowered"
    label = "proven below the floor by nine tenths"
    vectors = "lowered_features"
    are_features = True

    def arrays(self, size):
        return {"lowered_features": ArraySpec(np.float32, (count_features(size),))}

    def make_preparer(self, size, basis):  # noqa: ARG002 - an implementation of an interface
        return lambda image: {"lowered_features": image.features * np.float32(np.sqrt(0.9))}

    def slack(self, size):
        return feature_slack(size) + 0.1 * 1.001


def test_a_join_allows_for_all_of_a_slack(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOUNDS", (Lowered(),))
    check_floors(tmp_path, planted[0])


# -- extreme vectors ------------------------------------------------------------------------------------------------


class Turned(ProjectionBound):
    """The same inner products of other vectors: the largest coordinate of flat pictures becomes the same for all coordinates.

    The vectors are mirrored, by Householder's formula, so that the first unit vector becomes `target`.
    """

    def target(self, n):
        """Return a unit vector of `n` coordinates."""

    def make_preparer(self, size, basis):  # noqa: ARG002 - an implementation of an interface
        scale = plan_scale(plan_cells(size).side)
        transform = plan_transform(size, scale.order)

        def turn(image):
            *kept, rest = project_features(image.features, transform)
            mirror = np.eye(1, len(kept))[0] - self.target(len(kept))
            turned = kept - 2 * mirror * (mirror @ kept) / (mirror @ mirror)
            return quantise_projection(np.append(turned, rest), scale)

        return turn

    def is_worthwhile(self, upper, floor):  # noqa: ARG002 - an implementation of an interface
        """Steps are not made for such vectors."""
        return True


class AllEqual(Turned):
    def target(self, n):
        return np.full(n, n**-0.5)


class AlternatingSigns(Turned):
    def target(self, n):
        return np.full(n, n**-0.5) * (-1.0) ** np.arange(n)


class OneGiant(Turned):
    """All of a flat picture in the last coordinate before that of the rest."""

    def target(self, n):
        return np.eye(1, n, n - 1)[0]


@pytest.mark.parametrize("bound", [AllEqual(), AlternatingSigns(), OneGiant()], ids=lambda bound: type(bound).__name__)
def test_no_pair_is_lost_where_vectors_are_extreme(bound, planted, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOUNDS", (bound,))
    check_floors(tmp_path, planted[1])


def test_no_pair_is_lost_among_pictures_that_are_unlike_it(planted, tmp_path):
    """A join may fit its vectors to a sample of its pictures: here to noise, whose vectors are all but one of two.

    The noise is known, so that it makes no pairs of its own.
    """
    rng = np.random.default_rng(0)
    noise = np.concatenate([rng.integers(0, bright, (CROWD // 2, SIZE, SIZE, 3)) for bright in (5, 256)])
    ssim.create_workspace(tmp_path, CROWD + max(len(some.thumbnails) for some in planted[1]), SIZE)
    ssim.prepare_images(tmp_path, np.arange(CROWD), noise.astype(np.uint8))
    for some in planted[1]:
        rows = np.arange(CROWD + len(some.thumbnails))
        ssim.prepare_images(tmp_path, rows[CROWD:], some.thumbnails)
        stored, _, plan = join(tmp_path, rows, min(some.scores), known=rows < CROWD)
        assert stored.keys() >= {(CROWD + i, CROWD + j) for i, j in some.pairs}, some.origin
        assert all(plan.stages.values()), some.origin


# -- all pairs of many pictures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed():
    """Return pictures of every kind and clusters of copies, (n, SIZE, SIZE, 3), and the scores of all pairs."""
    rng = np.random.default_rng(0)
    apart = [picture for kind in tight.KINDS for picture in kind(rng, SIZE)]
    cluster = [
        tight.clip(one + tight.noise_like(rng, one, spread))
        for one in pictures.photographs(SIZE)
        for spread in (0, 2, 5, 10, 20, 40)
    ]
    thumbnails = rng.permutation(np.unique([*apart, *cluster], axis=0))
    return thumbnails, oracle.all_scores(thumbnails)


@pytest.mark.parametrize("stages", STAGES)
def test_stored_pairs_are_those_of_brute_force_at_any_floor(stages, mixed, tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOUNDS", STAGES[stages])
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    pruned = 0
    for floor in FLOORS:
        stored, counts, plan = join(tmp_path, np.arange(len(thumbnails)), floor)
        assert stored.keys() == {pair for pair, score in scores.items() if score >= floor}
        assert max(abs(stored[pair] - scores[pair]) for pair in stored) < 1e-6
        assert sum(counts[name] for name in ssim.stage_labels()) == counts["pairs"] == plan.n_pairs == len(scores)
        pruned += counts["pairs"] - counts["scored"]
    assert (pruned > 0) == (stages != "none")


@pytest.mark.parametrize("floor", FLOORS[::3])
def test_they_are_where_some_pictures_are_there_twice_and_some_pairs_are_known(floor, mixed, tmp_path):
    thumbnails, scores = mixed
    prepare(tmp_path, thumbnails)
    rows = np.random.default_rng(1).integers(0, len(thumbnails), len(thumbnails) + 20)
    known = np.random.default_rng(2).random(len(rows)) < 0.5
    # At the own score of a pair, close to the floor that is given.
    floor = min(score for score in scores.values() if score >= floor)
    expected = {
        (i, j): scores.get((min(rows[i], rows[j]), max(rows[i], rows[j])), 1.0)
        for i, j in itertools.combinations(range(len(rows)), 2)
        if not (known[i] and known[j])
    }
    stored, counts, _ = join(tmp_path, rows, floor, known=known)
    assert stored == pytest.approx({pair: score for pair, score in expected.items() if score >= floor}, abs=1e-6)
    assert counts["pairs"] - counts["known"] == len(expected)
    assert counts["identical"] == sum(rows[i] == rows[j] for i, j in expected)


# -- blocks ---------------------------------------------------------------------------------------------------------


def test_blocks_prune_pairs_that_are_below_the_floor_and_none_that_is_at_it(planted, tmp_path, monkeypatch):
    """Some that are a hundredth below it: which ones are worth refining is not promised."""
    monkeypatch.setattr(bounds, "BOUNDS", (BlocksAlone(),))
    pruned = []
    for some in planted[2]:
        prepare(tmp_path, some.thumbnails[[0, len(some.scores)]])
        score = some.scores[0]
        at, below = (join(tmp_path, np.arange(2), floor)[1] for floor in (score, min(score + 0.01, 1.0)))
        assert (at["blocks"], at["scored"]) == (0, 1), some.origin
        pruned.append(below["blocks"])
    assert any(pruned)


# -- pairs of an earlier join ---------------------------------------------------------------------------------------


def columns(result):
    """Return the columns of a result as lists, in the order of the pairs; NaN as None."""
    order = np.lexsort((result.image2, result.image1))
    names = ("image1", "image2", "ssim", "max_difference", "verified")
    optional = {
        name: [None if np.isnan(one) else one for one in getattr(result, name)[order]]
        for name in ("detail_ssim", "kernel_ssim")
    }
    return {name: getattr(result, name)[order].tolist() for name in names} | optional


def test_reused_pairs_are_those_that_a_join_stores_at_any_floor(mixed, tmp_path):
    """One picture is there twice: the score of identical ones is verified by being 1."""
    thumbnails, scores = np.concatenate([mixed[0], mixed[0][8:9]]), mixed[1]
    prepare(tmp_path, thumbnails)
    rows = np.arange(len(thumbnails))

    def join_all(floor):
        with tempfile.TemporaryDirectory(dir=tmp_path) as plan:
            (batch,) = ssim.plan_join(tmp_path, Path(plan), rows, threshold=1.0, floor=floor, max_batches=1).batches
            return ssim.join_batch(Path(plan), batch)

    past = join_all(0.45)
    own = sorted(score for score in scores.values() if score > 0.45)[::40]
    for floor in itertools.chain.from_iterable(hair_around([score]) for score in own):
        found = ssim.reuse_pairs(tmp_path, rows, past, threshold=1.0, floor=floor)
        pairs = {*zip(found.image1.tolist(), found.image2.tolist(), strict=True)}
        assert {pair for pair in pairs if pair in scores} == {pair for pair, score in scores.items() if score >= floor}
        assert (8, len(thumbnails) - 1) in pairs
        assert columns(found) == columns(join_all(floor))
        # Older versions did not keep what the kernels computed.
        older = replace(past, kernel_ssim=np.full(len(past.ssim), np.nan))
        assert columns(ssim.reuse_pairs(tmp_path, rows, older, threshold=1.0, floor=floor)) == columns(found)
        assert found.counts["stored"] == len(found.ssim)
        assert found.counts["verified"] == found.verified.sum()
