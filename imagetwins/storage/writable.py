"""Which folders of this machine this user can write, and one in the shared temporary directory that nobody else can."""

import errno
import os
import stat
import tempfile
from pathlib import Path


def can_be_written(folder: Path) -> bool:
    """Whether files can be made in `folder`, which need not exist yet."""
    # Not Path.exists, which raises where a folder on the way may not be looked into.
    there = next(part for part in (folder, *folder.parents) if os.path.lexists(part))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def private_directory() -> Path:
    """Return this user's own directory in the shared temporary one; it is made where there is none.

    Raises:
        PermissionError: another user made it first, or can write in it, or could put another in its place.
        FileNotFoundError: no temporary directory can be written.
    """
    shared = Path(tempfile.gettempdir())
    private = shared / f"imagetwins-{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    mode, owner = (found := private.lstat()).st_mode, found.st_uid
    around = shared.stat().st_mode
    is_exposed = around & (stat.S_IWGRP | stat.S_IWOTH) and not around & stat.S_ISVTX
    if not stat.S_ISDIR(mode) or owner != os.getuid() or mode & (stat.S_IRWXG | stat.S_IRWXO) or is_exposed:
        raise PermissionError(errno.EPERM, "others can write in it. Remove it, or set TMPDIR", str(private))
    return private
