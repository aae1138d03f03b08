"""`imagetwins server`: start, status and stop, what commands make of it, and what it leaves alone."""

import json
import os
import signal
import socket
from threading import Thread

import httpx
import pytest

from tests.support.commands import Home, is_running, wait_for
from tests.support.pictures import encode, photo
from tests.support.service import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def started(home):
    """What `server status` says of a server that `server start` started, for all tests until one ends it."""
    ended = home.run("server", "start", "--port", free_port())
    assert ended.returncode == 0, ended.stderr_text
    yield read_status(home)
    home.run("server", "stop")


def read_status(home, **environment):
    return json.loads(home.run("server", "status", "--json", **environment).stdout_text)


def test_it_is_kept_and_said(home, started):
    assert started["running"]
    assert started["database"] == f"sqlite+aiosqlite:///{home.prefect}/prefect.db"
    assert is_running(started["process_id"])
    shown = home.run("server", "status")
    assert (shown.returncode, shown.stdout_text.partition(", since")[0]) == (
        0,
        f"Prefect {started['version']} at {started['address']}",
    )
    again = home.run("server", "start", "--port", free_port())
    assert (again.returncode, again.stdout_text.startswith("One runs already.")) == (0, True)


def test_commands_use_it(home, started, tmp_path):
    (tmp_path / "a.png").write_bytes(encode(photo(), "PNG"))
    ended = home.run("run", tmp_path, "--dry-run")
    assert ended.returncode == 0, ended.stderr_text
    assert "Starting" not in ended.stderr_text
    assert "server start" not in ended.stderr_text
    flow_runs = httpx.post(f"{started['address']}/api/flow_runs/count", headers=csrf(started["address"])).json()
    assert flow_runs == 1


def csrf(address):
    """The headers without which it takes no request that could change something."""
    answer = httpx.get(f"{address}/api/csrf-token", params={"client": "test"}).json()
    return {"Prefect-Csrf-Token": answer["token"], "Prefect-Csrf-Client": "test"}


def test_pages_of_others_can_neither_read_nor_start_anything(started):
    elsewhere = {"Origin": "http://elsewhere.example"}
    asked = httpx.get(f"{started['address']}/api/health", headers=elsewhere)
    assert "access-control-allow-origin" not in asked.headers
    assert httpx.post(f"{started['address']}/api/flow_runs/filter", headers=elsewhere, json={}).status_code == 403
    assert httpx.get(f"{started['address']}/").status_code == 200


def test_a_server_of_somebody_else_is_used_and_not_ended(started, tmp_path):
    other = Home(tmp_path)
    port = started["address"].rpartition(":")[2]

    found = other.run("server", "start", "--port", port)
    assert (found.returncode, "that somebody else started" in found.stdout_text) == (0, True)
    shown = other.run("server", "status", PREFECT_API_URL=f"{started['address']}/api")
    assert shown.returncode == 0
    assert "`imagetwins server start` did not start it" in shown.stdout_text
    assert "No server runs" in other.run("server", "stop").stdout_text
    assert is_running(started["process_id"])


def test_it_is_ended_and_one_that_was_killed_is_no_server(home, started):
    stopped = home.run("server", "stop")
    assert (stopped.returncode, stopped.stdout_text) == (0, f"The server at {started['address']} has ended.\n")
    assert not is_running(started["process_id"])
    assert home.run("server", "stop").stdout_text == "No server runs that `imagetwins server start` started.\n"

    again = home.run("server", "start", "--port", started["address"].rpartition(":")[2])
    assert again.returncode == 0, again.stderr_text
    process = read_status(home)["process_id"]
    os.kill(process, signal.SIGKILL)
    wait_for(lambda: not is_running(process))
    assert "process_id" not in read_status(home)
    assert "No server runs" in home.run("server", "stop").stdout_text


def test_a_server_that_commands_would_not_use_is_not_started(home):
    ended = home.run("server", "start", "--port", free_port(), PREFECT_API_URL="http://127.0.0.1:9/api")
    assert ended.returncode == 1
    assert "PREFECT_API_URL names http://127.0.0.1:9/api" in ended.stderr_text


def test_a_port_that_another_program_has_is_a_sentence(home):
    # A service that hangs up on whoever calls.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        Thread(target=lambda: [taken.accept()[0].close() for _ in range(2)], daemon=True).start()
        ended = home.run("server", "start", "--port", taken.getsockname()[1])
    assert ended.returncode == 1
    assert "Address already in use. Stop what does, or name another with --port." in ended.stderr_text


def test_what_the_server_says_when_it_does_not_start_is_told_and_kept(home):
    ended = home.run("server", "start", "--port", free_port(), PREFECT_SERVER_DATABASE_CONNECTION_URL="nonsense")
    assert ended.returncode == 1
    assert "did not start: sqlalchemy.exc.ArgumentError" in ended.stderr_text
    assert "Traceback" in (home.prefect / "imagetwins-server.log").read_text()
