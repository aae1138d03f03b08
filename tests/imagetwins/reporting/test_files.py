"""Answers about single files and pairs, on runs small enough to answer by hand."""

import hashlib

import pytest

from imagetwins.errors import StoreError
from imagetwins.reporting.files import explain_file, explain_pair, find_history, find_image
from imagetwins.store.schemas import COMPANIONS
from imagetwins.store.tables import as_frame, write_table
from tests.support.audited import PATHS, row
from tests.support.past_runs import image_table, write_run


class TestFile:
    @pytest.mark.parametrize(
        ("path", "image"),
        [
            ("/pictures/b.jpg", 1),
            ("/pictures/Duplicates/b.jpg", 1),
            ("b.jpg", 1),
            ("./b.jpg", 1),
            ("Duplicates/b.jpg", 1),
            ("sub/a.jpg", 6),
            ("/pictures/a.jpg", 0),
        ],
    )
    def test_is_found_by_old_new_or_shortened_path(self, run, path, image):
        assert find_image(run, path) == image

    def test_an_ambiguous_name_is_refused_with_examples(self, run):
        with pytest.raises(StoreError, match=r"'a.jpg' names 2 images.*/pictures/a.jpg, /pictures/sub/a.jpg"):
            find_image(run, "a.jpg")

    def test_an_unknown_name_is_refused(self, run):
        with pytest.raises(StoreError, match=r"no image .*OR 1=1"):
            find_image(run, "x'' OR 1=1")

    def test_an_unknown_name_may_be_of_what_the_run_left_out(self, run):
        with run.editing_record() as record:
            record.left_out.update({"thumbs/": 2, "*.gif": 1})

        with pytest.raises(StoreError, match=r"knows nothing of: 2 folders \(2 thumbs\) and 1 file \(\*\.gif\)\.$"):
            find_image(run, "c.gif")

    @pytest.mark.parametrize("name", ["b.xmp", "/pictures/sub/b.xmp", "Duplicates/sub/b.xmp"])
    def test_of_a_companion_it_is_that_of_its_picture(self, tmp_path, name):
        run = write_run(tmp_path, "1", image_table(["/pictures/sub/a.jpg", "/pictures/sub/b.jpg"]), {})
        path, new_path = "/pictures/sub/b.xmp", "/pictures/Duplicates/sub/b.xmp"
        row = {"image": [1], "path": [path], "size_bytes": [1], "mtime_ns": [1], "new_path": [new_path]}
        write_table(as_frame(row, COMPANIONS), COMPANIONS, run.companions / "part-0.parquet")
        assert find_image(run, name) == 1
        with pytest.raises(StoreError, match="no image"):
            find_image(run, "c.xmp")

    def test_why_it_moved(self, run):
        why = explain_file(run, "b.jpg")

        assert why.decision["kept_path"] == "/pictures/a.jpg"
        assert why.verdict.startswith("moved: ")
        assert "SSIM 0.9500" in why.verdict
        assert "0.9300 where they have detail" in why.verdict
        assert list(why.table["path"]) == ["/pictures/a.jpg", "/pictures/c.jpg"]
        assert list(why.table["ssim"]) == [0.95, 0.92]

    def test_what_other_thresholds_would_decide(self, run):
        table = explain_file(run, "c.jpg").thresholds

        assert list(table["threshold"]) == [0.85, 0.9, 0.95, 0.98, 1.0]
        assert row(table, threshold=0.85)["kept_path"] == "/pictures/a.jpg"
        assert row(table, threshold=0.85)["action"] == "would move"
        assert list(table["action"][1:]) == ["kept"] * 4

    def test_what_other_thresholds_would_decide_takes_the_whole_chain_into_account(self, store):
        paths = [f"/pictures/{number}.jpg" for number in range(7)]
        run = write_run(store, "1", image_table(paths), {(n, n + 1): (0.95, 0.9) for n in range(6)}, moved=False)

        found = [row(explain_file(run, path).thresholds, threshold=0.9)["action"] for path in paths]

        assert found == ["kept", "would move"] * 3 + ["kept"]

    def test_the_share_that_may_move_does_not_matter_to_other_thresholds(self, store):
        run = write_run(store, "1", image_table(PATHS), {(0, 1): (0.95, 0.93)}, max_move_share=0.0)

        why = explain_file(run, "b.jpg")

        assert why.decision["action"] == "review"
        assert row(why.thresholds, threshold=0.9)["action"] == "would move"

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("/pictures/a.jpg", "kept: it ranks before its 1 copy."),
            ("c.jpg", "which is itself a duplicate of another picture"),
            ("e.jpg", "review: where the pictures have detail their SSIM is 0.300, below 0.7"),
            ("f.jpg", "kept: its best match, /pictures/d.jpg, scores 0.8800, below the threshold 0.9."),
            ("sub/a.jpg", "proven to be below the floor 0.85"),
            ("bad.jpg", "unreadable: not a picture"),
        ],
    )
    def test_why_it_did_not_move(self, run, path, words):
        assert words in explain_file(run, path).verdict


class TestPair:
    @pytest.mark.parametrize(
        ("first", "second", "words", "ssim"),
        [
            ("b.jpg", "/pictures/a.jpg", "match: SSIM 0.9500 decided about b.jpg: moved", 0.95),
            ("b.jpg", "c.jpg", "match: SSIM 0.9200, but a better match, or the ranking", 0.92),
            ("e.jpg", "d.jpg", "decided about e.jpg: review", 0.97),
            ("d.jpg", "f.jpg", "SSIM 0.8800 is below the threshold 0.9", 0.88),
            ("d.jpg", "sub/a.jpg", "proven to score below the floor 0.85", None),
            ("d.jpg", "bad.jpg", "could not be read", None),
        ],
    )
    def test_says_what_followed(self, run, first, second, words, ssim):
        pair = explain_pair(run, first, second)

        assert words in pair.verdict
        assert pair.ssim == ssim
        assert len(pair.table) == 2

    def test_of_one_file_is_refused(self, run):
        with pytest.raises(StoreError, match="same image"):
            explain_pair(run, "b.jpg", "Duplicates/b.jpg")


class TestTurned:
    @pytest.fixture
    def turned(self, store):
        """b matches a when it is turned clockwise, c when it is mirrored; a near miss of c is as it is."""
        paths = [f"/pictures/{name}.jpg" for name in "abcd"]
        scores = {(0, 1): (0.95, 0.93, 6), (0, 2): (0.94, 0.92, 2), (1, 2): (0.93, 0.9, 7), (2, 3): (0.88, 0.8)}
        sizes = {"/pictures/b.jpg": (50_000, 480, 640)}
        return write_run(store, "1", image_table(paths, sizes=sizes), scores, orientations="all")

    def test_why_it_moved_says_how_it_is_turned(self, turned):
        assert (
            "SSIM 0.9500 with /pictures/a.jpg when turned by 90 degrees clockwise, 0.9300"
            in explain_file(turned, "b.jpg").verdict
        )
        assert " when " not in explain_file(turned, "d.jpg").verdict

    @pytest.mark.parametrize(
        ("name", "orientations"),
        [
            # Turned to match it: a counter-clockwise to match b, which is clockwise to match a.
            ("a.jpg", {"b": 6, "c": 2}),
            ("b.jpg", {"a": 8, "c": 7}),
            ("c.jpg", {"a": 2, "b": 7, "d": 1}),
            ("d.jpg", {"c": 1}),
        ],
    )
    def test_partners_are_turned_to_match_the_file(self, turned, name, orientations):
        table = explain_file(turned, name).table
        assert {
            path[10]: orientation for path, orientation in zip(table["path"], table["orientation"], strict=True)
        } == orientations

    def test_a_pair_says_which_file_was_turned(self, turned):
        pair = explain_pair(turned, "b.jpg", "a.jpg")
        assert pair.orientation == 6
        assert pair.verdict.endswith("b.jpg was compared turned by 90 degrees clockwise.")
        assert explain_pair(turned, "c.jpg", "d.jpg").orientation == 1
        assert "compared" not in explain_pair(turned, "c.jpg", "d.jpg").verdict
        assert explain_pair(turned, "a.jpg", "d.jpg").orientation is None


class TestHistory:
    @pytest.mark.usefixtures("run")
    def test_follows_the_content_across_a_rename_and_a_move(self, store):
        later = ["/pictures/a.jpg", "/pictures/holiday.jpg"]
        write_run(
            store,
            "20261121T020000Z-2",
            image_table(later, [f"digest of {p}" for p in PATHS[:2]]),
            {(0, 1): (0.95, 0.9)},
        )

        for name in ("/pictures/b.jpg", "/pictures/Duplicates/b.jpg", "/pictures/holiday.jpg"):
            history = find_history(store, name)

            assert list(history["path"]) == ["/pictures/b.jpg", "/pictures/holiday.jpg"]
            assert list(history["action"]) == ["moved", "moved"]
            assert list(history["run_id"]) == ["20261120T020000Z-1", "20261121T020000Z-2"]

    @pytest.mark.usefixtures("run")
    def test_another_file_of_the_name_that_a_moved_one_had_is_no_part_of_it(self, store):
        write_run(store, "20261121T020000Z-2", image_table(["/pictures/b.jpg"], ["digest of another file"]), {})

        history = find_history(store, "/pictures/Duplicates/b.jpg")

        assert list(history["digest"]) == ["digest of /pictures/b.jpg"]

    def test_knows_a_file_that_was_renamed_after_all_runs(self, store, tmp_path):
        renamed = tmp_path / "renamed.jpg"
        renamed.write_bytes(b"content")
        digest = hashlib.sha256(b"content").hexdigest()
        write_run(store, "1", image_table(["/pictures/old.jpg"], [digest]), {})

        assert list(find_history(store, str(renamed))["path"]) == ["/pictures/old.jpg"]

    @pytest.mark.usefixtures("run")
    def test_of_an_unknown_file_is_refused(self, store):
        with pytest.raises(StoreError, match="has seen '/pictures/nowhere'"):
            find_history(store, "/pictures/nowhere")

    def test_of_an_empty_store_is_refused(self, store):
        with pytest.raises(StoreError, match="no run has finished"):
            find_history(store, "a.jpg")
