"""A new bound is one class and one entry in the tuple of bounds: everything else follows."""

# ruff: noqa: ARG002 - implementations of an interface

import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.ssim import bounds
from imagetwins.ssim.bounds.base import ArraySpec, Bound, VectorBound
from imagetwins.ssim.bounds.projection import plan_transform, project_features
from imagetwins.ssim.features import feature_slack
from imagetwins.ssim.stages import zero_counts
from imagetwins.ssim.workspace import open_workspace, plan_arrays
from tests.support import thumbnails as pictures

SIZE = 48
FIRST = np.arange(20)


class FirstCoordinates(VectorBound):
    """The first few coordinates of the cosine transform of the features: a weak bound, and a sound one."""

    name = "first"
    label = "proven below the floor by the first coordinates"
    vectors = "first_coordinates"

    def arrays(self, size):
        return {"first_coordinates": ArraySpec(np.float32, (len(FIRST) + 1,))}

    def make_preparer(self, size, basis):
        transform = plan_transform(size, FIRST)
        return lambda image: {"first_coordinates": project_features(image.features, transform)}

    def slack(self, size):
        return feature_slack(size)

    def open_plan(self, arrays, rows):
        assert len(arrays["first_coordinates"]) > max(rows)
        return len(rows)

    def prune(self, arrays, planned, pairs, lowest):
        assert planned > pairs.listed[1].max(initial=-1)
        return super().prune(arrays, planned, pairs, lowest)


class AlwaysOne(Bound):
    """What no pair exceeds. It keeps a scalar of each image, and is always used."""

    name = "one"
    label = "proven below the floor by nothing"

    def arrays(self, size):
        return {"mean_pixel": ArraySpec(np.float64, ())}

    def make_preparer(self, size, basis):
        return lambda image: {"mean_pixel": image.thumbnail.mean()}

    def upper_bounds(self, arrays, first, second):
        return np.ones(len(first))

    def slack(self, size):
        return 0.0

    def is_worthwhile(self, upper, floor):
        return True

    def prune(self, arrays, planned, pairs, lowest):
        return pairs.prune_listed(np.full(len(pairs.listed[0]), lowest <= 1))


def join(directory, thumbnails, floor, orientations="same"):
    """Return the stored pairs, the counts and the plan of a join of all thumbnails, of which every fourth is known."""
    ssim.create_workspace(directory, len(thumbnails), SIZE)
    ssim.prepare_images(directory, np.arange(len(thumbnails)), thumbnails)
    rows = np.arange(len(thumbnails))
    plan = ssim.plan_join(
        directory,
        directory / "plan",
        rows,
        threshold=floor + 0.05,
        floor=floor,
        known=rows % 4 == 0,
        orientations=orientations,
    )
    stored, counts = {}, zero_counts()
    for batch in plan.batches:
        result = ssim.join_batch(directory / "plan", batch)
        numbers = zip(result.ssim, result.detail_ssim.tolist(), result.verified.tolist(), strict=True)
        pairs = zip(result.image1.tolist(), result.image2.tolist(), strict=True)
        stored |= {pair: repr(values) for pair, values in zip(pairs, numbers, strict=True)}
        counts = {name: counts[name] + result.counts[name] for name in counts}
    return stored, counts, plan


@pytest.fixture(scope="module")
def thumbnails():
    return pictures.collection(SIZE)


CASES = [(0.3, "same"), (0.85, "same"), (0.85, "all")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory, thumbnails):
    return {case: join(tmp_path_factory.mktemp("expected"), thumbnails, *case)[0] for case in CASES}


NEW = {
    "first": (FirstCoordinates(), *bounds.BOUNDS),
    "between": (bounds.BOUNDS[0], FirstCoordinates(), bounds.BOUNDS[1]),
    "two": (*bounds.BOUNDS, AlwaysOne(), FirstCoordinates()),
    "alone": (FirstCoordinates(),),
    "none": (),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", NEW)
def test_arrays_plan_counts_and_labels_follow_from_the_tuple_and_results_stay_the_same(
    kind, case, tmp_path, thumbnails, expected, monkeypatch
):
    monkeypatch.setattr(bounds, "BOUNDS", NEW[kind])
    names = [bound.name for bound in NEW[kind]]
    stored, counts, plan = join(tmp_path, thumbnails, *case)
    assert stored == expected[case]
    assert [*ssim.stage_labels()] == ["known", "identical", *names, "blocks", "scored"]
    assert [*counts] == ["pairs", *ssim.stage_labels(), "stored", "verified"]
    assert sum(counts[stage] for stage in ssim.stage_labels()) == counts["pairs"] == plan.n_pairs
    assert [*plan.stages] == names
    assert {file.stem for file in tmp_path.glob("*.bin")} == {*plan_arrays(SIZE)}
    if kind in {"first", "alone"} and case == (0.85, "same"):
        assert counts["first"] > 0


@pytest.mark.parametrize("kind", ["first", "two"])
def test_rows_have_the_arrays_of_every_bound(kind, tmp_path, thumbnails, monkeypatch):
    without = ssim.row_bytes(SIZE)
    monkeypatch.setattr(bounds, "BOUNDS", NEW[kind])
    assert ssim.row_bytes(SIZE) == without + 4 * (len(FIRST) + 1) + 8 * (kind == "two")
    ssim.create_workspace(tmp_path, 4, SIZE)
    ssim.prepare_images(tmp_path, np.arange(4), thumbnails[:4])
    assert open_workspace(tmp_path).arrays["first_coordinates"].shape == (4, len(FIRST) + 1)
    if kind == "two":
        assert open_workspace(tmp_path).arrays["mean_pixel"].tolist() == thumbnails[:4].mean((1, 2, 3)).tolist()
    ssim.copy_rows(tmp_path, np.array([3]), np.array([0]))
    ssim.truncate_workspace(tmp_path, 2)
    assert ssim.count_rows(tmp_path, SIZE) == 2
    arrays = open_workspace(tmp_path).arrays
    ssim.create_workspace(tmp_path / "again", 1, SIZE)
    ssim.prepare_images(tmp_path / "again", np.arange(1), thumbnails[3:4])
    for name, array in open_workspace(tmp_path / "again").arrays.items():
        assert (arrays[name][0] == array[0]).all()


def test_a_workspace_without_the_arrays_of_a_new_bound_is_made_anew(tmp_path, monkeypatch):
    ssim.create_workspace(tmp_path, 4, SIZE)
    assert ssim.count_rows(tmp_path, SIZE) == 4
    monkeypatch.setattr(bounds, "BOUNDS", NEW["first"])
    assert ssim.count_rows(tmp_path, SIZE) is None
    ssim.create_workspace(tmp_path, 3, SIZE)
    assert ssim.count_rows(tmp_path, SIZE) == 3


def test_no_two_bounds_share_the_name_of_a_stage_or_of_an_array():
    names = [bound.name for bound in bounds.BOUNDS]
    assert len(zero_counts()) == len(ssim.TOTALS) + 4 + len({*names})
    kept = [name for bound in bounds.BOUNDS for name in bound.arrays(SIZE)]
    assert len(kept) == len({*kept})
    assert len(plan_arrays(SIZE)) == 8 + len(kept)
