"""Single operations on a bucket, through fsspec: what an object is, a copy that replaces nothing, a conditional removal.

On S3 the store itself checks, in one step with the change: a copy is of the version that was looked at and fails where its
name is taken (`x-amz-copy-source-if-match`, `If-None-Match: *`), a removal is of the version that was looked at
(`If-Match`). The plain CopyObject is not used: stores that know no conditions on it ignore them, and replace. Elsewhere
fsspec's exclusive creation is used, and a removal looks first.
"""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagetwins.storage.base import clamp_ns
from imagetwins.storage.location import Location, has_plain_parts

if TYPE_CHECKING:
    from upath import UPath

CHUNK_BYTES = 8 << 20
STARTS_AT_ONCE = 1000
"""Objects whose beginnings are asked for in one call."""

_KEPT = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata",
    "ServerSideEncryption", "SSEKMSKeyId", "StorageClass",
)  # fmt: skip
"""What a copy on S3 must be given to be like its original; a copy in parts takes nothing over by itself."""


@dataclass(frozen=True)
class ObjectInfo:
    """What an object is: its size in bytes, when it was put there, and the tag that another content would change."""

    size_bytes: int
    mtime_ns: int
    etag: str

    @classmethod
    def of(cls, info: dict[str, Any]) -> "ObjectInfo":
        """Return what is in fsspec's `info`, whose names differ by file system."""
        when = next((info[name] for name in ("LastModified", "mtime", "updated", "created") if info.get(name)), 0)
        seconds = _seconds(when)
        tag = next((info[name] for name in ("ETag", "etag") if info.get(name)), f"put at {seconds}")
        return cls(int(info["size"]), clamp_ns(round(seconds * 1e6) * 1000), str(tag))


def _seconds(when: Any) -> float:
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return when.timestamp() if isinstance(when, datetime) else float(when)


def as_object(location: Location) -> "UPath":
    """Return `location`, which a caller took for a URL.

    Raises:
        TypeError: it is a path of this machine.
    """
    if isinstance(location, Path):
        raise TypeError(f"{str(location)!r} is a path of this machine, not a URL")
    return location


def filesystem(location: Location) -> Any:
    """Return the fsspec file system of a URL."""
    return as_object(location).fs


def key_of(location: Location) -> str:
    """Return the name of a URL in its `filesystem`: bucket/key."""
    return as_object(location).path


@contextmanager
def reaching(location: Location) -> Iterator[None]:
    """Turn whatever a bucket's client raises into an OSError that names `location`.

    Raises:
        OSError: the bucket, the network or the credentials are at fault.
        TypeError: `location` is a path of this machine.
    """
    as_object(location)
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{location} cannot be reached: {type(error).__name__}: {error}") from error


def find_object(location: Location) -> ObjectInfo | None:
    """Return what is at `location`; None if there is no object of this name.

    Raises:
        OSError: the bucket cannot be asked, or does not answer.
    """
    try:
        with reaching(location):
            info = filesystem(location).info(key_of(location))
    except FileNotFoundError:
        return None
    return ObjectInfo.of(info) if info["type"] == "file" else None


def iter_objects(folder: Location, *, recursive: bool) -> Iterator[tuple[str, ObjectInfo]]:
    """Yield the name, relative to `folder`, of each object below it, and what it is.

    Names that no path can have, with empty or dotted parts, are left out: no file system could hold them.

    Raises:
        OSError: the bucket cannot be listed.
    """
    start = len(key_of(folder).rstrip("/")) + 1
    with reaching(folder):
        found = filesystem(folder).find(key_of(folder), maxdepth=None if recursive else 1, detail=True)
    for name, info in found.items():
        # Some tools mark a folder by an object of no bytes, whose name ends in a slash.
        if has_plain_parts(name[start:].split("/")):
            yield name[start:], ObjectInfo.of(info)


def read_starts(locations: Sequence[Location], count: int) -> list[bytes]:
    """Return the first `count` bytes of each of `locations`, which are in one bucket; b"" of one that cannot be read."""
    starts: list[bytes] = []
    for first in range(0, len(locations), STARTS_AT_ONCE):
        some = locations[first : first + STARTS_AT_ONCE]
        keys = [key_of(location) for location in some]
        with reaching(some[0]):
            found = filesystem(some[0]).cat_ranges(keys, [0] * len(some), [count] * len(some), on_error="return")
        starts += [start if isinstance(start, bytes) else b"" for start in found]
    return starts


def digest_object(location: Location, size_bytes: int) -> str:
    """Return the SHA-256 of the content of an object of `size_bytes`, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    files, key, digest = filesystem(location), key_of(location), hashlib.sha256()
    # A request a piece; opened as a file, it would be asked for its size each time.
    for start in range(0, size_bytes, CHUNK_BYTES):
        with reaching(location):
            digest.update(files.cat_file(key, start=start, end=min(start + CHUNK_BYTES, size_bytes)))
    return digest.hexdigest()


def create_object(location: Location, content: bytes) -> None:
    """Put `content` at `location`, where there must be nothing.

    Raises:
        FileExistsError: there is an object of this name.
        OSError: it cannot be put there.
    """
    with reaching(location):
        filesystem(location).pipe_file(key_of(location), content, mode="create")


def replace_object(location: Location, content: bytes) -> None:
    """Put `content` at `location`, whatever is there.

    Raises:
        OSError: it cannot be put there.
    """
    with reaching(location):
        filesystem(location).pipe_file(key_of(location), content)


def copy_object(source: Location, target: Location, etag: str) -> None:
    """Copy the version `etag` of `source` to the new name `target`; inside S3 the content does not come here.

    Raises:
        FileExistsError: there is an object of this name.
        OSError: it cannot be copied, or `source` is another version now.
    """
    files = filesystem(source)
    if hasattr(files, "call_s3"):
        with reaching(target):
            _copy_in_s3(files, source, target, etag)
        return
    _check_version(source, etag)
    with reaching(source):
        content = files.cat_file(key_of(source))
    create_object(target, content)


def _copy_in_s3(files: Any, source: Location, target: Location, etag: str) -> None:
    original, copy = (
        {"Bucket": bucket, "Key": key} for bucket, key, _ in map(files.split_path, (key_of(source), key_of(target)))
    )
    head = files.call_s3("head_object", **original)
    upload = files.call_s3("create_multipart_upload", **copy, **{name: head[name] for name in _KEPT if name in head})
    copy["UploadId"] = upload["UploadId"]
    try:
        part = files.call_s3("upload_part_copy", **copy, PartNumber=1, CopySource=original, CopySourceIfMatch=etag)
        parts = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
        files.call_s3("complete_multipart_upload", **copy, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except OSError:
        with suppress(OSError):
            files.call_s3("abort_multipart_upload", **copy)
        raise


def remove_object(location: Location, etag: str) -> None:
    """Remove the version `etag` of `location`.

    Raises:
        OSError: it is another version now, or cannot be removed.
    """
    files = filesystem(location)
    if hasattr(files, "call_s3"):
        bucket, key, _ = files.split_path(key_of(location))
        with reaching(location):
            files.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=etag)
        return
    _check_version(location, etag)
    with reaching(location):
        files.rm_file(key_of(location))


def _check_version(location: Location, etag: str) -> None:
    found = find_object(location)
    if found is None or found.etag != etag:
        raise OSError(errno.ESTALE, "another version is there now", str(location))
