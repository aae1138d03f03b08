"""Prefect's options of tasks, by what the task does.

A stage hands on locations and counts, never arrays: Prefect would hash and store them. A stage whose table is already in the
store was done by an earlier try of the same run, and is not done again.
"""

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from imagetwins.errors import ClusterError

# Completion is a file in the store, so Prefect has nothing to remember.
STAGE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
"""Of a task that is not repeated when it fails: one that moves files, or that fails for a reason that stays."""


def _is_worth_a_retry(_task: Any, _run: Any, state: State) -> bool:
    return not isinstance(state.data, ClusterError)


READING: dict[str, Any] = STAGE | {
    "retries": 2,
    "retry_delay_seconds": [1, 10],
    "retry_condition_fn": _is_worth_a_retry,
}
"""Of a task that only reads the user's files: a network folder may be away for a moment."""
