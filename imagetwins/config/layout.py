"""The folders of a run: which of them a picture lies in, what the picture is called there, and where its duplicates go.

Folders may lie in each other: a picture belongs to the innermost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

from imagetwins.storage import DUPLICATES, Location, is_inside, parse_location, storage_of
from imagetwins.storage.location import name_to_columns


@dataclass(frozen=True)
class Layout:
    """The folders that a run looks through, and `into`, the one that duplicates of all go to; None: each has its own."""

    folders: tuple[Location, ...]
    into: Location | None = None

    @property
    def places(self) -> list[Location]:
        """All folders that the run may move files out of, or to."""
        return [*self.folders, *([] if self.into is None else [self.into])]

    @property
    def asides(self) -> list[Location]:
        """The folders that duplicates go to, which are not looked through."""
        return [folder / DUPLICATES for folder in self.folders] if self.into is None else [self.into]

    @cached_property
    def titles(self) -> dict[Location, str]:
        """What each folder is called where there are several: the end of its path, long enough to tell it from the others."""
        parts = [[part for part in str(folder).split("/") if part] for folder in self.folders]
        for length in count(1):
            titles = ["/".join(of_one[-length:]) for of_one in parts]
            if len(set(titles)) == len(titles) or length >= max(map(len, parts)):
                return dict(zip(self.folders, titles, strict=True))
        raise AssertionError("count() does not end")

    @cached_property
    def _innermost_first(self) -> list[Location]:
        return sorted(self.folders, key=lambda folder: -len(str(folder)))

    def find_folder(self, location: Location) -> Location | None:
        """Return the innermost folder that `location` lies in; None if it lies in none, as pictures of a reference may."""
        return next((folder for folder in self._innermost_first if is_inside(location, folder)), None)

    def plan_target(self, location: Location) -> tuple[Location, Location]:
        """Return the folder that the file `location` lies in, and where it goes as a duplicate.

        That is its path in the folder, below `Duplicates` or `into`; there below the folder's name, if there are several.

        Raises:
            ValueError: it lies in none of the folders.
        """
        folder = self.find_folder(location)
        if folder is None:
            raise ValueError(f"{str(location)!r} is in none of the run's folders")
        return folder, self._plan_top(folder) / storage_of(folder).relative_name(location, folder)

    @cached_property
    def _prefixes(self) -> list[tuple[str, str, str]]:
        """What paths in each folder begin with, as they are, as they are shown, and of duplicates; the innermost folder first."""
        return [
            (
                f"{str(folder).rstrip('/')}/",
                f"{self.titles[folder]}/" if len(self.folders) > 1 else "",
                f"{str(self._plan_top(folder)).rstrip('/')}/",
            )
            for folder in self._innermost_first
        ]

    def _plan_top(self, folder: Location) -> Location:
        """Return the folder below which duplicates of `folder` have the paths that they had there."""
        if self.into is None:
            return folder / DUPLICATES
        return self.into / self.titles[folder] if len(self.folders) > 1 else self.into

    def shorten(self, path: str) -> str:
        """Return `path` as it is shown: inside the folder without it; where there are several, below the folder's name."""
        for prefix, shown, _ in self._prefixes:
            if path.startswith(prefix):
                return f"{shown}{path.removeprefix(prefix)}"
        return path

    def plan_name(self, path: str) -> str:
        """Return where the file `path` goes as a duplicate, see `plan_target`; `path` itself if it is in none of the folders."""
        for prefix, _, target in self._prefixes:
            if path.startswith(prefix):
                return f"{target}{path.removeprefix(prefix)}"
        return path

    def number_folders(self, paths: Sequence[str]) -> list[int]:
        """Return which folder each of `paths` (the column `path` of a table) lies in, by number; -1 of one that lies in none."""
        numbers = {folder: number for number, folder in enumerate(self.folders)}
        prefixes = [
            (f"{name_to_columns(str(folder))[0].rstrip('/')}/", numbers[folder]) for folder in self._innermost_first
        ]
        return [next((number for prefix, number in prefixes if path.startswith(prefix)), -1) for path in paths]

    @property
    def name(self) -> str:
        """The names of the folders, for a title: A; A and B; A and 2 more folders."""
        return _join([self.titles[folder] or str(folder) for folder in self.folders])

    @property
    def path(self) -> str:
        """The same with their whole paths, or URLs."""
        return _join([str(folder) for folder in self.folders])


def _join(names: Sequence[str]) -> str:
    match names:
        case [one]:
            return one
        case [one, other]:
            return f"{one} and {other}"
        case _:
            return f"{names[0]} and {len(names) - 1} more folders"


def make_layout(folders: Sequence[str], into: str | None = None) -> Layout:
    """Return the layout of the folders with these names."""
    return Layout(tuple(map(parse_location, folders)), None if into is None else parse_location(into))
