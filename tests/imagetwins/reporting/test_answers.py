"""Every answer can be JSON, and its table Parquet."""

import csv
import io
import json

import duckdb
import pandas as pd
import pytest

from imagetwins.reporting.answers import to_csv, to_plain, write_answer, write_csv
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

    def test_a_table_is_csv_for_whoever_reads_no_parquet(self, run, tmp_path):
        target, table = tmp_path / "answer.csv", audit_run(run).review

        write_csv(table, target)

        found = duckdb.read_csv(str(target)).project("FullPath, ssim").fetchall()
        assert found == list(table[["FullPath", "ssim"]].itertuples(index=False, name=None))
        assert target.read_bytes().endswith(b"\r\n")

    @pytest.mark.parametrize(
        "name", ["plain.png", 'a "b", c.png', "new\nline.png", "carriage\rreturn.png", "é図.png", " -1.png"]
    )
    def test_whatever_a_name_holds_it_is_the_same_in_csv(self, name):
        rows = read_csv(
            pd.DataFrame({"FullPath": [f"/p/{name}", None], "FileName": [name, None], "ssim": [-0.25, None]})
        )

        assert rows == [["FullPath", "FileName", "ssim"], [f"/p/{name}", name, "-0.25"], ["", "", ""]]

    @pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM(A1).png", "\t=1.png", "\r=1.png"])
    def test_what_a_spreadsheet_would_compute_has_its_folder_before_it(self, name):
        rows = read_csv(pd.DataFrame({"FullPath": [f"/p/{name}"], "FileName": [name]}))

        assert rows[1] == [f"/p/{name}", f"./{name}"]


def read_csv(table):
    return list(csv.reader(io.StringIO(to_csv(table).decode(), newline="")))
