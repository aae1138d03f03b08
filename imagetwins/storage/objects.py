"""What is asked of a bucket beyond a path: what is in it, what an object is, a copy that replaces nothing, a sure removal.

On S3 the store itself checks, in one step with the change: a copy is of the version that was looked at and fails where its
name is taken (`x-amz-copy-source-if-match`, `If-None-Match: *`), a removal is of the version that was looked at
(`If-Match`). The plain CopyObject is not used: stores that know no conditions on it ignore them, and replace. Elsewhere
fsspec's exclusive creation is used, and a removal looks first.
"""

import errno
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from imagetwins.storage.location import address, filesystem, is_plain, reaching

CHUNK_BYTES = 8 << 20
STARTS_AT_ONCE = 1000
"""Objects whose beginnings are asked for in one go."""

_KEPT = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata",
    "ServerSideEncryption", "SSEKMSKeyId", "StorageClass",
)  # fmt: skip
"""What a copy on S3 is told to have like its original; a copy in parts takes nothing over by itself."""


@dataclass(frozen=True)
class Object:
    """What an object is: its size in bytes, when it was put there, and the tag that another content would change."""

    size_bytes: int
    mtime_ns: int
    etag: str

    @classmethod
    def of(cls, info: dict[str, Any]) -> "Object":
        """Return what fsspec's `info` tells, whose names differ by file system."""
        when = next((info[name] for name in ("LastModified", "mtime", "updated", "created") if info.get(name)), 0)
        seconds = _seconds(when)
        tag = next((info[name] for name in ("ETag", "etag") if info.get(name)), f"put at {seconds}")
        return cls(int(info["size"]), round(seconds * 1e6) * 1000, str(tag))


def _seconds(when: Any) -> float:
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return when.timestamp() if isinstance(when, datetime) else float(when)


def find_object(place: Path) -> Object | None:
    """Return what is at `place`; None if there is no object of this name.

    Raises:
        OSError: the bucket cannot be asked, or does not answer.
    """
    try:
        with reaching(place):
            info = filesystem(place).info(address(place))
    except FileNotFoundError:
        return None
    return Object.of(info) if info["type"] == "file" else None


def iter_objects(folder: Path, *, recursive: bool) -> Iterator[tuple[str, Object]]:
    """Yield the name, relative to `folder`, of each object below it, and what it is.

    Names that no path can have, with empty or dotted parts, are left out: nothing but their own bucket knows them.

    Raises:
        OSError: the bucket cannot be listed.
    """
    start = len(address(folder).rstrip("/")) + 1
    with reaching(folder):
        found = filesystem(folder).find(address(folder), maxdepth=None if recursive else 1, detail=True)
    for name, info in found.items():
        # Some tools mark a folder by an object of no bytes, whose name ends in a slash.
        if is_plain(name[start:].split("/")):
            yield name[start:], Object.of(info)


def read_starts(places: Sequence[Path], count: int) -> list[bytes]:
    """Return the first `count` bytes of each of `places`, which are in one bucket; none of one that cannot be read."""
    starts: list[bytes] = []
    for first in range(0, len(places), STARTS_AT_ONCE):
        some = places[first : first + STARTS_AT_ONCE]
        with reaching(some[0]):
            starts += [
                start if isinstance(start, bytes) else b""
                for start in filesystem(some[0]).cat_ranges(
                    [address(place) for place in some], [0] * len(some), [count] * len(some), on_error="return"
                )
            ]
    return starts


def digest_object(place: Path, size_bytes: int) -> str:
    """Return the SHA-256 of the content of `place`, which has so many bytes, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    files, digest = filesystem(place), hashlib.sha256()
    # A request a piece; opened as a file, it would be asked for its size each time.
    for start in range(0, size_bytes, CHUNK_BYTES):
        with reaching(place):
            digest.update(files.cat_file(address(place), start=start, end=min(start + CHUNK_BYTES, size_bytes)))
    return digest.hexdigest()


def create_object(place: Path, content: bytes) -> None:
    """Put `content` at `place`, where there must be nothing.

    Raises:
        FileExistsError: there is an object of this name.
        OSError: it cannot be put there.
    """
    with reaching(place):
        filesystem(place).pipe_file(address(place), content, mode="create")


def copy_object(source: Path, target: Path, etag: str) -> None:
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
        content = files.cat_file(address(source))
    create_object(target, content)


def _copy_in_s3(files: Any, source: Path, target: Path, etag: str) -> None:
    original, copy = (
        {"Bucket": bucket, "Key": key} for bucket, key, _ in map(files.split_path, (address(source), address(target)))
    )
    told = files.call_s3("head_object", **original)
    upload = files.call_s3("create_multipart_upload", **copy, **{name: told[name] for name in _KEPT if name in told})
    copy["UploadId"] = upload["UploadId"]
    try:
        part = files.call_s3("upload_part_copy", **copy, PartNumber=1, CopySource=original, CopySourceIfMatch=etag)
        parts = [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]
        files.call_s3("complete_multipart_upload", **copy, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
    except OSError:
        with suppress(OSError):
            files.call_s3("abort_multipart_upload", **copy)
        raise


def remove_object(place: Path, etag: str) -> None:
    """Remove the version `etag` of `place`.

    Raises:
        OSError: it is another version now, or cannot be removed.
    """
    files = filesystem(place)
    if hasattr(files, "call_s3"):
        bucket, key, _ = files.split_path(address(place))
        with reaching(place):
            files.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=etag)
        return
    _check_version(place, etag)
    with reaching(place):
        files.rm_file(address(place))


def _check_version(place: Path, etag: str) -> None:
    found = find_object(place)
    if found is None or found.etag != etag:
        raise OSError(errno.ESTALE, "another version is there now", str(place))
