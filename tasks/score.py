"""Stage 5: score the pairs by SSIM. Mapped over batches of tiles; what an earlier run scored is reused."""

from collections.abc import Sequence

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import ReusableRun
from imagetwins.runtime.task_options import STAGE
from imagetwins.runtime.worker import check_worker
from imagetwins.ssim import Tile
from imagetwins.stages import score
from imagetwins.store.runs import Run


@task(name="reuse-pairs", **STAGE)
def reuse_pairs(run: Run, parameters: Parameters, reusable: ReusableRun, plan: str) -> dict[str, int]:
    """Write what the earlier run scored into this one's table; return how many pairs are stored and verified."""
    return score.reuse_pairs(run, parameters, reusable, plan)


@task(name="score-pairs", task_run_name="score-pairs-{batch}", **STAGE)
def score_pairs(run: Run, plan: str, batch: int, tiles: Sequence[Tile]) -> dict[str, int]:
    """Score the pairs of `tiles`, store those at or above the floor; return the pairs each stage of the join took."""
    check_worker(run)
    return score.score_pairs(run, plan, batch, tiles)
