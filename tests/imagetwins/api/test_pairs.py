"""Two pictures alone: every score is scikit-image's or a plain loop's, and the verdict is a run's."""

import json
import os
from dataclasses import asdict

import cv2
import numpy as np
import pytest

import imagetwins
from imagetwins.errors import ImagetwinsError, ParameterError
from tests.support import oracle
from tests.support.photos import SIZE, astronaut, blurred, dated, write

PHOTO = astronaut()
OTHER = np.rot90(PHOTO[::-1]).copy()


def compare(tmp_path, first, second, **options):
    files = write(tmp_path / "a.png", first), write(tmp_path / "b.png", second)
    return imagetwins.compare(*files, size=SIZE, **options)


@pytest.mark.parametrize(
    "second", [blurred(PHOTO), dated(PHOTO), OTHER, PHOTO], ids=["blurred", "dated", "other", "equal"]
)
def test_the_scores_are_those_of_scikit_image(tmp_path, second):
    scores = compare(tmp_path, PHOTO, second)
    squares = oracle.squares(SIZE - 6)

    assert scores.ssim == oracle.score(PHOTO, second)
    assert scores.detail_ssim == pytest.approx(oracle.detail_score(PHOTO, second), abs=2e-6)
    assert scores.local_ssim == pytest.approx(oracle.local_score(PHOTO, second, squares), abs=2e-6)


@pytest.mark.parametrize(
    ("first", "second", "options", "action", "code"),
    [
        (PHOTO, blurred(PHOTO), {}, "would move", "duplicate"),
        (PHOTO, PHOTO, {}, "would move", "duplicate"),
        (PHOTO, blurred(PHOTO), {"threshold": 0.999}, "kept", "no-match"),
        (PHOTO, OTHER, {}, "kept", "no-match"),
        (PHOTO, dated(PHOTO), {"threshold": 0.8}, "review", None),
        (PHOTO, dated(PHOTO), {"threshold": 0.8, "rule": "plain"}, "would move", "duplicate"),
        (PHOTO, PHOTO[:, ::-1], {}, "kept", "no-match"),
        (PHOTO, PHOTO[:, ::-1], {"orientations": "all"}, "would move", "duplicate"),
        (PHOTO, cv2.resize(PHOTO, (SIZE, 2 * SIZE)), {}, "review", "aspect-differs"),
        (np.zeros_like(PHOTO), np.zeros_like(PHOTO) + np.uint8(1), {"threshold": 0.8}, "review", "nothing-to-see"),
    ],
)
def test_the_verdict_is_that_of_a_run_on_the_two(tmp_path, first, second, options, action, code):
    scores = compare(tmp_path, first, second, **options)
    decided = imagetwins.find_duplicates(tmp_path, size=SIZE, **options)

    assert (scores.action, scores.reason_code) == (action, code or scores.reason_code)
    assert scores.orientation == (2 if "orientations" in options else 1)
    if action == "kept":
        assert (scores.duplicate, scores.kept) == (None, None)
        assert set(decided["action"]) == {"kept"}
    else:
        (row,) = decided[decided["action"] != "kept"].to_dict("records")
        assert (
            (scores.duplicate, scores.kept)
            == (row["FullPath"], row["kept_path"])
            == (
                str(tmp_path / "b.png"),
                str(tmp_path / "a.png"),
            )
        )
        assert (scores.ssim, scores.action, scores.reason) == (row["ssim"], row["action"], row["reason"])


def test_the_one_that_is_to_stay_may_be_the_second(tmp_path):
    scores = compare(
        tmp_path, PHOTO, cv2.resize(PHOTO, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST), keep="resolution"
    )
    assert (scores.duplicate, scores.kept) == (str(tmp_path / "a.png"), str(tmp_path / "b.png"))


def test_what_is_not_there_is_null_in_json(tmp_path):
    scores = compare(tmp_path, np.zeros_like(PHOTO), np.zeros_like(PHOTO))
    assert json.loads(json.dumps(asdict(scores), allow_nan=False))["detail_ssim"] is None


def test_a_name_is_any_and_the_file_may_lie_where_runs_do_not_look(tmp_path, monkeypatch):
    write(tmp_path / "pictures/Duplicates/caf\udce9.png", PHOTO)
    write(tmp_path / "pictures/.hidden/a.png", PHOTO)
    monkeypatch.chdir(tmp_path / "pictures")
    scores = imagetwins.compare(".hidden/a.png", "Duplicates/caf\udce9.png", size=SIZE)
    assert scores.ssim == 1
    assert scores.duplicate.endswith(r"caf\xe9.png")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda _: None, ParameterError, "is no file"),
        (lambda b: b.mkdir(), ParameterError, "is no file"),
        (lambda b: b.write_bytes(b"no picture"), ImagetwinsError, "cannot be compared: not a picture"),
        (lambda b: os.link(b.with_name("a.png"), b), ParameterError, "are one file"),
    ],
    ids=["none", "folder", "no picture", "hard link"],
)
def test_what_is_no_second_picture_is_an_error(tmp_path, make, error, says):
    a = write(tmp_path / "a.png", PHOTO)
    make(tmp_path / "b.png")
    with pytest.raises(error, match=says):
        imagetwins.compare(a, tmp_path / "b.png")


def test_options_are_checked(tmp_path):
    with pytest.raises(ParameterError, match=r"threshold=1\.5"):
        compare(tmp_path, PHOTO, PHOTO, threshold=1.5)
    with pytest.raises(ParameterError, match="Known parameters"):
        compare(tmp_path, PHOTO, PHOTO, colour="red")
