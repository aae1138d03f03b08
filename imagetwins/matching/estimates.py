"""How much a run has to do, and how long that will take: from what it found in the cache, and the speed of earlier runs."""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import ReusableRun, match_images
from imagetwins.progress import Progress, no_progress
from imagetwins.scanning.lookup import needs_decoding
from imagetwins.scanning.reading import decode_locations
from imagetwins.storage import Location
from imagetwins.storage.location import from_columns
from imagetwins.store.record import RunKind, RunRecord, Stage
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import LOOKUP
from imagetwins.store.tables import read_table
from imagetwins.text import pluralize

MIN_DECODED, MIN_PAIRS = 200, 200_000
"""A run that did fewer is no measure of speed."""

SAMPLE = 16
"""Files that are decoded to measure the speed, where no earlier run did."""

SAMPLED_SECONDS = 20
"""No file is decoded for that where, by the sizes of the files, all of them together take fewer core seconds."""

BYTE_SECONDS = 3e-8
"""Core seconds to decode a byte, measured: of a JPEG 2.4e-8, of a PNG a third of that, of a WebP four times as many."""

PREPARE_SECONDS = 1.6e-3
"""Core seconds to prepare a thumbnail of 200 pixels, to store it, and to pack it at the end, measured."""

PAIR_SECONDS = 4e-8
"""Core seconds a pair, of photographs at a threshold of 0.9, measured; at 0.8 it is fifteen times that, and for charts a hundred."""

TURNED_COST = 6
"""How many times as long a pair takes in all orientations, of photographs at a threshold of 0.9, measured."""


@dataclass(frozen=True)
class Estimate:
    """How much there is to do, and how long it will take."""

    images: int
    to_decode: int
    pairs: int
    new_pairs: int
    seconds: float
    disk_bytes: int
    by: str
    excess_bytes: int

    def __str__(self) -> str:
        minutes = "less than a minute" if self.seconds < 60 else f"about {self.seconds / 60:,.0f} min"
        disk = f"{self.disk_bytes / 1e9:.1f} GB" if self.disk_bytes >= 1e9 else f"{self.disk_bytes / 1e6:.0f} MB"
        excess = (
            f" The cache is cut back by {self.excess_bytes / 1e9:.1f} GB at the end, which the next run decodes again, unless "
            "IMAGETWINS_CACHE_GB is that much larger."
        )
        return (
            f"{pluralize(self.images, 'picture')}, {self.to_decode:,} of them to decode; {pluralize(self.pairs, 'pair')}, {self.new_pairs:,} of "
            f"them to compare. {minutes.capitalize()} ({self.by}), {disk} more in the store."
        ) + (excess if self.excess_bytes else "")


def estimate_run(
    run: Run,
    parameters: Parameters,
    reusable: ReusableRun,
    limit: int,
    workers: int,
    progress: Progress = no_progress,
) -> Estimate:
    """Return what `run`, which has looked up its files, is about to do.

    Args:
        run: the run.
        parameters: what it was asked to do.
        reusable: the run whose pairs it reuses, if any.
        limit: bytes that the cache may take.
        workers: threads that decode and compare.
        progress: called with the files of a sample that were decoded, if it takes one.
    """
    table = read_table(run.lookup, LOOKUP)
    images, to_decode = int(table["error"].isna().sum()), table[needs_decoding(table)]
    matched = int((match_images(reusable.run, table) >= 0).sum()) if reusable.run else 0
    pairs = images * (images - 1) // 2
    new_pairs = pairs - matched * (matched - 1) // 2
    decode, compare = _find_speeds(run, parameters) if len(to_decode) or new_pairs else (0.0, 0.0)
    by = "by the speed of earlier runs"
    if compare is None:
        cost = PAIR_SECONDS * (1 if parameters.orientations == "same" else TURNED_COST)
        by, compare = "by the sizes of the files; charts take longer", cost / workers
    if decode is None:
        by, decode = _measure_decoding(to_decode, parameters, workers, progress)
    seconds = len(to_decode) * decode + new_pairs * compare
    disk = len(to_decode) * ssim.working_row_bytes(parameters.size)
    excess = max(images * ssim.row_bytes(parameters.size, with_pixels=parameters.keeps_pixels) - limit, 0)
    return Estimate(images, len(to_decode), pairs, new_pairs, seconds, disk, by, excess)


def _find_speeds(run: Run, parameters: Parameters) -> tuple[float | None, float | None]:
    """Return the seconds for an image and for a pair of the last runs that can tell; None where none can."""
    decode = compare = None
    for other in reversed(list_runs(run.store)):
        speeds = _speeds(other.read_record(), parameters)
        decode, compare = decode or speeds[0], compare or speeds[1]
        if decode and compare:
            break
    return decode, compare


def _speeds(record: RunRecord, parameters: Parameters) -> tuple[float | None, float | None]:
    """Return the seconds for an image and for a pair of a past run; None for what it cannot tell."""
    of_run = record.parameters
    is_other = (of_run.size, of_run.decoding) != (parameters.size, parameters.decoding)
    if record.kind is not RunKind.DEDUPLICATE or is_other or not record.has_finished(Stage.SCORE):
        return None, None
    decoded, compared = record.counts["to_decode"], record.funnel["pairs"] - record.funnel["known"]
    same_pairs = abs(record.floor - parameters.floor) < 0.03 and of_run.orientations == parameters.orientations
    return (
        record.seconds[Stage.LOAD] / decoded if decoded >= MIN_DECODED else None,
        record.seconds[Stage.SCORE] / compared if compared >= MIN_PAIRS and same_pairs else None,
    )


def _measure_decoding(
    files: pd.DataFrame, parameters: Parameters, workers: int, progress: Progress
) -> tuple[str, float]:
    """Return the seconds to decode and prepare a file, guessed from sizes or measured on some of the files; and which."""
    prepare = PREPARE_SECONDS * (parameters.size / 200) ** 2
    guess = files["size_bytes"].mean() * BYTE_SECONDS + prepare if len(files) else 0.0
    if len(files) * guess < SAMPLED_SECONDS:
        return "by the sizes of the files; charts take longer", guess / workers
    some = files.iloc[np.linspace(0, len(files) - 1, SAMPLE).astype(int)]
    locations = [from_columns(*names) for names in zip(some["path"], some["path_bytes"], strict=True)]
    thumbnails = np.empty((len(locations), parameters.size, parameters.size, 3), np.uint8)
    # The first one starts the decoder, too.
    _time_decoding(locations[:1], parameters, thumbnails, no_progress)
    decode = _time_decoding(locations, parameters, thumbnails, progress) / len(locations)
    return "by a sample; charts take longer", (decode + prepare) / workers


def _time_decoding(
    locations: list[Location], parameters: Parameters, thumbnails: NDArray[np.uint8], progress: Progress
) -> float:
    start = time.perf_counter()
    decode_locations(locations, parameters.decode_settings, thumbnails, progress)
    return time.perf_counter() - start
