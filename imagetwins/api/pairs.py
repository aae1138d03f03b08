"""Two pictures: how alike they are by all that is measured, and what a run would make of them."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.api.duplicates import Name
from imagetwins.config.folders import allowed_roots, resolve_store
from imagetwins.config.parameters import Parameters, parse_parameters
from imagetwins.config.roots import check_roots
from imagetwins.errors import ImagetwinsError, ParameterError
from imagetwins.matching.decisions import DIFFERENCES, MEASURED, SCORES, Decider
from imagetwins.matching.orientation import read_orientations
from imagetwins.matching.reuse import to_table
from imagetwins.matching.verification import measure_pair
from imagetwins.stages.load import load_files
from imagetwins.storage import Location, is_path, parse_location, storage_of
from imagetwins.storage.location import names_to_columns, to_json_name
from imagetwins.store.memory import nothing_remembered, read_memory
from imagetwins.store.schemas import IMAGES
from imagetwins.store.tables import as_frame

ALONE = {
    "more_folders": [],
    "reference": [],
    "within": "all",
    "across": False,
    "min_side": 0,
    "min_bytes": 0,
    "formats": "all",
    "max_move_share": 1.0,
    "audit_floor": -1.0,
}
"""Options that say nothing of two pictures which are compared alone."""

BOTH = np.array([0, 1])
"""The pictures, by their ids and rows of the workspace."""


@dataclass(frozen=True)
class Scores:
    """How alike two pictures are; all is measured of the second one turned by `orientation`.

    Attributes:
        ssim: scikit-image's, of the thumbnails.
        detail_ssim: the same where the pictures have detail; None if neither has any.
        local_ssim: that of the small square where they have least in common.
        peak_difference: how many times as much one place differs as most others do.
        colour_difference: by how many levels the colour of one place differs, beyond that of the whole.
        orientation: EXIF's number that turns the second to match the first; 1 is as it is.
        action: what a run would do: "would move", "review", or "kept" for both.
        reason, reason_code: why, in words and for programs.
        duplicate: the path of the one that would move or is for review; None if they do not match.
        kept: the path of the one that it would be a duplicate of.
    """

    ssim: float
    detail_ssim: float | None
    local_ssim: float | None
    peak_difference: float
    colour_difference: float
    orientation: int
    action: str
    reason: str
    reason_code: str
    duplicate: str | None
    kept: str | None


def compare(first: Name, second: Name, threshold: float = 0.9, *, store: Name | None = None, **options: Any) -> Scores:
    """Return how alike two pictures are, and whether a run that found them alone would move one, or why not.

    Args:
        first: a file, or its URL: the one listed first, which stays unless `keep` says otherwise.
        second: the other.
        threshold: they match when their SSIM is this or more.
        store: where persons may have said that they are no duplicates. Default: nobody has.
        options: those of `imagetwins run`, as in orientations="all".

    Raises:
        ParameterError: an option is outside its limits, or the two are not two files.
        ImagetwinsError: one of them cannot be read.
    """
    locations = [_find_file(name) for name in (first, second)]
    _check_different(locations)
    parameters = parse_parameters(options | ALONE | {"folder": str(locations[0].parent), "threshold": threshold})
    check_roots(locations, allowed_roots())
    memory = nothing_remembered() if store is None else read_memory(resolve_store(str(store)))
    with tempfile.TemporaryDirectory(prefix="imagetwins-") as temporary:
        images, thumbnails = _load(Path(temporary), locations, parameters)
        pair = _score(Path(temporary), thumbnails, parameters)
    decisions = Decider(images, pair, parameters, memory).decide()
    decided = decisions[decisions["kept_image"].notna()]
    row = (decided if len(decided) else decisions).iloc[0]
    measured: dict[str, Any] = {
        name: None if pd.isna(value) else float(value) for name, value in pair.iloc[0][[*SCORES, *DIFFERENCES]].items()
    }
    return Scores(
        **measured,
        orientation=int(read_orientations(pair)[0]),
        **{name: row[name] for name in ("action", "reason", "reason_code")},
        duplicate=row["FullPath"] if len(decided) else None,
        kept=row["kept_path"] if len(decided) else None,
    )


def _find_file(name: Name) -> Location:
    location = parse_location(str(name))
    location = storage_of(location).absolute(location)
    if storage_of(location).stat(location) is None:
        raise ParameterError(f"{str(name)!r} is no file. Give two pictures to compare.")
    return location


def _check_different(locations: Sequence[Location]) -> None:
    first, second = locations
    is_same = first.samefile(second) if is_path(first) and is_path(second) else first == second
    if is_same:
        raise ParameterError(f"{str(first)!r} and {str(second)!r} are one file. Give two.")


def _load(
    directory: Path, locations: Sequence[Location], parameters: Parameters
) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Prepare both pictures in a workspace; return `schemas.IMAGES` and (2, size, size, 3) uint8 thumbnails.

    Raises:
        ImagetwinsError: one cannot be read.
    """
    thumbnails = np.empty((len(BOTH), parameters.size, parameters.size, 3), np.uint8)
    ssim.create_workspace(directory, len(BOTH), parameters.size)
    found = load_files(directory, BOTH, locations, parameters.decode_settings, thumbnails)
    for one, location in zip(found, locations, strict=True):
        if one.error:
            raise ImagetwinsError(f"{str(location)!r} cannot be compared: {one.error}.")
    stamps = [storage_of(location).stat(location) for location in locations]
    path, path_bytes = names_to_columns([to_json_name(location) for location in locations])
    listed = {
        "image": BOTH,
        "path": path,
        "path_bytes": path_bytes,
        "size_bytes": [stamp.size_bytes if stamp else 0 for stamp in stamps],
        "mtime_ns": [stamp.mtime_ns if stamp else 0 for stamp in stamps],
        "is_reference": [False, False],
        "companions": [0, 0],
    }
    facts = {name: [asdict(one)[name] for one in found] for name in asdict(found[0])}
    return as_frame(listed | facts, IMAGES), thumbnails


def _score(directory: Path, thumbnails: NDArray[np.uint8], parameters: Parameters) -> pd.DataFrame:
    """Return `schemas.COMPARISONS` of the pair, which has its row whatever it scores, with all that is measured of one that decides."""
    plan_directory = directory / "plan"
    plan = ssim.plan_join(
        directory,
        plan_directory,
        BOTH,
        threshold=parameters.threshold,
        floor=parameters.floor,
        orientations=parameters.orientations,
    )
    tiles = [tile for batch in plan.batches for tile in batch]
    pair = to_table(ssim.join_batch(plan_directory, tiles, lambda rows: [thumbnails[row] for row in rows]))
    (orientation,) = read_orientations(pair).tolist()
    measured = measure_pair(thumbnails[0], thumbnails[1], orientation)
    return pair.assign(**dict(zip(MEASURED, measured, strict=True)), verified=True)
