"""Where a file system has neither a rename that refuses to replace nor hard links, nobody's file is taken for our copy."""

import errno
import hashlib
import os
from dataclasses import replace

import pytest

from imagetwins.moving.execute import apply_moves, recover_journal
from imagetwins.moving.journal import open_journal, read_journal
from imagetwins.moving.plan import PlannedMove
from imagetwins.moving.restore import restore_moves
from imagetwins.storage import DUPLICATES, MARKER
from imagetwins.storage.local_moves import copy_verified, stamp_of
from tests.support.syscalls import intercepted, no_rename

PIXELS = b"pixels" * 9


@pytest.fixture(autouse=True)
def file_system():
    with no_rename():
        yield


class Folder:
    """A folder with a file to move, a.png, and the one kept for it."""

    def __init__(self, folder):
        self.folder, self.journal = folder, folder.parent / "journal.jsonl"
        self.source, self.target = folder / "a.png", folder / DUPLICATES / "a.png"
        folder.mkdir()
        for file in (self.source, folder / "kept.png"):
            file.write_bytes(PIXELS)

    def apply(self, name="a.png"):
        source = self.folder / name
        known = source.stat().st_size, source.stat().st_mtime_ns, hashlib.sha256(source.read_bytes()).hexdigest()
        move = PlannedMove(0, source, self.folder / DUPLICATES / name, *known, self.folder / "kept.png")
        return apply_moves([move], self.journal)[0]

    def interrupt(self, content, *, copied=False):
        """Leave what a kill in the middle leaves: `content` under the target's name, which may be known to be whole."""
        self.target.parent.mkdir()
        with open_journal(self.journal) as journal:
            begun = journal.begin("out", 0, self.source, self.target, stamp_of(os.lstat(self.source)))
            copying = journal.copying(begun, self.target)
            if content is not None:
                self.target.write_bytes(content)
            if copied:
                # After a while, such a file system may give it another inode.
                stamp = replace(stamp_of(os.lstat(self.target)), inode=1)
                journal.copied(copying, stamp, hashlib.sha256(content).hexdigest())

    def recover(self):
        (transfer,) = recover_journal(self.journal)
        return transfer.state

    @property
    def files(self):
        """Content by name of what is there, but for the file that is kept and the marker."""
        found = {
            str(file.relative_to(self.folder)): file.read_bytes() for file in self.folder.rglob("*") if file.is_file()
        }
        return {name: content for name, content in found.items() if name != "kept.png" and MARKER not in name}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "folder")


@pytest.mark.parametrize(
    ("rename", "link"),
    [
        (errno.EINVAL, errno.EPERM),
        (errno.ENOSYS, errno.ENOTSUP),
        (errno.ENOTSUP, errno.ENOSYS),
        (errno.EPERM, errno.EMLINK),
        (errno.EINVAL, errno.EACCES),
        (errno.EINVAL, errno.EIO),
    ],
    ids=errno.errorcode.get,
)
def test_whatever_the_file_system_answers_a_file_is_copied_and_goes_back(rename, link, folder):
    before = folder.source.stat()

    with no_rename(rename=rename, link=link):
        assert folder.apply().reason is None
        after = folder.target.stat()
        assert folder.files == {"Duplicates/a.png": PIXELS}
        assert restore_moves(folder.journal)[0].restored

    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert folder.files == {"a.png": PIXELS}
    assert not folder.target.parent.exists()


@pytest.mark.parametrize("strangers", [b"", PIXELS[:9], PIXELS, b"another"], ids=["empty", "begun", "same", "other"])
def test_a_name_taken_at_the_last_moment_is_left_alone_even_if_it_looks_like_our_copy(strangers, folder):
    def take(name, call, arguments):
        if name == "create" and arguments[0] == folder.target and not folder.target.exists():
            folder.target.write_bytes(strangers)
        return call(*arguments)

    with intercepted(take):
        outcome = folder.apply()

    assert outcome.new_path.name == "a (2).png"
    assert folder.files == {"Duplicates/a.png": strangers, "Duplicates/a (2).png": PIXELS}
    assert [(one.state, one.part) for one in read_journal(folder.journal)] == [
        ("void", None), ("done", outcome.new_path)
    ]  # fmt: skip


def test_a_file_that_replaces_our_copy_while_it_is_written_is_left_alone(folder):
    def replace_copy(name, call, arguments):
        if name == "utime" and folder.target.exists():
            (folder.folder / "new").write_bytes(b"of somebody else")
            (folder.folder / "new").rename(folder.target)
        return call(*arguments)

    with intercepted(replace_copy):
        outcome = folder.apply()

    assert not outcome.moved
    assert folder.files == {"a.png": PIXELS, "Duplicates/a.png": b"of somebody else"}


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EROFS], ids=errno.errorcode.get)
def test_a_file_that_cannot_be_removed_is_not_copied_and_the_reason_is_the_true_one(code, folder):
    def refuse(name, call, arguments):
        if name == "unlink" and arguments[0] == folder.source:
            raise OSError(code, os.strerror(code), str(folder.source))
        return call(*arguments)

    with intercepted(refuse):
        outcome = folder.apply()

    assert str(outcome.reason) == f"{os.strerror(code)}: {folder.source}"
    assert folder.files == {"a.png": PIXELS}
    assert not folder.target.parent.exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EILSEQ, errno.ENOENT], ids=errno.errorcode.get)
def test_a_name_that_the_file_system_does_not_take_is_a_reason_and_others_are_moved(code, folder):
    (folder.folder / "b?.png").write_bytes(PIXELS)

    def refuse(name, call, arguments):
        if name == "create" and arguments[0] == folder.target.with_name("b?.png"):
            raise OSError(code, os.strerror(code), str(arguments[0]))
        return call(*arguments)

    with intercepted(refuse):
        outcomes = [folder.apply(name) for name in ("b?.png", "a.png")]

    unusable = folder.target.with_name("b?.png")
    assert str(outcomes[0].reason) == f"the file system there does not take this name: {unusable}"
    assert outcomes[1].moved
    assert folder.files == {"b?.png": PIXELS, "Duplicates/a.png": PIXELS}


def test_a_folder_whose_name_the_file_system_does_not_take_is_a_reason(folder):
    (folder.folder / "a:b").mkdir()
    folder.source.rename(folder.folder / "a:b/a.png")

    def refuse(name, call, arguments):
        if name == "mkdir" and str(arguments[0]).endswith(f"{DUPLICATES}/a:b"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(arguments[0]))
        return call(*arguments)

    with intercepted(refuse):
        outcome = folder.apply("a:b/a.png")

    assert str(outcome.reason) == f"the file system there does not take this name: {folder.target.with_name('a:b')}"
    assert folder.files == {"a:b/a.png": PIXELS}


def test_a_folder_that_cannot_be_flushed_and_a_time_that_cannot_be_set_are_no_errors(folder):
    def refuse(name, call, arguments):
        if name == "utime" or (name == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}")):  # noqa: PTH112
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return call(*arguments)

    with intercepted(refuse):
        assert folder.apply().moved
        assert [outcome.reason for outcome in restore_moves(folder.journal)] == [None]

    assert folder.files == {"a.png": PIXELS}


@pytest.mark.parametrize("content", [None, b"", PIXELS[:20], PIXELS], ids=["none", "empty", "begun", "whole"])
def test_a_piece_of_a_copy_is_removed_while_its_original_shows_that_it_is_one(content, folder):
    folder.interrupt(content)

    assert folder.recover() == "void"
    assert folder.files == {"a.png": PIXELS}
    assert not folder.target.parent.exists()


@pytest.mark.parametrize("content", [b"another", PIXELS[:20] + b"!", PIXELS + b"x"], ids=["other", "differs", "longer"])
@pytest.mark.parametrize("copied", [False, True], ids=["begun", "copied"])
def test_what_is_not_in_the_original_as_well_is_left_alone(content, copied, folder):
    folder.interrupt(content, copied=copied)

    assert folder.recover() == ("done" if copied else "void")
    assert folder.files == {"a.png": PIXELS, "Duplicates/a.png": content}


def test_a_whole_copy_whose_original_is_there_is_removed(folder):
    folder.interrupt(PIXELS, copied=True)

    assert folder.recover() == "void"
    assert folder.files == {"a.png": PIXELS}


@pytest.mark.parametrize("now", [None, b"edited since"], ids=["gone", "edited"])
def test_a_whole_copy_whose_original_is_gone_or_edited_has_arrived(now, folder):
    folder.interrupt(PIXELS, copied=True)
    folder.source.unlink()
    if now:
        folder.source.write_bytes(now)

    assert folder.recover() == "done"
    assert folder.files == {"Duplicates/a.png": PIXELS} | ({"a.png": now} if now else {})


@pytest.mark.parametrize("content", [b"", PIXELS], ids=["empty", "whole"])
def test_what_may_be_the_last_copy_stays_although_nobody_knows_whose_it_is(content, folder):
    folder.interrupt(content)
    folder.source.unlink()

    assert folder.recover() == "void"
    assert folder.files == {"Duplicates/a.png": content}


def test_a_copy_is_known_by_its_content_where_its_time_was_rounded_later(folder):
    assert folder.apply().moved
    os.utime(folder.target, ns=(0, folder.target.stat().st_mtime_ns // 10**9 * 10**9))

    assert restore_moves(folder.journal)[0].restored
    assert folder.files == {"a.png": PIXELS}


def test_a_copy_that_was_edited_in_place_stays(folder):
    assert folder.apply().moved
    folder.target.write_bytes(PIXELS.upper())

    assert "replaced or changed" in str(restore_moves(folder.journal)[0].reason)
    assert folder.files == {"Duplicates/a.png": PIXELS.upper()}


@pytest.mark.parametrize("taken", [None, b"another"], ids=["free", "taken"])
def test_the_last_whole_copy_to_another_device_gets_its_name_by_another_copy(taken, folder):
    """Killed before it was known that no copy can be named there, and then a person took the original away."""
    part = folder.target.with_name(".imagetwins-0123.part")
    folder.target.parent.mkdir()
    with open_journal(folder.journal) as journal:
        begun = journal.begin("out", 0, folder.source, folder.target, stamp_of(os.lstat(folder.source)))
        copying = journal.copying(begun, part)
        digest, stamp = copy_verified(folder.source, part)
        journal.copied(copying, replace(stamp, inode=1), digest)
    folder.source.unlink()
    if taken:
        folder.target.write_bytes(taken)

    states = [transfer.state for transfer in recover_journal(folder.journal)]

    if taken:
        assert states == []
        assert folder.files == {"Duplicates/a.png": taken, f"Duplicates/{part.name}": PIXELS}
    else:
        assert states == ["done"]
        assert folder.files == {"Duplicates/a.png": PIXELS}
