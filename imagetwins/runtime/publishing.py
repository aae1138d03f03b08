"""What is only shown in Prefect's UI: a run goes on without it when Prefect's server is gone."""

from collections.abc import Callable
from functools import cache
from typing import ParamSpec, TypeVar

import httpx
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL

from imagetwins.errors import ServerError
from imagetwins.runtime.flow_context import current_context
from imagetwins.runtime.observer import observer
from imagetwins.runtime.server import check_server

P = ParamSpec("P")
T = TypeVar("T")


def publish(create: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T | None:
    """Return what `create`, a function of Prefect's that makes or changes an artifact, returns; None without a server.

    Files move and tables are written all the same: nothing that a run decides depends on Prefect's server.
    """
    try:
        # Prefect's client itself would try again for a minute, with each artifact.
        check_server(_address_of_api())
        return create(*arguments, **options)
    except (ServerError, httpx.HTTPError):
        _announce_loss(flow_run.id)
        return None


def _address_of_api() -> str:
    """Return where the API is that the flow run reports to: Prefect's embedded server is named by no setting."""
    return PREFECT_API_URL.value() or str(current_context().client.api_url).rstrip("/")


@cache
def _announce_loss(_flow_run: str | None) -> None:
    """Say once in a flow run that its server is gone."""
    observer.get().announce("Prefect's server does not answer. The run goes on without it, and without its UI.")
