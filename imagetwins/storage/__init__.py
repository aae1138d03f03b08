"""Files on a disk or in a bucket, behind one interface: `storage_of(location)` knows how to do it there."""

from imagetwins.storage.base import (
    AppendLog,
    Fetched,
    FileStamp,
    Found,
    Listed,
    Move,
    Mover,
    Storage,
)
from imagetwins.storage.bucket import BucketStorage
from imagetwins.storage.local import LocalStorage
from imagetwins.storage.location import Location, is_path, is_url, parse_location
from imagetwins.storage.names import Route
from imagetwins.storage.reserved import DUPLICATES, MARKER
from imagetwins.storage.writable import can_be_written, private_directory

__all__ = [
    "DUPLICATES",
    "MARKER",
    "AppendLog",
    "Fetched",
    "FileStamp",
    "Found",
    "Listed",
    "Location",
    "Move",
    "Mover",
    "Route",
    "Storage",
    "can_be_written",
    "is_inside",
    "is_path",
    "is_url",
    "parse_location",
    "private_directory",
    "storage_of",
]

_LOCAL = LocalStorage()
_BUCKET = BucketStorage()


def storage_of(location: Location) -> Storage:
    """Return the storage that `location` is in."""
    return _LOCAL if is_path(location) else _BUCKET


def is_inside(location: Location, folder: Location) -> bool:
    """Whether `location` is `folder` or below it."""
    return storage_of(location).is_inside(location, folder)
