"""Disks: what kind of file system a folder is on, and how much is free there."""

import os
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


def find_existing(folder: Path) -> Path:
    """Return `folder`, or the nearest of those around it that exists."""
    return next(part for part in (folder, *folder.parents) if os.path.lexists(part))


def free_bytes(folder: Path) -> int:
    """Return how many bytes this user can still write on the disk of `folder`, which need not exist yet."""
    return shutil.disk_usage(find_existing(folder)).free


def find_file_system(folder: Path) -> str:
    """Return the type of the file system of `folder`, as in ext4 or nfs4; "" where the system does not tell."""
    device = find_existing(folder).stat().st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            mounted, _, kind = line.partition(" - ")
            if mounted.split()[2] == name:
                return kind.split()[0]
    return ""
