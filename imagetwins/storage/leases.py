"""Two machines that run on one folder of a bucket exclude each other: an object in it says who is at work.

A bucket drops no lock with its holder, so the lease runs out: a holder that lives renews it, and one that is silent for
LEASE_SECONDS may be replaced. A holder that died on the machine that asks is replaced at once: `locks.py` has the lock
of the kernel then. Moves do not depend on leases: what they change they change only as it was seen.
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
from imagetwins.storage.location import address, filesystem, reaching
from imagetwins.storage.objects import create_object, find_object, remove_object

LEASE_SECONDS = 600
"""Machines' clocks may differ by less; a holder that hangs for longer may find another at work."""

RENEW_SECONDS = 60


@dataclass(frozen=True)
class Lease:
    """Who is at work, on which machine, until when if nothing more is heard, in seconds since 1970."""

    holder: str
    machine: str
    expires: float

    def content(self) -> bytes:
        return json.dumps(asdict(self)).encode()


@contextmanager
def hold_lease(place: Path, holder: str, machine: str) -> Iterator[None]:
    """Hold the object `place` as long as the context lasts.

    Who may not write to the bucket cannot move anything in it either, and holds nothing.

    Raises:
        FolderBusyError: a process of another machine holds it; names who.
        OSError: the bucket cannot be reached.
    """
    try:
        _create(place, holder, machine)
    except PermissionError:
        yield
        return
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(place, holder, machine, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(OSError):
            if (found := find_object(place)) and _is_ours(place, holder, machine):
                remove_object(place, found.etag)


def _create(place: Path, holder: str, machine: str) -> None:
    while True:
        with suppress(FileExistsError):
            create_object(place, _lease(holder, machine).content())
            return
        found, theirs = find_object(place), _read(place)
        if found and theirs and theirs.machine != machine and theirs.expires > time.time():
            left = round((theirs.expires - time.time()) / 60)
            raise FolderBusyError(
                f"{str(place.parent.parent)!r} is in use: {theirs.holder} holds it, on another machine. Wait until that run "
                f"has ended. Should its machine have failed, the folder is free in {left} minutes, or when you remove {place}."
            )
        if found:
            # Of several that find it to be over, the bucket lets one remove it, and then one create it.
            with suppress(OSError):
                remove_object(place, found.etag)


def _lease(holder: str, machine: str) -> Lease:
    return Lease(holder, machine, time.time() + LEASE_SECONDS)


def _read(place: Path) -> Lease | None:
    """Return the lease at `place`; None if there is none, or something else."""
    try:
        with reaching(place):
            return Lease(**json.loads(filesystem(place).cat_file(address(place))))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _is_ours(place: Path, holder: str, machine: str) -> bool:
    found = _read(place)
    return found is not None and (found.holder, found.machine) == (holder, machine)


def _renew(place: Path, holder: str, machine: str, ended: threading.Event) -> None:
    while not ended.wait(RENEW_SECONDS):
        with suppress(OSError), reaching(place):
            if not _is_ours(place, holder, machine):
                # We were silent for too long, and another has replaced us.
                return
            filesystem(place).pipe_file(address(place), _lease(holder, machine).content())


def read_machine(directory: Path) -> str:
    """Return what tells this machine from others: a name that is made up once, and kept in `directory`."""
    kept = directory / "machine"
    with suppress(FileExistsError), kept.open("x", encoding="utf-8") as file:
        file.write(uuid.uuid4().hex)
    return kept.read_text(encoding="utf-8")
