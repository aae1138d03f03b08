"""The interface to files, which disks and buckets implement.

No other code asks whether a location is on a disk or in a bucket: what differs between the two is a method here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from imagetwins.reasons import Reason
from imagetwins.storage.location import Location, parse_location

_MAX_NS = 2**63 - 1


def clamp_ns(time_ns: int) -> int:
    """Return nanoseconds since 1970 as tables of 64-bit integers hold them: 1677 and 2262 stand for times before and after.

    File systems know others: ext4 up to the year 2446, XFS up to 2486.
    """
    if -_MAX_NS <= time_ns <= _MAX_NS:
        return time_ns
    # Not the lowest integer, which has no negative.
    return _MAX_NS if time_ns > 0 else -_MAX_NS


_CLOCK_UNITS_NS = (100, 1_000, 10_000_000, 1_000_000_000, 2_000_000_000)
"""How finely clocks count: NTFS, `utimes`, exFAT, many network file systems, FAT."""


def is_same_time(time_ns: int, other_ns: int) -> bool:
    """Whether two times are the same, or one is the other as a coarser clock cuts it off.

    A move may cut it off even on one file system: a union may copy the file from one of its disks to another.
    """
    early, late = sorted((time_ns, other_ns))
    return early == late or any(early % unit == 0 and late - early < unit for unit in _CLOCK_UNITS_NS)


@dataclass(frozen=True)
class FileStamp:
    """What identifies one version of a file among others of the same name, without reading it.

    Attributes:
        inode: its inode number; 0 of an object. The device is left out: its number may change with a reboot.
        size_bytes: its size.
        mtime_ns: its time of modification in nanoseconds since 1970, see `clamp_ns`; of an object, when it was put there.
        etag: the entity tag of an object, which is another where the content is another; "" of a file.
    """

    inode: int
    size_bytes: int
    mtime_ns: int
    etag: str = ""

    def is_unchanged(self, other: "FileStamp") -> bool:
        """Whether this is `other`, or a copy with its times, as far as a file system keeps them.

        Inodes do not count: a new file may get a removed one's.
        """
        if self.etag or other.etag:
            return (self.size_bytes, self.etag) == (other.size_bytes, other.etag)
        return self.size_bytes == other.size_bytes and is_same_time(self.mtime_ns, other.mtime_ns)

    def may_be(self, other: "FileStamp") -> bool:
        """Whether this is `other`, perhaps edited since."""
        return self.inode == other.inode or self.is_unchanged(other)


@dataclass(frozen=True)
class Listed:
    """A file as it was listed: what must still hold when something is done to it later. `digest` is None if its content need not."""

    location: Location
    size_bytes: int
    mtime_ns: int
    digest: str | None


class Found(NamedTuple):
    """What a walk through a folder found under one name.

    There is one for each file of a folder, so it is a tuple, and its name a string: a `Path` takes as long as asking the disk.

    Attributes:
        path: where it is, as `location.to_json_name` spells it.
        kind: "file" for a regular file or an object; "folder" for one that cannot be read; "other" for what is neither, as a
            FIFO, or cannot be examined; "put aside" for a folder that is not entered because runs move duplicates to it.
        size_bytes, mtime_ns: of a file, else 0.
        validator: what a change of its content changes besides size and time: ctime and inode of a file, the ETag of an
            object. The word is HTTP's (RFC 9110, 8.8).
        changed_ns: when it changed last, by the file system's clock; 0 where the validator shows every change however soon it
            follows another.
        inode_key: what is the same for all hard links to a file, and differs for another file; None of an object, and where the
            file system does not tell.
        error: why nothing more is known of it; None of a file.
    """

    path: str
    kind: Literal["file", "folder", "other", "put aside"]
    size_bytes: int = 0
    mtime_ns: int = 0
    validator: str = ""
    changed_ns: int = 0
    inode_key: tuple[int, ...] | None = None
    error: str | None = None

    @property
    def location(self) -> Location:
        """Where it is."""
        return parse_location(self.path)


@dataclass(frozen=True)
class Move:
    """One file on its way from `source` to `target`, both in one storage, as far as it has been announced.

    Attributes:
        stamp: what the file was at its source when the move began.
        digest: SHA-256 of its content, None if that need not stay what it was.
        part: the unfinished copy, where the file is copied; it has the target's name where no finished one can be named.
        copied: what the finished copy is.
    """

    source: Location
    target: Location
    stamp: FileStamp
    digest: str | None = None
    part: Location | None = None
    copied: FileStamp | None = None

    @property
    def arrived(self) -> FileStamp:
        """What the file is at its target."""
        return self.copied or self.stamp


AnyMove = TypeVar("AnyMove", bound=Move)


class MoveLog(Protocol[AnyMove]):
    """Where the steps of a move are written before they are taken; returns when they are on the disk."""

    def copying(self, move: AnyMove, part: Location | None) -> AnyMove:
        """Announce the unfinished copy `part`, which does not exist yet; None if that is a name that was taken."""

    def copied(self, move: AnyMove, stamp: FileStamp, digest: str | None = None) -> AnyMove:
        """Announce that the copy is whole, and what it is; with the digest of its content, unless that has been announced."""


class Fetched(NamedTuple):
    """Files of this machine that stand for others.

    Attributes:
        files: one function a location, in their order, to be called in that order: it waits for the file and starts
            fetching those after it.
        errors: why some could not be fetched, by position; grows while `files` are called.
    """

    files: Sequence[Callable[[], Path]]
    errors: dict[int, str]


class AppendLog(ABC):
    """A file that is only ever appended to, held by one process. `content` is what was in it when it was opened."""

    content: bytes

    @abstractmethod
    def truncate(self, length: int) -> None:
        """Forget what follows the first `length` bytes of `content`: an unfinished line."""

    @abstractmethod
    def append(self, content: bytes, *, flush: bool) -> None:
        """Append `content`; with `flush` it is on the disk, or in the bucket, when this returns.

        Raises:
            OSError: it could not be appended, and nothing was.
        """

    @abstractmethod
    def flush(self) -> None:
        """Return when all that was appended is on the disk, or in the bucket."""


class Mover(ABC):
    """Moves files within one storage: never replacing another, in steps such that a kill between any two can be recovered from."""

    verifies_content: bool
    """Whether a move is verified by the content's digest: where times and inodes do not survive it."""

    @abstractmethod
    def check_source(self, listed: Listed, base: Location) -> FileStamp:
        """Return what the file to move is, which lies below the folder `base`, if it is still what was listed.

        Raises:
            RefusedError: it is gone, or changed.
            OSError: it cannot be examined, or the way to it leads over a symbolic link.
        """

    @abstractmethod
    def is_taken(self, location: Location) -> bool:
        """Whether the name `location` is taken, by whatever it may be."""

    @abstractmethod
    def iter_free_names(self, target: Location) -> Iterator[Location]:
        """Yield `target`, then "name (2).suffix", "name (3).suffix" ..., each no longer than its directory allows.

        Raises:
            OSError: ten thousand names were not enough.
        """

    @abstractmethod
    def making_directories(self, target: Location, base: Location) -> AbstractContextManager[None]:
        """Create the directories that `target` needs below the folder `base`; remove them again if the context ends with an error.

        Raises:
            OSError: a directory cannot be created, or a name on the way is a file or a symbolic link.
        """

    @abstractmethod
    def check_way(self, target: Location, base: Location) -> None:
        """Refuse a way from the folder `base` to `target` that leads over a symbolic link.

        Raises:
            OSError: it does, or something on it is gone.
        """

    @abstractmethod
    def remove_emptied(self, target: Location, base: Location) -> None:
        """Remove the directory of `target` and those above it that are empty, as far as they are below the folder `base`."""

    @abstractmethod
    def mark(self, aside: Location) -> None:
        """Put the marker, which keeps a folder from being scanned, into the existing folder `aside`; on the disk on return.

        Raises:
            OSError: it cannot be put there.
        """

    @abstractmethod
    def unmark(self, aside: Location) -> None:
        """Remove the marker of the folder `aside`, and the folder with it, if nothing else is there."""

    @abstractmethod
    def move(self, move: AnyMove, log: MoveLog[AnyMove]) -> AnyMove:
        """Make the announced `move`, and return it with what was announced on the way.

        Raises:
            FileExistsError: the target's name is taken.
            RefusedError: the file changed on the way.
            OSError: it cannot be moved.
        """

    @abstractmethod
    def recover(self, move: AnyMove, log: MoveLog[AnyMove]) -> tuple[AnyMove, bool]:
        """Finish or undo an unfinished `move` by what is there now; return it, and whether its file is at the target.

        Nothing is removed but our own copies: whole ones only while all that they hold is seen to be in the original, too.

        Raises:
            OSError: the disk does not let us, or is away.
        """

    @abstractmethod
    def is_same_file(self, location: Location, stamp: FileStamp, moved: Move) -> bool:
        """Whether the file at `location`, which is `stamp`, is the one that was moved by `moved`."""


class Storage(ABC):
    """Files on disks, or objects in buckets. Methods take locations of the same kind only."""

    mover: Mover

    # -- names

    @abstractmethod
    def absolute(self, location: Location) -> Location:
        """Return `location` as an absolute one; a leading ~ is the user's home."""

    @abstractmethod
    def resolve(self, location: Location) -> Location:
        """Return `location` absolute and without symbolic links; it need not exist."""

    @abstractmethod
    def is_inside(self, location: Location, folder: Location) -> bool:
        """Whether `location` is `folder` or below it; never where `folder` is of another kind."""

    @abstractmethod
    def relative_name(self, location: Location, folder: Location) -> str:
        """Return the name of `location`, which is inside `folder`, as seen from there."""

    @abstractmethod
    def to_uri(self, location: Location) -> str:
        """Return the URL of `location`: file:///a/b%20c.png, s3://bucket/a."""

    # -- folders

    @abstractmethod
    def find_folder(self, folder: Location) -> Location:
        """Return the existing folder, without symbolic links.

        Raises:
            FileNotFoundError: there is none; says where it was looked for.
            NotADirectoryError: it is a file.
            OSError: it cannot be asked for.
        """

    @abstractmethod
    def check_new_folder(self, folder: Location) -> None:
        """Refuse a folder that cannot be written to as one; it need not exist yet.

        Raises:
            NotADirectoryError: a file, which it names, is in the way.
            ValueError: its name cannot be used.
            OSError: it cannot be asked for.
        """

    @abstractmethod
    def walk(
        self,
        root: Location,
        *,
        recursive: bool,
        is_excluded: Callable[[str], bool],
        never: Sequence[Location],
        seen: set[Any],
    ) -> Iterator[Found]:
        """Yield what is below `root`, in no order. Symbolic links are neither followed nor yielded.

        A folder below `root` that holds a `MARKER` is yielded as one that was put aside, and not entered.

        Args:
            root: an existing folder.
            recursive: also what is in sub-folders.
            is_excluded: called with names relative to `root`, those of folders with a slash at the end; an excluded folder is not
                entered.
            never: folders that are not entered, wherever they are.
            seen: what earlier walks of the same listing visited, which is not visited again; grows.

        Raises:
            OSError: the bucket cannot be listed. (A directory that cannot be read is yielded.)
        """

    @abstractmethod
    def glob(self, folder: Location, pattern: str) -> list[Location]:
        """Return the files of `folder` whose relative names match `pattern`, part by part, sorted; none without a folder."""

    @abstractmethod
    def size_bytes(self, location: Location) -> int:
        """Return the bytes of a file, or of all files below a folder; 0 if there is neither."""

    @abstractmethod
    def remove_tree(self, location: Location) -> None:
        """Remove a file, or a folder with all that is in it, as far as there is such and that is possible."""

    # -- files

    @abstractmethod
    def stat(self, location: Location) -> FileStamp | None:
        """Return what the regular file or the object is; None if there is none.

        Raises:
            OSError: it cannot be asked for.
        """

    @abstractmethod
    def read_bytes(self, location: Location) -> bytes:
        """Return the content of a file.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """

    @abstractmethod
    def read_starts(self, locations: Sequence[Location], count: int) -> list[bytes]:
        """Return the first `count` bytes of each file, b"" of one that cannot be read; nothing but regular files is opened."""

    @abstractmethod
    def digest(self, location: Location, size_bytes: int | None = None) -> str:
        """Return the SHA-256 of the content of a regular file, in hexadecimal.

        `size_bytes`, where it is known, spares a request to a bucket.

        Raises:
            OSError: it is none, or cannot be read.
        """

    @abstractmethod
    def find_change(self, listed: Listed) -> Reason | None:
        """Return the reason why a file is no longer what was listed, its content included; None if it is.

        Size and time are compared first (of objects the size alone: a move changes their time); the content is read only if these are the same.

        Raises:
            OSError: it cannot be asked for.
        """

    @abstractmethod
    def fetching(self, locations: Sequence[Location]) -> AbstractContextManager[Fetched]:
        """Provide files of a bucket as files of this machine while the context lasts, fetched ahead of their use."""

    @abstractmethod
    def writing(self, location: Location) -> AbstractContextManager[Path]:
        """Yield a local path to write to; on success it becomes `location` at once, whole and flushed.

        On an error `location` is what it was before, and nothing else is left.
        """

    @abstractmethod
    def arrow_source(self, location: Location) -> tuple[str, Any]:
        """Return the name of a file and the file system that has it, as pyarrow and DuckDB take them; None: this machine's."""

    # -- processes

    @abstractmethod
    def open_log(self, location: Location) -> AbstractContextManager[AppendLog]:
        """Open, and create if need be, the log `location` for this process alone.

        Raises:
            StoreError: another process has it open.
            OSError: it cannot be opened.
        """

    @abstractmethod
    def read_log(self, location: Location) -> bytes | None:
        """Return the content of the log `location`; None if there is none."""

    @abstractmethod
    def lock(self, folder: Location, holder: str) -> AbstractContextManager[None]:
        """Hold `folder` for one run while the context lasts; `holder` is named to others.

        Raises:
            FolderBusyError: another run holds the folder, one above it or one inside it; names who.
            OSError: the folder cannot be opened.
        """

    @abstractmethod
    def local_directory(self, folder: Location) -> Path:
        """Return the folder of this machine for what belongs to `folder` and must be on a local disk: caches, locks."""
