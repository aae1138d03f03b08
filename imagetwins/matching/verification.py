"""Decisions that rest on scikit-image's own scores, and not on the kernels' approximation of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from imagetwins.matching.decisions import deciding_pairs
from imagetwins.scanning.thumbnails import ThumbnailLoader
from imagetwins.ssim import reference_ssim
from imagetwins.storage import Location
from imagetwins.store.schemas import COMPARISONS
from imagetwins.store.tables import list_parts, read_notes, read_table, write_table

Decide = Callable[[pd.DataFrame], pd.DataFrame]
"""Returns the decisions (`schemas.DECISIONS`) that follow from matches (`schemas.COMPARISONS`)."""

PAIR = ["image1", "image2"]


def decide_verified(
    decide: Decide, matches: pd.DataFrame, load: ThumbnailLoader, workers: int, known: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the decisions that follow from `matches` once every score that decides is verified, and those scores.

    The second table has the columns image1, image2 and ssim, and only the pairs that were not verified before. `known` has
    the same columns, with scores of scikit-image's that need not be computed again.

    A verified score may differ in the seventh digit and so put another kept image first, whose pair is verified then;
    the loop ends because each round verifies at least one more pair.
    """
    known = matches.loc[:, [*PAIR, "ssim"]].head(0) if known is None else known
    decisions, verified = decide(matches), [matches.loc[:, [*PAIR, "ssim"]].head(0)]
    while len(pairs := _unverified(decisions, matches)):
        scores = pairs.merge(known, on=PAIR, how="left")
        unknown = scores["ssim"].isna()
        with ThreadPoolExecutor(workers) as pool:
            scores.loc[unknown, "ssim"] = list(
                pool.map(
                    lambda one, two: reference_ssim(load(one), load(two)),
                    *(scores.loc[unknown, name] for name in PAIR),
                )
            )
        verified.append(scores)
        matches = _apply_scores(matches, verified[-1])
        decisions = decide(matches)
    return decisions, pd.concat(verified, ignore_index=True)


def store_verified(comparisons: Location, verified: pd.DataFrame) -> None:
    """Write the scores of `verified` into the parts of the comparison table that hold their pairs."""
    for part in list_parts(comparisons) if len(verified) else []:
        table = read_table(part, COMPARISONS)
        updated = _apply_scores(table, verified)
        if not updated["verified"].equals(table["verified"]):
            write_table(updated, COMPARISONS, part, notes=read_notes(part))


def _unverified(decisions: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    return deciding_pairs(decisions).merge(matches.loc[~matches["verified"], PAIR], on=PAIR)


def _apply_scores(table: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with the scores of `scores` in place of its own, marked as verified."""
    merged = table[PAIR].merge(scores[[*PAIR, "ssim"]], on=PAIR, how="left")
    scored = merged["ssim"].notna().to_numpy()
    return table.assign(
        ssim=np.where(scored, merged["ssim"], table["ssim"]), verified=table["verified"].to_numpy() | scored
    )
