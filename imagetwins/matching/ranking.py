"""Which copy is kept: images in rank order, by a chain of words.

Each word has a function of the images that returns a sort key for each: the least ranks first. Where the keys of one word are
equal, the next word decides. A new word is a function here, an entry in `KEEP_RULES`, and its name in `config.keep.KEEP_WORDS`.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.keep import FOLDER_WORD

KeepRule = Callable[[pd.DataFrame], pd.Series]

_COPY = "copy|kopie|kopi|kopia|copie|copia|cópia|kopya|kópia|másolat|копия|копія"
"""The word for a copy that file managers and cloud storage put into names: English, German and Dutch and Czech, Danish and
Norwegian, Swedish and Polish, French, Italian and Spanish, Portuguese, Turkish, Slovak, Hungarian, Russian, Ukrainian."""

_COPY_UNSPACED = "のコピー|コピー|的副本|副本|复制|複製|복사본|사본"
"""The same in Japanese, Chinese and Korean, which put no space before it."""

_NUMBER = r"[ _]?\(?\d{0,3}\)?"

_COPY_NAME = re.compile(
    rf"[ _-][ _-]*\(?(?:another |\d+\w\w )?(?:{_COPY})\)?{_NUMBER}$"  # "x copy", "x - Kopie (2)", "x (3rd copy)"
    rf"|[ _-]*(?:{_COPY_UNSPACED}){_NUMBER}$"
    rf"|^(?:{_COPY})(?: \(\d+\))? (?:of|von|van|de|di|da|av|af|z) "  # "Copy of x", "Copia de x"
    r"|[ _]?\(\d{1,3}\)$|[-_~][1-9]$",  # "x (1)", "x-1"
    re.IGNORECASE,
)


def most_pixels(images: pd.DataFrame) -> pd.Series:
    """The copy with the most pixels ranks first."""
    return -(images["width_px"].astype("Float64") * images["height_px"].astype("Float64"))


def most_bytes(images: pd.DataFrame) -> pd.Series:
    """The copy with the largest file ranks first."""
    return -images["size_bytes"]


def oldest(images: pd.DataFrame) -> pd.Series:
    """The copy that was taken, or else modified, the longest ago ranks first."""
    return _dates_ns(images)


def newest(images: pd.DataFrame) -> pd.Series:
    """The copy that was taken, or else modified, last ranks first."""
    return -_dates_ns(images)


def _dates_ns(images: pd.DataFrame) -> pd.Series:
    """Return when each picture was taken by its EXIF, else when its file was modified, in nanoseconds since 1970.

    EXIF says the time of the camera's place and not which place it was: it is taken for UTC.
    """
    taken = pd.to_datetime(images["taken"], format="ISO8601", errors="coerce").astype("datetime64[ns]")
    taken_ns = pd.Series(taken.to_numpy().astype(np.int64), images.index)
    return taken_ns.where(taken.notna(), images["mtime_ns"])


def has_date(images: pd.DataFrame) -> pd.Series:
    """A copy whose EXIF says when it was taken ranks before one whose does not."""
    return images["taken"].isna()


def no_copy_name(images: pd.DataFrame) -> pd.Series:
    """A copy whose name is not one that systems give to copies, as "x (1)" or "x - Copy", ranks before one whose is."""
    return images["path"].map(lambda path: is_copy_name(PurePath(path).stem))


def is_copy_name(stem: str) -> bool:
    """Whether `stem`, a name without its suffix, is one that a large system gives to a copy, in one of its languages."""
    return _COPY_NAME.search(stem) is not None


def most_companions(images: pd.DataFrame) -> pd.Series:
    """The copy with the most that belongs to it, in files beside it or behind its picture in the file, ranks first."""
    return -(images["companions"].fillna(0) + images["extras"].fillna(0))


def references_first(images: pd.DataFrame) -> pd.Series:
    """A picture of a reference folder ranks before one of the folder itself."""
    return ~images["is_reference"]


def first_listed(images: pd.DataFrame) -> pd.Series:
    """The copy that is listed first ranks first."""
    return images["image"]


KEEP_RULES: dict[str, KeepRule] = {
    "first": first_listed,
    "resolution": most_pixels,
    "size": most_bytes,
    "oldest": oldest,
    "newest": newest,
    "exif-date": has_date,
    "name": no_copy_name,
    "companions": most_companions,
    "reference": references_first,
}


def _find_rule(word: str) -> KeepRule:
    if word.startswith(FOLDER_WORD):
        return _in_folder(word.removeprefix(FOLDER_WORD))
    return KEEP_RULES[word]


def _in_folder(name: str) -> KeepRule:
    """Return the rule by which a copy somewhere below a folder `name`, as "originals" or "2019/best", ranks first."""
    within = f"/{name.strip('/')}/"
    return lambda images: images["path"].map(lambda path: within not in path)


def rank_images(images: pd.DataFrame, ranking: Iterable[str]) -> NDArray[np.intp]:
    """Return the rank of each row of `images` (`schemas.IMAGES`), 0 for the one that is kept before all others.

    The words of `ranking` decide in their order (`Parameters.ranking`); images without a key rank last, and ties keep their
    order in the table.
    """
    keys = pd.DataFrame(dict(enumerate(_find_rule(word)(images) for word in ranking)))
    ranked = keys.sort_values(list(keys.columns), kind="stable", na_position="last").index
    ranks = np.empty(len(images), np.intp)
    ranks[ranked.to_numpy()] = np.arange(len(images))
    return ranks
