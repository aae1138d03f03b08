"""The write-ahead journal of the moves of a run: what was about to happen is on the disk before it happens.

One JSON object a line, only ever appended. Each transfer of a file, out to `Duplicates` or back, has a number and

    begin    what is to go from where to where, and how to recognise it; flushed to the disk before the file is touched
    copying  across devices: the name of the unfinished copy, before it is created
    copied   across devices: how to recognise the finished copy, before it gets its name
    done     it is there
    void     it is still where it was, and why

A transfer with neither `done` nor `void` was interrupted: `moves.recover_journal` looks at the disk and settles it.
A last line without its end is the trace of a kill in the middle of writing it; nothing had followed from it yet.
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
from imagetwins.transfer import sync_directory

VERSION = 1

Direction = Literal["out", "back"]


@dataclass(frozen=True)
class Identity:
    """What tells a file from another of the same name later. Not the device: its number may change with a reboot."""

    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)

    def is_unchanged(self, other: "Identity") -> bool:
        """Whether this is `other`, or a copy with its times. Inodes do not count: a new file gets a removed one's."""
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

    def __init__(self, path: Path, descriptor: int, transfers: list[Transfer]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._end = os.lseek(descriptor, 0, os.SEEK_END)
        self.transfers = transfers

    def begin(self, direction: Direction, image: int, source: Path, target: Path, identity: Identity) -> Transfer:
        """Announce a transfer; when this returns, the announcement is on the disk."""
        transfer = Transfer(len(self.transfers), direction, image, source, target, identity)
        record = {"direction": direction, "image": image, "source": os.fspath(source), "target": os.fspath(target)}
        self._append({"event": "begin", "number": transfer.number, **record, "identity": vars(identity)}, flush=True)
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
        line = memoryview(json.dumps(record).encode() + b"\n")
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


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open, and create if need be, the journal `path` for this process alone.

    Raises:
        StoreError: another process has it open, or it is damaged.
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{path} is in use by another process. Wait until it has ended.") from None
        records, whole = _parse(path)
        transfers = _replay(path, records)
        os.ftruncate(descriptor, whole)
        journal = Journal(path, descriptor, transfers)
        if not records:
            journal._append({"event": "journal", "version": VERSION}, flush=True)  # noqa: SLF001 - its constructor
            sync_directory(path.parent)
        yield journal
        # Only ends of transfers can be unflushed here, and those can be told from the disk again.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_journal(path: Path) -> list[Transfer]:
    """Return the transfers of the journal `path` in their order; none where there is no journal.

    Raises:
        StoreError: a line other than an unfinished last one cannot be read.
    """
    with suppress(FileNotFoundError):
        return _replay(path, _parse(path)[0])
    return []


def _parse(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records of the whole lines of `path`, and how many bytes those lines are."""
    content = path.read_bytes()
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
        source=Path(record["source"]),
        target=Path(record["target"]),
        identity=Identity(**record["identity"]),
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
