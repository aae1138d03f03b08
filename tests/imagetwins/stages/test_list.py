"""The table of the listing, and what goes with it."""

import os
from collections import Counter

import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.stages.list import list_files
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LISTING
from imagetwins.store.tables import read_table
from tests.support.pictures import tiny_png


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "store", "20260101T000000Z-00000000")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures/@eaDir").mkdir(parents=True)
    for name in ("a.png", "@eaDir/a.png", "._a.png"):
        (tmp_path / "pictures" / name).write_bytes(tiny_png(0))
    return tmp_path / "pictures"


def test_a_retry_of_the_run_finds_the_listing_and_what_was_left_out(run, folder):
    parameters = Parameters(folder=str(folder))
    first = list_files(run, parameters)
    (folder / "b.png").write_bytes(tiny_png(1))

    again = list_files(run, parameters)

    assert first == again == Counter({"@eaDir/": 1, "._*": 1})
    assert read_table(run.listing, LISTING)["path"].tolist() == [str(folder / "a.png")]


@pytest.mark.parametrize("seconds", [-(2**31), 2**32, 15_032_385_535])
def test_a_file_of_a_far_year_is_a_row_like_any_other(run, folder, seconds):
    os.utime(folder / "a.png", ns=(0, seconds * 10**9))

    list_files(run, Parameters(folder=str(folder)))

    listed = read_table(run.listing, LISTING)
    assert listed["error"].isna().all()
    assert listed["mtime_ns"].tolist() == [min(seconds * 10**9, 2**63 - 1)]
