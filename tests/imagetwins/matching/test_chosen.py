"""What a person chose becomes decisions: it and nothing else moves, and of what was refused nothing follows."""

import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.matching.choices import Choice, Choices
from imagetwins.matching.chosen import Aside, decide_chosen, remember_apart
from imagetwins.matching.decisions import decide
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.memory import Source, read_memory
from imagetwins.store.schemas import DECISIONS
from tests.support.past_runs import comparison_table, image_table, mark_moved, write_run

RUN = "20261120T020000Z-1"
PATHS = ["/p/a.jpg", "/p/b.jpg", "/p/c.jpg", "/p/d.jpg", "/p/e.jpg", "/p/alone.jpg"]
SCORES = {(0, 1): (0.95, 0.9, 6), (0, 2): (0.94, 0.9), (1, 2): (0.93, 0.9), (3, 4): (0.92, 0.2)}
"""b and c are duplicates of a; e is for review, because of d."""

GONE = Reason(ReasonCode.MISSING_SINCE_RUN)


def choose(*move, apart=()):
    def choices(pairs):
        return tuple(Choice(image=image, path="", kept=kept, kept_path="") for image, kept in pairs)

    return Choices(run_id=RUN, move=choices(move), not_duplicates=choices(apart))


@pytest.fixture
def proposed():
    return decide(
        image_table(PATHS), comparison_table(SCORES), Parameters(folder="/p", orientations="all", max_aspect_change=1e9)
    )


def decided(before, choices, asides=None, changes=None):
    found = decide_chosen(before, comparison_table(SCORES), choices, asides or {}, changes or {})
    assert list(found.columns) == DECISIONS.names
    return found


def actions(decisions):
    return dict(zip("abcdef", decisions["action"], strict=True))


def kept(decisions):
    return {"abcdef"[image]: int(kept) for image, kept in decisions["kept_image"].dropna().items()}


def test_what_nobody_chose_is_for_review_and_does_not_move(proposed):
    found = decided(proposed, choose())
    assert actions(proposed)["b"] == "would move"
    assert actions(found) == {"a": "kept", "b": "review", "c": "review", "d": "kept", "e": "review", "f": "kept"}
    assert found["reason"][1] == "nobody has decided about it yet: matches a.jpg, which is kept before it"
    assert found["reason"][4] == proposed["reason"][4], "it has asked already"


def test_a_person_may_keep_another_copy_than_the_run(proposed):
    found = decided(proposed, choose((0, 2), (1, 2), (4, 3)))
    assert actions(found) == {
        "a": "would move",
        "b": "would move",
        "c": "kept",
        "d": "kept",
        "e": "would move",
        "f": "kept",
    }
    assert kept(found) == {"a": 2, "b": 2, "e": 3}
    assert found["reason"][0] == "a person chose: c.jpg stays"
    assert found["reason"][2] == "kept: 2 duplicates of it found"
    assert found["Duplicate"].tolist() == [True, True, False, False, True, False]
    assert found["kept_path"][0] == "/p/c.jpg"


def test_the_scores_are_those_of_the_pair_turned_to_match_the_one_that_stays(proposed):
    found = decided(proposed, choose((0, 1), (5, 3)))
    assert (found["ssim"][0], found["detail_ssim"][0], found["orientation"][0]) == (0.95, 0.9, 8), "6 turned back"
    assert decided(proposed, choose((1, 0)))["orientation"][1] == 6
    assert found["ssim"].isna()[5], "a person sees what no score has"
    assert found["action"][5] == "would move"


def test_who_is_no_duplicate_stays_and_says_why(proposed):
    found = decided(proposed, choose((2, 0), apart=[(1, 0), (4, 3)]))
    assert actions(found) == {"a": "kept", "b": "kept", "c": "would move", "d": "kept", "e": "kept", "f": "kept"}
    assert found["reason"][1] == "kept: a person chose that it is no duplicate of a.jpg"
    assert found["reason"][0] == "kept: 1 duplicate of it found"
    assert kept(found) == {"c": 0}
    assert not found["Duplicate"][1]


def test_who_has_lost_its_duplicates_says_so(proposed):
    found = decided(proposed, choose(apart=[(1, 0), (2, 0)]))
    assert found["reason"][0] == "kept: a person chose that it is no duplicate of c.jpg"


def test_a_picture_for_review_because_of_a_third_one_still_is(proposed):
    found = decided(proposed, choose(apart=[(4, 0)]))
    assert actions(found)["e"] == "review"
    assert kept(found)["e"] == 3


def test_a_duplicate_of_one_may_be_none_of_another(proposed):
    found = decided(proposed, choose((1, 2), apart=[(1, 0)]))
    assert (actions(found)["b"], kept(found)["b"]) == ("would move", 2)


@pytest.fixture
def moved(proposed):
    return mark_moved(proposed, "/p")


ASIDE = {image: Aside("r1", f"/p/Duplicates/{name}.jpg") for image, name in ((1, "b"), (2, "c"))}


def test_what_was_moved_before_is_where_it_should_be(moved):
    found = decided(moved, choose((1, 0)), ASIDE)
    for image in (1, 2):
        assert found["action"][image] == "not moved"
        assert found["reason"][image] == "it lies in Duplicates already, where run r1 put it"
        assert found["NewPath"][image] == ASIDE[image].path
    assert found["reason"][0] == "kept: 2 duplicates of it found"


def test_what_was_put_back_meanwhile_is_asked_about_again(moved):
    found = decided(moved, choose(), {1: ASIDE[1]})
    assert actions(found)["c"] == "review"
    assert found["NewPath"][2] == "/p/c.jpg"


def test_a_swap_after_a_run(moved):
    found = decided(moved, choose((0, 1), (2, 1)), {2: ASIDE[2]})
    assert actions(found) == {"a": "would move", "b": "kept", "c": "not moved", "d": "kept", "e": "review", "f": "kept"}
    assert found["NewPath"].tolist()[:3] == ["/p/a.jpg", "/p/b.jpg", "/p/Duplicates/c.jpg"]
    assert kept(found)["c"] == 1


def test_what_changed_does_not_move_and_nothing_moves_for_it(proposed):
    found = decided(proposed, choose((1, 0), (2, 0)), changes={1: GONE})
    assert actions(found) == {"a": "kept", "b": "not moved", "c": "would move", "d": "kept", "e": "review", "f": "kept"}
    assert found["reason"][1] == "not where it was in the run"
    found = decided(proposed, choose((1, 0), (2, 0)), changes={0: GONE})
    assert actions(found) == {
        "a": "not moved",
        "b": "not moved",
        "c": "not moved",
        "d": "kept",
        "e": "review",
        "f": "kept",
    }
    assert (
        found["reason"][1]
        == "a.jpg, which is to stay for it, is not what it was in the run: not where it was in the run"
    )
    assert found["reason"][0] == "not where it was in the run"


def test_for_what_could_not_be_put_back_nothing_moves(moved):
    stuck = {2: Reason.of(ReasonCode.NOT_PUT_BACK, why="another file has its name now")}
    found = decided(moved, choose((0, 2), apart=[(1, 2)]), {2: ASIDE[2]}, stuck)
    assert (actions(found)["a"], actions(found)["c"]) == ("not moved", "not moved")
    assert found["reason"][2] == "it could not be put back: another file has its name now"
    assert found["NewPath"][2] == ASIDE[2].path


def test_what_is_said_twice_is_remembered_once(tmp_path):
    run = write_run(tmp_path, RUN, image_table(PATHS), SCORES)
    assert remember_apart(run, [(1, 0)], Source.DESK, "no") == 1
    assert remember_apart(run, [(0, 1), (2, 0)], Source.DESK) == 2
    assert remember_apart(run, [], Source.DESK) == 0
    memory = read_memory(tmp_path)
    assert sorted(zip(memory["path1"], memory["why"], strict=True)) == [("/p/b.jpg", "no"), ("/p/c.jpg", "")]
