"""Which pairs may match: inside sub-folders, between folders, and with references always."""

import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.matching.restriction import describe_exclusion, find_excluded
from tests.support.past_runs import comparison_table, image_table

PATHS = ["/A/one/a.png", "/A/one/b.png", "/A/two/a.png", "/B/a.png", "/B/b.png", "/R/a.png"]
PAIRS = [(first, second) for first in range(len(PATHS)) for second in range(first + 1, len(PATHS))]
SCORES = dict.fromkeys(PAIRS, (0.99, 0.99))


def images(reference=()):
    table = image_table(PATHS)
    return table.assign(is_reference=[any(path.startswith(folder) for folder in reference) for path in PATHS])


def asked(**parameters):
    return Parameters(**{"folder": "/A", "more_folders": ["/B"]} | parameters)


def excluded(parameters, reference=()):
    found = find_excluded(comparison_table(SCORES), images(reference), parameters)
    return {pair for pair, is_excluded in zip(PAIRS, found, strict=True) if is_excluded}


def test_all_pairs_may_match_unless_asked_otherwise():
    assert excluded(asked()) == set()
    assert describe_exclusion(asked()) == ""


def test_within_folder_pairs_lie_in_the_same_sub_folder_or_one_is_a_reference():
    expected = set(PAIRS) - {(0, 1), (3, 4)}
    assert excluded(asked(within="folder")) == expected
    assert excluded(asked(within="folder"), ["/R"]) == {pair for pair in expected if 5 not in pair}
    assert "same sub-folder" in describe_exclusion(asked(within="folder"))


def test_across_pairs_lie_in_two_of_the_folders_or_one_is_a_reference():
    assert excluded(asked(across=True), ["/R"]) == {(0, 1), (0, 2), (1, 2), (3, 4)}
    nested = asked(across=True, folder="/A", more_folders=["/A/two", "/B"])
    assert excluded(nested, ["/R"]) == {(0, 1), (3, 4)}
    assert "across" in describe_exclusion(asked(across=True))


def test_across_a_folder_and_a_reference_what_is_in_both_moves_and_no_other_copy():
    decisions = decide(images(["/R"]), comparison_table(SCORES), asked(more_folders=[], folder="/A", across=True))
    moving = decisions.loc[decisions["action"] == "would move", ["FullPath", "kept_path"]]
    assert set(moving["FullPath"]) >= {"/A/one/a.png", "/A/one/b.png", "/A/two/a.png"}
    assert set(moving["kept_path"]) == {"/R/a.png"}


@pytest.mark.parametrize("rule", ["careful", "plain"])
@pytest.mark.parametrize(
    ("restriction", "moving"),
    [
        ({"within": "folder"}, ["/A/one/b.png", "/B/b.png"]),
        ({"across": True}, ["/B/a.png", "/B/b.png"]),
        ({}, PATHS[1:5]),
    ],
)
def test_decisions_rest_on_pairs_that_may_match_by_every_rule(rule, restriction, moving):
    scores = {pair: score for pair, score in SCORES.items() if 5 not in pair}
    decisions = decide(images(), comparison_table(scores), asked(rule=rule, **restriction))
    assert decisions.loc[decisions["action"] == "would move", "FullPath"].tolist() == moving
