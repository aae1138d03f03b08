"""Where symbolic links lead, by what they say: none is followed, and nothing is opened.

The links of a folder and the files in it are known from one walk, so that a link is read but once, and nothing outside is asked for:
a disk that is away would answer late, or never.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

MAX_LINKS = 40
"""Links on one way; Linux follows no more (path_resolution(7))."""


def find_targets(links: Mapping[str, str], files: Collection[str], roots: Sequence[str]) -> dict[str, str]:
    """Return which of `files` each of `links` leads to; those that lead elsewhere are left out.

    Args:
        links: what each link says, by its path; those to folders too, over which others may lead.
        files: paths.
        roots: the folders, without symbolic links on their way, that all these lie in.
    """
    is_same = cache(_is_same)

    def find(link: str) -> str | None:
        path = _resolve(link, links)
        if path is None or path in files:
            return path
        # A root may have another name, as where a home has a link to the disk with the pictures. The disk is asked for it only where a
        # file is known that would be meant then.
        named = ((_resolve(f"{root}/{rest}", links), root, head) for head, rest in _iter_splits(path) for root in roots)
        return next((file for file, root, head in named if file in files and is_same(head, root)), None)

    found = {link: find(link) for link in links}
    return {link: path for link, path in found.items() if path is not None}


def _is_same(folder: str, root: str) -> bool:
    with suppress(OSError):
        return Path(folder).samefile(root)
    return False


def _resolve(path: str, links: Mapping[str, str]) -> str | None:
    """Return where the absolute `path` leads, as the kernel would find it if there were no links but `links`; None if nowhere."""
    resolved, followed = "", 0
    pending = path.split("/")[::-1]
    while pending:
        part = pending.pop()
        if part in {"", "."}:
            continue
        above, resolved = resolved, f"{resolved}/{part}"
        if part == "..":
            resolved = above.rpartition("/")[0]
        elif (says := links.get(resolved)) is not None:
            followed += 1
            if followed > MAX_LINKS:
                return None
            resolved = "" if says.startswith("/") else above
            pending += says.split("/")[::-1]
    return resolved


def _iter_splits(path: str) -> Iterator[tuple[str, str]]:
    """Yield each folder on the way to `path`, with the rest of the way."""
    end = path.find("/", 1)
    while end > 0:
        yield path[:end], path[end + 1 :]
        end = path.find("/", end + 1)
