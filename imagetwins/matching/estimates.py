"""What a run will cost, told before its work begins: from what it found in the cache, and the speed of earlier runs."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching.reuse import Past, match_images
from imagetwins.scanning.reading import decode_locations
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.tables import RECALLED, path_of, read_table
from imagetwins.text import amount

MIN_DECODED, MIN_PAIRS = 200, 200_000
"""A run that did fewer says nothing about speed."""

SAMPLE = 16
"""Files that are decoded to measure, where no run tells."""

PREPARE_SECONDS = 2.5e-3
"""Core seconds to prepare a thumbnail of 200 pixels, measured."""

PAIR_SECONDS = 1.5e-7
"""Core seconds a pair, of photographs at a threshold of 0.9, measured; at 0.7, and for charts, it is thirty times that."""


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
            f"{amount(self.images, 'picture')}, {self.to_decode:,} of them to decode; {amount(self.pairs, 'pair')}, {self.new_pairs:,} of "
            f"them to compare. {minutes.capitalize()} ({self.by}), {disk} more in the store."
        ) + (excess if self.excess_bytes else "")


def estimate_run(run: Run, parameters: Parameters, past: Past, limit: int, workers: int) -> Estimate:
    """Return what `run`, which has recalled its files, is about to do; `limit` is that of the cache, in bytes."""
    recalled = read_table(run.recalled, RECALLED)
    readable = recalled["error"].isna()
    images, to_decode = int(readable.sum()), recalled[readable & recalled["digest"].isna()]
    matched = int((match_images(past.run, recalled) >= 0).sum()) if past.run else 0
    pairs = images * (images - 1) // 2
    new_pairs = pairs - matched * (matched - 1) // 2
    earlier = [found for other in reversed(list_runs(run.store)) if (found := _speeds(other.read_record(), parameters))]
    decode = next((speed for speed, _ in earlier if speed), None)
    compare = next((speed for _, speed in earlier if speed), None)
    by = "by the speed of earlier runs" if decode and compare else "by a sample; charts take longer"
    if decode is None:
        decode = _measure_decoding(to_decode, parameters) / workers
    seconds = len(to_decode) * decode + new_pairs * (PAIR_SECONDS / workers if compare is None else compare)
    image_bytes = ssim.row_bytes(parameters.size)
    disk, excess = len(to_decode) * image_bytes, max(images * image_bytes - limit, 0)
    return Estimate(images, len(to_decode), pairs, new_pairs, seconds, disk, by, excess)


def _speeds(record: dict[str, Any], parameters: Parameters) -> tuple[float | None, float | None] | None:
    """Return the seconds an image and a pair of a past run; None for what it does not tell."""
    counts, funnel, seconds = (record.get(name, {}) for name in ("counts", "funnel", "seconds"))
    if record["kind"] != "deduplicate" or _changed(record, parameters) or "score" not in seconds:
        return None
    decoded, compared = counts.get("to_decode", 0), funnel.get("pairs", 0) - funnel.get("known", 0)
    same_floor = abs(record["floor"] - parameters.floor) < 0.03
    return (
        seconds["load"] / decoded if decoded >= MIN_DECODED else None,
        seconds["score"] / compared if compared >= MIN_PAIRS and same_floor else None,
    )


def _changed(record: dict[str, Any], parameters: Parameters) -> bool:
    return any(record["parameters"].get(name) != getattr(parameters, name) for name in ("size", "decoding"))


def _measure_decoding(files: pd.DataFrame, parameters: Parameters) -> float:
    """Return the core seconds a file to decode and prepare, of some that are spread over all."""
    if len(files) < MIN_DECODED:
        return PREPARE_SECONDS
    some = files.iloc[np.linspace(0, len(files) - 1, SAMPLE).astype(int)]
    paths = [path_of(*names) for names in zip(some["path"], some["path_bytes"], strict=True)]
    thumbnails = np.empty((len(paths), parameters.size, parameters.size, 3), np.uint8)
    # The first one starts the decoder, too.
    _seconds(paths[:1], parameters, thumbnails)
    return _seconds(paths, parameters, thumbnails) / len(paths) + PREPARE_SECONDS * (parameters.size / 200) ** 2


def _seconds(paths: Iterable[Any], parameters: Parameters, thumbnails: Any) -> float:
    start = time.perf_counter()
    decode_locations(list(paths), parameters.decode_settings, thumbnails)
    return time.perf_counter() - start
