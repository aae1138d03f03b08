"""Decisions that rest on scikit-image's own scores, and not on the kernels' approximation of them, and on a look at each pair."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.matching.decisions import deciding_pairs
from imagetwins.progress import Progress, continued, counted, no_progress
from imagetwins.scanning.thumbnails import ThumbnailLoader
from imagetwins.ssim import colour_difference, peak_difference, reference_ssim
from imagetwins.storage import Location
from imagetwins.store.schemas import COMPARISONS, VERIFIED
from imagetwins.store.tables import as_frame, list_parts, read_notes, read_table, write_table

Decide = Callable[[pd.DataFrame], pd.DataFrame]
"""Returns the decisions (`schemas.DECISIONS`) that follow from matches (`schemas.COMPARISONS`)."""

PAIR = ["image1", "image2"]
DIFFERENCES = ["peak_difference", "colour_difference"]
MEASURED = ["ssim", *DIFFERENCES]


def decide_verified(
    decide: Decide,
    matches: pd.DataFrame,
    load: ThumbnailLoader,
    workers: int,
    known: pd.DataFrame | None = None,
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the decisions that follow from `matches` once every pair that decides is verified, and what was verified.

    A pair is verified when `ssim` is scikit-image's own and its differences are known. The second table
    (`schemas.VERIFIED`) has only the pairs that were not verified before; so has `known`, of which nothing need be computed
    again.

    A verified score may differ in the seventh digit and so put another kept image first, and a difference may put a pair in
    doubt, so that another decides, which is verified then; the loop ends because each round verifies at least one more
    pair. `progress` is called with the pairs that are verified, of those that must be so far.
    """
    known = as_frame({name: [] for name in VERIFIED.names}, VERIFIED) if known is None else known
    known = known[known["peak_difference"].notna()]
    decisions, verified = decide(matches), [known.head(0)]
    while len(pairs := _unverified(decisions, matches)):
        found = pairs.merge(known, on=PAIR, how="left")
        unknown = found["ssim"].isna()
        with ThreadPoolExecutor(workers) as pool:
            measured = pool.map(
                lambda one, two: _measure(load(one), load(two)), *(found.loc[unknown, name] for name in PAIR)
            )
            told = counted(measured, continued(progress, sum(map(len, verified))), int(unknown.sum()))
            found.loc[unknown, MEASURED] = np.array(list(told), np.float64).reshape(-1, len(MEASURED))
        verified.append(found)
        matches = _apply_verified(matches, found)
        decisions = decide(matches)
    return decisions, pd.concat(verified, ignore_index=True)


def _measure(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[float, float, float]:
    return reference_ssim(first, second), peak_difference(first, second), colour_difference(first, second)


def store_verified(comparisons: Location, verified: pd.DataFrame) -> None:
    """Write what is `verified` into the parts of the comparison table that hold its pairs."""
    for part in list_parts(comparisons) if len(verified) else []:
        table = read_table(part, COMPARISONS)
        if len(table[PAIR].merge(verified[PAIR])):
            write_table(_apply_verified(table, verified), COMPARISONS, part, notes=read_notes(part))


def _unverified(decisions: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    # The score of identical thumbnails is 1 without anybody's computing it, and there is no difference to measure.
    identical = matches["verified"] & (matches["ssim"] == 1)
    unknown = ~identical & (~matches["verified"] | matches["peak_difference"].isna())
    return deciding_pairs(decisions).merge(matches.loc[unknown, PAIR], on=PAIR)


def _apply_verified(table: pd.DataFrame, verified: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with the scores and differences of `verified` in place of its own, marked as verified.

    Its own scores, the kernels', are kept for later runs (`ssim.JoinResult.kernel_ssim`).
    """
    merged = table[PAIR].merge(verified[[*PAIR, *MEASURED]], on=PAIR, how="left")
    found = merged["ssim"].notna().to_numpy()
    differences = {}
    for name in DIFFERENCES:
        new, own = (frame[name].to_numpy(np.float64, na_value=np.nan) for frame in (merged, table))
        differences[name] = pd.array(np.where(found, new, own), dtype="Float64")
    kept = table["kernel_ssim"].to_numpy(np.float64, na_value=np.nan)
    kernel = np.where(found & ~table["verified"].to_numpy(), table["ssim"], kept)
    return table.assign(
        kernel_ssim=pd.array(kernel, dtype="Float64"),
        ssim=np.where(found, merged["ssim"], table["ssim"]),
        verified=table["verified"].to_numpy() | found,
        **differences,
    )
