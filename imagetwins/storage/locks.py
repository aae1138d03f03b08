"""Two runs on one folder, or on a folder and a part of it, exclude each other.

The lock is `flock` on the directory itself: it needs no file in the user's folder, works where the folder is
read-only, is seen by every user and container of the machine, and the kernel drops it when its holder dies, so there
is no stale lock. A run locks its folder exclusively and all folders above it shared, which is what makes nested
folders exclude each other. Where the file system cannot lock directories (NFS), nothing excludes two runs; that they
lose no file does not depend on the lock. Who holds a lock is written in a note in the temporary directory; notes inform,
they never decide.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from imagetwins.errors import FolderBusyError, StoreError
from imagetwins.storage.writable import private_directory

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EINVAL)
"""Errors by which a file system says that it has no locks: NFS locks no directory, SMB and some FUSE drivers nothing at all."""


def lock_file(descriptor: int, kind: int, shown: str) -> None:
    """Lock a file of a store, which is called `shown`, with `flock`.

    Raises:
        BlockingIOError: another process holds it.
        StoreError: the store is on a file system without locks.
    """
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        raise
    except OSError as error:
        raise StoreError(
            f"{shown} cannot be locked ({error.strerror}), and without locks two runs would write over each other. Name a store "
            "on another file system, a disk of this machine if possible, with --store or IMAGETWINS_STORE."
        ) from None


@contextmanager
def lock_directory(directory: Path, shown: str, holder: str) -> Iterator[None]:
    """Hold `directory` for one run while the context lasts.

    Args:
        directory: without symbolic links.
        shown: its name in messages to others.
        holder: the run that holds it, for messages to others.

    Raises:
        FolderBusyError: another run holds the directory, one above it or one inside it; names who.
        OSError: the directory cannot be opened.
    """
    with ExitStack() as held:
        for above in reversed(directory.parents):
            # A folder above that we may not read cannot be locked, nor be another's run of ours.
            with suppress(PermissionError):
                _flock(above, fcntl.LOCK_SH, held, directory, shown)
        _flock(directory, fcntl.LOCK_EX, held, directory, shown)
        held.enter_context(_note(directory, shown, holder))
        yield


def _flock(directory: Path, kind: int, held: ExitStack, folder: Path, shown: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            # Nothing excludes runs there, and refusing them would help no one.
            if error.errno in _NO_LOCKS:
                return
            raise
        raise FolderBusyError(
            f"{shown!r} is in use: {_find_holder(directory, folder)}. Wait until that run has ended, or stop it."
        ) from None


@contextmanager
def _note(folder: Path, shown: str, holder: str) -> Iterator[None]:
    name = f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"
    with suppress(OSError):
        note = private_directory() / name
        note.unlink(missing_ok=True)
        note.write_text(json.dumps({"folder": str(folder), "shown": shown, "pid": os.getpid(), "holder": holder}))
    try:
        yield
    finally:
        with suppress(OSError):
            (private_directory() / name).unlink(missing_ok=True)


def _find_holder(directory: Path, folder: Path) -> str:
    """Return who holds the lock that kept us from `directory`, as far as notes of living processes tell."""
    notes: list[Path] = []
    with suppress(OSError):
        notes = sorted(private_directory().glob("*.json"))
    for note in notes:
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(note.read_text())
            theirs = Path(content["folder"])
            os.kill(content["pid"], 0)
            if theirs == directory or (directory == folder and theirs.is_relative_to(folder)):
                return f"{content['holder']} holds {content['shown']!r}"
    return f"another process holds {str(directory)!r} or a folder in it"
