"""The worker of `imagetwins serve`: what makes it take up a run, and what it starts."""

import asyncio
import sys

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_WORKER_QUERY_SECONDS, temporary_settings
from prefect.states import Scheduled

from deployments.registering import iter_deployments
from deployments.worker import OneProcess, work

pytestmark = pytest.mark.usefixtures("prefect_server")

POOL = "prompt"
SECONDS = 60


@pytest.fixture
def deployment(prefect_server):  # noqa: ARG001 - it must run
    """A deployment that no other worker serves."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    (found,) = (one for one in iter_deployments() if one.name == "on-demand")
    found.name, found.work_pool_name = POOL, POOL
    return found.apply()


async def wait_for(true):
    async with asyncio.timeout(SECONDS):
        while not await true():  # noqa: ASYNC110 - a server is asked
            await asyncio.sleep(0.1)


async def ask_for_a_run(deployment, folder):
    """Start a worker that asks for runs once in an hour; return the run that is asked for afterwards, when it is over."""
    working = asyncio.ensure_future(work(POOL))
    async with get_client() as client:

        async def has_asked():
            return [queue for queue in await client.read_work_queues(work_pool_name=POOL) if queue.last_polled]

        await wait_for(has_asked)
        run = await client.create_flow_run_from_deployment(
            deployment, parameters={"folder": str(folder)}, state=Scheduled()
        )

        async def is_over():
            return (await client.read_flow_run(run.id)).state.is_final()

        await wait_for(is_over)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return await client.read_flow_run(run.id)


def test_a_run_is_taken_up_when_it_is_asked_for(deployment, tmp_path):
    with temporary_settings({PREFECT_WORKER_QUERY_SECONDS: 3600}):
        run = asyncio.run(ask_for_a_run(deployment, tmp_path / "missing"))
    assert run.state.name == "Failed"
    assert "does not exist" in run.state.message


def test_a_command_that_is_configured_is_used():
    configured = OneProcess(command="nice python -m prefect.engine")
    own = OneProcess()
    with get_client(sync_client=True) as client:
        (deployment,) = (one for one in client.read_deployments() if one.name == "on-demand")
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"folder": "/"}, state=Scheduled())
        client.delete_flow_run(run.id)
    for job in (configured, own):
        job.prepare_for_flow_run(run, deployment)
    assert configured.command == "nice python -m prefect.engine"
    assert own.command.split() == [sys.executable, "-m", "deployments.engine", "flows.deduplicate:deduplicate"]
