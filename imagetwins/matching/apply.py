"""Acting on a past run's scores at another threshold, as far as the files are still what they were.

A score belongs to the contents of two files. A file that changed, moved or vanished since the run takes no part: the others
are decided about as if it had never been there.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.matching.decisions import set_decisions
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.storage import Listed, Location, storage_of
from imagetwins.storage.location import from_columns
from imagetwins.store.schemas import Action


def images_to_check(comparisons: pd.DataFrame, threshold: float) -> NDArray[np.int64]:
    """Return the ids of the images that have a match, sorted: no other file can be moved or decide a move."""
    matches = comparisons[comparisons["ssim"] >= threshold]
    ids: NDArray[np.int64] = np.union1d(matches["image1"].to_numpy(np.int64), matches["image2"].to_numpy(np.int64))
    return ids


def find_changes(images: pd.DataFrame) -> dict[int, Reason]:
    """Return why each of `images` (rows of `schemas.IMAGES`) is no longer what it was; unchanged ones are left out.

    Size and time are compared first; only where both are the same is the content read and its digest compared.
    """
    found = {int(row.image): find_change_at(from_columns(row.path, row.path_bytes), row) for row in images.itertuples()}
    return {image: reason for image, reason in found.items() if reason}


def find_change_at(location: Location, row: Any) -> Reason | None:
    """Return why the file at `location` is not what an image, a row of `schemas.IMAGES`, was; None if it is."""
    try:
        return storage_of(location).find_change(Listed(location, row.size_bytes, row.mtime_ns, row.digest))
    except OSError as error:
        return Reason.of(ReasonCode.MISSING_SINCE_RUN, error=error.strerror or str(error))


def drop_changed(comparisons: pd.DataFrame, changes: Collection[int]) -> pd.DataFrame:
    """Return the pairs (`schemas.COMPARISONS`) of images that are not in `changes`: those are nobody's kept file."""
    absent = comparisons["image1"].isin(list(changes)) | comparisons["image2"].isin(list(changes))
    return comparisons[~absent]


def mark_changed(decisions: pd.DataFrame, changes: Mapping[int, Reason]) -> pd.DataFrame:
    """Return decisions (`schemas.DECISIONS`) in which the images in `changes`, see `find_changes`, have "not moved"."""
    marked = decisions.copy()
    for image, reason in changes.items():
        set_decisions(marked, [image], Action.NOT_MOVED, [reason])
    return marked
