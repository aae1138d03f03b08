"""Which server is used: loopback needs no proxy, and a server that does not answer is a sentence."""

import socket
import subprocess
import sys
import time
from urllib.request import getproxies_environment

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.errors import ServerError
from imagetwins.runtime import server
from imagetwins.runtime.server import LOOPBACK, bypass_proxy_on_loopback, check_server
from tests.support.past_runs import image_table, write_run
from tests.support.service import Proxy

NOBODY = "http://127.0.0.1:9/api"


@pytest.fixture(scope="module")
def listening():
    return Proxy()


@pytest.fixture
def proxy(listening, monkeypatch):
    """A proxy that listens, which no variable names yet; the environment is as before afterwards."""
    for name in (*(f"{scheme}_proxy" for scheme in getproxies_environment()), "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # Entered and taken out, so that what the code under test sets is taken out, too.
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    listening.asked.clear()
    return listening


def reach(host):
    """Ask for a page of a host where nobody listens; whether that was tried directly."""
    try:
        return httpx.get(f"http://{f'[{host}]' if ':' in host else host}:9/", timeout=5).status_code != 502
    except httpx.ConnectError:
        return True


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_loopback_is_reached_directly_and_all_else_through_the_proxy(proxy, monkeypatch, name):
    monkeypatch.setenv(name, proxy.url)
    bypass_proxy_on_loopback()
    assert all(reach(host) for host in LOOPBACK)
    assert proxy.asked == []
    assert not reach("pictures.invalid")
    assert proxy.asked == ["GET http://pictures.invalid:9/ HTTP/1.1"]


def test_so_do_the_processes_that_are_started(proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    bypass_proxy_on_loopback()
    program = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", program, NOBODY], capture_output=True, text=True, check=False)
    assert "Connection refused" in ended.stderr
    assert proxy.asked == []


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("given", ["inside.invalid", " inside.invalid , ::1", "*"])
def test_what_the_user_reaches_directly_stays_so(proxy, monkeypatch, name, given):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv(name, given)
    for _ in range(2):
        bypass_proxy_on_loopback()
    assert all(reach(host) for host in (*LOOPBACK, "inside.invalid"))
    assert reach("outside.invalid") is (given == "*")


@pytest.mark.usefixtures("proxy")
def test_without_a_proxy_nothing_is_set():
    bypass_proxy_on_loopback()
    assert getproxies_environment() == {}


def test_loopback_is_reached_where_the_proxy_is_a_socks_one(proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy.url.replace("http", "socks5h"))
    bypass_proxy_on_loopback()
    assert reach("127.0.0.1")
    assert proxy.asked == []


@pytest.fixture
def commands(tmp_path):
    """The arguments of each command that needs a server."""
    store, folder = tmp_path / "store", tmp_path / "folder"
    folder.mkdir()
    write_run(store, "20261120T020000Z-1", image_table(["/a.jpg", "/b.jpg"]), {(0, 1): (0.95, 0.93)})
    at = ["--store", str(store)]
    return {
        "run": ["run", str(folder), *at],
        "restore": ["restore", "latest", *at],
        "apply": ["apply", "latest", "--threshold", "0.95", *at],
        "calibrate": ["calibrate", str(folder), *at],
        "approve": ["approve", "latest", *at],
        "serve": ["serve", str(folder)],
    }


@pytest.mark.parametrize("command", ["run", "restore", "apply", "calibrate", "approve", "serve"])
def test_a_server_that_does_not_answer_is_a_sentence_and_a_code(commands, command, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)
    with temporary_settings({PREFECT_API_URL: NOBODY}):
        ended = CliRunner().invoke(app, commands[command])
    said = " ".join(ended.stderr.split())
    assert (ended.exit_code, type(ended.exception)) == (1, SystemExit)
    assert f"Failed: no Prefect server answers at {NOBODY}" in said
    assert "Start that server, or unset PREFECT_API_URL" in said


@pytest.mark.parametrize("api", ["http://nobody.invalid/api", "no address", "http://127.0.0.1:port/api"])
def test_an_address_that_leads_nowhere_is_named(api):
    with pytest.raises(ServerError, match=api):
        check_server(api)


def test_a_server_that_takes_calls_and_never_answers_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        start = time.monotonic()
        with pytest.raises(ServerError, match="timed out"):
            check_server(api)
    assert time.monotonic() - start < 5


def test_a_proxy_that_reaches_nobody_is_no_server(proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with pytest.raises(ServerError, match=r"502 Bad Gateway.*PREFECT_API_URL"):
        check_server("http://prefect.invalid/api")
