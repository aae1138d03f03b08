"""Numbers, names and commands in sentences."""

import shlex

ZERO_WIDTH_SPACE = "\u200b"
"""Where a long name may be broken into lines; removed again from names that were copied from a page."""


def pluralize(count: int, noun: str) -> str:
    """Return the number with its noun: 1 picture, 2,000 pictures."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def shorten_path(path: str, folder: str) -> str:
    """Return `path` as it is shown to people who know the folder: without it, where it is inside."""
    return path.removeprefix(f"{folder.rstrip('/')}/")


def format_command(verb: str, run_id: str, store: str | None, program: str = "imagetwins") -> str:
    """Return the shell command that applies `verb` (restore, approve ...) to a run; with `--store` if `store` is named."""
    return shlex.join([program, verb, run_id, *(["--store", store] if store else [])])


def describe_os_error(error: OSError) -> str:
    """Return what the system said about a file, without the error's number: "Permission denied: /a/b.png"."""
    if error.strerror and error.filename:
        return f"{error.strerror}: {error.filename}"
    return error.strerror or str(error)
