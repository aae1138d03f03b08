"""Whether a person is asked, and what the answer does to the decisions."""

import pytest

from imagetwins.config.layout import make_layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching.approval import Answer, ApprovalRequest, apply_answer, find_left_alone, plan_approval
from imagetwins.matching.decisions import decide
from tests.support.past_runs import comparison_table, image_table

PATHS = ["/pictures/a.jpg", "/pictures/b.jpg", "/pictures/sub/c d.jpg", "/pictures/e.jpg", "/pictures/f.jpg"]
SCORES = {(0, 1): (0.99, 0.98), (0, 2): (0.95, 0.9), (3, 4): (0.97, 0.3)}
"""b and c are copies of a; f resembles e where there is nothing to see."""


def decisions_of(**parameters):
    asked = Parameters(folder="/pictures", **parameters)
    return decide(image_table(PATHS), comparison_table(SCORES), asked), asked


def actions(decisions):
    return dict(zip(decisions["FileName"], decisions["action"], strict=True))


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [
        ({"approval": "never"}, None),
        ({"approval": "always"}, ApprovalRequest(moves=2, doubtful=1)),
        ({"approval": "review"}, ApprovalRequest(moves=2, doubtful=1)),
        ({"approval": "review", "min_detail_ssim": -1.0}, None),
        ({"approval": "review", "min_detail_ssim": -1.0, "max_move_share": 0.2}, ApprovalRequest(moves=3, doubtful=0)),
        ({"approve_above": 1}, ApprovalRequest(moves=2, doubtful=1)),
        ({"approve_above": 2}, None),
        ({"approval": "always", "threshold": 0.999}, None),
    ],
)
def test_who_is_asked_about_what(parameters, asked):
    assert plan_approval(*decisions_of(**parameters)) == asked


def test_an_approval_moves_all_but_the_doubtful_and_what_is_left_alone():
    decisions, _ = decisions_of(approval="always")
    answered = apply_answer(decisions, Answer(True, ["sub/c d.jpg"], "mine"), make_layout(["/pictures"]))
    expected = {"a.jpg": "kept", "b.jpg": "would move", "c d.jpg": "not moved", "e.jpg": "kept", "f.jpg": "review"}
    assert actions(answered) == expected
    assert answered["reason"][2] == "left alone by the person asked: mine"


def test_an_approval_moves_what_the_share_held_back():
    decisions, _ = decisions_of(max_move_share=0.1)
    assert actions(decisions)["b.jpg"] == "review"
    assert actions(apply_answer(decisions, Answer(True), make_layout(["/pictures"])))["b.jpg"] == "would move"


def test_without_an_approval_nothing_moves():
    decisions, _ = decisions_of(approval="always")
    answered = apply_answer(decisions, Answer(False, comment="not today"), make_layout(["/pictures"]))
    assert "would move" not in set(answered["action"])
    assert answered["reason"][1] == "not approved: not today"


def test_names_to_leave_alone_may_be_copied_from_the_gallery():
    decisions, _ = decisions_of()
    names = ["/pictures/b.jpg", "sub/\u200bc d.jpg", "a.jpg", "nobody.jpg"]
    found = find_left_alone(decisions, Answer(True, names), make_layout(["/pictures"]))
    assert found == ([1, 2], ["a.jpg", "nobody.jpg"]), "a stays anyway"
