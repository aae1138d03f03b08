"""A server that is kept running in the background for later commands, and the note in Prefect's home that tells of it.

The server holds the lock of its note for as long as it lives, because it inherits the descriptor on which the lock was taken. So
there is no stale note: where the lock is free, no server runs, whatever the note says and whichever process has its number now.
"""

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from imagetwins import settings
from imagetwins.errors import ServerError
from imagetwins.runtime.places import check_prefect_home
from imagetwins.runtime.prefect_settings import DATABASE_URL, find_setting
from imagetwins.runtime.server_process import STOP_SECONDS, start_server

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class BackgroundServer:
    """What the note says.

    Attributes:
        address: where the server listens, without `/api`.
        process_id: its process.
        started: when, as ISO 8601 in UTC.
        version: Prefect's.
        database: its URL without a password.
        log: the file with what the server said.
    """

    address: str
    process_id: int
    started: str
    version: str
    database: str
    log: str


def note_path() -> Path:
    """Return the file that tells of the server."""
    return settings.prefect_home() / "imagetwins-server.json"


def log_path() -> Path:
    """Return the file with what the server says."""
    return settings.prefect_home() / "imagetwins-server.log"


def find_background_server() -> BackgroundServer | None:
    """Return the server that `start_background_server` started and that runs still; None if there is none."""
    try:
        descriptor = os.open(note_path(), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _lock(descriptor, fcntl.LOCK_SH) else _read_note(descriptor)
    finally:
        os.close(descriptor)


def start_background_server(port: int) -> BackgroundServer:
    """Start a server on `port` of 127.0.0.1 that outlives this process, wait until it answers, and return it.

    Raises:
        ParameterError: Prefect's home cannot be written.
        ServerError: one runs or starts already, the port is taken, or the server did not start.
    """
    check_prefect_home()
    note_path().parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(note_path(), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        if not _lock(descriptor, fcntl.LOCK_EX):
            raise ServerError("another command has just started a server. `imagetwins server status` tells of it.")
        with log_path().open("w+b") as log:
            started = start_server("127.0.0.1", port, output=log, keep=(descriptor,))
            note = BackgroundServer(
                address=started.address,
                process_id=started.process.pid,
                started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                version=version("prefect"),
                database=_describe_database(),
                log=str(log_path()),
            )
            _write_note(descriptor, note)
            try:
                started.wait()
            except BaseException:
                started.stop()
                raise
        return note
    finally:
        os.close(descriptor)


def stop_background_server(server: BackgroundServer) -> None:
    """End `server`, and return when it has ended.

    Raises:
        ServerError: it does not end, or its process is not to be seen from here.
    """
    if not _is_server(server.process_id):
        raise ServerError(
            f"process {server.process_id} is not the server that {str(note_path())!r} tells of: it was started in another container. "
            "Stop it there."
        )
    os.kill(server.process_id, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while find_background_server() == server:
        if time.monotonic() > deadline:
            raise ServerError(f"the server did not end within {STOP_SECONDS} s: process {server.process_id}.")
        time.sleep(LOOK_SECONDS)


def _lock(descriptor: int, kind: int) -> bool:
    """Try to lock the file, and return whether that succeeded."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_note(descriptor: int) -> BackgroundServer | None:
    """Return what the note says; None in the moment before it is written."""
    with suppress(ValueError, TypeError):
        return BackgroundServer(**json.loads(os.pread(descriptor, 1 << 16, 0)))
    return None


def _write_note(descriptor: int, note: BackgroundServer) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(note)).encode(), 0)


def _describe_database() -> str:
    """Return the URL of the database of a server that is started now, without the password in it."""
    url = find_setting(DATABASE_URL) or f"sqlite+aiosqlite:///{settings.prefect_home() / 'prefect.db'}"
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@") if password else url


def _is_server(process_id: int) -> bool:
    """Whether that process is a server of ours, as far as the system tells."""
    if sys.platform != "linux":
        return True
    try:
        return b"imagetwins.runtime.prefect_server" in Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return False
