"""How large a report becomes, and how long it takes to build: 200 and 10,000 images, and 10,000 duplicates.

Makes the pictures (pieces of scikit-image's photographs, and recompressed copies of each) and the tables of a run over
them, with made-up scores; then builds the report, as `imagetwins report RUN` does.

    python benchmarks/report_size.py [--images 200 10000 12500] [--copies 1 1 4]
"""

import argparse
import hashlib
import importlib.resources
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.reporting.run_page import build_report
from imagetwins.store.record import RunRecord, RunStatus, Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import as_frame, write_table

PHOTOS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "hubble_deep_field.jpg", "motorcycle_left.png")
WIDTH, HEIGHT = 320, 240
LIMIT_BYTES = 20_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 10_000, 12_500])
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 1, 4], help="of every kept picture")
    options = parser.parse_args()
    print("| images | duplicates | MB | seconds |\n|---|---|---|---|")
    largest = 0
    for images, copies in zip(options.images, options.copies, strict=True):
        with tempfile.TemporaryDirectory() as temporary:
            run, duplicates = build_run(Path(temporary), images, copies)
            begin = time.perf_counter()
            size = build_report(run).stat().st_size
            print(f"| {images:,} | {duplicates:,} | {size / 1e6:.2f} | {time.perf_counter() - begin:.1f} |", flush=True)
            largest = max(largest, size)
    print(json.dumps({"limit_bytes": LIMIT_BYTES, "largest_bytes": largest}))


def build_run(place: Path, images: int, copies: int) -> tuple[Run, int]:
    """Write pictures, of which every (1 + copies) are one family, and the run that found them."""
    parameters = Parameters(folder=str(place / "pictures"), dry_run=True)
    table = as_frame(
        {
            name: list(column)
            for name, column in zip(IMAGES.names, zip(*write_pictures(place, images, copies), strict=True), strict=True)
        },
        IMAGES,
    )
    scores = plan_scores(images, copies)
    decisions = decide(table, scores, parameters)
    run = Run(place / "store", "20260101T000000Z-bench")
    write_table(table, IMAGES, run.images / "part-0.parquet")
    write_table(scores, COMPARISONS, run.comparisons / "part-0.parquet")
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    pairs, duplicates = images * (images - 1) // 2, int(decisions["Duplicate"].sum())
    run.write_record(
        RunRecord(
            run_id=run.run_id,
            version="benchmark",
            created="2026-01-01T00:00:00+00:00",
            status=RunStatus.COMPLETED,
            parameters=parameters,
            counts={"images": images, "pairs": pairs, "matches": duplicates, "duplicates": duplicates},
            funnel={"pairs": pairs, "scored": pairs},
            seconds={Stage.SCORE: 1.0},
        )
    )
    return run, duplicates


def write_pictures(place: Path, images: int, copies: int) -> Iterator[tuple[object, ...]]:
    """Write the pictures, and yield their rows of `schemas.IMAGES`."""
    rng = np.random.default_rng(1)
    whole = [cv2.imread(str(importlib.resources.files("skimage.data") / name)) for name in PHOTOS]
    piece = whole[0]
    for number in range(images):
        if number % (1 + copies) == 0:
            photo = whole[rng.integers(len(whole))]
            top, left = rng.integers(photo.shape[0] - HEIGHT), rng.integers(photo.shape[1] - WIDTH)
            piece = photo[top : top + HEIGHT, left : left + WIDTH]
        file = place / "pictures" / f"holidays in the mountains {number % 40:02d}" / f"IMG_2026_{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        _, encoded = cv2.imencode(".jpg", piece, [cv2.IMWRITE_JPEG_QUALITY, 60 + number % 36])
        file.write_bytes(encoded.tobytes())
        digest = hashlib.sha256(encoded.tobytes()).hexdigest()
        yield number, str(file), None, len(encoded), 0, False, digest, WIDTH, HEIGHT, "JPEG", None


def plan_scores(images: int, copies: int) -> pd.DataFrame:
    """Return a score above the threshold for every pair of a family."""
    rng = np.random.default_rng(2)
    families = range(0, images, 1 + copies)
    pairs = [p for start in families for p in itertools.combinations(range(start, min(start + 1 + copies, images)), 2)]
    ssim = rng.uniform(0.9, 1, len(pairs))
    columns = ([a for a, _ in pairs], [b for _, b in pairs], ssim, ssim, [None] * len(pairs), [True] * len(pairs))
    return as_frame(dict(zip(COMPARISONS.names, columns, strict=True)), COMPARISONS)


if __name__ == "__main__":
    main()
