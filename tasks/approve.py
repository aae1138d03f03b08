"""Between the stages "decide" and "move": what a person is asked, and what the answer changes."""

import pandas as pd
from prefect import task

from imagetwins.config.layout import Layout
from imagetwins.config.parameters import Parameters
from imagetwins.matching import approval
from imagetwins.matching.apply import find_changes
from imagetwins.matching.approval import Answer, ApprovalRequest
from imagetwins.matching.choices import Choices
from imagetwins.matching.chosen import decide_chosen, remember_apart
from imagetwins.matching.decisions import count_decisions
from imagetwins.runtime.task_options import STAGE
from imagetwins.storage import storage_of
from imagetwins.store.memory import Source
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import both_among, read_table, write_table


@task(name="plan-approval", **STAGE)
def plan_approval(run: Run, parameters: Parameters) -> ApprovalRequest | None:
    """Return what to ask before anything moves; None if nobody need be asked."""
    return approval.plan_approval(read_table(run.decisions, DECISIONS), parameters)


@task(name="apply-answer", **STAGE)
def apply_answer(run: Run, answer: Answer, layout: Layout) -> dict[str, int]:
    """Write into the decisions what the person answered, and remember what is no duplicate; return the counts as they are then."""
    before = read_table(run.decisions, DECISIONS)
    apart = approval.find_apart(before, answer, layout)[0]
    remembered = remember_apart(run, apart, Source.APPROVAL, answer.comment)
    decisions = (
        _apply_choices(run, before, answer.choices) if answer.choices else approval.apply_answer(before, answer, layout)
    )
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    return count_decisions(decisions) | {"remembered_now": remembered}


def _apply_choices(run: Run, before: pd.DataFrame, choices: Choices) -> pd.DataFrame:
    """Return the decisions that follow from choices about a run that waits; files that changed meanwhile take no part."""
    with storage_of(run.applied_choices).writing(run.applied_choices) as temporary:
        temporary.write_text(choices.model_dump_json(indent=2), encoding="utf-8")
    chosen = [*choices.moving, *choices.staying]
    changes = find_changes(read_table(run.images, IMAGES).iloc[chosen])
    pairs = read_table(run.comparisons, COMPARISONS, where=both_among(chosen))
    return decide_chosen(before, pairs, choices, {}, changes)
