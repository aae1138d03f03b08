"""Choices come from outside: what does not fit the run's tables, or contradicts itself, is refused with the place, the value and the remedy."""

import json

import pytest

from imagetwins.config.layout import make_layout
from imagetwins.errors import ParameterError
from imagetwins.matching.choices import Choice, Choices, check_choices, parse_choices
from tests.support.past_runs import image_table

RUN = "20261120T020000Z-1"
PATHS = ["/p/a.jpg", "/p/b/c.jpg", "/p/d.jpg", "/p/broken.jpg", "/elsewhere/r.jpg"]
NAMES = ["a.jpg", "b/c.jpg", "d.jpg", "broken.jpg", "/elsewhere/r.jpg"]


@pytest.fixture
def images():
    table = image_table(PATHS, errors={"/p/broken.jpg": "truncated"})
    table.loc[4, "is_reference"] = True
    return table


def choice(number, other, **changes):
    return {"image": number, "path": NAMES[number], "kept": other, "kept_path": NAMES[other]} | changes


def check(images, run_id=RUN, **lists):
    check_choices(
        parse_choices(json.dumps({"run_id": RUN} | lists), "c.json"), run_id, images, make_layout(["/p"]), "c.json"
    )


def test_what_fits_the_run_is_read_as_it_is(images):
    lists = {"move": [choice(1, 0), choice(2, 4)], "not_duplicates": [choice(1, 4), choice(1, 4)]}
    check(images, **lists)
    read = parse_choices(json.dumps({"run_id": RUN} | lists), "c.json")
    assert read.moving == {1: 0, 2: 4}
    assert read.apart == [(1, 4)]
    assert read.staying == [0, 4], "1 moves, as a duplicate of another"
    assert Choices(run_id=RUN).staying == []


def test_who_is_not_to_move_is_to_stay_wherever_it_is_named():
    ids = Choice(image=3, path="", kept=2, kept_path="")
    assert Choices(run_id=RUN, not_duplicates=(ids,)).staying == [2, 3]


def test_a_whole_path_is_as_good_as_one_inside_the_folder(images):
    check(images, move=[choice(1, 0, path="/p/b/c.jpg", kept_path="/p/a.jpg")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "EOF"),
        ("[]", "object"),
        ("{}", "run_id: Field required"),
        ('{"run_id": "x", "moves": []}', "moves"),
        ('{"run_id": "x", "move": [{"image": "1", "path": "a", "kept": 0, "kept_path": "b"}]}', "move.0.image ('1')"),
        ('{"run_id": "x", "move": [{"image": -1, "path": "a", "kept": 0, "kept_path": "b"}]}', "move.0.image (-1)"),
        ('{"run_id": "x", "move": [{"image": 1, "path": "a", "kept": true, "kept_path": "b"}]}', "move.0.kept (True)"),
        ('{"run_id": "x", "not_duplicates": [{"image": 1, "path": "a", "kept": 0}]}', "not_duplicates.0.kept_path"),
    ],
)
def test_text_that_holds_no_choices_is_refused_with_the_place(text, words):
    with pytest.raises(ParameterError, match=r"^c\.json: these are no choices: .* Choose again") as refused:
        parse_choices(text, "c.json")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"move": [choice(1, 0, image=5)]}, "move.0 names image 5, and the run has 5"),
        ({"not_duplicates": [choice(1, 0, kept=7)]}, "not_duplicates.0 names image 7"),
        ({"move": [choice(1, 0, path="a.jpg")]}, "calls image 1 'a.jpg', and in the run it is 'b/c.jpg'"),
        ({"move": [choice(1, 0, kept_path="d.jpg")]}, "calls image 0 'd.jpg', and in the run it is 'a.jpg'"),
        ({"move": [choice(1, 1)]}, "as its own duplicate"),
        ({"not_duplicates": [choice(1, 1)]}, "as its own duplicate"),
        ({"move": [choice(3, 0)]}, "'broken.jpg', which could not be read"),
        ({"move": [choice(0, 3)]}, "'broken.jpg', which could not be read"),
        ({"not_duplicates": [choice(0, 3)]}, "'broken.jpg', which could not be read"),
        ({"move": [choice(4, 0)]}, "move.0 moves '/elsewhere/r.jpg', which lies in a reference folder"),
        ({"move": [choice(1, 0), choice(1, 2)]}, "'b/c.jpg' moves twice"),
        ({"move": [choice(1, 0), choice(0, 2)]}, "'a.jpg' moves, and is to stay for 'b/c.jpg'"),
        ({"move": [choice(0, 2), choice(1, 0)]}, "'a.jpg' moves, and is to stay for 'b/c.jpg'"),
        ({"move": [choice(1, 0)], "not_duplicates": [choice(1, 0)]}, "duplicates in `move`, and none in"),
        ({"move": [choice(1, 0)], "not_duplicates": [choice(0, 1)]}, "duplicates in `move`, and none in"),
    ],
)
def test_what_does_not_fit_the_run_or_contradicts_itself_is_refused(images, lists, words):
    with pytest.raises(ParameterError, match=r"^c\.json: .*\. Choose again in the run's report") as refused:
        check(images, **lists)
    assert words in str(refused.value)


def test_choices_about_another_run_are_refused(images):
    with pytest.raises(ParameterError, match="are about run '20261120T020000Z-1', not 'other'"):
        check(images, run_id="other")


def test_a_reference_may_be_no_duplicate(images):
    check(images, not_duplicates=[choice(4, 0), choice(2, 4)])
