"""What the deployment of a flow run says, beside the run's own parameters."""

from typing import Any

from prefect.client.orchestration import get_client

from imagetwins.config.parameters import Options
from imagetwins.runtime.flow_context import current_flow_run


def merge_options(given: Options | None) -> dict[str, Any]:
    """Return the options `given`, and where they say nothing those of the flow run's deployment, by their names.

    Prefect itself replaces all of a deployment's options as soon as a schedule or a form gives one, and so would drop
    the limit of how much may move in a night.
    """
    chosen = {} if given is None else {name: getattr(given, name) for name in given.model_fields_set}
    return _deployment_options() | chosen


def _deployment_options() -> dict[str, Any]:
    """Return the options of the deployment that the flow run is of; none if it is of none."""
    deployment = current_flow_run().deployment_id
    if deployment is None:
        return {}
    with get_client(sync_client=True) as client:
        return client.read_deployment(deployment).parameters.get("options") or {}
