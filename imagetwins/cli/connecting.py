"""The first thing that a command does which needs Prefect's server: find one, or start one, and import meanwhile.

Without a server that runs, a command used to wait for one after its imports; now it starts one before them, on another core, and
says meanwhile what it found. Such a server serves this command alone and ends with it.
"""

import atexit
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from imagetwins import settings
from imagetwins.cli.markup import escape_markup
from imagetwins.errors import ClusterError, ServerError
from imagetwins.runtime.places import check_prefect_home
from imagetwins.runtime.prefect_settings import API_PASSWORD, EPHEMERAL_ENABLED, PASSWORD, find_setting
from imagetwins.runtime.server import NEEDS_SHARED_SERVER, find_server, using_server
from imagetwins.runtime.server_process import ServerProcess, start_for_command


class Connection:
    """What a command has to Prefect's server: one that runs, or one that starts (`own`)."""

    def __init__(self, own: ServerProcess | None = None, spinner: Status | None = None) -> None:
        self.own = own
        self.ready_seconds: float | None = None
        """How long the server of our own took."""

        self._started = time.monotonic()
        self._spinner = spinner

    def wait(self) -> None:
        """Return as soon as the server answers.

        Raises:
            ServerError: it does not start.
        """
        if self.own and self.ready_seconds is None:
            self.own.wait()
            self.ready_seconds = time.monotonic() - self._started
            self.hide_spinner()

    def hide_spinner(self) -> None:
        """Make room for what is shown next."""
        if self._spinner:
            self._spinner.stop()


@contextmanager
def connecting(console: Console, *, verbose: bool, is_shared: bool = False) -> Iterator[Connection]:
    """Yield the connection to the server that is configured or runs, else to one that is started for this command.

    To be entered before Prefect is imported, and waited for before it is used.

    Args:
        console: where a person looks.
        verbose: let a server that is started here say what it does.
        is_shared: other machines are to use the server, too, so that none is started here.

    Raises:
        ServerError: nobody answers at the address that is configured, or there is no server and none may be started.
        ParameterError: Prefect's home cannot be written.
    """
    if found := find_server():
        password = None if find_setting(API_PASSWORD) else find_setting(PASSWORD)
        with using_server(found, password):
            yield Connection()
        return
    _check_may_start(is_shared=is_shared)
    console.print(f"Starting Prefect's server in {escape_markup(str(settings.prefect_home()))} ...", soft_wrap=True)
    own = start_for_command(verbose=verbose)
    # What is registered first is called last: Prefect's client sends its last logs and events before.
    atexit.register(own.stop)
    connection = Connection(own, _start_spinner(console))
    try:
        with using_server(own.api, own.password):
            yield connection
    except KeyboardInterrupt:
        if connection.ready_seconds is None:
            raise KeyboardInterrupt("Interrupted. Nothing was begun.") from None
        raise
    finally:
        connection.hide_spinner()
    if connection.ready_seconds is not None:
        console.print(
            f"Prefect's server took {connection.ready_seconds:.1f} s to start. `imagetwins server start` keeps one running.",
            soft_wrap=True,
        )


def _start_spinner(console: Console) -> Status | None:
    """Show in a terminal that something goes on; nothing elsewhere."""
    if not console.is_terminal:
        return None
    spinner = console.status("Prefect's server starts")
    spinner.start()
    return spinner


def _check_may_start(*, is_shared: bool) -> None:
    if is_shared:
        raise ClusterError(NEEDS_SHARED_SERVER)
    if str(find_setting(EPHEMERAL_ENABLED)).lower() in {"false", "0", "no", "off"}:
        raise ServerError(
            "no Prefect server runs, and PREFECT_SERVER_EPHEMERAL_ENABLED forbids to start one for a command alone. Start one that "
            "stays: `imagetwins server start`."
        )
    check_prefect_home()
