"""Stage 1: list the files that may be pictures."""

import time
from collections.abc import Sequence

import pandas as pd
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.runtime.task_options import READING
from imagetwins.scanning.candidates import Candidate, list_candidates
from imagetwins.scanning.lookup import RACY_WINDOW_NS
from imagetwins.storage.location import to_columns
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LISTING
from imagetwins.store.tables import as_frame, read_table, write_table


@task(name="list-files", **READING)
def list_files(run: Run, parameters: Parameters) -> int:
    """List the candidate files of the folder and the references; return how many there are."""
    if not run.listing.exists():
        folder, *reference = parameters.locations
        racy_since = time.time_ns() - RACY_WINDOW_NS
        found = list_candidates(
            folder,
            recursive=parameters.recursive,
            exclude=parameters.exclude,
            reference=reference,
            skip=[run.store],
        )
        write_table(_to_frame(found, racy_since), LISTING, run.listing)
    return len(read_table(run.listing, LISTING))


def _to_frame(found: Sequence[Candidate], racy_since: int) -> pd.DataFrame:
    names = [to_columns(candidate.location) for candidate in found]
    columns = {
        "image": range(len(found)),
        "path": [path for path, _ in names],
        "path_bytes": [path_bytes for _, path_bytes in names],
        "size_bytes": [candidate.size_bytes for candidate in found],
        "mtime_ns": [candidate.mtime_ns for candidate in found],
        "is_reference": [candidate.is_reference for candidate in found],
        "error": [candidate.error for candidate in found],
        "validator": [candidate.validator for candidate in found],
        "is_racy": [candidate.changed_ns >= racy_since for candidate in found],
    }
    return as_frame(columns, LISTING)
