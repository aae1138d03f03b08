"""Whether another machine may do a part of a run: it must have the same versions, and see the same files."""

import cv2
import numpy as np
import pytest

from imagetwins.config.parameters import check_parameters
from imagetwins.store.provenance import describe_installation, find_incompatibility
from imagetwins.store.runs import Run
from tasks.list import list_files
from tests.support.past_runs import make_record

WORKER = "this worker"


@pytest.fixture
def pictures(tmp_path):
    """A folder with two files to list."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.zeros((50, 50, 3), np.uint8))
    return folder


@pytest.fixture
def begun(pictures, tmp_path):
    """A run that has listed its files, and its parameters."""
    parameters = check_parameters({"folder": str(pictures), "size": 48})
    run = Run(tmp_path / "store", "20260101T000000Z-00000000")
    run.write_record(make_record(run.run_id, versions=describe_installation(), parameters=parameters))
    list_files.fn(run, parameters)
    return run, parameters


def test_a_machine_like_this_one_may_work_for_a_run(begun):
    assert find_incompatibility(begun[0], [], WORKER) is None


def test_other_versions_are_refused_and_both_are_named(begun):
    run, _ = begun
    here = describe_installation()
    with run.editing_record() as record:
        record.versions = here | {"imagetwins": "0.0.1 (sources 00000000)", "numba": "0.1"}
    problem = str(find_incompatibility(run, [], WORKER))
    for text in ("0.0.1 (sources 00000000)", "numba 0.1", here["imagetwins"], f"numba {here['numba']}"):
        assert text in problem
    assert here["numpy"] not in problem, "only what differs"


def test_who_does_not_see_the_store_or_the_pictures_or_may_not_is_refused(begun, pictures, tmp_path):
    run, parameters = begun
    assert "does not see the store" in str(find_incompatibility(Run(tmp_path / "elsewhere", run.run_id), [], WORKER))
    assert str(tmp_path) in str(find_incompatibility(run, [pictures], WORKER))
    # As on a machine where the folder is not mounted.
    hidden = pictures.rename(pictures.with_name("hidden"))
    try:
        assert parameters.folder in str(find_incompatibility(run, [], WORKER))
    finally:
        hidden.rename(pictures)
