"""Stage 6: apply the threshold and decide the duplicates."""

import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.apply import drop_changed, find_changes, images_to_check, mark_changed
from imagetwins.matching.decisions import Decider
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.reporting.thresholds import check_floor
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.scanning.thumbnails import decoded_thumbnails
from imagetwins.stages import decide
from imagetwins.stages.decide import count_all, count_matches
from imagetwins.storage.location import from_columns
from imagetwins.store.memory import read_memory
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import copy_part, list_parts, read_table, read_table_if_any, write_table


@task(name="decide-duplicates", **STAGE)
def decide_duplicates(run: Run, parameters: Parameters, workers: int) -> dict[str, int]:
    """Decide about every image, each decision resting on scikit-image's own score; return the counts."""
    return decide.decide_duplicates(run, parameters, workers, progress_of(Stage.DECIDE, "pair"))


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
        **count_matches(matches, images, decider, parameters),
        "changed": len(changes),
        **count_all(decisions, images, decider, parameters),
    }
