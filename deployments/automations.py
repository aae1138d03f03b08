"""Automations of Prefect: a run without heartbeats is marked as crashed, and a person is notified of what needs one."""

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
from tasks.report import REVIEW_EVENT

SILENCE_SECONDS = 90
"""Three heartbeats of 30 s: after a crash of the whole machine a run would say "Running", and hold its slot, for ever."""

OURS: dict[str, str | list[str]] = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.imagetwins"}

WEBHOOK_PAYLOAD = """\
{"text": {{ (flow_run.name ~ ': ' ~ (event.payload.said or flow_run.state.name ~ ' ' ~ (flow_run.state.message or ''))
 ~ ' ' ~ flow_run | ui_url) | tojson }}}"""
"""A JSON object with one text, which Slack, Mattermost and the like show as a message."""


def register_automations() -> None:
    """Create or update the automations; the one that notifies only where IMAGETWINS_WEBHOOK is a URL to call."""
    for automation in (crash_automation(), *_webhook_automations()):
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


def _webhook_automations() -> Iterator[Automation]:
    if url := settings.webhook_url():
        saved = Webhook(url=url, allow_private_urls=True).save("imagetwins", overwrite=True)
        yield webhook_automation(cast("UUID", saved))


def webhook_automation(webhook: UUID) -> Automation:
    """Return the automation that calls `webhook` when a run of ours failed, waits for approval or has doubtful matches."""
    return Automation(
        name="imagetwins: a run needs a person",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=OURS,
            expect={
                "prefect.flow-run.Failed",
                "prefect.flow-run.Crashed",
                "prefect.flow-run.Suspended",
                REVIEW_EVENT,
            },
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[CallWebhook(block_document_id=webhook, payload=WEBHOOK_PAYLOAD)],
    )
