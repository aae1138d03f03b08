"""Which files belong to a picture, by their names: sidecars, the film of a Live Photo, the raw file beside a JPEG.

Names are compared ignoring case, within one folder. A file that shares only the stem of its name belongs to every picture there
that has this stem.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.decoding.formats import RAW
from imagetwins.storage import Found
from imagetwins.storage.location import suffix_of

APPLE_DOUBLE = "._"
"""What the names of files begin with in which macOS keeps, on file systems of others, what belongs to the file that is named
without it (AppleDouble, RFC 1740)."""

SIDECARS = (".xmp", ".aae", ".pp3", ".dop", ".json")
"""Of Adobe's and most other programs, Apple's Photos, RawTherapee, DxO and Google Takeout: `b.jpg.xmp`."""

SIDECARS_BY_STEM = (".xmp", ".aae")
"""Those that may leave out the picture's suffix: `b.xmp`. (`b.json` may be anything.)"""

FILMS = (".mov", ".mp4", ".mp")
"""The film of a Live Photo, or a motion photo: `b.mov` beside `b.heic`, `b.MP` beside `b.MP.jpg`."""

MAX_FILM_BYTES = 64 << 20
"""Such a film takes three seconds; a larger one is a film of its own, which the picture is the poster of."""

RAWS = (*RAW.suffixes, ".raw")
"""The raw file of a pair that the camera wrote: `b.nef` beside `b.jpg`."""

TAKEOUT, TAKEOUT_CHARACTERS = ".supplemental-metadata", 46
"""What Google Takeout puts between a picture's name and `.json`; it cuts off what goes beyond so many characters."""

_SUFFIXES = frozenset((*SIDECARS, *FILMS, *RAWS))
_Key = tuple[str, str]


def find_companions(pictures: Sequence[str], files: Sequence[Found]) -> dict[str, list[Found]]:
    """Return those of `files`, which may be pictures themselves, that belong to each of `pictures`, paths, that has any."""
    named = [file for file in files if _is_named_like_one(file.path)]
    owners = _Owners(pictures if named else [])
    found: dict[str, list[Found]] = defaultdict(list)
    # What belongs to a raw file belongs to the pictures that the raw file belongs to.
    for file in sorted(named, key=lambda file: suffix_of(file.path).lower() not in RAWS):
        for picture in owners.find(file):
            if picture != file.path:
                found[picture].append(file)
    return found


def _is_named_like_one(path: str) -> bool:
    return suffix_of(path).lower() in _SUFFIXES or f"/{APPLE_DOUBLE}" in path


class _Owners:
    """The pictures that a file may belong to, by what they share of their names."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self.by_name: dict[_Key, list[str]] = defaultdict(list)
        self.by_stem: dict[_Key, list[str]] = defaultdict(list)
        self.by_start: dict[_Key, list[str]] = defaultdict(list)
        for picture in pictures:
            folder, name = _split(picture)
            self.by_name[folder, name].append(picture)
            self.by_stem[folder, name.removesuffix(suffix_of(picture).lower())].append(picture)
            self.by_start[folder, name[:TAKEOUT_CHARACTERS]].append(picture)

    def find(self, file: Found) -> list[str]:
        """Return the pictures that `file` belongs to."""
        folder, name = _split(file.path)
        suffix = suffix_of(file.path).lower()
        if name.startswith(APPLE_DOUBLE):
            return self.by_name.get((folder, name.removeprefix(APPLE_DOUBLE)), [])
        base = name.removesuffix(suffix) if suffix else name
        with_stem = self.by_stem.get((folder, base), [])
        if suffix in RAWS:
            pictures = [picture for picture in with_stem if suffix_of(picture).lower() not in RAWS]
            self.by_name.setdefault((folder, name), pictures)
            return pictures
        if suffix in FILMS:
            of_motion_photo = self.by_stem.get((folder, name), [])
            return [*with_stem, *of_motion_photo] if file.size_bytes <= MAX_FILM_BYTES else []
        if suffix not in SIDECARS:
            return []
        if by_name := self.by_name.get((folder, base), []):
            return by_name
        return self._find_by_takeout(folder, base) if suffix == ".json" else with_stem * (suffix in SIDECARS_BY_STEM)

    def _find_by_takeout(self, folder: str, base: str) -> list[str]:
        """Return the pictures whose data Google Takeout wrote to `base` and ".json"."""
        for name in _iter_takeout_names(base):
            if found := self.by_name.get((folder, name)):
                return found
        starting = self.by_start.get((folder, base), []) if len(base) == TAKEOUT_CHARACTERS else []
        return starting if len(starting) == 1 else []


def _iter_takeout_names(base: str) -> Iterator[str]:
    """Yield the names that a picture may have whose data are in `base` and ".json".

    The second of two pictures of one name is `b(1).jpg`, and its data are in `b.jpg(1).json` or
    `b.jpg.supplemental-metadata(1).json`.
    """
    plain, number = base, ""
    if base.endswith(")"):
        plain, opening, digits = base[:-1].rpartition("(")
        if opening and digits.isdecimal():
            number = f"({digits})"
        else:
            plain = base
    name, dot, rest = plain.rpartition(".")
    for named in (plain, name) if TAKEOUT.startswith(f"{dot}{rest}") else (plain,):
        path = PurePath(named)
        yield f"{path.stem}{number}{path.suffix}"


def _split(path: str) -> _Key:
    """Return the folder of a file, and its name in lower case."""
    folder, _, name = path.rpartition("/")
    return folder, name.lower()


def rename_companion(name: str, picture: str, renamed: str) -> str:
    """Return what the companion `name` of the file `picture` is called once that is called `renamed`: b.xmp -> b (2).xmp."""
    if picture == renamed:
        return name
    start = APPLE_DOUBLE if name.startswith(APPLE_DOUBLE) else ""
    rest = name.removeprefix(start)
    for old, new in ((picture, renamed), (PurePath(picture).stem, PurePath(renamed).stem)):
        if rest[: len(old)].lower() == old.lower():
            return f"{start}{new}{rest[len(old) :]}"
    return name


def find_raw_pairs(matches: pd.DataFrame, images: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which of `matches` (`schemas.COMPARISONS`) are of a raw file and a picture of the same shot beside it.

    `images` are `schemas.IMAGES`; row i is the image with the id i.
    """
    paths = images["path"].str.lower()
    is_raw = paths.str.endswith(RAWS).to_numpy(bool)
    first, second = matches["image1"].to_numpy(np.int64), matches["image2"].to_numpy(np.int64)
    pairs: NDArray[np.bool_] = is_raw[first] ^ is_raw[second]
    if pairs.any():
        shots = paths.str.rsplit(".", n=1).str[0].to_numpy()
        pairs[pairs] = shots[first[pairs]] == shots[second[pairs]]
    return pairs
