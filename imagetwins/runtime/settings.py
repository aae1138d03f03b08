"""What the machine decides and not the run: where the store is, how many workers there are, which folders are allowed."""

import os
from pathlib import Path

from imagetwins.config.parameters import Parameters, is_there
from imagetwins.config.roots import check_roots, parse_roots
from imagetwins.errors import ParameterError
from imagetwins.storage.location import is_remote, place_of

PROJECT = Path(__file__).parents[2]


def default_store() -> Path:
    """Return IMAGETWINS_STORE, else `data/store` of the checkout that this is, else of the current folder."""
    home = PROJECT if (PROJECT / "pyproject.toml").exists() else Path.cwd()
    return place_of(os.environ.get("IMAGETWINS_STORE") or str(home / "data" / "store"))


def resolve_store(store: str | Path | None) -> Path:
    """Return the store's folder, which need not exist yet, as an absolute path, or its URL, checked against the allowed roots.

    Raises:
        ParameterError: it is outside the roots, a file is in its way, or it is in a bucket that cannot be reached.
    """
    place = place_of(store) if store else default_store()
    if is_remote(place):
        check_roots([place], allowed_roots())
        if any(character in str(place) for character in "*?["):
            raise ParameterError(
                f"store {str(place)!r} has one of * ? [ in it, which stand for patterns. Choose another."
            )
        # An empty bucket is a store that nothing was written to.
        is_there("store", place)
        return place
    place = place.expanduser().absolute()
    check_roots([place], allowed_roots())
    there = next(part for part in (place, *place.parents) if part.exists())
    if not there.is_dir():
        raise ParameterError(
            f"store {str(place)!r} cannot be a folder: {str(there)!r} is a file. Name another with --store or "
            "IMAGETWINS_STORE."
        )
    return place


def folder_name(folder: str) -> str:
    """Return the last part of the name of `folder`, which nobody has checked yet: no part of a user or password in it."""
    return folder.rstrip("/").rpartition("/")[2].rpartition("@")[2]


def allowed_roots() -> list[Path]:
    """Return the folders of IMAGETWINS_ROOTS (separated like PATH); none means that every folder is allowed."""
    return parse_roots(os.environ.get("IMAGETWINS_ROOTS", ""))


def check_places(parameters: Parameters) -> None:
    """Refuse a run on folders outside the allowed roots, or with a store that can be none."""
    resolve_store(parameters.store)
    check_roots(map(place_of, (parameters.folder, *parameters.reference)), allowed_roots())


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
