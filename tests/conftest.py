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
}

settings.register_profile("default", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None, max_examples=2000, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


SERVED = (
    ("tests/deployments/test_deployments.py", "tests/flows/test_approval.py", "tests/ui/test_ui.py"),
    (
        "tests/flows/test_dask.py",
        "tests/flows/test_flows.py",
        "tests/flows/test_interruption.py",
        "tests/imagetwins/storage/test_buckets.py::test_a_run_its_undo_and_its_scores_at_another_threshold",
    ),
)
"""Files and tests that need Prefect's server, in two groups that take about as long. Of several processes each group goes to
one, so that a server is started twice and not for every file."""


def find_group(nodeid):
    """Return the number of the group of SERVED that a test is in; None if it needs no server."""
    found = (number for number, group in enumerate(SERVED) if nodeid.startswith(group))
    return next(found, None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole files, as the fixtures of a module are shared, and each group of SERVED to one."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - here there is pytest-xdist

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            group = find_group(nodeid)
            return super()._split_scope(nodeid) if group is None else f"served {group}"

    return Scheduling(config, log)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest."""
    items.sort(key=lambda item: find_group(item.nodeid) is None)


@pytest.fixture(scope="session")
def soak_factor():
    """How many times the normal sample a test of its own making draws: 1, or 20 in the profile "soak"."""
    return settings().max_examples // 100


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """`imagetwins serve` in a process of its own, for the tests that go through deployments."""
    from tests.support.service import Service, stop  # noqa: PLC0415 - imports Prefect, which takes seconds that other tests save

    served = Service(tmp_path_factory.mktemp("service"))
    process = served.start()
    yield served
    stop(process)


@pytest.fixture(scope="session")
def prefect_server(service):
    """The same server, for the tests that run flows in their own process: a start takes 10 s and more."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - as above

    with temporary_settings({PREFECT_API_URL: f"{service.url}/api"}):
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
