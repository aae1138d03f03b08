"""Stage 2: look up what is known of the files already."""

from imagetwins.config.parameters import Parameters
from imagetwins.progress import Progress, no_progress
from imagetwins.scanning import lookup
from imagetwins.scanning.reading import get_ready
from imagetwins.store.runs import Run
from imagetwins.store.schemas import LISTING
from imagetwins.store.tables import read_table


def lookup_files(
    run: Run, parameters: Parameters, limit: int, workers: int, progress: Progress = no_progress
) -> dict[str, int]:
    """Find in the cache, which may take `limit` bytes, what is known of the files; return how many are, and are not."""
    counts = lookup.lookup_files(run, read_table(run.listing, LISTING), parameters, limit, workers, progress)
    if counts["to_decode"] and not parameters.dask:
        get_ready(counts["to_decode"], workers)
    return counts
