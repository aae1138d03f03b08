"""Which Prefect server a command uses, and how it is told: before Prefect is imported, which takes long and reads its settings then."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from imagetwins import settings
from imagetwins.errors import ServerError
from imagetwins.runtime.places import check_temporary_directory
from imagetwins.runtime.prefect_settings import API_URL, find_setting
from imagetwins.settings import LOCAL_SERVER

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The names by which a machine reaches itself."""

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
"""Who does not take a call is not there; who takes it may be busy, as SQLite makes Prefect's server at times."""

NEEDS_SHARED_SERVER = (
    "the workers of a Dask cluster need a Prefect server that they reach. Start one with `imagetwins serve --host ADDRESS`, and set "
    "PREFECT_API_URL to http://ADDRESS:4200/api."
)

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
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


def find_server() -> str | None:
    """Return the address of the API of the server to use: the one that is configured, else one that runs on this machine.

    That is what `imagetwins server start` started, else whatever is a Prefect server at the usual port.

    Raises:
        ServerError: nobody answers at the address that is configured.
    """
    if configured := find_api():
        check_server(configured)
        return configured
    candidates = dict.fromkeys([guess_api(), f"{LOCAL_SERVER}/api"])
    return next((api for api in candidates if server_answers(api.removesuffix("/api"))), None)


def guess_api() -> str:
    """Return the address of the API of the server that `find_server` would choose, without asking anybody."""
    from imagetwins.runtime.background import find_background_server  # noqa: PLC0415 - it uses this module

    kept = find_background_server()
    return find_api() or f"{kept.address if kept else LOCAL_SERVER}/api"


def find_api() -> str | None:
    """Return PREFECT_API_URL, from wherever Prefect takes its settings; None if it is set nowhere."""
    found = find_setting(API_URL)
    if found is None and "prefect" in sys.modules:
        from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - it is imported

        found = PREFECT_API_URL.value()
    return found


@contextmanager
def using_server(api: str, password: str | None = None) -> Iterator[None]:
    """Have Prefect use the server whose API is at `api`, with user:password if that asks for one.

    Where Prefect is still to be imported, that holds for the rest of this process, and for those that it starts.
    """
    if "prefect" not in sys.modules:
        os.environ["PREFECT_API_URL"] = api
        if password:
            os.environ["PREFECT_API_AUTH_STRING"] = password
        yield
        return
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings  # noqa: PLC0415

    with temporary_settings({PREFECT_API_URL: api} | ({PREFECT_API_AUTH_STRING: password} if password else {})):
        yield


def server_answers(server: str) -> bool:
    """Whether a Prefect server is at the address `server`, without `/api`, of this machine."""
    try:
        return ask_health(f"{server}/api") < 300
    except OSError:
        return False


def ask_health(api: str, *, answer_seconds: float | None = None) -> int:
    """Return the HTTP status with which a server of this machine says that it lives; `api` is the address of its API.

    Raises:
        OSError: it takes no call, or does not answer within `answer_seconds`.
    """
    parts = urlsplit(api)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(answer_seconds or ANSWER_SECONDS)
        connection.request("GET", f"{parts.path}/health")
        return connection.getresponse().status
    except HTTPException as error:
        raise ConnectionError(f"no answer of a web server: {error!r}") from None
    finally:
        connection.close()


def check_server(api: str) -> None:
    """Refuse an API's address, that of PREFECT_API_URL, where no server answers.

    Raises:
        ServerError: naming the address and the remedy.
    """
    problem = _find_problem(api)
    if problem:
        raise ServerError(
            f"no Prefect server answers at {api} ({problem}), which PREFECT_API_URL names. Start that server, or unset "
            "PREFECT_API_URL to do without (`prefect config view` says where it is set)."
        )


def _find_problem(api: str) -> str | None:
    """Return why no server answers at `api`, None if one does."""
    parts = urlsplit(api)
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        try:
            status = ask_health(api)
        except (OSError, ValueError) as error:
            return str(error)
        return None if status < 500 else str(status)
    import httpx  # noqa: PLC0415 - takes a tenth of a second, and knows proxies and certificates

    try:
        answer = httpx.get(f"{api}/health", timeout=httpx.Timeout(CONNECT_SECONDS, read=ANSWER_SECONDS))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    # Prefect Cloud need not have this page; a proxy says with such a status that it reached nobody.
    return f"{answer.status_code} {answer.reason_phrase}" if answer.is_server_error else None


def read_version(api: str) -> str | None:
    """Return which version of Prefect answers at `api`; None if it does not say."""
    import httpx  # noqa: PLC0415 - as above

    try:
        answer = httpx.get(f"{api}/admin/version", auth=settings.api_credentials(), timeout=CONNECT_SECONDS)
    except httpx.HTTPError:
        return None
    return str(answer.json()) if answer.is_success else None
