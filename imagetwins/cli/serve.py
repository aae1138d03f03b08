"""`imagetwins serve`: Prefect's server, its UI, the schedule and the runs, from one command in one terminal.

A server that is configured (PREFECT_API_URL) or runs at the address asked for is used; otherwise one is started, and
stopped at the end.
"""

import os
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from rich.console import Console

from imagetwins import settings
from imagetwins.cli.errors import exiting_on_errors
from imagetwins.cli.markup import escape_markup
from imagetwins.config.folders import allowed_roots, check_folder, resolve_store
from imagetwins.config.roots import check_roots
from imagetwins.errors import ParameterError, ServerError
from imagetwins.runtime.background import find_background_server
from imagetwins.runtime.places import check_prefect_home
from imagetwins.runtime.server import LOOPBACK, check_server, find_api, prepare_environment, server_answers
from imagetwins.runtime.server_process import name_address, start_server
from imagetwins.storage import Location

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
    desk_port: Annotated[
        int | None,
        typer.Option(
            help="Port of 127.0.0.1 at which a browser of this machine reviews the runs. Default: the next after --port, or any "
            "free one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run Prefect's server, its UI, and the nightly runs. In this terminal, until Ctrl-C."""
    with exiting_on_errors(stderr):
        check_binding(host)
        scheduled = check_folders(folders or [])
        prepare_environment(verbose=True)
        with _server(host, port) as address:
            _run_worker(address, scheduled, cron, timezone, (desk_port, port + 1))


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
    configured = find_api()
    if configured:
        check_server(configured)
    kept = None if configured else find_background_server()
    if kept and host not in LOOPBACK:
        raise ParameterError(
            f"the server at {kept.address} is for this machine alone, and two on one database get in each other's way. End it first: "
            "`imagetwins server stop`."
        )
    address = (configured or "").removesuffix("/api") or (kept.address if kept else name_address(host, port))
    if configured or server_answers(address):
        stderr.print(f"Prefect runs at [bold]{address}[/]; its settings are its own.")
        yield address
        return
    check_prefect_home()
    stderr.print(f"Starting Prefect's server in {escape_markup(str(settings.prefect_home()))} ...")
    started = start_server(host, port)
    try:
        started.wait()
        yield address
    finally:
        started.stop()


def _run_worker(
    address: str, folders: Sequence[Location], cron: str, timezone: str, desk_ports: tuple[int | None, int]
) -> None:
    """Register the deployments and run what is asked for, until the terminal or the system says stop.

    `desk_ports` are the port that the desk must have, if any, and the one that it has otherwise, unless that is taken.
    """
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    if password := settings.server_password():
        os.environ.setdefault("PREFECT_API_AUTH_STRING", password)
    # So often a run says that it lives; the automation that ends silent ones knows it.
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    # Only now: Prefect reads its settings when it is imported.
    import asyncio  # noqa: PLC0415 - takes as long as all that `imagetwins --help` needs

    from prefect.client.orchestration import get_client  # noqa: PLC0415

    from deployments.automations import register_automations  # noqa: PLC0415
    from deployments.registering import POOL, plan_schedules, register  # noqa: PLC0415
    from deployments.worker import work  # noqa: PLC0415

    schedules = plan_schedules(folders, cron, timezone)
    with get_client(sync_client=True) as client:
        register(client, schedules)
    register_automations()
    with _desk(*desk_ports):
        stderr.print(f"Open [bold]{address}[/] to start a run; Ctrl-C stops.")
        if folders:
            stderr.print(f"By schedule ({cron}, {timezone}): {', '.join(map(str, folders))}")
        asyncio.run(_until_stopped(work(POOL)))
    stderr.print("Stopped.")


@contextmanager
def _desk(port: int | None, usual: int) -> Iterator[None]:
    """Serve the desk of the store, and tell the runs that are started meanwhile where it is.

    Raises:
        ServerError: `port` is taken.
    """
    from imagetwins.runtime.applying import apply_elsewhere  # noqa: PLC0415 - Prefect
    from imagetwins.runtime.desk import Desk, open_desk  # noqa: PLC0415

    desk = Desk(resolve_store(None), apply_elsewhere)
    try:
        server = open_desk(desk, usual if port is None else port)
    except ServerError:
        if port is not None:
            raise
        server = open_desk(desk, 0)
    os.environ["IMAGETWINS_DESK"] = server.address_of("{run}")
    stderr.print(f"Runs are reviewed at {escape_markup(server.address_of('RUN'))}", soft_wrap=True)
    try:
        yield
    finally:
        server.stop()


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until SIGINT or SIGTERM."""
    import asyncio  # noqa: PLC0415 - as above

    working = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working
