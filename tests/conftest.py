"""Settings and fixtures that all tests share."""

import os

import pytest
from hypothesis import settings

from tests.support.figures import FIGURES

# Before anything imports Prefect: no look-ups of the outside world, and time for the first start of its server.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
    # Prefect's SQLite database may be locked for a minute, which is as long as the default of 5 lasts.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
}

settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None, max_examples=2000, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


FIRST = [
    "test_approval.py",
    "test_moves.py",
    "test_conservation.py",
    "test_buckets.py",
    "test_flows.py",
    "test_dask.py",
    "test_interruption.py",
    "test_server_loss.py",
    "test_ui.py",
    "test_deployments.py",
    "test_kernel_cache.py",
    "test_join.py",
    "test_connecting.py",
    "test_reuse.py",
]
"""Files to begin with, since they take longest. While one process makes those that are SERVED, another makes the tests that fork
hundreds of times: a fork costs twice as much in a process that has run flows."""

SERVED = (
    "tests/deployments/",
    "tests/flows/",
    "tests/imagetwins/api/test_duplicates.py",
    "tests/imagetwins/cli/test_review.py",
    "tests/imagetwins/storage/test_buckets.py",
    "tests/ui/test_ui.py",
)
"""Where tests use the server: of several processes one makes them all. A server takes ten seconds to start, and a twentieth of a
core all the time; and while these tests wait for it, the other process computes."""

SLOW = {"service", "prefect_server", "machines", "browser", "s3_server"}
"""Fixtures that start a server, a cluster or a browser: whichever test uses one is slow."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Begin with what takes longest, and mark as slow what its fixtures make slow; before `-m` chooses by marks."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))
    for item in items:
        if SLOW & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item):
    if "service" in item.fixturenames and not item.nodeid.startswith(SERVED):
        pytest.fail("uses the server: add this file to SERVED in tests/conftest.py", pytrace=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole files, and one of them all that are SERVED."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - only where there are several processes

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "served" if nodeid.startswith(SERVED) else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def soak_factor():
    """How many times the normal sample a test of its own making draws: 1, or 20 in the profile "soak"."""
    return settings().max_examples // 100


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """`imagetwins serve` in a process of its own, for the tests that go through deployments."""
    from tests.support.service import Service, stop  # noqa: PLC0415 - imports Prefect, which takes seconds that other tests save

    # Only one process uses it: Prefect's SQLite database fails and stalls the more, the more clients write at a time.
    served = Service(tmp_path_factory.mktemp("service"))
    process = served.start()
    yield served
    stop(process)


@pytest.fixture(scope="session")
def prefect_server(service):
    """The same server, for the tests that run flows in their own process: a start takes 10 s and more."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415

    # At its end a flow waits for the thread that sends heartbeats, which sleeps for whole seconds.
    with temporary_settings({PREFECT_API_URL: f"{service.url}/api", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def pytest_sessionfinish(session):
    """Hand the figures of a process of several to the first."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = dict(FIGURES)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    FIGURES.update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter):
    """Say how much was tried to lose a file: kills, faults, sequences of steps, mutated files."""
    if FIGURES:
        terminalreporter.section("conservation")
        terminalreporter.write_line(", ".join(f"{count} {name}" for name, count in sorted(FIGURES.items())))
