"""Decode the files of a folder, wherever it is: on this machine, or in a bucket, from which objects are fetched first."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imagetwins.decoding.model import Decoded, DecodeSettings
from imagetwins.decoding.pool import decode_files
from imagetwins.storage import Location, storage_of


def decode_locations(
    locations: Sequence[Location], settings: DecodeSettings, thumbnails_out: NDArray[np.uint8]
) -> list[Decoded]:
    """Decode what is at `locations`, which are all in one storage; otherwise as `decode_files`.

    Objects of a bucket are fetched a few ahead of the decoder; one that cannot be fetched has an error.

    Args:
        locations: files, or objects of a bucket.
        settings: how thumbnails are made.
        thumbnails_out: (number of locations, size, size, 3) uint8, C-contiguous, BGR; written where there is no error.

    Raises:
        DecoderError: no decoder process can be started.
    """
    if not locations:
        return []
    with storage_of(locations[0]).fetching(locations) as (files, errors):
        decoded = decode_files((file() for file in files), settings, thumbnails_out)
    return [replace(found, error=errors.get(index, found.error)) for index, found in enumerate(decoded)]
