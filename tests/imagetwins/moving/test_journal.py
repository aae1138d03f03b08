"""What an interrupted transfer is taken for: by the files that are there, and by a journal that may have been changed."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from imagetwins.errors import StoreError
from imagetwins.moving.execute import apply_moves, recover_journal
from imagetwins.moving.journal import check_journal, open_journal, read_journal
from imagetwins.moving.plan import PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.storage import Route, local_moves
from imagetwins.storage.local_moves import stamp_of
from tests.support.syscalls import intercepted


class Interrupted:
    """A folder with a file whose move was announced, and nothing else of it."""

    def __init__(self, folder):
        self.folder, self.journal = folder, folder.parent / "journal.jsonl"
        self.source, self.target = folder / "a.png", folder / "Duplicates/a.png"
        self.part = folder / "Duplicates/.imagetwins-0123.part"
        self.target.parent.mkdir(parents=True)
        for file in (self.source, folder / "kept.png"):
            file.write_bytes(b"pixels")
        self.stamp = stamp_of(os.lstat(self.source))
        with open_journal(self.journal) as journal:
            journal.begin("out", 0, self.source, self.target, self.stamp)

    def copy(self, target):
        """Copy the file, with its times, as people do too."""
        target.write_bytes(self.source.read_bytes())
        os.utime(target, ns=(0, self.stamp.mtime_ns))
        return target

    def announce_copy(self):
        with open_journal(self.journal) as journal:
            copying = journal.copying(journal.transfers[0], self.part)
            journal.copied(copying, stamp_of(os.lstat(self.copy(self.part))))

    def apply(self):
        was = self.stamp.size_bytes, self.stamp.mtime_ns, hashlib.sha256(b"pixels").hexdigest()
        move = PlannedMove(0, self.source, self.target, *was, self.kept)
        return apply_moves([move], self.journal)[0]

    @property
    def kept(self):
        return self.folder / "kept.png"

    @property
    def states(self):
        return [transfer.state for transfer in read_journal(self.journal)]


@pytest.fixture
def interrupted(tmp_path):
    return Interrupted(tmp_path / "folder")


def test_a_persons_copy_at_the_target_is_not_the_file_while_that_is_where_it_was(interrupted):
    copied = interrupted.copy(interrupted.target)

    recover_journal(interrupted.journal)

    assert interrupted.states == ["void"]
    assert copied.read_bytes() == interrupted.source.read_bytes() == b"pixels"


@pytest.mark.parametrize("is_link", [True, False], ids=["linked", "copied"])
def test_a_second_name_is_known_as_one_where_each_name_has_an_inode_number_of_its_own(
    is_link, interrupted, monkeypatch
):
    """As on unions of disks. A person's copy is still no second name."""
    lstat = os.lstat

    def renumbered(path):
        found = lstat(path)
        times = {"st_atime_ns": found.st_atime_ns, "st_mtime_ns": found.st_mtime_ns, "st_ctime_ns": found.st_ctime_ns}
        return os.stat_result((found.st_mode, abs(hash(path)), *found[2:]), times)

    if is_link:
        interrupted.target.hardlink_to(interrupted.source)
    else:
        interrupted.copy(interrupted.target)
    monkeypatch.setattr(os, "lstat", renumbered)

    recover_journal(interrupted.journal)

    assert interrupted.source.read_bytes() == b"pixels"
    assert interrupted.target.exists() != is_link


def test_a_whole_copy_whose_original_was_taken_away_gets_its_name(interrupted):
    interrupted.announce_copy()
    interrupted.source.unlink()

    recover_journal(interrupted.journal)

    assert interrupted.states == ["done"]
    assert interrupted.target.read_bytes() == b"pixels"
    assert not interrupted.part.exists()
    assert restore_moves(interrupted.journal)[0].restored
    assert interrupted.source.read_bytes() == b"pixels"


def test_a_whole_copy_whose_original_is_there_is_removed(interrupted):
    interrupted.announce_copy()

    recover_journal(interrupted.journal)

    assert interrupted.states == ["void"]
    assert not interrupted.target.parent.exists()
    assert interrupted.source.read_bytes() == b"pixels"


@pytest.mark.skipif(local_moves._renameat2 is None, reason="needs renameat2")
def test_a_copy_whose_original_is_taken_away_before_it_has_its_name_counts_as_moved(interrupted):
    recover_journal(interrupted.journal)

    def take_away(name, call, arguments):
        if name == "renameat2" and Path(os.fsdecode(arguments[1])) == interrupted.source:
            local_moves.ctypes.set_errno(errno.EXDEV)
            return -1
        if name == "renameat2":
            interrupted.source.unlink()
        return call(*arguments)

    with intercepted(take_away):
        outcome = interrupted.apply()

    assert (outcome.moved, outcome.new_path) == (True, interrupted.target)
    assert interrupted.states == ["void", "done"]
    assert interrupted.target.read_bytes() == b"pixels"


@pytest.mark.parametrize("other", [b"other", b"pixels"], ids=["another size", "another time"])
def test_another_file_where_a_lost_one_was_is_not_taken_for_it(other, interrupted):
    assert interrupted.apply().moved
    interrupted.target.unlink()
    interrupted.source.write_bytes(other)

    (outcome,) = restore_moves(interrupted.journal)

    assert not outcome.restored
    assert "no longer" in str(outcome.reason)
    assert interrupted.source.read_bytes() == other


def test_a_file_is_not_moved_again_before_it_is_known_how_its_last_move_ended(interrupted):
    """Killed between link and unlink, and then the disk does not let go of the second name."""
    interrupted.target.hardlink_to(interrupted.source)

    def refuse(name, call, arguments):
        if name == "unlink":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return call(*arguments)

    with intercepted(refuse):
        outcome = interrupted.apply()

    assert not outcome.moved
    assert sorted(file.name for file in interrupted.target.parent.iterdir()) == ["a.png"]
    assert interrupted.source.samefile(interrupted.target)
    assert interrupted.states == ["open"]
    assert interrupted.apply().moved
    assert not interrupted.source.exists()
    assert interrupted.target.read_bytes() == b"pixels"


@pytest.mark.parametrize("name", ["outside", "folder/../outside"])
def test_a_journal_that_names_a_copy_outside_its_folder_is_refused(name, interrupted, tmp_path):
    (tmp_path / "outside").mkdir()
    interrupted.part = tmp_path / name / "of somebody else"
    interrupted.announce_copy()

    with pytest.raises(StoreError, match=r"of somebody else.*not in the folder of its run"):
        check_journal(interrupted.journal, [interrupted.folder])


def test_a_move_into_another_folder_names_the_two_it_goes_between_and_nothing_above_them_is_asked(tmp_path):
    home, aside = tmp_path / "linked/home", tmp_path / "away/aside"
    (tmp_path / "real/home/sub").mkdir(parents=True)
    (tmp_path / "away").mkdir()
    # A person moved the folder's parent to another disk, and left a link: only below the folder no link is followed.
    (tmp_path / "linked").symlink_to("real")
    for name in ("kept.png", "sub/a.png"):
        (home / name).write_bytes(name.encode())
    stamp, journal = stamp_of(os.lstat(home / "sub/a.png")), tmp_path / "journal.jsonl"
    known = stamp.size_bytes, stamp.mtime_ns, "not read"
    route = Route.into(home, aside)
    move = PlannedMove(0, home / "sub/a.png", aside / "home/sub/a.png", *known, home / "kept.png", route=route)

    assert apply_moves([move], journal)[0].moved
    (out,) = read_journal(journal)
    assert out.route == route
    check_journal(journal, [home, aside])
    for places in ([home], [aside], [home / "sub", aside]):
        with pytest.raises(StoreError, match="not in the folder of its run"):
            check_journal(journal, places)

    assert [outcome.restored for outcome in restore_moves(journal)] == [True]
    assert [transfer.route for transfer in read_journal(journal)] == [route, route]
    assert (home / "sub/a.png").read_bytes() == b"sub/a.png"
    assert list((tmp_path / "away").iterdir()) == []


def test_a_move_to_the_duplicates_of_its_folder_is_announced_as_ever(interrupted):
    assert not {"home", "aside"} & json.loads(interrupted.journal.read_bytes().splitlines()[1]).keys()
    (transfer,) = read_journal(interrupted.journal)
    assert transfer.route.home == interrupted.folder
