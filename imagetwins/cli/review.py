"""`imagetwins review`: a run's report as a desk in the browser, where choices are applied at once, from this terminal.

The page is served by a thread; what it asks for, the main thread does, as every flow of a command is: so Ctrl-C stops between two
moves. Prefect's server is looked for, or started, and imported, while the person looks at the pictures.
"""

import queue
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rich.console import Console

from imagetwins.cli.connecting import Connection, connecting
from imagetwins.cli.markup import escape_markup
from imagetwins.cli.rendering import print_applied
from imagetwins.errors import ImagetwinsError, ServerLostError, StoreError
from imagetwins.matching.choices import Choices
from imagetwins.reporting.advice import count_open
from imagetwins.reporting.run_page import build_report
from imagetwins.runtime.collector import paused_collector
from imagetwins.runtime.desk import Desk, DeskServer, open_desk
from imagetwins.runtime.server import prepare_environment
from imagetwins.storage import Location
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run, find_run, list_runs
from imagetwins.text import pluralize

CallFlow = Callable[[Connection, Callable[[], dict[str, Any]]], dict[str, Any]]


@dataclass(frozen=True)
class _Order:
    """Choices that the page wants applied, and where it waits for the answer."""

    run: Run
    choices: Choices
    answer: "Future[dict[str, Any]]" = field(default_factory=Future)


def choose_run(store: Location) -> Run:
    """Return the latest run that has something to decide, else the latest at all.

    Of each folder the latest run counts: what an older one asked, that has asked again, or it is settled.

    Raises:
        StoreError: there is no run.
    """
    seen: set[frozenset[Location]] = set()
    runs = list_runs(store)
    for run in reversed(runs):
        record = run.read_record()
        folders = frozenset(record.parameters.layout.folders)
        if folders not in seen and count_open(record):
            return run
        seen.add(folders)
    if not runs:
        raise StoreError(f"the store {store} has no run to review. Start one: `imagetwins run FOLDER --dry-run`.")
    return runs[-1]


def review_run(
    store: Location,
    run_id: str | None,
    call_flow: CallFlow,
    *,
    port: int,
    opens_browser: bool,
    verbose: bool,
    console: Console,
    stderr: Console,
) -> None:
    """Serve the desk of a run until Ctrl-C.

    Args:
        store: where the run is.
        run_id: which; None for the one that `choose_run` chooses.
        call_flow: calls a flow once the connection's server answers, and shows its progress.
        port: of 127.0.0.1; 0 for any free one.
        opens_browser: whether to open the page in a browser, if there is one.
        verbose: let Prefect's server say what it does.
        console: for what is to be read: the address, and what was done.
        stderr: for what goes on.

    Raises:
        StoreError: there is no such run, or its tables are gone.
        ServerError: the port is taken.
    """
    run = find_run(store, run_id) if run_id else choose_run(store)
    _announce(stderr, run)
    with stderr.status("Building the report"):
        build_report(run)
    orders: queue.Queue[_Order] = queue.Queue()
    with _serving(Desk(store, partial(_order, orders)), port) as server:
        address = server.address_of(run.run_id)
        console.print(f"Open [bold]{escape_markup(address)}[/]", soft_wrap=True)
        stderr.print("Choose there, and apply. Ctrl-C here ends it; what you chose is kept.")
        if opens_browser:
            _open_browser(address)
        try:
            _work(orders, call_flow, verbose=verbose, console=console, stderr=stderr)
        except KeyboardInterrupt:
            stderr.print("\nStopped.")


def _announce(stderr: Console, run: Run) -> None:
    record = run.read_record()
    found = count_open(record)
    what = f"{pluralize(found, 'picture')} to decide about" if found else "nothing is left to decide"
    waits = ", and it waits for the answer" if record.status is RunStatus.WAITING else ""
    stderr.print(
        escape_markup(f"Run {run.run_id} on {record.parameters.layout.path}: {what}{waits}."),
        soft_wrap=True,
        highlight=False,
    )


@contextmanager
def _serving(desk: Desk, port: int) -> Iterator[DeskServer]:
    server = open_desk(desk, port)
    try:
        yield server
    finally:
        server.stop()


def _order(orders: "queue.Queue[_Order]", run: Run, choices: Choices) -> dict[str, Any]:
    """Have the main thread apply `choices`, and wait for its answer."""
    order = _Order(run, choices)
    orders.put(order)
    return order.answer.result()


def _work(
    orders: "queue.Queue[_Order]", call_flow: CallFlow, *, verbose: bool, console: Console, stderr: Console
) -> None:
    """Apply what is ordered, until Ctrl-C."""
    prepare_environment(verbose=verbose)
    with connecting(stderr, verbose=verbose) as connection:
        with paused_collector():
            from flows.apply_choices import apply_choices  # noqa: PLC0415 - Prefect, once its server starts
            from imagetwins.runtime.applying import answer_waiting  # noqa: PLC0415
            from imagetwins.runtime.waiting import waits_for_answer  # noqa: PLC0415

        def apply(run: Run, choices: Choices) -> dict[str, Any]:
            connection.wait()
            if waits_for_answer(run):
                stderr.print(f"Answering run {run.run_id}, which goes on as soon as a worker takes it up.")
                return answer_waiting(run, choices)
            call = partial(apply_choices, run.run_id, choices.model_dump_json(), source="desk", store=str(run.store))
            return call_flow(connection, call)

        while True:
            order = orders.get()
            _fill(order, apply, console=console, stderr=stderr)


def _fill(order: _Order, apply: Callable[[Run, Choices], dict[str, Any]], *, console: Console, stderr: Console) -> None:
    try:
        answer = apply(order.run, order.choices)
    except KeyboardInterrupt:
        order.answer.set_exception(ImagetwinsError("the desk was stopped in its terminal, between two moves if any."))
        raise
    except ServerLostError as error:
        # Nothing more can be applied by this process.
        order.answer.set_exception(error)
        raise
    except (ImagetwinsError, OSError) as error:
        stderr.print(f"[red]Failed:[/] {escape_markup(str(error))}", soft_wrap=True)
        order.answer.set_exception(error)
    except Exception as error:
        order.answer.set_exception(error)
        raise
    else:
        print_applied(console, answer, dry_run=False)
        if answer["moved"]:
            console.print(f"Undo:  [bold]{escape_markup(answer['undo'])}[/]", soft_wrap=True)
        order.answer.set_result(answer)


def _open_browser(address: str) -> None:
    """Open a browser that has a window of its own: one in this terminal would take it."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if not isinstance(browser, webbrowser.GenericBrowser) or isinstance(browser, webbrowser.BackgroundBrowser):
        browser.open(address)
