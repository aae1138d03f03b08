"""Stage 1: list the files that may be pictures."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from imagetwins.config.parameters import Parameters
from imagetwins.decoding.pool import start_decoders
from imagetwins.progress import Progress, no_progress
from imagetwins.scanning.candidates import Candidate, list_for_run
from imagetwins.scanning.companions import APPLE_DOUBLE
from imagetwins.scanning.links import find_targets
from imagetwins.scanning.lookup import RACY_WINDOW_NS
from imagetwins.storage import Found
from imagetwins.storage.location import names_to_columns, to_json_name
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, LINKS, LISTING
from imagetwins.store.tables import as_frame, read_notes, write_table

LEFT_OUT = "left_out"
"""The note in which the listing says what was left out: a retry of the run finds both."""


def list_files(run: Run, parameters: Parameters, progress: Progress = no_progress) -> Counter[str]:
    """List the candidate files of the folder and the references; return what was left out, see `RunRecord.left_out`."""
    if not (parameters.dask or any(run.home.glob("cache/thumbnails-*"))):
        # The first run in its store: there will be something to decode.
        start_decoders(1)
    if not run.listing.exists():
        _write_listing(run, parameters, progress)
    return Counter(json.loads(read_notes(run.listing).get(LEFT_OUT, "{}")))


def _write_listing(run: Run, parameters: Parameters, progress: Progress) -> None:
    racy_since = time.time_ns() - RACY_WINDOW_NS
    left_out: Counter[str] = Counter()
    links: dict[str, str] = {}
    found = list_for_run(parameters, run.store, left_out, links=links, progress=progress)
    # The listing last: it says that this stage is done.
    write_table(_to_links(found, links, parameters), LINKS, run.links / "part-0.parquet")
    write_table(_to_companions(found), COMPANIONS, run.companions / "part-0.parquet")
    notes = {LEFT_OUT: json.dumps(left_out)}
    write_table(_to_frame(found, racy_since), LISTING, run.listing, notes=notes)


def _to_frame(found: Sequence[Candidate], racy_since: int) -> pd.DataFrame:
    path, path_bytes = names_to_columns([candidate.path for candidate in found])
    columns = {
        "image": range(len(found)),
        "path": path,
        "path_bytes": path_bytes,
        "size_bytes": [candidate.size_bytes for candidate in found],
        "mtime_ns": [candidate.mtime_ns for candidate in found],
        "is_reference": [candidate.is_reference for candidate in found],
        "companions": [
            sum(map(_is_worth_keeping, candidate.companions)) if candidate.companions else 0 for candidate in found
        ],
        "error": [candidate.error for candidate in found],
        "error_code": [candidate.error_code for candidate in found],
        "validator": [candidate.validator for candidate in found],
        "is_racy": [candidate.changed_ns >= racy_since for candidate in found],
    }
    return as_frame(columns, LISTING)


def _is_worth_keeping(companion: Found) -> bool:
    """Whether a companion says something for its picture: not what a file system of macOS would keep elsewhere."""
    return not companion.path.rpartition("/")[2].startswith(APPLE_DOUBLE)


def _to_links(found: Sequence[Candidate], links: Mapping[str, str], parameters: Parameters) -> pd.DataFrame:
    companions = (companion.path for candidate in found for companion in candidate.companions)
    files = {candidate.path for candidate in found}.union(companions) if links else set()
    targets = find_targets(links, files, [to_json_name(root) for root in parameters.locations])
    path, path_bytes = names_to_columns(list(targets))
    columns = {
        "path": path,
        "path_bytes": path_bytes,
        "says": names_to_columns([links[link] for link in targets])[0],
        "target": names_to_columns(list(targets.values()))[0],
    }
    return as_frame(columns, LINKS)


def _to_companions(found: Sequence[Candidate]) -> pd.DataFrame:
    rows = [(image, companion) for image, candidate in enumerate(found) for companion in candidate.companions]
    path, path_bytes = names_to_columns([companion.path for _, companion in rows])
    columns = {
        "image": [image for image, _ in rows],
        "path": path,
        "path_bytes": path_bytes,
        "size_bytes": [companion.size_bytes for _, companion in rows],
        "mtime_ns": [companion.mtime_ns for _, companion in rows],
        "new_path": path,
    }
    return as_frame(columns, COMPANIONS)
