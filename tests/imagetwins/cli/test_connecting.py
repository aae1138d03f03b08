"""A command without a server starts one of its own, first thing, and leaves nothing running, however it ends."""

import signal
import socket
import sys

import pytest

from imagetwins.cli import connecting
from imagetwins.errors import ClusterError, ServerError
from imagetwins.storage import DUPLICATES
from tests.support.commands import Home, find_servers, is_running, wait_for
from tests.support.pictures import encode, photo

pytestmark = pytest.mark.slow

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")


def usual_port_is_taken():
    """Whether a server of the tester's own would be used instead."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", 4200)) == 0


needs_free_port = pytest.mark.skipif(usual_port_is_taken(), reason="a server runs on this machine's port 4200")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One database for all tests: making one takes seconds."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, kind in (("a.png", "PNG"), ("b.webp", "WEBP")):
        (pictures / name).write_bytes(encode(photo(), kind, quality=95))
    (pictures / "Thumbs.db").touch()
    return pictures


@needs_free_port
def test_two_commands_at_once_make_the_database_and_both_work(home, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.png").write_bytes(encode(photo(), "PNG"))

    commands = [home.start("run", place, "--dry-run") for place in (folder, other)]
    ends = [(*command.communicate(timeout=180), command.returncode) for command in commands]

    assert [end[2] for end in ends] == [0, 0], ends
    said = ends[0][1]
    lines = said.splitlines()
    assert lines[0] == f"Starting Prefect's server in {home.prefect} ..."
    assert lines[1].startswith(f"2 pictures in {folder} (0.0 MB)")
    assert "took" in lines[-1]
    assert lines[-1].endswith("`imagetwins server start` keeps one running.")
    assert "1 duplicate among 2 pictures" in ends[0][0]
    assert "0 duplicates among 1 picture" in ends[1][0]


@needs_free_port
@needs_proc
@pytest.mark.parametrize("sign", ["Starting Prefect's server", "1 of them to compare"], ids=["starting", "running"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_server(home, folder, sign, number):
    command = home.start("run", folder, "--dry-run")
    while sign not in (line := command.stderr.readline()):
        assert line, "the command has ended"
    (server,) = wait_for(lambda: find_servers(command.pid))

    command.send_signal(number)
    _, said = command.communicate(timeout=60)

    assert command.returncode == (1 if number == signal.SIGINT else -number)
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert ("Nothing was begun" if "Starting" in sign else "Interrupted") in said
        assert not is_running(server)
    wait_for(lambda: not is_running(server), 20)


@needs_free_port
@pytest.mark.parametrize(
    ("database", "why"),
    [
        ("sqlite+aiosqlite:////nowhere/at/all.db", "unable to open database file"),
        ("postgresql+asyncpg://me:secret@127.0.0.1:9/prefect", "Connect call failed"),
    ],
)
def test_a_server_that_does_not_start_is_a_sentence(home, folder, database, why):
    ended = home.run("run", folder, PREFECT_SERVER_DATABASE_CONNECTION_URL=database)

    assert ended.returncode == 1
    last = ended.stderr_text.splitlines()[-1]
    assert last.startswith("Failed: Prefect's server did not start: ")
    assert why in last
    assert "Traceback" not in ended.stderr_text
    assert "secret" not in ended.stderr_text
    assert not (folder / DUPLICATES).exists()


@needs_free_port
def test_what_is_wrong_with_the_parameters_is_said_before_a_server_is_started(home, folder):
    ended = home.run("run", folder, "--threshold", "1.5")

    assert ended.returncode == 2
    assert "Starting" not in ended.stderr_text


@needs_free_port
def test_a_user_who_forbids_servers_for_single_commands_gets_none(home, folder):
    ended = home.run("run", folder, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="false")

    assert ended.returncode == 1
    assert "`imagetwins server start`" in ended.stderr_text
    assert "Starting" not in ended.stderr_text


@needs_free_port
def test_passwords_of_the_user_are_no_hindrance(home, folder):
    ended = home.run(
        "run",
        folder,
        "--dry-run",
        PREFECT_SERVER_API_AUTH_STRING="me:secret",
        PREFECT_API_KEY="key",
        PREFECT_HOME=home.prefect,
    )

    assert ended.returncode == 0, ended.stderr_text
    assert "1 duplicate among 2 pictures" in ended.stdout_text


def test_a_cluster_is_given_no_server_that_its_workers_cannot_reach():
    with pytest.raises(ClusterError, match="--host ADDRESS"):
        connecting._check_may_start(is_shared=True)


def test_a_profile_may_forbid_it_too(tmp_path, monkeypatch):
    (tmp_path / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_SERVER_EPHEMERAL_ENABLED = false\n'
    )
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with pytest.raises(ServerError, match="server start"):
        connecting._check_may_start(is_shared=False)
