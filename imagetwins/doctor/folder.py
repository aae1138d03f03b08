"""A folder of pictures: whether a run could list it, and move its duplicates."""

import errno
import os
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from imagetwins.config.folders import allowed_roots, check_folder, find_obstacle, resolve_store
from imagetwins.config.layout import Layout
from imagetwins.config.parameters import Parameters
from imagetwins.config.roots import check_roots
from imagetwins.doctor.disks import FOREIGN, NETWORK, WINDOWS, find_file_system, free_bytes
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.errors import ImagetwinsError
from imagetwins.scanning.candidates import list_for_run
from imagetwins.storage import DUPLICATES, Location, is_path
from imagetwins.storage.local_moves import asks_for_copy, copy_verified, rename_noreplace
from imagetwins.text import describe_left_out, describe_os_error, pluralize

SECONDS = 0.8
"""How long pictures are counted."""

STORED_BYTES = 0.13e6
"""What a new picture takes in the store while a run is at work."""

NO_MOVE = "Move the pictures to another disk for the run, or look with --dry-run, which moves nothing."

NO_MOVES = {
    errno.EROFS: "Mount it so that it can be written, or look with --dry-run, which moves nothing.",
    errno.ENOSPC: "Free some room: a few kilobytes will do. Or look with --dry-run, which moves nothing.",
}
"""What to do about the errors by which a disk takes no files."""

COPIED = "It works: files are copied, compared and only then removed, which takes longer than a rename."


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
        yield problem("pictures", f"{folder} cannot be read", f"Who may read it? ls -ld {shlex.quote(str(folder))}")
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
    elif kind in FOREIGN:
        yield ok("file system", f"{kind}: it may keep neither owners nor permissions, and times to 2 s")
    elif kind:
        yield ok("file system", kind)


def examine_moves(folder: Path) -> Iterator[Finding]:
    """Yield whether duplicates could be moved: tried with a file of our own in a hidden folder, both of which are removed again."""
    duplicates = folder / DUPLICATES
    if obstacle := find_obstacle(Layout((folder,))):
        yield problem("moves", *obstacle)
        return
    can_rename = True
    for place in (folder, duplicates) if duplicates.is_dir() else (folder,):
        try:
            can_rename &= _try_to_move(place)
        except OSError as error:
            yield problem(
                "moves",
                f"nothing can be moved in {place}: {describe_os_error(error)}",
                NO_MOVES.get(error.errno or 0, NO_MOVE),
            )
            return
    if duplicates.is_dir() and duplicates.stat().st_dev != folder.stat().st_dev:
        yield warning("moves", f"{duplicates} is on another disk than the pictures", COPIED)
    elif not can_rename:
        yield warning(
            "moves",
            f"{duplicates} is on a file system whose renames might replace a file, and without hard links",
            COPIED,
        )
    else:
        yield ok("moves", f"to {duplicates}, by renaming: nothing is ever replaced")


def _try_to_move(folder: Path) -> bool:
    """Whether files of `folder` can be renamed without ever replacing another; False if they can only be copied so.

    Raises:
        OSError: not even that.
    """
    with tempfile.TemporaryDirectory(prefix=".imagetwins-", dir=folder) as temporary:
        source, taken = Path(temporary, "a"), Path(temporary, "b")
        source.write_bytes(b"imagetwins")
        move: Callable[[Path, Path], object] = rename_noreplace
        try:
            move(source, taken)
        except OSError as error:
            if not asks_for_copy(error):
                raise
            move = copy_verified
            move(source, taken)
        source.touch()
        try:
            move(source, taken)
        except FileExistsError:
            return move is rename_noreplace
        raise OSError("a name that is taken is replaced")
