"""An answer that does not fit its run, or contradicts itself, is none."""

import json

import pytest

from imagetwins.errors import ParameterError
from imagetwins.runtime.approval import ApprovalForm
from tests.support.past_runs import image_table, write_run

PATHS = ["/pictures/a.jpg", "/pictures/b.jpg", "/pictures/c.jpg"]
SCORES = {(0, 1): (0.95, 0.9), (0, 2): (0.95, 0.2)}
"""b would move, and c is for review."""


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path, "20261120T020000Z-1", image_table(PATHS), SCORES, moved=False)


def choices(image=2, path="c.jpg"):
    pair = {"image": image, "path": path, "kept": 0, "kept_path": "a.jpg"}
    return json.dumps({"run_id": "20261120T020000Z-1", "move": [pair]})


def test_choices_are_the_whole_answer(run):
    answer = ApprovalForm(approve=True, choices=f"\n{choices()}\n", comment="mine").to_answer(run)
    assert (answer.approve, answer.choices.moving, answer.comment) == (True, {2: 0}, "mine")
    assert ApprovalForm(approve=True, choices="  \n").to_answer(run).choices is None


def test_files_that_match_may_be_no_duplicates_the_doubtful_too(run):
    answer = ApprovalForm(approve=False, not_duplicates=["b.jpg", "/pictures/c.jpg"]).to_answer(run)
    assert list(answer.not_duplicates) == ["b.jpg", "/pictures/c.jpg"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"approve": False, "choices": choices()}, "`approve` is off"),
        ({"approve": True, "choices": choices(), "leave_alone": ["b.jpg"]}, "name no files besides"),
        ({"approve": True, "choices": choices(), "not_duplicates": ["b.jpg"]}, "name no files besides"),
        ({"approve": True, "choices": "{}"}, "`choices`: these are no choices: run_id: Field required"),
        ({"approve": True, "choices": choices(path="b.jpg")}, "calls image 2 'b.jpg'"),
        ({"approve": True, "leave_alone": ["c.jpg"]}, "none of the files to move: 'c.jpg'"),
        ({"approve": True, "not_duplicates": ["a.jpg"]}, "none of the files that match another: 'a.jpg'"),
        ({"approve": True, "not_duplicates": ["nobody.jpg"]}, "none of the files that match another: 'nobody.jpg'"),
    ],
)
def test_what_is_no_answer_is_refused_with_the_remedy(run, form, words):
    with pytest.raises(ParameterError) as refused:
        ApprovalForm(**form).to_answer(run)
    assert words in str(refused.value)
