"""Undo a run: every file it moved goes back to where it came from, unless something else is there now."""

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from imagetwins.config.folders import allowed_roots, check_still_there, resolve_store
from imagetwins.config.parameters import Remember
from imagetwins.config.roots import check_roots
from imagetwins.moving.holding import hold_others
from imagetwins.moving.undoable import describe_undoable, find_undoable
from imagetwins.store.runs import LATEST
from tasks.restore import restore_files


def name_run() -> str:
    """Name a flow run by the run that it undoes."""
    return f"restore {flow_run.parameters['run_id']}"


@flow(name="restore-images", flow_run_name=name_run, persist_result=False)
def restore(
    run_id: str,
    store: str | None = None,
    files: list[str] = [],  # noqa: B006 - Prefect shows the default in its form; it is never changed.
    remember: Remember = "put back",
) -> dict[str, Any]:
    """Move the files of a run back to where they came from. Nothing is ever overwritten; it may be run again.

    Args:
        run_id: The run to undo, or the beginning of its id, or "latest": the last that moved something that is not back.
        store: Folder of the tables and journals. Default: IMAGETWINS_STORE, else ~/imagetwins-data/store (in a checkout: data/store).
        files: The files to put back, by the names that they had or have now, whole or in the folder; with each goes all
            that belongs to it. Default: all that the run moved.
        remember: put back: later runs ask before they move these pictures again. not duplicates: later runs keep each
            picture and the one that was kept for it apart. nothing: the next run may move them again.

    Returns:
        The run's id, how many files were restored, those that were not, each with the reason, and how many are remembered.

    Raises:
        ParameterError: one of the files is none that the run moved; nothing was restored.
        StoreError: the store has no such run, or "latest" and none to undo, or all of the run's folders are gone.
        FolderBusyError: another run works on one of the folders.
    """
    run = find_undoable(resolve_store(store), run_id)
    if run_id == LATEST:
        get_run_logger().info(describe_undoable(run))
    layout = run.read_record().parameters.layout
    check_roots(layout.places, allowed_roots())
    check_still_there(layout)
    with hold_others(layout.places, [], f"restore of {run.run_id}"):
        return {"run_id": run.run_id} | restore_files(run, files, remember)
