"""Start Prefect's server in a process of its own, wait for it, and stop it. Prefect itself is not imported.

Whoever starts the server listens on its address first, and hands the socket on: so no other process takes the port meanwhile, and
one request, sent at once and answered when the server is there, is all the waiting.
"""

import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO

from imagetwins.errors import ServerError
from imagetwins.runtime.server import ask_health

STARTUP_SECONDS = 120
"""A first start makes the database, which takes 6 s on two idle cores."""

STOP_SECONDS = 15
"""How long a server may take to write down what it knows."""

FOR_ONE_COMMAND = {
    # Blocks are for deployments, and looking for them imports all packages that might have some.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT_SERVER_API_BASE_PATH": "/api",
    # A password keeps all others out.
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false",
}
"""Settings of a server that one command starts for itself, whatever the user has set."""


@dataclass
class ServerProcess:
    """A server that this process has started.

    Attributes:
        address: without `/api`.
        process: what runs.
        said: the file that it writes its words to, None if those of this process.
        password: user:password that it asks for, None if that is the user's affair.
    """

    address: str
    process: subprocess.Popen[bytes]
    said: IO[bytes] | None = None
    password: str | None = None

    @property
    def api(self) -> str:
        """The address of its API."""
        return f"{self.address}/api"

    def wait(self) -> None:
        """Return as soon as the server answers.

        Raises:
            ServerError: it ended, or did not answer in time; with the last that it said.
        """
        try:
            ask_health(self.api, answer_seconds=STARTUP_SECONDS)
        except TimeoutError:
            raise ServerError(
                f"Prefect's server at {self.address} did not answer within {STARTUP_SECONDS} s."
            ) from None
        except OSError:
            self.stop()
            raise ServerError(
                f"Prefect's server did not start{self._last_words()} `imagetwins doctor` says what to do about it."
            ) from None

    def stop(self) -> None:
        """Ask the server to end, and wait until it has; after Ctrl-C it is not waited for."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self.process.kill()
            self.process.wait()

    def _last_words(self) -> str:
        if self.said is None:
            return "; what it said is above."
        self.said.seek(0)
        # The last line of a traceback, or the first of its last lines.
        errors = re.findall(r"^[\w.]+(?:Error|Exception)\b.*", self.said.read().decode(errors="replace"), re.MULTILINE)
        return f": {errors[-1].rstrip('.')}." if errors else "."


def start_for_command(*, verbose: bool) -> ServerProcess:
    """Start a server that serves this process alone, and ends with it, however that ends.

    Others cannot use it: it asks for a password that only this process knows. With `verbose`, its words go where ours go.
    """
    password = f"imagetwins:{secrets.token_hex(16)}"
    environment = {**FOR_ONE_COMMAND, "PREFECT_SERVER_API_AUTH_STRING": password}
    # Without a name, and so gone with its last reader.
    said = None if verbose else tempfile.TemporaryFile()  # noqa: SIM115
    started = start_server("127.0.0.1", 0, environment, ["--parent", str(os.getpid())], output=said)
    started.password = password
    return started


def start_server(
    host: str,
    port: int,
    environment: dict[str, str] | None = None,
    arguments: list[str] | None = None,
    *,
    output: IO[bytes] | None = None,
    keep: tuple[int, ...] = (),
) -> ServerProcess:
    """Start a server that listens on `host` and `port`; 0 is any free port.

    Args:
        host, port: its address.
        environment: settings that it has whatever the user's are.
        arguments: more for `prefect_server`.
        output: the file for its words; by default they go where ours go.
        keep: descriptors that it holds open, besides its socket.

    Raises:
        ServerError: the address cannot be had.
    """
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ServerError(
            f"no server can listen on {host}, port {port}: {os.strerror(error.errno or 0)}. Stop what does, or name another with --port."
        ) from None
    with listening:
        address = name_address(host, listening.getsockname()[1])
        # -P: what lies in the current folder is not taken for a module.
        command = [sys.executable, "-P", "-m", "imagetwins.runtime.prefect_server", "--socket", str(listening.fileno())]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [*command, *(arguments or [])],
            env=_guards(address) | os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=output,
            pass_fds=(listening.fileno(), *keep),
            # A session of its own: Ctrl-C reaches us alone, and the server stops after what it serves.
            start_new_session=True,
        )
    return ServerProcess(address, process, output)


def name_address(host: str, port: int) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    known = "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{known}:{port}"


def _guards(address: str) -> dict[str, str]:
    """Return the settings that hold for a server at `address` unless the user has set others."""
    return {
        # Otherwise any page that is open in the user's browser could start a run.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        # Otherwise the UI looks for the API at this machine's port 4200, whoever's browser it is.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # What notifications link to.
        "PREFECT_UI_URL": address,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
