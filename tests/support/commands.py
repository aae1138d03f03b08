"""Our command line as a person starts it, in a process and a home of its own, where no server runs."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS = 120
FOREGROUND = """
import signal, sys
from imagetwins.cli.app import main

# A shell's background jobs, and so tests that run as one, hand on that Ctrl-C is to be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "imagetwins"
main()
"""


@dataclass(frozen=True)
class Home:
    """Where a user's Prefect and store lie; `folder` is where the commands are started."""

    folder: Path

    @property
    def prefect(self):
        return self.folder / "prefect"

    @property
    def store(self):
        return self.folder / "store"

    def environment(self, **more):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS"))}
        places = {"PREFECT_HOME": str(self.prefect), "IMAGETWINS_STORE": str(self.store), "COLUMNS": "200"}
        return clean | places | more

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "-c", FOREGROUND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **environment):
        process = self.start(*arguments, **environment)
        process.stdout_text, process.stderr_text = process.communicate(timeout=SECONDS)
        return process


def find_servers(parent):
    """Return the process ids of the servers that the process `parent` has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            started_by = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if started_by == parent and b"prefect_server" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
    return found


def wait_for(what, seconds=SECONDS):
    """Wait until `what()` is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def is_running(process):
    with suppress(OSError):
        # A zombie is over: nobody has asked for its end yet.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
