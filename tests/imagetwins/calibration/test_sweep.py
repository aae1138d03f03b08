"""Calibration measures what it says: planted copies against scikit-image, settings against plain loops."""

import itertools
import re
from dataclasses import replace

import cv2
import duckdb
import numpy as np
import pandas as pd
import pytest
from skimage import data
from skimage.metrics import structural_similarity

from imagetwins import ssim
from imagetwins.calibration.distortions import EDITS, KINDS, TURNS, plant_copy, plant_edit
from imagetwins.calibration.evaluation import (
    GUARDS,
    LOCAL_GUARDS,
    THRESHOLDS,
    Scale,
    Setting,
    evaluate,
    evaluate_settings,
    recommend,
    recommend_by_size,
)
from imagetwins.calibration.sample import COPIES, FAMILY, choose_sample, edit_of, kinds_of, measure_sides
from imagetwins.calibration.sweep import _to_scores, calibrate, write_calibration
from imagetwins.errors import ParameterError
from imagetwins.reporting.calibration_page import build_calibration_page, plan_command
from imagetwins.store.schemas import COSTS, OUTCOMES, PLANTED, UNPLANTED
from imagetwins.store.tables import as_frame

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins")


def quiet(_stage, _done, _all):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures & <more>")
    for name in PHOTOS:
        pixels = getattr(data, name)()
        cv2.imwrite(
            str(folder / f"{name}.png"), pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        )
    # Astronaut once more as JPEG: a duplicate that was there before, which nobody planted.
    cv2.imwrite(str(folder / "there before.jpg"), cv2.imread(str(folder / "astronaut.png")))
    (folder / "copy of coins.png").write_bytes((folder / "coins.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def calibration(paths, tmp_path_factory):
    return calibrate(paths, tmp_path_factory.mktemp("workspace"), pictures=20, sizes=(50, 100), seed=1)


class TestSample:
    def test_has_readable_files_of_different_content_in_order(self, paths):
        names = [path.name for path in choose_sample(paths, 20, 0, quiet)]

        assert names == sorted(names)
        assert len(names) == len(PHOTOS) + 1
        assert len({"coins.png", "copy of coins.png"} & set(names)) == 1
        assert "broken.jpg" not in names

    def test_is_as_large_as_asked_and_decided_by_the_seed(self, paths):
        samples = [choose_sample(paths, 4, seed, quiet) for seed in (0, 0, 1, 2, 3)]

        assert samples[0] == samples[1]
        assert {len(sample) for sample in samples} == {4}
        assert len({tuple(sample) for sample in samples}) > 1

    def test_of_one_readable_picture_is_refused(self, folder):
        with pytest.raises(ParameterError, match="1 of 2 files can be read"):
            choose_sample([folder / "coins.png", folder / "broken.jpg"], 5, 0, quiet)

    def test_sides_of_the_least_the_median_and_the_largest(self, folder):
        sample = [folder / f"{name}.png" for name in ("coffee", "chelsea", "coins")]

        assert measure_sides(sample) == [300, 303, 400]

    def test_kinds_take_turns(self):
        kinds = [kind for picture in range(9) for kind in kinds_of(picture, 4)]

        assert sorted(kinds) == sorted(KINDS * COPIES)
        assert all(len(set(kinds_of(picture, 4))) == COPIES for picture in range(20))

    def test_turned_kinds_take_turns_with_the_others(self):
        kinds = [kind for picture in range(11) for kind in kinds_of(picture, 4, "all")]

        assert sorted(kinds) == sorted((*KINDS, *TURNS) * COPIES)

    def test_kinds_of_edits_take_turns(self):
        assert sorted(edit_of(picture, 4) for picture in range(len(EDITS))) == sorted(EDITS)


class TestScores:
    def test_planted_copies_and_edits_have_scikit_images_scores(self, calibration):
        rows = calibration.planted[calibration.planted["size"] == 100].reset_index(drop=True)
        assert len(rows) == (FAMILY - 1) * len(calibration.pictures)

        for picture, path in enumerate(calibration.pictures):
            original = cv2.imread(str(path))
            rng = np.random.default_rng((1, picture))
            planted = [(kind, plant_copy(original, kind, rng)) for kind in kinds_of(picture, 1)]
            planted.append((edit_of(picture, 1), plant_edit(original, edit_of(picture, 1), rng)))
            for number, (kind, image) in enumerate(planted):
                pair = [cv2.resize(i, (100, 100), interpolation=cv2.INTER_AREA) for i in (original, image)]
                row = rows.iloc[picture * (FAMILY - 1) + number]
                expected = structural_similarity(*pair, channel_axis=-1)

                assert (row["kind"], row["is_copy"]) == (kind, number < COPIES)
                assert (expected < 0.651) if pd.isna(row["ssim"]) else row["ssim"] == pytest.approx(expected, abs=1e-5)

    def test_turned_copies_are_planted_and_found_where_all_orientations_are_compared(self, paths, folder, tmp_path):
        options = {"pictures": 20, "sizes": (50,), "seed": 1, "orientations": "all"}

        measured = calibrate(paths, tmp_path / "workspace", **options)

        assert measured.by_kind.keys() == {*KINDS, *TURNS}
        assert measured.by_kind["turned"] == measured.by_kind["mirrored"] == 1
        turned = measured.planted[measured.planted["kind"].isin(TURNS) & (measured.planted["size"] == 50)]
        assert len(turned) >= 3
        assert (turned["ssim"] > 0.8).all()
        assert turned["is_copy"].all()
        assert plan_command(measured.recommended, folder, measured.orientations).endswith(
            "--orientations all --dry-run"
        )
        build_calibration_page(measured, folder, tmp_path / "page.html", version="1")
        page = (tmp_path / "page.html").read_text()
        assert "watermarked, turned, mirrored take turns" in page
        assert "compared turned and mirrored, too" in page

    def test_a_duplicate_that_was_there_counts_neither_way(self, calibration):
        alike = calibration.unplanted[calibration.unplanted["alike"]]

        assert {
            frozenset(path.rsplit("/")[-1] for path in pair)
            for pair in zip(alike["path1"], alike["path2"], strict=True)
        } == {frozenset({"astronaut.png", "there before.jpg"})}
        assert calibration.different_pairs == 7 * 6 // 2 - 1
        assert calibration.recommended.false_pairs == 0

    def test_easy_copies_are_found(self, calibration):
        assert calibration.by_kind.keys() == set(KINDS)
        assert calibration.by_kind["halved"] == calibration.by_kind["jpeg60"] == 1
        assert calibration.recommended.threshold >= 0.7
        assert calibration.default.threshold == 0.9

    def test_pictures_edited_in_one_place_match_only_without_the_guard(self, calibration):
        outcomes = calibration.outcomes
        at = outcomes[(outcomes["size"] == 100) & (outcomes["threshold"] == 0.9) & (outcomes["min_detail_ssim"] == 0.7)]
        edits = at.set_index("min_local_ssim")["edits"]

        assert edits[-1.0] >= 0.8
        assert edits[0.85] <= 0.2
        assert calibration.recommended.min_local_ssim > -1
        assert calibration.recommended.edits <= 0.2

    def test_each_size_has_its_costs(self, calibration):
        costs = calibration.costs.set_index("size")

        assert list(costs.index) == [50, 100]
        assert (costs["join_seconds"] > 0).all()
        assert list(costs["pairs"]) == [35 * 34 // 2] * 2


def planted_table(rows):
    return as_frame(dict(zip(PLANTED.names, map(list, zip(*rows, strict=True)), strict=True)), PLANTED)


def unplanted_table(rows):
    return as_frame(dict(zip(UNPLANTED.names, map(list, zip(*rows, strict=True)), strict=True)), UNPLANTED)


class TestJudgement:
    def test_against_plain_loops(self):
        rng = np.random.default_rng(5)
        planted = [
            (
                size,
                f"/p/{n}",
                "halved",
                n % 4 > 0,
                None if rng.random() < 0.1 else rng.uniform(0.65, 1),
                rng.uniform(0.5, 1),
                rng.uniform(0, 1),
            )
            for size in (50, 100)
            for n in range(40)
        ]
        unplanted = [
            (
                size,
                f"/p/{rng.integers(5)}",
                f"/q/{rng.integers(5)}",
                rng.uniform(0.65, 1),
                rng.uniform(0.5, 1),
                rng.uniform(0, 1),
                rng.random() < 0.2,
            )
            for size in (50, 100)
            for _ in range(60)
        ]

        outcomes = evaluate_settings(planted_table(planted), unplanted_table(unplanted), [50, 100], 0.07)

        assert len(outcomes) == 2 * len(GUARDS) * len(LOCAL_GUARDS) * len(THRESHOLDS)
        for row in outcomes.sample(80, random_state=3).itertuples():

            def matches(score, detail, local, threshold, row=row):
                return (
                    score is not None
                    and score >= threshold
                    and (row.min_detail_ssim == -1 or detail >= row.min_detail_ssim)
                    and (row.min_local_ssim == -1 or local >= max(row.min_local_ssim - 5 * (1 - detail), 0.3))
                )

            found, edited = (
                [
                    matches(*scores, row.threshold)
                    for size, _, _, is_copy, *scores in planted
                    if size == row.size and is_copy is wanted
                ]
                for wanted in (True, False)
            )
            false, close = (
                {
                    (a, b)
                    for size, a, b, *scores, alike in unplanted
                    if size == row.size and not alike and matches(*scores, t)
                }
                for t in (row.threshold, row.threshold - 0.07)
            )
            assert row.recall == pytest.approx(sum(found) / len(found))
            assert row.edits == pytest.approx(sum(edited) / len(edited))
            assert row.false_pairs == len(false)
            assert row.close_pairs == len(close)

    def test_copies_of_different_pictures_count_once_for_the_pair(self, tmp_path):
        sample = [tmp_path / name for name in "ab"]
        crossed = [(first, FAMILY + second) for first, second in itertools.product(range(FAMILY), repeat=2)]
        scores = pd.DataFrame(crossed, columns=["image1", "image2"]).assign(size=200, ssim=0.8, detail=0.75, local=0.5)
        costs = as_frame(dict(zip(COSTS.names, ([200], [0.1], [0.2], [8], [28]), strict=True)), COSTS)

        calibration = evaluate(sample, 2, scores, costs, 0)

        at = calibration.outcomes.set_index(["threshold", "min_detail_ssim", "min_local_ssim"])
        assert at.loc[(0.8, 0.7, 0.85), "false_pairs"] == 1
        assert at.loc[(0.8, 0.8, 0.85), "false_pairs"] == 0
        assert at.loc[(0.81, 0.7, 0.85), "false_pairs"] == 0
        assert at.loc[(0.81, 0.7, 0.85), "close_pairs"] == 1
        assert calibration.different_pairs == 1

    @pytest.mark.parametrize(("detail", "is_alike"), [(0.85, True), (0.849, False), (0.3, False)])
    def test_pictures_are_alike_only_where_they_have_detail_too(self, detail, is_alike, tmp_path):
        scores = pd.DataFrame({"image1": [0], "image2": [FAMILY], "size": 100, "ssim": 0.95, "detail": detail})
        scores["local"] = 0.9
        costs = as_frame(dict(zip(COSTS.names, ([100], [0.1], [0.2], [8], [28]), strict=True)), COSTS)

        calibration = evaluate([tmp_path / name for name in "ab"], 2, scores, costs, 0)

        assert calibration.unplanted["alike"].tolist() == [is_alike]
        assert calibration.different_pairs == (0 if is_alike else 1)

    def test_a_score_at_the_threshold_and_a_detail_at_the_guard_are_found(self):
        planted = [(100, "/p/0", "halved", True, 0.9, 0.7, 1.0), (100, "/p/1", "halved", True, 0.85, 0.6, 1.0)]
        planted.append((100, "/p/0", "patched", False, 0.9, 0.9, 0.9))

        outcomes = evaluate_settings(
            planted_table(planted), as_frame({name: [] for name in UNPLANTED.names}, UNPLANTED), [100], 0.05
        )

        without = outcomes[outcomes["min_local_ssim"] == -1]
        recall = without.set_index(["threshold", "min_detail_ssim"])["recall"]
        assert recall.loc[[(0.9, 0.7), (0.91, 0.7), (0.9, 0.8), (0.85, 0.6), (0.86, 0.6)]].tolist() == [
            0.5,
            0,
            0,
            1,
            0.5,
        ]

    def test_blank_pictures_have_detail_scores_by_what_the_guard_tolerates(self):
        pairs, nothing = np.arange(3, dtype=np.int32), np.full(3, np.nan)
        result = ssim.JoinResult(
            pairs,
            pairs + 1,
            np.ones(3),
            nothing,
            np.ones(3),
            np.array([0, 8, 9], np.uint8),
            np.zeros(3, bool),
            nothing,
            np.ones(3, np.uint8),
            {},
        )

        assert _to_scores(100, result)["detail"].tolist() == [1, 1, -1]
        assert _to_scores(100, replace(result, detail_ssim=np.full(3, 0.4)))["detail"].tolist() == [0.4] * 3


def outcomes_table(settings):
    return as_frame(dict(zip(OUTCOMES.names, map(list, zip(*settings, strict=True)), strict=True)), OUTCOMES)


class TestRecommendation:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            # A picture of a hundred moved wrongly weighs as much as five copies of a hundred not found.
            ([(200, 0.8, 0.7, 0.8, 0.95, 0, 0, 1), (200, 0.85, 0.7, 0.8, 0.88, 0, 0, 0)], 0),
            ([(200, 0.8, 0.7, 0.8, 0.95, 0, 0, 1), (200, 0.85, 0.7, 0.8, 0.92, 0, 0, 0)], 1),
            # the best recall
            ([(200, 0.9, 0.7, 0.8, 0.8, 0, 0, 0), (200, 0.8, 0.7, 0.8, 0.95, 0, 0, 0)], 1),
            # the smallest size within the tolerance
            ([(200, 0.9, 0.7, 0.8, 0.955, 0, 0, 0), (100, 0.8, 0.7, 0.8, 0.95, 0, 0, 0)], 1),
            ([(200, 0.9, 0.7, 0.8, 0.97, 0, 0, 0), (100, 0.8, 0.7, 0.8, 0.95, 0, 0, 0)], 0),
            # an edit that matches weighs as much as a copy that is not found
            ([(200, 0.8, 0.7, -1, 0.95, 0.5, 0, 0), (200, 0.8, 0.7, 0.8, 0.4, 0, 0, 0)], 0),
            ([(200, 0.8, 0.7, -1, 0.95, 0.5, 0, 0), (200, 0.8, 0.7, 0.8, 0.5, 0, 0, 0)], 1),
            # the highest threshold within the tolerance, then the strictest guards
            ([(100, 0.8, 0.7, 0.8, 0.95, 0, 0, 0), (100, 0.8, 0.7, 0.9, 0.945, 0, 0, 0)], 1),
            (
                [
                    (100, 0.8, 0.8, 0.8, 0.955, 0, 0, 0),
                    (100, 0.82, 0.5, 0.8, 0.95, 0, 0, 0),
                    (100, 0.82, 0.7, 0.8, 0.95, 0, 0, 0),
                ],
                2,
            ),
        ],
    )
    def test_order_of_what_matters(self, settings, expected):
        assert recommend(outcomes_table(settings), Scale(100, 100)) == Setting(*settings[expected])

    def test_the_recommended_setting_is_the_one_that_the_table_names_for_its_size(self):
        # The best of all sizes is worth less tolerance than the best of the recommended one.
        settings = [
            (100, 0.79, 0.7, 0.8, 0.847, 0, 0, 0),
            (100, 0.8, 0.7, 0.8, 0.84, 0, 0, 0),
            (200, 0.8, 0.7, 0.8, 0.855, 0, 0, 0),
        ]
        outcomes = outcomes_table(settings)

        assert recommend(outcomes, Scale(100, 100)) in recommend_by_size(outcomes, Scale(100, 100))

    def test_a_false_pair_weighs_more_in_a_larger_folder(self):
        settings = [(200, 0.8, 0.7, 0.8, 0.95, 0, 0, 1), (200, 0.85, 0.7, 0.8, 0.8, 0, 0, 0)]

        assert recommend(outcomes_table(settings), Scale(100, 100)).threshold == 0.8
        assert recommend(outcomes_table(settings), Scale(100, 400)).threshold == 0.85

    def test_a_larger_folder_gets_a_higher_threshold(self):
        settings = [
            (200, 0.72, 0.7, 0.8, 0.95, 0, 0, 0),
            (200, 0.78, 0.7, 0.8, 0.9, 0, 0, 0),
            (200, 0.92, 0.7, 0.8, 0.8, 0, 0, 0),
        ]

        chosen = [recommend(outcomes_table(settings), Scale(100, files)).threshold for files in (50, 1_000, 1_000_000)]

        assert chosen == [0.72, 0.78, 0.92]

    @pytest.mark.parametrize(
        ("files", "margin"), [(10, 0.05), (100, 0.05), (1_000, 0.1), (100_000, 0.2), (10**12, 0.3)]
    )
    def test_margin(self, files, margin):
        assert Scale(100, files).margin == pytest.approx(margin)

    def test_is_said_in_one_sentence(self, calibration):
        assert calibration.reason.count(". ") == 0
        assert f"At {calibration.recommended.size} pixels" in calibration.reason
        assert "the defaults" in calibration.reason


@pytest.fixture(scope="module")
def page(calibration, folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "calibration.html"
    build_calibration_page(calibration, folder, target, version="1.2.3")
    return target.read_text(encoding="utf-8")


class TestPage:
    def test_tells_the_setting_the_command_and_the_pair_to_judge(self, page, calibration):
        assert f"threshold {calibration.recommended.threshold:g}" in page
        assert "imagetwins run" in page
        assert "there before.jpg" in page
        assert page.count("<svg role=") == 4

    def test_is_one_file_and_escapes_names(self, page):
        assert "<more>" not in page
        assert not re.findall(r'(?:src|href)="(?!data:|#)', page)

    def test_the_command_quotes_the_folder(self, folder):
        command = plan_command(Setting(100, 0.85, 0.7, 0.8, 1, 0, 0, 0), folder)

        assert command.startswith("imagetwins run '")
        assert command.endswith("--size 100 --threshold 0.85 --min-detail-ssim 0.7 --min-local-ssim 0.8 --dry-run")


def test_tables_are_written_for_others_to_read(calibration, tmp_path):
    write_calibration(calibration, tmp_path)

    for name in ("planted", "unplanted", "outcomes", "costs"):
        assert duckdb.read_parquet(str(tmp_path / f"{name}.parquet")).shape[0] == len(getattr(calibration, name))
