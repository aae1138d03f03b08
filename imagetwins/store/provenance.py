"""What is installed, and whether another machine may do a part of a run: it must have the same, and see the same files."""

import hashlib
import platform
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from imagetwins import __version__
from imagetwins.config.roots import check_roots
from imagetwins.errors import ParameterError
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.storage import Location, storage_of
from imagetwins.storage.location import from_columns
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LISTING
from imagetwins.store.tables import read_table

PACKAGES = (
    "prefect",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "scikit-image",
    "opencv-python-headless",
    "numba",
)
"""Other people's packages whose version may change a score or a table."""

TRIED_FILES = 16
"""Listed files that are looked for: a folder that is not mounted has none of them."""


@cache
def describe_installation() -> dict[str, str]:
    """Return the version of everything here that may change a score or a table; ours with a digest of its sources."""
    home = Path(__file__).parents[2]
    sources = sorted(path for package in ("imagetwins", "tasks") for path in (home / package).rglob("*.py"))
    digest = hashlib.blake2b(b"".join(source.read_bytes() for source in sources), digest_size=4).hexdigest()
    ours = {"imagetwins": f"{__version__} (sources {digest})", "python": platform.python_version()}
    return ours | {name: version(name) for name in PACKAGES}


def find_incompatibility(run: Run, roots: Sequence[Location], worker: str) -> Reason | None:
    """Return why this process can do no part of `run`; None if it can.

    Args:
        run: it must have listed its files.
        roots: the folders that this process may touch; none, and it may touch all.
        worker: what the reason calls this process.
    """
    if storage_of(run.record_file).stat(run.record_file) is None:
        return Reason.of(ReasonCode.STORE_NOT_SEEN, worker=worker, store=run.store)
    if not run.listing.exists():
        return Reason.of(ReasonCode.CACHE_NOT_SEEN, worker=worker, directory=run.home)
    record = run.read_record()
    return (
        _compare_versions(record.versions, describe_installation(), worker)
        or _try_roots([run.store, *record.parameters.locations], roots, worker)
        or _try_files(run, worker)
    )


def _compare_versions(of_run: dict[str, str], here: dict[str, str], worker: str) -> Reason | None:
    differing = [name for name in here if here[name] != of_run.get(name)]
    if not differing:
        return None
    theirs, ours = (", ".join(f"{name} {them.get(name)}" for name in differing) for them in (here, of_run))
    return Reason.of(ReasonCode.VERSIONS_DIFFER, worker=worker, there=theirs, here=ours)


def _try_roots(locations: Sequence[Location], roots: Sequence[Location], worker: str) -> Reason | None:
    try:
        check_roots(locations, roots)
    except ParameterError as error:
        return Reason.of(ReasonCode.ROOTS_REFUSE, worker=worker, error=str(error))
    return None


def _try_files(run: Run, worker: str) -> Reason | None:
    listing = read_table(run.listing, LISTING)
    listed = listing[listing["error"].isna()]
    tried = listed.iloc[:: max(1, -(-len(listed) // TRIED_FILES))]
    locations = [from_columns(*row) for row in tried[["path", "path_bytes"]].itertuples(index=False)]
    if not locations or any(map(_has_size, locations, tried["size_bytes"])):
        return None
    return Reason.of(ReasonCode.FILES_NOT_SEEN, worker=worker, count=len(locations), example=str(locations[0]))


def _has_size(location: Location, size_bytes: int) -> bool:
    try:
        found = storage_of(location).stat(location)
    except OSError:
        return False
    return found is not None and found.size_bytes == size_bytes
