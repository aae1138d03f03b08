"""How the desk's server has choices applied by others than its own process: by a run that waits for them, or by a worker."""

import time
from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from imagetwins.errors import ImagetwinsError, ServerError
from imagetwins.matching.choices import Choices
from imagetwins.reporting.applied import summarise_applied
from imagetwins.runtime.approval import ApprovalForm, send_answer
from imagetwins.runtime.waiting import waits_for_answer
from imagetwins.store.memory import Source
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run, list_runs

DEPLOYMENT = "apply-choices/apply-choices"

BEGIN_SECONDS = 30.0
"""How long a worker is waited for to take up a run."""

END_SECONDS = 3600.0
"""How long a run is waited for: moving 100,000 files over a network takes some minutes."""

LOOK_SECONDS = 0.25

MAX_PARAMETER_BYTES = 400_000
"""Prefect's server takes parameters of half a megabyte in all. Larger choices a worker reads from the store, where the desk keeps them."""


def answer_waiting(run: Run, choices: Choices) -> dict[str, Any]:
    """Answer the request for approval that `run` waits with, wait for its end, and return what became of the choices.

    Raises:
        ImagetwinsError: it no longer waits, no worker takes it up in time, or it fails.
    """
    send_answer(run, ApprovalForm(approve=True, choices=choices.model_dump_json()))
    return _await(run, choices)


def apply_elsewhere(run: Run, choices: Choices) -> dict[str, Any]:
    """Have `run` itself, if it waits, or a worker apply `choices`, and return what became of them.

    Raises:
        ImagetwinsError: see `answer_waiting` and `apply_by_worker`.
    """
    return answer_waiting(run, choices) if waits_for_answer(run) else apply_by_worker(run, choices)


def apply_by_worker(run: Run, choices: Choices) -> dict[str, Any]:
    """Start a run of the deployment that applies choices, wait for its end, and return what became of them.

    Raises:
        ImagetwinsError: Prefect's server has no such deployment, no worker takes the run up in time, or it fails.
    """
    text = choices.model_dump_json()
    parameters = {
        "run_id": run.run_id,
        "choices": text if len(text.encode()) <= MAX_PARAMETER_BYTES else "",
        "source": Source.DESK.value,
        "store": str(run.store),
    }
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            raise ServerError(
                f"Prefect's server does not know the deployment {DEPLOYMENT}: start `imagetwins serve` anew."
            ) from None
        flow_run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters, state=Scheduled())
        ends = f"-{flow_run.id.hex[:8]}"

        def find_begun() -> Run | None:
            state = client.read_flow_run(flow_run.id).state
            if state and state.is_final() and not state.is_completed():
                raise ImagetwinsError(f"the run that applies the choices has ended: {state.message or state.name}")
            return next((found for found in list_runs(run.store) if found.run_id.endswith(ends)), None)

        begun = _poll(find_begun, BEGIN_SECONDS)
    if begun is None:
        raise ServerError(
            f"no worker has taken up the run that applies the choices within {BEGIN_SECONDS:.0f} s; it begins as soon as one does."
        )
    return _await(begun, choices)


def _await(run: Run, choices: Choices) -> dict[str, Any]:
    """Return what became of `choices` once `run` has ended."""
    if not _poll(lambda: run.read_record().status is not RunStatus.WAITING, BEGIN_SECONDS):
        raise ServerError(
            f"the answer is given, and no worker has taken up run {run.run_id} within {BEGIN_SECONDS:.0f} s: it goes on as soon as one "
            "does (`imagetwins serve`)."
        )
    if not _poll(lambda: not run.read_record().status.is_unfinished, END_SECONDS):
        raise ServerError(
            f"run {run.run_id} still works after {END_SECONDS / 60:.0f} min: see `imagetwins audit {run.run_id}`."
        )
    record = run.read_record()
    if not record.is_whole:
        raise ImagetwinsError(f"run {run.run_id} is {record.status.value}: {record.error or 'see its log in the UI'}")
    return summarise_applied(run, choices)


def _poll(find: Callable[[], Any], seconds: float) -> Any:
    """Return what `find` finds, asked again and again; what it says last if the time is up."""
    deadline = time.monotonic() + seconds
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return found
