"""Which files of a folder may be pictures: names, sizes and times; nothing is decoded, nothing but regular files opened.

Symbolic links are never followed: what a link inside the folder leads to inside the folder is listed there anyway.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imagetwins.config.parameters import Parameters
from imagetwins.config.patterns import compile_patterns
from imagetwins.decoding.formats import has_picture_magic, has_picture_suffix, magic_length
from imagetwins.decoding.model import MAX_BYTES
from imagetwins.progress import Progress, continued, counted, no_progress
from imagetwins.scanning.companions import APPLE_DOUBLE, find_companions
from imagetwins.storage import DUPLICATES, Found, Location, is_inside, storage_of
from imagetwins.storage.location import to_columns
from imagetwins.store.runs import find_put_aside

APPLE_DOUBLE_MAGIC = b"\0\5\x16\7"
"""What an AppleDouble file begins with (RFC 1740)."""


@dataclass(frozen=True)
class Candidate:
    """A file that may be a picture, or something in the folder that could not be examined (`error`).

    Attributes:
        location: where it is.
        size_bytes, mtime_ns: its size and its time of modification, in nanoseconds since 1970.
        is_reference: whether it is in a reference folder.
        error: why it is not compared, None if it is.
        validator, changed_ns: see `storage.Found`.
        companions: the files that belong to it.
    """

    location: Location
    size_bytes: int
    mtime_ns: int
    is_reference: bool
    error: str | None
    validator: str = ""
    changed_ns: int = 0
    companions: tuple[Found, ...] = ()


def list_candidates(
    folder: Location,
    *,
    recursive: bool,
    exclude: Sequence[str],
    default_excludes: bool = True,
    reference: Sequence[Location],
    skip: Sequence[Location],
    left_out: Counter[str] | None = None,
    until: float | None = None,
    progress: Progress = no_progress,
) -> list[Candidate]:
    """Return the pictures of `folder`, then those of the `reference` folders outside it, each sorted by relative path.

    A candidate is a regular file with a picture's suffix or a picture's first bytes. Of several hard links to one
    file the first counts, the others get an error; so does a folder that cannot be read. The `Duplicates` folders and
    the folders `skip` are never entered.

    Args:
        folder: where the pictures are.
        recursive: also in its sub-folders.
        exclude: patterns as in a `.gitignore`, relative to each folder.
        default_excludes: leave out what `DEFAULT_EXCLUDES` names as well.
        reference: more folders.
        skip: folders that are left out wherever they are.
        left_out: counts what was left out: folders by their name and a slash, files by the pattern.
        until: the time of `time.monotonic` at which to give up.
        progress: called with the files found so far, which may be no pictures.

    Raises:
        ParameterError: a pattern of `exclude` is not one.
        TimeoutError: it took longer than `until`.
        OSError: a bucket cannot be listed.
    """
    roots = [storage_of(root).absolute(root) for root in (folder, *reference)]
    left_out = Counter() if left_out is None else left_out
    find_pattern = compile_patterns(exclude, defaults=default_excludes)
    never = [*skip, *(root / DUPLICATES for root in roots)]
    seen: set[object] = set()
    listed: list[Found] = []
    companions: dict[Location, list[Found]] = {}
    walked = 0
    for root in roots:
        is_excluded = _counting(root, find_pattern, never, left_out, until)
        walk = storage_of(root).walk(root, recursive=recursive, is_excluded=is_excluded, never=never, seen=seen)
        files = list(counted(walk, continued(progress, walked)))
        walked += len(files)
        pictures = sorted(_find_pictures(root, files, left_out), key=_sort_key)
        listed += pictures
        companions |= find_companions(
            [file.location for file in pictures], [file for file in files if file.kind == "file"]
        )
    progress(walked, walked)
    references = roots[1:]
    return [
        _to_candidate(
            found,
            is_reference=bool(references) and any(is_inside(found.location, root) for root in references),
            companions=companions.get(found.location, ()) if companions else (),
        )
        for found in _mark_hard_links(listed)
    ]


def list_for_run(
    parameters: Parameters,
    store: Location,
    left_out: Counter[str],
    *,
    until: float | None = None,
    progress: Progress = no_progress,
) -> list[Candidate]:
    """Return what a run with these parameters and this store compares: `list_candidates` of its folders."""
    folder, *reference = parameters.locations
    return list_candidates(
        folder,
        recursive=parameters.recursive,
        exclude=parameters.exclude,
        default_excludes=parameters.default_excludes,
        reference=reference,
        skip=[store, *find_put_aside(store)],
        left_out=left_out,
        until=until,
        progress=progress,
    )


def _counting(
    root: Location,
    find_pattern: Callable[[str], str | None],
    never: Sequence[Location],
    left_out: Counter[str],
    until: float | None,
) -> Callable[[str], bool]:
    """Return a function that tells whether a name below `root` is left out, and counts it in `left_out` if it is."""
    closed = set(never)

    def is_excluded(name: str) -> bool:
        if until is not None and time.monotonic() > until:
            raise TimeoutError
        pattern = find_pattern(name)
        if name.endswith("/") and (pattern or root / name in closed):
            _count_folder(root / name, left_out)
            return True
        if pattern:
            left_out[pattern] += 1
        return pattern is not None

    return is_excluded


def _count_folder(folder: Location, left_out: Counter[str]) -> None:
    left_out[f"{to_columns(folder)[0].rpartition('/')[2]}/"] += 1


def _sort_key(file: Found) -> bytes:
    """Return what files below one root are sorted by: all their names begin alike."""
    return os.fsencode(str(file.location))


def _find_pictures(root: Location, files: Sequence[Found], left_out: Counter[str]) -> Iterator[Found]:
    """Yield those of `files`, found below `root`, that look like pictures, and what could not be examined, in no order."""
    named: list[Found] = []
    unnamed: list[Found] = []
    for found in files:
        if found.kind == "put aside":
            _count_folder(found.location, left_out)
        elif found.kind == "folder" or has_picture_suffix(found.location.suffix):
            named.append(found)
        elif found.kind == "file" and found.size_bytes:
            unnamed.append(found)
    doubles = _find_apple_doubles([*named, *unnamed])
    if doubles:
        left_out[f"{APPLE_DOUBLE}*"] += len(doubles)
    yield from (found for found in named if not doubles or found.location not in doubles)
    # Names without a picture's suffix cost a request each in a bucket, so they are asked for together.
    starts = storage_of(root).read_starts([found.location for found in unnamed], magic_length())
    yield from (found for found, start in zip(unnamed, starts, strict=True) if has_picture_magic(start))


def _find_apple_doubles(files: Sequence[Found]) -> set[Location]:
    """Return those of `files` that have a picture's name and hold what macOS keeps beside that picture.

    Such a file is told by its first bytes, or by the file beside it whose name it has, but for its beginning.
    """
    named = [file.location for file in files if file.kind == "file" and _is_double(file.location)]
    if not named:
        return set()
    names = {file.location for file in files}
    starts = storage_of(named[0]).read_starts(named, len(APPLE_DOUBLE_MAGIC))
    return {
        location
        for location, start in zip(named, starts, strict=True)
        if start == APPLE_DOUBLE_MAGIC or location.with_name(location.name.removeprefix(APPLE_DOUBLE)) in names
    }


def _is_double(location: Location) -> bool:
    return location.name.startswith(APPLE_DOUBLE) and has_picture_suffix(location.suffix)


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


def _to_candidate(found: Found, *, is_reference: bool, companions: Sequence[Found]) -> Candidate:
    error = found.error
    if error is None and found.size_bytes > MAX_BYTES:
        # The decoder would say the same, but only after all of it had been fetched from a bucket.
        error = f"{found.size_bytes} bytes, more than the {MAX_BYTES} that are read"
    return Candidate(
        found.location,
        found.size_bytes,
        found.mtime_ns,
        is_reference,
        error,
        found.validator,
        found.changed_ns,
        tuple(companions),
    )
