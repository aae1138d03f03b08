"""The machine, Python and the packages that are installed in it."""

import platform
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from imagetwins import settings
from imagetwins.doctor.findings import Finding, ok, problem, warning

LEAST_MEMORY_BYTES = 1.5e9
"""10,000 pictures take 0.7 GB, and large photographs up to 1 GB while they are decoded."""

LEAST_OPEN_FILES = 256
"""A run has its arrays, pipes to its decoders and sockets to Prefect open: some 100 on two cores."""

TOLD_PACKAGES = ("prefect", "numpy", "opencv-python-headless", "pillow", "numba", "pandas", "pyarrow", "duckdb")
"""Packages whose versions matter when something is wrong."""


def examine_machine() -> Iterator[Finding]:
    """Yield what was found of processor, memory, system and temporary files."""
    cores = settings.count_cores()
    yield ok("system", f"{platform.system()} {platform.release()}, {platform.machine()}, {_count(cores, 'core')}")
    yield from _examine_memory()
    yield from _examine_temporary_files()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_OPEN_FILES:
        yield warning("open files", f"a process may have {soft} open", "Raise the limit in this shell: ulimit -n 1024")


def _examine_memory() -> Iterator[Finding]:
    available = _available_memory_bytes()
    if available is None:
        return
    told = f"{available / 1e9:.1f} GB are available"
    if available < LEAST_MEMORY_BYTES:
        yield warning("memory", told, "Close what takes much of it, or run on fewer pictures at a time.")
    else:
        yield ok("memory", told)


def _available_memory_bytes() -> int | None:
    """Return how many bytes a process can still have; None where the system does not say. A container's limit counts."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):
        limits = Path("/sys/fs/cgroup")
        limit, used = (int((limits / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        found.append(limit - used)
    return min(found, default=None)


def _examine_temporary_files() -> Iterator[Finding]:
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        yield problem("temporary files", str(error.strerror), "Set TMPDIR to a folder that can be written.")


def examine_packages() -> Iterator[Finding]:
    """Yield what was found of Python, and of the packages that imagetwins stands on."""
    told = ", ".join(f"{name} {version(name)}" for name in TOLD_PACKAGES if _is_installed(name))
    yield ok("Python", f"{platform.python_version()} in {sys.prefix}")
    wrong = [said for needed in requires("imagetwins") or [] if (said := find_mismatch(Requirement(needed)))]
    if wrong:
        yield problem(
            "packages",
            "; ".join(wrong),
            "Install imagetwins anew, in an environment of its own: `uv tool install --force`, `pipx install --force`, or `make "
            "clean demo` in a checkout.",
        )
    else:
        yield ok("packages", f"imagetwins {version('imagetwins')}: {told}")


def find_mismatch(needed: Requirement) -> str | None:
    """Return in what way a package that is needed here is not as it is needed; None if it is."""
    # Extras are what a user may do without.
    if needed.marker and not needed.marker.evaluate({"extra": ""}):
        return None
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is missing"
    return (
        None
        if needed.specifier.contains(found, prereleases=True)
        else f"{needed.name} {found} is not {needed.specifier}"
    )


def _is_installed(name: str) -> bool:
    with suppress(PackageNotFoundError):
        return bool(version(name))
    return False


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
