"""A folder of pictures: whether a run could list it, and move its duplicates."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from imagetwins.config.folders import allowed_roots, check_folder, resolve_store
from imagetwins.config.parameters import Parameters
from imagetwins.config.roots import check_roots
from imagetwins.doctor.disks import NETWORK, WINDOWS, find_file_system, free_bytes
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.errors import ImagetwinsError
from imagetwins.scanning.candidates import list_for_run
from imagetwins.storage import DUPLICATES, Location, is_path
from imagetwins.storage.local_moves import rename_noreplace
from imagetwins.text import describe_left_out, describe_os_error, pluralize

SECONDS = 0.8
"""How long pictures are counted."""

STORED_BYTES = 0.13e6
"""What a new picture takes in the store while a run is at work."""

NO_RENAME = "Move the pictures to another disk for the run, or look with --dry-run, which moves nothing."


def examine_folder(name: str, store: str | None) -> Iterator[Finding]:
    """Yield what was found of the folder `name`: a path or a URL."""
    try:
        folder = check_folder("folder", name)
        check_roots([folder], allowed_roots())
    except ImagetwinsError as error:
        yield problem("folder", str(error), "Name another folder.")
        return
    yield from _examine_pictures(folder, store)
    if is_path(folder):
        yield from _examine_file_system(folder)
        yield from examine_moves(folder)


def _examine_pictures(folder: Location, store: str | None) -> Iterator[Finding]:
    if is_path(folder) and not os.access(folder, os.R_OK | os.X_OK):
        yield problem("pictures", f"{folder} cannot be read", "Who may read it? ls -ld " + str(folder))
        return
    left_out: Counter[str] = Counter()
    try:
        home = resolve_store(store)
        listed = list_for_run(Parameters(folder=str(folder)), home, left_out, until=time.monotonic() + SECONDS)
    except TimeoutError:
        yield ok("pictures", f"{folder}: too many files to be counted in passing")
        return
    except (ImagetwinsError, OSError) as error:
        yield problem("pictures", f"{folder} cannot be listed: {error}", "Name another folder.")
        return
    found = [candidate for candidate in listed if candidate.is_read]
    rest = f"; left out: {describe_left_out(left_out)}" if left_out else ""
    told = f"{pluralize(len(found), 'picture')} in {folder}{rest}"
    if not found:
        yield warning("pictures", told, "Is it the right folder? --no-default-excludes takes in what is left out.")
        return
    yield ok("pictures", told)
    if is_path(home) and free_bytes(home) < (needed := len(found) * STORED_BYTES):
        yield warning(
            "room",
            f"comparing all of them needs {needed / 1e9:.1f} GB in the store, and {free_bytes(home) / 1e9:.1f} GB are free",
            "If few of them are new, less will do. Else name a store on another disk: IMAGETWINS_STORE.",
        )


def _examine_file_system(folder: Path) -> Iterator[Finding]:
    kind = find_file_system(folder)
    if kind in NETWORK:
        yield warning(
            "file system",
            f"{kind}: on another machine",
            "It works. Two machines must not run on it at a time: where folders cannot be locked, nothing keeps them apart.",
        )
    elif kind in WINDOWS:
        yield warning(
            "file system",
            f"{kind}: a disk of Windows, or one shared with a virtual machine",
            "It works, but reading takes longer than on a disk of Linux's own.",
        )
    elif kind:
        yield ok("file system", kind)


def examine_moves(folder: Path) -> Iterator[Finding]:
    """Yield whether duplicates could be moved: tried with a file of our own in a hidden folder, both of which are removed again."""
    duplicates = folder / DUPLICATES
    if os.path.lexists(duplicates) and not duplicates.is_dir():
        yield problem(
            "moves",
            f"{duplicates} is in the way: it is no folder",
            "Rename it: duplicates are moved to a folder of this name.",
        )
        return
    for place in (folder, duplicates) if duplicates.is_dir() else (folder,):
        if said := _try_to_move(place):
            yield problem("moves", f"nothing can be moved in {place}: {said}", NO_RENAME)
            return
    if duplicates.is_dir() and duplicates.stat().st_dev != folder.stat().st_dev:
        yield warning(
            "moves",
            f"{duplicates} is on another disk than the pictures",
            "It works: files are copied, compared and only then removed, which takes longer than a rename.",
        )
    else:
        yield ok("moves", f"to {duplicates}, by renaming: nothing is ever replaced")


def _try_to_move(folder: Path) -> str | None:
    """Return why no file of `folder` can be renamed without ever replacing another; None if it can."""
    try:
        with tempfile.TemporaryDirectory(prefix=".imagetwins-", dir=folder) as temporary:
            source, taken = Path(temporary, "a"), Path(temporary, "b")
            source.touch()
            rename_noreplace(source, taken)
            source.touch()
            try:
                rename_noreplace(source, taken)
            except FileExistsError:
                return None
            return "a name that is taken is replaced"
    except OSError as error:
        return describe_os_error(error)
