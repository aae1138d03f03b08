"""A past run at another threshold: what would be a duplicate now, from the tables alone."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from imagetwins.config.folders import resolve_store
from imagetwins.config.parameters import Score
from imagetwins.store.runs import find_run
from tasks.rethreshold import publish_threshold


def name_run() -> str:
    """Name a flow run by the run that it looks at, and the threshold."""
    return f"rethreshold {flow_run.parameters['run_id']} at {flow_run.parameters['threshold']:g}"


@flow(name="rethreshold", flow_run_name=name_run, persist_result=False)
def rethreshold(run_id: str, threshold: Score, store: str | None = None) -> dict[str, Any]:
    """Show what a past run would have decided at another threshold. Nothing is computed again, and nothing moves.

    Args:
        run_id: The run to look at, or the beginning of its id, or "latest".
        threshold: The other threshold, not below the run's audit floor.
        store: Folder of the tables and journals. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store).

    Returns:
        The run's id, the counts then and now, and the number of files whose state changes.

    Raises:
        StoreError: the store has no such run, or the threshold is below its floor.
    """
    return publish_threshold(find_run(resolve_store(store), run_id), threshold)
