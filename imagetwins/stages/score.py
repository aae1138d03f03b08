"""Stage 5: score the pairs by SSIM, a batch of tiles at a time; what an earlier run scored is reused."""

import json
from collections.abc import Sequence

import pandas as pd

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import ReusableRun, iter_reused, to_table
from imagetwins.scanning.thumbnails import pixel_source, read_rows
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, VERIFIED
from imagetwins.store.tables import as_frame, read_notes, write_table


def reuse_pairs(run: Run, parameters: Parameters, reusable: ReusableRun, plan: str) -> dict[str, int]:
    """Write what the earlier run scored into this one's table; return how many pairs are stored and verified.

    `plan` is the fingerprint of the plan, which each part of the table names.
    """
    counts = {"stored": 0, "verified": 0}
    verified = [as_frame({name: [] for name in VERIFIED.names}, VERIFIED)]
    reused = iter_reused(run, reusable.run, run.cache_directory(), read_rows(run), parameters) if reusable.run else ()
    for number, (result, again) in enumerate(reused):
        # A later part may fail for want of space: each is written as it comes.
        part = run.comparisons / f"known-{number:05d}.parquet"
        write_table(to_table(result), COMPARISONS, part, notes={"plan": plan})
        verified.append(again)
        counts = {name: counts[name] + result.counts[name] for name in counts}
    write_table(pd.concat(verified, ignore_index=True), VERIFIED, run.verified)
    return counts


def score_pairs(run: Run, plan: str, batch: int, tiles: Sequence[ssim.Tile]) -> dict[str, int]:
    """Score the pairs of `tiles`, store those at or above the floor; return the pairs each stage of the join took.

    The part names its plan and holds its counts, so that another try of the run, or another run, can go on from it.
    """
    part = run.comparisons / f"part-{batch:05d}.parquet"
    notes = read_notes(part)
    if notes.get("plan") != plan:
        result = ssim.join_batch(run.workspace / "plan", tiles, pixel_source(run))
        notes = {"plan": plan, "counts": json.dumps(result.counts)}
        write_table(to_table(result), COMPARISONS, part, notes=notes)
    counted: dict[str, int] = json.loads(notes["counts"])
    return counted
