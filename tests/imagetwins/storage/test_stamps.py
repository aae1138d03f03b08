"""What identifies a version of a file: its size and its time both, whatever its inode is."""

import os

import pytest

from imagetwins.moving.execute import apply_moves
from imagetwins.moving.plan import PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.storage import FileStamp

STAMP = FileStamp(inode=7, size_bytes=100, mtime_ns=5_050)


@pytest.mark.parametrize(
    ("other", "is_unchanged", "may_be"),
    [
        (FileStamp(7, 100, 5_050), True, True),
        (FileStamp(8, 100, 5_050), True, True),
        (FileStamp(7, 101, 5_050), False, True),
        (FileStamp(7, 100, 5_051), False, True),
        (FileStamp(8, 101, 5_050), False, False),
        (FileStamp(8, 100, 5_051), False, False),
    ],
)
def test_a_file_is_unchanged_if_its_size_and_its_time_are_and_may_be_an_edited_one_by_its_inode(
    other, is_unchanged, may_be
):
    assert (STAMP.is_unchanged(other), other.is_unchanged(STAMP)) == (is_unchanged, is_unchanged)
    assert (STAMP.may_be(other), other.may_be(STAMP)) == (may_be, may_be)


@pytest.mark.parametrize(
    ("kept_ns", "is_unchanged"),
    [
        (1_600_000_001_123_456_700, True),
        (1_600_000_001_123_456_000, True),
        (1_600_000_001_120_000_000, True),
        (1_600_000_001_000_000_000, True),
        (1_600_000_000_000_000_000, True),
        (1_599_999_999_000_000_000, False),
        (1_600_000_001_123_456_788, False),
        (1_600_000_003_000_000_000, False),
    ],
    ids=["NTFS", "utimes", "exFAT", "seconds", "FAT", "older", "by a nanosecond", "newer"],
)
def test_a_time_that_a_coarser_clock_cuts_off_is_the_same(kept_ns, is_unchanged):
    written, kept = FileStamp(7, 100, 1_600_000_001_123_456_789), FileStamp(8, 100, kept_ns)
    assert (written.is_unchanged(kept), kept.is_unchanged(written)) == (is_unchanged, is_unchanged)


@pytest.mark.parametrize(("etag", "size_bytes", "is_unchanged"), [("a", 100, True), ("a", 9, False), ("b", 100, False)])
def test_an_object_is_unchanged_if_its_size_and_its_tag_are(etag, size_bytes, is_unchanged):
    stamp, other = FileStamp(0, 100, 5_000, "a"), FileStamp(0, size_bytes, 6_000, etag)
    assert (stamp.is_unchanged(other), other.is_unchanged(stamp)) == (is_unchanged, is_unchanged)
    assert not stamp.is_unchanged(FileStamp(0, 100, 5_050))


def plan_one(folder):
    for name in ("kept.png", "a.png"):
        (folder / name).write_bytes(b"pixels")
    source, target = folder / "a.png", folder / "Duplicates/a.png"
    status = source.stat()
    return PlannedMove(0, source, target, status.st_size, status.st_mtime_ns, "not read", folder / "kept.png")


def write_other(folder, move, content, later_ns):
    other = folder / "other"
    other.write_bytes(content)
    os.utime(other, ns=(0, move.mtime_ns + later_ns))
    return other


differing = pytest.mark.parametrize(
    ("content", "later_ns"), [(b"longer than it was", 0), (b"pixels", 3_000_000_000)], ids=["size", "time"]
)


@differing
def test_a_moved_file_that_another_replaced_is_not_moved_back(content, later_ns, tmp_path):
    """The other one differs in its size or in its time, and not in both."""
    move = plan_one(tmp_path)
    assert apply_moves([move], tmp_path / "journal.jsonl")[0].moved
    write_other(tmp_path, move, content, later_ns).replace(move.target)

    (outcome,) = restore_moves(tmp_path / "journal.jsonl")

    assert not outcome.restored
    assert "replaced" in str(outcome.reason)
    assert move.target.read_bytes() == content
    assert not move.source.exists()


@differing
def test_a_listed_file_that_another_replaced_is_not_moved(content, later_ns, tmp_path):
    move = plan_one(tmp_path)
    write_other(tmp_path, move, content, later_ns).replace(move.source)

    (outcome,) = apply_moves([move], tmp_path / "journal.jsonl")

    assert not outcome.moved
    assert "changed" in str(outcome.reason)
    assert move.source.read_bytes() == content
    assert not move.target.parent.exists()


def test_a_link_with_the_size_and_the_time_of_what_was_listed_is_not_moved(tmp_path):
    move = plan_one(tmp_path)
    move.source.unlink()
    move.source.symlink_to("elsewhere"[: move.size_bytes])
    os.utime(move.source, ns=(0, move.mtime_ns), follow_symlinks=False)
    status = move.source.lstat()
    assert (status.st_size, status.st_mtime_ns) == (move.size_bytes, move.mtime_ns)

    (outcome,) = apply_moves([move], tmp_path / "journal.jsonl")

    assert not outcome.moved
    assert move.source.is_symlink()
