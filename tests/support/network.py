"""Machines of a test: network namespaces with addresses of their own, joined by a bridge. Needs root and `ip`."""

import ctypes
import os
import shutil
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

NET = f"198.18.{os.getpid() % 256}"
"""In the range that RFC 2544 sets apart for tests; two test runs on one machine hardly ever take the same."""

CLONE_NEWNET = 0x40000000


def why_not():
    """Why this machine can have no namespaces; "" if it can."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "network namespaces need root and the program ip"
    probe = f"imagetwins-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    ip("netns", "del", probe)
    return ""


def ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True)


class Network:
    """A bridge of this machine, whose address is the first, and the machines at it. Leaves nothing behind."""

    def __init__(self, logs: Path):
        self.logs = logs
        self.bridge = f"itw{os.getpid()}"
        self.machines = {}
        self.processes = []
        self._undo = ExitStack()

    def __enter__(self):
        ip("link", "add", self.bridge, "type", "bridge")
        self._undo.callback(ip, "link", "del", self.bridge)
        ip("addr", "add", f"{NET}.1/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        self._undo.close()

    def add(self, name):
        """Add a machine; return its address."""
        number = len(self.machines) + 2
        space, here, there = self._space(name), f"{self.bridge}.{number}", f"itv{number}"
        self.machines[name] = f"{NET}.{number}"
        ip("netns", "add", space)
        self._undo.callback(ip, "netns", "del", space)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space)
        # A namespace outlives its name while a socket is open in it.
        self._undo.callback(ip, "link", "del", here)
        ip("link", "set", here, "master", self.bridge, "up")
        for command in (
            ["addr", "add", f"{self.machines[name]}/24", "dev", there],
            ["link", "set", there, "up"],
            ["link", "set", "lo", "up"],
        ):
            ip("-n", space, *command)
        return self.machines[name]

    def start(self, name, *command, **environment):
        """Start a process on the machine `name`; it has mounts of its own too. Its output is in a file of `logs`."""
        number = len(self.processes)
        with (self.logs / f"{number}-{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", self._space(name), *map(str, command)],
                    env=os.environ | environment,
                    stdout=log,
                    stderr=log,
                )
            )
        return self.processes[-1]

    def forward(self, name, port):
        """Make this machine's 127.0.0.1:`port` the machine's own."""
        opened = []
        opener = Thread(target=lambda: opened.append(self._listen(name, port)))
        opener.start()
        opener.join()
        # Closed only, it would not wake who waits for a caller.
        self._undo.callback(opened[0].shutdown, socket.SHUT_RDWR)
        Thread(target=_relay, args=(opened[0], port), daemon=True).start()

    def _listen(self, name, port):
        """Return a socket that listens in the machine's namespace; this thread stays in it."""
        with Path("/var/run/netns", self._space(name)).open() as space:
            if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_server(("127.0.0.1", port))

    def _space(self, name):
        return f"{self.bridge}-{name}"


class Line:
    """A line to a server of this machine at `port`. Once it is cut, the server is gone for who knows it by `url`."""

    def __init__(self, port):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._callers = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        Thread(target=_relay, args=(self._listening, port, self._callers), daemon=True).start()

    def cut(self):
        for open_socket in (self._listening, *self._callers):
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


def _relay(listening, port, callers=None):
    with listening, suppress(OSError):
        while True:
            caller, _ = listening.accept()
            if callers is not None:
                callers.append(caller)
            Thread(target=_join, args=(caller, port), daemon=True).start()


def _join(caller, port):
    """Carry what is said on the two ends of one connection."""
    with caller, suppress(OSError), socket.create_connection(("127.0.0.1", port)) as answering:
        back = Thread(target=_pump, args=(answering, caller), daemon=True)
        back.start()
        _pump(caller, answering)
        back.join()


def _pump(source, target):
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
