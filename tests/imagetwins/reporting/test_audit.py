"""Every question, on runs small enough to answer by hand."""

import hashlib
import json
from datetime import UTC, datetime

import duckdb
import pandas as pd
import pytest

from imagetwins.errors import ParameterError, StoreError
from imagetwins.reporting.audit import (
    audit_run,
    audit_runs,
    audit_threshold,
    compare_runs,
    explain_file,
    explain_pair,
    find_history,
    find_image,
    plan_pruning,
    prune_runs,
    to_plain,
    write_answer,
)
from tests.support.past_runs import image_table, write_run

PATHS = [f"/pictures/{name}" for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg", "sub/a.jpg", "bad.jpg")]
# b is a copy of a; c resembles b, and a a little less; e is a doubtful copy of d; f is a near miss of d.
SCORES = {
    (0, 1): (0.95, 0.93),
    (1, 2): (0.92, 0.90),
    (0, 2): (0.86, 0.85),
    (3, 4): (0.97, 0.30),
    (3, 5): (0.88, 0.80),
}


@pytest.fixture
def store(tmp_path):
    # A name full of characters that patterns, SQL and Hive partitions are made of.
    return tmp_path / "a [store] 'of' year=2024"


@pytest.fixture
def run(store):
    return write_run(
        store, "20261120T020000Z-1", image_table(PATHS, errors={"/pictures/bad.jpg": "not a picture"}), SCORES
    )


def row(table, **values):
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


class TestRuns:
    @pytest.mark.usefixtures("run")
    def test_one_row_a_run_oldest_first(self, store):
        write_run(
            store, "20261119T020000Z-0", image_table(PATHS[:2]), {}, created="2026-11-19T02:00:00+00:00", threshold=0.8
        )

        table = audit_runs(store)

        assert list(table["run_id"]) == ["20261119T020000Z-0", "20261120T020000Z-1"]
        assert list(table["threshold"]) == [0.8, 0.9]
        assert list(table["duplicates"]) == [0, 1]
        assert list(table["restored"]) == [0, 0]
        assert table["seconds"].iat[1] == pytest.approx(4.3)

    def test_an_empty_store(self, store):
        table = audit_runs(store)

        assert table.empty
        assert "run_id" in table

    def test_one_run(self, run):
        audit = audit_run(run)

        assert audit.record["run_id"] == run.run_id
        assert list(audit.table["FullPath"]) == ["/pictures/b.jpg"]
        assert list(audit.table["kept_path"]) == ["/pictures/a.jpg"]
        assert list(audit.review["FullPath"]) == ["/pictures/e.jpg"]
        assert list(audit.unreadable["FullPath"]) == ["/pictures/bad.jpg"]


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


class TestThreshold:
    def test_higher_keeps_more(self, run):
        audit = audit_threshold(run, 0.96)

        assert audit.counts_before == {"duplicate": 1, "review": 1, "kept": 5, "unreadable": 1}
        assert audit.counts == {"duplicate": 0, "review": 1, "kept": 6, "unreadable": 1}
        assert list(audit.table["FullPath"]) == ["/pictures/b.jpg"]
        assert row(audit.table, was="duplicate", becomes="kept")["ssim"] == 0.95

    def test_lower_finds_more(self, run):
        audit = audit_threshold(run, 0.85)

        changed = dict(zip(audit.table["FullPath"], audit.table["becomes"], strict=True))
        assert changed == {"/pictures/c.jpg": "duplicate", "/pictures/f.jpg": "duplicate"}
        assert len(audit.decisions) == len(PATHS)

    def test_the_same_changes_nothing(self, run):
        assert audit_threshold(run, 0.9).table.empty

    def test_below_the_floor_is_refused_with_the_remedy(self, run):
        with pytest.raises(StoreError, match=r"threshold 0.8 is below the floor 0.85.*--audit-floor 0.8"):
            audit_threshold(run, 0.8)

    @pytest.mark.parametrize("threshold", [1.5, -2, float("nan")])
    def test_what_is_no_score_is_refused(self, run, threshold):
        with pytest.raises(ParameterError, match=f"threshold={threshold:g}: .* between -1 and 1"):
            audit_threshold(run, threshold)

    def test_keeps_a_floor_given_by_hand(self, store):
        run = write_run(store, "1", image_table(PATHS), {(0, 1): (0.2, 0.1)}, audit_floor=-1, min_detail_ssim=-1)

        assert audit_threshold(run, 0.1).counts["duplicate"] == 1


class TestComparison:
    def test_names_every_kind_of_change(self, store, run):
        # Since the first run: b moved away, c became d's copy, d changed, e was renamed, f deleted, g is new.
        names = ["a", "c", "d", "e2", "g"]
        digests = [f"digest of /pictures/{name}.jpg" for name in ("a", "c", "d, painted over", "e", "g")]
        paths = [f"/pictures/{name}.jpg" for name in names]
        later = write_run(store, "2", image_table(paths, digests), {(0, 1): (0.96, 0.9)}, threshold=0.92, keep="size")

        comparison = compare_runs(run, later)

        changes = dict(zip(comparison.table["path"], comparison.table["change"], strict=True))
        assert changes == {
            "/pictures/b.jpg": "moved by the first run",
            "/pictures/c.jpg": "decided otherwise",
            "/pictures/d.jpg": "content changed",
            "/pictures/e.jpg": "renamed",
            "/pictures/e2.jpg": "renamed from",
            "/pictures/f.jpg": "gone",
            "/pictures/g.jpg": "new",
            "/pictures/sub/a.jpg": "gone",
            "/pictures/bad.jpg": "gone",
        }
        assert row(comparison.table, path="/pictures/e.jpg")["other_name"] == "/pictures/e2.jpg"
        assert comparison.parameters == {"threshold": (0.9, 0.92), "keep": ("first", "size")}
        assert comparison.counts["gone"] == 3

    def test_of_a_run_with_itself_is_empty(self, run):
        comparison = compare_runs(run, run)

        assert comparison.table.empty
        assert comparison.parameters == {}


class TestPruning:
    CUTOFF = datetime(2026, 11, 20, tzinfo=UTC)

    @pytest.fixture
    def old(self, store):
        old = write_run(store, "old", image_table(PATHS), SCORES, created="2026-01-01T02:00:00+00:00")
        old.report.write_text("report")
        return old

    def test_planning_removes_nothing(self, store, old):
        planned = plan_pruning(store, self.CUTOFF)

        assert list(planned["run_id"]) == ["old"]
        assert planned["freed_bytes"].iat[0] > 500
        assert old.report.exists()

    def test_removes_scores_and_report_of_old_runs_only(self, store, run, old):
        pruned = prune_runs(store, self.CUTOFF)

        assert list(pruned.table["run_id"]) == ["old"]
        assert pruned.freed_bytes == pruned.table["freed_bytes"].sum()
        assert not old.comparisons.exists()
        assert not old.report.exists()
        assert old.journal.exists()
        assert run.comparisons.exists()
        assert len(audit_run(old).table) == 1
        assert "old" in set(find_history(store, "/pictures/b.jpg")["run_id"])

    @pytest.mark.usefixtures("old")
    def test_twice_is_once(self, store):
        prune_runs(store, self.CUTOFF)

        assert prune_runs(store, self.CUTOFF).table.empty

    @pytest.mark.parametrize("status", ["running", "waiting"])
    def test_an_unfinished_run_is_left_alone(self, store, old, status):
        old.update_record(status=status)

        assert prune_runs(store, self.CUTOFF).table.empty

    def test_questions_that_need_the_scores_say_so(self, store, old):
        prune_runs(store, self.CUTOFF)

        for ask in (lambda: explain_file(old, "b.jpg"), lambda: audit_threshold(old, 0.95)):
            with pytest.raises(StoreError, match="pruned"):
                ask()


class TestHandingOn:
    def test_every_answer_is_json(self, run):
        answers = [
            audit_run(run),
            explain_file(run, "sub/a.jpg"),
            explain_pair(run, "b.jpg", "/pictures/a.jpg"),
            audit_threshold(run, 0.85),
            compare_runs(run, run),
        ]
        for answer in answers:
            plain = json.loads(json.dumps(to_plain(answer), allow_nan=False))

            assert isinstance(plain["table"], list)

    def test_missing_values_are_none_and_scores_are_whole(self, run):
        plain = to_plain(audit_run(run))

        assert plain["review"][0]["ssim"] == 0.97
        assert plain["unreadable"][0]["kept_path"] is None
        assert plain["unreadable"][0]["kept_image"] is None

    def test_a_table_is_written_for_others_to_read(self, run, tmp_path):
        target = tmp_path / "answer.parquet"

        write_answer(explain_file(run, "b.jpg").table, target)

        assert duckdb.read_parquet(str(target)).project("path").fetchall() == [
            ("/pictures/a.jpg",),
            ("/pictures/c.jpg",),
        ]
        assert len(pd.read_parquet(target)) == 2
