"""Which copy to keep, which pictures are duplicates, which a person should look at first.

The rules, over the pairs of the comparison table with `ssim >= threshold` (the matches):

- *Rank.* Files of a reference folder first, then by `keep`, ties in listing order.
- *Representative grouping* (the default). In rank order, an image is kept unless it matches an image already kept;
  then it is a duplicate of its best match among the kept. So every moved file matches a file that stays: SSIM is not
  transitive, and a chain of small changes must not carry away a picture that resembles nothing that is left.
- *Any grouping.* A duplicate is every image that matches any image ranked before it, even one that is itself moved:
  the plain rule "flag image2 of every matching pair".
- *Doubt.* A match is doubtful when the pictures agree mostly where they are blank, or when their aspect ratios differ
  (square thumbnails hide that). An image whose only matches are doubtful is listed for review, and stays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.parameters import Keep, Parameters
from imagetwins.store.tables import DECISIONS, as_frame
from imagetwins.text import amount

BLANK_TOLERANCE = 8
"""Two pictures without structure in any window are duplicates if no two pixels differ by more levels than this."""

_RANKING: dict[Keep, tuple[str, bool]] = {
    "resolution": ("pixels", False),
    "size": ("size_bytes", False),
    "oldest": ("mtime_ns", True),
    "newest": ("mtime_ns", False),
}
"""The column that ranks, and whether its least value ranks first."""


@dataclass(frozen=True)
class _Match:
    """The match that decides about an image: the kept image, the row of the match, and what is doubtful about it."""

    kept: int
    row: int
    doubt: str


def rank_images(images: pd.DataFrame, keep: Keep) -> NDArray[np.intp]:
    """Return the rank of each row of `images`, 0 for the one that is kept before all others."""
    order = images.assign(
        pixels=images["width_px"].astype("Float64") * images["height_px"].astype("Float64"),
        later=~images["is_reference"],
    )
    columns, ascending = ["later"], [True]
    if keep in _RANKING:
        column, least_first = _RANKING[keep]
        columns, ascending = [*columns, column], [*ascending, least_first]
    ranked = order.sort_values(columns, ascending=ascending, kind="stable", na_position="last").index
    ranks = np.empty(len(images), np.intp)
    ranks[ranked.to_numpy()] = np.arange(len(images))
    return ranks


def find_doubts(matches: pd.DataFrame, images: pd.DataFrame, parameters: Parameters) -> NDArray[np.object_]:
    """Return for each match why it should be looked at before a file moves; "" where nothing is doubtful."""
    doubts = np.full(len(matches), "", dtype=object)
    for row in np.flatnonzero(_aspect_change(matches, images) > parameters.max_aspect_change):
        first, second = (_dimensions(images, matches[column].iat[row]) for column in ("image1", "image2"))
        doubts[row] = f"the aspect ratios differ ({first} and {second}), which square thumbnails hide"
    if parameters.min_detail_ssim > -1:
        _add_low_detail(doubts, matches, parameters.min_detail_ssim)
    return doubts


def _aspect_change(matches: pd.DataFrame, images: pd.DataFrame) -> NDArray[np.float64]:
    aspect = (images["width_px"] / images["height_px"]).to_numpy(np.float64, na_value=np.nan)
    first, second = aspect[matches["image1"].to_numpy()], aspect[matches["image2"].to_numpy()]
    changes: NDArray[np.float64] = np.maximum(first, second) / np.minimum(first, second) - 1
    return changes


def _dimensions(images: pd.DataFrame, image: int) -> str:
    return f"{images['width_px'].iat[image]}x{images['height_px'].iat[image]}"


def _add_low_detail(doubts: NDArray[np.object_], matches: pd.DataFrame, limit: float) -> None:
    detail = matches["detail_ssim"].to_numpy(np.float64, na_value=np.nan)
    for row in np.flatnonzero(detail < limit):
        doubts[row] = f"where the pictures have detail their SSIM is {detail[row]:.3f}, below {limit:g}"
    difference = matches["max_difference"].to_numpy(np.int64, na_value=0)
    for row in np.flatnonzero(np.isnan(detail) & (difference > BLANK_TOLERANCE)):
        doubts[row] = f"both pictures are blank, and differ by {difference[row]} levels (limit {BLANK_TOLERANCE})"


def decide(images: pd.DataFrame, comparisons: pd.DataFrame, parameters: Parameters) -> pd.DataFrame:
    """Return the decisions (`tables.DECISIONS`) about every image, before anything moves.

    Args:
        images: `tables.IMAGES`; row i is the image with the id i.
        comparisons: `tables.COMPARISONS`, in any order; pairs below the threshold are passed over.
        parameters: what the run was asked to do.

    Returns:
        One row an image. Duplicates have the action "would move"; `NewPath` is `FullPath` everywhere.
    """
    matches = comparisons[comparisons["ssim"] >= parameters.threshold].reset_index(drop=True)
    decisive = _find_decisive(matches, images, parameters)
    decisions = _keep_all(images)
    copies: dict[int, int] = {}
    for image, match in decisive.items():
        _apply_match(decisions, image, match, matches)
        if not match.doubt:
            copies[match.kept] = copies.get(match.kept, 0) + 1
    for image, count in copies.items():
        if decisions["action"][image] == "kept":
            decisions["reason"][image] = f"kept: {amount(count, 'duplicate')} of it found"
    _stop_if_too_many(decisions, images, parameters.max_move_share)
    return as_frame(decisions, DECISIONS)


def deciding_pairs(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return image1 < image2 of the pairs that `decisions` rest on."""
    decided = decisions[decisions["kept_image"].notna()]
    image, kept = decided["image"].to_numpy(np.int32), decided["kept_image"].to_numpy(np.int32)
    return pd.DataFrame({"image1": np.minimum(image, kept), "image2": np.maximum(image, kept)}).drop_duplicates()


def count_decisions(decisions: pd.DataFrame) -> dict[str, int]:
    """Return the number of duplicates and of images for review."""
    return {
        "duplicates": int(decisions["Duplicate"].sum()),
        "review": int((decisions["action"] == "review").sum()),
    }


def _find_decisive(matches: pd.DataFrame, images: pd.DataFrame, parameters: Parameters) -> dict[int, _Match]:
    """Return the match that decides about each image that has one, walking the images in rank order."""
    ranks = rank_images(images, parameters.keep)
    doubts = find_doubts(matches, images, parameters)
    first, second = matches["image1"].to_numpy(np.int64), matches["image2"].to_numpy(np.int64)
    swap = ranks[first] > ranks[second]
    earlier, later = np.where(swap, second, first), np.where(swap, first, second)
    # Best first within an image: without doubt, then by score, then by rank.
    order = np.lexsort((ranks[earlier], -matches["ssim"].to_numpy(np.float64), doubts != "", ranks[later]))
    starts = np.flatnonzero(np.diff(ranks[later][order], prepend=-1))
    reference = images["is_reference"].to_numpy(bool)
    stays = np.ones(len(images), bool)
    decisive: dict[int, _Match] = {}
    for rows in np.split(order, starts[1:]) if len(order) else []:
        image = int(later[rows[0]])
        if reference[image]:
            continue
        candidates = rows[stays[earlier[rows]]] if parameters.grouping == "representative" else rows
        if len(candidates):
            row = int(candidates[0])
            decisive[image] = _Match(int(earlier[row]), row, str(doubts[row]))
            stays[image] = doubts[row] != ""
    return decisive


def _keep_all(images: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of decisions that keep every image."""
    count, unreadable = len(images), images["error"].notna()
    paths = images["path"].tolist()
    return {
        "FullPath": paths,
        "FileName": [path.rpartition("/")[2] for path in paths],
        "Duplicate": [False] * count,
        "NewPath": list(paths),
        "kept_path": [None] * count,
        "ssim": [None] * count,
        "detail_ssim": [None] * count,
        "action": ["unreadable" if bad else "kept" for bad in unreadable],
        "reason": [
            error if bad else "kept: nothing like it before it"
            for bad, error in zip(unreadable, images["error"], strict=True)
        ],
        "image": images["image"].tolist(),
        "kept_image": [None] * count,
    }


def _apply_match(decisions: dict[str, list[Any]], image: int, match: _Match, matches: pd.DataFrame) -> None:
    detail = matches["detail_ssim"].iat[match.row]
    decisions["Duplicate"][image] = not match.doubt
    decisions["kept_image"][image] = match.kept
    decisions["kept_path"][image] = decisions["FullPath"][match.kept]
    decisions["ssim"][image] = float(matches["ssim"].iat[match.row])
    decisions["detail_ssim"][image] = None if pd.isna(detail) else float(detail)
    decisions["action"][image] = "review" if match.doubt else "would move"
    decisions["reason"][image] = match.doubt or f"matches {decisions['FileName'][match.kept]}, which is kept before it"


def _stop_if_too_many(decisions: dict[str, list[Any]], images: pd.DataFrame, limit: float) -> None:
    """Put every move up for review where the moves are more than `limit` of the pictures that could move."""
    moves = [image for image, action in enumerate(decisions["action"]) if action == "would move"]
    movable = int((images["error"].isna() & ~images["is_reference"]).sum())
    if moves and len(moves) > limit * movable:
        for image in moves:
            decisions["action"][image] = "review"
            decisions["reason"][image] = (
                f"{len(moves)} of {movable} pictures would move, more than max_move_share {limit:g}; "
                "run again with a larger share to move them"
            )
