"""What persons decided about pairs of pictures, for later runs: the table `not_duplicates` of a store.

A pair is known by the content of its two files, so that what was decided holds wherever they are moved and whatever they are called;
it no longer holds for one whose content changes. Each act of deciding is one file, written whole, under a name of its own: two
processes never write the same one, and a reader finds an act as a whole or not at all.

Forgetting rewrites the files that hold what is to be forgotten. What a run has read by then, it has read.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from imagetwins.errors import StoreError
from imagetwins.settings import user_name
from imagetwins.storage import Location, storage_of
from imagetwins.storage.location import to_columns
from imagetwins.store.record import now
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, IMAGES, NOT_DUPLICATES
from imagetwins.store.tables import as_frame, read_table, write_table

TABLE = "not_duplicates"
"""The folder of the table in a store."""

ID_LENGTH = 10
"""Hexadecimal digits of a number: among 10,000 entries two are the same once in 20,000 stores."""

_PAIRS = pa.schema([COMPARISONS.field(name) for name in ("image1", "image2", "ssim")])
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


@dataclass(frozen=True)
class Act:
    """What a person decided at once: `pairs` of pictures of a run, and the part of the table that says so, None if nothing does."""

    pairs: list[tuple[int, int]]
    part: Location | None
    rows: pd.DataFrame

    def take_back(self, images: Collection[int]) -> None:
        """Remember nothing of the pairs of which the first picture is one of `images`."""
        stays = [image not in images for image, _ in self.pairs]
        if self.part and not all(stays):
            _replace_rows(self.part, self.rows[stays])


def remember_pairs(run: Run, pairs: Sequence[tuple[int, int]], verdict: Verdict, source: Source, why: str = "") -> int:
    """Remember what a person decided about pairs of pictures of a run, see `begin_act`.

    Returns:
        How many pairs were given; one that is given twice counts once.

    Raises:
        StoreError: a picture is none of the run's, or could not be read.
    """
    begin_act(run, pairs, verdict, source, why)
    return len(set(pairs))


def begin_act(run: Run, pairs: Sequence[tuple[int, int]], verdict: Verdict, source: Source, why: str = "") -> Act:
    """Remember what a person decided about pairs of pictures of a run, before it is carried out.

    Two files of the same content are a pair too: then no two files of that content are duplicates any more. Of pictures that are
    all said to be no duplicates, those that match one another are not either: whoever lets three of a group stay need not be
    asked about each two. What is remembered already is not written again.

    Args:
        run: the run that matched them.
        pairs: (image, kept), ids of its tables.
        verdict: about all of them.
        source: where it was said.
        why: in the person's own words, if any.

    Raises:
        StoreError: a picture is none of the run's, or could not be read.
    """
    wanted = list(dict.fromkeys(pairs))
    files = _find_files(run, {image for pair in wanted for image in pair})
    if verdict is Verdict.NOT_DUPLICATES:
        wanted += _find_matches_between(run, wanted)
    rows = _say([(*files[one], *files[other]) for one, other in wanted], verdict, source, why, run.run_id)
    known: set[str] = set()
    # A damaged table keeps nobody from deciding, nor a file from being put back.
    with suppress(StoreError):
        known.update(number_entries(read_memory(run.store)))
    # That two are no duplicates says more than that one was put back.
    stronger = number_entries(rows.assign(verdict=Verdict.NOT_DUPLICATES.value))
    is_new = ~(number_entries(rows).isin(known) | stronger.isin(known))
    new = rows[is_new].reset_index(drop=True)
    return Act([pair for pair, kept in zip(wanted, is_new, strict=True) if kept], _write_act(run.store, new), new)


def _find_files(run: Run, images: set[int]) -> dict[int, tuple[str, str]]:
    """Return the digest and the path of each of some images."""
    rows = read_table(run.images, _PICTURES, where=pc.field("image").isin(sorted(images)))
    files = dict(zip(rows["image"], zip(rows["digest"], rows["path"], strict=True), strict=True))
    for image in sorted(images):
        if not isinstance(files.get(image, (None, ""))[0], str):
            raise StoreError(f"run {run.run_id} has read no picture {image}: nothing was remembered.")
    return files


def _find_matches_between(run: Run, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the other matches of the run of which both pictures are in `pairs`, and joined by them; none if they were pruned."""
    group = _join(pairs)
    if not storage_of(run.comparisons).glob(run.comparisons, "*.parquet"):
        return []
    members = list(group)
    inside = pc.field("image1").isin(members) & pc.field("image2").isin(members)
    is_match = inside & (pc.field("ssim") >= run.read_record().parameters.threshold)
    matches = read_table(run.comparisons, _PAIRS, where=is_match)[["image1", "image2"]].to_numpy(np.int64).tolist()
    said = {frozenset(pair) for pair in pairs}
    return [
        (one, other) for one, other in matches if group[one] == group[other] and frozenset((one, other)) not in said
    ]


def _join(pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return the group of each image that is in `pairs`: one number for all that these join."""
    group = {image: image for pair in pairs for image in pair}

    def find(image: int) -> int:
        while group[image] != image:
            group[image] = group[group[image]]
            image = group[image]
        return image

    for one, other in pairs:
        group[find(one)] = find(other)
    return {image: find(image) for image in group}


def remember_files(store: Location, first: Location, second: Location, why: str = "") -> pd.DataFrame:
    """Remember that two files are not duplicates, by their content as it is now, and return the row that says so.

    Raises:
        OSError: one is no file, or cannot be read.
    """
    places = [storage_of(file).absolute(file) for file in (first, second)]
    one, other = ((storage_of(file).digest(file), to_columns(file)[0]) for file in places)
    rows = _say([(*one, *other)], Verdict.NOT_DUPLICATES, Source.COMMAND_LINE, why, None)
    _write_act(store, rows)
    return rows


def _say(
    files: Sequence[tuple[str, str, str, str]], verdict: Verdict, source: Source, why: str, run_id: str | None
) -> pd.DataFrame:
    """Return the rows that say so of pairs of files: digest and path of the first, then of the second."""
    if not files:
        return nothing_remembered()
    digest1, path1, digest2, path2 = zip(*files, strict=True)
    columns: dict[str, Any] = {"digest1": digest1, "digest2": digest2, "path1": path1, "path2": path2}
    said = {
        "verdict": verdict.value,
        "decided": now().isoformat(),
        "who": user_name(),
        "why": why,
        "source": source.value,
        "run_id": run_id,
    }
    return as_frame(columns | {name: [value] * len(files) for name, value in said.items()}, NOT_DUPLICATES)


def _write_act(store: Location, rows: pd.DataFrame) -> Location | None:
    """Write what was decided at once into a part of its own, and return it; None where there is nothing to write."""
    if rows.empty:
        return None
    part = store / TABLE / f"{now():%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}.parquet"
    write_table(rows, NOT_DUPLICATES, part)
    return part


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


# -- what is remembered, one row a pair, and forgetting --------------------------------------------------------------


def number_entries(rows: pd.DataFrame) -> "pd.Series[str]":
    """Return a short number for what each row says: the same for the same pair and verdict, whoever said it and whenever."""
    ordered = rows["verdict"] == Verdict.PUT_BACK
    low, high = rows["digest1"].copy(), rows["digest2"].copy()
    swap = ~ordered & (low > high)
    low[swap], high[swap] = rows["digest2"][swap], rows["digest1"][swap]
    texts = (rows["verdict"] + " " + low + " " + high).tolist()
    return pd.Series(
        [hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH] for text in texts], rows.index, dtype=object
    )


def list_entries(store: Location) -> pd.DataFrame:
    """Return what is remembered, one row a pair and verdict as it was said last, oldest first: `id`, and the table's columns.

    Raises:
        StoreError: a part of the table is damaged.
    """
    rows = read_memory(store)
    numbered = rows.assign(id=number_entries(rows)).drop_duplicates("id", keep="last")
    return numbered[["id", *rows.columns]].reset_index(drop=True)


def forget(store: Location, ids: Collection[str]) -> None:
    """Forget what has one of these numbers, in all acts; a run that has read it goes on with it.

    Raises:
        StoreError: some of it is there still.
        OSError: a part of the table cannot be written.
    """
    for part, rows in list(_iter_acts(store)):
        stays = ~number_entries(rows).isin(list(ids))
        if not stays.all():
            _replace_rows(part, rows[stays])
    if number_entries(read_memory(store)).isin(list(ids)).any():
        raise StoreError(
            f"not all of it could be forgotten: files in {store / TABLE} cannot be removed. See who may write there."
        )


def _replace_rows(part: Location, rows: pd.DataFrame) -> None:
    if rows.empty:
        storage_of(part).remove_tree(part)
    else:
        write_table(rows, NOT_DUPLICATES, part)
