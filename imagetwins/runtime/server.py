"""Which Prefect server a command uses: one that runs already, else the embedded one. Quiet settings for both."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from imagetwins.settings import LOCAL_SERVER

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # The default of 20 s is not enough for the first start on a slow machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
"""Settings of Prefect that hold unless the user has set others."""


def prepare_environment(*, verbose: bool) -> None:
    """Set the quiet settings. To be called before Prefect is imported, which reads them then."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not verbose:
        # The terminal shows bars, tables and one line of what went wrong; the server still gets every line.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


@contextmanager
def running_server() -> Iterator[str | None]:
    """Use the server that is configured, else one on this machine's usual port; yield its API's address, None if embedded."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - after prepare_environment

    configured = PREFECT_API_URL.value()
    if configured or not server_answers(LOCAL_SERVER):
        yield configured
        return
    with temporary_settings({PREFECT_API_URL: f"{LOCAL_SERVER}/api"}):
        yield f"{LOCAL_SERVER}/api"


def server_answers(server: str) -> bool:
    """Whether a Prefect server is at the address `server`, without `/api`."""
    try:
        return httpx.get(f"{server}/api/health", timeout=1).is_success
    except httpx.HTTPError:
        return False
