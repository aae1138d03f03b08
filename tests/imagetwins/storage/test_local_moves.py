"""Where a file system does not know a rename that refuses to replace, a link does the same; who owns what is made."""

import errno
import os

import pytest

from imagetwins.storage import MARKER, local_moves
from imagetwins.storage.local_moves import copy_verified, create_marker, make_directories, rename_noreplace
from tests.support.syscalls import intercepted


def answering(code):
    """Return an intercept for a kernel or a file system that answers renameat2 with an error."""

    def answer(name, call, arguments):
        if name != "renameat2":
            return call(*arguments)
        local_moves.ctypes.set_errno(code)
        return -1

    return answer


@pytest.mark.skipif(local_moves._renameat2 is None, reason="needs renameat2")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP], ids=errno.errorcode.get)
def test_a_file_is_moved_where_renameat2_is_not_supported_and_replaces_nothing(code, tmp_path):
    source, target, taken = (tmp_path / name for name in ("a", "b", "taken"))
    source.write_bytes(b"pixels")
    taken.write_bytes(b"another")
    with intercepted(answering(code)):
        with pytest.raises(FileExistsError):
            rename_noreplace(source, taken)
        rename_noreplace(source, target)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"b": b"pixels", "taken": b"another"}


@pytest.mark.skipif(local_moves._renameat2 is None, reason="needs renameat2")
def test_any_other_error_of_a_rename_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(b"pixels")
    with intercepted(answering(errno.EACCES)), pytest.raises(PermissionError):
        rename_noreplace(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208 - names


@pytest.mark.skipif(local_moves._renameat2 is None, reason="needs renameat2")
def test_a_file_whose_old_name_cannot_be_removed_has_no_second_one(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"pixels")
    answer = answering(errno.ENOSYS)

    def refuse(name, call, arguments):
        if name == "unlink" and arguments[0] == source:
            raise PermissionError(errno.EPERM, "append only")
        return answer(name, call, arguments)

    with intercepted(refuse), pytest.raises(PermissionError):
        rename_noreplace(source, target)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"a": b"pixels"}


OWNER = (12345, 54321)

by_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")


@pytest.fixture
def folder(tmp_path):
    """A folder of somebody else, in which new files belong to its group."""
    made = tmp_path / "folder"
    made.mkdir()
    os.chown(made, *OWNER)
    made.chmod(0o2750)
    return made


def owner_of(path):
    return path.stat().st_uid, path.stat().st_gid


@by_root
def test_what_root_makes_belongs_to_the_owner_of_the_folder(folder):
    sub = folder / "Duplicates/sub"
    assert make_directories(sub, folder) == [sub.parent, sub]
    create_marker(sub / MARKER)
    assert {owner_of(path) for path in (sub.parent, sub, sub / MARKER)} == {OWNER}
    assert sub.stat().st_mode & 0o2000


@by_root
def test_what_root_moves_keeps_its_owner_on_another_device_too(folder):
    source = folder / "a.png"
    source.write_bytes(b"pixels")
    os.chown(source, 23456, 65432)
    copy_verified(source, folder / "part")
    assert owner_of(folder / "part") == (23456, 65432)


@by_root
def test_what_is_there_keeps_its_owner_and_where_there_are_no_owners_directories_are_made_all_the_same(
    folder, monkeypatch
):
    (folder / "Duplicates").mkdir()
    make_directories(folder / "Duplicates/sub", folder)
    assert owner_of(folder / "Duplicates/sub")[0] == owner_of(folder / "Duplicates")[0] == 0

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no owners here")

    monkeypatch.setattr(os, "fchown", refuse)
    assert make_directories(folder / "other", folder) == [folder / "other"]
    create_marker(folder / "other" / MARKER)
    assert owner_of(folder / "other" / MARKER)[0] == 0
