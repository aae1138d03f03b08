"""The table of what became of files, as Prefect's UI shows it."""

import re

import pytest

from imagetwins.config.layout import make_layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.reporting import outcomes
from imagetwins.reporting.outcomes import as_text, describe_outcomes, tabulate_outcomes
from imagetwins.text import ZERO_WIDTH_SPACE
from tests.support.past_runs import comparison_table, image_table, mark_moved

PATHS = ["/p/a.jpg", "/p/b.jpg", "/p/sub/c\n.jpg", "/p/<b>d</b>.jpg", "/p/broken.jpg", "/p/alone.jpg"]


@pytest.fixture
def decisions():
    """b and c are copies of a, of which c had been refused; d is for review; one is unreadable, one is alone."""
    images = image_table(PATHS, errors={"/p/broken.jpg": "truncated"})
    scores = {(0, 1): (0.97, 0.95), (0, 2): (0.93, 0.92), (0, 3): (0.95, 0.4)}
    decided = mark_moved(decide(images, comparison_table(scores), Parameters(folder="/p")), "/p")
    decided.loc[decided["image"] == 2, ["action", "NewPath"]] = "not moved", PATHS[2]
    return decided


def test_what_needs_a_person_comes_first_and_what_is_kept_is_left_out(decisions):
    rows = tabulate_outcomes(decisions, make_layout(["/p"]))
    assert [(row["action"], row["picture"], row["kept"], row["SSIM"], row["now at"]) for row in rows] == [
        ("review", as_text("<b>d</b>.jpg"), "a.jpg", "0.9500", ""),
        ("not moved", "sub/c\\n.jpg", "a.jpg", "0.9300", ""),
        ("unreadable", "broken.jpg", "", "", ""),
        ("moved", "b.jpg", "a.jpg", "0.9700", "Duplicates/b.jpg"),
    ]
    assert "detail" in rows[0]["why"]
    assert "truncated" in rows[2]["why"]


def test_a_run_that_kept_everything_has_no_rows(decisions):
    assert tabulate_outcomes(decisions[decisions["action"] == "kept"], "/p") == []


def test_a_table_that_is_cut_short_says_so(decisions, monkeypatch):
    assert describe_outcomes(decisions).startswith("Every file")
    monkeypatch.setattr(outcomes, "MAX_ROWS", 3)
    assert len(tabulate_outcomes(decisions, make_layout(["/p"]))) == 3
    assert describe_outcomes(decisions).startswith("The first 3 of 4 files")


def test_formats_that_are_never_read_have_a_sentence_and_no_rows(decisions):
    drawn = decisions["action"] == "unreadable"
    decisions.loc[drawn, ["FileName", "reason_code"]] = "broken.svg", "format-not-read"

    assert "unreadable" not in {row["action"] for row in tabulate_outcomes(decisions, make_layout(["/p"]))}
    assert "Not read: 1 SVG. " in describe_outcomes(decisions)


def test_every_action_but_kept_has_its_place():
    assert set(outcomes.ORDER) == set(outcomes.Action) - {outcomes.Action.KEPT}


def test_where_all_is_kept_there_is_no_row(decisions):
    assert tabulate_outcomes(decisions.assign(action="kept"), make_layout(["/p"])) == []


@pytest.mark.parametrize(
    "name", ["[a](javascript:alert(1)).jpg", "![a](http://x/y.png)", "<javascript:alert(1)>", "[a][b]", "plain"]
)
def test_no_name_is_a_link_and_all_look_as_they_are(name):
    shown = as_text(name)
    assert not re.search(r"\]\(|\]\[|<\w", shown)
    assert shown.replace(ZERO_WIDTH_SPACE, "") == name
