"""Names for files whose own is taken, and between which folders they go."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Route:
    """Between which folders a file goes, out and back. What lies above these two is the user's: nothing is asked of it.

    Attributes:
        home: the user's folder that the file lies in.
        above: the existing folder that `aside` is in, or is made in.
        aside: the folder that duplicates are put into, and which is marked; None if it is not known.
    """

    home: Location
    above: Location
    aside: Location | None

    @classmethod
    def into(cls, home: Location, aside: Location) -> "Route":
        """Return the route from a folder to any other."""
        return cls(home, aside.parent, aside)

    @classmethod
    def between(cls, source: Location, target: Location) -> "Route":
        """Return the route of a file that goes to the same path below the `Duplicates` of its folder: the one that both are in."""
        above = set(source.parents)
        outside = [folder for folder in target.parents if folder not in above]
        home = next((folder for folder in target.parents if folder in above), source.parent)
        return cls(home, home, outside[-1] if outside and outside[-1].name == DUPLICATES else None)


def _shorten(stem: str, limit_bytes: int) -> str:
    """Return the longest beginning of `stem` that takes at most `limit_bytes`."""
    while stem and len(os.fsencode(stem)) > limit_bytes:
        stem = stem[:-1]
    return stem
