"""Decide on a past run's scores, for the files that are still what they were."""

import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.apply import check_files, images_to_check, plan_apply
from imagetwins.matching.decisions import count_decisions
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.reporting.audit import check_floor
from imagetwins.scanning.thumbnails import thumbnail_reader
from imagetwins.store.runs import Run, copy_file
from imagetwins.store.tables import COMPARISONS, DECISIONS, IMAGES, list_parts, path_of, read_table, write_table
from tasks import STAGE


@task(name="decide-again", **STAGE)
def decide_again(run: Run, past: Run, parameters: Parameters, workers: int) -> dict[str, int]:
    """Copy the tables of `past` into `run`, decide at the new threshold, and return the counts.

    Raises:
        StoreError: the threshold is below the floor of `past`, or its tables were pruned.
    """
    check_floor(past, parameters.threshold)
    for source, target in ((past.images, run.images), (past.comparisons, run.comparisons)):
        for part in list_parts(source):
            copy_file(part, target / part.name)
    images = read_table(run.images, IMAGES)
    matches = read_table(run.comparisons, COMPARISONS, where=pc.field("ssim") >= parameters.threshold)
    changes = check_files(images.iloc[images_to_check(matches, parameters.threshold)])
    thumbnail = thumbnail_reader(
        lambda image: path_of(images["path"].iat[image], images["path_bytes"].iat[image]),
        parameters.decode_settings,
    )
    decisions, verified = decide_verified(
        lambda found: plan_apply(images, found, parameters, changes), matches, thumbnail, workers
    )
    store_verified(run.comparisons, verified)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    return {
        "images": len(images),
        "errors": int(images["error"].notna().sum()),
        "pairs": past.read_record()["counts"]["pairs"],
        "matches": len(matches),
        "changed": len(changes),
        **count_decisions(decisions),
    }
