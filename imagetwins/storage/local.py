"""Files on the disks of this machine."""

import errno
import functools
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from imagetwins.reasons import Reason, ReasonCode
from imagetwins.storage.base import AppendLog, Fetched, FileStamp, Found, Listed, Storage, clamp_ns
from imagetwins.storage.local_moves import LocalMover, as_path, read_stamp, stamp_of
from imagetwins.storage.location import Location, is_path
from imagetwins.storage.locks import lock_directory
from imagetwins.storage.logs import open_local_log
from imagetwins.storage.reserved import MARKER, PART_PREFIX, PART_SUFFIX

InodeKey = tuple[int, ...]
"""What a file or directory is, whatever it is called, see `_identify`."""


class LocalStorage(Storage):
    """The file systems of this machine."""

    mover = LocalMover()

    # -- names

    def absolute(self, location: Location) -> Path:
        return as_path(location).expanduser().absolute()

    def resolve(self, location: Location) -> Path:
        return as_path(location).expanduser().resolve()

    def is_inside(self, location: Location, folder: Location) -> bool:
        return is_path(folder) and as_path(location).is_relative_to(folder)

    def relative_name(self, location: Location, folder: Location) -> str:
        return os.fspath(as_path(location).relative_to(as_path(folder)))

    def to_uri(self, location: Location) -> str:
        return as_path(location).absolute().as_uri()

    # -- folders

    def find_folder(self, folder: Location) -> Path:
        path = as_path(folder).expanduser()
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, f"looked for {path.absolute()}; check the path", str(path))
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is a file", str(path))
        return path.resolve()

    def check_new_folder(self, folder: Location) -> None:
        path = self.absolute(folder)
        there = next(part for part in (path, *path.parents) if part.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{str(there)!r} is a file", str(there))

    def walk(
        self,
        root: Location,
        *,
        recursive: bool,
        is_excluded: Callable[[str], bool],
        never: Sequence[Location],
        seen: set[Any],
        links: dict[str, str] | None = None,
    ) -> Iterator[Found]:
        # A directory is entered once even if a root lies inside another one (its name is the same), or a mount makes it appear
        # twice.
        seen.update(key for path in never if is_path(path) and (key := _inode_key(path)))
        # Strings, each with what the names in it begin with, below `root`: to make a path of a name, or to ask one for it,
        # takes longer than the file system.
        top = os.fspath(as_path(root))
        pending = [(top, "")]
        while pending:
            directory, start = pending.pop()
            key = _inode_key(directory)
            if directory in seen or key in seen:
                continue
            try:
                with os.scandir(directory) as scanned:
                    entries = list(scanned)
            except OSError as error:
                yield Found(directory, "folder", error=f"cannot be read: {error.strerror}")
                continue
            seen.add(directory)
            if key:
                seen.add(key)
            if directory != top and any(entry.name == MARKER for entry in entries):
                yield Found(directory, "put aside")
                continue
            folders = []
            for entry in entries:
                name = start + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if recursive and not is_excluded(f"{name}/"):
                        folders.append((entry.path, f"{name}/"))
                elif not is_excluded(name) and (found := _examine(entry, links)):
                    yield found
            # Sorted, so that it is always the same one that counts of two that are the same.
            pending += sorted(folders, key=lambda folder: os.fsencode(folder[0]))

    def glob(self, folder: Location, pattern: str) -> list[Location]:
        return [path for path in sorted(as_path(folder).glob(pattern)) if path.is_file()]

    def size_bytes(self, location: Location) -> int:
        path = as_path(location)
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)

    def remove_tree(self, location: Location) -> None:
        path = as_path(location)
        with suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    # -- files

    def stat(self, location: Location) -> FileStamp | None:
        return read_stamp(as_path(location))

    def read_link(self, location: Location) -> str | None:
        with suppress(OSError):
            return os.readlink(as_path(location))  # noqa: PTH115 - a string, as in `walk`
        return None

    def read_bytes(self, location: Location) -> bytes:
        return as_path(location).read_bytes()

    def read_starts(self, locations: Sequence[Location], count: int) -> list[bytes]:
        return [_read_start(as_path(location), count) for location in locations]

    def digest(self, location: Location, size_bytes: int | None = None) -> str:
        del size_bytes
        # O_NONBLOCK: should a FIFO have taken the file's place, opening it must not wait for a writer.
        with open(os.open(as_path(location), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(location))
            return hashlib.file_digest(file, "sha256").hexdigest()

    def find_change(self, listed: Listed) -> Reason | None:
        stamp = stamp_of(os.lstat(as_path(listed.location)))
        if stamp.size_bytes != listed.size_bytes:
            return Reason.of(ReasonCode.SIZE_CHANGED, now=stamp.size_bytes, then=listed.size_bytes)
        if stamp.mtime_ns != listed.mtime_ns:
            return Reason(ReasonCode.MODIFIED)
        return None if self.digest(listed.location) == listed.digest else Reason(ReasonCode.CONTENT_CHANGED)

    @contextmanager
    def fetching(self, locations: Sequence[Location]) -> Iterator[Fetched]:
        yield Fetched([functools.partial(as_path, location) for location in locations], {})

    @contextmanager
    def writing(self, location: Location) -> Iterator[Path]:
        target = as_path(location)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The leading dot keeps an unfinished file out of `*.parquet`, should the process be killed here.
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        try:
            yield temporary
            # Not to be written: some of FUSE (rclone without its cache) write a file in one go, and refuse to do so once more.
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def arrow_source(self, location: Location) -> tuple[str, None]:
        return os.fspath(as_path(location)), None

    # -- processes

    def open_log(self, location: Location) -> AbstractContextManager[AppendLog]:
        return open_local_log(as_path(location))

    def read_log(self, location: Location) -> bytes | None:
        with suppress(FileNotFoundError):
            return as_path(location).read_bytes()
        return None

    def lock(self, folder: Location, holder: str) -> AbstractContextManager[None]:
        directory = as_path(folder).resolve()
        return lock_directory(directory, str(directory), holder)

    def local_directory(self, folder: Location) -> Path:
        return as_path(folder)


def _inode_key(path: Path | str) -> InodeKey | None:
    try:
        return _identify(Path(path).stat())
    except OSError:
        return None


def _identify(status: os.stat_result) -> InodeKey | None:
    """Return what is the same for all names of a file or directory, and differs for another one; None where nothing tells.

    Device and inode alone do not: some file systems give every file the inode 0, and one that shows several disks as one (FUSE
    unions, bindfs) may give files of two disks the same.
    """
    if not status.st_ino:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _examine(entry: os.DirEntry[str], links: dict[str, str] | None) -> Found | None:
    """Return what a name that is no directory stands for; None for symbolic links, which `links` gets, and unfinished copies."""
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Found(entry.path, "other", error=str(error.strerror))
    mode, modified, changed, inode = status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    if stat.S_ISLNK(mode):
        if links is not None:
            with suppress(OSError):
                links[entry.path] = os.readlink(entry.path)  # noqa: PTH115 - a string, as all names here
        return None
    if entry.name.startswith(PART_PREFIX) and entry.name.endswith(PART_SUFFIX):
        return None
    if not stat.S_ISREG(mode):
        return Found(entry.path, "other", mtime_ns=clamp_ns(modified), error="not a regular file: never opened")
    newest = max(modified, changed)
    return Found(
        entry.path,
        "file",
        status.st_size,
        clamp_ns(modified),
        f"{changed}:{inode}",
        newest,
        _identify(status),
    )


def _read_start(path: Path, count: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, count)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
