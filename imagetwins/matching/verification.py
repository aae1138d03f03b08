"""Decisions that rest on scikit-image's own scores, and not on the kernels' approximation of them, and on a look at each pair.

Measured at 200 pixels, a pair takes 0.8 ms of one core, of which the score (ssim/reference.py) takes 0.4 and the differences
(ssim/peaks.py) 0.35; with scikit-image and whole arrays it took 9. Where the second picture of a pair matched turned, it is turned first.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins.matching.decisions import MEASURED, Decider, read_measured
from imagetwins.matching.orientation import read_orientations
from imagetwins.orientation import AS_IT_IS
from imagetwins.progress import Progress, continued, counted, no_progress
from imagetwins.scanning.thumbnails import ThumbnailLoader
from imagetwins.ssim import measure_differences, reference_ssim, turn
from imagetwins.storage import Location
from imagetwins.store.schemas import COMPARISONS
from imagetwins.store.tables import list_parts, read_notes, read_table, write_table

PAIR = ["image1", "image2"]

AT_ONCE = 8
"""Pairs that a thread measures before it asks for more."""


def decide_verified(
    decider: Decider,
    load: ThumbnailLoader,
    workers: int,
    known: pd.DataFrame | None = None,
    progress: Progress = no_progress,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what `decider` decides once every pair that decides is verified, and what was verified.

    A pair is verified when `ssim` is scikit-image's own and its differences are known. The second table
    (`schemas.VERIFIED`) has only the pairs that were not verified before; so has `known`, of which nothing need be computed
    again.

    A verified score may differ in the seventh digit and so put another kept image first, and a difference may put a pair in
    doubt, so that another decides, which is verified then; the loop ends because each round verifies at least one more
    pair. `progress` is called with the pairs that are verified, of those that must be so far.
    """
    pairs = decider.matches[PAIR].assign(orientation=read_orientations(decider.matches))
    images, measured = pairs.to_numpy(np.int64), _find_known(pairs, known)
    verified = [np.empty(0, np.int64)]
    with ThreadPoolExecutor(workers) as pool:
        while len(rows := decider.find_unverified()):
            unknown = rows[np.isnan(measured[rows, 0])]
            some = np.split(images[unknown], range(AT_ONCE, len(unknown), AT_ONCE))
            found = chain.from_iterable(pool.map(lambda of_some: _measure_pairs(of_some, load), some))
            told = counted(found, continued(progress, sum(map(len, verified))), len(unknown))
            measured[unknown] = np.array(list(told), np.float64).reshape(-1, len(MEASURED))
            decider.update(rows, measured[rows])
            verified.append(rows)
    rows = np.concatenate(verified)
    return decider.decide(), pairs.iloc[rows].assign(**dict(zip(MEASURED, measured[rows].T, strict=True)))


def _find_known(pairs: pd.DataFrame, known: pd.DataFrame | None) -> NDArray[np.float64]:
    """Return (pairs, 3) float64, MEASURED of those of `pairs` that are `known`, NaN of the others."""
    if known is None:
        return np.full((len(pairs), len(MEASURED)), np.nan)
    measured = known[known["peak_difference"].notna()]
    return read_measured(pairs.merge(measured, on=[*PAIR, "orientation"], how="left"))


def _measure_pairs(pairs: NDArray[np.int64], load: ThumbnailLoader) -> list[tuple[float, float, float]]:
    """Return MEASURED of some pairs, (n, 3) int64: two images, and the orientation of the second; each image is loaded once."""
    thumbnails = {image: load(image) for image in np.unique(pairs[:, :2]).tolist()}
    return [
        measure_pair(thumbnails[first], thumbnails[second], orientation)
        for first, second, orientation in pairs.tolist()
    ]


def measure_pair(first: NDArray[np.uint8], second: NDArray[np.uint8], orientation: int) -> tuple[float, float, float]:
    """Return MEASURED of two (size, size, 3) uint8 thumbnails, the second one turned by `orientation`."""
    # As they are, thumbnails lie in memory as the kernels take them.
    other = second if orientation == AS_IT_IS else turn(second, orientation)
    return reference_ssim(first, other), *measure_differences(first, other)


def store_verified(comparisons: Location, verified: pd.DataFrame, workers: int) -> None:
    """Write what is `verified` into the parts of the comparison table that hold its pairs."""
    if not len(verified):
        return
    verified = verified.assign(key=_number_pairs(verified)).sort_values("key")
    keys, measured = verified["key"].to_numpy(np.int64), read_measured(verified)

    def store_in(part: Location) -> None:
        table = read_table(part, COMPARISONS)
        wanted = _number_pairs(table)
        position = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        rows = np.flatnonzero(keys[position] == wanted)
        if len(rows):
            changed = _apply_verified(table, rows, measured[position[rows]])
            write_table(changed, COMPARISONS, part, notes=read_notes(part))

    # A part waits for the disk as long as for the processor.
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(store_in, list_parts(comparisons)))


def _number_pairs(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return one number for each pair of images, another for every pair."""
    first, second = (table[name].to_numpy(np.int64) for name in PAIR)
    numbers: NDArray[np.int64] = first << 32 | second
    return numbers


def _apply_verified(table: pd.DataFrame, rows: NDArray[np.int64], measured: NDArray[np.float64]) -> pd.DataFrame:
    """Return `table` with scores and differences, MEASURED, in place of those of some rows, which are marked as verified.

    Their own scores, the kernels', are kept for later runs (`ssim.JoinResult.kernel_ssim`).
    """
    columns = {
        name: table[name].to_numpy(np.float64, na_value=np.nan, copy=True) for name in (*MEASURED, "kernel_ssim")
    }
    is_verified = table["verified"].to_numpy(bool, copy=True)
    new = rows[~is_verified[rows]]
    columns["kernel_ssim"][new] = columns["ssim"][new]
    for name, values in zip(MEASURED, measured.T, strict=True):
        columns[name][rows] = values
    is_verified[rows] = True
    return table.assign(**columns, verified=is_verified)
