"""What can begin before it is known what a run has to do."""

from imagetwins.config.parameters import Parameters
from imagetwins.decoding.pool import start_decoders
from imagetwins.storage import Location, storage_of

EARLY_DECODERS = 2
"""Processes; whether more are worth starting depends on how many files there are."""


def start_early(parameters: Parameters, store: Location) -> None:
    """Start decoders for the first run in its store: there will be something to decode, on this machine if not on a cluster."""
    home = storage_of(store).local_directory(store)
    if not (parameters.dask or any(home.glob("cache/thumbnails-*"))):
        start_decoders(EARLY_DECODERS)
