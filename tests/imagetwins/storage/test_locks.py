"""Two runs on one folder exclude each other; the second is told who is at work; the dead hold nothing."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile

import pytest

from imagetwins.errors import FolderBusyError
from imagetwins.storage import storage_of

HOLD = """
import sys
from pathlib import Path
from imagetwins.storage import storage_of
with storage_of(Path(sys.argv[1])).lock(Path(sys.argv[1]), "run 42, process 7, since noon"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_notes(tmp_path, monkeypatch):
    """Notes in a temporary directory of the test's own, for this process and its children."""
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "notes"))
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "folder/sub").mkdir(parents=True)
    return tmp_path / "folder"


@pytest.fixture
def holder(folder):
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize("inside", [".", "sub", ".."])
def test_the_second_is_told_who_holds_it(folder, inside):
    with (
        pytest.raises(FolderBusyError, match="run 42, process 7, since noon") as error,
        storage_of(folder / inside).lock(folder / inside, "2"),
    ):
        pass

    assert str(folder) in str(error.value)


@pytest.mark.usefixtures("holder")
def test_neighbours_do_not_exclude_each_other(folder):
    (folder.parent / "neighbour").mkdir()

    with (
        storage_of(folder.parent / "neighbour").lock(folder.parent / "neighbour", "2"),
        storage_of(folder.parent / "notes").lock(folder.parent / "notes", "3"),
    ):
        assert [*folder.iterdir()] == [folder / "sub"]


def test_a_dead_holder_holds_nothing(folder, holder):
    holder.kill()
    holder.wait()

    with (
        storage_of(folder).lock(folder, "2"),
        pytest.raises(FolderBusyError, match="2 holds"),
        storage_of(folder).lock(folder, "3"),
    ):
        pass


def test_the_dead_are_not_blamed(folder, holder, tmp_path):
    notes = tmp_path / f"notes/imagetwins-{os.getuid()}"
    left = {note: note.read_text() for note in notes.iterdir()}
    holder.kill()
    holder.wait()
    for note, text in left.items():
        note.write_text(text)

    living = os.open(folder, os.O_RDONLY)
    fcntl.flock(living, fcntl.LOCK_EX)
    with pytest.raises(FolderBusyError, match="another process holds") as error, storage_of(folder).lock(folder, "2"):
        pass
    os.close(living)

    assert left
    assert "run 42" not in str(error.value)


def test_a_link_to_the_folder_is_the_folder(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)

    with (
        storage_of(folder).lock(folder, "1"),
        pytest.raises(FolderBusyError),
        storage_of(tmp_path / "link").lock(tmp_path / "link", "2"),
    ):
        pass


def test_it_is_free_again_after_use_and_after_an_error(folder):
    with pytest.raises(ZeroDivisionError), storage_of(folder).lock(folder, "1"):
        raise ZeroDivisionError
    with storage_of(folder).lock(folder, "2"):
        pass
    with storage_of(folder).lock(folder, "3"):
        pass

    assert [*folder.rglob("*")] == [folder / "sub"]
    assert [path for path in (folder.parent / "notes").rglob("*") if path.is_file()] == []


def test_without_a_note_it_excludes_all_the_same(folder, tmp_path):
    (tmp_path / f"notes/imagetwins-{os.getuid()}").write_text("in the way")

    with (
        storage_of(folder).lock(folder, "1"),
        pytest.raises(FolderBusyError, match="another process"),
        storage_of(folder).lock(folder, "2"),
    ):
        pass


def test_a_read_only_folder_can_be_locked(folder):
    folder.chmod(0o500)

    with storage_of(folder).lock(folder, "1"), pytest.raises(FolderBusyError), storage_of(folder).lock(folder, "2"):
        pass

    folder.chmod(0o700)


@pytest.mark.parametrize("code", [errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_folder_that_its_file_system_cannot_lock_is_no_error(code, folder, monkeypatch):
    asked = []

    def refuse(*arguments):
        asked.append(arguments)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with storage_of(folder).lock(folder, "1"), storage_of(folder).lock(folder, "2"):
        assert len(asked) == 2 * (1 + len(folder.parents))
