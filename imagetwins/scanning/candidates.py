"""Which files of a folder may be pictures: names, sizes and times; nothing is decoded, nothing but regular files opened.

Symbolic links are never followed: what a link inside the folder leads to inside the folder is listed there anyway. What they say is
noted: a link to a picture that moves leads nowhere then.
"""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from imagetwins.config.formats import ALL, split_formats
from imagetwins.config.parameters import Parameters
from imagetwins.config.patterns import compile_patterns
from imagetwins.decoding.formats import Format, Kind, kind_finder, magic_length, picture_suffixes
from imagetwins.decoding.model import MAX_BYTES
from imagetwins.progress import Progress, continued, counted, no_progress
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.companions import APPLE_DOUBLE, find_companions
from imagetwins.storage import DUPLICATES, Found, Location, is_inside, storage_of
from imagetwins.storage.location import name_to_columns, parse_location, suffix_of, to_json_name
from imagetwins.store.runs import find_put_aside

APPLE_DOUBLE_MAGIC = b"\0\5\x16\7"
"""What an AppleDouble file begins with (RFC 1740)."""


class _Picture(NamedTuple):
    """A file that may be a picture, and which; `kind` is None of a folder that cannot be read."""

    found: Found
    kind: Kind | None


class Candidate(NamedTuple):
    """A file that may be a picture, or something in the folder that could not be examined (`error`).

    Attributes:
        path: where it is, as `location.to_json_name` spells it.
        size_bytes, mtime_ns: its size and its time of modification, in nanoseconds since 1970.
        is_reference: whether it is in a reference folder.
        error: why it is not compared, None if it is.
        validator, changed_ns: see `storage.Found`.
        companions: the files that belong to it.
        error_code: what kind of error it is, where the file is not damaged.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    is_reference: bool
    error: str | None
    validator: str
    changed_ns: int
    companions: Sequence[Found]
    error_code: ReasonCode | None = None

    @property
    def location(self) -> Location:
        """Where it is."""
        return parse_location(self.path)

    @property
    def is_read(self) -> bool:
        """Whether pictures of its format are read at all."""
        return self.error_code is not ReasonCode.FORMAT_NOT_READ


def list_candidates(
    folder: Location,
    *,
    recursive: bool,
    exclude: Sequence[str],
    default_excludes: bool = True,
    min_bytes: int = 0,
    formats: str = ALL,
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
    file the first counts, the others get an error; so does a folder that cannot be read, and a picture of a format that is
    not. The `Duplicates` folders and the folders `skip` are never entered.

    Args:
        folder: where the pictures are.
        recursive: also in its sub-folders.
        exclude: patterns as in a `.gitignore`, relative to each folder.
        default_excludes: leave out what `DEFAULT_EXCLUDES` names as well.
        min_bytes: leave out smaller files.
        formats: leave out those of others, see `config.formats`.
        more_folders: more of the same.
        reference: folders whose pictures stay, also where they are inside the others.
        skip: folders that are left out wherever they are.
        left_out: counts what was left out: folders by their name and a slash, files by the pattern, the format, or the limit.
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
    find_limit = _limiting(min_bytes, formats)
    listed: list[_Picture] = []
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
        limits = [find_limit(picture) for picture in pictures]
        left_out.update(filter(None, limits))
        listed += [picture for picture, limit in zip(pictures, limits, strict=True) if not limit]
        belonging = find_companions(
            [picture.found.path for picture in pictures], [file for file in files if file.kind == "file"]
        )
        passed_over = [picture.found.path for picture, limit in zip(pictures, limits, strict=True) if limit]
        companions |= _without_those_of_others(belonging, passed_over)
    progress(walked, walked)
    found = list(_mark_hard_links([picture.found for picture in listed]))
    is_reference = _find_references(found, roots[len(roots) - len(reference) :])
    errors = [_find_error(one, picture.kind) for one, picture in zip(found, listed, strict=True)]
    return [
        Candidate(
            one.path,
            one.size_bytes,
            one.mtime_ns,
            kept,
            None if error is None else str(error),
            one.validator,
            one.changed_ns,
            companions.get(one.path, ()),
            error.code if isinstance(error, Reason) else None,
        )
        for one, kept, error in zip(found, is_reference, errors, strict=True)
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
        min_bytes=parameters.min_bytes,
        formats=parameters.formats,
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
            _count_folder(to_json_name(root / name), left_out, _count_parts(pattern or ""))
            return True
        if pattern:
            left_out[pattern] += 1
        return pattern is not None

    return is_excluded


def _count_parts(pattern: str) -> int:
    """Return how many parts of a folder's name say why `pattern` leaves it out: of Immich's it is a user's number, and that of what."""
    return len(pattern.strip("/").split("/")) - 1 if pattern.startswith("**/") else 1


def _count_folder(folder: str, left_out: Counter[str], parts: int = 1) -> None:
    left_out["/".join([*name_to_columns(folder)[0].split("/")[-parts:], ""])] += 1


def _limiting(min_bytes: int, formats: str) -> Callable[[_Picture], str | None]:
    """Return a function that finds what leaves out a picture: its format, or the words for a limit; None if nothing does."""
    names = split_formats(formats)
    smaller = f"smaller than {min_bytes:,} bytes"

    def find_limit(picture: _Picture) -> str | None:
        if names is not None and picture.kind and picture.kind.name not in names:
            return picture.kind.name
        return smaller if picture.found.kind == "file" and picture.found.size_bytes < min_bytes else None

    return find_limit


def _without_those_of_others(belonging: Mapping[str, list[Found]], others: Sequence[str]) -> dict[str, list[Found]]:
    """Return what belongs to pictures, but for what also belongs to one of `others`, which stay where they are.

    Unless that other one, as a raw file, belongs to the picture itself.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for other in others:
        for file in belonging.get(other, ()):
            owners[file.path].append(other)
    if not owners:
        return dict(belonging)
    own = {picture: {file.path for file in files} for picture, files in belonging.items()}
    return {
        picture: [file for file in files if own[picture].issuperset(owners.get(file.path, ()))]
        for picture, files in belonging.items()
    }


def _sort_key(picture: _Picture) -> bytes:
    """Return what files below one root are sorted by: all their names begin alike."""
    return os.fsencode(picture.found.path)


def _find_pictures(root: Location, files: Sequence[Found], left_out: Counter[str]) -> Iterator[_Picture]:
    """Yield those of `files`, found below `root`, that look like pictures, and what could not be examined, in no order."""
    named: list[Found] = []
    unnamed: list[Found] = []
    suffixes, find_kind = picture_suffixes(), kind_finder()
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
    for found in named:
        if found.path not in doubles:
            yield _Picture(found, None if found.kind == "folder" else find_kind(suffix_of(found.path), b""))
    # Names without a picture's suffix cost a request each in a bucket, so they are asked for together.
    starts = storage_of(root).read_starts([found.location for found in unnamed], magic_length())
    for found, start in zip(unnamed, starts, strict=True):
        if kind := find_kind(suffix_of(found.path), start):
            yield _Picture(found, kind)


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


def _find_error(found: Found, kind: Kind | None) -> Reason | str | None:
    if found.error:
        return found.error
    if kind and not isinstance(kind, Format):
        return Reason.of(ReasonCode.FORMAT_NOT_READ, format=kind.name)
    if found.size_bytes <= MAX_BYTES:
        return None
    # The decoder would say the same, but only after all of it had been fetched from a bucket.
    return f"{found.size_bytes} bytes, more than the {MAX_BYTES} that are read"
