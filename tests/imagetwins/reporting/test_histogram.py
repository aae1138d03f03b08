"""The histogram counts every score once, on the side of the threshold where it belongs, and stays within its plot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagetwins.reporting.histogram import plan_histogram

SCORES = np.random.default_rng(0).uniform(0.85, 1, 500)


def counted(bars):
    return sum(int(bar.words.rpartition(": ")[2].replace(",", "")) for bar in bars)


@given(st.lists(st.floats(-1, 1), max_size=30), st.floats(-1, 1), st.floats(0, 1))
def test_every_score_is_counted_and_everything_is_inside(scores, threshold, below):
    floor = max(-1.0, threshold - below)

    drawn = plan_histogram(scores, threshold, floor)

    assert counted(drawn["bars"]) == len(scores)
    for bar in drawn["bars"]:
        assert 0 <= bar.left <= bar.left + bar.width <= 100.02
        assert 0 < bar.height <= 100
    marks = [drawn["threshold"], drawn["floor"], *drawn["counts"], *drawn["scores"]]
    assert all(0 <= mark.position <= 100 for mark in marks)
    assert 2 <= len(drawn["scores"]) <= 7
    assert len({mark.words for mark in drawn["scores"]}) == len(drawn["scores"])


@pytest.mark.parametrize("threshold", [0.85, 0.9, 0.93, 1.0])
def test_a_bar_of_matches_counts_matches_only(threshold):
    bars = plan_histogram(SCORES, threshold, 0.85)["bars"]

    assert counted([bar for bar in bars if bar.is_match]) == (threshold <= SCORES).sum()


def test_a_bar_stands_where_its_scores_are_and_is_as_high_as_the_axis_says():
    drawn = plan_histogram([0.9551] * 100, 0.9, 0.85)

    (bar,) = drawn["bars"]
    assert bar.left <= 100 * (0.9551 - 0.85) / 0.15 <= bar.left + bar.width
    assert bar.height == next(mark.position for mark in drawn["counts"] if mark.words == "100")
    assert [(mark.position, mark.words) for mark in drawn["scores"]] == [
        (0, "0.85"),
        (33.33, "0.90"),
        (66.67, "0.95"),
        (100, "1.00"),
    ]


def test_the_marks_say_what_they_are_and_have_their_words_where_there_is_room():
    drawn = plan_histogram(SCORES, 0.99, 0.85)

    assert (drawn["threshold"].words, drawn["threshold"].is_flipped) == ("threshold 0.99", True)
    assert (drawn["floor"].words, drawn["floor"].is_flipped) == ("floor 0.85", False)
