"""Move one file without ever replacing another, in steps small enough that a kill between any two is recoverable.

In a bucket there are no folders to make, to check or to remove: what does so does nothing there.
"""

import ctypes
import errno
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagetwins.storage.location import address, is_remote
from imagetwins.storage.objects import find_object

PART_PREFIX, PART_SUFFIX = ".imagetwins-", ".part"
"""What the unfinished copy of a file is called, beside its target."""

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_CHUNK_BYTES = 1 << 20
_MAX_NAMES = 10_000
_MAX_SUFFIX_BYTES = 32
_MAX_KEY_BYTES = 1024
"""Of the whole name of an object, on S3 and Google's storage alike."""

# Of errors by which a file system says that it has no such call; any other error is about the files.
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


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


def part_name(directory: Path) -> Path:
    """Return a new name for an unfinished copy in `directory`, short enough for every file system."""
    return directory / f"{PART_PREFIX}{uuid.uuid4().hex[:16]}{PART_SUFFIX}"


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


def is_taken(place: Path) -> bool:
    """Whether the name `place` is taken, by whatever it may be."""
    return find_object(place) is not None if is_remote(place) else os.path.lexists(place)


def iter_free_names(target: Path) -> Iterator[Path]:
    """Yield `target`, then "name (2).suffix", "name (3).suffix" ..., each no longer than its directory allows."""
    if is_remote(target):
        limit = _MAX_KEY_BYTES - len(address(target.parent).encode()) - 1
    else:
        limit = os.pathconf(target.parent, "PC_NAME_MAX")
    yield target
    # A "suffix" that fills the name is none, and leaves no room for the number.
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _MAX_SUFFIX_BYTES else ""
    stem = target.name.removesuffix(suffix)
    for number in range(2, _MAX_NAMES):
        ending = f" ({number}){suffix}"
        yield target.with_name(_shorten(stem, limit - len(os.fsencode(ending))) + ending)
    raise OSError(errno.EEXIST, f"{_MAX_NAMES} files have this name already", str(target))


def _shorten(stem: str, limit: int) -> str:
    """Return the longest beginning of `stem` that takes at most `limit` bytes."""
    while stem and len(os.fsencode(stem)) > limit:
        stem = stem[:-1]
    return stem


def make_directories(directory: Path, base: Path) -> list[Path]:
    """Create `directory` and what is missing above it, inside the existing folder `base`; return what was created.

    Raises:
        NotADirectoryError: a name on the way is a file, or a symbolic link, which might lead out of the folder.
        OSError: a directory cannot be created; those created before it are removed again.
    """
    created: list[Path] = []
    try:
        for step in _steps(directory, base):
            with suppress(FileExistsError):
                step.mkdir()
                created.append(step)
            if not stat.S_ISDIR(os.lstat(step).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "is not a directory, or is a link", str(step))
    except OSError:
        remove_directories(created)
        raise
    return created


def _steps(directory: Path, base: Path) -> list[Path]:
    """Return the directories below `base` down to `directory`, in this order; in a bucket there are none."""
    if is_remote(directory):
        return []
    return [
        base.joinpath(*directory.relative_to(base).parts[:depth])
        for depth in range(1, 1 + len(directory.relative_to(base).parts))
    ]


def check_unlinked(directory: Path, base: Path) -> None:
    """Refuse a way from `base` to `directory` that leads over a symbolic link.

    Raises:
        OSError: it does, or something on it is gone.
    """
    for step in _steps(directory, base):
        if not stat.S_ISDIR(os.lstat(step).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory, or is a link", str(step))


def remove_directories(created: list[Path]) -> None:
    """Remove those of the directories `created` that are empty, the innermost first."""
    for directory in reversed(created):
        with suppress(OSError):
            directory.rmdir()


def remove_emptied(directory: Path, base: Path) -> None:
    """Remove `directory` and those above it as long as they are empty, up to `base`, which stays."""
    remove_directories(_steps(directory, base))
