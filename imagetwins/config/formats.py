"""The words of `formats`, which say pictures of which formats are compared."""

from pydantic_core import PydanticCustomError

from imagetwins.decoding.formats import decoded_formats, find_format

ALL = "all"
"""The word for every format that is read."""


def check_formats(formats: str) -> str:
    """Return `formats`, words with commas between, as the names of the formats that they mean; each once.

    Raises:
        PydanticCustomError: a word is the name or suffix of none; names the word and the known ones.
    """
    if formats.strip().lower() == ALL:
        return ALL
    names = [_find_name(word.strip()) for word in formats.split(",")]
    return ",".join(dict.fromkeys(names))


def split_formats(formats: str) -> frozenset[str] | None:
    """Return the names of the formats that checked `formats` mean; None if all."""
    return None if formats == ALL else frozenset(formats.split(","))


def _find_name(word: str) -> str:
    known = find_format(word)
    if known is None:
        raise PydanticCustomError(
            "formats",
            "unknown format {word}; the formats are {known}, or a suffix of theirs as in jpg, and {all} for every one",
            {"word": repr(word), "known": ", ".join(decoded_formats()), "all": ALL},
        )
    return known.name
