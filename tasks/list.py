"""Stage 1: list the files that may be pictures."""

from collections import Counter

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.runtime.collector import paused_collector
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import READING
from imagetwins.stages import list as listing
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run


@task(name="list-files", **READING)
def list_files(run: Run, parameters: Parameters) -> Counter[str]:
    """List the candidate files of the folder and the references; return what was left out, see `RunRecord.left_out`."""
    with paused_collector():
        return listing.list_files(run, parameters, progress_of(Stage.LIST, "file"))
