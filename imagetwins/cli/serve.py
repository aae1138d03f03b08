"""`imagetwins serve`: Prefect's server, its UI, the schedule and the runs, from one command in one terminal.

A server that is configured (PREFECT_API_URL) or runs at the address asked for is used; otherwise one is started, and
stopped at the end.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from rich.console import Console

from imagetwins import settings
from imagetwins.cli.errors import exiting_on_errors
from imagetwins.cli.markup import escape_markup
from imagetwins.config.folders import allowed_roots, check_folder
from imagetwins.config.roots import check_roots
from imagetwins.errors import ImagetwinsError, ParameterError
from imagetwins.runtime.places import check_prefect_home
from imagetwins.runtime.server import LOOPBACK, check_server, prepare_environment, server_answers
from imagetwins.storage import Location

STARTUP_SECONDS = 120
"""A first start creates the database, which takes 11 to 18 s on two cores."""

stderr = Console(stderr=True, highlight=False)


def serve(
    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER]...", help="Folders, or URLs, to tidy by the schedule, in this order."),
    ] = None,
    cron: Annotated[
        str, typer.Option(help="When: minute, hour, day of the month, month, day of the week.")
    ] = "0 3 * * *",
    timezone: Annotated[str, typer.Option(help="The time zone of --cron, as in Europe/Berlin.")] = "UTC",
    host: Annotated[str, typer.Option(help="Address that a server started here listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port that a server started here listens on.")] = 4200,
) -> None:
    """Run Prefect's server, its UI, and the nightly runs. In this terminal, until Ctrl-C."""
    with exiting_on_errors(stderr):
        check_binding(host)
        scheduled = check_folders(folders or [])
        prepare_environment(verbose=True)
        with _server(host, port) as address:
            _run_worker(address, scheduled, cron, timezone)


def check_binding(host: str) -> None:
    """Refuse to offer the server to other machines without a password: whoever reaches it can move files.

    Raises:
        ParameterError: `host` is not this machine's own, and there is no password.
    """
    if host not in LOOPBACK and not settings.server_password():
        raise ParameterError(
            f"host {host!r} lets other machines start runs, which move files. Set a password first: "
            "PREFECT_SERVER_API_AUTH_STRING=user:password; and IMAGETWINS_ROOTS to the folders that runs may touch."
        )


def check_folders(folders: Sequence[str]) -> list[Location]:
    """Return `folders` as absolute paths, or as the URLs they are.

    Raises:
        ParameterError: one is no folder, or outside the allowed roots.
    """
    found = [check_folder("folder", folder) for folder in folders]
    check_roots(found, allowed_roots())
    return found


@contextmanager
def _server(host: str, port: int) -> Iterator[str]:
    """Yield the address of the server to use; start one if there is none, and stop it at the end."""
    configured = settings.api_url()
    if configured:
        check_server(configured)
    address = configured.removesuffix("/api") if configured else f"http://{_own_name(host)}:{port}"
    if configured or server_answers(address):
        stderr.print(f"Prefect runs at [bold]{address}[/]; its settings are its own.")
        yield address
        return
    check_prefect_home()
    stderr.print(f"Starting Prefect's server in {escape_markup(str(settings.prefect_home()))}, about 10 s ...")
    process = _start_server(host, port, address)
    try:
        _wait_for(process, address)
        yield address
    finally:
        process.terminate()
        process.wait()


def _own_name(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    return "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104


def _start_server(host: str, port: int, address: str) -> subprocess.Popen[bytes]:
    guarded = {
        # Otherwise any page that is open in the user's browser could start a run.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # Otherwise the UI looks for the API at this machine's port 4200, whoever's browser it is.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # What notifications link to.
        "PREFECT_UI_URL": address,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "imagetwins.runtime.prefect_server", "--host", host, "--port", str(port)]
    # A session of its own: Ctrl-C reaches us alone, and the server stops after the runs.
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command, env=guarded | os.environ, stdout=subprocess.DEVNULL, start_new_session=True
    )


def _wait_for(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while not server_answers(address):
        if process.poll() is not None:
            raise ImagetwinsError(f"the server at {address} ended at once; what it said is above. Is the port taken?")
        if time.monotonic() > deadline:
            raise ImagetwinsError(f"the server at {address} did not answer within {STARTUP_SECONDS} s.")
        time.sleep(0.2)


def _run_worker(address: str, folders: Sequence[Location], cron: str, timezone: str) -> None:
    """Register the deployments and run what is asked for, until the terminal or the system says stop."""
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    if password := settings.server_password():
        os.environ.setdefault("PREFECT_API_AUTH_STRING", password)
    # So often a run says that it lives; the automation that ends silent ones knows it.
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    # The default of 10 s is long for somebody who has just pressed Submit.
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "3")
    # Only now: Prefect reads its settings when it is imported.
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.workers.process import ProcessWorker  # noqa: PLC0415

    from deployments.automations import register_automations  # noqa: PLC0415
    from deployments.registering import POOL, plan_schedules, register  # noqa: PLC0415

    schedules = plan_schedules(folders, cron, timezone)
    with get_client(sync_client=True) as client:
        register(client, schedules)
    register_automations()
    stderr.print(f"Open [bold]{address}[/] to start a run; Ctrl-C stops.")
    if folders:
        stderr.print(f"By schedule ({cron}, {timezone}): {', '.join(map(str, folders))}")
    asyncio.run(_work(ProcessWorker(work_pool_name=POOL)))
    stderr.print("Stopped.")


async def _work(worker: Any) -> None:
    """Run `worker` until SIGINT or SIGTERM; runs that it started are asked to stop, and leave whole files."""
    working = asyncio.ensure_future(worker.start(printer=lambda _: None))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
