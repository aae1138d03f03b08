"""Stage 6: apply the threshold and decide the duplicates."""

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow.compute as pc
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.apply import drop_changed, find_change_at, find_changes, images_to_check, mark_changed
from imagetwins.matching.choices import Choices
from imagetwins.matching.chosen import Aside, decide_chosen
from imagetwins.matching.decisions import Decider
from imagetwins.matching.verification import decide_verified, store_verified
from imagetwins.moving.asides import PutAside, find_asides
from imagetwins.moving.links import write_current_links
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.reporting.thresholds import check_floor
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.scanning.thumbnails import decoded_thumbnails
from imagetwins.stages import decide
from imagetwins.stages.decide import count_all, count_matches
from imagetwins.stages.load import count_images
from imagetwins.storage import storage_of
from imagetwins.storage.location import from_columns, to_columns
from imagetwins.store.memory import Source, Verdict, read_memory, remember_pairs
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, COMPARISONS, DECISIONS, IMAGES, Action
from imagetwins.store.tables import both_among, copy_part, list_parts, read_table, read_table_if_any, write_table


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
    _copy_tables(run, past)
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
        **count_images(images),
        "pairs": past.read_record().counts["pairs"],
        **count_matches(matches, images, decider, parameters),
        "changed": len(changes),
        **count_all(decisions, images, parameters, len(decider.apart)),
    }


@task(name="decide-chosen", **STAGE)
def decide_as_chosen(
    run: Run, past: Run, parameters: Parameters, choices: Choices, not_put_back: Mapping[int, str]
) -> dict[str, int]:
    """Copy the tables of `past` into `run`, decide as a person chose, and return the counts.

    Args:
        run: the new run.
        past: the run that the choices are about.
        parameters: of the new run. In a dry run what would be put back counts as if it were back.
        choices: checked.
        not_put_back: the images that should have been put back and were not, with the reasons.

    Raises:
        StoreError: the tables of `past` were pruned.
    """
    _copy_tables(run, past)
    with storage_of(run.applied_choices).writing(run.applied_choices) as temporary:
        temporary.write_text(choices.model_dump_json(indent=2), encoding="utf-8")
    images, before = read_table(run.images, IMAGES), read_table(past.decisions, DECISIONS)
    chosen = [*choices.moving, *choices.staying]
    moved = before.loc[before["action"] == Action.MOVED, "image"].astype(int)
    asides = find_asides(run.store, images, dict.fromkeys([*chosen, *moved]))
    changes = _find_changes(images, chosen, asides) | {
        image: Reason.of(ReasonCode.NOT_PUT_BACK, why=why) for image, why in not_put_back.items()
    }
    back = [image for image in choices.staying if image in asides and image not in changes]
    away = {image: Aside(one.holder.run_id, to_columns(one.location)[0]) for image, one in asides.items()}
    pairs = read_table(run.comparisons, COMPARISONS, where=both_among(chosen))
    there = {image: aside for image, aside in away.items() if image not in back}
    decisions = decide_chosen(before, pairs, choices, there, changes)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    counts = past.read_record().counts
    return {
        **count_images(images),
        **{name: counts[name] for name in ("pairs", "matches", "excluded", "other_shots")},
        "changed": len(changes),
        # In a dry run, what would be.
        "put_back": len(back),
        **count_all(decisions, images, parameters, counts["remembered"]),
    }


def _find_changes(images: pd.DataFrame, chosen: Sequence[int], asides: Mapping[int, PutAside]) -> dict[int, Reason]:
    """Return why files of the chosen images are not what the run compared, wherever they are now."""
    found = {}
    for row in images.iloc[list(chosen)].itertuples():
        aside = asides.get(int(row.image))
        location = aside.location if aside else from_columns(row.path, row.path_bytes)
        found[int(row.image)] = find_change_at(location, row)
    return {image: reason for image, reason in found.items() if reason}


@task(name="remember-choices", **STAGE)
def remember_choices(run: Run, choices: Choices, source: Source) -> dict[str, int]:
    """Remember the pairs that a person chose to be no duplicates; return how many they are."""
    return {"remembered_now": remember_pairs(run, choices.apart, Verdict.NOT_DUPLICATES, source)}


def _copy_tables(run: Run, past: Run) -> None:
    """Give `run` what `past` compared, what belongs to its pictures, where they were listed, and the links that lead there."""
    for source, target in ((past.images, run.images), (past.comparisons, run.comparisons)):
        for part in list_parts(source):
            copy_part(part, target / part.name)
    companions = read_table_if_any(past.companions, COMPANIONS)
    here = companions.assign(new_path=companions["path"], reason=None)
    write_table(here, COMPANIONS, run.companions / "part-0.parquet")
    write_current_links(past.links, run.links)
