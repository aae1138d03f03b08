"""What happens by itself: a run that went silent is marked as crashed, and a person is told what needs one."""

import datetime as dt
import os
from collections.abc import Iterator
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from tasks.report import REVIEW_EVENT

SILENCE_SECONDS = 90
"""Three heartbeats of 30 s: after a crash of the whole machine a run would say "Running", and hold its slot, for ever."""

OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.imagetwins"}

WEBHOOK_SETTING = "IMAGETWINS_WEBHOOK"

TELLING = """\
{"text": {{ (flow_run.name ~ ': ' ~ (event.payload.said or flow_run.state.name ~ ' ' ~ (flow_run.state.message or ''))
 ~ ' ' ~ flow_run | ui_url) | tojson }}}"""
"""A JSON object with one text, which Slack, Mattermost and the like show as a message."""


def register_automations() -> None:
    """Create or update the automations; those that tell somebody only where IMAGETWINS_WEBHOOK is a URL to call."""
    for automation in (plan_silence(), *_plan_telling()):
        try:
            known = Automation.read(name=automation.name)
        except ValueError:
            automation.create()
        else:
            automation.id = known.id
            automation.update()


def plan_silence() -> Automation:
    """Return the automation that ends a run of ours from which nothing was heard."""
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


def _plan_telling() -> Iterator[Automation]:
    if url := os.environ.get(WEBHOOK_SETTING):
        saved = Webhook(url=url, allow_private_urls=True).save("imagetwins", overwrite=True)
        yield plan_telling(saved)


def plan_telling(webhook: UUID) -> Automation:
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
        actions=[CallWebhook(block_document_id=webhook, payload=TELLING)],
    )
