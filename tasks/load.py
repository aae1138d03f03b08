"""Stage 3: load the pictures that the cache does not know, resize them, and prepare them for the comparison.

Mapped over batches of files.
"""

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import READING
from imagetwins.runtime.worker import check_worker
from imagetwins.stages import load
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run


@task(name="load-images", task_run_name="load-images-{start}-{stop}", **READING)
def load_images(run: Run, parameters: Parameters, start: int, stop: int) -> dict[str, int]:
    """Load the images `start` to `stop` into the rows given to them; return how many there are, and how many are not compared."""
    check_worker(run)
    return load.load_images(run, parameters, start, stop, progress_of(Stage.LOAD, part=start))
