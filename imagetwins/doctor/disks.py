"""Disks: what kind of file system a folder is on, and how much is free there."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.davfs",
    "afs",
    "ceph",
    "glusterfs",
)
"""File systems on another machine."""

WINDOWS = ("9p", "drvfs", "v9fs")
"""How WSL shows the disks of Windows."""

FOREIGN = ("exfat", "vfat", "msdos", "ntfs", "ntfs3", "fuseblk", "hfs", "hfsplus")
"""File systems of other systems, of cameras and sticks; fuseblk is exFAT or NTFS by FUSE."""

_ESCAPED = re.compile(r"\\([0-7]{3})")
"""How the system writes blanks in names."""


def find_existing(folder: Path) -> Path:
    """Return `folder`, or the nearest of those around it that exists."""
    return next(part for part in (folder, *folder.parents) if os.path.lexists(part))


def free_bytes(folder: Path) -> int:
    """Return how many bytes this user can still write on the disk of `folder`, which need not exist yet."""
    return shutil.disk_usage(find_existing(folder)).free


def find_file_system(folder: Path) -> str:
    """Return the type of the file system of `folder`, as in ext4 or nfs4; "" where the system does not tell."""
    kinds: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            mounted, _, kind = line.partition(" - ")
            # What is mounted last on a folder is what is seen there.
            kinds[_ESCAPED.sub(lambda code: chr(int(code[1], 8)), mounted.split()[4])] = kind.split()[0]
    there = find_existing(folder).resolve()
    return next((kinds[str(part)] for part in (there, *there.parents) if str(part) in kinds), "")
