"""Automations of Prefect: a run without heartbeats is marked as crashed, a crashed one tried once more, and a person told."""

import datetime as dt
from collections.abc import Iterator
from typing import cast
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from imagetwins import settings
from tasks.report import DIGEST_EVENT

SILENCE_SECONDS = 90
"""Three heartbeats of 30 s: after a crash of the whole machine a run would say "Running", and hold its slot, for ever."""

CRASHED = "prefect.flow-run.Crashed"

PAUSE_SECONDS = 10
"""Before a crashed run begins again, and the least that Prefect allows: a worker reports a process that died twice, half a second
apart, and the second report would be of a run that is at work again."""

OURS: dict[str, str | list[str]] = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.imagetwins"}

WEBHOOK_PAYLOAD = """\
{"text": {{ (flow_run.name ~ ': ' ~ (event.payload.said or flow_run.state.name ~ ' ' ~ (flow_run.state.message or ''))
 ~ '\nThe run: ' ~ flow_run | ui_url) | tojson }}}"""
"""A JSON object with one text, which Slack, Mattermost and the like show as a message."""


def register_automations() -> None:
    """Create or update the automations; those that notify only where IMAGETWINS_WEBHOOK is a URL to call."""
    for automation in (crash_automation(), retry_automation(), *_webhook_automations()):
        try:
            # Prefect types it, and `save` below, for asynchronous callers, too.
            known = cast("Automation", Automation.read(name=automation.name))
        except ValueError:
            automation.create()
        else:
            automation.id = known.id
            automation.update()


def crash_automation() -> Automation:
    """Return the automation that marks a run of ours as crashed when its heartbeats have stopped."""
    return Automation(
        name="imagetwins: a run that went silent has crashed",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=OURS,
            after={"prefect.flow-run.heartbeat"},
            # Also a state: who waits for a person sends no heartbeats.
            expect={"prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=dt.timedelta(seconds=SILENCE_SECONDS),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Nothing was heard of this run: it was killed.")],
    )


def retry_automation() -> Automation:
    """Return the automation that has a run of ours whose process died begin once more, and not a second time.

    Prefect's own `retries` know nothing of such a run. It is the same run, which finds what was finished, and its journal
    what was moved. The server counts how often a run has begun: one that crashes again, or after an approval, stays.
    """
    return Automation(
        name="imagetwins: a run that crashed is tried once more",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*", "prefect.run-count": "1"},
            match_related=OURS,
            after={CRASHED},
            # Unless somebody was faster.
            expect={"prefect.flow-run.AwaitingRetry", "prefect.flow-run.Scheduled"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=dt.timedelta(seconds=PAUSE_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                message="The run's process died. It is tried once more.",
            )
        ],
    )


def _webhook_automations() -> Iterator[Automation]:
    if url := settings.webhook_url():
        saved = cast("UUID", Webhook(url=url, allow_private_urls=True).save("imagetwins", overwrite=True))
        yield needs_automation(saved)
        yield lost_automation(saved)


def needs_automation(webhook: UUID) -> Automation:
    """Return the automation that calls `webhook` when a run of ours failed, waits for approval or has a digest to tell."""
    expected = {"prefect.flow-run.Failed", "prefect.flow-run.Suspended", DIGEST_EVENT}
    return _notify("imagetwins: a run needs a person", webhook, expected, {})


def lost_automation(webhook: UUID) -> Automation:
    """Return the automation that calls `webhook` when a run of ours crashed that `retry_automation` does not try once more."""
    return _notify("imagetwins: a run has crashed for good", webhook, {CRASHED}, {"prefect.run-count": "!1"})


def _notify(name: str, webhook: UUID, expected: set[str], match: dict[str, str | list[str]]) -> Automation:
    return Automation(
        name=name,
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*", **match},
            match_related=OURS,
            expect=expected,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=webhook, payload=WEBHOOK_PAYLOAD)],
    )
