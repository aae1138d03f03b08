"""Nothing leaves the machine: whatever a whole command would ask for elsewhere would go through a proxy, which hears of it here."""

import os
import pty
import select
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from threading import Thread

import pytest

from tests.support.commands import Home
from tests.support.pictures import encode, photo

pytestmark = pytest.mark.slow

PROGRAM = "import sys; from imagetwins.cli.app import main; sys.argv[0] = 'imagetwins'; main()"

CONTINUOUS = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TRAVIS", "BUILDKITE", "TF_BUILD", "CI_NAME")
"""Variables by which Prefect's library would hold back its telemetry, whatever we ask of it."""


@contextmanager
def listening_proxy():
    """Yield the address of a proxy that refuses all, and the list of what it was asked for."""
    asked = []

    def listen(listener):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    asked.append(connection.recv(4096).partition(b"\r\n")[0].decode())
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=listen, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def run_in_terminal(command, environment):
    """Run `command` in a terminal of its own, as a person does: elsewhere Prefect's library reports nothing anyway."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    shown, until = b"", time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if select.select([ours], [], [], 0.1)[0]:
            with suppress(OSError):  # It has been closed at the other end.
                shown += os.read(ours, 1 << 16)
    os.close(ours)
    return process.wait(timeout=10), shown.decode(errors="replace")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "pictures").mkdir()
    for name, kind in (("a.png", "PNG"), ("b.webp", "WEBP")):
        (folder / "pictures" / name).write_bytes(encode(photo(), kind, quality=95))
    return Home(folder)


@pytest.mark.parametrize("wanted", [False, True], ids=["as it is", "switched on by the user"])
def test_a_whole_command_asks_for_nothing_outside_unless_the_user_has_switched_telemetry_on(home, wanted):
    with listening_proxy() as (proxy, asked):
        proxies = {f"{scheme}_proxy": proxy for scheme in ("http", "https", "all")}
        environment = home.environment(**proxies)
        for name in (*CONTINUOUS, "DO_NOT_TRACK", "NO_PROXY", "no_proxy"):
            environment.pop(name, None)
        if wanted:
            # That the proxy would hear of it.
            environment |= {"DO_NOT_TRACK": "0", "PREFECT_SERVER_ANALYTICS_ENABLED": "true"}
        command = [sys.executable, "-c", PROGRAM, "run", str(home.folder / "pictures"), "--dry-run", "--size", "32"]
        status, shown = run_in_terminal(command, environment)

    assert status == 0, shown
    assert "among 2 pictures" in shown
    assert bool(asked) == wanted, asked
