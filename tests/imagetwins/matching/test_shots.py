"""What makes two pictures two shots by their EXIF, and what follows: each rule by itself, then in what is decided."""

import numpy as np
import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import Decider, decide
from imagetwins.matching.shots import Shots, are_other_exposures, are_other_moments, find_between, find_other_shots
from tests.support.past_runs import comparison_table, image_table

SECOND = "2024-08-12T10:00:00"
REVIEW, KEEP, MOVE = (Parameters(folder="/f", burst=burst) for burst in ("review", "keep", "move"))


@pytest.mark.parametrize(
    ("one", "other", "are_other"),
    [
        ("", "", False),
        ("", SECOND, False),
        (SECOND, SECOND, False),
        # A program dropped the fraction, or a part of it, or filled it up.
        (f"{SECOND}.25", SECOND, False),
        (f"{SECOND}.25", f"{SECOND}.256", False),
        (f"{SECOND}.25", f"{SECOND}.250000", False),
        (f"{SECOND}.7", f"{SECOND}.007", False),
        (f"{SECOND}.250", f"{SECOND}.0250", False),
        # Frames of a burst: 30 a second differ by three hundredths.
        (f"{SECOND}.25", f"{SECOND}.26", True),
        (f"{SECOND}.250", f"{SECOND}.283", True),
        (f"{SECOND}.26", f"{SECOND}.256", True),
        # Rounded to the next second, or another shot: a person is asked.
        (SECOND, "2024-08-12T10:00:01", True),
        (f"{SECOND}.75", "2024-08-12T10:00:01", True),
        (f"{SECOND}.25", "2024-08-12T10:00:01.25", True),
        (SECOND, "2024-08-12T11:00:00", True),
    ],
)
def test_moments_differ_as_far_as_both_are_known(one, other, are_other):
    assert are_other_moments(one, other) is are_other
    assert are_other_moments(other, one) is are_other


@pytest.mark.parametrize(
    ("one", "other", "are_other"),
    [
        ("", "", False),
        ("", "0.008 s", False),
        ("0.008 s, f/2.8", "ISO 100, -1 EV", False),
        ("0.008 s, f/2.8, ISO 100, +0 EV", "0.008 s, f/2.8, ISO 100, +0 EV", False),
        ("0.01667 s, f/5.7", "0.0167 s, f/5.66", False),
        ("-0.3333 EV", "-0.3 EV", False),
        # A third of a stop is the least that cameras bracket by.
        ("0.008 s", "0.01 s", True),
        ("1e-05 s", "2e-05 s", True),
        ("f/2.8", "f/3.2", True),
        ("ISO 100", "ISO 125", True),
        ("+0 EV", "-0.3333 EV", True),
        ("0.008 s, -1 EV", "0.008 s, +1 EV", True),
    ],
)
def test_exposures_differ_by_more_than_they_are_rounded(one, other, are_other):
    assert are_other_exposures(one, other) is are_other
    assert are_other_exposures(other, one) is are_other


def images_of(**columns):
    count = len(next(iter(columns.values())))
    return image_table([f"/f/{number}.jpg" for number in range(count)]).assign(**columns)


def all_pairs(count, ssim=0.95):
    return {(first, second): (ssim, 0.95) for first in range(count) for second in range(first + 1, count)}


def decided(images, parameters, scores=None):
    decisions = decide(images, comparison_table(scores or all_pairs(len(images))), parameters)
    return list(zip(decisions["action"], decisions["reason_code"], strict=True))


def test_tables_without_exposures_are_of_unknown_ones():
    images = images_of(taken=[SECOND, f"{SECOND}.5", "2024-08-12T10:00:09"]).drop(columns="exposure")
    found = find_other_shots(comparison_table(all_pairs(3)), Shots(images))
    assert [reason and reason.code for reason in found] == [None, "other-moment", "other-moment"]


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"taken": [f"{SECOND}.25", f"{SECOND}.5"]}, "other-moment"),
        ({"taken": [f"{SECOND}.25", f"{SECOND}.5"], "camera": ["Phone A", "Phone B"]}, "other-moment"),
        ({"taken": [SECOND] * 2, "exposure": ["0.008 s", "0.016 s"]}, "other-exposure"),
    ],
)
def test_burst_says_what_becomes_of_two_shots(columns, code):
    images = images_of(**columns)
    assert decided(images, REVIEW)[1] == ("review", code)
    assert decided(images, MOVE)[1] == ("would move", "duplicate")
    assert decided(images, KEEP) == [("kept", "other-shot")] * 2
    assert decided(images, KEEP.model_copy(update={"rule": "plain"}))[1] == ("would move", "duplicate")


def test_what_is_kept_says_which_shots_it_is_not_and_they_are_counted():
    images = images_of(taken=[f"{SECOND}.1", f"{SECOND}.2", f"{SECOND}.3", None])
    scores = all_pairs(3) | {(2, 3): (0.99, 0.99)}

    decider = Decider(images, comparison_table(scores), KEEP)
    reasons = decider.decide()["reason"].tolist()

    assert (len(decider.shots), len(decider.matches)) == (3, 1)
    assert reasons[0] == (
        "kept: another shot than 1.jpg and 1 other: they were taken at different times, "
        "2024-08-12 10:00:00.1 and 2024-08-12 10:00:00.2"
    )
    assert reasons[2:] == ["kept: 1 duplicate of it found", "matches 2.jpg, which is kept before it"]


def test_a_copy_that_may_be_of_two_shots_puts_neither_aside():
    images = images_of(taken=[None, f"{SECOND}.1", f"{SECOND}.2", f"{SECOND}.2"])
    expected = [("kept", "no-match"), *[("review", "between-shots")] * 2, ("would move", "duplicate")]
    assert decided(images, REVIEW) == decided(images, KEEP) == expected
    assert decided(images, MOVE)[1:] == [("would move", "duplicate")] * 3


def test_such_a_copy_moves_itself_and_so_does_what_is_of_one_shot_alone():
    last = images_of(taken=[f"{SECOND}.1", f"{SECOND}.2", None])
    assert decided(last, REVIEW) == [
        ("kept", "has-duplicates"),
        ("review", "other-moment"),
        ("would move", "duplicate"),
    ]
    single = images_of(taken=[None, f"{SECOND}.1", f"{SECOND}.10", SECOND])
    assert decided(single, REVIEW)[1:] == [("would move", "duplicate")] * 3


def loop_between(earlier, later, images):
    def differ(one, other):
        return are_other_moments(taken[one], taken[other])

    taken, rows = images["taken"].fillna("").tolist(), list(zip(earlier.tolist(), later.tolist(), strict=True))
    found = []
    for stays, moves in rows:
        others = [pair[pair[0] == stays] for pair in rows if stays in pair]
        between = [one for one in others if differ(one, moves) and not differ(one, stays)]
        found.append(bool(between) and not differ(stays, moves))
    return found


def test_what_lies_between_shots_equals_a_plain_loop():
    rng = np.random.default_rng(0)
    times = [None, None, SECOND, f"{SECOND}.1", f"{SECOND}.2", "2024-08-12T10:00:01"]
    n_found = 0
    for _ in range(30):
        images = images_of(taken=list(rng.choice(np.array(times, object), 9)))
        pairs = np.array([pair for pair in all_pairs(9) if rng.random() < 0.4])
        flipped = rng.random(len(pairs)) < 0.5
        earlier, later = np.where(flipped, pairs[:, 1], pairs[:, 0]), np.where(flipped, pairs[:, 0], pairs[:, 1])
        found = [reason is not None for reason in find_between(earlier, later, images, Shots(images))]
        assert found == loop_between(earlier, later, images)
        n_found += sum(found)
    assert n_found > 30


@pytest.mark.parametrize(
    ("films", "expected"),
    [
        ([None, None], ("would move", "duplicate")),
        (["f", "f"], ("would move", "duplicate")),
        (["f", None], ("would move", "duplicate")),
        ([None, "f"], ("review", "film-lost")),
        (["f", "g"], ("review", "films-differ")),
    ],
)
@pytest.mark.parametrize("parameters", [REVIEW, KEEP, MOVE])
def test_no_film_moves_that_is_not_behind_what_stays(films, expected, parameters):
    images = images_of(film_digest=films)
    assert decided(images, parameters)[1] == expected
    assert decided(images, parameters.model_copy(update={"rule": "plain"}))[1] == ("would move", "duplicate")


def test_of_two_copies_the_one_with_a_film_stays_unless_another_word_decides():
    images = images_of(film_digest=[None, "f"], extras=[0, 1])
    assert [action for action, _ in decided(images, REVIEW)] == ["would move", "kept"]
    first = Parameters(folder="/f", keep="first,companions")
    assert decided(images, first)[1] == ("review", "film-lost")
