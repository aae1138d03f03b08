"""Which pairs may match at all, where a run compares inside each sub-folder alone, or between its folders alone.

All pairs are compared and stored all the same: a later run that asks otherwise takes their scores over.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.parameters import Parameters


def find_excluded(pairs: pd.DataFrame, images: pd.DataFrame, parameters: Parameters) -> NDArray[np.bool_]:
    """Return which of `pairs` are no matches, whatever they score, by `within` and `across`. Pictures of references may match all.

    Args:
        pairs: has the columns `image1` and `image2` of `schemas.COMPARISONS`.
        images: `schemas.IMAGES`; row i is the image with the id i.
        parameters: what the run was asked to do.
    """
    first, second = (pairs[name].to_numpy(np.int64) for name in ("image1", "image2"))
    if not parameters.is_restricted:
        return np.zeros(len(pairs), bool)
    place = _number_places(images, parameters)
    same: NDArray[np.bool_] = place[first] == place[second]
    is_reference = images["is_reference"].to_numpy(bool)
    excluded: NDArray[np.bool_] = (same == parameters.across) & ~is_reference[first] & ~is_reference[second]
    return excluded


def describe_exclusion(parameters: Parameters) -> str:
    """Return why pairs are excluded; "" if none are."""
    if not parameters.is_restricted:
        return ""
    if parameters.across:
        return "both lie in the same one of the given folders, and only copies in another one count (across)"
    return "they do not lie in the same sub-folder, and only copies in the same one count (within folder)"


def _number_places(images: pd.DataFrame, parameters: Parameters) -> NDArray[np.int64]:
    """Return the number of the folder that each image lies in: of the given ones, or of all sub-folders."""
    if parameters.across:
        return np.array(parameters.layout.number_folders(images["path"].tolist()), np.int64)
    numbers: NDArray[np.int64] = pd.factorize(images["path"].str.rpartition("/")[0])[0]
    return numbers
