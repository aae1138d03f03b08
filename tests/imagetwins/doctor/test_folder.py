"""A folder of pictures: whether it can be listed, and its duplicates moved."""

import errno
import os
from pathlib import Path

import pytest

from imagetwins.doctor.folder import examine_folder
from imagetwins.storage import DUPLICATES, MARKER
from tests.support.pictures import encode, photo
from tests.support.syscalls import intercepted, no_rename


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(encode(photo(), "PNG"))
    (pictures / ".thumbnails").mkdir()
    return pictures


def test_a_folder_that_a_run_could_take_is_well_and_stays_as_it_is(told, folder):
    before = sorted(folder.rglob("*"))
    findings = list(examine_folder(str(folder), None))
    assert {finding.level for finding in findings} == {"ok"}
    assert told(findings, "pictures")[1] == f"1 picture in {folder}; left out: 1 folder (.thumbnails)"
    assert told(findings, "moves")[1].startswith(f"to {folder / DUPLICATES}, by renaming")
    assert sorted(folder.rglob("*")) == before


def test_a_folder_without_pictures_is_a_warning(told, folder):
    (folder / "a.png").unlink()
    assert told(list(examine_folder(str(folder), None)), "pictures")[0] == "warning"


def test_a_folder_that_is_not_there_or_was_put_aside_is_a_problem(told, folder):
    assert told(list(examine_folder(str(folder / "gone"), None)), "folder")[0] == "problem"
    (folder / MARKER).touch()
    level, what = told(list(examine_folder(str(folder), None)), "folder")
    assert level == "problem"
    assert "put aside" in what


def test_a_folder_that_no_run_may_touch_is_a_problem(told, folder, monkeypatch):
    monkeypatch.setenv("IMAGETWINS_ROOTS", str(folder / "other"))
    assert "outside the folders" in told(list(examine_folder(str(folder), None)), "folder")[1]


def test_a_file_or_a_link_where_duplicates_would_go_is_a_problem(told, folder):
    for make, is_what in ((Path.touch, "is a file"), (lambda path: path.symlink_to("sub"), "is a symbolic link")):
        make(folder / DUPLICATES)
        level, what = told(list(examine_folder(str(folder), None)), "moves")
        assert level == "problem"
        assert what.startswith(f"{str(folder / DUPLICATES)!r} {is_what}, and ")
        (folder / DUPLICATES).unlink()


def test_where_nothing_can_be_renamed_it_says_that_files_are_copied(told, folder):
    before = sorted(folder.rglob("*"))
    with no_rename():
        findings = list(examine_folder(str(folder), None))
    level, what = told(findings, "moves")
    assert level == "warning"
    assert "hard links" in what
    assert sorted(folder.rglob("*")) == before


def test_where_nothing_can_be_copied_either_nothing_can_be_moved(told, folder):
    def fill(name, call, arguments):
        if name == "create" and str(arguments[0]).endswith("/b"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])
        return call(*arguments)

    with no_rename(), intercepted(fill):
        findings = list(examine_folder(str(folder), None))
    level, what = told(findings, "moves")
    assert level == "problem"
    assert "No space left" in what
    assert findings[-1].remedy.startswith("Free some room")
