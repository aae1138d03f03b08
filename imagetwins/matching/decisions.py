"""Which copy to keep, which pictures are duplicates, which a person should look at first.

The rules, over the pairs of the comparison table with `ssim >= threshold` (the matches):

- *Rank.* Files of a reference folder first, then by the words of `keep`, ties in listing order.
- *Representative grouping* (the default). In rank order, an image is kept unless it matches an image already kept;
  then it is a duplicate of its best match among the kept. So every moved file matches a file that stays: SSIM is not
  transitive, and a chain of small changes must not carry away a picture that resembles nothing that is left.
- *Any grouping.* A duplicate is every image that matches any image ranked before it, even one that is itself moved:
  the plain rule "flag image2 of every matching pair".
- *Doubt.* A match is doubtful when the pictures agree mostly where they are blank, when one place of them differs, when they
  are two shots by their EXIF or a film is behind the one that would move (`shots.py`), when their aspect ratios differ (square thumbnails hide that), or when their thumbnails say
  too little: because there is nothing to see on them, because a file has more frames or pages than the one that is compared,
  or because it is a camera's raw file. Then only files that are equal, or show the same to the last pixel, are without
  doubt. An image whose only matches are doubtful is listed for review, and stays.
- *Orientation.* Where pictures are compared turned and mirrored, all that is said of a match is said of its first picture and the
  second one turned; so are the shapes that are compared. A decision has the orientation that turns its picture to match the
  kept one, whichever of the two was turned.
- *Restriction.* Where only pictures of one sub-folder, or of different folders, may match, other pairs are none (`restriction.py`).
- *The plain rule* (`rule`): any grouping, the first listed is kept, and nothing is doubtful.
- *What persons said* comes before all of this, in every rule: see recall.py.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.config.parameters import Parameters
from imagetwins.decoding.formats import RAW
from imagetwins.matching.orientation import invert, lies_on_side, read_orientations
from imagetwins.matching.ranking import rank_images
from imagetwins.matching.recall import NOBODY, UNASKED, Recall
from imagetwins.matching.restriction import find_excluded
from imagetwins.matching.shots import Shots, find_between, find_lost_films, find_other_shots
from imagetwins.orientation import AS_IT_IS
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.companions import find_raw_pairs
from imagetwins.store.memory import nothing_remembered
from imagetwins.store.schemas import DECISIONS, Action
from imagetwins.store.tables import as_frame
from imagetwins.text import name_beside

SPREAD = 5.0
"""How much lower the local SSIM of a copy may be for what its detail SSIM is below 1.

What makes a copy, compression or another size or colour, changes all of it: its worst square loses a few times what it
loses on average. What makes another picture of the same form, a name, a face or a message, changes one square and next to
nothing on average. Measured at 200 pixels on 2,587 copies and 1,238 look-alikes of 14 kinds that match at 0.9: with this,
98 % of the look-alikes are for review where 1.7 % of the copies are (watermarked ones aside); with one limit for all, 85 %,
and of forms 38 %."""

DIFFERENCES = ["peak_difference", "colour_difference"]
MEASURED = ["ssim", *DIFFERENCES]
"""What is measured of a match when it is verified, see verification.py."""

SCORES = ("ssim", "detail_ssim", "local_ssim")
"""What a decision tells of the match that it rests on."""

LEAST_LOCAL_SSIM = 0.3
"""A square that has less in common is none of a copy, whatever the average."""


def find_doubts(
    matches: pd.DataFrame, images: pd.DataFrame, parameters: Parameters, shots: Shots | None = None
) -> NDArray[np.object_]:
    """Return for each match the `Reason` to look at it before a file moves; None where nothing is doubtful.

    `shots` are those of the images, if they are known already: of many images they take a while.
    """
    doubts = np.full(len(matches), None, dtype=object)
    if not parameters.is_careful:
        return doubts
    on_side = lies_on_side(read_orientations(matches))
    for row in np.flatnonzero(_aspect_change(matches, images, on_side) > parameters.max_aspect_change):
        first = _dimensions(images, matches["image1"].iat[row], on_side=False)
        second = _dimensions(images, matches["image2"].iat[row], on_side=on_side[row])
        doubts[row] = Reason.of(ReasonCode.ASPECT_DIFFERS, first=first, second=second)
    if parameters.min_local_ssim > -1:
        _add_low_local(doubts, matches, parameters.min_local_ssim)
    _add_high(doubts, matches, "colour_difference", parameters.max_colour_difference, ReasonCode.COLOUR_DIFFERS)
    _add_high(doubts, matches, "peak_difference", parameters.max_peak_difference, ReasonCode.ONE_PLACE_DIFFERS)
    if parameters.min_detail_ssim > -1:
        _add_low_detail(doubts, matches, parameters.min_detail_ssim)
    if parameters.burst == "review":
        others = find_other_shots(matches, shots or Shots(images))
        doubts = np.where(_is_any(others), others, doubts)
    _add_unequal(doubts, matches, images)
    return doubts


def _aspect_change(matches: pd.DataFrame, images: pd.DataFrame, on_side: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share by which the aspect ratios of each match differ, where the second picture may lie `on_side`, (n,)."""
    aspect = (images["width_px"] / images["height_px"]).to_numpy(np.float64, na_value=np.nan)
    first, second = aspect[matches["image1"].to_numpy()], aspect[matches["image2"].to_numpy()]
    second = np.where(on_side, 1 / second, second)
    changes: NDArray[np.float64] = np.maximum(first, second) / np.minimum(first, second) - 1
    return changes


def _dimensions(images: pd.DataFrame, image: int, *, on_side: bool) -> str:
    width, height = images["width_px"].iat[image], images["height_px"].iat[image]
    return f"{height}x{width}" if on_side else f"{width}x{height}"


def _add_low_detail(doubts: NDArray[np.object_], matches: pd.DataFrame, limit: float) -> None:
    detail = matches["detail_ssim"].to_numpy(np.float64, na_value=np.nan)
    for row in np.flatnonzero(detail < limit):
        doubts[row] = Reason.of(ReasonCode.LOW_DETAIL_SSIM, detail=float(detail[row]), limit=limit)


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


def decide(
    images: pd.DataFrame, comparisons: pd.DataFrame, parameters: Parameters, memory: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the decisions (`schemas.DECISIONS`) about every image, before anything moves.

    Args:
        images: `schemas.IMAGES`; row i is the image with the id i.
        comparisons: `schemas.COMPARISONS`, in any order; pairs below the threshold are passed over.
        parameters: what the run was asked to do.
        memory: `schemas.NOT_DUPLICATES`, what persons said before; None if nothing is remembered.

    Returns:
        One row an image. Duplicates have the action "would move"; `NewPath` is `FullPath` everywhere.
    """
    return Decider(images, comparisons, parameters, memory).decide()


def read_measured(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return (n, 3) float64, MEASURED of each row of `table`, NaN where it is null."""
    return np.column_stack([table[name].to_numpy(np.float64, na_value=np.nan) for name in MEASURED])


class Decider:
    """Decides about images by their matches, and again when more is known of some of these, without beginning anew.

    The arguments are those of `decide`.

    Attributes:
        matches: `schemas.COMPARISONS`, the pairs that are matches; scores and differences as they were given.
        apart: those that would be, but that a person keeps apart.
        shots: those that would be, but are two shots by their EXIF, which `burst` keeps.
    """

    def __init__(
        self,
        images: pd.DataFrame,
        comparisons: pd.DataFrame,
        parameters: Parameters,
        memory: pd.DataFrame | None = None,
    ) -> None:
        self._images, self._parameters = images, parameters
        matches = comparisons[comparisons["ssim"] >= parameters.threshold]
        matches = matches[~find_excluded(matches, images, parameters)].reset_index(drop=True)
        if parameters.is_careful:
            # A raw file belongs to the picture of the same shot beside it: neither is the other's duplicate.
            matches = matches[~find_raw_pairs(matches, images)].reset_index(drop=True)
        self._recall = Recall(nothing_remembered() if memory is None else memory, images)
        said = self._recall.find_apart(*(matches[name].to_numpy(np.int64) for name in ("image1", "image2")))
        self.apart = matches[said != NOBODY].assign(said=said[said != NOBODY])
        matches = matches[said == NOBODY].reset_index(drop=True)
        shots = np.full(len(matches), None, dtype=object)
        if parameters.keeps_shots:
            shots = find_other_shots(matches, self._all_shots)
        self.shots = matches[_is_any(shots)].assign(why=shots[_is_any(shots)])
        matches = matches[~_is_any(shots)].reset_index(drop=True)
        self.matches = matches
        self._measured = read_measured(matches)
        # The score of identical thumbnails is 1 without anybody's computing it, and there is no difference to measure.
        ssim, peak, verified = self._measured[:, 0], self._measured[:, 1], matches["verified"].to_numpy(bool)
        self._is_verified = verified & ((ssim == 1) | ~np.isnan(peak))
        ranks = rank_images(images, parameters.ranking)
        first, second = (matches[name].to_numpy(np.int64) for name in ("image1", "image2"))
        swap = ranks[first] > ranks[second]
        self._earlier, self._later = np.where(swap, second, first), np.where(swap, first, second)
        self._rank = ranks[self._earlier]
        orientations = read_orientations(matches)
        # Those of the later pictures, which match the earlier ones.
        self._orientations = np.where(swap, invert(orientations), orientations)
        self._unasked = self._recall.find_doubts(self._earlier, self._later)
        self._one_sided = self._find_one_sided_doubts()
        doubts = self._find_doubts(matches.assign(**dict.fromkeys(DIFFERENCES, np.nan)))
        self._lasting = _is_any(self._unasked) | _is_any(self._one_sided) | _is_any(doubts)
        self._is_doubtful = self._lasting | self._differs(np.arange(len(matches)))
        self._candidates = self._sort_candidates(ranks)

    @cached_property
    def _all_shots(self) -> Shots:
        return Shots(self._images)

    def _find_doubts(self, matches: pd.DataFrame) -> NDArray[np.object_]:
        asks = self._parameters.is_careful and self._parameters.burst == "review"
        return find_doubts(matches, self._images, self._parameters, self._all_shots if asks else None)

    def _find_one_sided_doubts(self) -> NDArray[np.object_]:
        """Return for each match the `Reason` not to move its later picture that would not hold if the earlier one moved."""
        doubts = np.full(len(self.matches), None, dtype=object)
        if not self._parameters.is_careful:
            return doubts
        if self._parameters.burst != "move":
            doubts = find_between(self._earlier, self._later, self._images, self._all_shots)
        films = find_lost_films(self._earlier, self._later, self._images)
        return np.where(_is_any(films), films, doubts)

    def _differs(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which of some matches are doubtful by what was measured of them."""
        if not self._parameters.is_careful:
            return np.zeros(len(rows), bool)
        _, peak, colour = self._measured[rows].T
        # A difference that was not measured is NaN, and above no limit.
        differs: NDArray[np.bool_] = (peak > self._parameters.max_peak_difference) | (
            colour > self._parameters.max_colour_difference
        )
        return differs

    def _sort_candidates(self, ranks: NDArray[np.intp]) -> dict[int, list[int]]:
        """Return the matches of each image with those ranked before it, best first, of all that may move; in rank order.

        The best is without doubt, then has the highest score, then the lowest rank.
        """
        keys = self._rank, -self._measured[:, 0], self._is_doubtful, ranks[self._later]
        order = np.lexsort(keys)
        order = order[~self._images["is_reference"].to_numpy(bool)[self._later[order]]]
        images, starts = self._later[order], np.flatnonzero(np.diff(self._later[order], prepend=-1))
        groups = np.split(order, starts[1:])
        return {int(images[start]): rows.tolist() for start, rows in zip(starts, groups, strict=False)}

    def update(self, rows: NDArray[np.int64], measured: NDArray[np.float64]) -> None:
        """Take the scores and differences of some matches as verified.

        Args:
            rows: (n,) int64, of `matches`.
            measured: (n, 3) float64, MEASURED of each. A score below the threshold makes the pair no match.
        """
        self._measured[rows], self._is_verified[rows] = measured, True
        self._is_doubtful[rows] = self._lasting[rows] | self._differs(rows)
        for image in set(self._later[rows].tolist()) & self._candidates.keys():
            self._candidates[image] = self._sort_matches(self._candidates[image])

    def _sort_matches(self, rows: list[int]) -> list[int]:
        """Return those rows that are matches, best first."""
        scores = self._measured[rows, 0]
        order = np.lexsort((self._rank[rows], -scores, self._is_doubtful[rows]))
        sorted_rows = np.array(rows)[order][scores[order] >= self._parameters.threshold]
        found: list[int] = sorted_rows.tolist()
        return found

    def find_unverified(self) -> NDArray[np.int64]:
        """Return the matches that decide and are not verified: rows of `matches`."""
        rows = np.fromiter(self._find_decisive().values(), np.int64)
        unverified: NDArray[np.int64] = rows[~self._is_verified[rows]]
        return unverified

    def _find_decisive(self) -> dict[int, int]:
        """Return the match, a row of `matches`, that decides about each image that has one, walking them in rank order."""
        is_representative = self._parameters.is_careful and self._parameters.grouping == "representative"
        earlier, is_doubtful = self._earlier.tolist(), self._is_doubtful.tolist()
        stays = [True] * len(self._images)
        decisive: dict[int, int] = {}
        for image, rows in self._candidates.items():
            for row in rows:
                if stays[earlier[row]] or not is_representative:
                    decisive[image] = row
                    stays[image] = is_doubtful[row]
                    break
        return decisive

    def decide(self) -> pd.DataFrame:
        """Return the decisions that follow from what is known by now, see the function of the same name."""
        decisive = self._find_decisive()
        rows = np.fromiter(decisive.values(), np.int64)
        matches = self.matches.iloc[rows].assign(**dict(zip(MEASURED, self._measured[rows].T, strict=True)))
        scores = {name: matches[name].to_numpy(np.float64, na_value=np.nan).tolist() for name in SCORES}
        doubts = self._find_doubts(matches)
        for others in (self._one_sided[rows], self._unasked[rows]):
            doubts = np.where(_is_any(others), others, doubts)
        decisions = _keep_all(self._images)
        copies: dict[int, int] = {}
        turned = self._orientations[rows].tolist()
        for k, (image, kept) in enumerate(zip(decisive, self._earlier[rows].tolist(), strict=True)):
            _apply_match(
                decisions, image, kept, {name: of_matches[k] for name, of_matches in scores.items()}, doubts[k]
            )
            decisions["orientation"][image] = turned[k]
            if doubts[k] is None:
                copies[kept] = copies.get(kept, 0) + 1
        for image, count in copies.items():
            if decisions["action"][image] == Action.KEPT:
                _decide(decisions, image, Action.KEPT, Reason.of(ReasonCode.HAS_DUPLICATES, count=count))
        self._tell_apart(decisions)
        self._tell_shots(decisions)
        _stop_if_too_many(decisions, self._images, self._parameters.max_move_share)
        return as_frame(decisions, DECISIONS)

    def _tell_apart(self, decisions: dict[str, list[Any]]) -> None:
        """Give pictures that are kept, and of which nothing else is to be said, the reason that a person keeps them apart."""
        paths = decisions["FullPath"]
        for image, found in _collect_unmatched(decisions, self.apart, "said"):
            other, said = found[0]
            reason = self._recall.tell_apart(said, name_beside(paths[image], paths[other]), len(found))
            _decide(decisions, image, Action.KEPT, reason)

    def _tell_shots(self, decisions: dict[str, list[Any]]) -> None:
        """Give pictures that are kept, and of which nothing else is to be said, the reason that they are shots of their own."""
        paths = decisions["FullPath"]
        for image, found in _collect_unmatched(decisions, self.shots, "why"):
            other, why = found[0]
            details = {"other": name_beside(paths[image], paths[other]), "more": len(found) - 1, "why": why}
            _decide(decisions, image, Action.KEPT, Reason.of(ReasonCode.OTHER_SHOT, **details))


def _collect_unmatched(
    decisions: dict[str, list[Any]], pairs: pd.DataFrame, column: str
) -> Iterator[tuple[int, list[tuple[int, Any]]]]:
    """Yield each image of `pairs` of which nothing else is to be said, with the other of each of its pairs and what `column` has of it."""
    others: dict[int, list[tuple[int, Any]]] = {}
    for first, second, told in zip(*(pairs[name].tolist() for name in ("image1", "image2", column)), strict=True):
        others.setdefault(first, []).append((second, told))
        others.setdefault(second, []).append((first, told))
    for image, found in others.items():
        if decisions["reason_code"][image] == ReasonCode.NO_MATCH:
            yield image, found


def _is_any(doubts: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([doubt is not None for doubt in doubts], bool)


def count_decisions(decisions: pd.DataFrame) -> dict[str, int]:
    """Return the number of duplicates and of images for review."""
    return {
        "duplicates": int(decisions["Duplicate"].sum()),
        "review": int((decisions["action"] == Action.REVIEW).sum()),
    }


def count_unasked(decisions: pd.DataFrame) -> int:
    """Return how many images are for review because a person said something about them before."""
    return int(((decisions["action"] == Action.REVIEW) & decisions["reason_code"].isin(UNASKED)).sum())


def count_turned(decisions: pd.DataFrame) -> int:
    """Return how many duplicates match the copy that is kept only turned or mirrored."""
    return int((decisions["Duplicate"] & (read_orientations(decisions) != AS_IT_IS)).sum())


def count_larger(decisions: pd.DataFrame, images: pd.DataFrame) -> int:
    """Return how many duplicates have more pixels than the copy that is kept for them."""
    pixels = (images["width_px"] * images["height_px"]).astype("Float64").to_numpy(np.float64, na_value=np.nan)
    duplicates = decisions[decisions["Duplicate"]]
    own, kept = (pixels[duplicates[name].to_numpy(np.int64)] for name in ("image", "kept_image"))
    return int((own > kept).sum())


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
        "orientation": [None] * count,
    }
    uncompared = np.flatnonzero(images["error"].notna())
    errors, codes = (images[name].iloc[uncompared].tolist() for name in ("error", "error_code"))
    for image, error, code in zip(uncompared.tolist(), errors, codes, strict=True):
        decisions["action"][image] = (Action.KEPT if code == ReasonCode.TOO_SMALL else Action.UNREADABLE).value
        decisions["reason"][image] = error
        decisions["reason_code"][image] = ReasonCode.UNREADABLE.value if pd.isna(code) else code
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


def keep_apart(decisions: pd.DataFrame, image: int, other: int) -> None:
    """Set, in place, that `image` is kept because a person chose that it is no duplicate of `other`; row i is image i."""
    decisions.loc[image, "Duplicate"] = False
    decisions.loc[image, ["kept_path", *SCORES]] = None
    decisions.loc[image, ["kept_image", "orientation"]] = pd.NA
    paths = decisions["FullPath"]
    reason = Reason.of(ReasonCode.CHOSEN_APART, other=name_beside(paths.iat[image], paths.iat[other]))
    set_decisions(decisions, [image], Action.KEPT, [reason])


def _apply_match(
    decisions: dict[str, list[Any]], image: int, kept: int, scores: dict[str, float], doubt: Reason | None
) -> None:
    decisions["Duplicate"][image] = doubt is None
    decisions["kept_image"][image] = kept
    decisions["kept_path"][image] = decisions["FullPath"][kept]
    for name, score in scores.items():
        decisions[name][image] = None if math.isnan(score) else score
    if doubt is None:
        reason = Reason.of(ReasonCode.DUPLICATE, kept=decisions["FileName"][kept])
        _decide(decisions, image, Action.WOULD_MOVE, reason)
    else:
        _decide(decisions, image, Action.REVIEW, doubt)


def _stop_if_too_many(decisions: dict[str, list[Any]], images: pd.DataFrame, limit: float) -> None:
    """Put every move up for review where the moves are more than `limit` of the pictures that could move."""
    moves = [image for image, action in enumerate(decisions["action"]) if action == Action.WOULD_MOVE]
    movable = int((images["error"].isna() & ~images["is_reference"]).sum())
    if moves and len(moves) > limit * movable:
        reason = Reason.of(ReasonCode.TOO_MANY_MOVES, moves=len(moves), movable=movable, limit=limit)
        for image in moves:
            _decide(decisions, image, Action.REVIEW, reason)
