"""`imagetwins serve` as its users start it: a process of its own, with a port, database and store of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Scheduled

from imagetwins.config.parameters import nest_options

START_SECONDS = 120
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

JOURNAL = "journal.jsonl"
"""Where a run writes down each move."""

OFTEN = {
    # How often the worker asks for runs, and the server for new schedules, and for questions whose time is up.
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "1",
}
"""Seconds in place of Prefect's 5 and more, since tests wait for each."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def slow_disk(sign, files, seconds=0.1):
    """Return the environment of a process for which flushing `files` takes so long while the file `sign` exists.

    `files` is what their paths have in common.
    """
    here = Path(__file__).with_name("startup")
    return {"PYTHONPATH": str(here), "SLOW_DISK": str(sign), "SLOW_FILES": files, "FLUSH_SECONDS": str(seconds)}


class Webhook:
    """Somebody's chat: keeps the texts that it is sent."""

    def __init__(self):
        messages = self.messages = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}/"
        Thread(target=server.serve_forever, daemon=True).start()


class Proxy:
    """A company's proxy, which reaches nobody: keeps the first line of each request."""

    def __init__(self):
        self.asked = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        Thread(target=self._refuse, daemon=True).start()

    def _refuse(self):
        while True:
            caller, _ = self._listening.accept()
            with caller, suppress(OSError):
                self.asked.append(caller.recv(1 << 16).decode(errors="replace").partition("\r\n")[0])
                caller.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


@dataclass
class Service:
    """Where everything of one served installation lies. `home` is also where it is started: not in the checkout."""

    home: Path
    port: int = field(default_factory=free_port)
    webhook: Webhook = field(default_factory=Webhook)
    proxy: Proxy = field(default_factory=Proxy)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self):
        return self.home / "store"

    @property
    def _slow(self):
        return self.home / "slow disk"

    @contextmanager
    def slow_moves(self):
        """Make the runs move files slowly for a while: every move is written to the journal, and flushed."""
        self._slow.touch()
        try:
            yield
        finally:
            self._slow.unlink()

    @property
    def nightly_folder(self):
        return self.home / "every night"

    def environment(self, **more):
        """The caller's environment without any Prefect setting of it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS"))}
        return (
            clean
            | slow_disk(self._slow, JOURNAL)
            | {
                "PREFECT_HOME": str(self.home / "prefect"),
                "IMAGETWINS_STORE": str(self.store),
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "PREFECT_CLIENT_MAX_RETRIES": "7",
                **OFTEN,
                **more,
            }
        )

    @property
    def messages(self):
        """The texts that the webhook was sent."""
        return self.webhook.messages

    def start(self):
        self.nightly_folder.mkdir(parents=True)
        command = [Path(sys.executable).with_name("imagetwins"), "serve", "--port", str(self.port), self.nightly_folder]
        with (self.home / "serve.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.home,
                env=self.environment(
                    IMAGETWINS_WEBHOOK=self.webhook.url, HTTP_PROXY=self.proxy.url, ALL_PROXY=self.proxy.url
                ),
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready(process)
        return process

    def _wait_until_ready(self, process):
        deadline = time.monotonic() + START_SECONDS
        while "Open http" not in self.log():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"imagetwins serve did not start:\n{self.log()}")
            time.sleep(0.2)

    def log(self):
        return (self.home / "serve.log").read_text(errors="replace")

    def prefect(self, *arguments, **environment):
        """Run Prefect's own command line against the server, from the repository's root."""
        return subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *map(str, arguments)],
            cwd=Path(__file__).parents[2],
            env=self.environment(PREFECT_API_URL=f"{self.url}/api", **environment),
            capture_output=True,
            text=True,
            check=True,
        )

    def imagetwins(self, *arguments):
        """Run our own command line against the server and the store."""
        command = [Path(sys.executable).with_name("imagetwins"), *map(str, arguments)]
        environment = self.environment(PREFECT_API_URL=f"{self.url}/api")
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def client(self):
        return SyncPrefectClient(f"{self.url}/api")

    def start_run(self, deployment="deduplicate-images/on-demand", **parameters):
        """Ask for a run, as the UI's Submit does, with all parameters side by side; return its id."""
        if deployment.startswith("deduplicate-images/"):
            parameters = nest_options(parameters)
        with self.client() as client:
            found = client.read_deployment_by_name(deployment)
            return client.create_flow_run_from_deployment(found.id, parameters=parameters, state=Scheduled()).id

    def find_run(self, folder):
        """Return the flow run on `folder`."""
        with self.client() as client:
            (found,) = (run for run in client.read_flow_runs() if run.parameters.get("folder") == str(folder))
        return found

    def wait_for(self, run, *states, seconds=180):
        """Wait until the run is in one of the states named; return it. Ending in another state is an error."""
        deadline = time.monotonic() + seconds
        with self.client() as client:
            while True:
                found = client.read_flow_run(run)
                if found.state.name in states:
                    return found
                if found.state.type.value in FINAL or time.monotonic() > deadline:
                    raise AssertionError(f"{found.state.name}, not {states}: {found.state.message}\n{self.log()}")
                time.sleep(0.2)

    def wait_for_question(self, run):
        """Wait until the run is suspended and Prefect has saved the form, without which it takes no answer."""
        keys = self.wait_for(run, "Suspended").state.state_details.run_input_keyset
        deadline = time.monotonic() + 60
        with self.client() as client:
            while not client.filter_flow_run_input(run, key_prefix=keys["schema"], limit=1, exclude_keys=set()):
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.1)


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)
