"""Ask a person before anything moves: in Prefect's UI where the run has a deployment, else through the observer."""

import datetime as dt
import time
from collections.abc import Callable
from itertools import count
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import FlowPauseTimeout, NotPausedError, ObjectNotFound
from prefect.flow_runs import resume_flow_run, suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from imagetwins.config.parameters import Parameters
from imagetwins.errors import ImagetwinsError, ParameterError, StoreError
from imagetwins.matching.approval import Answer, ApprovalRequest, find_apart, find_left_alone
from imagetwins.matching.choices import read_choices
from imagetwins.runtime.flow_context import current_flow_run
from imagetwins.runtime.observer import observer
from imagetwins.runtime.run_context import RunContext
from imagetwins.store.record import ApprovalRecord, RunStatus, now
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from imagetwins.text import pluralize

FORM_SECONDS = 30
"""How long an answer waits for the form: a run says that it waits before Prefect has suspended it."""

Publish = Callable[[Run], UUID | None]
"""Publishes what a run found so far; returns the id of the gallery artifact, None without a server."""


class ApprovalForm(RunInput):
    """The form with which a person resumes the run."""

    approve: bool = Field(default=False, description="Move the duplicates. Otherwise nothing moves.")
    leave_alone: list[str] = Field(
        default=[],
        description="Files to leave where they are: paths as the gallery shows them, whole or in the folder.",
    )
    not_duplicates: list[str] = Field(
        default=[],
        description="Files that are no duplicates of what they match, doubtful ones too: they stay, and no later run asks again.",
    )
    comment: str = Field(default="", description="Kept with the run.", max_length=1000)
    choices: str = Field(
        default="",
        description="Instead of naming files: all of choices.json, which the report's page saves, pasted here. Exactly what is chosen "
        "in it moves.",
    )

    def to_answer(self, run: Run) -> Answer:
        """Return what was filled in for `run`.

        Raises:
            ParameterError: a name means no file, or the choices do not fit the run or the rest of the answer; with the remedy.
        """
        choices = read_choices(run, self.choices, "`choices`") if self.choices.strip() else None
        answer = Answer(self.approve, tuple(self.leave_alone), self.comment, tuple(self.not_duplicates), choices)
        _check_answer(run, answer)
        return answer


def _check_answer(run: Run, answer: Answer) -> None:
    if answer.choices and not answer.approve:
        raise ParameterError(
            "there are `choices`, but `approve` is off, and nothing would move: switch it on, or leave them out"
        )
    if answer.choices and (answer.leave_alone or answer.not_duplicates):
        raise ParameterError("`choices` say all of it: name no files besides, or leave the choices out")
    layout, decisions = run.read_record().parameters.layout, read_table(run.decisions, DECISIONS)
    if unknown := find_left_alone(decisions, answer, layout)[1]:
        raise ParameterError(f"none of the files to move: {', '.join(map(repr, unknown))}")
    if unknown := find_apart(decisions, answer, layout)[1]:
        raise ParameterError(f"none of the files that match another: {', '.join(map(repr, unknown))}")


def request_approval(context: RunContext, parameters: Parameters, request: ApprovalRequest, publish: Publish) -> Answer:
    """Return what a person answers to `request`, and note it in the run's record.

    Raises:
        Pause: the run is suspended. Resumed, it starts again, comes here again, and is answered.
    """
    if current_flow_run().deployment_id:
        answer = _suspend(context, parameters, request, publish)
    else:
        answer = observer.get().approve(context.run, request)
    context.record.approval = ApprovalRecord(
        approve=answer.approve,
        leave_alone=list(answer.leave_alone),
        comment=answer.comment,
        answered=now(),
        not_duplicates=list(answer.not_duplicates),
        by_choices=answer.choices is not None,
    )
    context.write()
    return answer


def _suspend(context: RunContext, parameters: Parameters, request: ApprovalRequest, publish: Publish) -> Answer:
    """Return what a person answered in the UI; names that mean no file are asked about again."""
    problem, gallery = "", ""
    for attempt in count(1):
        key = f"approval-{attempt}"
        if key not in _answered_keys():
            until = now() + dt.timedelta(hours=parameters.approval_hours)
            context.record.status, context.record.waits_until = RunStatus.WAITING, until
            context.write()
            gallery = f"/v2/artifacts/artifact/{publish(context.run)}"
        form = ApprovalForm.with_initial_data(description=problem + _describe(context, request, gallery))
        given = suspend_flow_run(form, timeout=round(3600 * parameters.approval_hours), key=key)
        # Prefect checks the form, but any client can answer in its place.
        try:
            return ApprovalForm.model_validate(given.model_dump()).to_answer(context.run)
        except ParameterError as error:
            said = str(error).rstrip(".")
            problem = f"**{said[:1].upper()}{said[1:]}.** Please answer again.\n\n"
    raise AssertionError("count() does not end")


def _answered_keys() -> set[str]:
    """Return the keys of the forms of this run that have been shown already."""
    policy = current_flow_run().empirical_policy
    return set(policy.pause_keys or ())


def _describe(context: RunContext, request: ApprovalRequest, gallery: str) -> str:
    doubtful = f" Doubtful matches, which stay where they are: {request.doubtful}." if request.doubtful else ""
    layout = context.record.parameters.layout
    target = "the sub-folder Duplicates of each" if layout.into is None else f"`{layout.into}`"
    to = "its sub-folder Duplicates" if len(layout.folders) == 1 and layout.into is None else target
    return (
        f"To move: {pluralize(request.moves, 'file')} of `{layout.path}`, to {to}."
        f"{doubtful} Look at the [gallery]({gallery}), or at the report in `{context.run.report}`."
    )


def send_answer(run: Run, form: ApprovalForm) -> None:
    """Answer the request that `run` waits with; it goes on as soon as a worker takes it up.

    Raises:
        StoreError: the run waits for nothing.
        ParameterError: the answer does not fit the run, see `ApprovalForm.to_answer`.
        ImagetwinsError: the server does not know the run, or no longer waits.
    """
    record = run.read_record()
    if record.status is not RunStatus.WAITING:
        why = f" ({record.error})" if record.error else ""
        raise StoreError(f"run {run.run_id} waits for no answer: it is {record.status.value}{why}.")
    try:
        form.to_answer(run)
    except ParameterError as error:
        raise ParameterError(
            f"{str(error).rstrip('.')}. `imagetwins audit {run.run_id}` lists the run's files."
        ) from None
    flow_run = UUID(record.flow_run_id)
    try:
        _wait_for_form(flow_run)
        resume_flow_run(flow_run, run_input=form.model_dump())
    except (FlowPauseTimeout, NotPausedError):
        raise ImagetwinsError(
            f"run {run.run_id} no longer waits: it was answered, cancelled, or its time is up."
        ) from None
    except ObjectNotFound:
        raise ImagetwinsError(
            f"this Prefect server does not know run {run.run_id}. Name the one that it runs on: PREFECT_API_URL."
        ) from None
    except RuntimeError as refusal:
        raise ImagetwinsError(f"Prefect did not take the answer: {refusal}") from None


def _wait_for_form(flow_run: UUID) -> None:
    """Return once `flow_run` can be answered, or never will be.

    Prefect suspends a run first and saves the form afterwards; an answer between the two would be refused.
    """
    deadline = time.monotonic() + FORM_SECONDS
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline and _is_about_to_ask(client, flow_run):
            time.sleep(0.2)


def _is_about_to_ask(client: SyncPrefectClient, flow_run: UUID) -> bool:
    state = client.read_flow_run(flow_run).state
    if state is None or not state.is_paused():
        return state is not None and state.is_running()
    form = (state.state_details.run_input_keyset or {})["schema"]
    return not client.filter_flow_run_input(flow_run, key_prefix=form, limit=1, exclude_keys=set())
