"""Objects of buckets, through fsspec.

A bucket has neither folders nor links, only names with slashes in them; a folder is what names begin with.
"""

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from imagetwins import settings
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.storage.base import AppendLog, Fetched, FileStamp, Found, Listed, Storage
from imagetwins.storage.bucket_moves import BucketMover, read_stamp
from imagetwins.storage.fetching import fetching
from imagetwins.storage.leases import hold_lease, read_machine
from imagetwins.storage.location import Location, is_path
from imagetwins.storage.locks import lock_directory
from imagetwins.storage.logs import BucketLog, read_pieces
from imagetwins.storage.objects import (
    digest_object,
    filesystem,
    iter_objects,
    key_of,
    reaching,
    read_starts,
)
from imagetwins.storage.reserved import MARKER, OWN_LEASE


class BucketStorage(Storage):
    """Buckets that fsspec reaches."""

    mover = BucketMover()

    # -- names

    def absolute(self, location: Location) -> Location:
        return location

    def resolve(self, location: Location) -> Location:
        return location

    def is_inside(self, location: Location, folder: Location) -> bool:
        return not is_path(folder) and f"{location}/".startswith(f"{str(folder).rstrip('/')}/")

    def relative_name(self, location: Location, folder: Location) -> str:
        return str(location).removeprefix(str(folder).rstrip("/")).lstrip("/")

    def to_uri(self, location: Location) -> str:
        return str(location)

    # -- folders

    def find_folder(self, folder: Location) -> Location:
        with reaching(folder):
            try:
                filesystem(folder).ls(key_of(folder), detail=False)
            except FileNotFoundError as error:
                raise FileNotFoundError(error.errno, "no object's name begins so; check the URL", str(folder)) from None
        return folder

    def check_new_folder(self, folder: Location) -> None:
        if any(character in str(folder) for character in "*?["):
            raise ValueError("it has one of * ? [ in it, which stand for patterns")
        # An empty bucket is a folder that nothing was written to.
        with suppress(FileNotFoundError):
            self.find_folder(folder)

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
        del links  # There are none.
        if any(self.is_inside(root, folder) for folder in never):
            return
        objects = list(iter_objects(root, recursive=recursive))
        marked = {name.rpartition("/")[0] for name, _ in objects if name.endswith(f"/{MARKER}")}

        @functools.cache
        def is_closed(folder: str) -> bool:
            if not folder:
                return False
            above = folder.rpartition("/")[0]
            return is_closed(above) or folder in marked or is_excluded(f"{folder}/") or root / folder in never

        for folder in sorted(marked):
            if not is_closed(folder.rpartition("/")[0]):
                yield Found(str(root / folder), "put aside")
        for name, info in objects:
            location, folder = root / name, name.rpartition("/")[0]
            if location not in seen and not is_closed(folder) and not is_excluded(name):
                seen.add(location)
                yield Found(str(location), "file", info.size_bytes, info.mtime_ns, validator=info.etag)

    def glob(self, folder: Location, pattern: str) -> list[Location]:
        # Not the file system's own pattern: it lists folder by folder, and takes the folder's name for a pattern too.
        start = len(key_of(folder).rstrip("/")) + 1
        with reaching(folder):
            names = [name[start:] for name in filesystem(folder).find(key_of(folder))]
        depth = pattern.count("/")
        matching = (name for name in names if name.count("/") == depth and PurePosixPath(name).match(pattern))
        return [folder / name for name in sorted(matching)]

    def size_bytes(self, location: Location) -> int:
        with reaching(location):
            return int(sum(filesystem(location).du(key_of(location), total=False).values()))

    def remove_tree(self, location: Location) -> None:
        with suppress(OSError), reaching(location):
            filesystem(location).rm(key_of(location), recursive=True)

    # -- files

    def stat(self, location: Location) -> FileStamp | None:
        return read_stamp(location)

    def read_link(self, location: Location) -> None:
        del location  # There are none.

    def read_bytes(self, location: Location) -> bytes:
        with reaching(location):
            content: bytes = filesystem(location).cat_file(key_of(location))
        return content

    def read_starts(self, locations: Sequence[Location], count: int) -> list[bytes]:
        return read_starts(locations, count)

    def digest(self, location: Location, size_bytes: int | None = None) -> str:
        if size_bytes is None:
            stamp = read_stamp(location)
            if stamp is None:
                raise FileNotFoundError(f"{location} is no longer there")
            size_bytes = stamp.size_bytes
        return digest_object(location, size_bytes)

    def find_change(self, listed: Listed) -> Reason | None:
        # Its time says when it was put there: one that was moved and restored has another, and is the same.
        found = read_stamp(listed.location)
        if found is None:
            return Reason(ReasonCode.MISSING_SINCE_RUN)
        if found.size_bytes != listed.size_bytes:
            return Reason.of(ReasonCode.SIZE_CHANGED, now=found.size_bytes, then=listed.size_bytes)
        is_same = digest_object(listed.location, found.size_bytes) == listed.digest
        return None if is_same else Reason(ReasonCode.CONTENT_CHANGED)

    def fetching(self, locations: Sequence[Location]) -> AbstractContextManager[Fetched]:
        return fetching(locations)

    @contextmanager
    def writing(self, location: Location) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="imagetwins-") as directory:
            # Under its own name: writers may go by the suffix.
            written = Path(directory) / location.name
            yield written
            with reaching(location):
                filesystem(location).put_file(written, key_of(location))

    def arrow_source(self, location: Location) -> tuple[str, Any]:
        return key_of(location), filesystem(location)

    # -- processes

    @contextmanager
    def open_log(self, location: Location) -> Iterator[AppendLog]:
        yield BucketLog(location, self.glob(location, "*.jsonl"))

    def read_log(self, location: Location) -> bytes | None:
        return read_pieces(self.glob(location, "*.jsonl"))

    @contextmanager
    def lock(self, folder: Location, holder: str) -> Iterator[None]:
        # Against this machine by a directory that stands for the folder, against others by a lease in the bucket.
        parts = [hashlib.sha256(part.encode()).hexdigest()[:16] for part in str(folder).rstrip("/").split("/")]
        directory = settings.cache_directory().joinpath("locks", *parts)
        directory.mkdir(parents=True, exist_ok=True)
        machine = read_machine(settings.cache_directory())
        with (
            lock_directory(directory, str(folder), holder),
            hold_lease(folder / OWN_LEASE, holder, machine),
        ):
            yield

    def local_directory(self, folder: Location) -> Path:
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        return settings.cache_directory() / f"{folder.name}-{digest}"
