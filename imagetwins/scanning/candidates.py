"""Which files of a folder are candidates: names, sizes and times; nothing is decoded, nothing but regular files opened.

Symbolic links are never followed: what a link inside the folder leads to inside the folder is listed there anyway. In a
bucket there are neither links nor folders, only names; the rules are the same.
"""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pathspec

from imagetwins.decoding.formats import has_picture_magic, has_picture_suffix, magic_length
from imagetwins.decoding.model import MAX_BYTES
from imagetwins.errors import ParameterError
from imagetwins.moving.moves import DUPLICATES
from imagetwins.storage.location import is_inside, is_remote, relative_name
from imagetwins.storage.objects import Object, iter_objects, read_starts
from imagetwins.storage.transfer import PART_PREFIX, PART_SUFFIX


@dataclass(frozen=True)
class ListedFile:
    """A file that may be a picture, or something in the folder that kept us from looking (`error`)."""

    path: Path
    size_bytes: int
    mtime_ns: int
    is_reference: bool
    error: str | None
    ctime_ns: int = 0
    inode: int = 0


Identity = tuple[int, int]
"""Device and inode: what a file or directory is, whatever it is called."""


def list_images(
    folder: Path, *, recursive: bool, exclude: Sequence[str], reference: Sequence[Path], skip: Sequence[Path]
) -> list[ListedFile]:
    """Return the pictures of `folder`, then those of the `reference` folders outside it, each sorted by relative path.

    A candidate is a regular file with a picture's suffix or a picture's first bytes. Of several hard links to one
    file the first counts, the others get an error; so does a folder that cannot be read. `exclude` are patterns as
    in a `.gitignore`, relative to each folder. The `Duplicates` folders and the directories `skip` are never entered.

    Raises:
        ParameterError: a pattern of `exclude` is not one.
        OSError: a bucket cannot be listed.
    """
    roots = [path if is_remote(path) else path.absolute() for path in (folder, *reference)]
    excluded = compile_patterns(exclude)
    never = [*skip, *(root / DUPLICATES for root in roots)]
    entered = {found for path in never if not is_remote(path) and (found := _identity(path))}
    listed: list[ListedFile] = []
    seen: set[Path] = set()
    for root in roots:
        walk = (
            _find(root, recursive, excluded, never, seen)
            if is_remote(root)
            else _walk(root, recursive, excluded, entered)
        )
        listed += sorted(walk, key=lambda file: os.fsencode(relative_name(file.path, root)))
    marked = (replace(file, is_reference=any(is_inside(file.path, root) for root in roots[1:])) for file in listed)
    return list(_tell_hard_links(marked))


def compile_patterns(exclude: Sequence[str]) -> pathspec.PathSpec[Any]:
    """Return what matches the patterns `exclude`.

    Raises:
        ParameterError: one is none.
    """
    try:
        return pathspec.PathSpec.from_lines("gitignore", exclude)
    except ValueError as error:
        raise ParameterError(f"exclude={list(exclude)!r}: {error}. Give patterns as in a .gitignore.") from None


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _walk(
    root: Path, recursive: bool, excluded: pathspec.PathSpec[Any], entered: set[Identity]
) -> Iterator[ListedFile]:
    """Yield the candidates below `root`, in no order; `entered` grows by the directories that were read.

    A directory is entered once, even if a reference folder lies inside `root`, or a mount makes it appear twice.
    """
    pending = [root]
    while pending:
        directory = pending.pop()
        identity = _identity(directory)
        if identity in entered:
            continue
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield ListedFile(directory, 0, 0, is_reference=False, error=f"cannot be read: {error.strerror}")
            continue
        if identity:
            entered.add(identity)
        for entry in entries:
            path = directory / entry.name
            name = os.fspath(path.relative_to(root))
            if entry.is_dir(follow_symlinks=False):
                if recursive and not excluded.match_file(f"{name}/"):
                    pending.append(path)
            elif not excluded.match_file(name) and (file := _candidate(path)):
                yield file


def _find(
    root: Path, recursive: bool, excluded: pathspec.PathSpec[Any], never: Sequence[Path], seen: set[Path]
) -> Iterator[ListedFile]:
    """Yield the candidates below `root`, which is in a bucket, in no order; `seen` grows by what was looked at.

    Names without a picture's suffix cost a request each, for their first bytes.
    """
    doubtful: list[tuple[Path, Object]] = []
    for name, found in iter_objects(root, recursive=recursive):
        path = root / name
        if path in seen or _is_excluded(name, excluded) or any(is_inside(path, place) for place in never):
            continue
        seen.add(path)
        if has_picture_suffix(path):
            yield _listed(path, found)
        elif found.size_bytes:
            doubtful.append((path, found))
    starts = read_starts([path for path, _ in doubtful], magic_length())
    yield from (_listed(*one) for one, start in zip(doubtful, starts, strict=True) if has_picture_magic(start))


def _is_excluded(name: str, excluded: pathspec.PathSpec[Any]) -> bool:
    """Whether `name`, or a folder on the way to it, is excluded: nothing in such a folder is taken in again."""
    parts = name.split("/")
    folders = ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
    return any(map(excluded.match_file, folders)) or excluded.match_file(name)


def _listed(path: Path, found: Object) -> ListedFile:
    # What an inode is to a file, the tag is to an object: it is another where the content is another.
    tag = int.from_bytes(hashlib.sha256(found.etag.encode()).digest()[:8], "big")
    # The decoder would say the same, but only after all of it had been fetched.
    is_large = found.size_bytes > MAX_BYTES
    error = f"{found.size_bytes} bytes, more than the {MAX_BYTES} that are read" if is_large else None
    times = {"mtime_ns": found.mtime_ns, "ctime_ns": found.mtime_ns}
    return ListedFile(path, found.size_bytes, is_reference=False, error=error, inode=tag, **times)


def _candidate(path: Path) -> ListedFile | None:
    """Return the row of `path`; None if it is nothing that is looked for."""
    has_suffix = has_picture_suffix(path)
    try:
        status = path.lstat()
    except OSError as error:
        return ListedFile(path, 0, 0, is_reference=False, error=str(error.strerror)) if has_suffix else None
    if stat.S_ISLNK(status.st_mode) or (path.name.startswith(PART_PREFIX) and path.suffix == PART_SUFFIX):
        return None
    if not stat.S_ISREG(status.st_mode):
        what = "not a regular file: never opened"
        return ListedFile(path, 0, status.st_mtime_ns, is_reference=False, error=what) if has_suffix else None
    if has_suffix or _has_magic(path):
        times = {"mtime_ns": status.st_mtime_ns, "ctime_ns": status.st_ctime_ns}
        return ListedFile(path, status.st_size, is_reference=False, error=None, inode=status.st_ino, **times)
    return None


def _has_magic(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        start = os.read(descriptor, magic_length())
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return has_picture_magic(start)


def _tell_hard_links(files: Iterable[ListedFile]) -> Iterator[ListedFile]:
    first: dict[Identity, Path] = {}
    for file in files:
        identity = None if file.error or is_remote(file.path) else _identity(file.path)
        if identity and identity in first:
            yield replace(file, error=f"the same file as {first[identity]} (hard link)")
        else:
            if identity:
                first[identity] = file.path
            yield file
