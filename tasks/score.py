"""Stage 4: score the pairs by SSIM. Mapped over batches of tiles."""

import json
from collections.abc import Sequence

from prefect import task

from imagetwins import ssim
from imagetwins.matching.reuse import to_table
from imagetwins.store.runs import Run
from imagetwins.store.tables import COMPARISONS, read_notes, write_table
from tasks import STAGE, check_worker


@task(name="score-pairs", task_run_name="score-pairs-{batch}", **STAGE)
def score_pairs(run: Run, plan: str, batch: int, tiles: Sequence[ssim.Tile]) -> dict[str, int]:
    """Score the pairs of `tiles`, store those at or above the floor; return the pairs each stage of the join took.

    The part says which plan it is of, and its counts, so that another try of the run, or another run, can go on from it.
    """
    check_worker(run)
    part = run.comparisons / f"part-{batch:05d}.parquet"
    notes = read_notes(part)
    if notes.get("plan") != plan:
        result = ssim.join_batch(run.workspace / "plan", tiles)
        notes = {"plan": plan, "counts": json.dumps(result.counts)}
        write_table(to_table(result), COMPARISONS, part, notes=notes)
    counted: dict[str, int] = json.loads(notes["counts"])
    return counted
