"""Which run has put a file aside: asked of the journals of a store, because several runs may have acted on one run's scores."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from imagetwins.errors import StoreError
from imagetwins.moving.journal import Transfer, find_last
from imagetwins.storage import Location, storage_of
from imagetwins.storage.location import from_columns, to_columns
from imagetwins.store.runs import Run, list_runs


@dataclass(frozen=True)
class PutAside:
    """A file that lies where a run moved it.

    Attributes:
        holder: the run.
        image: its id in the tables of that run.
        home: where it was listed.
        location: where it lies.
    """

    holder: Run
    image: int
    home: Location
    location: Location


def find_asides(store: Location, images: pd.DataFrame, wanted: Iterable[int]) -> dict[int, PutAside]:
    """Return those of the images `wanted` whose files runs of `store` have moved, and that lie where these put them.

    An image is none of them as long as there is a file of its name where it was listed, whatever that is; nor is one of a reference
    folder, nor one that went because it belongs to another.

    Args:
        store: the store.
        images: `schemas.IMAGES` of a run; row i is image i.
        wanted: ids.
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
                found[missing.pop(home)] = PutAside(run, transfer.image, home, transfer.target)
    return found


def note_asides(store: Location, images: pd.DataFrame, decisions: pd.DataFrame, lost: Iterable[int]) -> pd.DataFrame:
    """Return `decisions` with the new paths of those of the images `lost` that other runs have moved since.

    Args:
        store: the store.
        images: `schemas.IMAGES` of a run; row i is image i.
        decisions: its `schemas.DECISIONS`, likewise.
        lost: images that are neither where they were listed nor where the run left them.
    """
    changed = decisions.copy()
    for image, aside in find_asides(store, images, lost).items():
        changed.loc[image, "NewPath"] = to_columns(aside.location)[0]
    return changed


def _last_moves(run: Run) -> dict[Location, Transfer]:
    """Return the moves of pictures that a run made and that were not undone, by where the pictures were listed."""
    try:
        last = find_last(run.journal)
    except StoreError:
        # Damaged: what it moved counts as gone, and so nothing is done with it. `restore` of that run says what is wrong.
        return {}
    return {home: one for home, one in last.items() if one.direction == "out" and not one.is_companion}
