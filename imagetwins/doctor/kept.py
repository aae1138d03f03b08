"""Where runs keep what they make: the store, and the cache in it."""

import time
from collections.abc import Iterator
from pathlib import Path

from imagetwins import settings
from imagetwins.config.folders import resolve_store
from imagetwins.doctor.disks import NETWORK, find_file_system, free_bytes
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.errors import ImagetwinsError
from imagetwins.storage import Location, can_be_written, is_path, storage_of
from imagetwins.store.runs import list_runs
from imagetwins.text import pluralize

FULL_BYTES, SCARCE_BYTES = 50e6, 2e9
"""So little on the disk of the store is too little for any run; so little for some 15,000 new pictures."""

SECONDS = 0.4
"""How long files are counted: a store may hold very many."""


def examine_store(store: str | None) -> Iterator[Finding]:
    """Yield what was found of the store that commands would use, and of its cache."""
    try:
        location = resolve_store(store)
        limit = settings.cache_limit_bytes()
    except ImagetwinsError as error:
        yield problem("store", str(error), "Name a store that can be used: IMAGETWINS_STORE, or --store.")
        return
    home = storage_of(location).local_directory(location)
    yield from _examine_location(location, home)
    # Where earlier versions, installed without a checkout, had their store.
    if (earlier := Path("data", "store").absolute()) != home.absolute() and (earlier / "runs").is_dir():
        yield warning(
            "earlier runs",
            f"another store is in {earlier}",
            "To ask about its runs or undo them: --store data/store. To go on with it: IMAGETWINS_STORE="
            + str(earlier),
        )
    yield from _examine_room(home)
    taken, is_all = _measure(home / "cache")
    yield ok(
        "cache",
        f"{'' if is_all else 'more than '}{taken / 1e9:.1f} GB of at most {limit / 1e9:,.0f}, in {home / 'cache'}",
    )


def _examine_location(location: Location, home: Path) -> Iterator[Finding]:
    if not can_be_written(home):
        yield problem(
            "store",
            f"{home} cannot be written",
            "Name another: IMAGETWINS_STORE, or --store. Undo of earlier runs needs theirs.",
        )
        return
    if is_path(location) and not location.exists():
        yield ok("store", f"{location}: the first run makes it")
        return
    yield ok("store", f"{location}: {pluralize(len(list_runs(location)), 'run')}")
    if (kind := find_file_system(home)) in NETWORK:
        yield warning(
            "store",
            f"{home} is on another machine ({kind})",
            "A store on a disk of this machine is faster, and locks work there: IMAGETWINS_STORE.",
        )


def _examine_room(home: Path) -> Iterator[Finding]:
    free = free_bytes(home)
    told = f"{free / 1e9:.1f} GB are free for store and cache"
    remedy = (
        "Free some: `imagetwins prune --older-than 90`; delete `cache` in the store, which is made again; or name a store on "
        "another disk, with IMAGETWINS_STORE. A new picture takes about 0.1 MB."
    )
    if free < FULL_BYTES:
        yield problem("room", told, remedy)
    elif free < SCARCE_BYTES:
        yield warning("room", told, remedy)
    else:
        yield ok("room", told)


def _measure(folder: Path) -> tuple[int, bool]:
    """Return the bytes that the files of `folder` take on the disk, and whether all were counted in time."""
    until, taken = time.monotonic() + SECONDS, 0
    for file in folder.rglob("*"):
        if time.monotonic() > until:
            return taken, False
        # Its arrays have holes.
        taken += file.lstat().st_blocks * 512 if file.is_file() else 0
    return taken, True
