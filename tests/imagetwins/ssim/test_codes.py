import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagetwins.ssim.codes import (
    CODES_SLACK,
    HEAD,
    KEPT,
    LARGEST,
    LONGEST,
    STAGES,
    allocate_quantised,
    bound_pairs,
    choose_scale,
    find_codes,
    prune_tile,
    quantise,
    reach_by_codes,
    shape_of,
)
from imagetwins.ssim.integers import GROUP
from imagetwins.ssim.processor import find_runnable
from imagetwins.ssim.tiles import Weights
from imagetwins.ssim.turns import Symmetry

each_kernels = pytest.mark.parametrize("kernels", find_runnable(), ids=lambda kernels: kernels.label)


def unit(vectors):
    """Vectors of length 1 whose last coordinate is not negative, as projections are."""
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    scaled[:, -1] = abs(scaled[:, -1])
    return scaled


def alternate(length):
    return 1 - 2.0 * (np.arange(length) % 2)


def draw_vectors(length, seed=0):
    """Vectors that are hard for integers of 8 bits, among others that are alike."""
    rng = np.random.default_rng(seed)
    one = np.eye(length)
    alike = np.ones(length) + rng.normal(0, 0.3, (20, length)) * np.geomspace(1, 0.05, length)
    hard = [
        *(one[k] for k in (0, length // 2, length - 1)),
        *(-one[k] for k in (0, length // 2)),
        *(30 * one[k] + rng.normal(0, 0.1, length) for k in (1, 5, length // 3)),
        np.ones(length),
        -np.ones(length),
        alternate(length),
        -alternate(length),
        np.zeros(length),
        rng.standard_cauchy(length),
        np.geomspace(1, 1e-9, length),
        np.geomspace(1e-9, 1, length),
    ]
    return unit([*alike, *rng.normal(0, 1, (6, length)), *hard, alike[0]])


SAMPLES = {
    "the vectors themselves": lambda vectors: vectors,
    "vectors that are alike": lambda vectors: vectors[:20],
    "zeros": np.zeros_like,
    "one giant coordinate": lambda vectors: np.repeat(vectors[20:21] * 0 + np.eye(1, vectors.shape[1], 3), 9, axis=0),
    "alternating signs": lambda vectors: unit([alternate(vectors.shape[1]), -alternate(vectors.shape[1])]),
    "one vector": lambda vectors: vectors[3:4],
}


def scale_for(sample):
    """A scale as suits a sample of vectors, none of whose coordinates belong together."""
    energy = np.square(sample[:, :-1]).mean(0)
    nowhere = np.zeros(len(energy), bool)
    return choose_scale(energy, Symmetry(np.arange(len(energy)), nowhere, nowhere), 1000)


def arrange(vectors, scale):
    """The vectors with their coordinates in the order of a scale."""
    padded = np.hstack([vectors[:, :-1], np.zeros((len(vectors), 1))])
    return np.hstack([padded[:, scale.order], vectors[:, -1:]])


def find(vectors, sample, rows=None):
    scale = scale_for(np.asarray(sample, np.float64))
    stored = allocate_quantised(len(vectors), scale)
    for i, vector in enumerate(arrange(vectors, scale)):
        quantise(vector, scale, stored, i)
    return find_codes(stored, np.arange(len(vectors)) if rows is None else rows, scale)


def decode(codes, stage):
    """What is kept of each vector, up to the groups of a bound, in float64; the head first."""
    values = codes.codes[:, : codes.stops[stage] * GROUP].reshape(len(codes.codes), -1, GROUP).astype(np.float64)
    finest = np.sqrt(float(codes.units[-1]))
    steps = finest * 2.0 ** (codes.shifts[: codes.stops[stage]] / 2)
    return np.hstack(
        [codes.terms[:, stage, :HEAD].astype(np.float64), (values * steps[:, None]).reshape(len(values), -1)]
    )


def bounds_of(codes, stage):
    """The bounds of all pairs by the formula, in float64, from what is stored."""
    kept, rest = decode(codes, stage), codes.terms[:, stage, HEAD:].astype(np.float64)
    signs = np.array([1, 1, -1])
    return kept @ kept.T + (rest * signs) @ rest.T


@pytest.mark.parametrize("length", [9, HEAD, HEAD + 1, HEAD + 2, 100, 1200, 2300])
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_bound_is_at_least_the_inner_product_however_poor_the_scale(length, sample):
    vectors = draw_vectors(length)
    codes = find(vectors, SAMPLES[sample](vectors))
    true = vectors @ vectors.T
    for stage in range(STAGES):
        assert (bounds_of(codes, stage) + CODES_SLACK >= true).all()
    assert abs(codes.codes).max() <= LARGEST
    assert codes.codes.dtype == np.int8


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from([3, 40, 400]), st.floats(0, 3), st.sampled_from([0.01, 1.0, LONGEST]))
def test_bounds_hold_for_vectors_of_any_length_and_decay(seed, length, decay, scale):
    rng = np.random.default_rng(seed)
    spread = np.arange(1.0, length + 1) ** -decay
    vectors = unit(rng.normal(0, 1, (12, length)) * spread + rng.normal(0, 1, length) * spread)
    vectors = scale * 0.999 * vectors
    codes = find(vectors, vectors[:5])
    true = vectors @ vectors.T
    for stage in range(STAGES):
        assert (bounds_of(codes, stage) + CODES_SLACK >= true).all()


def test_bounds_of_vectors_that_decay_are_tight():
    rng = np.random.default_rng(0)
    vectors = unit(np.arange(1.0, 2301) ** -0.8 * rng.normal(1, 0.3, (20, 2300)))
    assert (bounds_of(find(vectors, vectors), STAGES - 1) - vectors @ vectors.T).max() < 0.02


def test_codes_are_the_nearest_multiples_of_the_step_and_terms_the_lengths():
    vectors = draw_vectors(500)
    scale, codes = scale_for(vectors[:20]), find(vectors, vectors[:20])
    padded = arrange(vectors, scale)[:, :-1]
    steps = np.repeat(2.0**-scale.levels, GROUP)
    expected = np.rint(padded[:, HEAD:] / steps).clip(-LARGEST, LARGEST)
    assert (codes.codes == expected).all()
    assert (codes.terms[:, :, :HEAD] == padded[:, None, :HEAD].astype(np.float32)).all()
    kept = expected * steps
    lengths = np.linalg.norm(kept, axis=1), np.linalg.norm(padded[:, HEAD:] - kept, axis=1)
    rest = np.stack([lengths[0] + lengths[1], vectors[:, -1], lengths[0]], axis=1)
    np.testing.assert_allclose(codes.terms[:, -1, HEAD:], rest, atol=1e-5)
    # Rounded so that they never make a bound lower.
    assert (codes.terms[:, :, :KEPT][:, -1, HEAD:] >= rest[:, :2]).all()
    assert (codes.terms[:, -1, KEPT] <= rest[:, 2]).all()
    assert (np.diff(scale.levels) >= 0).all()


def test_nothing_of_the_head_is_lost():
    """However large it is beside the rest, which is what pictures have in common."""
    rng = np.random.default_rng(0)
    alike = np.append(np.full(HEAD, 3.0), rng.normal(0, 1, 200))
    vectors = unit([alike + np.append(np.zeros(HEAD), rng.normal(0, 1, 200)) * 0.02 for _ in range(9)])
    codes = find(vectors, vectors)
    apart = bounds_of(codes, STAGES - 1) - vectors @ vectors.T
    without_head = bounds_of(find(vectors * np.append(np.zeros(HEAD), np.ones(200)), vectors), STAGES - 1)
    rest = vectors[:, HEAD:] @ vectors[:, HEAD:].T
    np.testing.assert_allclose(apart, without_head - rest, atol=1e-6)


def test_the_bounds_of_listed_pairs_are_the_lowest_ones():
    vectors = draw_vectors(2300)
    codes = find(vectors, vectors[:20])
    first, second = (side.ravel() for side in np.indices((len(vectors), len(vectors))))
    lowest = np.min([bounds_of(codes, stage) for stage in range(STAGES)], axis=0)
    np.testing.assert_allclose(bound_pairs(codes, first, second), lowest.ravel(), atol=1e-6)


@each_kernels
@pytest.mark.parametrize("length", [60, 2300])
def test_a_tile_keeps_the_pairs_that_all_bounds_leave(kernels, length):
    rng = np.random.default_rng(0)
    vectors = np.concatenate([draw_vectors(length, seed) for seed in range(8)])
    codes = find(vectors, vectors[::3])
    images, known = rng.integers(1, 4, len(vectors)), rng.integers(0, 2, len(vectors))
    by_stage = np.array([bounds_of(codes, stage) for stage in range(STAGES)])
    spans = (
        ((0, 300), (0, 300)),
        ((0, 130), (130, 331)),
        ((200, 331), (200, 331)),
        ((7, 8), (100, 101)),
        ((3, 9), (50, 299)),
    )
    for row_span, column_span in spans:
        rows, columns = slice(*row_span), slice(*column_span)
        wanted = np.ones((row_span[1] - row_span[0], column_span[1] - column_span[0]), bool)
        wanted = np.triu(wanted, 1) if row_span == column_span else wanted
        for lowest in (-2.0, 0.3, 0.9, 3.0):
            tile = int(kernels), shape_of(kernels), codes, row_span, column_span, lowest, Weights(images, known)
            first, second, pruned = prune_tile(*tile)
            is_left = np.zeros_like(wanted)
            is_left[first - row_span[0], second - column_span[0]] = True
            assert is_left.sum() == len(first)
            assert not (is_left & ~wanted).any()
            lower = by_stage[:, rows, columns].min(0)
            assert is_left[wanted & (lower >= lowest + CODES_SLACK)].all()
            assert not is_left[lower < lowest - CODES_SLACK].any()
            weights = np.multiply.outer(images[rows], images[columns]) - np.multiply.outer(known[rows], known[columns])
            assert pruned == weights[wanted & ~is_left].sum()


@each_kernels
def test_a_list_keeps_the_pairs_that_all_bounds_but_the_first_leave(kernels):
    vectors = draw_vectors(2300)
    codes = find(vectors, vectors[:20])
    first, second = (side.ravel() for side in np.indices((len(vectors), len(vectors))))
    lower = np.minimum(bounds_of(codes, 1), bounds_of(codes, 2)).ravel()
    reached = reach_by_codes(int(kernels), codes, first, second, np.zeros(len(first), np.int64), 0.5)
    assert reached[lower >= 0.5 + CODES_SLACK].all()
    assert not reached[lower < 0.5 - CODES_SLACK].any()


@each_kernels
def test_vectors_are_found_where_their_rows_say(kernels):
    vectors, rows = draw_vectors(2300), np.array([5, 0, 30, 5, 12, 7])
    apart, together = find(vectors, vectors[:20], rows), find(vectors[rows], vectors[:20])
    weights = Weights(np.ones(6, np.int64), np.zeros(6, np.int64))
    for row_span, column_span in (((0, 6), (0, 6)), ((0, 2), (2, 6))):
        tiles = [
            prune_tile(int(kernels), shape_of(kernels), codes, row_span, column_span, 0.5, weights)
            for codes in (apart, together)
        ]
        for one, other in zip(*tiles, strict=True):
            assert np.array_equal(one, other)
    first, second = (side.ravel() for side in np.indices((6, 6)))
    as_they_are = np.zeros(len(first), np.int64)
    reached = [reach_by_codes(int(kernels), codes, first, second, as_they_are, 0.5) for codes in (apart, together)]
    assert np.array_equal(*reached)
    assert bound_pairs(apart, first, second).tolist() == bound_pairs(together, first, second).tolist()
