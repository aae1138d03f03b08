"""Between stages 2 and 3: say what the run will cost before its work begins."""

from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.matching.estimates import Estimate, estimate_run
from imagetwins.matching.reuse import Past
from imagetwins.store.runs import Run
from tasks import STAGE


@task(name="estimate-run", **STAGE)
def estimate(run: Run, parameters: Parameters, past: Past, limit: int, workers: int) -> Estimate:
    """Return how much there is to do, and how long it will take."""
    return estimate_run(run, parameters, past, limit, workers)
