"""Stage 4: plan the comparison table: tiles of the triangle of all pairs, each pair once, but those that are known."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import ReusableRun, describe_scores, match_images
from imagetwins.scanning.thumbnails import read_rows
from imagetwins.storage import Location, storage_of
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import IMAGES
from imagetwins.store.tables import copy_part, read_notes, read_table


@dataclass(frozen=True)
class ComparisonPlan:
    """How many pairs there are, the batches of tiles that hold those to compute, and a fingerprint that no other plan has."""

    pairs: int
    batches: list[list[ssim.Tile]]
    fingerprint: str


def plan_comparisons(run: Run, parameters: Parameters, reusable: ReusableRun) -> ComparisonPlan:
    """Choose the bounds for this folder and cut the pairs into batches of tiles, at least one."""
    images, rows = read_table(run.images, IMAGES), read_rows(run)
    known = np.zeros(len(rows), np.bool_)
    if reusable.run:
        ids = match_images(reusable.run, images)
        known[ids[ids >= 0]] = True
    plan = ssim.plan_join(
        run.cache_directory(),
        run.workspace / "plan",
        rows,
        threshold=parameters.threshold,
        floor=parameters.floor,
        orientations=parameters.orientations,
        known=known,
    )
    batches = plan.batches or [[]]
    decides = [describe_scores(parameters), parameters.threshold, parameters.floor, plan.stages, batches]
    decides.append(reusable.run.run_id if reusable.run else None)
    fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    for column in ("digest", "error"):
        fingerprint.update(
            json.dumps(images[column].astype(object).where(images[column].notna(), None).tolist()).encode()
        )
    fingerprint.update(known.tobytes())
    _adopt_parts(run, parameters.folders, fingerprint.hexdigest())
    return ComparisonPlan(plan.n_pairs, batches, fingerprint.hexdigest())


def _adopt_parts(run: Run, folders: Collection[str], fingerprint: str) -> None:
    """Take over the batches that a run which was killed had finished of the same plan; remove those of any other."""
    for part in _parts(run):
        if read_notes(part).get("plan") != fingerprint:
            storage_of(part).remove_tree(part)
    own = {part.name for part in _parts(run)}
    for other in list_runs(run.store):
        record = other.read_record()
        shares = record.parameters.shares_folder(folders)
        if other.run_id == run.run_id or not shares or record.has_finished(Stage.SCORE):
            continue
        for part in _parts(other):
            if part.name not in own and read_notes(part).get("plan") == fingerprint:
                copy_part(part, run.comparisons / part.name)
                own.add(part.name)


def _parts(run: Run) -> list[Location]:
    return storage_of(run.comparisons).glob(run.comparisons, "*.parquet")
