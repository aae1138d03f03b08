"""Stage 2: recall what the cache knows of each picture; load the others, resize them, and prepare them for the comparison.

Loading is mapped over batches of files.
"""

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from prefect import task

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.decoding.model import DECODED_FIELDS, Decoded
from imagetwins.scanning.cache import recall_files
from imagetwins.scanning.reading import decode_locations
from imagetwins.store.runs import Run
from imagetwins.store.tables import IMAGES, LISTING, LOADED, RECALLED, as_frame, path_of, read_table, write_table
from tasks import READING, STAGE, check_worker

CHUNK = 64
"""Pictures decoded before they are prepared: 64 thumbnails of 200 x 200 are 7.7 MB, which stay in the cache."""

MAX_BATCHES = 200
MIN_BATCH = 16


@task(name="recall-files", **STAGE)
def recall(run: Run, parameters: Parameters, limit: int, workers: int) -> dict[str, int]:
    """Find in the cache, which may take `limit` bytes, what is known of the files; return how many are, and are not."""
    return recall_files(run, read_table(run.listing, LISTING), parameters, limit, workers)


def plan_batches(run: Run, workers: int) -> list[tuple[int, int]]:
    """Split the images into ranges with about as many to decode: enough to keep `workers` busy, at least one."""
    recalled = read_table(run.recalled, RECALLED)
    to_decode = np.flatnonzero(recalled["digest"].isna() & recalled["error"].isna())
    starts = [0, *to_decode[:: batch_length(len(to_decode), workers)][1:].tolist()]
    return list(zip(starts, [*starts[1:], len(recalled)], strict=True))


def batch_length(count: int, workers: int) -> int:
    """Return how many files to decode a batch has: batches few enough for Prefect, and enough for all workers."""
    return max(MIN_BATCH, -(-count // MAX_BATCHES), min(256, -(-count // (4 * workers))))


@task(name="load-images", task_run_name="load-images-{start}-{stop}", **READING)
def load_images(run: Run, parameters: Parameters, start: int, stop: int) -> dict[str, int]:
    """Load the images `start` to `stop` into the rows given to them; return how many were read, and how many not."""
    check_worker(run)
    part = f"part-{start:07d}.parquet"
    if not (run.images / part).exists():
        loaded = _load(run, parameters, start, stop)
        # The images last: they say that the batch is done.
        write_table(loaded, LOADED, run.loaded / part)
        write_table(loaded, IMAGES, run.images / part)
    errors = int(read_table(run.images / part, IMAGES)["error"].notna().sum())
    return {"images": stop - start, "errors": errors}


def _load(run: Run, parameters: Parameters, start: int, stop: int) -> pd.DataFrame:
    within = (pc.field("image") >= start) & (pc.field("image") < stop)
    recalled = read_table(run.recalled, RECALLED, where=within)
    columns = {
        name: recalled[name].astype(object).where(recalled[name].notna(), None).tolist() for name in DECODED_FIELDS
    }
    to_decode = np.flatnonzero(recalled["digest"].isna() & recalled["error"].isna())
    for first in range(0, len(to_decode), CHUNK):
        chunk = to_decode[first : first + CHUNK]
        for position, decoded in zip(chunk, _load_chunk(run, parameters, recalled.iloc[chunk]), strict=True):
            for name in DECODED_FIELDS:
                columns[name][position] = getattr(decoded, name)
    # Before any table says that they are there.
    ssim.flush_workspace(run.cache)
    rows = np.where([error is None for error in columns["error"]], recalled["row"], -1)
    digests = ssim.open_workspace(run.cache).digests[rows]
    columns["row"] = rows
    columns["thumbnail"] = [digest.tobytes() if row >= 0 else None for digest, row in zip(digests, rows, strict=True)]
    return as_frame({name: columns.get(name, recalled.get(name)) for name in LOADED.names}, LOADED)


def _load_chunk(run: Run, parameters: Parameters, files: pd.DataFrame) -> list[Decoded]:
    """Decode some files, prepare their thumbnails in the rows given to them, and return what they are."""
    size = parameters.size
    thumbnails = np.zeros((len(files), size, size, 3), np.uint8)
    paths = [path_of(*names) for names in zip(files["path"], files["path_bytes"], strict=True)]
    decoded = decode_locations(paths, parameters.decode_settings, thumbnails)
    is_image = np.array([image.error is None for image in decoded], bool)
    ssim.prepare_images(run.cache, files["row"].to_numpy()[is_image], thumbnails[is_image])
    return decoded
