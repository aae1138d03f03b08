import itertools

import numpy as np
import pytest
import scipy.fft
from hypothesis import HealthCheck, given, settings

from imagetwins import ssim
from imagetwins.ssim import bounds
from imagetwins.ssim.bounds.projection import (
    N_GROUPS,
    ProjectionBound,
    estimate_energy,
    plan_scale,
    plan_transform,
    project_features,
)
from imagetwins.ssim.codes import CODES_SLACK, HEAD, LONGEST
from imagetwins.ssim.columns import plan_columns
from imagetwins.ssim.features import (
    CELL_RANK,
    count_features,
    feature_slack,
    feature_unit,
    make_basis,
    measure_cells,
    plan_cells,
    store_features,
    stored_slack,
)
from imagetwins.ssim.image import MeasuredImage, Scratch
from imagetwins.ssim.measurements import STEP, allocate_sums, allocate_windows, measure_windows
from imagetwins.ssim.refine import bound_blocks, make_block_bounds
from imagetwins.ssim.turns import find_symmetry
from imagetwins.ssim.vector import DEVIATION_RANK
from imagetwins.ssim.windows import C2, allocate_pixels, fill_pixels, plan_layout
from imagetwins.ssim.workspace import open_workspace
from tests.support import oracle
from tests.support import thumbnails as pictures

SIZE = 32


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bounds")
    ssim.create_workspace(directory, 2, SIZE)

    def prepare(first, second):
        ssim.prepare_images(directory, np.arange(2), np.array([first, second]))
        return open_workspace(directory)

    return prepare


quick = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def stored_features(arrays):
    stored = arrays["features"]
    return stored.astype(np.float64) * feature_unit(stored.shape[1])


@quick
@given(pair=pictures.pairs(SIZE))
def test_each_bound_with_its_slack_is_at_least_the_score(prepare, pair):
    workspace, score = prepare(*pair), oracle.score(*pair)
    for bound in bounds.BOUNDS:
        (upper,) = bound.upper_bounds(workspace.arrays, np.array([0]), np.array([1]))
        assert upper.astype(np.float64) + bound.slack(SIZE) >= score


def order_of(size):
    return plan_scale(plan_cells(size).side).order


def exact_features(pair):
    scratch = Scratch(SIZE)
    return [MeasuredImage(thumbnail, make_basis(), scratch).features.copy() for thumbnail in pair]


def project(features):
    transform = plan_transform(SIZE, order_of(SIZE))
    return np.array([project_features(one, transform) for one in features])


@quick
@given(pair=pictures.pairs(SIZE))
def test_features_and_their_projection_bound_the_score(prepare, pair):
    arrays, score = prepare(*pair).arrays, oracle.score(*pair)
    exact = exact_features(pair)
    for vectors, slack in (
        (exact, feature_slack(SIZE)),
        (project(exact), feature_slack(SIZE)),
        (stored_features(arrays), stored_slack(SIZE)),
    ):
        first, second = np.array(vectors, np.float64)
        assert first @ second + slack >= score


@quick
@given(pair=pictures.pairs(SIZE))
def test_stored_codes_bound_the_inner_product_of_the_projections(prepare, pair):
    arrays = prepare(*pair).arrays
    first, second = project(exact_features(pair))
    for rows, product in (((0, 1), first @ second), ((1, 1), second @ second)):
        (upper,) = ProjectionBound().upper_bounds(arrays, *np.array(rows)[:, None])
        assert upper + CODES_SLACK >= product


@quick
@given(pair=pictures.pairs(SIZE))
def test_vectors_are_never_shorter_than_one(prepare, pair):
    arrays = prepare(*pair).arrays
    exact = exact_features(pair)
    half_units = (stored_slack(SIZE) - feature_slack(SIZE)) / 2
    for vectors, shorter in ((exact, 0), (project(exact), 0), (stored_features(arrays), half_units)):
        lengths = np.linalg.norm(np.array(vectors, np.float64), axis=1)
        assert lengths.min() >= 1 - shorter
        assert lengths.max() <= 1.001 < LONGEST


def test_the_slack_allows_for_the_rounding_of_the_deviations_of_both_images():
    deviation = np.random.default_rng(0).uniform(0, 1, 100_000)
    rounded = np.rint(deviation / STEP) * STEP
    kernel = (2 * deviation * rounded + float(C2)) / (deviation**2 + rounded**2 + float(C2))
    moved = np.sqrt(2 - 2 * kernel).max()
    assert 2 * moved + moved**2 <= feature_slack(16) <= feature_slack(300) < 2 * (2 * moved + moved**2)
    for size in (16, 200, 300):
        # Each addition of a float32 inner product rounds by up to 2^-24 of what is at most 1.
        assert 2 * moved + moved**2 + count_features(size) * 2.0**-24 <= feature_slack(size)


@pytest.mark.parametrize("size", [16, 50, 200])
def test_inner_products_of_projections_are_never_below_those_of_the_features(size):
    """Also of vectors that are almost the same, where they are equal but for roundings."""
    rng, chosen = np.random.default_rng(0), order_of(size)[::3]
    for _ in range(10):
        first = rng.normal(0, 1, count_features(size)) * rng.exponential(1, count_features(size)) ** 3
        second = first + rng.normal(0, rng.choice([0, 1e-4, 1]), len(first))
        vectors = [(one / np.linalg.norm(one)).astype(np.float32) for one in (first, second)]
        projections = [project_features(one, plan_transform(size, chosen)) for one in vectors]
        assert np.dot(*projections) >= np.dot(*(one.astype(np.float64) for one in vectors))


@pytest.mark.parametrize("size", [SIZE, 300])
def test_each_block_bound_holds_for_its_block(size, tmp_path):
    columns = plan_columns(size, 3)
    strips, bands = columns.edges[columns.strips], columns.edges[columns.bands]
    upper, loose = np.empty((2, len(columns.blocks) - 1), np.float32)
    assert len(upper) == (len(strips) - 1) * (len(bands) - 1)
    ssim.create_workspace(tmp_path, 2, size)

    @settings(quick, max_examples=40)
    @given(pictures.pairs(size))
    def check(pair):
        ssim.prepare_images(tmp_path, np.arange(2), np.array(pair))
        bound_blocks(make_block_bounds(open_workspace(tmp_path), 0.0), columns, 0, 1, upper, loose)
        exact = oracle.ssim_map(*pair).mean(-1) / (size - 6) ** 2
        for k, bound in enumerate(upper.astype(float)):
            strip, band = divmod(k, len(bands) - 1)
            value = exact[strips[strip] : strips[strip + 1], bands[band] : bands[band + 1]].sum()
            assert bound + stored_slack(size) >= value
            # The rests of two cells agree at most, and are opposite at the least: in between lies all that is left out.
            assert loose[k] >= 0

    check()


@pytest.mark.parametrize("size", [16, 50, 200])
def test_a_projection_has_the_chosen_coordinates_of_scipys_transform_and_the_length_of_the_rest(size, tmp_path):
    ssim.create_workspace(tmp_path, 1, size)
    ssim.prepare_images(tmp_path, np.arange(1), pictures.photographs(size)[:1])
    stored, cells = open_workspace(tmp_path).arrays["features"][0], plan_cells(size)
    features = np.float32(stored * feature_unit(len(stored)))
    grid = np.empty((cells.side**2, CELL_RANK + 1))
    grid[cells.grid_index] = features.reshape(-1, CELL_RANK + 1)
    whole = scipy.fft.dctn(grid.reshape(cells.side, cells.side, -1), axes=(0, 1), norm="ortho").ravel()
    for order in (order_of(size), order_of(size)[::5]):
        projected = project_features(features, plan_transform(size, order))
        np.testing.assert_allclose(projected[:-1], np.where(order < 0, 0, whole[order]), atol=1e-6)
        rest = np.delete(whole, order[order >= 0])
        assert projected[-1] ** 2 == pytest.approx((rest**2).sum(), abs=2e-6)


def test_axes_of_slopes_are_distinguished_from_those_of_means_and_deviations():
    axes = make_basis().axes.reshape(CELL_RANK, 3, -1, 4, DEVIATION_RANK)
    of_slopes = 3 * (axes[..., :2, :] ** 2).sum((1, 2, 3, 4))
    assert (np.minimum(of_slopes, abs(of_slopes - 1)) < 1e-6).all()
    energy = estimate_energy(8)
    decay, radius = energy[0, 0, :CELL_RANK] / energy[7, 7, :CELL_RANK], 1 + 7 * 2**0.5
    np.testing.assert_allclose(
        decay, np.where(of_slopes > 0.5, 64**0.45 * radius**0.4, np.exp(3) * 64**0.6 * radius**1.1)
    )


@pytest.mark.parametrize("size", [16, 17, 32, 50, 64, 100, 200, 300])
def test_coordinates_are_ordered_by_energy_and_those_that_belong_together_take_each_others_place(size):
    side = plan_cells(size).side
    scale, energy, symmetry = plan_scale(side), estimate_energy(side).ravel(), find_symmetry(side)
    head, groups = scale.order[:HEAD], scale.order[HEAD:].reshape(-1, 64)
    kept = scale.order[scale.order >= 0]
    assert len(set(kept.tolist())) == len(kept)
    assert len(kept) >= min(len(energy), 60 * 64)
    assert len(groups) == len(scale.levels) <= N_GROUPS
    assert set(symmetry.other[head[head >= 0]]) == set(head[head >= 0])
    # A whole group takes the place of another one, coordinate by coordinate, in the same bound.
    transposed = scale.turns.sources[4]
    assert (transposed[transposed] == np.arange(len(groups))).all()
    assert (np.where(groups < 0, -1, symmetry.other[groups]) == groups[transposed]).all()
    assert (scale.levels[transposed] == scale.levels).all()
    for stop in scale.stops:
        assert (transposed[:stop] < stop).all()
    largest = [energy[group[group >= 0]].max(initial=0) for group in groups]
    assert largest == sorted(largest, reverse=True)
    for changes in (symmetry.changes_down, symmetry.changes_across):
        assert all(len(set(changes[group[group >= 0]])) <= 1 for group in groups)


def test_the_kept_axes_are_orthonormal():
    axes = make_basis().axes.astype(np.float64) * np.sqrt(3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-6)


def test_a_projection_never_lengthens_a_unit_vector():
    basis = make_basis()
    for table in (basis.of_mean, basis.of_deviation):
        assert np.linalg.norm(table.astype(np.float64), axis=1).max() <= 1 + 1e-6


@pytest.mark.parametrize("size", [50, 300])
def test_windows_are_measured_as_numpy_does(size):
    thumbnail, layout = pictures.photographs(size)[0], plan_layout(size, 3)
    pixels = allocate_pixels(layout)
    fill_pixels(thumbnail, layout, pixels)
    windows = np.lib.stride_tricks.sliding_window_view(thumbnail.astype(float), (7, 7), axis=(0, 1))
    centred = windows - windows.mean((3, 4), keepdims=True)
    length, weights = np.sqrt((centred**2).sum((3, 4))), (np.arange(7) - 3) / 14
    with np.errstate(invalid="ignore"):
        slopes = [np.nan_to_num((centred * w).sum((3, 4)) / length) for w in (weights, weights[:, None])]
    running = allocate_sums(layout.n_groups, pixels.shape[2])
    for group, is_window in enumerate(layout.is_window):
        channel, column = divmod(layout.column[group, : len(is_window)][is_window], size)
        # In several calls, of which each continues the sums of the one before.
        for top, bottom in itertools.pairwise([0, 1, 8, 40, layout.windows]):
            measured = allocate_windows(bottom - top, len(is_window))
            largest = measure_windows(pixels, layout.is_window, group, (top, bottom), running, measured)
            found = (windows[top:bottom, column, channel], length[top:bottom, column, channel])
            sums, lengths = found[0].sum((2, 3)), found[1]
            assert (measured.sums[:, is_window] == sums).all()
            variances = lengths**2 / 48
            assert largest == np.rint(variances.max() * 49 * 48)
            assert (abs(measured.deviation[:, is_window] * STEP - np.sqrt(variances)) <= 0.51 * STEP).all()
            first, second, rest = measured.directions[:, :, is_window]
            for one, slope in zip((first, second), slopes, strict=True):
                np.testing.assert_allclose(one, slope[top:bottom, column, channel], atol=1e-6)
            # The length of the rest is never below the true one, or the bound would not hold.
            true = 1 - sum(slope[top:bottom, column, channel] ** 2 for slope in slopes)
            assert (rest.astype(np.float64) ** 2 >= true).all()
            np.testing.assert_allclose(first**2 + second**2 + rest**2, 1, atol=3e-6)


@pytest.mark.parametrize(("variance", "is_structured"), [(19, False), (21, True)])
def test_structure_is_a_window_of_enough_variance(variance, is_structured):
    thumbnail, layout = pictures.flat(32, 100), plan_layout(32, 3)
    # One pixel that differs by d gives its windows the sample variance d^2 / 49.
    thumbnail[20, 20] += round(np.sqrt(49 * variance))
    pixels = allocate_pixels(layout)
    fill_pixels(thumbnail, layout, pixels)
    assert measure_cells(pixels, layout, plan_cells(32), make_basis()).is_structured == is_structured


@pytest.mark.parametrize("size", [16, 75, 300])
def test_a_grey_thumbnail_is_measured_in_one_channel_as_it_would_be_in_three(size):
    thumbnail = np.repeat(pictures.photographs(size)[0][..., :1], 3, axis=-1)
    found = []
    for layout in (plan_layout(size, 1), plan_layout(size, 3)):
        pixels = allocate_pixels(layout)
        fill_pixels(thumbnail, layout, pixels)
        found.append(measure_cells(pixels, layout, plan_cells(size), make_basis()))
    grey, colour = found
    assert grey.is_structured
    assert colour.is_structured
    np.testing.assert_allclose(grey.features, colour.features, atol=1e-6)


@pytest.mark.parametrize("size", [16, 75, 300])
def test_features_are_those_of_the_formulas_in_float64(size):
    thumbnail, layout, cells, basis = (
        pictures.photographs(size)[0],
        plan_layout(size, 3),
        plan_cells(size),
        make_basis(),
    )
    pixels = allocate_pixels(layout)
    fill_pixels(thumbnail, layout, pixels)
    windows = np.lib.stride_tricks.sliding_window_view(thumbnail.astype(float), (7, 7), axis=(0, 1))
    sums, centred = windows.sum((3, 4)).astype(int), windows - windows.mean((3, 4), keepdims=True)
    length, weights = np.sqrt((centred**2).sum((3, 4))), (np.arange(7) - 3) / 14
    with np.errstate(invalid="ignore"):
        slopes = [np.nan_to_num((centred * w).sum((3, 4)) / length) for w in (weights, weights[:, None])]
    rest = np.sqrt(np.maximum(1 - slopes[0] ** 2 - slopes[1] ** 2, 0))
    k1, k0 = np.split(basis.of_deviation[np.floor(length / np.sqrt(48) / STEP + 0.5).astype(int)], 2, axis=-1)
    structure = np.concatenate([*(k1 * part[..., None] for part in (*slopes, rest)), k0], -1)
    features = measure_cells(pixels, layout, cells, basis).features.reshape(-1, CELL_RANK + 1)
    for cell in range(0, len(features), 7):
        row, column = divmod(cells.grid_index[cell], cells.side)
        within = slice(*layout.edges[row : row + 2]), slice(*layout.edges[column : column + 2])
        outer = (basis.of_mean[sums[within]][..., :, None] * structure[within][..., None, :]).astype(float)
        mean = outer.reshape(-1, basis.axes.shape[1]).mean(0) @ basis.axes.T.astype(float)
        root, residual = np.sqrt(cells.share[cell]), np.sqrt(1 - (mean**2).sum())
        np.testing.assert_allclose(features[cell, :-1], root * mean, atol=1e-4 * root)
        assert root * residual <= features[cell, -1] <= root * np.sqrt(residual**2 + 1e-3)


@pytest.mark.parametrize("size", [16, 17, 21, 50, 70, 200, 300, 1024])
def test_no_feature_is_longer_than_the_unit_allows_and_each_is_stored_to_half_a_unit(size):
    # The longest coordinates are those of an image that is the same all over: all of a cell lies on one axis.
    drawn = [pictures.flat(size, level) for level in (0, 1, 128, 255)]
    noise = np.random.default_rng(0).integers(0, 2, (size, size, 3)).astype(np.uint8) * 255
    scratch, basis = Scratch(size), make_basis()
    for thumbnail in (*drawn, noise, *pictures.photographs(size)[:2]):
        features = MeasuredImage(thumbnail, basis, scratch).features
        unit, stored = feature_unit(len(features)), store_features(features)
        assert abs(features).max() <= unit * np.iinfo(np.int16).max
        assert (abs(stored * unit - features.astype(np.float64)) <= 0.504 * unit).all()
    moved = np.sqrt(count_features(size)) * unit / 2
    assert stored_slack(size) - feature_slack(size) >= 2 * moved + moved**2
    # It is next to nothing beside what is lost already.
    assert stored_slack(size) <= 1.06 * feature_slack(size)
