"""`imagetwins server`: keep Prefect's server running in the background, so that commands need not wait for one."""

import datetime as dt
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console

from imagetwins import settings
from imagetwins.cli.answers import Json, print_json
from imagetwins.cli.errors import ExitStatus, exiting_on_errors
from imagetwins.cli.markup import escape_markup
from imagetwins.errors import ServerError
from imagetwins.runtime.background import (
    BackgroundServer,
    find_background_server,
    start_background_server,
    stop_background_server,
)
from imagetwins.runtime.server import find_api, find_server, prepare_environment, read_version, server_answers
from imagetwins.runtime.server_process import name_address

HOST = "127.0.0.1"

console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)

server = typer.Typer(
    name="server",
    help="Keep Prefect's server running in the background. Each command starts seconds earlier then, and runs are in its UI.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@server.command()
def start(
    port: Annotated[
        int, typer.Option(help="The port of 127.0.0.1 that it listens on; commands find it on any.")
    ] = 4200,
    *,
    json: Json = False,
) -> None:
    """Start a server that stays after this command, until `imagetwins server stop`. For this machine alone.

    It takes 0.3 GB of memory. Its database is the one that commands without a server use, in PREFECT_HOME, so their runs are in
    its UI, too. Nightly runs and runs from the UI need `imagetwins serve`, which uses this server where it runs.
    """
    with exiting_on_errors(stderr, json=json):
        prepare_environment(verbose=True)
        address = name_address(HOST, port)
        configured = find_api()
        if configured and configured != f"{address}/api":
            raise ServerError(
                f"PREFECT_API_URL names {configured}, so that commands would not use a server at {address}. Unset it first "
                "(`prefect config view` says where it is set)."
            )
        if running := find_background_server():
            console.print(f"One runs already. {_describe(running)}")
        elif server_answers(address):
            console.print(f"A Prefect server that somebody else started answers at {address}. Commands use it.")
        else:
            with stderr.status("Prefect's server starts"):
                started = start_background_server(port)
            console.print(f"{_describe(started)}\n`imagetwins server stop` ends it.")
        if json:
            kept = find_background_server()
            print_json(_as_answer(f"{kept.address if kept else address}/api", kept))


@server.command()
def stop(*, json: Json = False) -> None:
    """End the server that `imagetwins server start` started. No other: not one of `imagetwins serve` or `prefect server start`."""
    with exiting_on_errors(stderr, json=json):
        if running := find_background_server():
            stop_background_server(running)
            console.print(f"The server at {running.address} has ended.")
        else:
            console.print("No server runs that `imagetwins server start` started.")
        if json:
            print_json({"stopped": running.address if running else None})


@server.command()
def status(*, json: Json = False) -> None:
    """Say which server commands use: its address and version, since when it runs, its database. Exit code 1 without one."""
    with exiting_on_errors(stderr, json=json):
        found = find_server()
        kept = find_background_server()
        if json:
            print_json(_as_answer(found, kept))
        elif found is None:
            console.print(
                f"No server runs. Each command starts one of its own, with the database in {escape_markup(str(settings.prefect_home()))}; "
                "`imagetwins server start` keeps one running."
            )
        elif kept and found == f"{kept.address}/api":
            console.print(_describe(kept))
        else:
            console.print(f"{_describe_other(found)} `imagetwins server start` did not start it.")
        if found is None:
            raise typer.Exit(ExitStatus.FAILED)


def _as_answer(found: str | None, kept: BackgroundServer | None) -> dict[str, Any]:
    if kept and found == f"{kept.address}/api":
        return {"running": True, **asdict(kept)}
    return {"running": found is not None, "address": found and found.removesuffix("/api")}


def _describe(kept: BackgroundServer) -> str:
    started = dt.datetime.fromisoformat(kept.started).astimezone()
    return escape_markup(
        f"Prefect {kept.version} at {kept.address}, since {started:%Y-%m-%d %H:%M} (process {kept.process_id}).\n"
        f"Database: {kept.database}\nLog: {kept.log}"
    )


def _describe_other(api: str) -> str:
    version = read_version(api)
    return escape_markup(
        f"Prefect{f' {version}' if version else ''} at {api.removesuffix('/api')}, with its own settings."
    )
