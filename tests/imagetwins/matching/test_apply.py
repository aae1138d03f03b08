"""A past run's scores move only files that are still what they were."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from imagetwins.config.parameters import Parameters
from imagetwins.matching.apply import drop_changed, find_changes, images_to_check, mark_changed
from imagetwins.matching.decisions import decide
from imagetwins.store.schemas import DECISIONS
from tests.support.past_runs import comparison_table, image_table

SCORES = {(0, 1): (0.95, 0.9), (1, 2): (0.93, 0.9), (0, 2): (0.92, 0.9), (2, 3): (0.87, 0.9)}
NAMES = ("a.jpg", "b [1].jpg", "c\n'é.jpg", "d.jpg")


@pytest.fixture
def images(tmp_path):
    files = [tmp_path / name for name in NAMES]
    for file in files:
        file.write_bytes(b"content of " + os.fsencode(file.name))
    table = image_table(
        [str(file) for file in files], [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    )
    status = [file.stat() for file in files]
    return table.assign(size_bytes=[s.st_size for s in status], mtime_ns=[s.st_mtime_ns for s in status])


def plan(images, threshold=0.9, folder="/pictures"):
    changes = find_changes(images.loc[images_to_check(comparison_table(SCORES), threshold)])
    pairs = drop_changed(comparison_table(SCORES), changes)
    return mark_changed(decide(images, pairs, Parameters(folder=folder, threshold=threshold)), changes)


def test_only_images_with_a_match_are_looked_at():
    assert np.array_equal(images_to_check(comparison_table(SCORES), 0.94), [0, 1])
    assert images_to_check(comparison_table(SCORES), 0.99).size == 0


def test_a_score_at_the_threshold_is_a_match():
    assert images_to_check(comparison_table(SCORES), 0.95).tolist() == [0, 1]
    assert images_to_check(comparison_table(SCORES), 0.93).tolist() == [0, 1, 2]


def test_unchanged_files_are_decided_as_the_run_would(images):
    decisions = plan(images)

    assert list(decisions["action"]) == ["kept", "would move", "would move", "kept"]
    assert list(decisions.columns) == DECISIONS.names


def change_size(file):
    file.write_bytes(b"more than it was before")


def change_time(file):
    os.utime(file, ns=(1, 1))


def change_content(file):
    status = file.stat()
    file.write_bytes(b"X" * status.st_size)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(file):
    file.unlink()


def replace_by_a_link(file):
    target = file.with_suffix(".target")
    file.rename(target)
    file.symlink_to(target)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_size, "bytes now"),
        (change_time, "modified later"),
        (change_content, "other content"),
        (remove, "not where it was"),
        (replace_by_a_link, "changed since the run"),
    ],
)
def test_a_changed_file_stays_and_another_is_kept_in_its_place(images, tmp_path, change, words):
    change(tmp_path / "a.jpg")

    decisions = plan(images)

    assert list(decisions["action"]) == ["not moved", "kept", "would move", "kept"]
    assert words in decisions["reason"].iat[0]
    assert decisions["kept_path"].iat[2] == str(tmp_path / "b [1].jpg")
    assert not decisions["Duplicate"].iat[0]
    assert list(decisions["NewPath"]) == list(decisions["FullPath"])


def test_a_changed_file_without_a_match_matters_not(images, tmp_path):
    remove(tmp_path / "d.jpg")

    assert list(plan(images)["action"]) == ["kept", "would move", "would move", "kept"]


@pytest.mark.parametrize(
    ("changed", "kept"), [(0, [None, None, 1, None]), (1, [None, None, 0, None]), (2, [None, 0, None, None])]
)
def test_a_changed_file_is_nobodys_duplicate_and_nobodys_kept_file(images, changed, kept):
    change_size(Path(images["path"][changed]))

    decisions = plan(images)

    assert [None if np.isnan(one) else one for one in decisions["kept_image"].to_numpy(float, na_value=np.nan)] == kept
    assert decisions["Duplicate"].tolist() == [one is not None for one in kept]
    assert decisions["action"][changed] == "not moved"
