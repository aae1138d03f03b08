"""Which copy to keep, which pictures are duplicates, which a person should look at first.

The rules, over the pairs of the comparison table with `ssim >= threshold` (the matches):

- *Rank.* Files of a reference folder first, then by the words of `keep`, ties in listing order.
- *Representative grouping* (the default). In rank order, an image is kept unless it matches an image already kept;
  then it is a duplicate of its best match among the kept. So every moved file matches a file that stays: SSIM is not
  transitive, and a chain of small changes must not carry away a picture that resembles nothing that is left.
- *Any grouping.* A duplicate is every image that matches any image ranked before it, even one that is itself moved:
  the plain rule "flag image2 of every matching pair".
- *Doubt.* A match is doubtful when the pictures agree mostly where they are blank, when one place of them differs, when they
  were taken at different times, when their aspect ratios differ (square thumbnails hide that), or when their thumbnails say
  too little: because there is nothing to see on them, because a file has more frames or pages than the one that is compared,
  or because it is a camera's raw file. Then only files that are equal, or show the same to the last pixel, are without
  doubt. An image whose only matches are doubtful is listed for review, and stays.
- *The plain rule* (`rule`): any grouping, the first listed is kept, and nothing is doubtful.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.parameters import Parameters
from imagetwins.decoding.formats import RAW
from imagetwins.matching.ranking import rank_images
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.companions import find_raw_pairs
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import as_frame

SPREAD = 5.0
"""How much lower the local SSIM of a copy may be for what its detail SSIM is below 1.

What makes a copy, compression or another size or colour, changes all of it: its worst square loses a few times what it
loses on average. What makes another picture of the same form, a name, a face or a message, changes one square and next to
nothing on average. Measured at 200 pixels on 2,587 copies and 1,238 look-alikes of 14 kinds that match at 0.9: with this,
98 % of the look-alikes are for review where 1.7 % of the copies are (watermarked ones aside); with one limit for all, 85 %,
and of forms 38 %."""

SCORES = ("ssim", "detail_ssim", "local_ssim")
"""What a decision tells of the match that it rests on."""

LEAST_LOCAL_SSIM = 0.3
"""A square that has less in common is none of a copy, whatever the average."""


@dataclass(frozen=True)
class _Match:
    """The match that decides about an image: the kept image, the row of the match, and why it is doubtful, if it is."""

    kept: int
    row: int
    doubt: Reason | None


def find_doubts(matches: pd.DataFrame, images: pd.DataFrame, parameters: Parameters) -> NDArray[np.object_]:
    """Return for each match the `Reason` to look at it before a file moves; None where nothing is doubtful."""
    doubts = np.full(len(matches), None, dtype=object)
    if not parameters.is_careful:
        return doubts
    for row in np.flatnonzero(_aspect_change(matches, images) > parameters.max_aspect_change):
        first, second = (_dimensions(images, matches[column].iat[row]) for column in ("image1", "image2"))
        doubts[row] = Reason.of(ReasonCode.ASPECT_DIFFERS, first=first, second=second)
    if parameters.min_local_ssim > -1:
        _add_low_local(doubts, matches, parameters.min_local_ssim)
    _add_high(doubts, matches, "colour_difference", parameters.max_colour_difference, ReasonCode.COLOUR_DIFFERS)
    _add_high(doubts, matches, "peak_difference", parameters.max_peak_difference, ReasonCode.ONE_PLACE_DIFFERS)
    if parameters.min_detail_ssim > -1:
        _add_low_detail(doubts, matches, parameters.min_detail_ssim)
    _add_other_moments(doubts, matches, images)
    _add_unequal(doubts, matches, images)
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
        doubts[row] = Reason.of(ReasonCode.LOW_DETAIL_SSIM, detail=float(detail[row]), limit=limit)


def _add_other_moments(doubts: NDArray[np.object_], matches: pd.DataFrame, images: pd.DataFrame) -> None:
    """Doubt the matches of pictures that were taken at different times, as bursts and brackets are."""
    taken = images["taken"].fillna("").to_numpy(object)
    first, second = (taken[matches[name].to_numpy()] for name in ("image1", "image2"))
    for row in np.flatnonzero(first != second):
        one, other = first[row], second[row]
        # Programs that drop the fraction of a second leave the second.
        if not (one.startswith(other) or other.startswith(one)):
            doubts[row] = Reason.of(
                ReasonCode.OTHER_MOMENT, first=one.replace("T", " "), second=other.replace("T", " ")
            )


def _add_unequal(doubts: NDArray[np.object_], matches: pd.DataFrame, images: pd.DataFrame) -> None:
    """Doubt the matches about which thumbnails say too little, unless the files are equal or show the same."""
    first, second = (matches[name].to_numpy() for name in ("image1", "image2"))
    # Tables of older versions do not say.
    frames = images["frames"].to_numpy(np.int64, na_value=1)
    is_raw = (images["format"] == RAW.name).to_numpy(bool, na_value=False)
    is_blank = matches["detail_ssim"].isna().to_numpy()
    needs_equality = is_blank | (np.maximum(frames[first], frames[second]) > 1) | is_raw[first] | is_raw[second]
    equal = np.zeros(len(matches), bool)
    for name in ("digest", "pixels_digest"):
        known = pd.factorize(images[name])[0]
        equal |= (known[first] == known[second]) & (known[first] >= 0)
    for row in np.flatnonzero(needs_equality & ~equal):
        one, other = int(frames[first[row]]), int(frames[second[row]])
        if is_raw[first[row]] or is_raw[second[row]]:
            doubts[row] = Reason.of(ReasonCode.RAW_PREVIEW)
        elif one != other:
            doubts[row] = Reason.of(ReasonCode.FRAMES_DIFFER, first=one, second=other)
        elif one > 1:
            doubts[row] = Reason.of(ReasonCode.FRAMES_UNEQUAL, count=one)
        else:
            doubts[row] = Reason.of(ReasonCode.NOTHING_TO_SEE)


def _add_high(doubts: NDArray[np.object_], matches: pd.DataFrame, column: str, limit: float, code: ReasonCode) -> None:
    # Null of pairs that were not measured yet (verification.py), and of identical ones.
    difference = matches[column].to_numpy(np.float64, na_value=0)
    for row in np.flatnonzero(difference > limit):
        doubts[row] = Reason.of(code, difference=float(difference[row]), limit=limit)


def _add_low_local(doubts: NDArray[np.object_], matches: pd.DataFrame, limit: float) -> None:
    local, detail = (matches[name].to_numpy(np.float64, na_value=np.nan) for name in ("local_ssim", "detail_ssim"))
    lowest = lowest_local_ssim(detail, limit)
    for row in np.flatnonzero(local < lowest):
        details = {"local": float(local[row]), "limit": float(lowest[row]), "detail": float(detail[row])}
        doubts[row] = Reason.of(ReasonCode.LOW_LOCAL_SSIM, **details)


def lowest_local_ssim(detail: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Return the least local SSIM that a copy may have.

    Args:
        detail: (n,) float64, detail SSIMs; NaN, where neither picture has structure, counts as 1.
        limit: `Parameters.min_local_ssim`, the least where the detail SSIM is 1; -1 for none.
    """
    lost = 1 - np.where(np.isnan(detail), 1.0, detail)
    return np.maximum(limit - SPREAD * lost, min(limit, LEAST_LOCAL_SSIM))


def decide(images: pd.DataFrame, comparisons: pd.DataFrame, parameters: Parameters) -> pd.DataFrame:
    """Return the decisions (`schemas.DECISIONS`) about every image, before anything moves.

    Args:
        images: `schemas.IMAGES`; row i is the image with the id i.
        comparisons: `schemas.COMPARISONS`, in any order; pairs below the threshold are passed over.
        parameters: what the run was asked to do.

    Returns:
        One row an image. Duplicates have the action "would move"; `NewPath` is `FullPath` everywhere.
    """
    matches = comparisons[comparisons["ssim"] >= parameters.threshold].reset_index(drop=True)
    if parameters.is_careful:
        # A raw file belongs to the picture of the same shot beside it: neither is the other's duplicate.
        matches = matches[~find_raw_pairs(matches, images)].reset_index(drop=True)
    decisive = _find_decisive(matches, images, parameters)
    decisions = _keep_all(images)
    scores = {name: matches[name].to_numpy(np.float64, na_value=np.nan) for name in SCORES}
    copies: dict[int, int] = {}
    for image, match in decisive.items():
        _apply_match(decisions, image, match, scores)
        if match.doubt is None:
            copies[match.kept] = copies.get(match.kept, 0) + 1
    for image, count in copies.items():
        if decisions["action"][image] == Action.KEPT:
            _decide(decisions, image, Action.KEPT, Reason.of(ReasonCode.HAS_DUPLICATES, count=count))
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
        "review": int((decisions["action"] == Action.REVIEW).sum()),
    }


def count_larger(decisions: pd.DataFrame, images: pd.DataFrame) -> int:
    """Return how many duplicates have more pixels than the copy that is kept for them."""
    pixels = (images["width_px"] * images["height_px"]).astype("Float64").to_numpy(np.float64, na_value=np.nan)
    duplicates = decisions[decisions["Duplicate"]]
    own, kept = (pixels[duplicates[name].to_numpy(np.int64)] for name in ("image", "kept_image"))
    return int((own > kept).sum())


def _find_decisive(matches: pd.DataFrame, images: pd.DataFrame, parameters: Parameters) -> dict[int, _Match]:
    """Return the match that decides about each image that has one, walking the images in rank order."""
    ranks = rank_images(images, parameters.ranking)
    doubts = find_doubts(matches, images, parameters)
    first, second = matches["image1"].to_numpy(np.int64), matches["image2"].to_numpy(np.int64)
    swap = ranks[first] > ranks[second]
    earlier, later = np.where(swap, second, first), np.where(swap, first, second)
    is_doubtful = np.array([doubt is not None for doubt in doubts], bool)
    # Best first within an image: without doubt, then by score, then by rank.
    order = np.lexsort((ranks[earlier], -matches["ssim"].to_numpy(np.float64), is_doubtful, ranks[later]))
    starts = np.flatnonzero(np.diff(ranks[later][order], prepend=-1))
    reference = images["is_reference"].to_numpy(bool)
    stays = np.ones(len(images), bool)
    is_representative = parameters.is_careful and parameters.grouping == "representative"
    decisive: dict[int, _Match] = {}
    for rows in np.split(order, starts[1:]) if len(order) else []:
        image = int(later[rows[0]])
        if reference[image]:
            continue
        candidates = rows[stays[earlier[rows]]] if is_representative else rows
        if len(candidates):
            row = int(candidates[0])
            decisive[image] = _Match(int(earlier[row]), row, doubts[row])
            stays[image] = is_doubtful[row]
    return decisive


def _keep_all(images: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of decisions that keep every image."""
    count = len(images)
    paths = images["path"].tolist()
    decisions: dict[str, list[Any]] = {
        "FullPath": paths,
        "FileName": [path.rpartition("/")[2] for path in paths],
        "Duplicate": [False] * count,
        "NewPath": list(paths),
        "kept_path": [None] * count,
        "ssim": [None] * count,
        "detail_ssim": [None] * count,
        "local_ssim": [None] * count,
        "action": [Action.KEPT.value] * count,
        "reason": [str(Reason(ReasonCode.NO_MATCH))] * count,
        "image": images["image"].tolist(),
        "kept_image": [None] * count,
        "reason_code": [ReasonCode.NO_MATCH.value] * count,
    }
    for image in np.flatnonzero(images["error"].notna()):
        error = images["error"].iat[image]
        _decide(decisions, int(image), Action.UNREADABLE, Reason.of(ReasonCode.UNREADABLE, error=error))
    return decisions


def _decide(decisions: dict[str, list[Any]], image: int, action: Action, reason: Reason) -> None:
    decisions["action"][image] = action.value
    decisions["reason"][image] = str(reason)
    decisions["reason_code"][image] = reason.code.value


def set_decisions(decisions: pd.DataFrame, rows: Any, action: Action, reasons: Sequence[Reason]) -> None:
    """Set, in place, the action and the reasons of some rows of `schemas.DECISIONS`.

    Args:
        decisions: the table.
        rows: which, as `decisions.loc` takes them: labels, or a mask.
        action: of all of them.
        reasons: one for each row.
    """
    decisions.loc[rows, "action"] = action.value
    decisions.loc[rows, "reason"] = [str(reason) for reason in reasons]
    decisions.loc[rows, "reason_code"] = [reason.code.value for reason in reasons]


def _apply_match(
    decisions: dict[str, list[Any]], image: int, match: _Match, scores: dict[str, NDArray[np.float64]]
) -> None:
    decisions["Duplicate"][image] = match.doubt is None
    decisions["kept_image"][image] = match.kept
    decisions["kept_path"][image] = decisions["FullPath"][match.kept]
    for name, of_matches in scores.items():
        score = float(of_matches[match.row])
        decisions[name][image] = None if math.isnan(score) else score
    if match.doubt is None:
        kept = decisions["FileName"][match.kept]
        _decide(decisions, image, Action.WOULD_MOVE, Reason.of(ReasonCode.DUPLICATE, kept=kept))
    else:
        _decide(decisions, image, Action.REVIEW, match.doubt)


def _stop_if_too_many(decisions: dict[str, list[Any]], images: pd.DataFrame, limit: float) -> None:
    """Put every move up for review where the moves are more than `limit` of the pictures that could move."""
    moves = [image for image, action in enumerate(decisions["action"]) if action == Action.WOULD_MOVE]
    movable = int((images["error"].isna() & ~images["is_reference"]).sum())
    if moves and len(moves) > limit * movable:
        reason = Reason.of(ReasonCode.TOO_MANY_MOVES, moves=len(moves), movable=movable, limit=limit)
        for image in moves:
            _decide(decisions, image, Action.REVIEW, reason)
