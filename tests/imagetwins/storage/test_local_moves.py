"""Where a file system does not know a rename that refuses to replace, a link does the same."""

import errno
import os

import pytest

from imagetwins.storage import local_moves
from imagetwins.storage.local_moves import rename_noreplace
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
