"""Whether this process, a worker of a Dask cluster, may do a part of a run."""

import sys

import httpx

from imagetwins.config.folders import allowed_roots
from imagetwins.errors import ClusterError
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.store.provenance import find_incompatibility
from imagetwins.store.runs import Run

REACH_SECONDS = 5
"""How long a worker waits for Prefect's server to answer."""


def find_worker_problem(run: Run, server: str, worker: str = "this worker") -> Reason | None:
    """Return why this process can do no part of `run`, or cannot report to the API `server`; None if it can."""
    return _try_server(server, worker) or find_incompatibility(run, allowed_roots(), worker)


def _try_server(server: str, worker: str) -> Reason | None:
    try:
        httpx.get(f"{server}/health", timeout=REACH_SECONDS)
    except httpx.HTTPError as error:
        return Reason.of(ReasonCode.SERVER_NOT_REACHED, worker=worker, server=server, error=str(error))
    return None


def name_worker(address: str) -> str:
    """Return what messages call the Dask worker at `address`."""
    return f"the Dask worker at {address}"


def check_worker(run: Run) -> None:
    """Refuse to do a batch of `run` on a worker that would do it otherwise than the run's own machine.

    Each batch asks, because workers may join at any time; in a process that is no worker this costs nothing.

    Raises:
        ClusterError: naming the worker, and what must be changed there.
    """
    # Not imported here: a process that is no worker need not have Dask.
    distributed = sys.modules.get("distributed")
    try:
        address = distributed.get_worker().address if distributed else None
    except ValueError:
        address = None
    if address and (problem := find_incompatibility(run, allowed_roots(), name_worker(address))):
        raise ClusterError(str(problem))
