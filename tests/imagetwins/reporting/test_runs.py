"""Answers about whole runs, on runs small enough to answer by hand."""

import pytest

from imagetwins.reporting.runs import audit_run, audit_runs, compare_runs
from tests.support.audited import PATHS, row
from tests.support.past_runs import image_table, write_run


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

        assert audit.record.run_id == run.run_id
        assert list(audit.table["FullPath"]) == ["/pictures/b.jpg"]
        assert list(audit.table["kept_path"]) == ["/pictures/a.jpg"]
        assert list(audit.review["FullPath"]) == ["/pictures/e.jpg"]
        assert list(audit.unreadable["FullPath"]) == ["/pictures/bad.jpg"]

    def test_what_was_held_back_is_for_review_and_no_duplicate(self, store):
        run = write_run(store, "1", image_table(PATHS), {(0, 1): (0.95, 0.93)}, max_move_share=0.0)

        audit = audit_run(run)

        assert audit.table.empty
        assert list(audit.review["FullPath"]) == ["/pictures/b.jpg"]


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
