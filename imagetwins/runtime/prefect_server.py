"""Prefect's server in a process of its own, with one change for SQLite: `python -m imagetwins.runtime.prefect_server --port 4200`.

Prefect begins most of its SQLite transactions as DEFERRED. One that has read cannot write any more once another has written: SQLite
answers "database is locked" at once, however long it may wait, and Prefect shows the traceback. Worse, the cursor that such an error
leaves open is freed by the garbage collector in the thread of the event loop, where it waits for a connection that waits for a
lock which the event loop is to release: all stands still for a minute. Begun as IMMEDIATE, transactions wait for each other, in
their threads, and neither happens. Measured on two busy cores with eight runs, four at a time: 20 locked databases, 60 s without
an answer and 128 s in all before; none, 1.4 s and 65 s with this. Switching the collector off ended the standstill alone.
"""

import logging
import runpy
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

LOCKED = "database is locked"
"""What SQLite says."""

EXPLANATION = (
    "Prefect's SQLite database was busy for too long: something may be missing in Prefect's UI, or come late. Runs, tables and "
    "files are not affected. If this is said often, start fewer runs at a time, or use PostgreSQL (see the README)."
)


@asynccontextmanager
async def begin_immediate(
    _database: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = False
) -> AsyncGenerator[AsyncSessionTransaction, None]:
    """Begin a transaction that holds SQLite's write lock from its beginning: `AioSqliteConfiguration.begin_transaction`."""
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


def main() -> None:
    """Run `prefect server start` with the arguments of this process."""
    AioSqliteConfiguration.begin_transaction = begin_immediate  # type: ignore[assignment,method-assign]
    make_record = logging.getLogRecordFactory()

    def make_explained_record(*args: Any, **options: Any) -> logging.LogRecord:
        return explain_locks(make_record(*args, **options))

    logging.setLogRecordFactory(make_explained_record)
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__")


if __name__ == "__main__":
    main()
