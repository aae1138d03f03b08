"""Act on what a person chose about a past run's matches: put back, remember, move; nothing is compared again."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from imagetwins.config.folders import resolve_store
from imagetwins.config.parameters import check_parameters
from imagetwins.errors import StoreError
from imagetwins.matching.choices import read_choices
from imagetwins.reporting.applied import summarise_applied
from imagetwins.runtime.run_context import open_run
from imagetwins.runtime.waiting import waits_for_answer
from imagetwins.store.memory import Source
from imagetwins.store.record import RunKind, Stage
from imagetwins.store.runs import find_run
from tasks.decide import decide_as_chosen, remember_choices
from tasks.move import move_duplicates
from tasks.report import publish_run
from tasks.restore import put_back_chosen


def name_run() -> str:
    """Name a flow run by the run that the choices are about."""
    given = flow_run.parameters
    return f"{'look at' if given['dry_run'] else 'apply'} choices about {given['run_id']}"


@flow(name="apply-choices", flow_run_name=name_run, persist_result=False)
def apply_choices(
    run_id: str,
    choices: str = "",
    dry_run: bool = False,
    source: Source = Source.COMMAND_LINE,
    store: str | None = None,
) -> dict[str, Any]:
    """Do what a person chose in a run's report: move pictures, put others back, remember which pairs are no duplicates.

    A file takes part only if it is still what it was in that run: its size, its time and its content. The moves have
    a run id, a journal and tables of their own, and are undone with `imagetwins restore`. It may be done again.

    Args:
        run_id: The run that was chosen about, or the beginning of its id, or "latest".
        choices: What the report's "Save choices.json" saves, as text. Empty: what the desk keeps of this run.
        dry_run: Decide and report, but move and remember nothing.
        source: Where it was chosen; kept with what is remembered.
        store: Folder of the tables and journals. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store).

    Returns:
        The new run's id, its counts, the seconds each stage took, and what was not moved or put back, with the reasons.

    Raises:
        StoreError: the store has no such run, it waits for approval, or its tables were pruned.
        ParameterError: the choices do not fit the run, or contradict each other.
        NothingMovedError: nothing moved of what should have; all else is done.
    """
    past = find_run(resolve_store(store), run_id)
    if waits_for_answer(past):
        raise StoreError(
            f"run {past.run_id} waits for an answer, which may be these choices: `imagetwins approve {past.run_id} --choices FILE`."
        )
    chosen = read_choices(past, choices or None)
    parameters = check_parameters(past.read_record().parameters.model_dump() | {"dry_run": dry_run, "store": store})
    with open_run(RunKind.APPLY, parameters) as context:
        context.take_scores_of(past)
        with context.stage(Stage.DECIDE):
            not_back: dict[int, str] = {}
            if not dry_run:
                context.count(remember_choices(past, chosen, source))
                counts, not_back = put_back_chosen(past, chosen)
                context.count(counts)
            context.count(decide_as_chosen(context.run, past, parameters, chosen, not_back))
        with context.stage(Stage.MOVE):
            if not dry_run:
                context.count_moves(move_duplicates(context.run, parameters))
        with context.stage(Stage.REPORT):
            publish_run(context.run)
    return context.answer(**summarise_applied(context.run, chosen))
