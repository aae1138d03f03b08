"""What counts as not moved, and why: what was planned and refused, not what a person leaves alone."""

import pytest

from imagetwins.matching.decisions import set_decisions
from imagetwins.moving.refusals import count_refusals, describe_refusals, find_refused, moved_nothing
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.schemas import COMPANIONS, DECISIONS, Action
from imagetwins.store.tables import as_frame, read_table, write_table
from tests.support.past_runs import image_table, make_record, write_run

COPY = (0.99, 0.99)


def of_system(said):
    return Reason.of(ReasonCode.OS_ERROR, error=said)


@pytest.fixture
def run(tmp_path):
    return write_run(
        tmp_path, "1", image_table([f"/f/{name}.png" for name in "abcd"]), {(0, n): COPY for n in (1, 2, 3)}
    )


def refuse(run, *reasons):
    """Write into the run's table that its first duplicates did not move, and return the table."""
    decisions = read_table(run.decisions, DECISIONS)
    set_decisions(decisions, list(range(1, len(reasons) + 1)), Action.NOT_MOVED, reasons)
    write_table(decisions, DECISIONS, run.decisions / "decisions.parquet")
    return decisions


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        (ReasonCode.SOURCE_CHANGED, True),
        (ReasonCode.UNRECOVERED, True),
        (ReasonCode.MODIFIED, True),
        (ReasonCode.LEFT_ALONE, False),
        (ReasonCode.NOT_APPROVED, False),
        (ReasonCode.RESTORED_BEFORE, False),
    ],
)
def test_what_a_person_leaves_alone_was_never_to_move(run, code, is_refused):
    assert find_refused(refuse(run, Reason(code))).tolist() == [False, is_refused, False, False]


def test_what_is_no_duplicate_any_more_was_not_to_move_either(run):
    decisions = refuse(run, Reason(ReasonCode.MODIFIED))
    assert not find_refused(decisions.assign(Duplicate=False)).any()


def test_one_reason_counts_once_and_names_a_file_where_it_is_the_same(run):
    refuse(run, of_system("No space left on device: /f/b.png"), of_system("No space left on device: /f/c: /d.png"))
    assert count_refusals(run) == {"No space left on device": 2}
    refuse(
        run,
        of_system("Permission denied: /f/x"),
        Reason(ReasonCode.SOURCE_MISSING),
        of_system("Permission denied: /f/x"),
    )
    assert list(count_refusals(run).items()) == [("Permission denied: /f/x", 2), ("it is no longer there", 1)]


def test_what_did_not_follow_its_picture_counts_once_for_all_that_it_belongs_to(run):
    columns = {
        "size_bytes": [1, 1],
        "mtime_ns": [1, 1],
        "image": [1, 2],
        "path": ["/f/b.xmp"] * 2,
        "path_bytes": [None] * 2,
        "new_path": ["/f/b.xmp"] * 2,
        "reason": ["Permission denied: s3://f/b.xmp"] * 2,
    }
    write_table(as_frame(columns, COMPANIONS), COMPANIONS, run.companions / "part-0.parquet")
    assert count_refusals(run) == {"Permission denied: s3://f/b.xmp": 1}


WHY = {"Permission denied": 3, "it is no longer there": 2, "it changed since it was listed": 1, "no name": 1}


@pytest.mark.parametrize(
    ("counts", "says", "is_nothing"),
    [
        ({"moved": 3}, "", False),
        ({"not_moved": 1}, "The only picture that should have moved has not: no name. What did", True),
        ({"not_moved": 1200}, "None of the 1,200 pictures that should have moved has: no name.", True),
        ({"moved": 3, "not_moved": 1}, "1 of 4 pictures that should have moved has not: ", False),
        ({"put_back": 1, "not_moved": 2}, "2 of 3 pictures that should have moved have not: ", False),
        ({"moved": 1, "companions_not_moved": 1}, "1 file that belongs to moved pictures stayed behind: ", False),
    ],
)
def test_what_should_have_moved_and_did_not_is_counted(counts, says, is_nothing):
    record = make_record(folder="/a b", counts=counts, not_moved_why={"no name": 1})
    assert describe_refusals(record).startswith(says)
    assert bool(describe_refusals(record)) == bool(says)
    assert moved_nothing(record) == is_nothing


def test_the_most_frequent_reasons_are_told_with_what_to_do():
    told = describe_refusals(make_record(folder="/a b", counts={"not_moved": 7}, not_moved_why=WHY))
    assert (
        "Permission denied (3); it is no longer there (2); it changed since it was listed (1); and 1 other reason."
        in told
    )
    assert "`imagetwins doctor '/a b'`" in told
