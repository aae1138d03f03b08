"""Which pairs an earlier run has scored or pruned, so that this one need not: those of pictures that took part in both.

Images are matched by content, one to one: the second copy of a picture here is the second there. Every pair of two images
that were there before is in the earlier run's table, or was proven to score below its floor, whatever the files were
called. So its rows are reused under this run's ids, and only the new images are compared, with all others.
"""

from collections.abc import Collection, Iterator
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
from imagetwins.matching.orientation import read_orientations
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.cache import describe_thumbnails
from imagetwins.scanning.thumbnails import pixel_source
from imagetwins.store.record import RunKind, RunRecord, Stage
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import COMPARISONS, IMAGES, VERIFIED
from imagetwins.store.tables import as_frame, count_rows, list_parts, read_table

ROWS_AT_ONCE = 2_000_000
"""Rows of a table that are reused at once: with all that is made of them, some 300 MB."""


@dataclass(frozen=True)
class ReusableRun:
    """The earlier run whose pairs are reused; `run` is None if there is none, and `why` says so."""

    run: Run | None
    why: Reason


def describe_scores(parameters: Parameters) -> dict[str, Any]:
    """Return all that the score of two files depends on, besides their content."""
    engine = {"engine": ssim.ENGINE_VERSION, "scikit-image": version("scikit-image")}
    return describe_thumbnails(parameters) | engine | {"orientations": parameters.orientations}


def find_reusable_run(run: Run, parameters: Parameters) -> ReusableRun:
    """Return the run whose scores hold here, all of them and at a floor not above this one's; None if there is none.

    The more of the folders it had, the better; of equal ones the last.
    """
    refused = None
    for past, record in _find_candidates(run, parameters.folders):
        reason = _refuse(past, record, parameters)
        if reason is None:
            return ReusableRun(past, Reason.of(ReasonCode.PAIRS_REUSED, run_id=past.run_id))
        refused = refused or reason
    return ReusableRun(None, refused or Reason(ReasonCode.NO_EARLIER_RUN))


def _find_candidates(run: Run, folders: Collection[str]) -> list[tuple[Run, RunRecord]]:
    """Return the other runs that scored all pairs of one of `folders`, or of more: those that had most of them first."""
    records = [(past, past.read_record()) for past in reversed(list_runs(run.store)) if past.run_id != run.run_id]
    found = [(past, record) for past, record in records if has_scored(record, folders)]
    return sorted(found, key=lambda one: -len({*one[1].parameters.folders} & {*folders}))


def has_scored(record: RunRecord, folders: Collection[str]) -> bool:
    """Whether a run on one of `folders` scored all its pairs."""
    is_job = record.kind is RunKind.DEDUPLICATE and record.parameters.shares_folder(folders)
    return is_job and record.has_finished(Stage.SCORE)


def _refuse(past: Run, record: RunRecord, parameters: Parameters) -> Reason | None:
    """Return why a past run's pairs cannot be reused, None if they can."""
    # Older versions compared pictures as they are, and did not say so.
    then, now = {"orientations": "same"} | record.scores_depend_on, describe_scores(parameters)
    changes = [f"{name} was {then.get(name)} and is {now[name]}" for name in now if then.get(name) != now[name]]
    if changes:
        return Reason.of(ReasonCode.SETTINGS_DIFFER, run_id=past.run_id, changes=", ".join(changes))
    if record.floor > parameters.floor:
        return Reason.of(ReasonCode.FLOOR_TOO_HIGH, run_id=past.run_id, then=record.floor, now=parameters.floor)
    try:
        whole = count_rows(past.comparisons) == record.funnel["stored"]
        whole = whole and count_rows(past.images) == record.counts["images"]
    except StoreError:
        whole = False
    return None if whole else Reason.of(ReasonCode.TABLES_INCOMPLETE, run_id=past.run_id)


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
    # Only those that have copies are grouped: to group all takes longer than all the rest.
    has_copies = readable["digest"].duplicated(keep=False)
    copies = readable[has_copies].groupby("digest").cumcount()
    return readable.assign(copy=copies.reindex(readable.index, fill_value=0))


def iter_reused(
    run: Run, past: Run, directory: Path, rows: NDArray[np.int64], parameters: Parameters
) -> Iterator[tuple[ssim.JoinResult, pd.DataFrame]]:
    """Yield what a run from scratch would store of the pairs of `past`, some at a time.

    With them come what was verified of these pairs then (`schemas.VERIFIED`).

    Args:
        run: this run, which has loaded its images.
        past: the run whose pairs are reused.
        directory: the cache of this run.
        rows: (images,) rows of this run's images in the cache.
        parameters: this run's threshold, floor and orientations.
    """
    ids, source = match_images(past, read_table(run.images, IMAGES)), pixel_source(run)
    waiting: list[pd.DataFrame] = []
    parts = list_parts(past.comparisons)
    for part in parts:
        waiting.append(_rename(read_table(part, COMPARISONS), ids, parameters))
        if part == parts[-1] or sum(map(len, waiting)) >= ROWS_AT_ONCE:
            table = pd.concat(waiting, ignore_index=True).sort_values(["image1", "image2"], ignore_index=True)
            waiting = []
            limits = {"threshold": parameters.threshold, "floor": parameters.floor}
            # Where pictures are turned, what was verified is scored anew; and so is what changed places, see `_rename`.
            past_pairs = to_result(table.assign(verified=table["verified"] | table["has_changed_places"]))
            reused = ssim.reuse_pairs(
                directory, rows, past_pairs, orientations=parameters.orientations, load=source, **limits
            )
            yield reused, table.loc[table["verified"] & ~table["has_changed_places"], VERIFIED.names]


def _rename(table: pd.DataFrame, ids: NDArray[np.int64], parameters: Parameters) -> pd.DataFrame:
    """Return the pairs of `table` that may matter now, with the images' ids of now.

    The pairs that changed places are marked where the second picture is turned: turning the other one instead rounds in
    another order.
    """
    one, other = ids[table["image1"].to_numpy(np.int64)], ids[table["image2"].to_numpy(np.int64)]
    changed = (one > other) & (parameters.orientations == "all")
    renamed = table.assign(
        image1=np.minimum(one, other),
        image2=np.maximum(one, other),
        orientation=read_orientations(table),
        has_changed_places=changed,
    )
    # A score that scikit-image replaced may have been on the other side of the floor.
    return renamed[(one >= 0) & (other >= 0) & (table["ssim"].to_numpy() >= parameters.floor - ssim.VERIFY_MARGIN)]


def to_result(table: pd.DataFrame) -> ssim.JoinResult:
    """Return rows of `schemas.COMPARISONS` as the join gives them."""
    return ssim.JoinResult(
        table["image1"].to_numpy(np.int32),
        table["image2"].to_numpy(np.int32),
        table["ssim"].to_numpy(np.float64),
        table["detail_ssim"].to_numpy(np.float64, na_value=np.nan),
        table["local_ssim"].to_numpy(np.float64, na_value=np.nan),
        table["max_difference"].to_numpy(np.uint8, na_value=0),
        table["verified"].to_numpy(np.bool_),
        table["kernel_ssim"].to_numpy(np.float64, na_value=np.nan),
        read_orientations(table),
        {},
    )


def to_table(result: ssim.JoinResult) -> pd.DataFrame:
    """Return what the join stores as `schemas.COMPARISONS`."""
    blank = np.isnan(result.detail_ssim)
    columns = {
        "image1": result.image1,
        "image2": result.image2,
        "ssim": result.ssim,
        "detail_ssim": pd.array(result.detail_ssim, dtype="Float64"),
        "local_ssim": result.local_ssim,
        **dict.fromkeys(
            ("peak_difference", "colour_difference"), pd.array(np.full(len(blank), np.nan), dtype="Float64")
        ),
        "max_difference": pd.arrays.IntegerArray(result.max_difference, ~blank),
        "orientation": result.orientation,
        "verified": result.verified,
        "kernel_ssim": pd.array(result.kernel_ssim, dtype="Float64"),
    }
    return as_frame(columns, COMPARISONS)
