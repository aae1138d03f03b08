"""Prefect's server: who answers, and whether the database would do. Real sockets, real databases."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest
from alembic.script import ScriptDirectory

from imagetwins.doctor import server
from imagetwins.doctor.server import examine_database, examine_server, known_revisions


@contextmanager
def serving(answers) -> Iterator[str]:
    """Yield the address of a web server that answers each path with a status and a text; 404 for all others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, text = answers.get(self.path, (404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def free_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def make_database(file, revision):
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        database.commit()


def test_without_a_server_a_command_starts_one(told, monkeypatch, free_address):
    monkeypatch.setattr(server, "LOCAL_SERVER", free_address)
    findings = list(examine_server())
    assert told(findings, "Prefect's server")[0] == "ok"
    assert "the first command makes it" in told(findings, "database")[1]


def test_a_port_that_another_program_has_is_a_warning(told, monkeypatch):
    with serving({}) as address:
        monkeypatch.setattr(server, "LOCAL_SERVER", address)
        findings = list(examine_server())
    port = address.rpartition(":")[2]
    assert told(findings, f"port {port}") == ("warning", "a program that is no Prefect server has it (status 404)")
    assert told(findings, "Prefect's server")[0] == "ok"


def test_a_port_where_nobody_answers_in_time_is_a_warning(told, monkeypatch):
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        monkeypatch.setattr(server, "LOCAL_SERVER", f"http://127.0.0.1:{port}")
        findings = list(examine_server())
    assert told(findings, f"port {port}") == ("warning", "a program that is no Prefect server has it (timed out)")


@pytest.mark.parametrize(("theirs", "level"), [(version("prefect"), "ok"), ("2.0.0", "warning")])
def test_the_version_of_a_server_that_runs_is_compared(told, monkeypatch, theirs, level):
    with serving({"/api/health": (200, "true"), "/api/admin/version": (200, f'"{theirs}"')}) as address:
        monkeypatch.setenv("PREFECT_API_URL", f"{address}/api")
        found = told(list(examine_server()), "Prefect's server")
    assert found[0] == level
    assert theirs in found[1]


def test_a_server_that_is_named_and_does_not_answer_is_a_problem(told, monkeypatch, free_address):
    monkeypatch.setenv("PREFECT_API_URL", f"{free_address}/api")
    level, what = told(list(examine_server()), "Prefect's server")
    assert level == "problem"
    assert f"{free_address}/api, which PREFECT_API_URL names, does not answer" in what


def test_a_server_that_may_not_be_started_is_a_problem(told, monkeypatch, free_address):
    monkeypatch.setattr(server, "LOCAL_SERVER", free_address)
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")
    level, what = told(list(examine_server()), "Prefect's server")
    assert level == "problem"
    assert "PREFECT_SERVER_EPHEMERAL_ENABLED" in what


def test_a_home_that_cannot_be_written_is_a_problem(told, monkeypatch, free_address, tmp_path):
    monkeypatch.setattr(server, "LOCAL_SERVER", free_address)
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file"))
    assert told(list(examine_server()), "Prefect's server")[0] == "problem"


def test_a_password_of_a_database_is_not_told(told, monkeypatch, free_address):
    monkeypatch.setattr(server, "LOCAL_SERVER", free_address)
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://user:secret@host/prefect")
    assert told(list(examine_server()), "database") == ("ok", "postgresql+asyncpg at host")


def test_databases_are_told_apart(tmp_path):
    newest, damaged, newer = (tmp_path / name for name in ("newest.db", "damaged.db", "newer.db"))
    make_database(newest, min(known_revisions()))
    damaged.write_bytes(b"no database at all " * 1000)
    make_database(newer, "ffffffffffff")
    found = [examine_database(file) for file in (newest, damaged, newer)]
    assert [finding.level for finding in found] == ["ok", "problem", "problem"]
    assert "is damaged" in found[1].what
    assert "made by a newer Prefect" in found[2].what


def test_a_database_that_another_program_holds_is_a_warning_and_is_waited_for(tmp_path):
    file = tmp_path / "prefect.db"
    make_database(file, min(known_revisions()))
    with closing(sqlite3.connect(file, isolation_level=None)) as holding:
        holding.execute("BEGIN EXCLUSIVE")
        found = examine_database(file)
    assert (found.level, found.what) == ("warning", f"{file} is locked by another program")
    assert examine_database(file).level == "ok"


def test_the_revisions_are_those_that_prefect_itself_would_go_through():
    migrations = Path(find_spec("prefect").origin).parent / "server/database/_migrations"
    scripts = ScriptDirectory(str(migrations), version_locations=[str(migrations / "versions/sqlite")])
    assert known_revisions() == {script.revision for script in scripts.walk_revisions()}
