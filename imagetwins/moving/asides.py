"""Which run has put a file aside: asked of the journals of a store, because several runs may have acted on one run's scores."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from imagetwins.moving.journal import Transfer, read_journal
from imagetwins.storage import Location, storage_of
from imagetwins.storage.location import from_columns
from imagetwins.store.runs import Run, list_runs


@dataclass(frozen=True)
class PutAside:
    """A file that lies where a run moved it.

    Attributes:
        holder: the run.
        image: its id in the tables of that run.
        location: where it lies.
    """

    holder: Run
    image: int
    location: Location


def find_asides(store: Location, images: pd.DataFrame, wanted: Iterable[int]) -> dict[int, PutAside]:
    """Return those of the images `wanted` whose files runs of `store` have moved, and that lie where these put them.

    An image is none of them as long as there is a file of its name where it was listed, whatever that is; nor is one of a reference
    folder, nor one that went because it belongs to another.

    Args:
        store: the store.
        images: `schemas.IMAGES` of a run; row i is image i.
        wanted: ids.

    Raises:
        StoreError: a journal is damaged.
    """
    missing: dict[Location, int] = {}
    for image in wanted:
        home = from_columns(images["path"].iat[image], images["path_bytes"].iat[image])
        if not images["is_reference"].iat[image] and storage_of(home).stat(home) is None:
            missing[home] = image
    found: dict[int, PutAside] = {}
    for run in reversed(list_runs(store)):
        if not missing:
            break
        for home, transfer in _last_moves(run).items():
            if home in missing and storage_of(transfer.target).stat(transfer.target) is not None:
                found[missing.pop(home)] = PutAside(run, transfer.image, transfer.target)
    return found


def _last_moves(run: Run) -> dict[Location, Transfer]:
    """Return the moves of pictures that a run made and that were not undone, by where the pictures were listed."""
    last = {transfer.origin: transfer for transfer in read_journal(run.journal) if transfer.state == "done"}
    return {home: one for home, one in last.items() if one.direction == "out" and not one.is_companion}
