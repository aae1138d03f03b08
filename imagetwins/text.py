"""Numbers, names and commands in sentences."""

import shlex
from collections.abc import Mapping, Sequence

ZERO_WIDTH_SPACE = "\u200b"
"""Where a long name may be broken into lines; removed again from names that were copied from a page."""


def pluralize(count: int, noun: str) -> str:
    """Return the number with its noun: 1 picture, 2,000 pictures, 3 batches."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"


def printable(text: str) -> str:
    """Return `text` with characters that are not seen, as line breaks and control characters, spelled as Python does."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def format_duration(seconds: float) -> str:
    """Return a length of time as people say it: 2.8 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def shorten_path(path: str, folder: str) -> str:
    """Return `path` as it is shown to people who know the folder: without it, where it is inside."""
    return path.removeprefix(f"{folder.rstrip('/')}/")


def name_two(first: str, second: str) -> tuple[str, str]:
    """Return the names of two files, as a sentence has both: where they are the same, with as many folders as tell them apart."""
    one, other = first.split("/"), second.split("/")
    differ = (count for count in range(1, max(len(one), len(other)) + 1) if one[-count:] != other[-count:])
    count = next(differ, 1)
    return "/".join(one[-count:]), "/".join(other[-count:])


def name_beside(path: str, other: str) -> str:
    """Return the name of the file at `other`, as it stands in what is said of the one at `path`."""
    return name_two(path, other)[1]


def as_argument(name: str) -> str:
    """Return the name of a file or a folder as a command takes it: one that begins with - would be taken for an option."""
    return f"./{name}" if name.startswith("-") else name


def format_words(*words: str) -> str:
    """Return a shell command of `words`, each as it is, whatever its name holds."""
    return shlex.join(words)


def format_command(
    verb: str, run_id: str, store: str | None, program: str = "imagetwins", options: Sequence[str] = ()
) -> str:
    """Return the shell command that applies `verb` (restore, approve ...) to a run; with `--store` if `store` is named."""
    return format_words(program, verb, run_id, *options, *(["--store", as_argument(store)] if store else []))


ORIENTATIONS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 90 degrees counter-clockwise",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees clockwise",
    8: "turned by 90 degrees counter-clockwise",
}
"""What the orientations of EXIF do to a picture when it is shown; 1 leaves it as it is. Mirrored is left to right, and before it is
turned."""


def describe_os_error(error: OSError) -> str:
    """Return what the system said about a file, without the error's number: "Permission denied: /a/b.png"."""
    if error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return error.strerror or str(error)


MAX_NAMES = 5
"""Names of what was left out that a sentence has room for."""


def describe_left_out(left_out: Mapping[str, int]) -> str:
    """Return what a listing left out: "3 folders (2 @eaDir, $RECYCLE.BIN) and 4 files (._*)"; "" if nothing.

    `left_out` is a record's: how many, of folders by their name and a slash, of files by the pattern.
    """
    folders = {name.removesuffix("/"): count for name, count in left_out.items() if name.endswith("/")}
    files = {name: count for name, count in left_out.items() if not name.endswith("/")}
    told = [_describe_some(some, noun) for some, noun in ((folders, "folder"), (files, "file")) if some]
    return " and ".join(told)


def _describe_some(some: Mapping[str, int], noun: str) -> str:
    ordered = sorted(some.items(), key=lambda one: (-one[1], one[0]))
    names = [name if count == 1 else f"{count:,} {name}" for name, count in ordered[:MAX_NAMES]]
    names += ["..."] if len(ordered) > MAX_NAMES else []
    return f"{pluralize(sum(some.values()), noun)} ({', '.join(names)})"
