"""What identifies a version of a file: its size and its time both, whatever its inode is."""

import os

import pytest

from imagetwins.moving.execute import apply_moves
from imagetwins.moving.plan import PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.storage import FileStamp

STAMP = FileStamp(inode=7, size_bytes=100, mtime_ns=5_000)


@pytest.mark.parametrize(
    ("other", "is_unchanged", "may_be"),
    [
        (FileStamp(7, 100, 5_000), True, True),
        (FileStamp(8, 100, 5_000), True, True),
        (FileStamp(7, 101, 5_000), False, True),
        (FileStamp(7, 100, 5_001), False, True),
        (FileStamp(8, 101, 5_000), False, False),
        (FileStamp(8, 100, 5_001), False, False),
    ],
)
def test_a_file_is_unchanged_if_its_size_and_its_time_are_and_may_be_an_edited_one_by_its_inode(
    other, is_unchanged, may_be
):
    assert (STAMP.is_unchanged(other), other.is_unchanged(STAMP)) == (is_unchanged, is_unchanged)
    assert (STAMP.may_be(other), other.may_be(STAMP)) == (may_be, may_be)


@pytest.mark.parametrize(("etag", "size_bytes", "is_unchanged"), [("a", 100, True), ("a", 9, False), ("b", 100, False)])
def test_an_object_is_unchanged_if_its_size_and_its_tag_are(etag, size_bytes, is_unchanged):
    stamp, other = FileStamp(0, 100, 5_000, "a"), FileStamp(0, size_bytes, 6_000, etag)
    assert (stamp.is_unchanged(other), other.is_unchanged(stamp)) == (is_unchanged, is_unchanged)
    assert not stamp.is_unchanged(FileStamp(0, 100, 5_000))


@pytest.mark.parametrize(("content", "later_ns"), [(b"longer than it was", 0), (b"pixels", 1)], ids=["size", "time"])
def test_a_moved_file_that_another_replaced_is_not_moved_back(content, later_ns, tmp_path):
    """The other one differs in its size or in its time, and not in both."""
    for name in ("kept.png", "a.png"):
        (tmp_path / name).write_bytes(b"pixels")
    source, target = tmp_path / "a.png", tmp_path / "Duplicates/a.png"
    status = source.stat()
    move = PlannedMove(0, source, target, status.st_size, status.st_mtime_ns, "not read", tmp_path / "kept.png")
    assert apply_moves([move], tmp_path / "journal.jsonl")[0].moved
    (tmp_path / "other").write_bytes(content)
    os.utime(tmp_path / "other", ns=(0, status.st_mtime_ns + later_ns))
    (tmp_path / "other").replace(target)

    (outcome,) = restore_moves(tmp_path / "journal.jsonl")

    assert not outcome.restored
    assert "replaced" in str(outcome.reason)
    assert target.read_bytes() == content
    assert not source.exists()
