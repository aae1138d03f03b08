"""The write-ahead journal of the moves of a run: what was about to happen is on the disk before it happens.

One JSON object a line, only ever appended. Each transfer of a file, out to `Duplicates` or back, has a number and

    begin    what is to go from where to where, and how to recognise it; flushed to the disk before the file is touched
    copying  across devices: the name of the unfinished copy, before it is created
    copied   across devices: how to recognise the finished copy, before it gets its name
    done     it is there
    void     it is still where it was, and why

Objects of a bucket are always copied, without an unfinished name: there is no `copying`, and `begin` tells the digest of
the content. A transfer with neither `done` nor `void` was interrupted: `moves.recover_journal` looks at the disk and settles it.
A last line without its end is the trace of a kill in the middle of writing it; nothing had followed from it yet.
In a bucket, where nothing can be appended to, a journal is a folder of pieces, read one after the other; the last piece is
put there again, whole, with each announcement until it is large enough.
Names that are not UTF-8 survive: JSON escapes the surrogates that Python reads them as.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from imagetwins.errors import StoreError
from imagetwins.storage.location import address, filesystem, glob, is_inside, is_remote, name_of, place_of, reaching
from imagetwins.storage.objects import Object, create_object
from imagetwins.storage.transfer import sync_directory

VERSION = 1

PIECE_BYTES = 64_000
"""A piece of a journal in a bucket that is larger than this is followed by another."""

Direction = Literal["out", "back"]


@dataclass(frozen=True)
class Identity:
    """What tells a file from another of the same name later. Not the device: its number may change with a reboot.

    An object has a tag, and no inode; its time says when it was put there, which is nothing that the tag does not tell.
    """

    inode: int
    size_bytes: int
    mtime_ns: int
    etag: str = ""

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)

    @classmethod
    def of_object(cls, found: Object) -> "Identity":
        return cls(0, found.size_bytes, found.mtime_ns, found.etag)

    def is_unchanged(self, other: "Identity") -> bool:
        """Whether this is `other`, or a copy with its times. Inodes do not count: a new file gets a removed one's."""
        if self.etag or other.etag:
            return (self.size_bytes, self.etag) == (other.size_bytes, other.etag)
        return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)

    def may_be(self, other: "Identity") -> bool:
        """Whether this is `other`, perhaps edited since."""
        return self.inode == other.inode or self.is_unchanged(other)


@dataclass(frozen=True)
class Transfer:
    """One move of one file as the journal knows it."""

    number: int
    direction: Direction
    image: int
    source: Path
    target: Path
    identity: Identity
    digest: str | None = None
    part: Path | None = None
    copied: Identity | None = None
    state: Literal["open", "done", "void"] = "open"
    reason: str = ""

    @property
    def arrived(self) -> Identity:
        """What the file is at its target."""
        return self.copied or self.identity


class Journal:
    """The journal of one run, open for appending and held by this process alone; see `open_journal`."""

    def __init__(self, writer: "_File | _Pieces", transfers: list[Transfer]) -> None:
        self._writer = writer
        self.transfers = transfers

    def begin(
        self,
        direction: Direction,
        image: int,
        source: Path,
        target: Path,
        identity: Identity,
        digest: str | None = None,
    ) -> Transfer:
        """Announce a transfer; when this returns, the announcement is on the disk."""
        transfer = Transfer(len(self.transfers), direction, image, source, target, identity, digest)
        record: dict[str, Any] = {"direction": direction, "image": image}
        record |= {"source": name_of(source), "target": name_of(target), "identity": vars(identity), "digest": digest}
        self._append({"event": "begin", "number": transfer.number, **record}, flush=True)
        self.transfers.append(transfer)
        return transfer

    def copying(self, transfer: Transfer, part: Path) -> Transfer:
        """Announce the unfinished copy `part`; on the disk on return."""
        return self._record(replace(transfer, part=part), "copying", flush=True, part=os.fspath(part))

    def copied(self, transfer: Transfer, copy: Identity) -> Transfer:
        """Record that the copy is whole; on the disk on return."""
        return self._record(replace(transfer, copied=copy), "copied", flush=True, identity=vars(copy))

    # The end of a transfer can be told from the disk again, so it may reach the disk with the next announcement.
    def done(self, transfer: Transfer) -> Transfer:
        """Record that the file is at its target."""
        return self._record(replace(transfer, state="done"), "done", flush=False)

    def void(self, transfer: Transfer, reason: str) -> Transfer:
        """Record that the file stayed where it was."""
        return self._record(replace(transfer, state="void", reason=reason), "void", flush=False, reason=reason)

    def _record(self, transfer: Transfer, event: str, *, flush: bool, **fields: Any) -> Transfer:
        self._append({"event": event, "number": transfer.number, **fields}, flush=flush)
        self.transfers[transfer.number] = transfer
        return transfer

    def _append(self, record: dict[str, Any], *, flush: bool) -> None:
        self._writer.append(json.dumps(record).encode() + b"\n", flush=flush)


class _File:
    """A journal on a disk: appended to, and flushed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._end = os.lseek(descriptor, 0, os.SEEK_END)

    def append(self, content: bytes, *, flush: bool) -> None:
        line = memoryview(content)
        try:
            # A full disk may have taken half of an earlier line: this one must not be glued to it.
            os.ftruncate(self._descriptor, self._end)
            while line:
                line = line[os.write(self._descriptor, line) :]
            if flush:
                os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise OSError(error.errno, f"the journal cannot be written ({error.strerror})", str(self._path)) from error
        self._end = os.lseek(self._descriptor, 0, os.SEEK_END)


class _Pieces:
    """A journal in a bucket: each piece is a new object, put again whole as it grows."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._number = number
        self._piece = b""
        self._put = b""

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
        place = self._path / f"{self._number:06d}.jsonl"
        if self._put:
            with reaching(place):
                filesystem(place).pipe_file(address(place), self._piece)
        else:
            try:
                create_object(place, self._piece)
            except FileExistsError:
                raise StoreError(f"{self._path} is in use by another process. Wait until it has ended.") from None
        self._put = self._piece
        if len(self._piece) > PIECE_BYTES:
            self._number, self._piece, self._put = self._number + 1, b"", b""


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open, and create if need be, the journal `path` for this process alone.

    Raises:
        StoreError: another process has it open, or it is damaged.
        OSError: it cannot be written.
    """
    with _open_pieces(path) if is_remote(path) else _open_file(path) as journal:
        yield journal


@contextmanager
def _open_file(path: Path) -> Iterator[Journal]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{path} is in use by another process. Wait until it has ended.") from None
        records, whole = _parse(path, path.read_bytes())
        transfers = _replay(path, records)
        os.ftruncate(descriptor, whole)
        writer = _File(path, descriptor)
        if not records:
            writer.append(_HEADER, flush=True)
            sync_directory(path.parent)
        yield Journal(writer, transfers)
        # Only ends of transfers can be unflushed here, and those can be told from the disk again.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _open_pieces(path: Path) -> Iterator[Journal]:
    pieces = _list_pieces(path)
    records, _ = _parse(path, _join(pieces))
    # A piece that is begun anew is a new object: whoever else had opened the journal finds its name taken.
    writer = _Pieces(path, int(pieces[-1].stem) + 1 if pieces else 0)
    if not records:
        writer.append(_HEADER, flush=True)
    yield Journal(writer, _replay(path, records))
    # As above; nor is it of use to one whose journal another has taken over.
    with suppress(OSError, StoreError):
        writer.flush()


_HEADER = json.dumps({"event": "journal", "version": VERSION}).encode() + b"\n"


def _list_pieces(path: Path) -> list[Path]:
    return glob(path, "*.jsonl")


def _join(pieces: list[Path]) -> bytes:
    """Return the content of `pieces`, which are read at once."""
    if not pieces:
        return b""
    with reaching(pieces[0]):
        content: dict[str, bytes] = filesystem(pieces[0]).cat([address(piece) for piece in pieces])
    return b"".join(content[address(piece)] for piece in pieces)


def journal_exists(path: Path) -> bool:
    """Whether there is a journal `path`: a run that moved nothing has none."""
    return bool(_list_pieces(path)) if is_remote(path) else path.exists()


def read_journal(path: Path) -> list[Transfer]:
    """Return the transfers of the journal `path` in their order; none where there is no journal.

    Raises:
        StoreError: a line other than an unfinished last one cannot be read.
    """
    with suppress(FileNotFoundError):
        content = _join(_list_pieces(path)) if is_remote(path) else path.read_bytes()
        return _replay(path, _parse(path, content)[0])
    return []


def check_journal(path: Path, folder: Path) -> None:
    """Refuse the journal `path` if it names files outside `folder`, that of its run: no run of ours wrote that.

    Raises:
        StoreError: it does, or it is damaged; names the file.
    """
    for transfer in read_journal(path):
        for place in (transfer.source, transfer.target, transfer.part or transfer.target):
            if ".." in place.parts or not is_inside(place, folder):
                raise StoreError(
                    f"{path} names {str(place)!r}, which is not in the folder of its run, {str(folder)!r}: somebody changed it. "
                    "Nothing was moved."
                )


def _parse(path: Path, content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the records of the whole lines of `content`, and how many bytes those lines are."""
    whole = content.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise StoreError(
                f"line {number} of {path} is damaged ({error}). The lines before and after it still tell what was moved."
            ) from None
    return records, whole


def _replay(path: Path, records: list[dict[str, Any]]) -> list[Transfer]:
    transfers: list[Transfer] = []
    try:
        if records and records[0].get("version") != VERSION:
            raise StoreError(f"{path} was not written by this version: {records[0]}")
        for record in records[1:]:
            if record["event"] == "begin":
                transfers.append(_begun(record))
            else:
                transfers[record["number"]] = _followed(transfers[record["number"]], record)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} is not a journal of moves: {error!r}") from error
    return transfers


def _begun(record: dict[str, Any]) -> Transfer:
    return Transfer(
        number=record["number"],
        direction=record["direction"],
        image=record["image"],
        source=place_of(record["source"]),
        target=place_of(record["target"]),
        identity=Identity(**record["identity"]),
        digest=record.get("digest"),
    )


def _followed(transfer: Transfer, record: dict[str, Any]) -> Transfer:
    match record["event"]:
        case "copying":
            return replace(transfer, part=Path(record["part"]))
        case "copied":
            return replace(transfer, copied=Identity(**record["identity"]))
        case "done":
            return replace(transfer, state="done")
        case _:
            return replace(transfer, state="void", reason=record["reason"])
