"""What persons decided about pairs: written whole, an act a file, known by content, read by later runs."""

import datetime as dt
import hashlib
import uuid

import duckdb
import pytest

from imagetwins.errors import StoreError
from imagetwins.storage import parse_location
from imagetwins.store import memory
from imagetwins.store.memory import (
    Source,
    Verdict,
    begin_act,
    forget,
    list_acts,
    list_entries,
    read_memory,
    remember_files,
    remember_pairs,
)
from imagetwins.store.pruning import prune_runs
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES, NOT_DUPLICATES
from imagetwins.store.tables import write_table
from tests.support.past_runs import image_table, make_record, write_run


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "store", "20260101T000000Z-1")
    images = image_table(["/p/a.jpg", "/p/b.jpg", "/p/c.jpg"], errors={"/p/c.jpg": "no picture"})
    images["digest"] = ["A", "B", None]
    write_table(images, IMAGES, run.images / "part-0.parquet")
    run.write_record(make_record(run.run_id))
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
    bucket = Run(parse_location(f"memory://memory-{uuid.uuid4().hex}/store"), run.run_id)
    write_table(image_table(["/p/a.jpg", "/p/b.jpg"]), IMAGES, bucket.images / "part-0.parquet")
    remember_pairs(bucket, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK)
    assert list(read_memory(bucket.store)["path2"]) == ["/p/a.jpg"]
    forget(bucket.store, set(list_entries(bucket.store)["id"]))
    assert list_acts(bucket.store) == []


# -- several at once -------------------------------------------------------------------------------------------------

GROUP = [f"/p/{name}.jpg" for name in "abcdef"]
MATCHES = {
    (0, 1): (0.95, 0.95),
    (0, 2): (0.95, 0.95),
    (1, 2): (0.93, 0.93),
    (1, 3): (0.92, 0.92),
    (3, 4): (0.96, 0.96),
    (2, 4): (0.91, 0.91),
    (1, 4): (0.88, 0.88),
}
"""Two groups, a with b and c, d with e, which match each other here and there; b and e nearly."""


def said_of(store):
    rows = read_memory(store)
    pairs = zip(rows["path1"], rows["path2"], strict=True)
    return sorted("".join(sorted(path[-5] for path in pair)) for pair in pairs)


@pytest.fixture
def group(tmp_path):
    return write_run(tmp_path / "store", "20260101T000000Z-2", image_table(GROUP), MATCHES)


def test_of_a_group_of_which_all_stay_each_two_that_match_are_kept_apart(group):
    assert remember_pairs(group, [(1, 0), (2, 0), (4, 3)], Verdict.NOT_DUPLICATES, Source.DESK) == 3
    # b and c match; b and d, and c and e, do too, but are of two groups, which nobody has looked at together.
    assert said_of(group.store) == ["ab", "ac", "bc", "de"]
    assert len(list_acts(group.store)) == 1


def test_a_chain_is_a_group_too(group):
    remember_pairs(group, [(2, 1), (1, 0)], Verdict.NOT_DUPLICATES, Source.DESK)
    assert said_of(group.store) == ["ab", "ac", "bc"]


def test_nothing_follows_from_two_that_were_put_back(group):
    remember_pairs(group, [(1, 0), (2, 0)], Verdict.PUT_BACK, Source.RESTORE)
    assert said_of(group.store) == ["ab", "ac"]


def test_of_a_pruned_run_what_is_said_is_remembered_and_pruning_forgets_nothing(group):
    remember_pairs(group, [(1, 0), (2, 0)], Verdict.NOT_DUPLICATES, Source.DESK)
    before = list_entries(group.store)
    prune_runs(group.store, dt.datetime.now(dt.UTC))
    assert list_entries(group.store).equals(before)
    remember_pairs(group, [(3, 0), (4, 3)], Verdict.NOT_DUPLICATES, Source.DESK)
    assert said_of(group.store) == ["ab", "ac", "ad", "bc", "de"]


def test_what_is_known_already_is_not_written_again(group):
    for _ in range(2):
        assert remember_pairs(group, [(1, 0)], Verdict.PUT_BACK, Source.RESTORE) == 1
    assert remember_pairs(group, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK) == 1
    assert remember_pairs(group, [(0, 1)], Verdict.NOT_DUPLICATES, Source.DESK) == 1
    # That they are no duplicates says more than that one was put back.
    forget(group.store, set(list_entries(group.store)["id"][:1]))
    assert remember_pairs(group, [(1, 0)], Verdict.PUT_BACK, Source.RESTORE) == 1
    assert read_memory(group.store)["verdict"].tolist() == ["not duplicates"]


def test_what_was_not_carried_out_is_taken_back_and_the_rest_stays(group):
    act = begin_act(group, [(1, 0), (2, 0), (4, 3)], Verdict.PUT_BACK, Source.RESTORE)
    act.take_back({2})
    assert said_of(group.store) == ["ab", "de"]
    act.take_back({1, 2, 4})
    assert list_acts(group.store) == []
    begin_act(group, [], Verdict.PUT_BACK, Source.RESTORE).take_back({1})


def test_deciding_goes_on_although_the_table_is_damaged(group):
    remember_pairs(group, [(1, 0)], Verdict.PUT_BACK, Source.RESTORE)
    list_acts(group.store)[0].write_bytes(b"PAR1 no table")
    assert remember_pairs(group, [(2, 0)], Verdict.PUT_BACK, Source.RESTORE) == 1
    assert len(list_acts(group.store)) == 2


# -- entries, and forgetting -----------------------------------------------------------------------------------------


def test_an_entry_is_a_pair_and_its_number_the_same_however_it_was_said(group):
    remember_pairs(group, [(1, 0)], Verdict.NOT_DUPLICATES, Source.DESK, "first")
    (number,) = list_entries(group.store)["id"]
    assert len(number) == memory.ID_LENGTH
    forget(group.store, {number})
    remember_pairs(group, [(0, 1)], Verdict.NOT_DUPLICATES, Source.COMMAND_LINE, "again")
    assert list_entries(group.store)[["id", "why"]].to_numpy().tolist() == [[number, "again"]]


def test_which_of_two_was_put_back_is_part_of_the_number(group):
    remember_pairs(group, [(1, 0), (0, 1)], Verdict.PUT_BACK, Source.RESTORE)
    assert len(set(list_entries(group.store)["id"])) == 2


def test_forgetting_leaves_all_else_and_may_be_repeated(group):
    remember_pairs(group, [(1, 0), (4, 3)], Verdict.NOT_DUPLICATES, Source.DESK)
    remember_pairs(group, [(5, 0)], Verdict.PUT_BACK, Source.RESTORE)
    entries = list_entries(group.store)
    for _ in range(2):
        forget(group.store, {entries["id"][0], entries["id"][2]})
        assert said_of(group.store) == ["de"]
        assert len(list_acts(group.store)) == 1


def test_a_part_that_another_process_forgets_meanwhile_is_passed_over(group, monkeypatch):
    for pair in ((1, 0), (2, 0)):
        remember_pairs(group, [pair], Verdict.PUT_BACK, Source.RESTORE)
    parts = list_acts(group.store)
    monkeypatch.setattr(memory, "list_acts", lambda _: parts)
    parts[0].unlink()
    assert said_of(group.store) == ["ac"]


def test_what_cannot_be_forgotten_is_an_error(group, monkeypatch):
    remember_pairs(group, [(1, 0)], Verdict.PUT_BACK, Source.RESTORE)
    (part,) = list_acts(group.store)
    monkeypatch.setattr(type(part), "unlink", lambda *_args, **_options: (_ for _ in ()).throw(PermissionError))
    with pytest.raises(StoreError, match="not all of it could be forgotten"):
        forget(group.store, set(list_entries(group.store)["id"]))


def test_two_files_are_remembered_by_what_is_in_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    remember_files(tmp_path / "store", parse_location("a"), parse_location("b"), "why")
    (row,) = read_memory(tmp_path / "store").to_dict("records")
    assert (row["digest1"], row["path2"]) == (hashlib.sha256(b"a").hexdigest(), str(tmp_path / "b"))
    assert (row["source"], row["why"]) == ("command line", "why")
    with pytest.raises(FileNotFoundError):
        remember_files(tmp_path / "store", parse_location("a"), parse_location("none"))
