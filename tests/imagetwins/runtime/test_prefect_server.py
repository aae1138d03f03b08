"""Prefect's SQLite transactions wait for each other; and what is locked all the same is a sentence."""

import asyncio
import logging
import sqlite3

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration

from imagetwins.runtime.prefect_server import EXPLANATION, begin_immediate, explain_locks


async def count_twice_at_once(configuration, begin):
    """Two transactions read a number, and then write one more, side by side; return it, or raise what they end with."""
    engine = await configuration.engine()
    async with engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE counter AS SELECT 0 AS number"))

    async def count():
        async with await configuration.session(engine) as session, begin(configuration, session):
            number = (await session.execute(sa.text("SELECT number FROM counter"))).scalar_one()
            await asyncio.sleep(0.1)
            await session.execute(sa.text("UPDATE counter SET number = :number"), {"number": number + 1})

    try:
        await asyncio.gather(count(), count())
        async with engine.connect() as connection:
            return (await connection.execute(sa.text("SELECT number FROM counter"))).scalar_one()
    finally:
        await engine.dispose()


@pytest.fixture
def configuration(tmp_path):
    return AioSqliteConfiguration(f"sqlite+aiosqlite:///{tmp_path}/prefect.db")


def test_transactions_that_read_and_write_wait_for_each_other(configuration):
    assert asyncio.run(count_twice_at_once(configuration, begin_immediate)) == 2


def test_prefects_own_do_not(configuration):
    """Once this fails, Prefect begins its transactions so itself, and `prefect_server` can go."""
    with pytest.raises(sa.exc.OperationalError, match="database is locked"):
        asyncio.run(count_twice_at_once(configuration, AioSqliteConfiguration.begin_transaction))


def make_record(message, error=None):
    raised = (type(error), error, None) if error else None
    return logging.LogRecord("prefect.server", logging.ERROR, "file", 1, message, (), raised)


@pytest.mark.parametrize(
    "record",
    [
        make_record("Error in service", sqlite3.OperationalError("database is locked")),
        make_record("", sa.exc.OperationalError("UPDATE", {}, sqlite3.OperationalError("database is locked"))),
        make_record("(sqlite3.OperationalError) database is locked"),
    ],
)
def test_a_locked_database_is_a_sentence(record):
    assert logging.Formatter().format(explain_locks(record)) == EXPLANATION


@pytest.mark.parametrize("record", [make_record("said"), make_record("said", ValueError("broken"))])
def test_what_else_is_logged_stays(record):
    before = logging.Formatter().format(record)
    assert logging.Formatter().format(explain_locks(record)) == before
