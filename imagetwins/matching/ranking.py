"""Which copy is kept: images in rank order, by a rule that has a name.

A rule is a function of the images that returns a sort key for each: the least ranks first. A new one is a function here, an entry
in `KEEP_RULES`, and its name in `config.parameters.Keep`.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.parameters import Keep

KeepRule = Callable[[pd.DataFrame], pd.Series]


def most_pixels(images: pd.DataFrame) -> pd.Series:
    """The copy with the most pixels ranks first."""
    return -(images["width_px"].astype("Float64") * images["height_px"].astype("Float64"))


def most_bytes(images: pd.DataFrame) -> pd.Series:
    """The copy with the largest file ranks first."""
    return -images["size_bytes"]


def oldest(images: pd.DataFrame) -> pd.Series:
    """The copy that was modified the longest ago ranks first."""
    return images["mtime_ns"]


def newest(images: pd.DataFrame) -> pd.Series:
    """The copy that was modified last ranks first."""
    return -images["mtime_ns"]


def first_listed(images: pd.DataFrame) -> pd.Series:
    """The copy that is listed first ranks first."""
    return images["image"]


KEEP_RULES: dict[Keep, KeepRule] = {
    "first": first_listed,
    "resolution": most_pixels,
    "size": most_bytes,
    "oldest": oldest,
    "newest": newest,
}


def rank_images(images: pd.DataFrame, keep: Keep) -> NDArray[np.intp]:
    """Return the rank of each row of `images` (`schemas.IMAGES`), 0 for the one that is kept before all others.

    Images of reference folders rank first, then those that the rule `keep` prefers, those without its key last; ties keep
    their order in the table.
    """
    keys = pd.DataFrame({"is_own": ~images["is_reference"], "key": KEEP_RULES[keep](images)})
    ranked = keys.sort_values(["is_own", "key"], kind="stable", na_position="last").index
    ranks = np.empty(len(images), np.intp)
    ranks[ranked.to_numpy()] = np.arange(len(images))
    return ranks
