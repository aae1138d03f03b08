"""Stage 6: apply the threshold and decide the duplicates."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.apply import drop_changed, find_changes, images_to_check, mark_changed
from imagetwins.matching.decisions import Decider, count_decisions, count_larger, count_turned, count_unasked
from imagetwins.matching.restriction import find_excluded
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.reporting.thresholds import check_floor
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.scanning.thumbnails import cached_thumbnails, decoded_thumbnails
from imagetwins.storage.location import from_columns
from imagetwins.store.memory import read_memory
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, COMPARISONS, DECISIONS, IMAGES, VERIFIED
from imagetwins.store.tables import copy_part, list_parts, read_table, read_table_if_any, write_table

IS_VERIFIED = pa.schema([COMPARISONS.field("verified")])
"""The one column that is needed to count what is verified: a table may hold millions of pairs."""


@task(name="decide-duplicates", **STAGE)
def decide_duplicates(run: Run, parameters: Parameters, workers: int) -> dict[str, int]:
    """Decide about every image, each decision resting on scikit-image's own score; return the counts.

    "verified" counts the stored pairs that have such a score by now.
    """
    images = read_table(run.images, IMAGES)
    matches = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= parameters.threshold)
    decider = Decider(images, matches, parameters, read_memory(run.store))
    decisions, verified = decide_verified(
        decider,
        cached_thumbnails(run),
        workers,
        known=read_table(run.verified, VERIFIED),
        progress=progress_of(Stage.DECIDE, "pair"),
    )
    store_verified(run.comparisons, verified, workers)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    verified_by_now = read_table(run.comparisons, IS_VERIFIED, where=pc.field("verified"))
    counts = _count_matches(matches, images, decider, parameters) | {"verified": len(verified_by_now)}
    return counts | _count_all(decisions, images, decider, parameters)


@task(name="decide-again", **STAGE)
def decide_again(run: Run, past: Run, parameters: Parameters, workers: int) -> dict[str, int]:
    """Copy the tables of `past` into `run`, decide at the new threshold, and return the counts.

    Files that are no longer what they were in `past` take no part.

    Raises:
        StoreError: the threshold is below the floor of `past`, or its tables were pruned.
    """
    check_floor(past, parameters.threshold)
    for source, target in ((past.images, run.images), (past.comparisons, run.comparisons)):
        for part in list_parts(source):
            copy_part(part, target / part.name)
    companions = read_table_if_any(past.companions, COMPANIONS)
    here = companions.assign(new_path=companions["path"], reason=None)
    write_table(here, COMPANIONS, run.companions / "part-0.parquet")
    images = read_table(run.images, IMAGES)
    matches = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= parameters.threshold)
    changes = find_changes(images.iloc[images_to_check(matches, parameters.threshold)])
    load = decoded_thumbnails(
        lambda image: from_columns(images["path"].iat[image], images["path_bytes"].iat[image]),
        parameters.decode_settings,
    )
    decider = Decider(images, drop_changed(matches, changes), parameters, read_memory(run.store))
    decisions, verified = decide_verified(decider, load, workers, progress=progress_of(Stage.DECIDE, "pair"))
    decisions = mark_changed(decisions, changes)
    store_verified(run.comparisons, verified, workers)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    return {
        "images": len(images),
        "errors": int(images["error"].notna().sum()),
        "pairs": past.read_record().counts["pairs"],
        **_count_matches(matches, images, decider, parameters),
        "changed": len(changes),
        **_count_all(decisions, images, decider, parameters),
    }


def _count_matches(
    pairs: pd.DataFrame, images: pd.DataFrame, decider: Decider, parameters: Parameters
) -> dict[str, int]:
    """Return how many pairs at the threshold or above it are matches, and how many the run's restriction excludes, if it has one."""
    excluded = int(find_excluded(pairs, images, parameters).sum())
    counts = {"matches": len(pairs) - excluded - len(decider.apart)}
    return counts | ({"excluded": excluded} if excluded else {})


def _count_all(
    decisions: pd.DataFrame, images: pd.DataFrame, decider: Decider, parameters: Parameters
) -> dict[str, int]:
    counts = count_decisions(decisions) | {
        "larger_duplicates": count_larger(decisions, images),
        "remembered": len(decider.apart),
        "remembered_review": count_unasked(decisions),
    }
    return counts if parameters.orientations == "same" else counts | {"turned_duplicates": count_turned(decisions)}
