"""The rules that decide about an image, against plain loops over small tables."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import count_larger, count_turned, decide
from imagetwins.store.schemas import COMPARISONS, IMAGES
from imagetwins.store.tables import as_frame

PLAIN = Parameters(folder="/f", min_detail_ssim=-1, min_local_ssim=-1, max_aspect_change=1e9)


def make_images(count, **columns):
    given = {
        "image": range(count),
        "path": [f"/f/{image:03}.png" for image in range(count)],
        "size_bytes": [1000] * count,
        "mtime_ns": [0] * count,
        "is_reference": [False] * count,
        "digest": [f"d{image}" for image in range(count)],
        "width_px": [400] * count,
        "height_px": [300] * count,
        "format": ["PNG"] * count,
    }
    return as_frame(dict.fromkeys(IMAGES.names, [None] * count) | given | columns, IMAGES)


def make_pairs(*pairs):
    """Each pair is image1, image2, ssim and, if it matters, detail_ssim, max_difference and local_ssim."""
    filled = [(*pair, *(0.99, None, None)[len(pair) - 3 :]) for pair in pairs]
    columns = [list(column) for column in zip(*filled, strict=True)] or [[]] * 6
    names = ("image1", "image2", "ssim", "detail_ssim", "max_difference", "local_ssim")
    return as_frame(dict(zip(names, columns, strict=True)) | {"verified": [False] * len(filled)}, COMPARISONS)


def outcome(decisions):
    return [None if pd.isna(kept) else int(kept) for kept in decisions["kept_image"]]


def test_a_raw_file_is_no_duplicate_of_the_picture_that_the_camera_wrote_beside_it():
    paths = ["/f/a.JPG", "/f/a.nef", "/f/b.cr2", "/f/b.nef", "/f/c/a.nef"]
    every = itertools.combinations(range(5), 2)

    decisions = decide(make_images(5, path=paths), make_pairs(*((*pair, 0.99) for pair in every)), PLAIN)

    assert outcome(decisions) == [None, None, 0, 0, 0]


def loop_any(count, scores, threshold):
    """The plain rule: flag image2 of every pair at or above the threshold; the best match says which image it copies."""
    kept = [None] * count
    for second in range(count):
        matches = [(-scores[first, second], first) for first in range(second) if scores[first, second] >= threshold]
        if matches:
            kept[second] = min(matches)[1]
    return kept


def loop_representative(count, scores, threshold):
    kept, stays = [None] * count, []
    for image in range(count):
        matches = [(-scores[first, image], first) for first in stays if scores[first, image] >= threshold]
        if matches:
            kept[image] = min(matches)[1]
        else:
            stays.append(image)
    return kept


@st.composite
def scored_pairs(draw):
    count = draw(st.integers(0, 8))
    # Few values, so that ties and scores equal to the threshold are common.
    values = st.sampled_from([-1.0, 0.3, 0.89999, 0.9, 0.95, 1.0])
    return count, {pair: draw(values) for pair in itertools.combinations(range(count), 2)}


@pytest.mark.slow
@given(scored_pairs(), st.sampled_from([-1.0, 0.9, 0.95, 1.0]), st.randoms())
def test_both_groupings_equal_plain_loops(table, threshold, shuffler):
    count, scores = table
    rows = [(*pair, score) for pair, score in scores.items()]
    shuffler.shuffle(rows)
    pairs, images = make_pairs(*rows), make_images(count)
    for grouping, loop in (("any", loop_any), ("representative", loop_representative)):
        parameters = PLAIN.model_copy(update={"threshold": threshold, "grouping": grouping})
        decisions = decide(images, pairs, parameters)
        assert outcome(decisions) == loop(count, scores, threshold)
        assert decisions["Duplicate"].tolist() == [kept is not None for kept in outcome(decisions)]


def test_every_duplicate_of_a_representative_grouping_matches_a_picture_that_stays():
    chain = make_pairs((0, 1, 0.92), (1, 2, 0.92), (2, 3, 0.92))
    assert outcome(decide(make_images(4), chain, PLAIN)) == [None, 0, None, 2]
    assert outcome(decide(make_images(4), chain, PLAIN.model_copy(update={"grouping": "any"}))) == [None, 0, 1, 2]


@pytest.mark.parametrize("grouping", ["representative", "any"])
def test_the_best_match_decides_and_a_score_at_the_threshold_is_one(grouping):
    pairs = make_pairs((0, 3, 0.91), (1, 3, 0.95), (2, 3, 0.93), (0, 4, 0.9), (1, 4, 0.9), (0, 5, 0.9 - 1e-12))
    decisions = decide(make_images(6), pairs, PLAIN.model_copy(update={"grouping": grouping}))
    assert outcome(decisions) == [None, None, None, 1, 0, None]
    assert decisions["ssim"][3] == 0.95


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("first", 0), ("resolution", 2), ("size", 1), ("oldest", 3), ("newest", 0)],
)
def test_keep_ranks_the_copies(keep, kept):
    images = make_images(
        4, width_px=[10, 20, 40, 30], height_px=[10, 20, 40, 30], size_bytes=[5, 9, 7, 9], mtime_ns=[8, 7, 6, 5]
    )
    pairs = make_pairs(*((*pair, 0.95) for pair in itertools.combinations(range(4), 2)))
    decisions = decide(images, pairs, PLAIN.model_copy(update={"keep": keep}))
    assert outcome(decisions) == [None if image == kept else kept for image in range(4)]


def test_a_reference_is_kept_before_all_others_and_never_moved():
    images = make_images(3, is_reference=[False, True, True])
    decisions = decide(images, make_pairs((0, 1, 0.95), (1, 2, 1.0)), PLAIN)
    assert outcome(decisions) == [1, None, None]


@pytest.mark.parametrize(
    ("pair", "doubt"),
    [
        ((0, 1, 0.95, 0.69), "0.690, below 0.7"),
        ((0, 1, 0.95, 0.7), ""),
    ],
)
def test_matches_that_agree_only_where_they_are_blank_are_for_review(pair, doubt):
    decisions = decide(make_images(2), make_pairs(pair), Parameters(folder="/f"))
    assert decisions["action"].tolist() == ["kept", "review" if doubt else "would move"]
    assert doubt in decisions["reason"][1]
    assert decisions["kept_image"][1] == 0


SEEN, BLANK = (0, 1, 0.99), (0, 1, 1.0, None, 0)


@pytest.mark.parametrize(
    ("pair", "columns", "reason"),
    [
        (SEEN, {}, None),
        (SEEN, {"frames": [1, 1]}, None),
        (SEEN, {"frames": [None, 1]}, None),
        (BLANK, {}, "nothing-to-see"),
        (BLANK, {"pixels_digest": ["p", "p"]}, None),
        (BLANK, {"pixels_digest": ["p", "q"]}, "nothing-to-see"),
        (BLANK, {"pixels_digest": ["p", None]}, "nothing-to-see"),
        (BLANK, {"digest": ["d", "d"]}, None),
        (BLANK, {"digest": ["d", "d"], "pixels_digest": ["p", "q"]}, None),
        (SEEN, {"frames": [2, 1]}, "frames-differ"),
        (SEEN, {"frames": [None, 3]}, "frames-differ"),
        (SEEN, {"frames": [3, 2], "pixels_digest": ["p", "q"]}, "frames-differ"),
        (SEEN, {"frames": [2, 2]}, "frames-unequal"),
        (SEEN, {"frames": [2, 2], "pixels_digest": ["p", "q"]}, "frames-unequal"),
        (SEEN, {"frames": [2, 2], "pixels_digest": ["p", "p"]}, None),
        (BLANK, {"frames": [2, 2], "pixels_digest": ["p", "p"]}, None),
        (SEEN, {"frames": [2, 2], "digest": ["d", "d"]}, None),
        (SEEN, {"format": ["RAW", "JPEG"]}, "raw-preview"),
        (SEEN, {"format": ["JPEG", "RAW"]}, "raw-preview"),
        (SEEN, {"format": ["RAW", "RAW"]}, "raw-preview"),
        (SEEN, {"format": ["RAW", "RAW"], "digest": ["d", "d"]}, None),
    ],
)
@pytest.mark.parametrize("guard", [-1, 0.7])
def test_where_thumbnails_say_too_little_only_what_is_equal_moves(pair, columns, reason, guard):
    parameters = Parameters(folder="/f", min_detail_ssim=guard)
    decisions = decide(make_images(2, **columns), make_pairs(pair), parameters)
    assert decisions["action"].tolist() == ["kept", "review" if reason else "would move"]
    assert decisions["reason_code"].tolist() == ["no-match" if reason else "has-duplicates", reason or "duplicate"]


@pytest.mark.parametrize(
    ("taken", "doubt"),
    [
        (["2024-08-12T10:00:00.25", "2024-08-12T10:00:00.25"], False),
        (["2024-08-12T10:00:00.25", "2024-08-12T10:00:00.5"], True),
        (["2024-08-12T10:00:00", "2024-08-12T10:00:01"], True),
        (["2024-08-12T10:00:00.25", "2024-08-12T10:00:00"], False),
        (["2024-08-12T10:00:00", None], False),
        ([None, None], False),
    ],
)
def test_pictures_taken_at_different_times_are_for_review(taken, doubt):
    decisions = decide(make_images(2, taken=taken), make_pairs(SEEN), Parameters(folder="/f"))
    assert decisions["action"][1] == ("review" if doubt else "would move")
    assert decisions["reason_code"][1] == ("other-moment" if doubt else "duplicate")


@pytest.mark.parametrize(
    ("column", "limit", "code"),
    [("peak_difference", 7.0, "one-place-differs"), ("colour_difference", 22.0, "colour-differs")],
)
@pytest.mark.parametrize(("share", "doubt"), [(None, False), (0.0, False), (1.0, False), (1.01, True)])
def test_a_place_that_differs_more_than_others_is_for_review(column, limit, code, share, doubt):
    pairs = make_pairs(SEEN).assign(**{column: pd.array([share and share * limit], "Float64")})
    parameters = Parameters(folder="/f")
    decisions = decide(make_images(2), pairs, parameters)
    assert decisions["action"][1] == ("review" if doubt else "would move")
    assert decisions["reason_code"][1] == (code if doubt else "duplicate")
    assert decide(make_images(2), pairs, parameters.model_copy(update={"rule": "plain"}))["action"][1] == "would move"


def turned_pairs(*pairs):
    """Each pair is image1, image2, ssim and the orientation of image2."""
    table = make_pairs(*((*pair[:3],) for pair in pairs))
    return table.assign(orientation=pd.array([pair[3] for pair in pairs], "UInt8"))


def turn(pixels, orientation):
    """Show (height, width) pixels as Pillow does by the EXIF tag."""
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("keep", ["first", "size"])
def test_a_duplicate_is_turned_as_it_matches_the_copy_that_is_kept_whichever_that_is(orientation, keep):
    second = np.random.default_rng(0).integers(0, 256, (4, 4), np.uint8)
    pixels = [turn(second, orientation), second]

    decisions = decide(
        make_images(2, size_bytes=[1, 2]),
        turned_pairs((0, 1, 0.99, orientation)),
        PLAIN.model_copy(update={"keep": keep}),
    )

    moved, kept = (1, 0) if keep == "first" else (0, 1)
    assert decisions["kept_image"][moved] == kept
    assert np.array_equal(pixels[kept], turn(pixels[moved], int(decisions["orientation"][moved])))
    assert pd.isna(decisions["orientation"][kept])
    assert count_turned(decisions) == (orientation != 1)


@pytest.mark.parametrize(
    ("sizes", "orientation", "doubt"),
    [
        ([(400, 300), (400, 300)], 1, None),
        ([(400, 300), (400, 300)], 3, None),
        ([(400, 300), (300, 400)], 6, None),
        ([(400, 300), (150, 200)], 5, None),
        ([(400, 300), (400, 300)], 6, "(400x300 and 300x400)"),
        ([(400, 300), (300, 400)], 2, "(400x300 and 300x400)"),
        ([(400, 300), (300, 400)], None, "(400x300 and 300x400)"),
    ],
)
def test_shapes_are_compared_as_the_pictures_are_turned(sizes, orientation, doubt):
    images = make_images(2, width_px=[size[0] for size in sizes], height_px=[size[1] for size in sizes])

    decisions = decide(images, turned_pairs((0, 1, 0.99, orientation)), Parameters(folder="/f"))

    assert decisions["action"][1] == ("review" if doubt else "would move")
    assert (doubt or "matches") in decisions["reason"][1]


def test_different_counts_of_frames_are_both_named():
    decisions = decide(make_images(2, frames=[None, 12]), make_pairs(SEEN), Parameters(folder="/f"))
    assert "1 and 12 frames or pages" in decisions["reason"][1]


def test_an_equal_picture_decides_before_others_of_which_nothing_is_known():
    images = make_images(3, frames=[2, 2, 2], pixels_digest=["p", "q", "q"])
    decisions = decide(images, make_pairs((0, 1, 1.0), (0, 2, 1.0), (1, 2, 0.99)), Parameters(folder="/f"))
    assert decisions["action"].tolist() == ["kept", "review", "would move"]
    assert outcome(decisions) == [None, 0, 1]


@pytest.mark.parametrize(
    ("pair", "doubt"),
    [
        # Where the rest is equal, every square must score 0.85; where it loses something, five times that less ...
        ((0, 1, 0.99, 1.0, None, 0.849), "0.849, below 0.850"),
        ((0, 1, 0.99, 1.0, None, 0.851), ""),
        ((0, 1, 0.95, 0.96, None, 0.649), "0.649, below 0.650"),
        ((0, 1, 0.95, 0.96, None, 0.651), ""),
        # ... but never less than 0.3.
        ((0, 1, 0.92, 0.8, None, 0.299), "0.299, below 0.300"),
        ((0, 1, 0.92, 0.8, None, 0.301), ""),
        # Tables of older engines have none.
        ((0, 1, 0.99, 1.0, None, None), ""),
    ],
)
def test_matches_that_differ_in_one_place_are_for_review(pair, doubt):
    decisions = decide(make_images(2), make_pairs(pair), Parameters(folder="/f"))
    assert decisions["action"].tolist() == ["kept", "review" if doubt else "would move"]
    assert decisions["reason_code"][1] == ("low-local-ssim" if doubt else "duplicate")
    assert doubt in decisions["reason"][1]
    assert decisions["local_ssim"][1] == pair[5] or pair[5] is None


def test_the_limit_of_the_local_ssim_may_be_below_what_every_copy_must_have():
    strict, lax = (Parameters(folder="/f", min_local_ssim=limit) for limit in (0.21, 0.19))
    images, pairs = make_images(2), make_pairs((0, 1, 0.99, 1.0, None, 0.2))
    assert decide(images, pairs, strict)["action"][1] == "review"
    assert decide(images, pairs, lax)["action"][1] == "would move"


def test_the_guards_can_be_switched_off():
    images, pair = make_images(2, width_px=[400, 300], height_px=[300, 400]), make_pairs((0, 1, 0.95, 0.1, None, -0.9))
    assert decide(images, pair, PLAIN)["action"].tolist() == ["kept", "would move"]


def test_the_plain_rule_keeps_the_first_of_every_matching_pair_and_doubts_nothing():
    images = make_images(4, width_px=[400, 800, 300, 400], height_px=[300, 600, 400, 300])
    pairs = make_pairs((0, 1, 0.9, 0.1), (1, 2, 0.9), (2, 3, 0.95, None, 200))
    plain = Parameters(folder="/f", rule="plain", keep="resolution")
    decisions = decide(images, pairs, plain)
    assert outcome(decisions) == loop_any(
        4, {**dict.fromkeys(itertools.combinations(range(4), 2), 0.0), (0, 1): 0.9, (1, 2): 0.9, (2, 3): 0.95}, 0.9
    )
    assert decisions["action"].tolist() == ["kept", "would move", "would move", "would move"]
    assert decide(images, pairs, plain.model_copy(update={"rule": "careful"}))["action"].tolist() == [
        *("review", "kept", "review", "review"),
    ]


def test_duplicates_with_more_pixels_than_what_is_kept_are_counted():
    images = make_images(4, width_px=[400, 800, 400, None], height_px=[300, 600, 300, None])
    decisions = decide(images, make_pairs((0, 1, 0.95), (0, 2, 0.95)), PLAIN)
    assert count_larger(decisions, images) == 1
    assert count_larger(decide(images, make_pairs(), PLAIN), images) == 0


def test_aspect_ratios_that_differ_are_for_review():
    images = make_images(3, width_px=[400, 399, 400], height_px=[300, 300, 400])
    decisions = decide(images, make_pairs((0, 1, 0.95), (0, 2, 0.99)), Parameters(folder="/f"))
    assert decisions["action"].tolist() == ["kept", "would move", "review"]
    assert "400x300 and 400x400" in decisions["reason"][2]


@pytest.mark.parametrize(("wide", "narrow"), [(0, 1), (1, 0)])
@pytest.mark.parametrize(("limit", "action"), [(0.5, "would move"), (0.499, "review")])
def test_aspect_ratios_may_differ_up_to_the_limit_whichever_is_wider(wide, narrow, limit, action):
    images = make_images(2, width_px=[100, 100], height_px=[100, 100])
    images.loc[wide, "width_px"], images.loc[narrow, "width_px"] = 300, 200
    decisions = decide(images, make_pairs((0, 1, 0.95)), Parameters(folder="/f", max_aspect_change=limit))
    assert decisions["action"].tolist() == ["kept", action]


def test_the_share_that_may_move_is_of_the_pictures_that_could():
    images = make_images(5, is_reference=[True, True, True, False, False])
    pairs = make_pairs((0, 3, 0.95))
    for share, action in ((0.5, "would move"), (0.49, "review")):
        decisions = decide(images, pairs, PLAIN.model_copy(update={"max_move_share": share}))
        assert decisions["action"].tolist() == ["kept", "kept", "kept", action, "kept"]
    assert decide(images, pairs, PLAIN.model_copy(update={"max_move_share": 0.3}))["reason"][3].count("1 of 2 pictures")


def test_a_match_without_doubt_decides_before_a_better_one_in_doubt():
    pairs = make_pairs((0, 2, 0.99, 0.2), (1, 2, 0.91))
    assert outcome(decide(make_images(3), pairs, Parameters(folder="/f"))) == [None, None, 1]


def test_a_picture_for_review_stays_and_so_others_may_be_its_duplicates():
    pairs = make_pairs((0, 1, 0.95, 0.2), (1, 2, 0.95))
    decisions = decide(make_images(3), pairs, Parameters(folder="/f"))
    assert decisions["action"].tolist() == ["kept", "review", "would move"]
    assert decisions["kept_path"][2] == "/f/001.png"


def test_more_moves_than_the_share_allows_are_all_for_review():
    images = make_images(5, error=[None] * 4 + ["no image"])
    pairs = make_pairs((0, 1, 0.95), (0, 2, 0.95))
    halted = decide(images, pairs, PLAIN.model_copy(update={"max_move_share": 0.49}))
    assert halted["action"].tolist() == ["kept", "review", "review", "kept", "unreadable"]
    assert "2 of 4 pictures" in halted["reason"][1]
    allowed = decide(images, pairs, PLAIN.model_copy(update={"max_move_share": 0.5}))
    assert allowed["action"].tolist() == ["kept", "would move", "would move", "kept", "unreadable"]


def test_identical_pictures_are_all_duplicates_of_the_first():
    count = 300
    first, second = np.triu_indices(count, 1)
    columns = {"image1": first.astype(np.int32), "image2": second.astype(np.int32), "ssim": np.ones(len(first))}
    rest = {
        "detail_ssim": [1.0] * len(first),
        "local_ssim": [1.0] * len(first),
        "max_difference": [None] * len(first),
        "verified": [True] * len(first),
    }
    decisions = decide(make_images(count), as_frame(columns | rest, COMPARISONS), PLAIN)
    assert decisions["kept_image"].iloc[1:].eq(0).all()
