"""Logs that are only appended to, held by one process: on a disk a file, in a bucket a folder of pieces.

Nothing can be appended to an object. So a log in a bucket is a folder of objects that are read one after the other; the
last one is put there again, whole, each time that something must be safe, until it is large enough.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imagetwins.errors import StoreError
from imagetwins.storage.base import AppendLog
from imagetwins.storage.local_moves import sync_directory
from imagetwins.storage.location import Location
from imagetwins.storage.locks import lock_file
from imagetwins.storage.objects import create_object, filesystem, key_of, reaching, replace_object

PIECE_BYTES = 64_000
"""A piece that is larger than this is followed by another."""


class LocalLog(AppendLog):
    """A log on a disk: appended to, and flushed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.content = path.read_bytes()
        self._path = path
        self._descriptor = descriptor
        self._end = os.lseek(descriptor, 0, os.SEEK_END)

    def truncate(self, length: int) -> None:
        os.ftruncate(self._descriptor, length)
        self._end = length

    def append(self, content: bytes, *, flush: bool) -> None:
        is_first = self._end == 0
        try:
            self._write(content, flush=flush)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise OSError(error.errno, f"the journal cannot be written ({error.strerror})", str(self._path)) from error
        self._end = os.lseek(self._descriptor, 0, os.SEEK_END)
        if is_first:
            sync_directory(self._path.parent)

    def _write(self, content: bytes, *, flush: bool) -> None:
        # A full disk may have taken half of an earlier line, which this one must not be glued to.
        os.ftruncate(self._descriptor, self._end)
        line = memoryview(content)
        while line:
            line = line[os.write(self._descriptor, line) :]
        if flush:
            os.fsync(self._descriptor)

    def flush(self) -> None:
        os.fsync(self._descriptor)


class BucketLog(AppendLog):
    """A log in a bucket: each piece is a new object, put again whole as it grows."""

    def __init__(self, folder: Location, pieces: list[Location]) -> None:
        self.content = _join(pieces)
        self._folder = folder
        # A piece that is begun anew is a new object: whoever else had opened the log finds its name taken.
        self._number = int(pieces[-1].stem) + 1 if pieces else 0
        self._piece = b""
        self._put = b""

    def truncate(self, length: int) -> None:
        """Do nothing: a piece is put whole, or not at all."""

    def append(self, content: bytes, *, flush: bool) -> None:
        self._piece += content
        if not flush:
            return
        try:
            self.flush()
        except OSError:
            self._piece = self._piece.removesuffix(content)
            raise

    def flush(self) -> None:
        if self._piece == self._put:
            return
        location = self._folder / f"{self._number:06d}.jsonl"
        if self._put:
            replace_object(location, self._piece)
        else:
            try:
                create_object(location, self._piece)
            except FileExistsError:
                raise _in_use(self._folder) from None
        self._put = self._piece
        if len(self._piece) > PIECE_BYTES:
            self._number, self._piece, self._put = self._number + 1, b"", b""


def _in_use(location: Location) -> StoreError:
    return StoreError(f"{location} is in use by another process. Wait until it has ended.")


@contextmanager
def open_local_log(path: Path) -> Iterator[LocalLog]:
    """Open, and create if need be, the log `path`, locked for this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        try:
            lock_file(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, str(path))
        except BlockingIOError:
            raise _in_use(path) from None
        yield LocalLog(path, descriptor)
    finally:
        os.close(descriptor)


def read_pieces(pieces: list[Location]) -> bytes | None:
    """Return the content of a log in a bucket; None if there are no pieces of it."""
    return _join(pieces) if pieces else None


def _join(pieces: list[Location]) -> bytes:
    """Return the content of `pieces`, which are read at once."""
    if not pieces:
        return b""
    keys = [key_of(piece) for piece in pieces]
    with reaching(pieces[0]):
        content: dict[str, bytes] = filesystem(pieces[0]).cat(keys)
    return b"".join(content[key] for key in keys)
