"""How large a report becomes, and how long it takes: of 425 duplicates, and of 10,000 in families of two and of five.

Makes the pictures (pieces of scikit-image's photographs, and recompressed copies of each), their thumbnails in a cache, and
the tables of a run over them, with made-up scores; then builds the report: from the cache, as at the end of a run, and
without it, as `imagetwins report RUN` does for an old one. The first is the median of some rounds, with the CPU seconds of
all threads; the second, whose decoders are other processes, is timed once.

    python -m benchmarks.report_size [--images 850 12500 20000] [--copies 1 4 1] [--rounds 5]
"""

import argparse
import base64
import hashlib
import importlib.resources
import itertools
import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.reporting.run_page import build_report
from imagetwins.scanning.cache import INDEX, name_cache
from imagetwins.settings import count_cores
from imagetwins.store.record import RunRecord, RunStatus, Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import CACHED, COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import as_frame, write_table

PHOTOS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "hubble_deep_field.jpg", "motorcycle_left.png")
WIDTH, HEIGHT = 320, 240
RUN_ID = "20260101T000000Z-bench"
PREPARED_AT_ONCE = 500
LIMIT_BYTES = 20_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[850, 12_500, 20_000])
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 4, 1], help="of every kept picture")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        "| images | duplicates | pictures | side | MB | seconds | CPU seconds | decoding again |\n" + "|---" * 8 + "|"
    )
    largest = 0
    for images, copies in zip(options.images, options.copies, strict=True):
        with tempfile.TemporaryDirectory() as temporary:
            run, duplicates = build_run(Path(temporary), images, copies)
            timed = [measure(run) for _ in range(options.rounds)]
            seconds, cpu_seconds = (statistics.median(column) for column in zip(*timed, strict=True))
            pictures, side = look_at(run.report)
            size = run.report.stat().st_size
            shutil.rmtree(run.home / "cache")
            decoding, _ = measure(run)
            print(
                f"| {images:,} | {duplicates:,} | {pictures:,} | {side} | {size / 1e6:.1f} "
                f"| {seconds:.2f} | {cpu_seconds:.2f} | {decoding:.1f} |",
                flush=True,
            )
            largest = max(largest, size)
    print(json.dumps({"limit_bytes": LIMIT_BYTES, "largest_bytes": largest}))


def measure(run: Run) -> tuple[float, float]:
    """Build the report of `run`; return how many seconds that took, and how many of this process's CPU."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    build_report(run)
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def look_at(report: Path) -> tuple[int, int]:
    """Return how many pictures a report holds, and how many pixels they are wide."""
    (text,) = re.findall(r'id="data">(.*?)</script>', report.read_text(encoding="utf-8"))
    data = json.loads(text)
    jpeg = np.frombuffer(base64.b64decode(data["header"] + data["pictures"][0]), np.uint8)
    return len(data["pictures"]), cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape[1]


def build_run(place: Path, images: int, copies: int) -> tuple[Run, int]:
    """Write pictures, of which every (1 + copies) are one family, and the run that found them."""
    parameters = Parameters(folder=str(place / "pictures"), dry_run=True)
    table = as_frame(pd.DataFrame(write_pictures(place, images, copies)).to_dict("list"), IMAGES)
    fill_cache(Run(place / "store", RUN_ID), parameters, table)
    scores = plan_scores(images, copies)
    decisions = decide(table, scores, parameters)
    run = Run(place / "store", RUN_ID)
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


def write_pictures(place: Path, images: int, copies: int) -> Iterator[dict[str, object]]:
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
        yield {
            "image": number,
            "path": str(file),
            "size_bytes": len(encoded),
            "mtime_ns": 0,
            "is_reference": False,
            "digest": digest,
            "width_px": WIDTH,
            "height_px": HEIGHT,
            "format": "JPEG",
        }


def fill_cache(run: Run, parameters: Parameters, images: pd.DataFrame) -> None:
    """Put the thumbnails of `images` (`schemas.IMAGES`) into a cache, as an earlier run would."""
    directory = run.home / "cache" / f"{name_cache(parameters)}-bench"
    ssim.create_workspace(directory, len(images), parameters.size)

    def prepare(start: int) -> list[bytes]:
        rows = np.arange(start, min(start + PREPARED_AT_ONCE, len(images)))
        thumbnails = np.stack([shrink(images["path"].iat[row], parameters.size) for row in rows])
        ssim.prepare_images(directory, rows, thumbnails)
        return [hashlib.blake2b(one, digest_size=ssim.DIGEST_BYTES).digest() for one in thumbnails]

    with ThreadPoolExecutor(count_cores()) as pool:
        digests = list(itertools.chain.from_iterable(pool.map(prepare, range(0, len(images), PREPARED_AT_ONCE))))
    # What is still to be written would otherwise be written while the report is.
    ssim.flush_workspace(directory)
    found = {
        "file": [path.encode() for path in images["path"]],
        "validator": [""] * len(images),
        "row": range(len(images)),
        "thumbnail": digests,
        "used_ns": [0] * len(images),
    }
    index = as_frame({name: found.get(name, images.get(name)) for name in CACHED.names}, CACHED)
    write_table(index, CACHED, directory / INDEX)


def shrink(path: str, side: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(cv2.imread(path), (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def plan_scores(images: int, copies: int) -> pd.DataFrame:
    """Return a score above the threshold for every pair of a family."""
    rng = np.random.default_rng(2)
    families = range(0, images, 1 + copies)
    pairs = [p for start in families for p in itertools.combinations(range(start, min(start + 1 + copies, images)), 2)]
    score = rng.uniform(0.9, 1, len(pairs))
    ends = {"image1": [a for a, _ in pairs], "image2": [b for _, b in pairs]}
    scores = {"ssim": score, "detail_ssim": score, "local_ssim": score, "verified": [True] * len(pairs)}
    return as_frame(ends | scores, COMPARISONS)


if __name__ == "__main__":
    main()
