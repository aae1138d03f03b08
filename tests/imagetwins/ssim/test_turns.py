"""What is kept of a picture, exchanged, against what is measured of the picture when it is really turned."""

import itertools

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.orientation import ORIENTATIONS
from imagetwins.ssim.bounds.projection import plan_transform, project_features
from imagetwins.ssim.codes import (
    CODES_SLACK,
    HEAD,
    STAGES,
    allocate_quantised,
    choose_scale,
    find_codes,
    prune_turned_tile,
    quantise,
    reach_by_codes,
    shape_of,
)
from imagetwins.ssim.features import RHO_MARGIN, feature_slack, feature_unit, make_basis, mean_slack, plan_cells
from imagetwins.ssim.image import MeasuredImage, Scratch
from imagetwins.ssim.integers import GROUP
from imagetwins.ssim.processor import find_runnable
from imagetwins.ssim.turned import allocate_turned, turn_images
from imagetwins.ssim.turns import WIDTH, find_symmetry, plan_feature_turn, turn_rows
from imagetwins.ssim.workspace import open_workspace
from tests.imagetwins.ssim.test_orientation import TURNS
from tests.support import oracle, tight
from tests.support import thumbnails as pictures

each_kernels = pytest.mark.parametrize("kernels", find_runnable(), ids=lambda kernels: kernels.label)


def prepare(directory, thumbnails):
    ssim.create_workspace(directory, len(thumbnails), thumbnails.shape[1])
    ssim.prepare_images(directory, np.arange(len(thumbnails)), thumbnails)
    return open_workspace(directory)


def measure(thumbnail):
    """The features of a thumbnail before they are rounded to be stored."""
    return MeasuredImage(thumbnail, make_basis(), Scratch(len(thumbnail))).features


def draw(size):
    rng = np.random.default_rng(0)
    grey = np.repeat(pictures.photographs(size)[:1, ..., 1:2], 3, axis=-1)
    noise = rng.integers(0, 256, (1, size, size, 3))
    drawn = [*pictures.photographs(size), *grey, *noise, pictures.page(size, 1), pictures.flat(size, 200)]
    return np.array(drawn, np.uint8)


@pytest.mark.parametrize("size", [16, 49, 63, 200, 300])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_features_exchanged_are_those_of_the_turned_picture_but_for_roundings(size, orientation):
    """Both are within the slack of the same true features; the square of what is left is, before its root is taken."""
    thumbnails, cells = draw(size), plan_cells(size)
    turned = np.array([TURNS[orientation](one) for one in thumbnails])
    basis, scratch = make_basis(), Scratch(size)
    features = np.array([MeasuredImage(one, basis, scratch).features for one in (*thumbnails, *turned)])
    table = plan_feature_turn(size, orientation)
    found = (
        turn_rows(features, np.arange(len(thumbnails)), table).reshape(-1, len(cells.share), WIDTH).astype(np.float64)
    )
    measured = features[len(thumbnails) :].reshape(found.shape).astype(np.float64)
    scale = np.sqrt(cells.share)[:, None]
    allowed = 2 * mean_slack(cells.largest) + 2.0**-20
    assert (np.linalg.norm((found - measured)[..., :-1], axis=-1) <= allowed * scale[:, 0]).all()
    assert (
        abs(found[..., -1] ** 2 - measured[..., -1] ** 2) <= (4 * allowed + float(RHO_MARGIN)) * scale[:, 0] ** 2
    ).all()


@pytest.mark.parametrize("size", [16, 63, 200])
def test_turned_images_are_as_a_workspace_keeps_them(size, tmp_path):
    thumbnails = draw(size)
    both = itertools.product(range(len(thumbnails)), ORIENTATIONS)
    rows, orientations = np.array([*both]).T
    workspace = prepare(tmp_path / "whole", thumbnails)
    expected = prepare(
        tmp_path / "turned", np.array([TURNS[o](thumbnails[k]) for k, o in zip(rows, orientations, strict=True)])
    )
    memory = allocate_turned(size, len(rows))
    # Twice, in another order: what was there before leaves no trace.
    for order in (np.arange(len(rows))[::-1], np.arange(len(rows))):
        found = turn_images(workspace, rows[order], orientations[order], memory, with_features=True)
    is_grey = expected.grey == 1
    assert (found.pixels == expected.pixels).all()
    assert found.arrays["features"].shape == expected.arrays["features"].shape
    moved = found.arrays["features"].astype(int) - expected.arrays["features"].astype(int)
    assert abs(moved).max() * feature_unit(moved.shape[1]) < 1e-3
    assert (found.grey == expected.grey).all()
    assert (found.grey_pixels[is_grey] == expected.grey_pixels[is_grey]).all()


@pytest.mark.parametrize("size", [16, 63, 200])
def test_projections_exchanged_are_those_of_the_turned_picture_but_for_roundings(size):
    cells = plan_cells(size)
    thumbnails, symmetry = draw(size), find_symmetry(cells.side)
    everything = np.arange(len(symmetry.other))
    transform = plan_transform(size, everything)
    assert (symmetry.other[symmetry.other] == everything).all()
    for orientation in ORIENTATIONS:
        both = np.concatenate([thumbnails, [TURNS[orientation](one) for one in thumbnails]])
        vectors = np.array([project_features(measure(one), transform)[:-1] for one in both])
        whole, turned = vectors[: len(thumbnails)], vectors[len(thumbnails) :]
        taken = symmetry.other if orientation >= 5 else everything
        found = whole[:, taken] * symmetry.turn_signs(orientation)
        # As far apart as two features of one picture may be, and where nothing is left, the root of their margins.
        allowed = 2 * mean_slack(cells.largest) + np.sqrt(2 * float(RHO_MARGIN) + 8 * mean_slack(cells.largest))
        assert (np.linalg.norm(found - turned, axis=1) <= allowed).all()


def test_bounds_from_what_is_exchanged_are_at_least_the_score():
    """Of pairs of every kind that is hard for a bound, in each orientation."""
    size = 32
    for k, kind in enumerate(dict.fromkeys(tight.KINDS)):
        pair = np.array(kind(np.random.default_rng(k), size))
        features = np.array([measure(one) for one in pair], np.float64)
        for orientation, one in TURNS.items():
            turned = turn_rows(features.astype(np.float32), np.array([1]), plan_feature_turn(size, orientation))[0]
            score = oracle.score(pair[0], np.ascontiguousarray(one(pair[1])))
            assert features[0] @ turned + feature_slack(size) >= score, (kind.__name__, orientation)


# -- codes ----------------------------------------------------------------------------------------------------------


def draw_vectors(length, symmetry, n, seed):
    """Vectors whose coordinates vary as those of projections do, with large and small ones, and some that are extreme."""
    rng = np.random.default_rng(seed)
    spread = rng.permutation(np.geomspace(1, 1e-3, length))
    spread = np.append((spread + spread[symmetry.other]) / 2, 0.1)
    vectors = rng.normal(0, 1, (n, length + 1)) * spread
    vectors[:4] = [
        np.eye(1, length + 1, 3)[0],
        np.ones(length + 1),
        1 - 2.0 * (np.arange(length + 1) % 2),
        np.eye(1, length + 1)[0],
    ]
    vectors[:, -1] = abs(vectors[:, -1])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def turn_vectors(vectors, symmetry, orientation):
    taken = symmetry.other if orientation >= 5 else np.arange(len(symmetry.other))
    return np.hstack([vectors[:, taken] * symmetry.turn_signs(orientation), vectors[:, -1:]])


def bounds_of(codes, stage, turn):
    """The bounds of all pairs by the formula, in float64, from what is stored, the second one turned."""
    stop, turns = codes.stops[stage], codes.turns
    values = codes.codes[:, : stop * GROUP].reshape(len(codes.codes), -1, GROUP).astype(np.float64)
    values *= np.sqrt(float(codes.units[-1])) * 2.0 ** (codes.shifts[:stop, None] / 2)
    second = values[:, turns.sources[turn, :stop]] * (1 + 2.0 * turns.signs[turn, :stop, None])
    terms = codes.terms[:, stage].astype(np.float64)
    signs = np.append(np.ones(HEAD), [1, 1, -1])
    of_second = terms[:, turns.term_sources[turn]] * turns.term_signs[turn]
    inner = values.reshape(len(values), -1) @ second.reshape(len(values), -1).T
    return inner + (terms * signs) @ of_second.T


@pytest.fixture(scope="module", params=[16, 63, 200])
def quantised(request):
    symmetry = find_symmetry(plan_cells(request.param).side)
    length = len(symmetry.other)
    vectors = draw_vectors(length, symmetry, 150, request.param)
    energy = np.square(vectors[4::3, :-1], dtype=float).mean(0)
    scale = choose_scale((energy + energy[symmetry.other]) / 2, symmetry, length)
    stored = allocate_quantised(len(vectors), scale)
    for i, vector in enumerate(np.hstack([vectors[:, :-1], np.zeros((len(vectors), 1))])[:, scale.order]):
        quantise(np.append(vector, vectors[i, -1]), scale, stored, i)
    return vectors, symmetry, find_codes(stored, np.arange(len(vectors)), scale)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_bounds_from_codes_are_at_least_the_inner_products_with_the_turned_vectors(quantised, orientation):
    vectors, symmetry, codes = quantised
    true = vectors.astype(np.float64) @ turn_vectors(vectors.astype(np.float64), symmetry, orientation).T
    for stage in range(STAGES):
        upper = bounds_of(codes, stage, orientation - 1)
        assert (upper + CODES_SLACK >= true).all()
    # Of the smallest thumbnails, a group has coordinates of every size.
    assert np.median(upper - true) < 0.1


@each_kernels
def test_a_tile_keeps_the_turned_pairs_that_all_bounds_leave(kernels, quantised):
    _, _, codes = quantised
    by_stage = [[bounds_of(codes, stage, turn) for turn in range(len(ORIENTATIONS))] for stage in range(STAGES)]
    lower = np.min(by_stage, axis=0)
    spans = ((0, 150), (0, 150)), ((0, 70), (70, 150)), ((3, 9), (50, 149)), ((140, 150), (140, 150)), ((0, 1), (2, 3))
    for row_span, column_span in spans:
        rows, columns = slice(*row_span), slice(*column_span)
        wanted = np.ones((len(ORIENTATIONS), row_span[1] - row_span[0], column_span[1] - column_span[0]), bool)
        wanted = np.triu(wanted, 1) if row_span == column_span else wanted
        of_tile = lower[:, rows, columns]
        for lowest in (-2.0, *np.quantile(lower, (0.1, 0.5, 0.9)), 3.0):
            found = prune_turned_tile(int(kernels), shape_of(kernels), codes, row_span, column_span, float(lowest))
            is_left = np.zeros_like(wanted)
            is_left[found.turn, found.first - row_span[0], found.second - column_span[0]] = True
            assert is_left.sum() == len(found.first)
            assert not (is_left & ~wanted).any()
            assert is_left[wanted & (of_tile >= lowest + CODES_SLACK)].all()
            assert not is_left[of_tile < lowest - CODES_SLACK].any()


@each_kernels
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_list_keeps_the_turned_pairs_that_all_bounds_but_the_first_leave(kernels, orientation, quantised):
    vectors, _, codes = quantised
    first, second = (side.ravel() for side in np.indices((len(vectors), len(vectors))))
    lower = np.minimum(bounds_of(codes, 1, orientation - 1), bounds_of(codes, 2, orientation - 1)).ravel()
    lowest = float(np.median(lower))
    reached = reach_by_codes(int(kernels), codes, first, second, np.full(len(first), orientation - 1), lowest)
    assert reached[lower >= lowest + CODES_SLACK].all()
    assert not reached[lower < lowest - CODES_SLACK].any()
