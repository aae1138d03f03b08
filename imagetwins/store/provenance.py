"""What a process must have in common with the one that began a run before it may do a part of it."""

import hashlib
import os
import platform
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imagetwins import __version__
from imagetwins.config.roots import check_roots
from imagetwins.errors import ParameterError
from imagetwins.storage.location import is_remote, place_of
from imagetwins.storage.objects import find_object
from imagetwins.store.runs import Run
from imagetwins.store.tables import LISTING, path_of, read_table

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


def find_objection(run: Run, roots: Sequence[Path]) -> str:
    """Return why this process, which may touch `roots` only, can do no part of `run`; "" if it can.

    The run must have listed its files. The text goes on from the name of who cannot.
    """
    if not run.record_file.exists():
        return f"does not see the store {run.store}, or sees another. Mount the run's store at the same path there."
    if not run.listing.exists():
        return f"does not see {run.home}. Set IMAGETWINS_CACHE, on every machine, to a folder that all of them share."
    record = run.read_record()
    return (
        _compare_versions(record["versions"], describe_installation())
        or _try_roots(run, record["parameters"], roots)
        or _try_files(run)
    )


def _compare_versions(of_run: dict[str, str], here: dict[str, str]) -> str:
    differing = [name for name in here if here[name] != of_run.get(name)]
    if not differing:
        return ""
    theirs, ours = (", ".join(f"{name} {them.get(name)}" for name in differing) for them in (here, of_run))
    return f"has {theirs}, and the run has {ours}. Install the same versions in both places."


def _try_roots(run: Run, parameters: dict[str, Any], roots: Sequence[Path]) -> str:
    try:
        check_roots([run.store, *map(place_of, (parameters["folder"], *parameters["reference"]))], roots)
    except ParameterError as error:
        return f"refuses: {error}"
    return ""


def _try_files(run: Run) -> str:
    listing = read_table(run.listing, LISTING)
    listed = listing[listing["error"].isna()]
    tried = listed.iloc[:: max(1, -(-len(listed) // TRIED_FILES))]
    paths = [path_of(*row) for row in tried[["path", "path_bytes"]].itertuples(index=False)]
    if not paths or any(map(_has_size, paths, tried["size_bytes"])):
        return ""
    return (
        f"sees none of {len(paths)} listed files that were tried as they were listed, among them {str(paths[0])!r}. "
        "Mount the folder of pictures at the same path there."
    )


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        if is_remote(path):
            found = find_object(path)
            return found is not None and found.size_bytes == size_bytes
        return os.stat(path).st_size == size_bytes  # noqa: PTH116 - as the listing, no more
    except OSError:
        return False
