"""Which Prefect server a command uses: one that runs already, else the embedded one. Quiet settings for both."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from imagetwins import settings
from imagetwins.errors import ServerError
from imagetwins.runtime.places import check_temporary_directory
from imagetwins.settings import LOCAL_SERVER

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The names by which a machine reaches itself."""

PATIENCE = httpx.Timeout(5, read=30)
"""Seconds: who does not take a call is not there; who takes it may be busy, as SQLite makes Prefect's server at times."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # The default of 20 s is not enough for the first start on a slow machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
"""Settings of Prefect that hold unless the user has set others."""


def prepare_environment(*, verbose: bool) -> None:
    """Set the quiet settings. To be called before Prefect is imported, which reads them then.

    Raises:
        ParameterError: there is no place for temporary files.
    """
    check_temporary_directory()
    # With a server elsewhere it needs no home; where it does, we say so.
    warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if not verbose:
        # The terminal shows bars, tables and one line of what went wrong; the server still gets every line.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        # Of this kind are events that a server which is gone does not take.
        os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")


def bypass_proxy_on_loopback() -> None:
    """Let this process and its children reach this machine's own servers directly, whatever proxy is set for the rest."""
    proxies = settings.proxies()
    direct = [host.strip() for host in proxies.pop("no", "").split(",") if host.strip()]
    # Without a proxy, NO_PROXY would hide those of the system on macOS. A star is all hosts, and only if it is alone.
    if proxies and direct != ["*"]:
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(dict.fromkeys([*direct, *LOOPBACK]))


@contextmanager
def running_server() -> Iterator[str | None]:
    """Use the server that is configured, else one on this machine's usual port; yield its API's address, None if embedded.

    Raises:
        ServerError: nobody answers at the address that is configured.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - after prepare_environment

    configured = PREFECT_API_URL.value()
    if configured:
        check_server(configured)
    if configured or not server_answers(LOCAL_SERVER):
        yield configured
        return
    with temporary_settings({PREFECT_API_URL: f"{LOCAL_SERVER}/api"}):
        yield f"{LOCAL_SERVER}/api"


def server_answers(server: str) -> bool:
    """Whether a Prefect server is at the address `server`, without `/api`."""
    try:
        return httpx.get(f"{server}/api/health", timeout=PATIENCE).is_success
    except httpx.HTTPError:
        return False


def check_server(api: str) -> None:
    """Refuse an API's address, that of PREFECT_API_URL, where no server answers.

    Raises:
        ServerError: naming the address and the remedy.
    """
    try:
        answer = httpx.get(f"{api}/health", timeout=PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        problem = str(error) or type(error).__name__
    else:
        # Prefect Cloud need not have this page; a proxy says with such a status that it reached nobody.
        if not answer.is_server_error:
            return
        problem = f"{answer.status_code} {answer.reason_phrase}"
    raise ServerError(
        f"no Prefect server answers at {api} ({problem}), which PREFECT_API_URL names. Start that server, or unset "
        "PREFECT_API_URL to do without (`prefect config view` says where it is set)."
    )
