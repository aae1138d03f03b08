"""What another threshold would have decided, on a run small enough to answer by hand."""

import pytest

from imagetwins.errors import ParameterError, StoreError
from imagetwins.reporting.thresholds import audit_threshold
from tests.support.audited import PATHS, row
from tests.support.past_runs import image_table, write_run


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

    def test_the_floor_itself_is_answered_and_a_hair_below_it_is_not(self, run):
        assert audit_threshold(run, 0.85).counts["duplicate"] == 3
        with pytest.raises(StoreError, match="below the floor"):
            audit_threshold(run, 0.85 - 1e-9)

    def test_a_score_at_the_threshold_is_a_match(self, run):
        assert audit_threshold(run, 0.95).counts["duplicate"] == 1
        assert audit_threshold(run, 0.95 + 1e-9).counts["duplicate"] == 0

    @pytest.mark.parametrize("threshold", [1.5, -2, float("nan")])
    def test_what_is_no_score_is_refused(self, run, threshold):
        with pytest.raises(ParameterError, match=f"threshold={threshold:g}: .* between -1 and 1"):
            audit_threshold(run, threshold)

    def test_keeps_a_floor_given_by_hand(self, store):
        guards = {"min_detail_ssim": -1, "min_local_ssim": -1}
        run = write_run(store, "1", image_table(PATHS), {(0, 1): (0.2, 0.1)}, audit_floor=-1, **guards)

        assert audit_threshold(run, 0.1).counts["duplicate"] == 1
