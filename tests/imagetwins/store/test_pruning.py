"""What pruning removes, and what it leaves."""

from datetime import UTC, datetime

import pytest

from imagetwins.errors import StoreError
from imagetwins.reporting.files import explain_file, find_history
from imagetwins.reporting.runs import audit_run
from imagetwins.reporting.thresholds import audit_threshold
from imagetwins.store.pruning import plan_pruning, prune_runs
from imagetwins.store.record import RunStatus
from tests.support.audited import PATHS, SCORES
from tests.support.past_runs import image_table, write_run


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
        with old.editing_record() as record:
            record.status = RunStatus(status)

        assert prune_runs(store, self.CUTOFF).table.empty

    def test_questions_that_need_the_scores_say_so(self, store, old):
        prune_runs(store, self.CUTOFF)

        for ask in (lambda: explain_file(old, "b.jpg"), lambda: audit_threshold(old, 0.95)):
            with pytest.raises(StoreError, match="pruned"):
                ask()
