"""The matches that are settled, and what is counted about them."""

import pytest

from benchmarks.labelled.matches import iter_matches
from benchmarks.review import Settled, compare_with_truth, describe, plan_command, write_matches

MATCHES = list(iter_matches(8))


def test_matches_are_the_same_on_every_call_and_half_of_them_are_copies():
    assert list(iter_matches(8)) == MATCHES
    assert [match.is_copy for match in MATCHES] == [True, False] * 4
    assert len({content for match in MATCHES for content in match.contents}) == 16


def test_a_copy_that_stays_and_another_picture_that_went_are_found(tmp_path):
    write_matches(MATCHES, tmp_path)
    for match in MATCHES:
        if match.is_copy:
            target = tmp_path / "Duplicates" / match.second
            target.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / match.second).rename(target)
    assert compare_with_truth(MATCHES, tmp_path) == []

    copy, other = MATCHES[0], MATCHES[1]
    (tmp_path / "Duplicates" / copy.second).rename(tmp_path / copy.second)
    (tmp_path / other.first).unlink()
    wrong = {f"Duplicates/{copy.second}", copy.second, other.first}
    assert compare_with_truth(MATCHES, tmp_path) == sorted(wrong)


def test_the_command_of_before_names_what_the_plain_rule_would_move_and_must_not():
    assert plan_command(MATCHES[:3]) == f"imagetwins approve latest --leave {MATCHES[1].first}\n"


def test_keys_and_seconds_are_told():
    settled = Settled(
        keys=14, milliseconds={"list": [10.0, 30.0], "dialog": [40.0]}, opening_seconds=0.5, applying_seconds=1
    )
    lines = "\n".join(describe(MATCHES, settled, {"duplicates": 0, "review": 0, "remembered": 4}))

    assert settled.machine_seconds == pytest.approx(1.58)
    assert "14 keys, 1.6 s of the machine" in lines
    assert "| asked again the next night | all 4 that are no copies | none |" in lines
