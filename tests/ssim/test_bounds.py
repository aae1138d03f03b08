import numpy as np
import pytest
import scipy.fft
from hypothesis import HealthCheck, given, settings

from imagetwins import ssim
from imagetwins.ssim.bounds import COARSE, MEDIUM, project_features, projected_length
from imagetwins.ssim.features import DEPTH, bound_slack, make_basis, plan_cells
from imagetwins.ssim.refine import bound_blocks, open_bounds
from imagetwins.ssim.windows import plan_layout
from imagetwins.ssim.workspace import open_workspace
from tests import oracle
from tests.ssim import pictures

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


@quick
@given(pair=pictures.pairs(SIZE))
def test_features_and_their_lowest_frequencies_bound_the_score(prepare, pair):
    features, score = prepare(*pair).features, oracle.score(*pair)
    first, second = features.astype(np.float64)
    assert first @ second + bound_slack(SIZE) >= score
    for frequencies in (1, 3, COARSE, MEDIUM):
        first, second = (project_features(one, SIZE, frequencies).astype(float) for one in features)
        assert len(first) == projected_length(SIZE, frequencies)
        assert first @ second + bound_slack(SIZE) >= score


@pytest.mark.parametrize("size", [SIZE, 120])
def test_each_block_bound_holds_for_its_block(size, tmp_path):
    cells, layout = plan_cells(size), plan_layout(size, 3)
    groups = layout.edges[layout.groups]
    upper, gain = np.empty(len(cells.blocks) - 1), np.empty(len(cells.blocks) - 1)
    assert len(upper) == (len(cells.strips) - 1) * layout.n_groups
    ssim.create_workspace(tmp_path, 2, size)

    @settings(quick, max_examples=40)
    @given(pictures.pairs(size))
    def check(pair):
        ssim.prepare_images(tmp_path, np.arange(2), np.array(pair))
        bound_blocks(open_bounds(open_workspace(tmp_path), 0.0), 0, 1, upper, gain)
        exact = oracle.ssim_map(*pair).mean(-1) / layout.windows**2
        for k, bound in enumerate(upper):
            strip, group = divmod(k, layout.n_groups)
            block = exact[cells.strips[strip] : cells.strips[strip + 1], groups[group] : groups[group + 1]]
            assert bound + bound_slack(size) >= block.sum()

    check()


@pytest.mark.parametrize(("size", "frequencies"), [(16, 16), (50, 8), (200, 16)])
def test_the_frequencies_are_those_of_scipys_transform(size, frequencies, tmp_path):
    ssim.create_workspace(tmp_path, 1, size)
    ssim.prepare_images(tmp_path, np.arange(1), pictures.photographs(size)[:1])
    features, cells = open_workspace(tmp_path).features[0], plan_cells(size)
    grid = np.empty((cells.side**2, DEPTH + 1))
    grid[cells.grid] = features.reshape(-1, DEPTH + 1)
    whole = scipy.fft.dctn(grid.reshape(cells.side, cells.side, -1), axes=(0, 1), norm="ortho")
    expected = whole[:frequencies, :frequencies].ravel()
    projected = project_features(features, size, frequencies)
    np.testing.assert_allclose(projected[:-1], expected, atol=1e-6)
    rest = (features.astype(float) ** 2).sum() - (expected**2).sum()
    assert projected[-1] ** 2 == pytest.approx(rest, abs=2e-6)


def test_the_kept_axes_are_orthonormal():
    axes = make_basis().axes.astype(np.float64) * np.sqrt(3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-6)


def test_a_projection_never_lengthens_a_unit_vector():
    basis = make_basis()
    for table in (basis.of_mean, basis.of_deviation):
        assert np.linalg.norm(table.astype(np.float64), axis=1).max() <= 1 + 1e-6
