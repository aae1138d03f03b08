"""Act on a past run's scores at another threshold, without computing any again."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from imagetwins.config.folders import resolve_store
from imagetwins.config.parameters import Score, check_parameters
from imagetwins.runtime.run_context import open_run
from imagetwins.settings import count_cores
from imagetwins.store.record import RunKind, Stage
from imagetwins.store.runs import find_run
from tasks.decide import decide_again
from tasks.move import move_duplicates
from tasks.report import publish_run


def name_run() -> str:
    """Name a flow run by the run whose scores it acts on, and the threshold."""
    given = flow_run.parameters
    return f"{'look at' if given['dry_run'] else 'apply'} {given['run_id']} at {given['threshold']:g}"


@flow(name="apply-run", flow_run_name=name_run, persist_result=False)
def apply(run_id: str, threshold: Score, dry_run: bool = False, store: str | None = None) -> dict[str, Any]:
    """Move the duplicates that a past run's scores give at another threshold.

    A file takes part only if it is still what it was in that run: its size, its time and its content. The moves have
    a run id, a journal and tables of their own.

    Args:
        run_id: The run whose scores count, or the beginning of its id, or "latest".
        threshold: The threshold to apply, not below that run's audit floor.
        dry_run: Decide and report, but move nothing.
        store: Folder of the tables and journals. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store).

    Returns:
        The new run's id, its counts, and the seconds each stage took.

    Raises:
        StoreError: the store has no such run, or the threshold is below its floor.
        NothingMovedError: nothing moved of what should have; all else is done.
    """
    past = find_run(resolve_store(store), run_id)
    before = past.read_record().parameters
    changes = {"threshold": threshold, "audit_floor": before.floor, "dry_run": dry_run, "store": store}
    parameters = check_parameters(before.model_dump() | changes)
    with open_run(RunKind.APPLY, parameters) as context:
        context.take_scores_of(past)
        with context.stage(Stage.DECIDE):
            context.count(decide_again(context.run, past, parameters, count_cores()))
        with context.stage(Stage.MOVE):
            if not dry_run:
                context.count_moves(move_duplicates(context.run, parameters))
        with context.stage(Stage.REPORT):
            publish_run(context.run)
    return context.answer()
