"""Stage 1: list the files."""

import time
from collections.abc import Sequence

import pandas as pd
from prefect import task

from imagetwins.config.parameters import Parameters
from imagetwins.scanning.cache import SETTLED_NS
from imagetwins.scanning.candidates import ListedFile, list_images
from imagetwins.storage.location import is_remote, place_of
from imagetwins.store.runs import Run
from imagetwins.store.tables import LISTING, as_frame, path_columns, read_table, write_table
from tasks import READING


@task(name="list-files", **READING)
def list_files(run: Run, parameters: Parameters) -> int:
    """List the candidate files of the folder and the references; return how many there are."""
    if not run.listing.exists():
        before = time.time_ns() - SETTLED_NS
        found = list_images(
            place_of(parameters.folder),
            recursive=parameters.recursive,
            exclude=parameters.exclude,
            reference=[place_of(folder) for folder in parameters.reference],
            skip=[run.store],
        )
        write_table(_to_frame(found, before), LISTING, run.listing)
    return len(read_table(run.listing, LISTING))


def _to_frame(found: Sequence[ListedFile], before: int) -> pd.DataFrame:
    paths = [path_columns(file.path) for file in found]
    columns = {
        "image": range(len(found)),
        "path": [text for text, _ in paths],
        "path_bytes": [raw for _, raw in paths],
        "size_bytes": [file.size_bytes for file in found],
        "mtime_ns": [file.mtime_ns for file in found],
        "is_reference": [file.is_reference for file in found],
        "error": [file.error for file in found],
        "ctime_ns": [file.ctime_ns for file in found],
        "inode": [file.inode & (2**63 - 1) for file in found],
        # The inode of an object is made of its tag, which no change of its content leaves as it was, however soon it comes.
        "is_settled": [is_remote(file.path) or max(file.mtime_ns, file.ctime_ns) < before for file in found],
    }
    return as_frame(columns, LISTING)
