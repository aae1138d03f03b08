"""Stage 3: plan the comparison table: tiles of the triangle of all pairs, each pair once, but those that are known."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from prefect import task

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import Past, describe_scores, find_past, iter_carried, match_images, to_table
from imagetwins.scanning.cache import read_rows
from imagetwins.storage.location import glob
from imagetwins.store.runs import Run, copy_file, list_runs
from imagetwins.store.tables import COMPARISONS, IMAGES, VERIFIED, read_notes, read_table, write_table
from tasks import STAGE


@dataclass(frozen=True)
class Comparisons:
    """How many pairs there are, the batches of tiles that hold those to compute, and what tells this plan from others."""

    pairs: int
    batches: list[list[ssim.Tile]]
    fingerprint: str


@task(name="find-past-run", **STAGE)
def find_past_run(run: Run, parameters: Parameters) -> Past:
    """Find the run whose pairs need not be computed again."""
    return find_past(run, parameters)


@task(name="plan-comparisons", **STAGE)
def plan_comparisons(run: Run, parameters: Parameters, past: Past) -> Comparisons:
    """Choose the bounds for this folder and cut the pairs into batches of tiles, at least one."""
    images, rows = read_table(run.images, IMAGES), read_rows(run)
    known = np.zeros(len(rows), np.bool_)
    if past.run:
        ids = match_images(past.run, images)
        known[ids[ids >= 0]] = True
    plan = ssim.plan_join(
        run.cache, run.workspace / "plan", rows, threshold=parameters.threshold, floor=parameters.floor, known=known
    )
    batches = plan.batches or [[]]
    decides = [describe_scores(parameters), parameters.threshold, parameters.floor, plan.stages, batches]
    decides.append(past.run.run_id if past.run else None)
    fingerprint = hashlib.sha256(json.dumps(decides, sort_keys=True).encode())
    for column in ("digest", "error"):
        fingerprint.update(
            json.dumps(images[column].astype(object).where(images[column].notna(), None).tolist()).encode()
        )
    fingerprint.update(known.tobytes())
    _adopt_parts(run, parameters.folder, fingerprint.hexdigest())
    return Comparisons(plan.n_pairs, batches, fingerprint.hexdigest())


def _adopt_parts(run: Run, folder: str, fingerprint: str) -> None:
    """Take over the batches that a run which was killed had finished of the same plan; remove those of any other."""
    for part in glob(run.comparisons, "*.parquet"):
        if read_notes(part).get("plan") != fingerprint:
            part.unlink()
    for other in list_runs(run.store):
        record = other.read_record()
        if (
            other.run_id == run.run_id
            or record["parameters"]["folder"] != folder
            or "score" in record.get("seconds", {})
        ):
            continue
        for part in glob(other.comparisons, "*.parquet"):
            if read_notes(part).get("plan") == fingerprint and not (run.comparisons / part.name).exists():
                copy_file(part, run.comparisons / part.name)


@task(name="carry-pairs", **STAGE)
def carry_pairs(run: Run, parameters: Parameters, past: Past, plan: Comparisons) -> dict[str, int]:
    """Write what the past run settled into this one's table; return how many pairs are stored and verified."""
    counts = {"stored": 0, "verified": 0}
    verified = [pd.DataFrame({"image1": [], "image2": [], "ssim": []})]
    carried = iter_carried(run, past.run, run.cache, read_rows(run), parameters) if past.run else ()
    for number, (result, again) in enumerate(carried):
        # A later part may fail for want of space: each is written as it comes.
        part = run.comparisons / f"known-{number:05d}.parquet"
        write_table(to_table(result), COMPARISONS, part, notes={"plan": plan.fingerprint})
        verified.append(again)
        counts = {name: counts[name] + result.counts[name] for name in counts}
    write_table(pd.concat(verified, ignore_index=True), VERIFIED, run.verified)
    return counts
