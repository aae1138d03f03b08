"""What counts as not moved, and why: what was planned and refused, not what a person leaves alone."""

import pytest

from imagetwins.matching.decisions import set_decisions
from imagetwins.moving.refusals import count_refusals, find_refused
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.schemas import COMPANIONS, DECISIONS, Action
from imagetwins.store.tables import as_frame, read_table, write_table
from tests.support.past_runs import image_table, write_run

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
