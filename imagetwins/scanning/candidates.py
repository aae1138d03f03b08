"""Which files of a folder may be pictures: names, sizes and times; nothing is decoded, nothing but regular files opened.

Symbolic links are never followed: what a link inside the folder leads to inside the folder is listed there anyway.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imagetwins.config.patterns import compile_patterns
from imagetwins.decoding.formats import has_picture_magic, has_picture_suffix, magic_length
from imagetwins.decoding.model import MAX_BYTES
from imagetwins.storage import DUPLICATES, Found, Location, is_inside, storage_of


@dataclass(frozen=True)
class Candidate:
    """A file that may be a picture, or something in the folder that could not be examined (`error`).

    Attributes:
        location: where it is.
        size_bytes, mtime_ns: its size and its time of modification, in nanoseconds since 1970.
        is_reference: whether it is in a reference folder.
        error: why it is not compared, None if it is.
        validator, changed_ns: see `storage.Found`.
    """

    location: Location
    size_bytes: int
    mtime_ns: int
    is_reference: bool
    error: str | None
    validator: str = ""
    changed_ns: int = 0


def list_candidates(
    folder: Location,
    *,
    recursive: bool,
    exclude: Sequence[str],
    reference: Sequence[Location],
    skip: Sequence[Location],
) -> list[Candidate]:
    """Return the pictures of `folder`, then those of the `reference` folders outside it, each sorted by relative path.

    A candidate is a regular file with a picture's suffix or a picture's first bytes. Of several hard links to one
    file the first counts, the others get an error; so does a folder that cannot be read. `exclude` are patterns as
    in a `.gitignore`, relative to each folder. The `Duplicates` folders and the directories `skip` are never entered.

    Raises:
        ParameterError: a pattern of `exclude` is not one.
        OSError: a bucket cannot be listed.
    """
    roots = [storage_of(root).absolute(root) for root in (folder, *reference)]
    is_excluded = compile_patterns(exclude)
    never = [*skip, *(root / DUPLICATES for root in roots)]
    seen: set[object] = set()
    listed: list[Found] = []
    for root in roots:
        found = _find_pictures(root, recursive, is_excluded, never, seen)
        listed += sorted(found, key=lambda file: _sort_key(file.location, root))
    return [
        _to_candidate(found, is_reference=any(is_inside(found.location, root) for root in roots[1:]))
        for found in _mark_hard_links(listed)
    ]


def _sort_key(location: Location, root: Location) -> bytes:
    return os.fsencode(storage_of(root).relative_name(location, root))


def _find_pictures(
    root: Location,
    recursive: bool,
    is_excluded: Callable[[str], bool],
    never: Sequence[Location],
    seen: set[object],
) -> Iterator[Found]:
    """Yield the files below `root` that look like pictures, and what could not be examined, in no order."""
    storage = storage_of(root)
    unnamed: list[Found] = []
    for found in storage.walk(root, recursive=recursive, is_excluded=is_excluded, never=never, seen=seen):
        if found.kind == "folder" or has_picture_suffix(found.location.suffix):
            yield found
        elif found.kind == "file" and found.size_bytes:
            unnamed.append(found)
    # Names without a picture's suffix cost a request each in a bucket, so they are asked for together.
    starts = storage.read_starts([found.location for found in unnamed], magic_length())
    yield from (found for found, start in zip(unnamed, starts, strict=True) if has_picture_magic(start))


def _mark_hard_links(files: Iterable[Found]) -> Iterator[Found]:
    """Yield `files`, those that are a further name of one before them with an error that says so."""
    first: dict[tuple[int, int], Location] = {}
    for file in files:
        if file.inode_key is None:
            yield file
        elif file.inode_key in first:
            yield replace(file, error=f"the same file as {first[file.inode_key]} (hard link)")
        else:
            first[file.inode_key] = file.location
            yield file


def _to_candidate(found: Found, *, is_reference: bool) -> Candidate:
    error = found.error
    if error is None and found.size_bytes > MAX_BYTES:
        # The decoder would say the same, but only after all of it had been fetched from a bucket.
        error = f"{found.size_bytes} bytes, more than the {MAX_BYTES} that are read"
    return Candidate(
        found.location, found.size_bytes, found.mtime_ns, is_reference, error, found.validator, found.changed_ns
    )
