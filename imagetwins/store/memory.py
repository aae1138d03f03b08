"""What persons decided about pairs of pictures, for later runs: the table `not_duplicates` of a store.

A pair is known by the content of its two files, so that what was decided holds wherever they are moved and whatever they are called;
it no longer holds for one whose content changes. Each act of deciding is one file, written whole, under a name of its own: two
processes never write the same one, and a reader finds an act as a whole or not at all.

Forgetting rewrites the files that hold what is to be forgotten. What a run has read by then, it has read.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from imagetwins.errors import StoreError
from imagetwins.settings import user_name
from imagetwins.storage import Location, storage_of
from imagetwins.store.record import now
from imagetwins.store.runs import Run
from imagetwins.store.schemas import IMAGES, NOT_DUPLICATES
from imagetwins.store.tables import as_frame, read_table, write_table

TABLE = "not_duplicates"
"""The folder of the table in a store."""

_PICTURES = pa.schema([IMAGES.field(name) for name in ("image", "path", "digest")])


class Verdict(StrEnum):
    """What was decided about a pair."""

    NOT_DUPLICATES = "not duplicates"
    """Neither is a duplicate of the other, in whatever order."""
    PUT_BACK = "put back"
    """The first had been moved as a duplicate of the second, and was put back."""


class Source(StrEnum):
    """Where it was said."""

    DESK = "desk"
    APPROVAL = "approval"
    RESTORE = "restore"
    COMMAND_LINE = "command line"


def remember_pairs(run: Run, pairs: Sequence[tuple[int, int]], verdict: Verdict, source: Source, why: str = "") -> int:
    """Remember what a person decided about pairs of pictures of a run.

    Two files of the same content are a pair too: then no two files of that content are duplicates any more.

    Args:
        run: the run that matched them.
        pairs: (image, kept), ids of its tables.
        verdict: about all of them.
        source: where it was said.
        why: in the person's own words, if any.

    Returns:
        How many pairs of files that is: one that is given twice counts once.

    Raises:
        StoreError: a picture is none of the run's, or could not be read.
    """
    wanted = list(dict.fromkeys(pairs))
    ids = sorted({image for pair in wanted for image in pair})
    rows = read_table(run.images, _PICTURES, where=pc.field("image").isin(ids))
    found = dict(zip(rows["image"], zip(rows["digest"], rows["path"], strict=True), strict=True))
    unknown = [image for image in ids if not isinstance(found.get(image, (None, ""))[0], str)]
    if unknown:
        raise StoreError(f"run {run.run_id} has read no picture {unknown[0]}: nothing was remembered.")
    files = [(*found[image], *found[kept]) for image, kept in wanted]
    remember_files(run.store, files, verdict, source, why, run.run_id)
    return len(wanted)


def remember_files(
    store: Location,
    files: Sequence[tuple[str, str, str, str]],
    verdict: Verdict,
    source: Source,
    why: str = "",
    run_id: str | None = None,
) -> Location | None:
    """Remember what a person decided about pairs of files: (digest, path) of the first, then of the second.

    Returns:
        The part of the table that holds them; None where there are none.
    """
    if not files:
        return None
    decided = now()
    digest1, path1, digest2, path2 = zip(*files, strict=True)
    columns: dict[str, Any] = {"digest1": digest1, "digest2": digest2, "path1": path1, "path2": path2}
    said = {
        "verdict": verdict.value,
        "decided": decided.isoformat(),
        "who": user_name(),
        "why": why,
        "source": source.value,
        "run_id": run_id,
    }
    frame = as_frame(columns | {name: [value] * len(files) for name, value in said.items()}, NOT_DUPLICATES)
    part = _name_part(store, decided)
    write_table(frame, NOT_DUPLICATES, part)
    return part


def _name_part(store: Location, decided: dt.datetime) -> Location:
    return store / TABLE / f"{decided:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}.parquet"


def read_memory(store: Location) -> pd.DataFrame:
    """Return all that was decided, `schemas.NOT_DUPLICATES`, oldest first; no rows where nothing was.

    Raises:
        StoreError: a part is damaged, or of a later version.
    """
    return pd.concat([nothing_remembered(), *(rows for _, rows in _iter_acts(store))], ignore_index=True)


def nothing_remembered() -> pd.DataFrame:
    """Return `schemas.NOT_DUPLICATES` without a row."""
    return as_frame({name: [] for name in NOT_DUPLICATES.names}, NOT_DUPLICATES)


def list_acts(store: Location) -> list[Location]:
    """Return the parts of the table, oldest first."""
    return storage_of(store).glob(store, f"{TABLE}/*.parquet")


def _iter_acts(store: Location) -> Iterator[tuple[Location, pd.DataFrame]]:
    """Yield each part of the table with its rows."""
    for part in list_acts(store):
        # Another process may just have forgotten all of it.
        with suppress(FileNotFoundError):
            yield part, read_table(part, NOT_DUPLICATES)
