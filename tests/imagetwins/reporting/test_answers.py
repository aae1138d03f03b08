"""Every answer can be JSON, and its table Parquet."""

import json

import duckdb
import pandas as pd

from imagetwins.reporting.answers import to_plain, write_answer
from imagetwins.reporting.files import explain_file, explain_pair
from imagetwins.reporting.runs import audit_run, compare_runs
from imagetwins.reporting.thresholds import audit_threshold


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
