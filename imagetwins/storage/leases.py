"""Two machines that run on one folder of a bucket exclude each other: an object in it says which run is at work.

A bucket does not release a lock when its holder dies, so a lease expires: a living holder renews it, and one that has not
done so for LEASE_SECONDS may be replaced. One of the machine that asks is replaced at once: the kernel's lock (`locks.py`)
has shown that its process is dead. The safety of moves does not depend on leases: each change is conditional on the version
that was looked at.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from imagetwins.errors import FolderBusyError
from imagetwins.storage.location import Location
from imagetwins.storage.objects import (
    create_object,
    filesystem,
    find_object,
    key_of,
    reaching,
    remove_object,
    replace_object,
)

LEASE_SECONDS = 600
"""Machines' clocks may differ by less; a holder that hangs for longer may find another at work."""

RENEW_SECONDS = 60


@dataclass(frozen=True)
class Lease:
    """Which run holds the folder, on which machine, and when the lease expires, in seconds since 1970."""

    holder: str
    machine: str
    expires: float

    def content(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@contextmanager
def hold_lease(location: Location, holder: str, machine: str) -> Iterator[None]:
    """Hold the object `location` while the context lasts.

    A process that may not write to the bucket cannot move anything in it either, and needs no lease.

    Raises:
        FolderBusyError: a process of another machine holds it; names who.
        OSError: the bucket cannot be reached.
    """
    try:
        _create(location, holder, machine)
    except PermissionError:
        yield
        return
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(location, holder, machine, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(OSError):
            if (found := find_object(location)) and _is_ours(location, holder, machine):
                remove_object(location, found.etag)


def _create(location: Location, holder: str, machine: str) -> None:
    while True:
        with suppress(FileExistsError):
            create_object(location, _lease(holder, machine).content())
            return
        found, theirs = find_object(location), _read(location)
        if found and theirs and theirs.machine != machine and theirs.expires > time.time():
            left = round((theirs.expires - time.time()) / 60)
            raise FolderBusyError(
                f"{str(location.parent.parent)!r} is in use: {theirs.holder} holds it, on another machine. Wait until that run "
                f"has ended. Should its machine have failed, the folder is free in {left} minutes, or when you remove {location}."
            )
        if found:
            # Of several that find it expired, the bucket lets one remove it, and then one create it.
            with suppress(OSError):
                remove_object(location, found.etag)


def _lease(holder: str, machine: str) -> Lease:
    return Lease(holder, machine, time.time() + LEASE_SECONDS)


def _read(location: Location) -> Lease | None:
    """Return the lease at `location`; None if there is none, or something else."""
    try:
        with reaching(location):
            return Lease(**json.loads(filesystem(location).cat_file(key_of(location))))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _is_ours(location: Location, holder: str, machine: str) -> bool:
    found = _read(location)
    return found is not None and (found.holder, found.machine) == (holder, machine)


def _renew(location: Location, holder: str, machine: str, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        with suppress(OSError), reaching(location):
            if not _is_ours(location, holder, machine):
                # This process did not renew it in time, and another has replaced it.
                return
            replace_object(location, _lease(holder, machine).content())


def read_machine(directory: Path) -> str:
    """Return the identifier of this machine: a random name that is chosen once, and kept in `directory`."""
    kept = directory / "machine"
    with suppress(FileExistsError), kept.open("x", encoding="utf-8") as file:
        file.write(uuid.uuid4().hex)
    return kept.read_text(encoding="utf-8")
