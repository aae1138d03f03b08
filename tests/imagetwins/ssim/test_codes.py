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
    choose_scale,
    open_codes,
    prune_tile,
    quantise_rows,
    reach_by_codes,
    shape_of,
    write_codes,
)
from imagetwins.ssim.integers import GROUP, TERMS
from imagetwins.ssim.processor import find_runnable
from imagetwins.ssim.tiles import Weights

each_kernels = pytest.mark.parametrize("kernels", find_runnable(), ids=lambda kernels: kernels.label)


def unit(vectors):
    """Vectors of length 1 in float32 whose last coordinate is not negative, as projections are."""
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    scaled[:, -1] = abs(scaled[:, -1])
    return scaled.astype(np.float32)


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


def write(directory, vectors, sample):
    write_codes(directory, vectors, np.arange(len(vectors)), choose_scale(sample.astype(np.float32)))
    return open_codes(directory)


def decode(codes, stage):
    """What is kept of each vector, centred, up to the groups of a bound, in float64; the head first."""
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
    offset = codes.offset.astype(np.float64)
    return offset[:, None] + offset + kept @ kept.T + (rest * signs) @ rest.T


@pytest.mark.parametrize("length", [9, HEAD, HEAD + 1, HEAD + 2, 100, 1200, 2300])
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_bound_is_at_least_the_inner_product_however_poor_the_scale(length, sample, tmp_path):
    vectors = draw_vectors(length)
    codes = write(tmp_path, vectors, SAMPLES[sample](vectors))
    true = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    for stage in range(STAGES):
        assert (bounds_of(codes, stage) + CODES_SLACK >= true).all()
    assert abs(codes.codes).max() <= LARGEST
    assert codes.codes.dtype == np.int8


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from([3, 40, 400]), st.floats(0, 3), st.sampled_from([0.01, 1.0, LONGEST]))
def test_bounds_hold_for_vectors_of_any_length_and_decay(tmp_path_factory, seed, length, decay, scale):
    rng = np.random.default_rng(seed)
    spread = np.arange(1.0, length + 1) ** -decay
    vectors = unit(rng.normal(0, 1, (12, length)) * spread + rng.normal(0, 1, length) * spread)
    vectors = np.float32(scale * 0.999) * vectors
    codes = write(tmp_path_factory.mktemp("codes"), vectors, vectors[:5])
    true = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    for stage in range(STAGES):
        assert (bounds_of(codes, stage) + CODES_SLACK >= true).all()


def test_bounds_of_vectors_that_are_alike_are_tight(tmp_path):
    vectors = draw_vectors(2300)[:26]
    codes = write(tmp_path, vectors, vectors[:20])
    true = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    assert (bounds_of(codes, STAGES - 1) - true)[:20, :20].max() < 0.02


def test_codes_are_the_nearest_multiples_of_the_step_and_terms_the_lengths(tmp_path):
    vectors = draw_vectors(500)
    scale = choose_scale(vectors[:20])
    write_codes(tmp_path, vectors, np.arange(len(vectors)), scale)
    codes = open_codes(tmp_path)
    centred = (vectors[:, :-1].astype(np.float64) - scale.mean)[:, scale.order]
    padded = np.zeros((len(vectors), HEAD + len(scale.levels) * GROUP))
    padded[:, : centred.shape[1]] = centred
    steps = np.repeat(2.0**-scale.levels, GROUP)
    expected = np.rint(padded[:, HEAD:] / steps).clip(-LARGEST, LARGEST)
    assert (codes.codes == expected).all()
    kept = np.hstack([padded[:, :HEAD].astype(np.float32), expected * steps])
    lengths = np.linalg.norm(kept, axis=1), np.linalg.norm(padded - kept, axis=1)
    rest = np.stack([lengths[0] + lengths[1], vectors[:, -1], lengths[0]], axis=1)
    np.testing.assert_allclose(codes.terms[:, -1, HEAD:], rest, atol=1e-5)
    # Rounded so that they never make a bound lower.
    assert (codes.terms[:, :, :KEPT][:, -1, HEAD:] >= rest[:, :2]).all()
    assert (codes.terms[:, -1, KEPT] <= rest[:, 2]).all()
    assert (np.diff(scale.levels) >= 0).all()
    deviation = centred[:20].std(0)
    assert deviation[:HEAD].min() >= deviation[HEAD:].max()


@each_kernels
@pytest.mark.parametrize("length", [60, 2300])
def test_a_tile_keeps_the_pairs_that_all_bounds_leave(kernels, length, tmp_path):
    rng = np.random.default_rng(0)
    vectors = np.concatenate([draw_vectors(length, seed) for seed in range(8)])
    codes = write(tmp_path, vectors, vectors[::3])
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
def test_a_list_keeps_the_pairs_that_all_bounds_but_the_first_leave(kernels, tmp_path):
    vectors = draw_vectors(2300)
    codes = write(tmp_path, vectors, vectors[:20])
    first, second = (side.ravel() for side in np.indices((len(vectors), len(vectors))))
    lower = np.minimum(bounds_of(codes, 1), bounds_of(codes, 2)).ravel()
    reached = reach_by_codes(int(kernels), codes, first, second, np.zeros(len(first), np.int64), 0.5)
    assert reached[lower >= 0.5 + CODES_SLACK].all()
    assert not reached[lower < 0.5 - CODES_SLACK].any()


def test_rows_are_quantised_in_the_order_that_is_asked_for(tmp_path):
    vectors = draw_vectors(300)
    scale, rows = choose_scale(vectors), np.array([5, 0, 5])
    write_codes(tmp_path, vectors, rows, scale)
    found = open_codes(tmp_path)
    whole = np.empty((len(vectors), len(scale.levels) * GROUP), np.int8)
    terms = np.empty((len(vectors), STAGES, TERMS), np.float32)
    offset, bias = np.empty(len(vectors), np.float32), np.empty((len(vectors), STAGES), np.int32)
    quantise_rows(vectors, np.arange(len(vectors)), scale, whole, terms, offset, bias)
    assert (found.codes == whole[rows]).all()
    assert (found.terms == terms[rows]).all()
    assert (found.offset == offset[rows]).all()
    assert (found.bias == bias[rows]).all()
