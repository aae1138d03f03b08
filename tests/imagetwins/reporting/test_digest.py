"""What a run has to tell, and whether it is news."""

import pytest

from imagetwins.matching.decisions import set_decisions
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.reporting.digest import Digest, explain_desk, find_run_before, make_digest
from imagetwins.store.record import RunStatus
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import read_table
from tests.support.past_runs import image_table, make_record, write_run

COPY, DOUBTFUL = (0.97, 0.95), (0.95, 0.4)
PATHS = [f"/pictures/{name}.jpg" for name in "abcd"]


def write(store, number, scores, **more):
    return write_run(store, f"2026010{number}T000000Z-00000000", image_table(PATHS), scores, **more)


def digest_of(run, **counts):
    with run.editing_record() as record:
        record.counts.update(counts)
    return make_digest(run, read_table(run.decisions, DECISIONS))


def test_the_first_run_has_nothing_that_was_known(tmp_path):
    digest = digest_of(write(tmp_path, 1, {(0, 1): COPY, (0, 2): DOUBTFUL, (0, 3): DOUBTFUL}), remembered=4)
    assert digest == Digest(moved=1, not_moved=0, would_move=0, review=2, new=2, remembered=4)
    assert str(digest) == "1 moved, 2 for review, 4 kept apart as remembered"
    assert digest.is_news


def test_what_waits_since_the_run_before_is_no_news(tmp_path):
    write(tmp_path, 1, {(0, 2): DOUBTFUL})
    same = digest_of(write(tmp_path, 2, {(0, 2): DOUBTFUL}), remembered=4)
    assert (same.review, same.new, same.is_news) == (1, 0, False)
    more = digest_of(write(tmp_path, 3, {(0, 2): DOUBTFUL, (0, 3): DOUBTFUL}))
    assert (str(more), more.is_news) == ("0 moved, 2 for review (1 new)", True)


def test_what_would_move_is_told(tmp_path):
    digest = digest_of(write(tmp_path, 1, {(0, 1): COPY}, moved=False))
    assert (str(digest), digest.is_news) == ("0 moved, 1 would move, 0 for review", True)


def test_what_should_have_moved_is_told_and_news_beside_what_did(tmp_path):
    run = write(tmp_path, 1, {(0, 1): COPY, (2, 3): COPY})
    decisions = read_table(run.decisions, DECISIONS)
    for refused, says, is_news in (
        ([1], "1 moved, 1 not moved, 0 for review", True),
        ([1, 3], "0 moved, 2 not moved, 0 for review", False),
    ):
        set_decisions(decisions, refused, Action.NOT_MOVED, [Reason(ReasonCode.SOURCE_CHANGED)] * len(refused))
        digest = make_digest(run, decisions)
        # That none moved is told by the run's failure.
        assert (str(digest), digest.is_news) == (says, is_news)


def test_a_run_that_moved_nothing_of_what_it_should_is_the_run_before(tmp_path):
    first, run = (write(tmp_path, number, {(0, 2): DOUBTFUL}) for number in (1, 2))
    with first.editing_record() as record:
        record.status = RunStatus.FAILED
    assert find_run_before(run) == first


@pytest.mark.parametrize("changes", [{"status": "failed"}, {"kind": "apply"}, {"parameters": {"folder": "/elsewhere"}}])
def test_other_runs_are_not_the_run_before(tmp_path, changes):
    first = write(tmp_path, 1, {(0, 2): DOUBTFUL})
    other = write(tmp_path, 2, {(0, 2): DOUBTFUL})
    other.write_record(make_record(other.run_id, **{"status": "completed"} | changes))
    run = write(tmp_path, 3, {(0, 2): DOUBTFUL})
    write(tmp_path, 4, {(0, 2): DOUBTFUL})
    assert find_run_before(run) == first
    assert find_run_before(first) is None


def test_a_run_whose_decisions_are_gone_is_not_the_run_before(tmp_path):
    first, run = (write(tmp_path, number, {(0, 2): DOUBTFUL}) for number in (1, 2))
    (first.decisions / "decisions.parquet").unlink()
    assert find_run_before(run) is None


def test_the_desk_is_named_by_its_address_or_by_the_command(monkeypatch):
    record = make_record("1", parameters={"folder": "/p", "store": "/my store"})
    monkeypatch.delenv("IMAGETWINS_DESK", raising=False)
    assert explain_desk(record) == "To look at them: imagetwins review 1 --store '/my store'"
    monkeypatch.setenv("IMAGETWINS_DESK", "http://127.0.0.1:4201/{run}/")
    assert explain_desk(record) == "To look at them: http://127.0.0.1:4201/1/"
