"""Ask a person before anything moves: in Prefect's UI where the run has a deployment, else in the terminal."""

import datetime as dt
import time
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout, NotPausedError, ObjectNotFound
from prefect.flow_runs import resume_flow_run, suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from imagetwins.config.parameters import Parameters
from imagetwins.errors import ImagetwinsError, ParameterError, StoreError
from imagetwins.matching.approval import Answer, Question
from imagetwins.runtime.observer import ASKING, listener
from imagetwins.runtime.run_context import Record
from imagetwins.store.runs import Run
from imagetwins.text import amount
from tasks.approve import apply_answer, find_unknown, plan_question
from tasks.report import publish_run

FORM_SECONDS = 30
"""How long an answer waits for the question: a run says that it waits before Prefect has suspended it."""

Asker = Callable[[Run, Question], Answer]


def ask_nobody(_run: Run, _question: Question) -> Answer:
    """Answer for a run that was started where nobody can be asked."""
    return Answer(approve=False, comment="nobody was there to ask")


asker: ContextVar[Asker] = ContextVar("asker", default=ask_nobody)
"""Who is asked about a run that has no deployment; the command line sets it."""


class Approval(RunInput):
    """The form with which a person resumes the run."""

    approve: bool = Field(default=False, description="Move the duplicates. Otherwise nothing moves.")
    leave_alone: list[str] = Field(
        default=[],
        description="Files to leave where they are: paths as the gallery shows them, whole or in the folder.",
    )
    comment: str = Field(default="", description="Kept with the run.", max_length=1000)


def seek_approval(record: Record, parameters: Parameters) -> None:
    """Ask, if `parameters` say so, and write the answer into the decisions and `run.json`.

    Raises:
        Pause: the run is suspended. Resumed, it comes here again, and is answered.
    """
    if parameters.approval == "never" and parameters.approve_above is None:
        return
    question = plan_question(record.run, parameters)
    if question is None:
        return
    listener.get()(ASKING, 0, 0)
    if FlowRunContext.get().flow_run.deployment_id:
        answer = _suspend(record, parameters, question)
    else:
        answer = asker.get()(record.run, question)
    record.counts |= apply_answer(record.run, answer, parameters.folder)
    given = {"approve": answer.approve, "leave_alone": list(answer.leave_alone), "comment": answer.comment}
    record.write(approval=given | {"answered": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")})


def _suspend(record: Record, parameters: Parameters, question: Question) -> Answer:
    """Return what a person answered in the UI; names that mean no file are asked about again."""
    problem, gallery = "", ""
    for attempt in count(1):
        key = f"approval-{attempt}"
        if key not in _answered():
            until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=parameters.approval_hours)
            record.write(status="waiting", waits_until=until.isoformat(timespec="seconds"))
            gallery = f"/v2/artifacts/artifact/{publish_run(record.run)}"
        form = Approval.with_initial_data(description=problem + _describe(record, question, gallery))
        given = suspend_flow_run(form, timeout=round(3600 * parameters.approval_hours), key=key)
        # Prefect checks the form, but any client can answer in its place.
        checked = Approval.model_validate(given.model_dump())
        answer = Answer(checked.approve, tuple(checked.leave_alone), checked.comment)
        unknown = find_unknown(record.run, answer, parameters.folder)
        if not unknown:
            return answer
        problem = f"**None of the files to move: {', '.join(map(repr, unknown))}.** Please answer again.\n\n"
    raise AssertionError("count() does not end")


def _answered() -> set[str]:
    """Return the questions of this run that have been asked already."""
    policy = FlowRunContext.get().flow_run.empirical_policy
    return set(policy.pause_keys or ())


def _describe(record: Record, question: Question, gallery: str) -> str:
    doubtful = f" Doubtful matches, which stay where they are: {question.doubtful}." if question.doubtful else ""
    return (
        f"To move: {amount(question.moves, 'file')} of `{record.content['parameters']['folder']}`, to its sub-folder Duplicates."
        f"{doubtful} Look at the [gallery]({gallery}), or at the report in `{record.run.report}`."
    )


def send_answer(run: Run, answer: Approval) -> None:
    """Answer the question that `run` waits for; it goes on as soon as a worker takes it up.

    Raises:
        StoreError: the run waits for nothing.
        ParameterError: a file to leave alone is none of those to move.
        ImagetwinsError: the server does not know the run, or no longer waits.
    """
    record = run.read_record()
    if record["status"] != "waiting":
        why = f" ({record['error']})" if record.get("error") else ""
        raise StoreError(f"run {run.run_id} waits for no answer: it is {record['status']}{why}.")
    unknown = find_unknown.fn(run, Answer(answer.approve, tuple(answer.leave_alone)), record["parameters"]["folder"])
    if unknown:
        raise ParameterError(
            f"none of the files to move: {', '.join(map(repr, unknown))}. `imagetwins audit {run.run_id}` lists them."
        )
    flow_run = UUID(record["flow_run_id"])
    try:
        _wait_for_form(flow_run)
        resume_flow_run(flow_run, run_input=answer.model_dump())
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
    if not state.is_paused():
        return state.is_running()
    form = state.state_details.run_input_keyset["schema"]
    return not client.filter_flow_run_input(flow_run, key_prefix=form, limit=1, exclude_keys=set())
