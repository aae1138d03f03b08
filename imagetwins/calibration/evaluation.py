"""What the scores of the planted copies say about each setting, and which one to use.

Each setting is evaluated by three numbers:

- *Recall*: the share of the planted copies that match their picture. Known, because we planted them.
- *Edits*: the share of the planted edits, which differ from their picture in one place, that match it. They should not.
- *False pairs*: pairs of two different pictures of the sample that match, themselves or through a copy of one.

A sample has far fewer pairs than its folder, and the most similar different pictures of the folder are more similar than
those of the sample. So a setting is recommended for the false pairs that it would have at a threshold lower by a margin,
which grows with the folder; and one picture moved wrongly weighs as much as WRONG_MOVE copies that are not found. How many
edits a folder has is unknown; for each copy EDITS_A_COPY are assumed.

Which pictures of a folder are different is not known, and a folder that is calibrated is likely to hold duplicates.
Two pictures are taken for duplicates that were there before, and count neither way, if they or any copies of them score
at least ALIKE, both over all and where they have detail, at ALIKE_SIZE. Every other match that was not planted counts as
false. Both kinds are shown, the most similar first, for a person to decide.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.calibration.distortions import KINDS, TURNS
from imagetwins.calibration.sample import COPIES, FAMILY, edit_of, kinds_of
from imagetwins.matching.decisions import lowest_local_ssim
from imagetwins.orientation import Orientations
from imagetwins.store.schemas import OUTCOMES, PLANTED, UNPLANTED
from imagetwins.store.tables import as_frame

FLOOR = 0.65
"""Down to here all pairs are scored."""

MARGIN = 0.05
"""Below the threshold of a folder as large as the sample; and as much again for every factor of ten beyond."""

MAX_MARGIN = 0.3

WRONG_MOVE = 5.0
"""Copies that may be missed to spare one picture from being moved wrongly."""

EDITS_A_COPY = 0.2

THRESHOLDS = tuple(round(0.7 + 0.01 * step, 2) for step in range(30))
GUARDS = (-1.0, 0.5, 0.6, 0.7, 0.8, 0.9)
LOCAL_GUARDS = (-1.0, 0.75, 0.8, 0.85, 0.9)
DEFAULT_SIZE, DEFAULT_THRESHOLD, DEFAULT_GUARD, DEFAULT_LOCAL_GUARD = 200, 0.9, 0.7, 0.85

ALIKE = 0.85
ALIKE_SIZE = 100
"""Of the sample folder's duplicates all score 0.85 or more at 100 pixels, cropped, rotated, grey and brightened ones too; two
pages of text 0.80; photographs that differ less than 0.65; charts up to 0.76, and more only where they differ in a legend
or a label."""

TOLERANCE = 0.01
"""Worth that may be given up for a cheaper size, a higher threshold or a stricter guard."""


@dataclass(frozen=True)
class Scale:
    """How many pictures the sample has, and how many files its folder."""

    pictures: int
    files: int

    @property
    def margin(self) -> float:
        """What the threshold should keep above the best score of two different pictures of the sample."""
        return min(MAX_MARGIN, MARGIN * (1 + math.log10(max(1.0, self.files / self.pictures))))

    def wrong_moves(self, pairs: int) -> float:
        """Return the share of the folder's pictures that are moved wrongly if `pairs` false pairs are in the sample.

        Pairs grow with the square of the pictures: (files / pictures)^2 * pairs of them, over `files`.
        """
        return pairs * max(self.files, self.pictures) / self.pictures**2


@dataclass(frozen=True)
class Setting:
    """A thumbnail size, a threshold and two guards, with what they do to the sample; see `schemas.OUTCOMES`."""

    size: int
    threshold: float
    min_detail_ssim: float
    min_local_ssim: float
    recall: float
    edits: float
    false_pairs: int
    close_pairs: int


@dataclass(frozen=True)
class Calibration:
    """What was measured, and what follows from it.

    Attributes:
        pictures: the sample, in order.
        planted: `schemas.PLANTED`.
        unplanted: `schemas.UNPLANTED`.
        outcomes: `schemas.OUTCOMES`.
        costs: `schemas.COSTS`.
        by_kind: at the recommended setting, the recall of each kind of copy.
        different_pairs: pairs of two different pictures among which false pairs were looked for.
        scale: how large the sample and its folder are.
        orientations: how the pictures were compared.
    """

    pictures: list[Path]
    planted: pd.DataFrame
    unplanted: pd.DataFrame
    outcomes: pd.DataFrame
    costs: pd.DataFrame
    recommended: Setting
    default: Setting
    reason: str
    by_kind: dict[str, float]
    different_pairs: int
    scale: "Scale"
    orientations: Orientations


def evaluate(
    sample: list[Path],
    files: int,
    scores: pd.DataFrame,
    costs: pd.DataFrame,
    seed: int,
    orientations: Orientations = "same",
) -> Calibration:
    """Evaluate every setting by the scores, and recommend one.

    Args:
        sample: the pictures; rows FAMILY * i ... of the scores are picture i, its copies and its edit.
        files: how many files the folder has.
        scores: size, image1, image2, ssim, detail, local of every pair at or above FLOOR.
        costs: `schemas.COSTS`.
        seed, orientations: those that the copies were planted with.
    """
    sizes = costs["size"].astype(int).tolist()
    kinds = [[*kinds_of(picture, seed, orientations), edit_of(picture, seed)] for picture in range(len(sample))]
    planted = _select_planted(sample, scores, sizes, kinds)
    unplanted, alike = _select_unplanted(sample, scores, sizes)
    scale = Scale(len(sample), files)
    outcomes = evaluate_settings(planted, unplanted, sizes, scale.margin)
    recommended = recommend(outcomes, scale)
    default = min(_settings(outcomes), key=_distance_from_default)
    different = math.comb(len(sample), 2) - alike
    return Calibration(
        sample,
        planted,
        unplanted,
        outcomes,
        costs,
        recommended,
        default,
        _explain(recommended, default, different),
        _recall_by_kind(planted, recommended),
        different,
        scale,
        orientations,
    )


def _select_planted(sample: list[Path], scores: pd.DataFrame, sizes: list[int], kinds: list[list[str]]) -> pd.DataFrame:
    """Return `schemas.PLANTED`: each copy and edit, of these `kinds`, with its picture; scores are null below the floor."""
    planted = [(picture, copy) for picture in range(len(sample)) for copy in range(FAMILY - 1)]
    expected = pd.DataFrame(
        {
            "image1": [FAMILY * picture for picture, _ in planted],
            "image2": [FAMILY * picture + 1 + copy for picture, copy in planted],
            "path": [str(sample[picture]) for picture, _ in planted],
            "kind": [kinds[picture][copy] for picture, copy in planted],
            "is_copy": [copy < COPIES for _, copy in planted],
        }
    )
    every = expected.merge(pd.DataFrame({"size": sizes}), how="cross")
    found = every.merge(scores, on=["size", "image1", "image2"], how="left")
    return as_frame({name: pd.array(found[name]) for name in PLANTED.names}, PLANTED)


def _select_unplanted(sample: list[Path], scores: pd.DataFrame, sizes: list[int]) -> tuple[pd.DataFrame, int]:
    """Return `schemas.UNPLANTED`, and how many pairs of pictures of the sample are alike."""
    pictures = scores.assign(first=scores["image1"] // FAMILY, second=scores["image2"] // FAMILY)
    pairs = pictures[pictures["first"] != pictures["second"]]
    nearest = min(sizes, key=lambda size: abs(size - ALIKE_SIZE))
    similar = (pairs["size"] == nearest) & (pairs["ssim"] >= ALIKE) & (pairs["detail"] >= ALIKE)
    alike = pairs.loc[similar, ["first", "second"]].drop_duplicates()
    marked = pairs.merge(alike.assign(alike=True), on=["first", "second"], how="left")
    names = np.array([str(path) for path in sample], dtype=object)
    columns = {
        **{name: marked[name].to_numpy() for name in ("size", "ssim", "detail", "local")},
        "path1": names[marked["first"].to_numpy(np.intp)],
        "path2": names[marked["second"].to_numpy(np.intp)],
        "alike": marked["alike"].notna().to_numpy(),
    }
    return as_frame(columns, UNPLANTED), len(alike)


def evaluate_settings(
    planted: pd.DataFrame, unplanted: pd.DataFrame, sizes: Sequence[int], margin: float
) -> pd.DataFrame:
    """Return `schemas.OUTCOMES`: recall, edits, false pairs, and those within `margin`, of every setting."""
    rows = []
    different = unplanted[~unplanted["alike"]]
    for size in sizes:
        of_size, others = planted[planted["size"] == size], different[different["size"] == size]
        copies, edits = of_size[of_size["is_copy"]], of_size[~of_size["is_copy"]]
        for guard, local_guard in itertools.product(GUARDS, LOCAL_GUARDS):
            found, edited = (np.sort(_guarded(some, guard, local_guard)) for some in (copies, edits))
            passed = others.assign(ssim=_guarded(others, guard, local_guard))
            best = np.sort(passed.groupby(["path1", "path2"])["ssim"].max().to_numpy(np.float64))
            for threshold in THRESHOLDS:
                recall, matched = (1 - np.searchsorted(some, threshold) / len(some) for some in (found, edited))
                false, close = (len(best) - int(np.searchsorted(best, t)) for t in (threshold, threshold - margin))
                rows.append((size, threshold, guard, local_guard, recall, matched, false, close))
    columns = [list(column) for column in zip(*rows, strict=True)]
    return as_frame(dict(zip(OUTCOMES.names, columns, strict=True)), OUTCOMES)


def _guarded(pairs: pd.DataFrame, guard: float, local_guard: float) -> NDArray[np.float64]:
    """Return the scores, -2 where there is none or a guard holds the pair back: no threshold is as low."""
    score = pairs["ssim"].to_numpy(np.float64, na_value=np.nan)
    return np.where(np.isnan(score) | is_held_back(pairs, guard, local_guard), -2.0, score)


def is_held_back(pairs: pd.DataFrame, guard: float, local_guard: float) -> NDArray[np.bool_]:
    """Return which pairs, of `schemas.PLANTED` or `schemas.UNPLANTED`, the guards hold back; -1 switches one off."""
    detail, local = (pairs[name].to_numpy(np.float64, na_value=np.nan) for name in ("detail", "local"))
    held_back: NDArray[np.bool_] = (detail < guard) & (guard > -1)
    held_back |= (local < lowest_local_ssim(detail, local_guard)) & (local_guard > -1)
    return held_back


def _settings(outcomes: pd.DataFrame) -> list[Setting]:
    return [
        Setting(
            int(row.size),
            float(row.threshold),
            float(row.min_detail_ssim),
            float(row.min_local_ssim),
            float(row.recall),
            float(row.edits),
            int(row.false_pairs),
            int(row.close_pairs),
        )
        for row in outcomes.itertuples(index=False)
    ]


def recommend(outcomes: pd.DataFrame, scale: Scale) -> Setting:
    """Return the setting to use: that of the smallest size whose best worth is within TOLERANCE of the best of all."""
    best = _best_by_size(outcomes, scale)
    worth = max(worth for worth, _ in best)
    return next(setting for of_size, setting in best if of_size >= worth - TOLERANCE)


def recommend_by_size(outcomes: pd.DataFrame, scale: Scale) -> list[Setting]:
    """Return the setting that `recommend` would name if there were no other size, for each size."""
    return [setting for _, setting in _best_by_size(outcomes, scale)]


def _best_by_size(outcomes: pd.DataFrame, scale: Scale) -> list[tuple[float, Setting]]:
    """Return the best worth of each size, the smallest first, and its setting: within TOLERANCE of that worth the highest
    threshold, then the strictest guards. Worth is recall less WRONG_MOVE times the share of pictures moved wrongly.

    Thresholds that have not the margin to FLOOR are passed over: what they match in a larger folder is unknown.
    """
    by_size = []
    for _, of_size in outcomes.groupby("size"):
        known = [setting for setting in _settings(of_size) if setting.threshold >= FLOOR + scale.margin]
        worths = {setting: setting.recall - WRONG_MOVE * _wrong_moves(setting, scale) for setting in known}
        best = max(worths.values())
        good = [setting for setting, worth in worths.items() if worth >= best - TOLERANCE]
        by_size.append((best, max(good, key=_strictness)))
    return by_size


def _wrong_moves(setting: Setting, scale: Scale) -> float:
    """Return the share of pictures that are moved wrongly: strangers and edits."""
    return scale.wrong_moves(setting.close_pairs) + EDITS_A_COPY * setting.edits


def _strictness(setting: Setting) -> tuple[float, float, float]:
    return setting.threshold, setting.min_detail_ssim, setting.min_local_ssim


def _distance_from_default(setting: Setting) -> tuple[float, ...]:
    return (
        abs(setting.size - DEFAULT_SIZE),
        abs(setting.threshold - DEFAULT_THRESHOLD),
        abs(setting.min_detail_ssim - DEFAULT_GUARD),
        abs(setting.min_local_ssim - DEFAULT_LOCAL_GUARD),
    )


def _explain(recommended: Setting, default: Setting, different: int) -> str:
    return (
        f"At {recommended.size} pixels, threshold {recommended.threshold:g} and guards {recommended.min_detail_ssim:g} and "
        f"{recommended.min_local_ssim:g} find {100 * recommended.recall:.1f} % of the planted copies, and match "
        f"{_count_pairs(recommended.false_pairs)} of {different:,} pairs of different pictures and {100 * recommended.edits:.0f} % of "
        f"the pictures edited in one place; {default.size} pixels, {default.threshold:g}, {default.min_detail_ssim:g} and "
        f"{default.min_local_ssim:g} (the defaults) find {100 * default.recall:.1f} %, and match "
        f"{_count_pairs(default.false_pairs)} and {100 * default.edits:.0f} %."
    )


def _count_pairs(count: int) -> str:
    return f"{count:,}" if count else "none"


def _recall_by_kind(planted: pd.DataFrame, setting: Setting) -> dict[str, float]:
    copies = planted[(planted["size"] == setting.size) & planted["is_copy"]]
    scores = _guarded(copies, setting.min_detail_ssim, setting.min_local_ssim)
    found = pd.Series(scores >= setting.threshold, index=copies.index)
    shares = found.groupby(copies["kind"]).mean()
    return {kind: float(shares[kind]) for kind in (*KINDS, *TURNS) if kind in shares}
