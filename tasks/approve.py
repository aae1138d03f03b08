"""Between the stages "decide" and "move": what a person is asked, and what the answer changes."""

from prefect import task

from imagetwins.config.layout import Layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching import approval
from imagetwins.matching.approval import Answer, ApprovalRequest
from imagetwins.matching.decisions import count_decisions
from imagetwins.runtime.task_options import STAGE
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table, write_table


@task(name="plan-approval", **STAGE)
def plan_approval(run: Run, parameters: Parameters) -> ApprovalRequest | None:
    """Return what to ask before anything moves; None if nobody need be asked."""
    return approval.plan_approval(read_table(run.decisions, DECISIONS), parameters)


@task(name="apply-answer", **STAGE)
def apply_answer(run: Run, answer: Answer, layout: Layout) -> dict[str, int]:
    """Write into the decisions what the person answered; return the counts as they are then."""
    decisions = approval.apply_answer(read_table(run.decisions, DECISIONS), answer, layout)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    return count_decisions(decisions)
