"""Which pairs an earlier run has settled, so that this one need not: those of pictures that took part in both.

Images are matched by content, one to one: the second copy of a picture here is the second there. Every pair of two images
that were there before is in the earlier run's table, or was proven to score below its floor, whatever the files were
called; so its rows are taken over under this run's ids, and what is new is compared with all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError
from imagetwins.scanning.cache import describe_thumbnails
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.tables import COMPARISONS, IMAGES, as_frame, count_rows, list_parts, read_table

ROWS_AT_ONCE = 2_000_000
"""Rows of a table that are taken over at once: with all that is made of them, some 300 MB."""


@dataclass(frozen=True)
class Past:
    """The earlier run whose pairs are taken over; `run` is None if there is none, and `why` says so."""

    run: Run | None
    why: str


def describe_scores(parameters: Parameters) -> dict[str, Any]:
    """Return all that the score of two files depends on, besides their content."""
    return describe_thumbnails(parameters) | {"engine": ssim.ENGINE_VERSION, "scikit-image": version("scikit-image")}


def find_past(run: Run, parameters: Parameters) -> Past:
    """Return the last run on the folder whose scores hold here, all of them and at a floor not above this one's."""
    refused = ""
    for past in reversed(list_runs(run.store)):
        record = past.read_record()
        if past.run_id == run.run_id or not _has_scored(record, parameters.folder):
            continue
        reason = _refuse(past, record, parameters)
        if not reason:
            return Past(past, f"The pairs that run {past.run_id} settled are taken over.")
        refused = refused or f"All pairs are computed: in run {past.run_id}, {reason}."
    return Past(None, refused or "All pairs are computed: no run on this folder is complete.")


def _has_scored(record: dict[str, Any], folder: str) -> bool:
    same_folder = record["parameters"]["folder"] == folder
    return same_folder and record["kind"] == "deduplicate" and "score" in record.get("seconds", {})


def _refuse(past: Run, record: dict[str, Any], parameters: Parameters) -> str:
    """Return why a past run's pairs cannot be taken over, "" if they can."""
    then, now = record.get("scores_depend_on", {}), describe_scores(parameters)
    changes = [f"{name} was {then.get(name)} and is {now[name]}" for name in now if then.get(name) != now[name]]
    if changes:
        return ", ".join(changes)
    if record["floor"] > parameters.floor:
        return f"the floor was {record['floor']:g}, above the {parameters.floor:g} of this one"
    try:
        whole = count_rows(past.comparisons) == record["funnel"].get("stored")
        whole = whole and count_rows(past.images) == record["counts"].get("images")
    except StoreError:
        whole = False
    return "" if whole else "the tables were pruned, or are damaged"


def match_images(past: Run, images: pd.DataFrame) -> NDArray[np.int64]:
    """Return (past images,) the image with the same content in `images`, -1 where there is none; each at most once."""
    before = read_table(past.images, IMAGES)
    there, here = (_number_copies(table) for table in (before, images))
    matched = there.merge(here, on=["digest", "copy"], suffixes=("_then", "_now"))
    ids = np.full(len(before), -1, np.int64)
    ids[matched["image_then"].to_numpy(np.int64)] = matched["image_now"].to_numpy(np.int64)
    return ids


def _number_copies(images: pd.DataFrame) -> pd.DataFrame:
    readable = images.loc[images["error"].isna() & images["digest"].notna(), ["image", "digest"]]
    return readable.assign(copy=readable.groupby("digest").cumcount())


def iter_carried(
    run: Run, past: Run, directory: Path, rows: NDArray[np.int64], parameters: Parameters
) -> Iterator[tuple[ssim.JoinResult, pd.DataFrame]]:
    """Yield what a run from scratch would store of the pairs that `past` settled, some at a time.

    With them come image1, image2 and ssim of the pairs that scikit-image scored then, but would not have scored now.
    """
    ids = match_images(past, read_table(run.images, IMAGES))
    waiting: list[pd.DataFrame] = []
    parts = list_parts(past.comparisons)
    for part in parts:
        waiting.append(_rename(read_table(part, COMPARISONS), ids, parameters.floor))
        if part == parts[-1] or sum(map(len, waiting)) >= ROWS_AT_ONCE:
            table = pd.concat(waiting, ignore_index=True).sort_values(["image1", "image2"], ignore_index=True)
            waiting = []
            carried = ssim.reuse_pairs(
                directory, rows, to_result(table), threshold=parameters.threshold, floor=parameters.floor
            )
            yield carried, table.loc[table["verified"], ["image1", "image2", "ssim"]]


def _rename(table: pd.DataFrame, ids: NDArray[np.int64], floor: float) -> pd.DataFrame:
    one, other = ids[table["image1"].to_numpy(np.int64)], ids[table["image2"].to_numpy(np.int64)]
    renamed = table.assign(image1=np.minimum(one, other), image2=np.maximum(one, other))
    # A score that scikit-image replaced may have been on the other side of the floor.
    return renamed[(one >= 0) & (other >= 0) & (table["ssim"].to_numpy() >= floor - ssim.VERIFY_MARGIN)]


def to_result(table: pd.DataFrame) -> ssim.JoinResult:
    """Return rows of `tables.COMPARISONS` as the join gives them."""
    return ssim.JoinResult(
        table["image1"].to_numpy(np.int32),
        table["image2"].to_numpy(np.int32),
        table["ssim"].to_numpy(np.float64),
        table["detail_ssim"].to_numpy(np.float64, na_value=np.nan),
        table["max_difference"].to_numpy(np.uint8, na_value=0),
        table["verified"].to_numpy(np.bool_),
        {},
    )


def to_table(result: ssim.JoinResult) -> pd.DataFrame:
    """Return what the join stores as `tables.COMPARISONS`."""
    blank = np.isnan(result.detail_ssim)
    columns = {
        "image1": result.image1,
        "image2": result.image2,
        "ssim": result.ssim,
        "detail_ssim": pd.array(result.detail_ssim, dtype="Float64"),
        "max_difference": pd.arrays.IntegerArray(result.max_difference, ~blank),
        "verified": result.verified,
    }
    return as_frame(columns, COMPARISONS)
