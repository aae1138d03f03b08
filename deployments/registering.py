"""Register the deployments of prefect.yaml from Python: the same definitions, with the folders of a command line."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from pydantic import ValidationError

from imagetwins.config.parameters import nest_options
from imagetwins.errors import ParameterError
from imagetwins.storage import Location

DEFINITIONS = Path(__file__).with_name("prefect.yaml")
POOL = "imagetwins"
MAIN = "flows.deduplicate:deduplicate"
NIGHTLY = "nightly"


def plan_schedules(folders: Sequence[Location], cron: str, timezone: str) -> list[DeploymentScheduleCreate]:
    """Return a schedule for each folder.

    Raises:
        ParameterError: `cron` or `timezone` is none.
    """
    try:
        schedule = CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        raise ParameterError(
            f"--cron {cron!r} --timezone {timezone!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}. "
            "For every night at 3 in Berlin: --cron '0 3 * * *' --timezone Europe/Berlin"
        ) from None
    return [
        DeploymentScheduleCreate(schedule=schedule, slug=_slug(folder), parameters={"folder": str(folder)})
        for folder in folders
    ]


def _slug(folder: Location) -> str:
    """Return a name for the schedule of `folder`: readable, and different for different folders."""
    readable = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    return f"{readable}-{hashlib.sha256(str(folder).encode(errors='surrogateescape')).hexdigest()[:6]}"


def register(client: SyncPrefectClient, schedules: Sequence[DeploymentScheduleCreate]) -> None:
    """Create or update the work pool and the deployments; without `schedules`, those on the server stay as they are."""
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    for deployment in iter_deployments():
        # Prefect types it for asynchronous callers, too.
        identifier = cast("UUID", deployment.apply())
        if deployment.name == NIGHTLY and schedules:
            for old in client.read_deployment_schedules(identifier):
                client.delete_deployment_schedule(identifier, old.id)
            client.create_deployment_schedules(identifier, list(schedules))
        if deployment.entrypoint == MAIN:
            _nest_schedules(client, identifier)


def _nest_schedules(client: SyncPrefectClient, deployment: UUID) -> None:
    """Give schedules of before there were `options`, with all parameters side by side, the form that the flow takes now."""
    for schedule in client.read_deployment_schedules(deployment):
        nested = nest_options(schedule.parameters)
        if nested.get("options") != schedule.parameters.get("options"):
            client.update_deployment_schedule(deployment, schedule.id, parameters=nested)


def iter_deployments() -> Iterator[RunnerDeployment]:
    """Yield the deployments of prefect.yaml without folders and schedules: those are the machine's."""
    for entry in yaml.safe_load(DEFINITIONS.read_text(encoding="utf-8"))["deployments"]:
        own: dict[str, Any] = {name: entry[name] for name in ("description", "tags")}
        own["parameters"] = {name: value for name, value in entry.get("parameters", {}).items() if name != "folder"}
        if limit := entry.get("concurrency_limit"):
            own["concurrency_limit"] = ConcurrencyLimitConfig(**limit)
        deployment = RunnerDeployment.from_entrypoint(entry["entrypoint"], entry["name"], work_pool_name=POOL, **own)
        # Else it is the current folder, which a worker of Prefect's copies, with all that lies in it, for every run.
        deployment._path = None  # noqa: SLF001 - there is no other way to say so
        # An empty list that counts as given would delete the schedules that someone added in the UI.
        deployment.model_fields_set.discard("schedules")
        yield deployment
