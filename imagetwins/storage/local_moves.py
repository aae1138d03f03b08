"""Move one file on a disk without ever replacing another, in steps small enough that a kill between any two is recoverable.

Within one file system a move is a rename that refuses to replace (`renameat2` with RENAME_NOREPLACE, else link and unlink).
To another device it is a copy: written under an unfinished name, flushed, read again and compared, named, and only then is the
source removed.
Where a file system has neither such a rename nor hard links, no finished copy can be named without the danger of replacing
another file. There the copy is written under the target's own name, which is created exclusively.

Inode numbers decide nothing about a copy: those of network file systems, of FUSE and of exFAT may be others after a while.
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

_NO_RENAME = (*_UNSUPPORTED, errno.EPERM)
"""Of a rename that refuses to replace: some sandboxes answer a call that they do not know with EPERM."""

_NO_LINK = (*_NO_RENAME, errno.EACCES, errno.EMLINK, errno.EIO)
"""Of a link; EIO is what rclone says. EPERM, EACCES and EIO may be about the files as well: what is done in place of the link finds
out."""

_USUAL_NAME_BYTES = 255

_NO_SUCH_NAME = (errno.EINVAL, errno.EILSEQ, errno.ENOENT)
"""Errors by which a file system refuses to create a name in a folder that is there."""


class NoRenameError(OSError):
    """A file system has no rename that refuses to replace, and no hard links; or does not grant them for this file."""


def asks_for_copy(error: OSError) -> bool:
    """Whether `rename_noreplace` failed because the file can only be copied.

    EXDEV, between two disks, may be the answer within a folder as well: of a union of several disks.
    """
    return isinstance(error, NoRenameError) or error.errno == errno.EXDEV


_copied_in_place: set[int] = set()
"""Devices on which no finished copy could be named: learned with the first file, which therefore is written twice."""


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
        return iter_numbered(path, _find_name_limit(path.parent))

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
        target = as_path(move.target)
        try:
            rename_noreplace(as_path(move.source), target)
        except OSError as error:
            if not asks_for_copy(error):
                raise
            return _copy(move, log, target) if isinstance(error, NoRenameError) else _copy_across(move, log)
        return move

    def recover(self, move: AnyMove, log: MoveLog[AnyMove]) -> tuple[AnyMove, bool]:
        del log
        if move.part:
            part = as_path(move.part)
            return move, _recover_in_place(move) if part == move.target else _recover_copy(move, part)
        if _is_link(as_path(move.target), as_path(move.source)):
            # Killed between link and unlink.
            as_path(move.target).unlink()
            return move, False
        source, target = read_stamp(as_path(move.source)), read_stamp(as_path(move.target))
        return move, bool(target and target.may_be(move.stamp) and source != move.stamp)

    def is_same_file(self, location: Location, stamp: FileStamp, moved: Move) -> bool:
        return stamp.is_unchanged(moved.arrived) or _is_copy(as_path(location), moved)


def _find_name_limit(directory: Path) -> int:
    """Return how many bytes a name in `directory` may have; what is usual where the file system does not tell."""
    with suppress(OSError):
        if (limit := os.pathconf(directory, "PC_NAME_MAX")) > 0:
            return limit
    return _USUAL_NAME_BYTES


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
    """Copy to another device: under an unfinished name if a finished copy can be named there."""
    target = as_path(move.target)
    if _copied_in_place and target.parent.stat().st_dev in _copied_in_place:
        return _copy(move, log, target)
    part = target.parent / f"{PART_PREFIX}{uuid.uuid4().hex[:16]}{PART_SUFFIX}"
    try:
        return _copy(move, log, part)
    except OSError as error:
        if not asks_for_copy(error):
            raise
    part.unlink()
    moved = _copy(move, log, target)
    _copied_in_place.add(target.parent.stat().st_dev)
    return moved


def _copy(move: AnyMove, log: MoveLog[AnyMove], part: Path) -> AnyMove:
    """Copy to the new file `part`, verify, name the copy unless `part` is the target, and only then remove the source."""
    source, target = as_path(move.source), as_path(move.target)
    move = log.copying(move, part)
    try:
        digest, copied = copy_verified(source, part)
    except FileExistsError:
        # What has the name is not ours: a recovery must not take it for our unfinished copy.
        log.copying(move, None)
        raise
    if not _is_version(source, move.stamp, digest) or move.digest not in (None, digest):
        with suppress(OSError):
            if _is_version(part, copied, digest):
                part.unlink()
        raise RefusedError(Reason(ReasonCode.CHANGED_WHILE_COPIED))
    move = log.copied(move, copied, digest)
    if part != target:
        rename_noreplace(part, target)
    sync_directory(target.parent)
    if not _is_version(source, move.stamp, digest) or not _is_copy(target, move):
        raise RefusedError(Reason(ReasonCode.CHANGED_WHILE_COPIED))
    source.unlink()
    return move


def _is_copy(path: Path, move: Move) -> bool:
    """Whether `path` is the whole copy that `move` announced."""
    return move.copied is not None and _is_version(path, move.copied, move.digest)


def _is_version(path: Path, stamp: FileStamp, digest: str | None) -> bool:
    """Whether the file `path` is what it was when it had `stamp`, and the content `digest`.

    Its content decides where its time is another: one that was set may be rounded by the file system afterwards, or, as rclone's,
    be another for as long as the file waits to be uploaded.
    """
    found = read_stamp(path)
    if found is None or found.size_bytes != stamp.size_bytes:
        return False
    return found.is_unchanged(stamp) or _digest_file(path) == digest


def _recover_in_place(move: Move) -> bool:
    """Recover a copy that was written under the target's own name; return whether the file is at its target.

    Until `copied` was announced, what is there need not be ours: it is removed only if all of it is in the source too.
    """
    source, target = as_path(move.source), as_path(move.target)
    if _is_beginning(target, source):
        target.unlink()
        return False
    # The original is gone, or a person changed it meanwhile: the copy may be the last one.
    return _is_copy(target, move)


def _recover_copy(move: Move, part: Path) -> bool:
    """Recover a copy that was written under an unfinished name; return whether the file is at its target."""
    source, target = as_path(move.source), as_path(move.target)
    has_part = read_stamp(part) is not None
    # As long as the copy has its unfinished name, the target is somebody else's, unless both are names of one file.
    is_named = _is_copy(target, move) and (not has_part or _is_link(target, part))
    copy = target if is_named else part
    if move.copied and (is_named or has_part) and not _is_beginning(copy, source):
        # A person took the original away meanwhile: the copy may be the last one.
        if not is_named:
            _name_copy(part, target)
        return True
    if has_part:
        part.unlink()
    if is_named:
        target.unlink()
    return False


def _name_copy(part: Path, target: Path) -> None:
    """Name a whole copy whose original is gone, without replacing anything.

    Killed while it copies, it leaves `part` as it is, and a piece of it that keeps the name from being given.
    """
    try:
        rename_noreplace(part, target)
    except OSError as error:
        if not asks_for_copy(error):
            raise
        copy_verified(part, target)
        sync_directory(target.parent)
        part.unlink()


def _is_link(new: Path, old: Path) -> bool:
    """Whether the name `new` was given by a link to the regular file `old`."""
    first, second = read_stamp(new), read_stamp(old)
    if first is None or second is None:
        return False
    if first == second:
        return True
    # Unions of disks may give each name an inode number of its own: then it is how many names it has, and the content.
    return os.lstat(new).st_nlink > 1 and first.is_unchanged(second) and _is_beginning(new, old)


def _is_beginning(copy: Path, source: Path) -> bool:
    """Whether the content of the regular file `copy` is the beginning of that of `source`, or all of it, or nothing at all."""
    if read_stamp(copy) is None or read_stamp(source) is None:
        return False
    with _opened(copy) as copied, _opened(source) as original:
        while chunk := os.read(copied, _CHUNK_BYTES):
            if chunk != _read_bytes(original, len(chunk)):
                return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file to be read, no link, until the context ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_bytes(descriptor: int, count: int) -> bytes:
    """Return the next `count` bytes, fewer only at the end."""
    content = b""
    while len(content) < count and (chunk := os.read(descriptor, count - len(content))):
        content += chunk
    return content


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
        NoRenameError: neither can be done there.
        OSError: with EXDEV if they are on two devices, and every other reason why a file cannot be moved.
    """
    if _renameat2 is not None:
        if not _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE):
            return
        code = ctypes.get_errno()
        if code not in _NO_RENAME:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        raise NoRenameError(error.errno, error.strerror, str(source), None, str(target)) from None
    # Both names must not be lost with the power: the new one is on the disk before the old one goes.
    sync_directory(target.parent)
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


def sync_directory(directory: Path) -> None:
    """Flush the names of `directory` to the disk, where the file system can do so."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


# -- copying ---------------------------------------------------------------------------------------------------------


def copy_verified(source: Path, part: Path) -> tuple[str, FileStamp]:
    """Copy `source`, its times and permissions to the new file `part`, flush it, and read it again.

    Returns:
        The SHA-256 of the content, in hexadecimal, and what the copy is, as its file system tells.

    Raises:
        FileExistsError: there is something of the name `part`.
        OSError: it cannot be read or written, or what was read again is not what was written; no copy is left.
    """
    with _opened(source) as reading:
        writing = _create(part)
        created = os.fstat(writing)
        try:
            try:
                digest = _write_copy(reading, writing)
            finally:
                os.close(writing)
            return digest, _check_written(part, digest)
        except OSError:
            with suppress(OSError):
                # The name may be another file's by now.
                if os.path.samestat(created, os.lstat(part)):
                    part.unlink()
            raise


def _create(path: Path) -> int:
    """Create a file, to be written, of which there was none."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _explained(error, path) from None


def _explained(error: OSError, path: Path) -> OSError:
    """Return the error that creating `path` gave, in other words if it is about the name."""
    if error.errno in _NO_SUCH_NAME and path.parent.is_dir():
        return OSError(error.errno, "the file system there does not take this name", str(path))
    return error


def _write_copy(reading: int, writing: int) -> str:
    digest, status = hashlib.sha256(), os.fstat(reading)
    while chunk := os.read(reading, _CHUNK_BYTES):
        digest.update(chunk)
        _write_all(writing, chunk)
    _copy_attributes(status, writing)
    os.fsync(writing)
    return digest.hexdigest()


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy_attributes(status: os.stat_result, descriptor: int) -> None:
    # The file system of the target may know no owners or permissions, or let nobody set a time: the content is what matters.
    with suppress(OSError):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    with suppress(OSError):
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    try:
        os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
    except OSError as error:
        if error.errno not in (*_UNSUPPORTED, errno.EPERM):
            raise


def _check_written(path: Path, expected: str) -> FileStamp:
    """Read a file that was written and closed, and return what it is.

    By its name, not by what it was written through: some file systems let nobody read and write at a time, and some write, or
    say that they could not, only when a file is closed.
    """
    with _opened(path) as descriptor:
        if hasattr(os, "posix_fadvise"):
            # From the disk, where the system can do so, and not from its memory of what was written.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        if _digest(descriptor) != expected:
            raise OSError(errno.EIO, "the copy, read again, differs from what was written")
        return stamp_of(os.fstat(descriptor))


def _digest(descriptor: int) -> str:
    digest = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _digest_file(path: Path) -> str:
    with _opened(path) as descriptor:
        return _digest(descriptor)


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
                _make_directory(step)
                created.append(step)
            _check_directory(step)
    except OSError:
        remove_directories(created)
        raise
    return created


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir()
    except OSError as error:
        raise _explained(error, directory) from None


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
