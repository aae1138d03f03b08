"""Where a command keeps what is not in the store: compiled kernels, the database of Prefect's server, caches.

A service may have no home that it can write, an installation that it may only read, or both, as in a container.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import imagetwins
from imagetwins import settings
from imagetwins.errors import ParameterError
from imagetwins.storage import can_be_written, private_directory

PROFILES = "profiles.toml"
"""In Prefect's home: which server to use."""


def use_writable_places() -> None:
    """Where this user's usual places cannot be written, name others, for this process and its children.

    They are below IMAGETWINS_CACHE, else the user's cache, else a private directory in the temporary one. What the user has
    named stays. To be called before Prefect, numba and Matplotlib are imported, which read these names then.
    """
    if settings.home_directory() is None:
        # Prefect does not start without one.
        os.environ["HOME"] = str(settings.NO_HOME)
    if not can_be_written(settings.cache_directory()):
        with suppress(OSError):
            os.environ.setdefault("IMAGETWINS_CACHE", str(private_directory()))
    cache, home = settings.cache_directory(), settings.home_directory() or settings.NO_HOME
    if not can_be_written(cache):
        return
    prefect = home / ".prefect"
    if not can_be_written(prefect) and not os.path.lexists(prefect / PROFILES):
        os.environ.setdefault("PREFECT_HOME", str(cache / "prefect"))
    if not can_be_written(home / ".config" / "matplotlib"):
        os.environ.setdefault("MPLCONFIGDIR", str(cache / "matplotlib"))
    if not can_be_written(Path(imagetwins.__file__).parent / "ssim" / "__pycache__"):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(cache / "kernels"))


def use_one_blas_thread() -> None:
    """Have NumPy and SciPy start no threads, in this process and its children: a run's own threads use all cores.

    Starting them takes as long as all else of importing NumPy. To be called before it is imported.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def check_temporary_directory() -> None:
    """Refuse to begin where no temporary file can be made: decoders need them.

    Raises:
        ParameterError: naming the directories that were tried, and the remedy.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ParameterError(f"{error.strerror}. Set TMPDIR to a folder that can be written.") from None


def check_prefect_home() -> None:
    """Refuse to start a Prefect server that could not make its database.

    Raises:
        ParameterError: naming the folder and the remedy.
    """
    home = settings.prefect_home()
    if not can_be_written(home) and not settings.prefect_database():
        raise ParameterError(
            f"Prefect's home {str(home)!r} cannot be written. Set PREFECT_HOME to a folder that can, or PREFECT_API_URL to a "
            "server that runs."
        )
