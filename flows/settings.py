"""What the machine decides and not the run: where the store is, how many workers there are, which folders are allowed."""

import os
from pathlib import Path

from imagetwins.errors import ParameterError
from imagetwins.parameters import Parameters
from imagetwins.roots import check_roots, parse_roots

PROJECT = Path(__file__).parent.parent


def default_store() -> Path:
    """Return IMAGETWINS_STORE, else `data/store` of the checkout that this is, else of the current folder."""
    home = PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()
    return Path(os.environ.get("IMAGETWINS_STORE") or home / "data" / "store")


def resolve_store(store: str | Path | None) -> Path:
    """Return the store's folder, which need not exist yet, as an absolute path, checked against the allowed roots.

    Raises:
        ParameterError: it is outside the roots, or a file is in its way.
    """
    place = Path(store or default_store()).expanduser().absolute()
    check_roots([place], allowed_roots())
    there = next(part for part in (place, *place.parents) if part.exists())
    if not there.is_dir():
        raise ParameterError(
            f"store {str(place)!r} cannot be a folder: {str(there)!r} is a file. Name another with --store or "
            "IMAGETWINS_STORE."
        )
    return place


def allowed_roots() -> list[Path]:
    """Return the folders of IMAGETWINS_ROOTS (separated like PATH); none means that every folder is allowed."""
    return parse_roots(os.environ.get("IMAGETWINS_ROOTS", ""))


def check_places(parameters: Parameters) -> None:
    """Refuse a run on folders outside the allowed roots, or with a store that can be none."""
    resolve_store(parameters.store)
    check_roots([Path(parameters.folder), *map(Path, parameters.reference)], allowed_roots())


def cache_limit() -> int:
    """Return how many bytes the caches of a store may take: IMAGETWINS_CACHE_GB, else 40 GB.

    Raises:
        ParameterError: it is no number.
    """
    given = os.environ.get("IMAGETWINS_CACHE_GB", "40")
    try:
        return int(float(given) * 1e9)
    except ValueError:
        raise ParameterError(
            f"IMAGETWINS_CACHE_GB={given!r} is no number. Give gigabytes: 40 is the default."
        ) from None


def count_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
