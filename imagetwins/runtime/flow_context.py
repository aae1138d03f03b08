"""The flow run that this code is called in."""

from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext


def current_context() -> FlowRunContext:
    """Return Prefect's context of the flow run.

    Raises:
        RuntimeError: there is none: this is not called in a flow.
    """
    context = FlowRunContext.get()
    if context is None:
        raise RuntimeError("not in a flow run")
    return context


def current_flow_run() -> FlowRun:
    """Return the flow run.

    Raises:
        RuntimeError: there is none: this is not called in a flow.
    """
    flow_run = current_context().flow_run
    if flow_run is None:
        raise RuntimeError("not in a flow run")
    return flow_run
