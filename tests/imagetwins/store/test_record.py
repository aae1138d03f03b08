"""What a run's record says of its end."""

import pytest

from tests.support.past_runs import make_record


@pytest.mark.parametrize(
    ("entries", "is_whole"),
    [
        ({"status": "completed"}, True),
        ({"status": "failed", "finished_stages": ["move", "report"]}, True),
        ({"status": "failed", "finished_stages": ["move"]}, False),
        ({"status": "interrupted", "finished_stages": ["report"]}, False),
        ({"status": "restored"}, False),
    ],
)
def test_a_run_that_failed_to_move_anything_is_whole_all_the_same(entries, is_whole):
    assert make_record(**entries).is_whole == is_whole
