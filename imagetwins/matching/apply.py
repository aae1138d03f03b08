"""Acting on a past run's scores at another threshold, as far as the files are still what they were.

Scores belong to contents. A file that changed, moved or vanished since the run takes no part: what is decided about the
others is what a run would decide that never saw it.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.storage.location import is_remote
from imagetwins.storage.objects import digest_object, find_object
from imagetwins.store.tables import path_of


def images_to_check(comparisons: pd.DataFrame, threshold: float) -> NDArray[np.int64]:
    """Return the ids of the images that have a match, sorted: no other file can be moved or decide a move."""
    matches = comparisons[comparisons["ssim"] >= threshold]
    ids: NDArray[np.int64] = np.union1d(matches["image1"].to_numpy(np.int64), matches["image2"].to_numpy(np.int64))
    return ids


def check_files(images: pd.DataFrame) -> dict[int, str]:
    """Return why each of `images` (rows of `tables.IMAGES`) is no longer what it was; unchanged ones are left out.

    Size and time are compared first; only where both are the same is the content read and its digest compared.
    """
    reasons = {}
    for row in images.itertuples():
        reason = _find_change(row)
        if reason:
            reasons[int(row.image)] = reason
    return reasons


def _find_change(row: Any) -> str:
    path = path_of(row.path, row.path_bytes)
    try:
        return _find_object_change(path, row) if is_remote(path) else _find_file_change(path, row)
    except OSError as error:
        return f"not where it was in the run: {error.strerror or error}"


def _find_file_change(path: Path, row: Any) -> str:
    status = path.stat(follow_symlinks=False)
    if status.st_size != row.size_bytes:
        return f"changed since the run: {status.st_size} bytes now, {row.size_bytes} then"
    if status.st_mtime_ns != row.mtime_ns:
        return "changed since the run: modified later"
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return "" if digest == row.digest else "changed since the run: other content"


def _find_object_change(place: Path, row: Any) -> str:
    # Its time says when it was put there: one that was moved and restored has another, and is the same.
    found = find_object(place)
    if found is None:
        return "not where it was in the run"
    if found.size_bytes != row.size_bytes:
        return f"changed since the run: {found.size_bytes} bytes now, {row.size_bytes} then"
    return "" if digest_object(place, found.size_bytes) == row.digest else "changed since the run: other content"


def plan_apply(
    images: pd.DataFrame, comparisons: pd.DataFrame, parameters: Parameters, changes: dict[int, str]
) -> pd.DataFrame:
    """Return the decisions (`tables.DECISIONS`) about a past run's images, before anything moves.

    Args:
        images: the past run's `tables.IMAGES`.
        comparisons: its `tables.COMPARISONS`, at least down to the threshold.
        parameters: the past run's, with the new threshold.
        changes: what `check_files` found out about the images that `images_to_check` names.

    Returns:
        One row an image. Images in `changes` have the action "not moved", and are nobody's kept file.
    """
    absent = comparisons["image1"].isin(list(changes)) | comparisons["image2"].isin(list(changes))
    decisions = decide(images, comparisons[~absent], parameters)
    for image, reason in changes.items():
        decisions.loc[image, ["action", "reason"]] = ["not moved", reason]
    return decisions
