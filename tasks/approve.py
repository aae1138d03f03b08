"""Between stages 5 and 6: what a person is asked, and what the answer changes."""

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching import approval
from imagetwins.matching.approval import Answer, Question
from imagetwins.matching.decisions import count_decisions
from imagetwins.store.runs import Run
from imagetwins.store.tables import DECISIONS, read_table, write_table
from tasks import STAGE


@task(name="plan-question", **STAGE)
def plan_question(run: Run, parameters: Parameters) -> Question | None:
    """Return what to ask before anything moves; None if nobody need be asked."""
    return approval.plan_question(read_table(run.decisions, DECISIONS), parameters)


@task(name="check-answer", **STAGE)
def find_unknown(run: Run, answer: Answer, folder: str) -> list[str]:
    """Return the names in `answer` that are none of the files to move."""
    return approval.find_left_alone(read_table(run.decisions, DECISIONS), answer, folder)[1]


@task(name="apply-answer", **STAGE)
def apply_answer(run: Run, answer: Answer, folder: str) -> dict[str, int]:
    """Write into the decisions what the person asked said; return the counts as they are now."""
    decisions = approval.apply_answer(read_table(run.decisions, DECISIONS), answer, folder)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    return count_decisions(decisions)
