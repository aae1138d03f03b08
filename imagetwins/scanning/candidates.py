"""Which files of a folder may be pictures: names, sizes and times; nothing is decoded, nothing but regular files opened.

Symbolic links are never followed: what a link inside the folder leads to inside the folder is listed there anyway. What they say is
noted: a link to a picture that moves leads nowhere then.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from imagetwins.config.parameters import Parameters
from imagetwins.config.patterns import compile_patterns
from imagetwins.decoding.formats import has_picture_magic, magic_length, picture_suffixes
from imagetwins.decoding.model import MAX_BYTES
from imagetwins.progress import Progress, continued, counted, no_progress
from imagetwins.scanning.companions import APPLE_DOUBLE, find_companions
from imagetwins.storage import DUPLICATES, Found, Location, is_inside, storage_of
from imagetwins.storage.location import name_to_columns, parse_location, suffix_of, to_json_name
from imagetwins.store.runs import find_put_aside

APPLE_DOUBLE_MAGIC = b"\0\5\x16\7"
"""What an AppleDouble file begins with (RFC 1740)."""


class Candidate(NamedTuple):
    """A file that may be a picture, or something in the folder that could not be examined (`error`).

    Attributes:
        path: where it is, as `location.to_json_name` spells it.
        size_bytes, mtime_ns: its size and its time of modification, in nanoseconds since 1970.
        is_reference: whether it is in a reference folder.
        error: why it is not compared, None if it is.
        validator, changed_ns: see `storage.Found`.
        companions: the files that belong to it.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    is_reference: bool
    error: str | None
    validator: str
    changed_ns: int
    companions: Sequence[Found]

    @property
    def location(self) -> Location:
        """Where it is."""
        return parse_location(self.path)


def list_candidates(
    folder: Location,
    *,
    recursive: bool,
    exclude: Sequence[str],
    default_excludes: bool = True,
    more_folders: Sequence[Location] = (),
    reference: Sequence[Location],
    skip: Sequence[Location],
    left_out: Counter[str] | None = None,
    links: dict[str, str] | None = None,
    until: float | None = None,
    progress: Progress = no_progress,
) -> list[Candidate]:
    """Return the pictures of `folder`, then those of the other folders that are not in one before, each sorted by relative path.

    A candidate is a regular file with a picture's suffix or a picture's first bytes. Of several hard links to one
    file the first counts, the others get an error; so does a folder that cannot be read. The `Duplicates` folders and
    the folders `skip` are never entered.

    Args:
        folder: where the pictures are.
        recursive: also in its sub-folders.
        exclude: patterns as in a `.gitignore`, relative to each folder.
        default_excludes: leave out what `DEFAULT_EXCLUDES` names as well.
        more_folders: more of the same.
        reference: folders whose pictures stay, also where they are inside the others.
        skip: folders that are left out wherever they are.
        left_out: counts what was left out: folders by their name and a slash, files by the pattern.
        links: gets what each symbolic link says, by its path.
        until: the time of `time.monotonic` at which to give up.
        progress: called with the files found so far, which may be no pictures.

    Raises:
        ParameterError: a pattern of `exclude` is not one.
        TimeoutError: it took longer than `until`.
        OSError: a bucket cannot be listed.
    """
    roots = [storage_of(root).absolute(root) for root in (folder, *more_folders, *reference)]
    left_out = Counter() if left_out is None else left_out
    find_pattern = compile_patterns(exclude, defaults=default_excludes)
    never = [*skip, *(root / DUPLICATES for root in roots)]
    seen: set[object] = set()
    listed: list[Found] = []
    companions: dict[str, list[Found]] = {}
    walked = 0
    for root in roots:
        is_excluded = _counting(root, find_pattern, never, left_out, until)
        walk = storage_of(root).walk(
            root, recursive=recursive, is_excluded=is_excluded, never=never, seen=seen, links=links
        )
        files = list(counted(walk, continued(progress, walked)))
        walked += len(files)
        pictures = sorted(_find_pictures(root, files, left_out), key=_sort_key)
        listed += pictures
        companions |= find_companions([file.path for file in pictures], [file for file in files if file.kind == "file"])
    progress(walked, walked)
    is_reference = _find_references(listed, roots[len(roots) - len(reference) :])
    return [
        Candidate(
            found.path,
            found.size_bytes,
            found.mtime_ns,
            kept,
            found.error or _find_error(found),
            found.validator,
            found.changed_ns,
            companions.get(found.path, ()),
        )
        for found, kept in zip(_mark_hard_links(listed), is_reference, strict=True)
    ]


def list_for_run(
    parameters: Parameters,
    store: Location,
    left_out: Counter[str],
    *,
    links: dict[str, str] | None = None,
    until: float | None = None,
    progress: Progress = no_progress,
) -> list[Candidate]:
    """Return what a run with these parameters and this store compares: `list_candidates` of its folders."""
    layout = parameters.layout
    folder, *more_folders = layout.folders
    return list_candidates(
        folder,
        more_folders=more_folders,
        recursive=parameters.recursive,
        exclude=parameters.exclude,
        default_excludes=parameters.default_excludes,
        reference=parameters.references,
        skip=[store, *find_put_aside(store), *layout.asides],
        left_out=left_out,
        links=links,
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
            _count_folder(to_json_name(root / name), left_out)
            return True
        if pattern:
            left_out[pattern] += 1
        return pattern is not None

    return is_excluded


def _count_folder(folder: str, left_out: Counter[str]) -> None:
    left_out[f"{name_to_columns(folder)[0].rpartition('/')[2]}/"] += 1


def _sort_key(file: Found) -> bytes:
    """Return what files below one root are sorted by: all their names begin alike."""
    return os.fsencode(file.path)


def _find_pictures(root: Location, files: Sequence[Found], left_out: Counter[str]) -> Iterator[Found]:
    """Yield those of `files`, found below `root`, that look like pictures, and what could not be examined, in no order."""
    named: list[Found] = []
    unnamed: list[Found] = []
    suffixes = picture_suffixes()
    for found in files:
        if found.kind == "put aside":
            _count_folder(found.path, left_out)
        elif found.kind == "folder" or suffix_of(found.path).lower() in suffixes:
            named.append(found)
        elif found.kind == "file" and found.size_bytes:
            unnamed.append(found)
    doubles = _find_apple_doubles([*named, *unnamed])
    if doubles:
        left_out[f"{APPLE_DOUBLE}*"] += len(doubles)
    yield from (found for found in named if not doubles or found.path not in doubles)
    # Names without a picture's suffix cost a request each in a bucket, so they are asked for together.
    starts = storage_of(root).read_starts([found.location for found in unnamed], magic_length())
    yield from (found for found, start in zip(unnamed, starts, strict=True) if has_picture_magic(start))


def _find_apple_doubles(files: Sequence[Found]) -> set[str]:
    """Return those of `files` that have a picture's name and hold what macOS keeps beside that picture.

    Such a file is told by its first bytes, or by the file beside it whose name it has, but for its beginning.
    """
    suffixes = picture_suffixes()
    doubles = [file for file in files if f"/{APPLE_DOUBLE}" in file.path and _is_double(file, suffixes)]
    if not doubles:
        return set()
    names = {file.path for file in files}
    locations = [file.location for file in doubles]
    starts = storage_of(locations[0]).read_starts(locations, len(APPLE_DOUBLE_MAGIC))
    return {
        file.path
        for file, start in zip(doubles, starts, strict=True)
        if start == APPLE_DOUBLE_MAGIC or _without_double(file.path) in names
    }


def _is_double(file: Found, suffixes: frozenset[str]) -> bool:
    is_named_so = file.path.rpartition("/")[2].startswith(APPLE_DOUBLE)
    return is_named_so and file.kind == "file" and suffix_of(file.path).lower() in suffixes


def _without_double(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.removeprefix(APPLE_DOUBLE)}"


def _mark_hard_links(files: Iterable[Found]) -> Iterator[Found]:
    """Yield `files`, those that are a further name of one before them with an error that says so."""
    first: dict[tuple[int, ...], str] = {}
    for file in files:
        if file.inode_key is None or (before := first.setdefault(file.inode_key, file.path)) is file.path:
            yield file
        else:
            yield file._replace(error=f"the same file as {before} (hard link)")


def _find_references(files: Sequence[Found], references: Sequence[Location]) -> list[bool]:
    """Return which of `files` are in one of the folders `references`."""
    if not references:
        return [False] * len(files)
    return [any(is_inside(location, root) for root in references) for location in (file.location for file in files)]


def _find_error(found: Found) -> str | None:
    if found.size_bytes <= MAX_BYTES:
        return None
    # The decoder would say the same, but only after all of it had been fetched from a bucket.
    return f"{found.size_bytes} bytes, more than the {MAX_BYTES} that are read"
