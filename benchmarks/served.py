"""From the click to the first stage: a run that Prefect's UI is asked for, on `imagetwins serve`.

Starts `imagetwins serve`, and asks for a run on the folder through the API, as the UI's Submit does, at any moment between two
questions of the worker's. Printed are the medians of the seconds from there on until the worker takes the run up, the flow begins, its
first stage begins, and the run is completed; and the processor time that server, worker and run took. With `--before`, the
`imagetwins` of another checkout, both are asked in turn. A first run of each, which compiles, is not counted.

    python -m benchmarks.served FOLDER [--rounds 5] [--command IMAGETWINS] [--before IMAGETWINS]
"""

import argparse
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.states import Scheduled

from imagetwins.runtime.server import bypass_proxy_on_loopback

START_SECONDS = 120
BETWEEN_SECONDS = 4.0
"""The longest pause before a click: more than a worker takes between two questions."""

STEPS = ("taken up", "flow begins", "first stage", "completed", "CPU")


@dataclass
class Service:
    """`imagetwins serve` at work: its address, and the folder in whose name all its processes are known."""

    address: str
    home: Path

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(f"{self.address}/api")

    def cpu_seconds(self) -> float:
        """Return the processor time of the server, the worker and their children that have ended."""
        ticks = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if str(self.home).encode() in (process / "environ").read_bytes():
                    ticks += sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15]))
            except OSError:  # It has ended, or is somebody else's.
                continue
        return ticks / os.sysconf("SC_CLK_TCK")

    def measure(self, folder: Path) -> list[float]:
        """Ask for a run; return the seconds until each of STEPS."""
        time.sleep(random.uniform(0, BETWEEN_SECONDS))  # noqa: S311 - no secret
        before = self.cpu_seconds()
        with self.client() as client:
            deployment = client.read_deployment_by_name("deduplicate-images/on-demand")
            clicked = time.time()
            run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"folder": str(folder), "dry_run": True}, state=Scheduled()
            ).id
            _wait_until_completed(client, run)
            # Its last task runs are recorded, and its process ends, a little later.
            time.sleep(3)
            states = {state.type.value: state.timestamp.timestamp() for state in client.read_flow_run_states(run)}
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [run]}))
        first = min(task.start_time.timestamp() for task in tasks if task.start_time)
        steps = [states["PENDING"], states["RUNNING"], first, states["COMPLETED"]]
        return [step - clicked for step in steps] + [self.cpu_seconds() - before]


def _wait_until_completed(client: SyncPrefectClient, run: UUID) -> None:
    while True:
        state = client.read_flow_run(run).state
        if state and state.is_final():
            if not state.is_completed():
                raise RuntimeError(state.message)
            return
        time.sleep(0.3)


@contextmanager
def serving(command: Path) -> Iterator[Service]:
    """Yield a service that `command` runs, with a store and a database of its own."""
    with tempfile.TemporaryDirectory() as temporary, socket.socket() as probe:
        home = Path(temporary)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS"))}
        own = {"PREFECT_HOME": str(home / "prefect"), "IMAGETWINS_STORE": str(home / "store")}
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [command, "serve", "--port", str(port)], cwd=home, env=clean | own, stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Open http" not in (home / "log").read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((home / "log").read_text(errors="replace"))
                time.sleep(0.2)
            yield Service(f"http://127.0.0.1:{port}", home)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def main() -> None:
    bypass_proxy_on_loopback()
    here = Path(sys.executable).with_name("imagetwins")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--command", type=Path, default=here)
    parser.add_argument("--before", type=Path)
    given = parser.parse_args()
    commands = {"before": given.before, "now": given.command} if given.before else {"now": given.command}
    with ExitStack() as stack:
        services = {name: stack.enter_context(serving(command)) for name, command in commands.items()}
        rounds = [
            {name: service.measure(given.folder.absolute()) for name, service in services.items()}
            for _ in range(given.rounds + 1)
        ][1:]
    print(f"{'seconds from the click':24}" + "".join(f"{step:>13}" for step in STEPS))
    for name in services:
        medians = [statistics.median(column) for column in zip(*(one[name] for one in rounds), strict=True)]
        print(f"{name:24}" + "".join(f"{median:13.2f}" for median in medians))


if __name__ == "__main__":
    main()
