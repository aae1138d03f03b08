"""Stage 2: look up what is known already: files in the cache, pairs in an earlier run; and estimate what is left to do."""

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching import reuse
from imagetwins.matching.estimates import Estimate, estimate_run
from imagetwins.matching.reuse import ReusableRun
from imagetwins.runtime.observer import progress_of
from imagetwins.runtime.task_options import STAGE
from imagetwins.stages import lookup
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run


@task(name="lookup-files", **STAGE)
def lookup_files(run: Run, parameters: Parameters, limit: int, workers: int) -> dict[str, int]:
    """Find in the cache, which may take `limit` bytes, what is known of the files; return how many are, and are not."""
    return lookup.lookup_files(run, parameters, limit, workers, progress_of(Stage.LOOKUP, "file"))


@task(name="find-reusable-run", **STAGE)
def find_reusable_run(run: Run, parameters: Parameters) -> ReusableRun:
    """Find the run whose pairs need not be computed again."""
    return reuse.find_reusable_run(run, parameters)


@task(name="estimate-run", **STAGE)
def estimate(run: Run, parameters: Parameters, reusable: ReusableRun, limit: int, workers: int) -> Estimate:
    """Return how much there is to do, and how long it will take."""
    return estimate_run(run, parameters, reusable, limit, workers, progress_of(Stage.LOOKUP, "sample picture"))
