"""Answers about what is remembered: which entries a person means, and what each says."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from imagetwins.errors import ParameterError
from imagetwins.reasons import describe_put_back, describe_saying
from imagetwins.reporting.answers import to_rows
from imagetwins.reporting.names import digests_now, spell
from imagetwins.storage import Location
from imagetwins.store.memory import ID_LENGTH, Verdict, list_entries
from imagetwins.store.runs import find_run
from imagetwins.text import name_two

PATHS = ("path1", "path2")

MIN_ID = 4
"""Digits of a number that name an entry, if no other begins with them."""

MAX_NAMES = 5
"""Paths that an error has room for."""


def find_about(entries: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the entries about a file: about what is in it now, or about what lay at this path.

    `name` may be shortened to the last parts of a path.
    """
    whole = _is_about(entries, name)
    tail = f"/{name.removeprefix('./').lstrip('/')}"
    ends = entries["path1"].str.endswith(tail) | entries["path2"].str.endswith(tail)
    return entries[whole if whole.any() else ends.astype(bool)]


def _is_about(entries: pd.DataFrame, name: str) -> "pd.Series[bool]":
    contents, paths = digests_now(name), spell(name)
    of_content = entries["digest1"].isin(contents) | entries["digest2"].isin(contents)
    return of_content | entries["path1"].isin(paths) | entries["path2"].isin(paths)


def find_entries(store: Location, named: Sequence[str], run_id: str | None) -> pd.DataFrame:
    """Return the entries that are named by their number or by a file, or were said of a run.

    Raises:
        ParameterError: a name means none, or a short one files in several places.
        StoreError: there is no such run, or a part of the table is damaged.
    """
    entries = list_entries(store)
    chosen = [_find_named(entries, name) for name in named]
    if run_id:
        run = find_run(store, run_id).run_id
        of_run = entries[entries["run_id"] == run]
        if of_run.empty:
            raise ParameterError(f"nothing is remembered of run {run}. `imagetwins memory list` shows what is.")
        chosen.append(of_run)
    found = entries["id"].isin({one for some in chosen for one in some["id"]})
    return entries[found].reset_index(drop=True)


def _find_named(entries: pd.DataFrame, name: str) -> pd.DataFrame:
    if re.fullmatch(rf"[0-9a-f]{{{MIN_ID},{ID_LENGTH}}}", name):
        found = entries[entries["id"].str.startswith(name).astype(bool)]
        if len(found) == 1:
            return found
        if len(found) > 1:
            raise ParameterError(
                f"{name} is the beginning of {len(found)} numbers: {', '.join(found['id'])}. Give more of it."
            )
    found = find_about(entries, name)
    if found.empty:
        raise ParameterError(
            f"{name!r} is neither the number of anything that is remembered, nor a file of which something is. "
            "`imagetwins memory list` shows both."
        )
    if not _is_about(entries, name).any():
        _check_one_file(found, name)
    return found


def _check_one_file(found: pd.DataFrame, name: str) -> None:
    """Refuse a short name that files in several places have: more would be forgotten than was meant."""
    tail = f"/{name.removeprefix('./').lstrip('/')}"
    paths = sorted({path for column in PATHS for path in found[column] if path.endswith(tail)})
    if len(paths) > 1:
        some = ", ".join(map(repr, paths[:MAX_NAMES])) + (" ..." if len(paths) > MAX_NAMES else "")
        raise ParameterError(f"{name!r} may be any of {len(paths)} files: {some}. Give more of the path, or a number.")


def find_said(store: Location, digests: Sequence[str | None]) -> pd.DataFrame:
    """Return the entries about one content, or about the pair of two.

    Raises:
        StoreError: a part of the table is damaged.
    """
    entries = list_entries(store)
    if len(digests) == 1:
        return entries[entries["digest1"].isin(digests) | entries["digest2"].isin(digests)]
    pairs = zip(entries["digest1"], entries["digest2"], strict=True)
    return entries[np.array([{first, second} == set(digests) for first, second in pairs], bool)]


def tell_said(entries: pd.DataFrame) -> list[str]:
    """Return in words, a sentence an entry, what was said, and the number by which it can be forgotten."""
    return [f"{_tell(row)} ({row['id']})" for row in to_rows(entries)]


def _tell(row: dict[str, str]) -> str:
    first, second = name_two(*(row[name] for name in PATHS))
    if row["verdict"] == Verdict.PUT_BACK:
        return describe_put_back(row | {"moved": first, "kept": second})
    if row["digest1"] == row["digest2"]:
        what = f"no two files with the content of {first} are duplicates"
    else:
        what = f"{first} and {second} are no duplicates"
    return f"{what}, {describe_saying(row)}"
