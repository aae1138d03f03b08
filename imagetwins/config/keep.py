"""The words of `keep`, which say by what the copies of a picture are ranked."""

from collections.abc import Sequence

from pydantic_core import PydanticCustomError

KEEP_WORDS = ("first", "resolution", "size", "oldest", "newest", "exif-date", "name", "companions", "reference")
"""Every word but `folder:NAME`; `matching.ranking` has the function of each."""

FOLDER_WORD = "folder:"


def split_keep(keep: str) -> tuple[str, ...]:
    """Return the words of a chain like "resolution,exif-date,first"."""
    return tuple(word.strip() for word in keep.split(","))


def check_keep(keep: str) -> str:
    """Return `keep` if it is a chain of known words.

    Raises:
        PydanticCustomError: it is not; names the word and the known ones.
    """
    for word in split_keep(keep):
        is_folder = word.startswith(FOLDER_WORD) and word.removeprefix(FOLDER_WORD).strip("/")
        if word not in KEEP_WORDS and not is_folder:
            raise PydanticCustomError(
                "keep", "unknown word {word}; the words are {known}", {"word": repr(word), "known": _join(KEEP_WORDS)}
            )
    return keep


def _join(words: Sequence[str]) -> str:
    return f"{', '.join(words)} and {FOLDER_WORD}NAME"
