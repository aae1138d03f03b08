"""Settings of the machine, as opposed to parameters of a run: the one module that reads the environment.

Variables are read when they are asked for, never when a module is imported. A leaf, below all rooms, because storage needs
one of them (where locks and caches of buckets lie); the functions here return what was set, checked as far as that needs no file.
"""

import getpass
import os
from contextlib import suppress
from pathlib import Path
from urllib.request import getproxies_environment

from imagetwins.errors import ParameterError

PROJECT = Path(__file__).parent.parent
"""The checkout, where this is one."""

LOCAL_SERVER = "http://127.0.0.1:4200"
"""Where Prefect's server listens by default."""

DEFAULT_CACHE_GB = "40"

NO_HOME = Path("/nonexistent")
"""What Debian calls the home of a user who has none."""


def data_directory() -> Path:
    """Return `data` of the checkout that this is; of an installed package, a folder that is the same wherever a command is given.

    That is `imagetwins` in XDG_DATA_HOME, else ~/imagetwins-data: not a hidden one, since reports are opened from it, and browsers
    from Snap and Flatpak, as Ubuntu's own, open no file in a hidden folder.
    """
    if (PROJECT / "pyproject.toml").exists():
        return PROJECT / "data"
    if shared := os.environ.get("XDG_DATA_HOME"):
        return Path(shared).absolute() / "imagetwins"
    return (home_directory() or NO_HOME) / "imagetwins-data"


def store_name() -> str:
    """Return IMAGETWINS_STORE, a path or a URL, else `store` in the directory for data."""
    return os.environ.get("IMAGETWINS_STORE") or str(data_directory() / "store")


def roots_setting() -> str:
    """Return IMAGETWINS_ROOTS: folders and URLs, separated like PATH; empty if every folder is allowed."""
    return os.environ.get("IMAGETWINS_ROOTS", "")


def home_directory() -> Path | None:
    """Return the user's home, which need not exist; None for a user whom the system does not know, where HOME is not set."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def cache_directory() -> Path:
    """Return where stores in buckets have their caches and locks on this machine.

    That is IMAGETWINS_CACHE, else `imagetwins` in XDG_CACHE_HOME, else ~/.cache/imagetwins.
    """
    if named := os.environ.get("IMAGETWINS_CACHE"):
        return Path(named).absolute()
    shared = os.environ.get("XDG_CACHE_HOME") or (home_directory() or NO_HOME) / ".cache"
    return Path(shared).absolute() / "imagetwins"


def user_name() -> str:
    """Return the name of whoever runs this process, "unknown" of a user whom the system does not know."""
    # Python 3.13 has one error for what were several.
    with suppress(OSError, KeyError, ImportError):
        return getpass.getuser()
    return "unknown"


def prefect_home() -> Path:
    """Return PREFECT_HOME, where a Prefect server of this user has its database, else ~/.prefect."""
    named = os.environ.get("PREFECT_HOME")
    return Path(named).expanduser() if named else (home_directory() or NO_HOME) / ".prefect"


def prefect_database() -> str | None:
    """Return PREFECT_SERVER_DATABASE_CONNECTION_URL: the database of a Prefect server, None if it is SQLite in its home."""
    return os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL") or None


def cache_limit_bytes() -> int:
    """Return how many bytes the caches of a store may take: IMAGETWINS_CACHE_GB, else 40 GB.

    Raises:
        ParameterError: it is no number.
    """
    given = os.environ.get("IMAGETWINS_CACHE_GB", DEFAULT_CACHE_GB)
    try:
        return int(float(given) * 1e9)
    except ValueError:
        raise ParameterError(
            f"IMAGETWINS_CACHE_GB={given!r} is no number. Give gigabytes: {DEFAULT_CACHE_GB} is the default."
        ) from None


def webhook_url() -> str | None:
    """Return IMAGETWINS_WEBHOOK: the URL that is called when a run needs a person; None if nobody is to be notified."""
    return os.environ.get("IMAGETWINS_WEBHOOK") or None


def desk_url(run_id: str) -> str | None:
    """Return where the desk of a run is, by IMAGETWINS_DESK, a URL with {run} in it; None if no desk is served."""
    return os.environ.get("IMAGETWINS_DESK", "").replace("{run}", run_id) or None


def prefect_variable(name: str) -> str | None:
    """Return a setting of Prefect's from the environment, where it has precedence; None if it is not set there."""
    return os.environ.get(name) or None


def api_credentials() -> tuple[str, str] | None:
    """Return user and password of PREFECT_API_AUTH_STRING, None if there are none."""
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if user else None


def server_password() -> str | None:
    """Return PREFECT_SERVER_API_AUTH_STRING, user:password that a server started here asks for; None if it asks for none."""
    return os.environ.get("PREFECT_SERVER_API_AUTH_STRING") or None


def proxies() -> dict[str, str]:
    """Return HTTP_PROXY and its like: the proxy of each scheme, and under "no" the hosts that are reached directly."""
    return getproxies_environment()


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
