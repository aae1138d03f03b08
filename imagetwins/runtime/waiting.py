"""How runs that wait for approval ended. A suspended run has no process, so what ended it is looked up afterwards."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import httpx

from imagetwins import settings
from imagetwins.runtime.server import guess_api
from imagetwins.storage import Location
from imagetwins.store.record import Ending, RunRecord, RunStatus
from imagetwins.store.runs import Run, list_runs

ASK_SECONDS = 2
"""How long Prefect's server is waited for."""


def find_endings(store: Location) -> dict[str, Ending]:
    """Return, by run id, what ended runs that their records say are waiting: cancelled, or not answered in time.

    Prefect's server is asked; where none answers, a run whose time is up has expired.
    """
    return {run.run_id: ending for run, ending in _iter_endings(store)}


def record_endings(store: Location) -> None:
    """Write what `find_endings` finds into the records of the runs."""
    for run, ending in _iter_endings(store):
        with run.editing_record() as record:
            record.status, record.error = ending


def waits_for_answer(run: Run) -> bool:
    """Whether `run` waits for approval, as far as its server tells; what ended it meanwhile is written into its record."""
    if run.read_record().status is not RunStatus.WAITING:
        return False
    record_endings(run.store)
    return run.read_record().status is RunStatus.WAITING


def _iter_endings(store: Location) -> Iterator[tuple[Run, Ending]]:
    for run in list_runs(store):
        record = run.read_record()
        if record.status is RunStatus.WAITING and (ending := _find_ending(record, _read_state(record))):
            yield run, ending


def _find_ending(record: RunRecord, state: dict[str, Any] | None) -> Ending | None:
    """Return what ended a run that waits no longer; `state` is Prefect's, None if that is unknown."""
    until = record.waits_until
    is_late = until is not None and until < dt.datetime.now(dt.UTC)
    kind = state["type"] if state else None
    if state and kind in {"CANCELLED", "CANCELLING"}:
        return _ending(RunStatus.CANCELLED, f"cancelled while it waited for approval, at {state['timestamp'][:19]}")
    if until and is_late and kind in {"FAILED", None}:
        return _ending(RunStatus.EXPIRED, f"not answered by {until.isoformat(timespec='seconds')}")
    if state and kind in {"FAILED", "CRASHED"}:
        return _ending(RunStatus.FAILED, str(state["message"]))
    return None


def _ending(status: RunStatus, what: str) -> Ending:
    return Ending(status, f"{what}; nothing was moved")


def _read_state(record: RunRecord) -> dict[str, Any] | None:
    """Return the state of a run's flow run as Prefect's API gives it; None if no server knows it."""
    try:
        answer = httpx.get(
            f"{guess_api()}/flow_runs/{record.flow_run_id}", auth=settings.api_credentials(), timeout=ASK_SECONDS
        )
    except httpx.HTTPError:
        return None
    state: dict[str, Any] | None = answer.json()["state"] if answer.is_success else None
    return state
