"""Whatever decides about a file is scikit-image's own score, also where the kernels' would have decided otherwise."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from benchmarks.stages import run_stages
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import MEASURED, Decider, decide
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, VERIFIED
from imagetwins.store.tables import as_frame, read_notes, read_table, write_table
from tests.support import oracle
from tests.support import thumbnails as pictures
from tests.support.past_runs import image_table
from tests.support.pictures import encode, photo

SIZE = 32


def make_pictures():
    """Two pictures that do not match, a copy of both between them that is nearer to the second, and a stranger."""
    rng, first = np.random.default_rng(0), pictures.photographs(SIZE)[1].astype(int)
    second = np.clip(first + rng.integers(-30, 31, first.shape), 0, 255)
    copy = (0.46 * first + 0.54 * second).round()
    return np.array([first, second, copy, pictures.page(SIZE, 1)], np.uint8)


@pytest.fixture(scope="module")
def thumbnails():
    return make_pictures()


@pytest.fixture(scope="module")
def scores(thumbnails):
    return oracle.all_scores(thumbnails)


def table(scores, verified=()):
    pairs = sorted(scores)
    differences = [0.0 if pair in verified else None for pair in pairs]
    columns = {
        "image1": [first for first, _ in pairs],
        "image2": [second for _, second in pairs],
        "ssim": [scores[pair] for pair in pairs],
        "detail_ssim": [0.99] * len(pairs),
        "peak_difference": differences,
        "colour_difference": differences,
        "max_difference": [None] * len(pairs),
        "verified": [pair in verified for pair in pairs],
    }
    return as_frame(columns, COMPARISONS)


class Verified:
    """The decisions at a threshold from given scores, and which thumbnails were loaded for them."""

    def __init__(self, thumbnails, given, threshold, **options):
        self.loaded = []
        paths = [f"/p/{image}.png" for image in range(len(thumbnails))]
        images = image_table(paths, sizes=dict.fromkeys(paths, (50_000, 480, 480)))
        parameters = Parameters(folder="/p", threshold=threshold)

        def load(image):
            self.loaded.append(image)
            return thumbnails[image]

        self.decisions, self.table = decide_verified(Decider(images, given, parameters), load, 2, **options)
        names = ("image1", "image2", "ssim")
        self.scores = {(int(i), int(j)): s for i, j, s in zip(*(self.table[name] for name in names), strict=True)}

    def outcome(self, image):
        row = self.decisions.iloc[image]
        return row["action"], None if pd.isna(row["kept_image"]) else int(row["kept_image"])


def test_the_scores_that_decide_are_scikit_images_and_so_is_the_choice_of_the_kept_picture(thumbnails, scores):
    near, nearer, threshold = scores[0, 2], scores[1, 2], scores[0, 2] - 0.01
    assert scores[0, 1] < threshold < near < nearer
    # As computed, the copy is nearer to the first picture.
    given = table({(0, 1): scores[0, 1], (0, 2): nearer + 1e-6, (1, 2): nearer - 1e-6, (0, 3): -0.5})
    told = []

    found = Verified(thumbnails, given, threshold, progress=lambda *how_far: told.append(how_far))

    assert found.outcome(2) == ("would move", 1)
    assert found.decisions["ssim"][2] == nearer
    assert found.scores == {(0, 2): near, (1, 2): nearer}
    # The second pair decides only since the first is verified.
    assert told == [(1, 1), (2, 2)]


@pytest.mark.parametrize(("error", "threshold_above"), [(1e-6, 1e-9), (1e-6, 0.0), (-1e-12, 0.0)])
def test_a_match_that_is_none_by_scikit_images_score_moves_nothing(thumbnails, scores, error, threshold_above):
    threshold = scores[1, 2] + threshold_above
    given = table({(1, 2): max(scores[1, 2] + error, threshold)})

    found = Verified(thumbnails, given, threshold)

    assert found.outcome(2) == (("kept", None) if threshold_above else ("would move", 1))
    assert found.scores == {(1, 2): scores[1, 2]}


def test_what_is_verified_or_known_is_not_computed_again(thumbnails, scores):
    threshold = scores[0, 2] - 0.01
    given = table({(0, 2): scores[0, 2], (1, 2): scores[1, 2]}, verified={(0, 2), (1, 2)})
    found = Verified(thumbnails, given, threshold)
    assert (found.outcome(2), found.scores, found.loaded) == (("would move", 1), {}, [])

    known = as_frame(
        {
            "image1": [1],
            "image2": [2],
            "orientation": [1],
            "ssim": [0.123],
            "peak_difference": [1.0],
            "colour_difference": [2.0],
        },
        VERIFIED,
    )
    given = table({(0, 2): scores[0, 2], (1, 2): scores[1, 2]}, verified={(0, 2)})
    found = Verified(thumbnails, given, threshold, known=known)
    assert (found.outcome(2), found.scores, found.loaded) == (("would move", 0), {(1, 2): 0.123}, [])


def test_a_pair_that_differs_in_one_place_leaves_the_decision_to_another():
    picture = pictures.photographs(SIZE)[1]
    noisy = np.clip(picture + np.random.default_rng(0).integers(-8, 9, picture.shape), 0, 255).astype(np.uint8)
    stamped = picture.copy()
    stamped[4:7, 4:7] = 255 - stamped[4:7, 4:7]
    scores = oracle.all_scores([noisy, stamped, picture])
    assert scores[0, 1] < scores[0, 2] < scores[1, 2]

    found = Verified([noisy, stamped, picture], table(scores), scores[0, 2])

    assert found.outcome(2) == ("would move", 0)
    peaks = dict(zip(found.table["image1"].astype(int), found.table["peak_difference"], strict=True))
    assert peaks[0] < 7 < peaks[1]


@st.composite
def folders(draw):
    """Thumbnails of a few pictures with copies of each, and a table of their scores as approximate kernels may have them."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    sources, found = pictures.photographs(SIZE), []
    for _ in range(draw(st.integers(2, 9))):
        copy = sources[draw(st.integers(0, 1))].astype(int) + rng.integers(-12, 13, (SIZE, SIZE, 3))
        if draw(st.booleans()):
            y, x = rng.integers(0, SIZE - 4, 2)
            copy[y : y + 4, x : x + 4] = 255 - copy[y : y + 4, x : x + 4]
        found.append(np.clip(copy, 0, 255).astype(np.uint8))
    error = draw(st.sampled_from([0.0, 1e-6, 1e-2]))
    given_scores = {pair: score + rng.uniform(-error, error) for pair, score in oracle.all_scores(found).items()}
    return (
        found,
        table(given_scores),
        draw(st.sampled_from([0.8, *(max(score, 0.1) for score in given_scores.values())])),
    )


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(folders(), st.sampled_from([{}, {"grouping": "any"}, {"keep": "size,first"}, {"rule": "plain"}]))
def test_however_many_rounds_it_took_the_decisions_are_those_from_the_verified_table(folder, rules):
    thumbnails, given, threshold = folder
    images = image_table([f"/p/{image}.png" for image in range(len(thumbnails))])
    images["size_bytes"] = np.arange(len(images)) % 3
    parameters = Parameters(folder="/p", threshold=threshold, **rules)

    decisions, verified = decide_verified(Decider(images, given, parameters), lambda image: thumbnails[image], 2)

    now = given.set_index(["image1", "image2"])
    for row in verified.itertuples():
        pair = int(row.image1), int(row.image2)
        assert row.ssim == oracle.score(*(thumbnails[image] for image in pair))
        now.loc[pair, MEASURED] = [getattr(row, name) for name in MEASURED]
    pd.testing.assert_frame_equal(decisions, decide(images, now.reset_index(), parameters), check_exact=True)
    done = set(zip(verified["image1"], verified["image2"], strict=True))
    assert len(done) == len(verified)
    decided = decisions.dropna(subset="kept_image")
    assert {(min(pair), max(pair)) for pair in zip(decided["image"], decided["kept_image"], strict=True)} <= done


def test_verified_scores_are_stored_in_the_part_that_has_the_pair_and_nowhere_else(tmp_path):
    first, second = {(0, 1): 0.5, (0, 2): 0.6}, {(1, 2): 0.7, (2, 3): 0.8}
    for number, part in enumerate((first, second, {(3, 4): 0.9})):
        write_table(table(part), COMPARISONS, tmp_path / f"part-{number}.parquet", notes={"plan": f"of {number}"})
    untouched = (tmp_path / "part-2.parquet").stat().st_ino

    store_verified(
        tmp_path,
        pd.DataFrame(
            {
                "image1": [0, 1],
                "image2": [2, 2],
                "ssim": [0.61, 0.71],
                "peak_difference": [1.5, 2.5],
                "colour_difference": [3.5, 4.5],
            }
        ),
        2,
    )

    expected = table(first | second | {(0, 2): 0.61, (1, 2): 0.71, (3, 4): 0.9}, verified={(0, 2), (1, 2)})
    more = {"peak_difference": [1.5, 2.5], "colour_difference": [3.5, 4.5], "kernel_ssim": [0.6, 0.7]}
    for name, values in more.items():
        expected[name] = pd.array([None, *values, None, None], expected[name].dtype)
    pd.testing.assert_frame_equal(read_table(tmp_path, COMPARISONS), expected, check_exact=True)
    assert [read_notes(tmp_path / f"part-{number}.parquet")["plan"] for number in range(3)] == ["of 0", "of 1", "of 2"]
    assert (tmp_path / "part-2.parquet").stat().st_ino == untouched


def test_every_score_that_a_run_decided_by_is_scikit_images_in_all_its_tables(tmp_path):
    folder, rng = tmp_path / "folder", np.random.default_rng(0)
    folder.mkdir()
    for number, noise in enumerate((0, 3, 6, 10, 14, 18, 0, 4)):
        pixels = photo(64, 64)[:: 1 if number < 6 else -1]
        pixels = np.clip(pixels + rng.integers(-noise, noise + 1, pixels.shape), 0, 255).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode(pixels, "PNG"))
    run = Run(tmp_path / "store", "1")

    run_stages(run, folder, size=SIZE, threshold=0.8)

    decided = read_table(run.decisions, DECISIONS).dropna(subset=["kept_image"])
    stored = read_table(run.comparisons, COMPARISONS).set_index(["image1", "image2"])
    assert len(decided) >= 4
    for row in decided.itertuples():
        one, other = (
            cv2.resize(cv2.imread(path), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            for path in (row.kept_path, row.FullPath)
        )
        expected = oracle.score(one, other)
        assert row.ssim == stored["ssim"][row.kept_image, row.image] == expected
        assert stored["verified"][row.kept_image, row.image]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_pair_is_verified_as_it_is_turned_and_a_place_of_it_is_seen(orientation):
    picture = pictures.photographs(SIZE)[1]
    noisy = np.clip(picture + np.random.default_rng(0).integers(-8, 9, picture.shape), 0, 255).astype(np.uint8)
    stamped = picture.copy()
    stamped[4:7, 4:7] = 255 - stamped[4:7, 4:7]
    # Turned back by the inverse, so that the orientation shows them as they were.
    turned_back = [exif_transpose(one, {6: 8, 8: 6}.get(orientation, orientation)) for one in (noisy, stamped)]
    scores = {(0, 1): oracle.score(picture, noisy), (0, 2): oracle.score(picture, stamped)}
    given = table(scores).assign(orientation=pd.array([orientation] * 2, "UInt8"))

    found = Verified([picture, *turned_back], given, min(scores.values()))

    assert found.scores == scores
    assert [found.outcome(image)[0] for image in (1, 2)] == ["would move", "review"]
    assert found.decisions["orientation"].tolist()[1:] == [orientation] * 2
    assert found.table["orientation"].tolist() == [orientation] * 2


def exif_transpose(pixels, orientation):
    shown = Image.fromarray(pixels)
    shown.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(shown))


def test_what_is_known_of_a_pair_is_known_of_one_orientation(thumbnails, scores):
    given = table({(1, 2): scores[1, 2]}).assign(orientation=pd.array([1], "UInt8"))
    columns = {"image1": [1], "image2": [2], "ssim": [0.123], "peak_difference": [1.0], "colour_difference": [2.0]}
    known = as_frame(columns | {"orientation": [6]}, VERIFIED)

    assert Verified(thumbnails, given, scores[1, 2], known=known).scores == {(1, 2): scores[1, 2]}
