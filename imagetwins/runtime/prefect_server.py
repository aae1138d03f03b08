"""Prefect's server in a process of its own: `python -m imagetwins.runtime.prefect_server --socket 3`, as `runtime.server_process` starts it.

It differs from `prefect server start` in what follows.

**SQLite.** Prefect begins most of its SQLite transactions as DEFERRED. One that has read cannot write any more once another has
written: SQLite answers "database is locked" at once, however long it may wait, and Prefect shows the traceback. Worse, the cursor
that such an error leaves open is freed by the garbage collector in the thread of the event loop, where it waits for a connection
that waits for a lock which the event loop is to release: all stands still for a minute. Begun as IMMEDIATE, transactions wait for
each other, in their threads, and neither happens. Measured on two busy cores with eight runs, four at a time: 20 locked databases,
60 s without an answer and 128 s in all before; none, 1.4 s and 65 s with this. Switching the collector off ended the standstill alone.

**Its start.** It takes 1.6 s of one core where `prefect server start` takes 2.9: neither Prefect's command line nor the packages
that could register blocks are imported, and the garbage collector does not look, again and again, through what stays anyway. Servers
that start at once on one database make and migrate it one after the other.

**Its end.** With `--parent` it ends when that process does, however that ends.
"""

import argparse
import fcntl
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from prefect.server.database.configurations import AioSqliteConfiguration
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

LOCKED = "database is locked"
"""What SQLite says."""

EXPLANATION = (
    "Prefect's SQLite database was busy for too long: something may be missing in Prefect's UI, or come late. Runs, tables and "
    "files are not affected. If this is said often, start fewer runs at a time, or use PostgreSQL (see the README)."
)

START_LOCK = "imagetwins-server.lock"
"""A file in Prefect's home, held by the server that makes or migrates the database."""

LOOK_SECONDS = 0.5
"""How often it is looked whether the parent lives."""

LAST_SECONDS = 10
"""How long a server without a parent may take to write down what it knows."""


@asynccontextmanager
async def begin_immediate(
    _database: "AioSqliteConfiguration", session: "AsyncSession", with_for_update: bool = False
) -> "AsyncGenerator[AsyncSessionTransaction, None]":
    """Begin a transaction that holds SQLite's write lock from its beginning: `AioSqliteConfiguration.begin_transaction`."""
    from prefect.server.database.configurations import SQLITE_BEGIN_MODE  # noqa: PLC0415 - see `main`

    del with_for_update
    token = SQLITE_BEGIN_MODE.set("IMMEDIATE")
    try:
        async with session.begin() as transaction:
            yield transaction
    finally:
        SQLITE_BEGIN_MODE.reset(token)


def explain_locks(record: logging.LogRecord) -> logging.LogRecord:
    """Replace the traceback of a locked database by a sentence."""
    error = record.exc_info[1] if record.exc_info else None
    if LOCKED in str(error) or (error is None and LOCKED in record.getMessage()):
        record.msg, record.args, record.exc_info, record.exc_text = EXPLANATION, (), None, None
    return record


class Server(uvicorn.Server):
    """A web server that starts alone on its database."""

    def __init__(self, config: uvicorn.Config, home: Path) -> None:
        super().__init__(config)
        self._home = home

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        with _alone(self._home):
            await super().startup(sockets)
        # What is there now stays: the collector need not look through it with each of its rounds.
        gc.freeze()
        gc.enable()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Wait until no other server of this home makes its database, and keep others waiting meanwhile."""
    try:
        descriptor = os.open(home / START_LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # Where the home cannot be written, the database is elsewhere.
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_server(*, ephemeral: bool) -> Server:
    """Return the server as the settings want it; `ephemeral`, without UI, schedules and what else a single command needs not."""
    from prefect.server.api.server import create_app  # noqa: PLC0415 - see `main`
    from prefect.server.database.configurations import AioSqliteConfiguration  # noqa: PLC0415
    from prefect.settings import get_current_settings  # noqa: PLC0415

    AioSqliteConfiguration.begin_transaction = begin_immediate  # type: ignore[assignment,method-assign]
    settings = get_current_settings()
    config = uvicorn.Config(
        create_app(ephemeral=ephemeral),
        lifespan="on",
        log_level=settings.server.logging_level.lower(),
        timeout_keep_alive=settings.server.api.keepalive_timeout,
        ws_ping_interval=settings.server.api.websocket_ping_interval,
        ws_ping_timeout=settings.server.api.websocket_ping_timeout,
    )
    return Server(config, settings.home)


class Parent:
    """The process for which a server runs: without it, the server ends."""

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id
        self.server: Server | None = None
        """The server to be ended, once there is one."""
        Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while os.getppid() == self._process_id:
            time.sleep(LOOK_SECONDS)
        if self.server:
            self.server.should_exit = True
            time.sleep(LAST_SECONDS)
        os._exit(1)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=int, required=True, help="The descriptor of the socket to listen on.")
    parser.add_argument("--parent", type=int, help="The process that the server serves alone, and ends with.")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the server until a signal, or until the end of the parent."""
    # First, and what is large imported after it: a quarter of the time would go into looking for garbage.
    gc.disable()
    given = _parse(sys.argv[1:])
    parent = Parent(given.parent) if given.parent else None
    make_record = logging.getLogRecordFactory()

    def make_explained_record(*args: Any, **options: Any) -> logging.LogRecord:
        return explain_locks(make_record(*args, **options))

    logging.setLogRecordFactory(make_explained_record)
    server = _make_server(ephemeral=parent is not None)
    if parent:
        parent.server = server
    server.run([socket.socket(fileno=given.socket)])
    # Python takes half a second to take all apart.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
