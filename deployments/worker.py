"""The worker of `imagetwins serve`: it takes up a run as soon as somebody asks for it, and starts it as one process.

Prefect's own worker asks the server for runs every few seconds. Then it starts a process that copies the worker's current folder, with
all that lies in it, to a temporary one, which becomes a second process that runs the flow from there. Flows of an installed package
need neither the copy nor the first process.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Any

from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.events.schemas.events import ResourceSpecification
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

PAUSE_SECONDS = 0.3
"""Between two questions for runs: a schedule makes a hundred at once."""

RETRY_SECONDS = 10
"""Between two tries to hear of runs; meanwhile Prefect's worker asks as often as ever."""


class OneProcess(ProcessJobConfiguration):
    """What is started for a run: unless a command is configured, this installation's `deployments.engine`."""

    def prepare_for_flow_run(
        self, flow_run: FlowRun, deployment: DeploymentResponse | None = None, *more: Any, **options: Any
    ) -> None:
        """Choose the command; all else is as Prefect prepares it."""
        if self.command is None and deployment and deployment.entrypoint:
            self.command = command_to_string([sys.executable, "-m", "deployments.engine", deployment.entrypoint])
        super().prepare_for_flow_run(flow_run, deployment, *more, **options)


async def work(pool: str) -> None:
    """Run what is asked for in the work pool `pool`, until cancelled; runs at work are asked to stop, and leave whole files."""
    worker = ProcessWorker(work_pool_name=pool)
    worker.job_configuration = OneProcess
    asked = asyncio.Event()
    prompt = [asyncio.ensure_future(task) for task in (_listen(asked), _answer(worker, asked))]
    try:
        await worker.start(printer=lambda _: None)
    finally:
        for task in prompt:
            task.cancel()


async def _answer(worker: ProcessWorker, asked: asyncio.Event) -> None:
    """Let `worker` ask the server for runs whenever `asked` is set."""
    while True:
        await asked.wait()
        asked.clear()
        # What fails here is tried again as often as Prefect's worker asks.
        with suppress(Exception):
            await worker.get_and_submit_flow_runs()
        await asyncio.sleep(PAUSE_SECONDS)


async def _listen(asked: asyncio.Event) -> None:
    """Set `asked` whenever the server says that a run is to begin, or to go on: asked for, tried again, or approved."""
    to_begin = EventResourceFilter(labels=ResourceSpecification({"prefect.state-type": StateType.SCHEDULED.value}))
    runs = EventFilter(event=EventNameFilter(prefix=["prefect.flow-run."]), resource=to_begin)
    while True:
        with suppress(Exception):
            async with get_events_subscriber(filter=runs) as events:
                async for _ in events:
                    asked.set()
        await asyncio.sleep(RETRY_SECONDS)
