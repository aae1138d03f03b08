"""Patterns of files and folders to leave out, as in a `.gitignore`."""

from collections.abc import Callable, Sequence

import pathspec

from imagetwins.errors import ParameterError


def compile_patterns(exclude: Sequence[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a relative name, of a folder with a slash at its end, matches `exclude`.

    Raises:
        ParameterError: one is no pattern.
    """
    try:
        matcher = pathspec.PathSpec.from_lines("gitignore", exclude)
    except ValueError as error:
        raise ParameterError(f"exclude={list(exclude)!r}: {error}. Give patterns as in a .gitignore.") from None
    return matcher.match_file
