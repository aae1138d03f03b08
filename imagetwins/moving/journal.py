"""The write-ahead journal of the moves of a run: what is about to happen is on the disk before it happens.

One JSON object a line, only ever appended. Each transfer of a file, out to `Duplicates` or back, has a number and these events:

    begin    what is to go from where to where, and how to recognise it; flushed to the disk before the file is touched
    copying  where the file is copied: the name of the unfinished copy, before it is created
    copied   where the file is copied: how to recognise the finished copy, before it gets its name
    done     it is there
    void     it is still where it was, and why

`begin` names the two folders, `home` and `aside`, where the file does not go to the `Duplicates` of its folder. Objects of a bucket are always copied, without an unfinished name: there is no `copying`, and `begin` holds the digest of
the content. A transfer with neither `done` nor `void` was interrupted: `execute.recover_journal` looks at the files and
decides which of the two it is. A file is copied to another device, and where its file system can neither rename nor link
without the danger of replacing another file: there the copy has the target's own name, and a `copying` without a name takes
the one before back, because that name was taken. A last line without its end is the trace of a kill in the middle of writing it; nothing had
followed from it yet. How a log is kept on a disk or in a bucket is `storage.logs`'.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from imagetwins.errors import StoreError
from imagetwins.storage import AppendLog, FileStamp, Location, Move, Route, is_inside, parse_location, storage_of
from imagetwins.storage.location import to_json_name

JOURNAL_VERSION = 3
"""Version 1 knew of no companions, version 2 of no copy that has the target's name from the beginning."""

Direction = Literal["out", "back"]


@dataclass(frozen=True, kw_only=True)
class Transfer(Move):
    """One move of one file as the journal knows it.

    Attributes:
        number: its position in the journal.
        direction: "out" to `Duplicates`, or "back".
        image: the id of the file in its run; of a companion, that of the picture that it belongs to.
        is_companion: whether the file is none of the run's images, but belongs to one.
        route: between which folders it goes.
        state: "open" until it is known where the file is.
        reason: why it is void, in words.
    """

    number: int
    direction: Direction
    image: int
    is_companion: bool = False
    route: Route
    state: Literal["open", "done", "void"] = "open"
    reason: str = ""

    @property
    def origin(self) -> Location:
        """Where the file was listed."""
        return self.source if self.direction == "out" else self.target


class Journal:
    """The journal of one run, open for appending and held by this process alone; see `open_journal`."""

    def __init__(self, log: AppendLog, transfers: list[Transfer]) -> None:
        self._log = log
        self.transfers = transfers

    def begin(
        self,
        direction: Direction,
        image: int,
        source: Location,
        target: Location,
        stamp: FileStamp,
        digest: str | None = None,
        *,
        is_companion: bool = False,
        route: Route | None = None,
    ) -> Transfer:
        """Announce a transfer; when this returns, the announcement is on the disk.

        Without a `route`, the file goes to the `Duplicates` of its folder, or comes from there.
        """
        found = _find_route(direction, source, target)
        transfer = Transfer(
            source=source,
            target=target,
            stamp=stamp,
            digest=digest,
            number=len(self.transfers),
            direction=direction,
            image=image,
            is_companion=is_companion,
            route=route or found,
        )
        record: dict[str, Any] = {"direction": direction, "image": image}
        record |= {"source": to_json_name(source), "target": to_json_name(target)}
        record |= {"identity": asdict(stamp), "digest": digest}
        record |= {"companion": True} if is_companion else {}
        if route and route.aside and route != found:
            record |= {"home": to_json_name(route.home), "aside": to_json_name(route.aside)}
        self._append({"event": "begin", "number": transfer.number, **record}, flush=True)
        self.transfers.append(transfer)
        return transfer

    def copying(self, move: Transfer, part: Location | None) -> Transfer:
        """Announce the unfinished copy `part`; on the disk on return."""
        name = to_json_name(part) if part else None
        return self._record(replace(move, part=part, copied=None), "copying", flush=True, part=name)

    def copied(self, move: Transfer, stamp: FileStamp, digest: str | None = None) -> Transfer:
        """Record that the copy is whole; on the disk on return."""
        digest = digest or move.digest
        move = replace(move, copied=stamp, digest=digest)
        return self._record(move, "copied", flush=True, identity=asdict(stamp), digest=digest)

    # The end of a transfer can be found out from the files again, so it may reach the disk with the next announcement.
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
        self._log.append(json.dumps(record).encode() + b"\n", flush=flush)


@contextmanager
def open_journal(location: Location) -> Iterator[Journal]:
    """Open, and create if need be, the journal `location` for this process alone.

    Raises:
        StoreError: another process has it open, or it is damaged.
        OSError: it cannot be written.
    """
    with storage_of(location).open_log(location) as log:
        records, whole = _parse(location, log.content)
        transfers = _replay(location, records)
        log.truncate(whole)
        if not records:
            log.append(_HEADER, flush=True)
        yield Journal(log, transfers)
        # Only ends of transfers can be unflushed here, and those can be found out from the files again.
        with suppress(OSError, StoreError):
            log.flush()


_HEADER = json.dumps({"event": "journal", "version": JOURNAL_VERSION}).encode() + b"\n"


def journal_exists(location: Location) -> bool:
    """Whether there is a journal `location`: a run that moved nothing has none."""
    return storage_of(location).read_log(location) is not None


def read_journal(location: Location) -> list[Transfer]:
    """Return the transfers of the journal `location` in their order; none where there is no journal.

    Raises:
        StoreError: a line other than an unfinished last one cannot be read.
    """
    content = storage_of(location).read_log(location)
    return [] if content is None else _replay(location, _parse(location, content)[0])


def find_last(journal: Location) -> dict[Location, Transfer]:
    """Return the last finished transfer of each file, which says where it is, by where it was listed.

    Raises:
        StoreError: the journal is damaged.
    """
    return {transfer.origin: transfer for transfer in read_journal(journal) if transfer.state == "done"}


def check_journal(location: Location, places: Sequence[Location]) -> None:
    """Refuse the journal `location` if it names files outside `places`, the folders of its run: imagetwins wrote no such journal.

    Raises:
        StoreError: it does, or it is damaged; names the file.
    """
    for transfer in read_journal(location):
        folders = transfer.route.home, transfer.route.aside or transfer.route.home
        for named in (transfer.source, transfer.target, transfer.part or transfer.target, *folders):
            if ".." in named.parts or not any(is_inside(named, place) for place in places):
                raise StoreError(
                    f"{location} names {str(named)!r}, which is not in the folder of its run, "
                    f"{' or '.join(repr(str(place)) for place in places)}: somebody changed it. Nothing was moved."
                )


def _parse(location: Location, content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the records of the whole lines of `content`, and how many bytes those lines are."""
    whole = content.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise StoreError(
                f"line {number} of {location} is damaged ({error}). The lines before and after it still tell what was moved."
            ) from None
    return records, whole


def _replay(location: Location, records: list[dict[str, Any]]) -> list[Transfer]:
    transfers: list[Transfer] = []
    try:
        if records and records[0].get("version") not in range(1, JOURNAL_VERSION + 1):
            raise StoreError(f"{location} was not written by this version: {records[0]}")
        for record in records[1:]:
            if record["event"] == "begin":
                transfers.append(_parse_begin(record))
            else:
                transfers[record["number"]] = _apply_event(transfers[record["number"]], record)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise StoreError(f"{location} is not a journal of moves: {error!r}") from error
    return transfers


def _find_route(direction: Direction, source: Location, target: Location) -> Route:
    """Return the route of a file that goes to the `Duplicates` of its folder, or comes from there."""
    return Route.between(source, target) if direction == "out" else Route.between(target, source)


def _parse_begin(record: dict[str, Any]) -> Transfer:
    source, target = parse_location(record["source"]), parse_location(record["target"])
    return Transfer(
        number=record["number"],
        direction=record["direction"],
        image=record["image"],
        source=source,
        target=target,
        route=Route.into(parse_location(record["home"]), parse_location(record["aside"]))
        if "aside" in record
        else _find_route(record["direction"], source, target),
        stamp=FileStamp(**record["identity"]),
        digest=record.get("digest"),
        is_companion=record.get("companion", False),
    )


def _apply_event(transfer: Transfer, record: dict[str, Any]) -> Transfer:
    """Return `transfer` as it is after an event that is not its beginning."""
    match record["event"]:
        case "copying":
            part = parse_location(record["part"]) if record["part"] else None
            return replace(transfer, part=part, copied=None)
        case "copied":
            return replace(
                transfer, copied=FileStamp(**record["identity"]), digest=record.get("digest", transfer.digest)
            )
        case "done":
            return replace(transfer, state="done")
        case _:
            return replace(transfer, state="void", reason=record["reason"])
