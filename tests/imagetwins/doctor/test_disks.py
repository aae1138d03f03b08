"""Disks are told apart as the system itself tells them."""

import subprocess
from pathlib import Path

from imagetwins.doctor.disks import find_existing, find_file_system, free_bytes


def test_the_kind_of_a_file_system_is_the_one_that_the_system_names(tmp_path):
    for folder in (tmp_path, Path("/proc"), Path("/dev/shm")):  # noqa: S108 - looked at, not written
        command = ["findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(folder)]
        named = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert find_file_system(folder) == named[-1]


def test_what_was_mounted_last_counts_and_names_are_taken_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "a b/c").mkdir(parents=True)
    place = str(tmp_path).encode()
    # As Btrfs does, these name devices that no file of theirs has.
    lines = [
        (b"/", b"ext4"),
        (place + rb"/a\040b", b"btrfs"),
        (place + rb"/a\040b", b"fuse.mergerfs"),
        (place + b"/a", b"xfs"),
    ]
    said = b"".join(b"1 2 0:99 / %s rw,relatime - %s none rw\n" % line for line in lines)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: said.decode())

    assert [find_file_system(tmp_path / name) for name in ("a b/c", ".")] == ["fuse.mergerfs", "ext4"]


def test_a_folder_that_does_not_exist_yet_is_on_the_disk_of_the_one_around_it(tmp_path):
    assert find_existing(tmp_path / "a" / "b") == tmp_path
    assert find_file_system(tmp_path / "a" / "b") == find_file_system(tmp_path)
    assert free_bytes(tmp_path / "a" / "b") > 0
