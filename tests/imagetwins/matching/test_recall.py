"""What persons said about pairs, in what is decided: against plain loops, and each rule by itself."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import Decider, count_unasked, decide
from imagetwins.matching.recall import NOBODY, Recall
from imagetwins.reasons import ReasonCode
from imagetwins.store.schemas import COMPARISONS, IMAGES, NOT_DUPLICATES
from imagetwins.store.tables import as_frame

RULES = [
    {},
    {"grouping": "any"},
    {"rule": "plain"},
]
APART, BACK = "not duplicates", "put back"


def images_of(*digests):
    count = len(digests)
    given = {
        "image": range(count),
        "path": [f"/f/{image}.png" for image in range(count)],
        "size_bytes": [1000] * count,
        "mtime_ns": [0] * count,
        "is_reference": [False] * count,
        "digest": list(digests),
        "width_px": [400] * count,
        "height_px": [300] * count,
        "format": ["PNG"] * count,
    }
    return as_frame(dict.fromkeys(IMAGES.names, [None] * count) | given, IMAGES)


def matches_of(*pairs, ssim=0.95):
    rows = {"image1": [pair[0] for pair in pairs], "image2": [pair[1] for pair in pairs]}
    scores = {name: [ssim] * len(pairs) for name in ("ssim", "detail_ssim", "local_ssim")}
    return as_frame(rows | scores | {"verified": [True] * len(pairs)}, COMPARISONS)


def memory_of(*said, who="ann", why=""):
    count = len(said)
    columns = {
        "digest1": [one[0] for one in said],
        "digest2": [one[1] for one in said],
        "path1": [f"/old/{one[0]}.jpg" for one in said],
        "path2": [f"/old/{one[1]}.jpg" for one in said],
        "verdict": [one[2] for one in said],
        "decided": [f"2026-11-27T09:0{number}:00+00:00" for number in range(count)],
        "who": [who] * count,
        "why": [why] * count,
        "source": ["desk"] * count,
        "run_id": [f"run-{number}" for number in range(count)],
    }
    return as_frame(columns, NOT_DUPLICATES)


def decide_by(digests, matches, said, rules):
    decisions = decide(images_of(*digests), matches, Parameters(folder="/f", **rules), memory_of(*said))
    return decisions["action"].tolist(), decisions["reason_code"].tolist()


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("said", [("A", "B", APART), ("B", "A", APART)])
def test_a_pair_that_is_kept_apart_is_no_match_whichever_of_the_two_was_named_first(rules, said):
    actions, reasons = decide_by("AB", matches_of((0, 1)), [said], rules)
    assert actions == ["kept", "kept"]
    assert reasons == ["kept-apart", "kept-apart"]


@pytest.mark.parametrize("rules", RULES)
def test_who_said_so_when_where_and_why_is_the_reason(rules):
    memory = memory_of(("A", "B", APART), ("B", "A", APART), who="bob", why="two cats")
    decisions = decide(images_of("A", "B"), matches_of((0, 1)), Parameters(folder="/f", **rules), memory)
    # Of what was said twice, the last.
    assert decisions["reason"][1] == (
        "kept: no duplicate of 0.png, as bob said on 2026-11-27 09:01 UTC (desk, run run-1): two cats"
    )


def test_one_that_is_kept_apart_from_several_says_of_how_many():
    every = matches_of(*itertools.combinations(range(3), 2))
    said = [(*pair, APART) for pair in itertools.combinations("ABC", 2)]
    decisions = decide(images_of(*"ABC"), every, Parameters(folder="/f"), memory_of(*said))
    assert decisions["reason"][0].startswith("kept: no duplicate of 1.png and 1 other, as ann said")


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("digests", ["AB", "BA"])
def test_what_was_put_back_is_for_review_whichever_of_the_two_would_move_now(rules, digests):
    actions, reasons = decide_by(digests, matches_of((0, 1)), [("B", "A", BACK)], rules)
    assert (actions, reasons[1]) == (["kept", "review"], "put-back")


@pytest.mark.parametrize("rules", RULES)
def test_what_was_put_back_does_not_move_for_a_third_or_for_an_equal_file_but_others_move_for_it(rules):
    # B was put back; C, which nobody has said anything about, is a copy of it.
    said = [("B", "A", BACK)]
    assert decide_by("CB", matches_of((0, 1)), said, rules)[0] == ["kept", "review"]
    assert decide_by("BB", matches_of((0, 1)), said, rules)[0] == ["kept", "review"]
    assert decide_by("BC", matches_of((0, 1)), said, rules)[0] == ["kept", "would move"]
    # A was what it had been a copy of, and moves for others.
    assert decide_by("CA", matches_of((0, 1)), said, rules)[0] == ["kept", "would move"]


@pytest.mark.parametrize("rules", RULES)
def test_what_was_kept_apart_does_not_move_for_a_third_but_for_an_equal_file(rules):
    said = [("A", "B", APART)]
    for digests in ("CA", "CB"):
        actions, reasons = decide_by(digests, matches_of((0, 1)), said, rules)
        assert (actions, reasons[1]) == (["kept", "review"], "kept-apart-before")
    assert decide_by("BB", matches_of((0, 1)), said, rules)[0] == ["kept", "would move"]
    assert decide_by("BC", matches_of((0, 1)), said, rules)[0] == ["kept", "would move"]


@pytest.mark.parametrize("rules", RULES)
def test_a_third_that_matches_two_which_are_kept_apart_is_for_review_wherever_it_is_listed(rules):
    every = matches_of(*itertools.combinations(range(3), 2))
    said = [("A", "B", APART)]
    assert decide_by("ABC", every, said, rules) == (["kept", "kept", "review"], ["kept-apart"] * 2 + ["matches-both"])
    assert decide_by("ACB", every, said, rules)[0] == ["kept", "review", "review"]
    assert decide_by("CAB", every, said, rules)[0] == ["kept", "review", "review"]
    # It is a copy of the one that it equals.
    assert decide_by("ABB", every, said, rules)[0] == ["kept", "kept", "would move"]


@pytest.mark.parametrize("rules", RULES)
def test_a_content_that_is_kept_apart_from_itself_never_moves(rules):
    every = matches_of(*itertools.combinations(range(3), 2), ssim=1.0)
    assert decide_by("AAA", every, [("A", "A", APART)], rules) == (["kept"] * 3, ["kept-apart"] * 3)


def test_a_changed_file_is_another_picture():
    assert decide_by("AX", matches_of((0, 1)), [("A", "B", APART), ("B", "A", BACK)], {})[0] == ["kept", "would move"]


def test_one_that_is_kept_apart_from_its_best_match_is_for_review_with_the_next():
    matches = pd.concat([matches_of((0, 2), ssim=0.97), matches_of((1, 2), ssim=0.95)], ignore_index=True)
    images = images_of("A", "B", "C").assign(taken=None)
    decisions = decide(images, matches, Parameters(folder="/f"), memory_of(("A", "C", APART)))
    assert decisions[["action", "kept_image"]].iloc[2].tolist() == ["review", 1]


def test_pairs_and_pictures_are_counted():
    every = matches_of(*itertools.combinations(range(3), 2))
    memory = memory_of(("A", "B", APART))
    decider = Decider(images_of("A", "B", "C"), every, Parameters(folder="/f"), memory)
    assert (len(decider.apart), len(decider.matches)) == (1, 2)
    assert count_unasked(decider.decide()) == 1
    nothing = Decider(images_of("A", "B", "C"), every, Parameters(folder="/f"))
    assert (len(nothing.apart), count_unasked(nothing.decide())) == (0, 0)


def loop_doubt(digests, pairs, said, earlier, later):
    """Why a match does not move its later picture unasked, by the sentences at the top of recall.py."""
    apart = {frozenset(one[:2]) for one in said if one[2] == APART}
    back = [one[:2] for one in said if one[2] == BACK]
    moving, staying = digests[later], digests[earlier]
    if any(moving == moved or {moving, staying} == {moved, kept} for moved, kept in back):
        return ReasonCode.PUT_BACK
    if moving == staying:
        return None
    if any(moving in pair for pair in apart):
        return ReasonCode.KEPT_APART_BEFORE
    matched = {digests[one] for pair in pairs for one in pair if later in pair and one != later}
    others = {other for other in matched if other != staying and frozenset((staying, other)) in apart}
    return ReasonCode.MATCHES_BOTH if others else None


@given(
    st.lists(st.sampled_from("ABCD"), min_size=2, max_size=6),
    st.lists(st.tuples(*[st.sampled_from("ABC")] * 2, st.sampled_from([APART, BACK])), max_size=4),
    st.randoms(use_true_random=False),
)
def test_all_rules_equal_plain_loops(digests, said, random):
    pairs = [pair for pair in itertools.combinations(range(len(digests)), 2) if random.random() < 0.7]
    recall = Recall(memory_of(*said) if said else memory_of(("Y", "Z", APART)), images_of(*digests))
    first, second = (np.array([pair[end] for pair in pairs], np.int64) for end in (0, 1))

    apart = recall.find_apart(first, second)
    expected = [any(one[2] == APART and {digests[a], digests[b]} == set(one[:2]) for one in said) for a, b in pairs]
    assert (apart != NOBODY).tolist() == expected

    left = [pair for pair, is_apart in zip(pairs, expected, strict=True) if not is_apart]
    doubts = recall.find_doubts(first[apart == NOBODY], second[apart == NOBODY])
    found = [doubt.code if doubt else None for doubt in doubts]
    assert found == [loop_doubt(digests, left, said, a, b) for a, b in left]
