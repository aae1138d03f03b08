"""Names of files and folders that begin with -, which a shell hands on as they are, and which are read as options."""

import os
import shlex
from collections.abc import Sequence
from itertools import takewhile

from imagetwins.text import as_argument

END_OF_OPTIONS = "--"
HELP_OPTION = "-h"


def find_hidden_help(arguments: Sequence[str]) -> str | None:
    """Return the name of something in the current folder that would be read as -h, as -holiday is; None if there is none."""
    return next(
        (word for word in _read_as_options(arguments) if word.startswith(HELP_OPTION) and word != HELP_OPTION), None
    )


def advise_dash(arguments: Sequence[str], unknown: str = "") -> str:
    """Return how to name what may have been meant by one of `arguments` and was read as an option; "" if none was.

    That is what lies in the current folder under this name, else the word of which `unknown` is said to be no option.
    """
    here = _read_as_options(arguments)
    words = [word for word in arguments if unknown and word.startswith(unknown) and not word.startswith("--")]
    return explain_dash(here[0]) if here else explain_dash(words[0]) if words else ""


def explain_dash(word: str) -> str:
    """Return how to name a file or a folder `word`, which begins with -."""
    return f"If a file or a folder is meant, write {shlex.quote(as_argument(word))}, or put {END_OF_OPTIONS} before it."


def _read_as_options(arguments: Sequence[str]) -> list[str]:
    """Return those of `arguments` that would be read as options and are names of what is in the current folder."""
    before = takewhile(lambda word: word != END_OF_OPTIONS, arguments)
    return [word for word in before if word.startswith("-") and os.path.lexists(word)]
