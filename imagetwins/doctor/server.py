"""Prefect's server and its database: which one commands use, and whether it would start."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from imagetwins import settings
from imagetwins.doctor.findings import Finding, ok, problem, warning
from imagetwins.errors import ImagetwinsError
from imagetwins.runtime.background import find_background_server
from imagetwins.runtime.places import check_prefect_home
from imagetwins.runtime.prefect_settings import DATABASE_URL, EPHEMERAL_ENABLED, find_setting
from imagetwins.runtime.server import LOOPBACK, ask_health, find_api, read_version
from imagetwins.settings import LOCAL_SERVER

ANSWER_SECONDS = 3.0
"""So long a server of this machine is waited for: it may be busy."""

LOCKED_SECONDS = 0.3
"""So long another program may hold the database before it is said to be locked."""

OFF = {"false", "0", "no", "off"}


def examine_server() -> Iterator[Finding]:
    """Yield what was found of the server that commands would use, and of the database of one that they would start."""
    if configured := find_api():
        yield from _examine_configured(configured)
        return
    kept = find_background_server()
    api = f"{kept.address if kept else LOCAL_SERVER}/api"
    try:
        status = ask_health(api, answer_seconds=ANSWER_SECONDS)
    except ConnectionRefusedError:
        yield from _examine_start()
    except OSError as error:
        yield _taken(api, str(error))
        yield from _examine_start()
    else:
        if status < 300:
            yield _compare_versions("Prefect's server", api)
        else:
            yield _taken(api, f"status {status}")
            yield from _examine_start()


def _examine_configured(api: str) -> Iterator[Finding]:
    """Yield what was found of the server that PREFECT_API_URL names."""
    remedy = "Start it, or unset PREFECT_API_URL to do without (`prefect config view` says where it is set)."
    parts = urlsplit(api)
    try:
        # What is elsewhere is asked for its version below: proxies and certificates count there.
        is_there = parts.hostname not in LOOPBACK or ask_health(api, answer_seconds=ANSWER_SECONDS) < 500
    except (OSError, ValueError) as error:
        yield problem("Prefect's server", f"{api}, which PREFECT_API_URL names, does not answer: {error}", remedy)
        return
    if is_there:
        yield _compare_versions("Prefect's server", api)
    else:
        yield problem("Prefect's server", f"{api}, which PREFECT_API_URL names, is out of order", remedy)


def _compare_versions(subject: str, api: str) -> Finding:
    theirs, ours = read_version(api), version("prefect")
    where = api.removesuffix("/api")
    if theirs is None:
        return warning(
            subject,
            f"{where} does not say which version it is",
            "If commands cannot use it: is the address right, and PREFECT_API_AUTH_STRING that of the server?",
        )
    if theirs != ours:
        return warning(
            subject,
            f"Prefect {theirs} at {where}; commands have {ours}",
            "Start the server with the same version: `imagetwins server stop`, `imagetwins server start`.",
        )
    return ok(subject, f"Prefect {theirs} at {where}")


def _taken(api: str, said: str) -> Finding:
    port = urlsplit(api).port
    return warning(
        f"port {port}",
        f"a program that is no Prefect server has it ({said})",
        "Commands do without. `imagetwins server start` and `serve` need another: --port 4300.",
    )


def _examine_start() -> Iterator[Finding]:
    """Yield whether a command could start a server for itself."""
    if str(find_setting(EPHEMERAL_ENABLED)).lower() in OFF:
        yield problem(
            "Prefect's server",
            "none runs, and PREFECT_SERVER_EPHEMERAL_ENABLED forbids to start one for a command",
            "Start one that stays: `imagetwins server start`.",
        )
        return
    try:
        check_prefect_home()
    except ImagetwinsError as error:
        yield problem("Prefect's server", str(error), "PREFECT_HOME=FOLDER, for a folder that can be written.")
        return
    yield ok(
        "Prefect's server",
        "none runs: each command starts one for itself. `imagetwins server start` keeps one running.",
    )
    url = find_setting(DATABASE_URL)
    if url and not url.startswith("sqlite"):
        yield ok("database", f"{urlsplit(url).scheme} at {urlsplit(url).hostname}")
    elif not url:
        yield examine_database(settings.prefect_home() / "prefect.db")


def examine_database(file: Path) -> Finding:
    """Return what was found of the SQLite database of a server that does not run."""
    anew = "To do with a new one meanwhile: PREFECT_HOME=FOLDER. Stores and undo do not depend on it."
    if not file.exists():
        return ok("database", f"{file}: the first command makes it, in some seconds")
    try:
        with closing(sqlite3.connect(file, timeout=LOCKED_SECONDS, isolation_level=None)) as database:
            made = database.execute("SELECT version_num FROM alembic_version").fetchone()
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return warning(
                "database",
                f"{file} is locked by another program",
                "A command waits for it. If no run is at work, find out who holds it: fuser -v " + str(file),
            )
        return problem("database", f"{file}: {error}", f"Who may read and write it? {anew}")
    except sqlite3.DatabaseError as error:
        return problem(
            "database", f"{file} is damaged: {error}", f"Move it away: the next command makes a new one. {anew}"
        )
    if made and made[0] not in known_revisions():
        return problem(
            "database",
            f"{file} was made by a newer Prefect than {version('prefect')} (revision {made[0]})",
            f"Update imagetwins. {anew}",
        )
    return ok("database", f"{file}, {file.stat().st_size / 1e6:.0f} MB")


def known_revisions() -> frozenset[str]:
    """Return the revisions of a database that the installed Prefect knows, from the names of its migrations' files."""
    found = find_spec("prefect")
    if found is None or found.origin is None:
        return frozenset()
    folder = Path(found.origin).parent / "server" / "database" / "_migrations" / "versions" / "sqlite"
    texts = (file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    return frozenset(
        revision for text in texts for revision in re.findall(r"^revision\s*=\s*\"(\w+)\"", text, re.MULTILINE)
    )
