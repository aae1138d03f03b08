"""Decode the files of a folder, wherever it is: on this machine, or in a bucket, from which objects are fetched first."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imagetwins.decoding.model import Decoded, DecodeSettings
from imagetwins.decoding.pool import decode_files, digest_files, start_decoders
from imagetwins.progress import Progress, counted, no_progress
from imagetwins.ssim.area import shrink_area
from imagetwins.ssim.warming import warm_up
from imagetwins.storage import Location, Storage, storage_of

MIN_BATCH = 16
"""Files that are not shared by two decoder processes: starting another takes as long as decoding more of them."""


def get_ready(to_decode: int, workers: int) -> None:
    """Start what so many files need to be decoded and prepared, decoders and numba, and do not wait for it."""
    start_decoders(min(workers, -(-to_decode // MIN_BATCH)))
    threading.Thread(target=warm_up, name="warm-up").start()


def decode_locations(
    locations: Sequence[Location],
    settings: DecodeSettings,
    thumbnails_out: NDArray[np.uint8],
    progress: Progress = no_progress,
) -> list[Decoded]:
    """Decode what is at `locations`, on disks or in buckets; otherwise as `decode_files`.

    Objects of a bucket are fetched a few ahead of the decoder; one that cannot be fetched has an error.

    Args:
        locations: files, or objects of a bucket.
        settings: how thumbnails are made.
        thumbnails_out: (number of locations, size, size, 3) uint8, C-contiguous, BGR; written where there is no error.
        progress: called with the files that the decoder was given before the one that it asks for.

    Raises:
        DecoderError: no decoder process can be started.
    """
    return _read(locations, lambda files: decode_files(files, settings, thumbnails_out, shrink_area), progress)


def digest_locations(locations: Sequence[Location]) -> list[Decoded]:
    """Return what is at `locations`, with the digests of its pixels, as `digest_files`; otherwise as `decode_locations`."""
    return _read(locations, digest_files, no_progress)


def _read(
    locations: Sequence[Location], decode: Callable[[Iterator[Path]], list[Decoded]], progress: Progress
) -> list[Decoded]:
    positions: dict[Storage, list[int]] = defaultdict(list)
    for position, location in enumerate(locations):
        positions[storage_of(location)].append(position)
    with ExitStack() as held:
        fetched = {
            storage: held.enter_context(storage.fetching([locations[position] for position in some]))
            for storage, some in positions.items()
        }
        files = {
            position: file
            for storage, some in positions.items()
            for position, file in zip(some, fetched[storage].files, strict=True)
        }
        decoded = decode(files[position]() for position in counted(range(len(locations)), progress, len(locations)))
        errors = {
            positions[storage][number]: error
            for storage, some in fetched.items()
            for number, error in some.errors.items()
        }
    return [replace(found, error=errors.get(position, found.error)) for position, found in enumerate(decoded)]
