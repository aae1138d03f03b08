"""What persons decided about pairs: written whole, an act a file, known by content, read by later runs."""

import duckdb
import pytest

from imagetwins.errors import StoreError
from imagetwins.storage import parse_location
from imagetwins.store.memory import Source, Verdict, list_acts, read_memory, remember_pairs
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES, NOT_DUPLICATES
from imagetwins.store.tables import write_table
from tests.support.past_runs import image_table


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "store", "20260101T000000Z-1")
    images = image_table(["/p/a.jpg", "/p/b.jpg", "/p/c.jpg"], errors={"/p/c.jpg": "no picture"})
    images["digest"] = ["A", "B", None]
    write_table(images, IMAGES, run.images / "part-0.parquet")
    return run


def test_a_store_in_which_nothing_was_decided_remembers_nothing(tmp_path):
    memory = read_memory(tmp_path)
    assert len(memory) == 0
    assert list(memory.columns) == NOT_DUPLICATES.names


def test_who_said_what_about_which_contents_when_where_and_why(run):
    assert remember_pairs(run, [(1, 0), (1, 0)], Verdict.NOT_DUPLICATES, Source.DESK, "two cats") == 1
    (row,) = read_memory(run.store).to_dict("records")
    assert row.pop("decided").endswith("+00:00")
    assert row.pop("who")
    assert row == {
        "digest1": "B",
        "digest2": "A",
        "path1": "/p/b.jpg",
        "path2": "/p/a.jpg",
        "verdict": "not duplicates",
        "why": "two cats",
        "source": "desk",
        "run_id": run.run_id,
    }


def test_each_act_is_a_file_of_its_own_that_duckdb_reads(run):
    remember_pairs(run, [(1, 0)], Verdict.PUT_BACK, Source.RESTORE)
    remember_pairs(run, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK)
    assert len(list_acts(run.store)) == 2
    found = duckdb.read_parquet(f"{run.store}/not_duplicates/*.parquet")
    rows = found.project("source, decided::TIMESTAMPTZ IS NOT NULL").fetchall()
    assert sorted(rows) == [("desk", True), ("restore", True)]


def test_a_pair_with_what_the_run_has_not_read_is_refused_and_nothing_is_written(run):
    for pair in ((2, 0), (7, 0)):
        with pytest.raises(StoreError, match=f"no picture {pair[0]}"):
            remember_pairs(run, [(1, 0), pair], Verdict.NOT_DUPLICATES, Source.DESK)
    assert list_acts(run.store) == []


def test_nothing_is_written_where_nothing_is_said(run):
    assert remember_pairs(run, [], Verdict.NOT_DUPLICATES, Source.DESK) == 0
    assert list_acts(run.store) == []


def test_a_damaged_part_is_an_error_and_not_forgotten_silently(run):
    remember_pairs(run, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK)
    (part,) = list_acts(run.store)
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(StoreError, match=part.name):
        read_memory(run.store)


def test_a_store_in_a_bucket_remembers_too(run):
    bucket = Run(parse_location(f"memory://memory-{run.store.parent.name}/store"), run.run_id)
    write_table(image_table(["/p/a.jpg", "/p/b.jpg"]), IMAGES, bucket.images / "part-0.parquet")
    remember_pairs(bucket, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK)
    assert list(read_memory(bucket.store)["path2"]) == ["/p/a.jpg"]
