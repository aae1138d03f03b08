"""Stage 4: plan the comparison table: tiles of the triangle of all pairs, each pair once, but those that are known."""

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import ReusableRun
from imagetwins.runtime.task_options import STAGE
from imagetwins.stages import plan
from imagetwins.store.runs import Run


@task(name="plan-comparisons", **STAGE)
def plan_comparisons(run: Run, parameters: Parameters, reusable: ReusableRun) -> plan.ComparisonPlan:
    """Choose the bounds for this folder and cut the pairs into batches of tiles, at least one."""
    return plan.plan_comparisons(run, parameters, reusable)
