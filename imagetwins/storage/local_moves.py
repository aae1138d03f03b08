"""Move one file on a disk without ever replacing another, in steps small enough that a kill between any two is recoverable.

Within one file system a move is a rename that refuses to replace (`renameat2` with RENAME_NOREPLACE, else link and unlink).
To another device it is a copy: written under an unfinished name, flushed, read again and compared, named, and only then is the
source removed.
"""

import ctypes
import errno
import hashlib
import itertools
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imagetwins.reasons import Reason, ReasonCode, RefusedError
from imagetwins.storage.base import AnyMove, FileStamp, Listed, Move, MoveLog, Mover, clamp_ns
from imagetwins.storage.location import Location
from imagetwins.storage.names import iter_numbered
from imagetwins.storage.reserved import MARKER, MARKER_TEXT, PART_PREFIX, PART_SUFFIX

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_CHUNK_BYTES = 1 << 20

_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""Errors by which a file system says that it has no such call; any other error is about the files."""


def as_path(location: Location) -> Path:
    """Return `location`, which a caller took for one of this machine.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(location, Path):
        raise TypeError(f"{location!r} is not on this machine")
    return location


def stamp_of(status: os.stat_result) -> FileStamp:
    """Return the stamp of a file from its status."""
    return FileStamp(status.st_ino, status.st_size, clamp_ns(status.st_mtime_ns))


def read_stamp(path: Path) -> FileStamp | None:
    """Return what the regular file `path` is; None if there is none. Symbolic links are none."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else None


class LocalMover(Mover):
    """Moves on the disks of this machine."""

    verifies_content = False

    def check_source(self, listed: Listed, base: Location) -> FileStamp:
        source = as_path(listed.location)
        try:
            check_unlinked(source.parent, as_path(base))
            status = os.lstat(source)
        except FileNotFoundError:
            raise RefusedError(Reason(ReasonCode.SOURCE_MISSING)) from None
        stamp = stamp_of(status)
        unchanged = (stamp.size_bytes, stamp.mtime_ns) == (listed.size_bytes, listed.mtime_ns)
        if not stat.S_ISREG(status.st_mode) or not unchanged:
            raise RefusedError(Reason(ReasonCode.SOURCE_CHANGED))
        return stamp

    def is_taken(self, location: Location) -> bool:
        return os.path.lexists(as_path(location))

    def iter_free_names(self, target: Location) -> Iterator[Location]:
        path = as_path(target)
        return iter_numbered(path, os.pathconf(path.parent, "PC_NAME_MAX"))

    @contextmanager
    def making_directories(self, target: Location, base: Location) -> Iterator[None]:
        created = make_directories(as_path(target).parent, as_path(base))
        try:
            yield
        except BaseException:
            remove_directories(created)
            raise

    def check_way(self, target: Location, base: Location) -> None:
        check_unlinked(as_path(target).parent, as_path(base))

    def remove_emptied(self, target: Location, base: Location) -> None:
        remove_directories(_directories_between(as_path(target).parent, as_path(base)))

    def mark(self, aside: Location) -> None:
        create_marker(as_path(aside) / MARKER)

    def unmark(self, aside: Location) -> None:
        directory = as_path(aside)
        with suppress(OSError), os.scandir(directory) as entries:
            # Two names tell: the folder may hold many.
            if [entry.name for entry in itertools.islice(entries, 2)] == [MARKER]:
                (directory / MARKER).unlink()
                directory.rmdir()

    def move(self, move: AnyMove, log: MoveLog[AnyMove]) -> AnyMove:
        try:
            rename_noreplace(as_path(move.source), as_path(move.target))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return _copy_across(move, log)
        return move

    def recover(self, move: AnyMove, log: MoveLog[AnyMove]) -> tuple[AnyMove, bool]:
        del log
        if move.part:
            return move, _recover_copy(move, as_path(move.part))
        source, target = read_stamp(as_path(move.source)), read_stamp(as_path(move.target))
        if source and source == target:
            # Two names of one file: killed between link and unlink.
            as_path(move.target).unlink()
            return move, False
        return move, bool(target and target.may_be(move.stamp) and source != move.stamp)

    def is_same_file(self, location: Location, stamp: FileStamp, moved: Move) -> bool:
        del location
        return stamp.is_unchanged(moved.arrived)


def create_marker(marker: Path) -> None:
    """Create the file `marker`, unless it is there, and flush it.

    Raises:
        OSError: it cannot be created.
    """
    try:
        descriptor = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return
    try:
        # Its name is what counts: a disk that is full takes no text, but may well let files be renamed.
        with suppress(OSError):
            _write_all(descriptor, MARKER_TEXT.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(marker.parent)


def _copy_across(move: AnyMove, log: MoveLog[AnyMove]) -> AnyMove:
    """Copy to another device, verify, name the copy, and only then remove the source."""
    source, target = as_path(move.source), as_path(move.target)
    part = target.parent / f"{PART_PREFIX}{uuid.uuid4().hex[:16]}{PART_SUFFIX}"
    move = log.copying(move, part)
    copied_digest = copy_verified(source, part)
    if read_stamp(source) != move.stamp or move.digest not in (None, copied_digest):
        raise RefusedError(Reason(ReasonCode.CHANGED_WHILE_COPIED))
    move = log.copied(move, stamp_of(os.lstat(part)))
    rename_noreplace(part, target)
    sync_directory(target.parent)
    if read_stamp(source) != move.stamp:
        raise RefusedError(Reason(ReasonCode.CHANGED_WHILE_COPIED))
    source.unlink()
    return move


def _recover_copy(move: Move, part: Path) -> bool:
    """Recover an unfinished copy to another device; return whether the file is at its target."""
    source, target = as_path(move.source), as_path(move.target)
    is_named = move.copied is not None and read_stamp(target) == move.copied
    is_whole = move.copied is not None and read_stamp(part) == move.copied
    if read_stamp(source) != move.stamp and (is_named or is_whole):
        # A person took the original away meanwhile: the copy may be the last one.
        if not is_named:
            rename_noreplace(part, target)
        return True
    if read_stamp(part) is not None:
        part.unlink()
    if is_named:
        target.unlink()
    return False


# -- renaming --------------------------------------------------------------------------------------------------------


def _find_renameat2() -> Any:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function


_renameat2 = _find_renameat2()


def rename_noreplace(source: Path, target: Path) -> None:
    """Rename `source` to `target` in one atomic step that fails if the name `target` exists.

    Where the system or file system has no such step: link, which fails likewise, then unlink.

    Raises:
        FileExistsError: `target` exists, whatever it is.
        OSError: with EXDEV if they are on two devices, and every other reason why a file cannot be moved.
    """
    if _renameat2 is not None:
        if not _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
    os.link(source, target, follow_symlinks=False)
    # Both names must not be lost with the power: the new one is on the disk before the old one goes.
    sync_directory(target.parent)
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


def sync_directory(directory: Path) -> None:
    """Flush the names of `directory` to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- copying ---------------------------------------------------------------------------------------------------------


def copy_verified(source: Path, part: Path) -> str:
    """Copy `source`, its times and permissions to the new file `part`, flush it, and read it again.

    Returns:
        The SHA-256 of the content, in hexadecimal.

    Raises:
        OSError: it cannot be read or written, or what was read again is not what was written.
    """
    digest = hashlib.sha256()
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(reading)
        writing = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while chunk := os.read(reading, _CHUNK_BYTES):
                digest.update(chunk)
                _write_all(writing, chunk)
            _copy_attributes(status, writing)
            os.fsync(writing)
            _check_written(writing, digest.hexdigest())
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return digest.hexdigest()


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy_attributes(status: os.stat_result, descriptor: int) -> None:
    # The file system of the target may know no owners or permissions: the content and its time are what matters.
    with suppress(OSError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))


def _check_written(descriptor: int, expected: str) -> None:
    if hasattr(os, "posix_fadvise"):
        # From the disk, where the system can do so, and not from its memory of what was written.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(descriptor, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != expected:
        raise OSError(errno.EIO, "the copy, read again, differs from what was written")


# -- directories -----------------------------------------------------------------------------------------------------


def make_directories(directory: Path, base: Path) -> list[Path]:
    """Create `directory` and what is missing above it, inside the existing folder `base`; return what was created.

    Raises:
        NotADirectoryError: a name on the way is a file, or a symbolic link, which might lead out of the folder.
        OSError: a directory cannot be created; those created before it are removed again.
    """
    created: list[Path] = []
    try:
        for step in _directories_between(directory, base):
            with suppress(FileExistsError):
                step.mkdir()
                created.append(step)
            _check_directory(step)
    except OSError:
        remove_directories(created)
        raise
    return created


def check_unlinked(directory: Path, base: Path) -> None:
    """Refuse a way from `base` to `directory` that leads over a symbolic link.

    Raises:
        OSError: it does, or something on it is gone.
    """
    for step in _directories_between(directory, base):
        _check_directory(step)


def _check_directory(directory: Path) -> None:
    if not stat.S_ISDIR(os.lstat(directory).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory, or is a link", str(directory))


def _directories_between(directory: Path, base: Path) -> list[Path]:
    """Return the directories below `base` down to `directory`, in this order."""
    parts = directory.relative_to(base).parts
    return [base.joinpath(*parts[:depth]) for depth in range(1, 1 + len(parts))]


def remove_directories(directories: list[Path]) -> None:
    """Remove those of `directories`, which are listed from the outermost on, that are empty, the innermost first."""
    for directory in reversed(directories):
        with suppress(OSError):
            directory.rmdir()
