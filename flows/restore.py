"""Undo a run: every file it moved goes back to where it came from, unless something else is there now."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from imagetwins.config.folders import allowed_roots, check_still_there, resolve_store
from imagetwins.config.roots import check_roots
from imagetwins.storage import storage_of
from imagetwins.store.runs import find_run
from tasks.restore import restore_files


def name_run() -> str:
    """Name a flow run by the run that it undoes."""
    return f"restore {flow_run.parameters['run_id']}"


@flow(name="restore-images", flow_run_name=name_run, persist_result=False)
def restore(run_id: str, store: str | None = None) -> dict[str, Any]:
    """Move the files of a run back to where they came from. Nothing is ever overwritten; it may be run again.

    Args:
        run_id: The run to undo, or the beginning of its id, or "latest".
        store: Folder of the tables and journals. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store).

    Returns:
        The run's id, how many files were restored, and those that were not, each with the reason.

    Raises:
        StoreError: the store has no such run, or the run's folder is gone.
        FolderBusyError: another run works on the folder.
    """
    run = find_run(resolve_store(store), run_id)
    folder = run.read_record().parameters.location
    check_roots([folder], allowed_roots())
    check_still_there(folder)
    with storage_of(folder).lock(folder, f"restore of {run.run_id}"):
        return {"run_id": run.run_id} | restore_files(run)
