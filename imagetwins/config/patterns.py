"""Patterns of files and folders to leave out, as in a `.gitignore`; and what is left out unless a run says otherwise."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pathspec

from imagetwins.errors import ParameterError

DEFAULT_EXCLUDES = (
    # Hidden folders: trash (.Trash-1000, .Trashes, .recycle), thumbnails (.thumbnails, .@__thumb), versions (.stversions),
    # snapshots (.zfs), originals of edited pictures (.picasaoriginals).
    ".*/",
    # Trash: Windows, Synology, QNAP, Buffalo, AFP servers, Nextcloud; and Android's, which stays where the picture was.
    "$RECYCLE.BIN/",
    "RECYCLER/",
    "RECYCLED/",
    r"\#recycle/",
    "@Recycle/",
    "trashbox/",
    "Network Trash Folder/",
    "files_trashbin/",
    ".trashed-*",
    # What a system keeps for itself: pieces that a repair found, restore points, unfinished files.
    "lost+found/",
    "FOUND.[0-9][0-9][0-9]/",
    "System Volume Information/",
    "Temporary Items/",
    "@tmp/",
    ".pending-*",
    # Older versions and snapshots: Nextcloud, Synology, QNAP, NetApp.
    "files_versions/",
    r"\#snapshot/",
    "@Recently-Snapshot/",
    "~snapshot/",
    # What is kept beside pictures under their names, and is none: of macOS in archives, of FrontPage.
    "__MACOSX/",
    "_vti_*/",
    # Thumbnails and previews: Synology, QNAP, Nextcloud, Immich (below a user's id; portraits of users and films too), PhotoPrism, Piwigo.
    "@eaDir/",
    "@__thumb/",
    "**/appdata_*/preview/",
    "**/thumbs/????????-????-????-????-????????????/",
    "**/profile/????????-????-????-????-????????????/",
    "**/encoded-video/????????-????-????-????-????????????/",
    "**/storage/cache/thumbnails/",
    "**/_data/i/",
    # The innards of photo libraries: Photos, iPhoto and Aperture, Photo Booth, iTunes, Lightroom, Capture One.
    "*.photoslibrary/",
    "*.photolibrary/",
    "*.migratedphotolibrary/",
    "iPhoto Library/",
    "*.aplibrary/",
    "*.migratedaplibrary/",
    "Photo Booth Library/",
    "iPod Photo Cache/",
    "*.lrdata/",
    "*.lrcat-data/",
    "*.lrlibrary/",
    "*.cocatalog/",
    "**/CaptureOne/Cache/",
)
"""Spelled as these systems spell them, and compared ignoring case, as most of them do."""


def compile_patterns(exclude: Sequence[str], *, defaults: bool = True) -> Callable[[str], str | None]:
    """Return a function that finds the pattern by which a relative name, of a folder with a slash at its end, is left out.

    Args:
        exclude: patterns; one that begins with `!` takes in again what a default leaves out.
        defaults: whether `DEFAULT_EXCLUDES` count as well.

    Raises:
        ParameterError: one is no pattern.
    """
    own = [pattern for pattern in exclude if pattern]
    try:
        find_own = _compile(own)
    except ValueError as error:
        raise ParameterError(f"exclude={list(exclude)!r}: {error}. Give patterns as in a .gitignore.") from None
    # Apart, because there are many patterns for folders, and many more files than folders.
    common = {
        of_folders: [one for one in DEFAULT_EXCLUDES if defaults and one.endswith("/") == of_folders]
        for of_folders in (True, False)
    }
    find_common = {of_folders: _compile([one.lower() for one in patterns]) for of_folders, patterns in common.items()}

    def find_pattern(name: str) -> str | None:
        if own and (found := find_own(name)):
            return own[found.number] if found.is_left_out else None
        is_folder = name.endswith("/")
        found = find_common[is_folder](name.lower())
        return common[is_folder][found.number] if found else None

    return find_pattern


class _Match(NamedTuple):
    """The number of the pattern that decides about a name, and whether that leaves it out."""

    number: int
    is_left_out: bool


def _compile(patterns: Sequence[str]) -> Callable[[str], _Match | None]:
    """Return a function that finds which of `patterns` decides about a name, None if no pattern does."""
    matcher = pathspec.PathSpec.from_lines("gitignore", patterns)
    parts = map(_find_literal, patterns)
    searches = [(part, one.regex.search) for part, one in zip(parts, matcher.patterns, strict=True) if one.regex]

    def find(name: str) -> _Match | None:
        # Most names match nothing, and finding that out takes a tenth of what pathspec takes to find which one decides; where
        # what every match has in it is missing, a hundredth.
        for part, search in searches:
            if part in name and search(name):
                found = matcher.check_file(name)
                return None if found.index is None else _Match(found.index, bool(found.include))
        return None

    return find


def _find_literal(pattern: str) -> str:
    """Return what is in every name that `pattern` matches; "" where that takes more than a look at it."""
    if "[" in pattern or "\\" in pattern:
        return ""
    # Spaces at the end are no part of a pattern.
    return max((part.strip() for part in re.split(r"[*?!/]", pattern)), key=len)
