"""File systems that number their files otherwise than a disk does."""

import contextlib
import os
from types import SimpleNamespace

FIELDS = ("st_mode", "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


class Entry:
    """An entry of a directory whose status says that its inode is `number`."""

    def __init__(self, entry, number):
        self._entry, self._number = entry, number
        self.name, self.path, self.is_dir = entry.name, entry.path, entry.is_dir

    def stat(self, **options):
        return renumbered(self._entry.stat(**options), self._number)


def renumbered(status, number):
    fields = {name: getattr(status, name) for name in FIELDS}
    return SimpleNamespace(**fields | {"st_ino": number})


def number_inodes(monkeypatch, number):
    """Let every file and directory have the inode `number`."""
    stat, scandir = os.stat, os.scandir

    def scan(directory):
        with scandir(directory) as entries:
            return contextlib.nullcontext([Entry(entry, number) for entry in entries])

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(os, "stat", lambda *path, **options: renumbered(stat(*path, **options), number))
