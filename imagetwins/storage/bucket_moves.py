"""Move one object of a bucket without ever replacing another.

An object cannot be renamed. It is copied inside the bucket on the condition that its new name is free, the copy is read and
compared, and only then the original is removed, on the condition that it is still the version that was compared. There are no
directories: what makes, checks or removes them does nothing here.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from imagetwins.reasons import Reason, ReasonCode, RefusedError
from imagetwins.storage.base import AnyMove, FileStamp, Listed, Move, MoveLog, Mover
from imagetwins.storage.location import Location
from imagetwins.storage.names import iter_numbered
from imagetwins.storage.objects import (
    copy_object,
    create_object,
    digest_object,
    find_object,
    iter_objects,
    key_of,
    remove_object,
)
from imagetwins.storage.reserved import LEASE, MARKER, MARKER_TEXT, OWN_LEASE

_MAX_KEY_BYTES = 1024
"""Of the whole name of an object, on S3 and Google's storage alike."""


def read_stamp(location: Location) -> FileStamp | None:
    """Return what the object is; None if there is none."""
    found = find_object(location)
    return FileStamp(0, found.size_bytes, found.mtime_ns, found.etag) if found else None


class BucketMover(Mover):
    """Moves inside a bucket."""

    verifies_content = True

    def check_source(self, listed: Listed, base: Location) -> FileStamp:
        del base
        stamp = read_stamp(listed.location)
        if stamp is None:
            raise RefusedError(Reason(ReasonCode.SOURCE_MISSING))
        if stamp.size_bytes != listed.size_bytes:
            raise RefusedError(Reason(ReasonCode.SOURCE_CHANGED))
        # The time of an object is in whole seconds, and another one after a move, so the content is compared.
        if listed.digest is not None and digest_object(listed.location, stamp.size_bytes) != listed.digest:
            raise RefusedError(Reason(ReasonCode.SOURCE_CHANGED))
        return stamp

    def is_taken(self, location: Location) -> bool:
        return find_object(location) is not None

    def iter_free_names(self, target: Location) -> Iterator[Location]:
        return iter_numbered(target, _MAX_KEY_BYTES - len(key_of(target.parent).encode()) - 1)

    @contextmanager
    def making_directories(self, target: Location, base: Location) -> Iterator[None]:
        del target, base
        yield

    def check_way(self, target: Location, base: Location) -> None:
        """Do nothing."""

    def remove_emptied(self, target: Location, base: Location) -> None:
        """Do nothing."""

    def mark(self, aside: Location) -> None:
        with suppress(FileExistsError):
            create_object(aside / MARKER, MARKER_TEXT.encode())

    def unmark(self, aside: Location) -> None:
        with suppress(OSError):
            if marker := find_object(aside / MARKER):
                # A lease is there while a run or a restore is at work: of the folder whose `Duplicates` it is, or its own.
                left = {name for name, _ in iter_objects(aside, recursive=True)} - {MARKER, LEASE, OWN_LEASE}
                if not left:
                    remove_object(aside / MARKER, marker.etag)

    def move(self, move: AnyMove, log: MoveLog[AnyMove]) -> AnyMove:
        copy_object(move.source, move.target, move.stamp.etag)
        return _finish(move, log)

    def recover(self, move: AnyMove, log: MoveLog[AnyMove]) -> tuple[AnyMove, bool]:
        source, target = read_stamp(move.source), read_stamp(move.target)
        if target is None or digest_object(move.target, target.size_bytes) != move.digest:
            # Nothing was copied, or somebody else has taken the name.
            return move, False
        if source == move.stamp:
            return _finish(move, log), True
        # The original was removed, or changed meanwhile: the copy may be the last one.
        return log.copied(move, target), True

    def is_same_file(self, location: Location, stamp: FileStamp, moved: Move) -> bool:
        # A copy of an object may have another tag, for all that its content is the same.
        return stamp.is_unchanged(moved.arrived) or digest_object(location, stamp.size_bytes) == moved.digest


def _finish(move: AnyMove, log: MoveLog[AnyMove]) -> AnyMove:
    """Read the copy, record it, and remove the original."""
    copy = read_stamp(move.target)
    if copy is None or digest_object(move.target, copy.size_bytes) != move.digest:
        raise OSError(errno.EIO, "the copy, read again, differs from what was copied", str(move.target))
    move = log.copied(move, copy)
    remove_object(move.source, move.stamp.etag)
    return move
