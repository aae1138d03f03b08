"""The imperative shell, one file a stage: read the stage's input, call the core, write the table, return counts.

What a stage hands on are places and counts, never arrays: Prefect would hash and store them. A stage whose table is
already in the store has been done by an earlier try of the same run, and is not done again.
"""

import os
import sys
from typing import Any

import httpx
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from imagetwins.config.roots import parse_roots
from imagetwins.errors import ClusterError
from imagetwins.store.provenance import find_objection
from imagetwins.store.runs import Run

# Completion is a file in the store, so Prefect has nothing to remember.
STAGE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def _is_worth_a_retry(_task: Any, _run: Any, state: State) -> bool:
    return not isinstance(state.data, ClusterError)


READING: dict[str, Any] = STAGE | {
    "retries": 2,
    "retry_delay_seconds": [1, 10],
    "retry_condition_fn": _is_worth_a_retry,
}
"""Options of a stage that only reads the user's files: a network folder may be away for a moment."""

MAX_TABLE_ROWS = 1000
"""Rows of a table artifact: Prefect's first UI does not survive much longer tables."""

REACH_SECONDS = 5
"""How long a worker of a cluster waits for Prefect's server to answer."""


def examine_worker(run: Run, server: str) -> str:
    """Return why this process, a worker of a cluster, can do no part of `run`, nor tell `server` of it; "" if it can."""
    return _reach(server) or find_objection(run, parse_roots(os.environ.get("IMAGETWINS_ROOTS", "")))


def _reach(server: str) -> str:
    try:
        httpx.get(f"{server}/health", timeout=REACH_SECONDS)
    except httpx.HTTPError as error:
        return (
            f"does not reach Prefect's server at {server} ({error}). Start the server with `imagetwins serve --host "
            "ADDRESS`, and set PREFECT_API_URL to http://ADDRESS:4200/api where the run is started."
        )
    return ""


def check_worker(run: Run) -> None:
    """Refuse to do a batch of `run` on a worker of a cluster that would do it otherwise than the run's own machine.

    Each batch asks, because workers may join at any time; elsewhere than on such a worker the answer is at hand.

    Raises:
        ClusterError: naming the worker, and what must be changed there.
    """
    # Not imported here: who has no worker need not have Dask.
    distributed = sys.modules.get("distributed")
    try:
        address = distributed.get_worker().address if distributed else None
    except ValueError:
        address = None
    if address and (objection := find_objection(run, parse_roots(os.environ.get("IMAGETWINS_ROOTS", "")))):
        raise ClusterError(f"the Dask worker at {address} {objection}")
