"""Names for files whose own is taken, and the folder that they go to."""

import errno
import os
from collections.abc import Iterator

from imagetwins.storage.location import Location
from imagetwins.storage.reserved import DUPLICATES

_MAX_NAMES = 10_000
_MAX_SUFFIX_BYTES = 32
"""A "suffix" that is longer is taken for a part of the name: it might leave no room for the number."""


def iter_numbered(target: Location, limit_bytes: int) -> Iterator[Location]:
    """Yield `target`, then "name (2).suffix", "name (3).suffix" ..., each of at most `limit_bytes`.

    Raises:
        OSError: ten thousand names were not enough.
    """
    yield target
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _MAX_SUFFIX_BYTES else ""
    stem = target.name.removesuffix(suffix)
    for number in range(2, _MAX_NAMES):
        ending = f" ({number}){suffix}"
        yield target.with_name(_shorten(stem, limit_bytes - len(os.fsencode(ending))) + ending)
    raise OSError(errno.EEXIST, f"{_MAX_NAMES} files have this name already", str(target))


def find_duplicates(target: Location, source: Location) -> Location | None:
    """Return the `Duplicates`, of the folder that both files are in, to which the file `source` goes; None if `target` is elsewhere."""
    above = set(source.parents)
    outside = [folder for folder in target.parents if folder not in above]
    return outside[-1] if outside and outside[-1].name == DUPLICATES else None


def _shorten(stem: str, limit_bytes: int) -> str:
    """Return the longest beginning of `stem` that takes at most `limit_bytes`."""
    while stem and len(os.fsencode(stem)) > limit_bytes:
        stem = stem[:-1]
    return stem
