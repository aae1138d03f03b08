"""Pairs of an earlier run are reused only where they would come out the same, and where they would, all of them."""

import numpy as np
import pandas as pd
import pytest

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching import reuse
from imagetwins.matching.reuse import describe_scores, find_reusable_run, iter_reused, match_images, to_table
from imagetwins.store.record import RunKind
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, IMAGES
from imagetwins.store.tables import read_table, write_table
from tests.support import oracle
from tests.support import thumbnails as pictures
from tests.support.past_runs import comparison_table, image_table, write_run

PATHS = [f"/pictures/{number}.png" for number in range(4)]
PARAMETERS = Parameters(folder="/pictures")
DEPENDS_ON = ("size", "resampling", "decoding", "decoder", "opencv", "format", "engine", "scikit-image")


@pytest.fixture
def past(tmp_path):
    """A finished run with three stored pairs."""
    scores = {(0, 1): (0.95, 0.9), (1, 2): (0.92, 0.9), (2, 3): (0.88, 0.9)}
    past = write_run(tmp_path, "1", image_table(PATHS), scores)
    with past.editing_record() as record:
        record.scores_depend_on = describe_scores(PARAMETERS)
    return past


def find(past):
    return find_reusable_run(Run(past.store, "2"), PARAMETERS)


def test_a_finished_run_on_the_folder_is_reused(past):
    assert find(past).run == past


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["/pictures", "/B"], "both, later"),
        (["/B", "/pictures", "/C"], "both, later"),
        (["/B"], "both, later"),
        (["/pictures"], "first alone, last"),
        (["/C"], None),
    ],
)
def test_of_several_runs_the_one_that_had_most_of_the_folders_is_reused_and_of_equal_ones_the_last(
    tmp_path, folders, expected
):
    past = {"both": ["/pictures", "/B"], "both, later": ["/B", "/pictures"], "first alone, last": ["/pictures"]}
    runs = {}
    for run_id, (first, *more) in past.items():
        scores = {(0, 1): (0.95, 0.9)}
        run = write_run(tmp_path, run_id, image_table(PATHS), scores, folder=first, more_folders=more)
        with run.editing_record() as record:
            record.scores_depend_on = describe_scores(PARAMETERS)
        runs[run] = run_id

    found = find_reusable_run(Run(tmp_path, "now"), Parameters(folder=folders[0], more_folders=folders[1:])).run

    assert runs.get(found) == expected


@pytest.mark.parametrize("name", DEPENDS_ON)
def test_whatever_a_score_depends_on_must_be_the_same(name, past):
    assert name in describe_scores(PARAMETERS)
    with past.editing_record() as record:
        record.scores_depend_on = record.scores_depend_on | {name: "another"}

    found = find(past)

    assert found.run is None
    assert f"{name} was another and is " in str(found.why)


def drop_pairs(past):
    write_table(comparison_table({(0, 1): (0.95, 0.9)}), COMPARISONS, past.comparisons / "part-000.parquet")


def drop_images(past):
    write_table(image_table(PATHS[:3]), IMAGES, past.images / "images.parquet")


def prune(past):
    (past.comparisons / "part-000.parquet").unlink()


def damage(past):
    (past.images / "images.parquet").write_bytes(b"PAR1 cut short")


@pytest.mark.parametrize("harm", [drop_pairs, drop_images, prune, damage])
def test_a_run_whose_tables_are_not_whole_is_not_reused(harm, past):
    harm(past)

    found = find(past)

    assert found.run is None
    assert found.why.code.name == "TABLES_INCOMPLETE"


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": Parameters(folder="/elsewhere")},
        {"finished_stages": ["list", "load", "plan"]},
        {"kind": RunKind.APPLY},
    ],
    ids=["another folder", "not all scored", "scored nothing itself"],
)
def test_a_run_that_has_not_all_pairs_of_the_folder_is_not_reused(changes, past):
    with past.editing_record() as record:
        for name, value in changes.items():
            setattr(record, name, value)

    assert find(past).run is None


def test_the_last_run_is_reused_and_never_the_run_itself(past):
    later = write_run(past.store, "2", image_table(PATHS[:2]), {(0, 1): (0.95, 0.9)})
    with later.editing_record() as record:
        record.scores_depend_on = describe_scores(PARAMETERS)

    assert find_reusable_run(Run(past.store, "3"), PARAMETERS).run == later
    assert find(past).run == past


@pytest.mark.parametrize(("floor", "is_reused"), [(0.85, True), (0.86, True), (0.85 - 1e-9, False)])
def test_a_run_is_reused_only_at_its_floor_or_above(floor, is_reused, past):
    found = find_reusable_run(Run(past.store, "2"), PARAMETERS.model_copy(update={"audit_floor": floor}))

    assert found.run == (past if is_reused else None)


def test_images_are_matched_by_content_one_to_one_and_only_those_that_were_read(tmp_path):
    then = ["a", "b", "b", "c", "d"]
    past = write_run(tmp_path, "1", image_table([f"/p/{n}" for n in range(5)], then, {"/p/4": "cut"}), {})
    now = ["b", "x", "b", "b", "a", "c", "d"]
    images = image_table([f"/q/{n}" for n in range(7)], now, {"/q/5": "cut"})

    assert match_images(past, images).tolist() == [4, 0, 2, -1, -1]


@pytest.fixture
def joined(tmp_path):
    """A cache of flat pictures, photographs and pages, the kernels' scores of all their pairs, and a run of them."""
    flats = [pictures.flat(32, level) for level in (40, 44, 60, 199)]
    pages = [pictures.page(32, seed) for seed in range(2)]
    thumbnails, rows = np.array([*flats, *pictures.photographs(32)[:2], *pages]), np.arange(8)
    ssim.create_workspace(tmp_path / "cache", len(rows), 32)
    ssim.prepare_images(tmp_path / "cache", rows, thumbnails)
    plan = ssim.plan_join(tmp_path / "cache", tmp_path / "plan", rows, threshold=1.0, floor=-1.0)
    past, run = Run(tmp_path, "1"), Run(tmp_path, "2")
    images = image_table([f"/pictures/{row}.png" for row in rows])
    for one in (past, run):
        write_table(images, IMAGES, one.images / "part-0.parquet")
    tiles = [tile for batch in plan.batches for tile in batch]
    table = to_table(ssim.join_batch(tmp_path / "plan", tiles))
    return past, run, rows, table, oracle.all_scores(thumbnails)


def reuse_all(joined, floor):
    past, run, rows, _, _ = joined
    parameters = Parameters(folder="/pictures", threshold=1.0, audit_floor=floor)
    return list(iter_reused(run, past, run.store / "cache", rows, parameters))


def test_a_pair_at_the_floor_is_reused_although_the_kernels_score_was_below_it(joined):
    past, *_, table, scores = joined
    write_table(table, COMPARISONS, past.comparisons / "part-0.parquet")
    approximate = {(row.image1, row.image2): row.ssim for row in table.itertuples() if not row.verified}
    below = [pair for pair, score in approximate.items() if score < scores[pair]]
    assert below
    for pair in below:
        ((result, _),) = reuse_all(joined, scores[pair])
        found = {*zip(result.image1.tolist(), result.image2.tolist(), strict=True)}
        assert found == {other for other, score in scores.items() if score >= scores[pair]}


def test_a_large_table_is_reused_in_pieces(joined, monkeypatch):
    past, *_, table, _ = joined
    parts = np.array_split(np.arange(len(table)), 5)
    for number, part in enumerate(parts):
        write_table(table.iloc[part], COMPARISONS, past.comparisons / f"part-{number}.parquet")
    (whole,) = reuse_all(joined, -1.0)
    monkeypatch.setattr(reuse, "ROWS_AT_ONCE", len(parts[0]) + 1)

    pieces = reuse_all(joined, -1.0)

    assert [len(result.ssim) for result, _ in pieces] == [6 + 6, 6 + 5, 5]
    together = pd.concat([to_table(result) for result, _ in pieces]).sort_values(
        ["image1", "image2"], ignore_index=True
    )
    pd.testing.assert_frame_equal(together, to_table(whole[0]))
    assert read_table(past.comparisons, COMPARISONS)["ssim"].tolist() == table["ssim"].tolist()
