"""The floor of a folder: reading all its files with `cv2.imread` and resizing each by INTER_AREA, on all cores.

That is what making thumbnails takes with the tools that everybody has; where a time is told in floors, these are meant.

    python -m benchmarks.floor FOLDER
"""

import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2

SIDE = 200
"""Side of a thumbnail, in pixels: imagetwins' default."""


class Floor(NamedTuple):
    """Seconds: on the clock, and of all cores."""

    wall: float
    core: float


def measure_floor(files: Iterable[Path]) -> Floor:
    """Return what it takes to read and resize `files`, which are pictures that OpenCV reads, in a thread for each core."""
    cv2.setNumThreads(1)
    wall, core = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # What it returns is asked for, so that it raises what a thread raised.
        list(threads.map(_read, map(str, files)))
    return Floor(time.perf_counter() - wall, time.process_time() - core)


def _read(file: str) -> None:
    cv2.resize(cv2.imread(file), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    found = measure_floor(Path(entry.path) for entry in os.scandir(sys.argv[1]))
    print(f"{found.wall:.2f} s, {found.core:.2f} of all cores")
