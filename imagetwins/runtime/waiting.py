"""What became of runs that wait for approval. A suspended run has no process, so what ends it is looked up afterwards."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import httpx

from imagetwins.runtime.server import LOCAL_SERVER
from imagetwins.store.runs import list_runs


def settle_waiting(store: Path) -> None:
    """Write into each waiting run of `store` that was cancelled, or that nobody answered in time, that it was.

    Prefect's server is asked; where none answers, the time that has passed tells.
    """
    for run in list_runs(store):
        record = run.read_record()
        if record["status"] == "waiting" and (ending := _find_ending(record, _read_state(record["flow_run_id"]))):
            status, error = ending
            run.update_record(status=status, error=f"{error}; nothing was moved")


def _find_ending(record: dict[str, Any], state: dict[str, Any] | None) -> tuple[str, str] | None:
    """Return the status and the error of a run that waits no longer; `state` is Prefect's, None if that is unknown."""
    until = record.get("waits_until")
    is_late = until is not None and dt.datetime.fromisoformat(until) < dt.datetime.now(dt.UTC)
    kind = state["type"] if state else None
    if kind in {"CANCELLED", "CANCELLING"}:
        return "cancelled", f"cancelled while it waited for approval, at {state['timestamp'][:19]}"
    if is_late and kind in {"FAILED", None}:
        return "expired", f"not answered by {until}"
    if kind in {"FAILED", "CRASHED"}:
        return "failed", str(state["message"])
    return None


def _read_state(flow_run: str) -> dict[str, Any] | None:
    server = os.environ.get("PREFECT_API_URL", f"{LOCAL_SERVER}/api")
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    try:
        answer = httpx.get(f"{server}/flow_runs/{flow_run}", auth=(user, password) if user else None, timeout=2)
    except httpx.HTTPError:
        return None
    state: dict[str, Any] | None = answer.json()["state"] if answer.is_success else None
    return state
