"""How long every audit question takes on a year of nightly runs: 365 runs, 100,000 stored pairs each.

Builds such a store (about a minute, 1 GB), asks each question three times, and prints the slowest answer.

    python benchmarks/audit_queries.py [--runs 365] [--images 10000] [--pairs 100000] [--store DIR]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from imagetwins.config.parameters import Parameters
from imagetwins.matching.decisions import decide
from imagetwins.reporting.files import explain_file, explain_pair, find_history
from imagetwins.reporting.runs import audit_run, audit_runs, compare_runs
from imagetwins.reporting.thresholds import audit_threshold
from imagetwins.store.pruning import plan_pruning
from imagetwins.store.record import RunRecord, RunStatus, Stage
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import COMPARISONS, DECISIONS, IMAGES
from imagetwins.store.tables import as_frame, write_table

FOLDER = "/pictures/archive"
NEW_A_NIGHT = 10
LIMIT_SECONDS = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("runs", 365), ("images", 10_000), ("pairs", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--store", type=Path, help="keep the store here, and use it if it is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = options.store or Path(temporary)
        if not list_runs(store):
            build_store(store, options.runs, options.images, options.pairs)
        measure(store)


def build_store(store: Path, runs: int, images: int, pairs: int) -> None:
    """Write `runs` nightly runs over one folder that gains `NEW_A_NIGHT` pictures every night."""
    parameters = Parameters(folder=FOLDER)
    rng = np.random.default_rng(7)
    start = datetime(2025, 1, 1, 2, tzinfo=UTC)
    for night in range(runs):
        created = start + timedelta(days=night)
        run = Run(store, f"{created:%Y%m%dT%H%M%SZ}-{night:04x}")
        table = plan_images(images + NEW_A_NIGHT * night)
        scores = plan_comparisons(rng, len(table), pairs)
        decisions = decide(table, scores, parameters)
        write_table(table, IMAGES, run.images / "images.parquet")
        write_table(scores, COMPARISONS, run.comparisons / "part-000.parquet")
        write_table(decisions, DECISIONS, run.decisions / "decisions.parquet")
        run.write_record(
            RunRecord(
                run_id=run.run_id,
                created=created,
                status=RunStatus.COMPLETED,
                parameters=parameters,
                counts={"images": len(table), "duplicates": int(decisions["Duplicate"].sum())},
                seconds={Stage.SCORE: 12.0},
            )
        )


def plan_images(count: int) -> pd.DataFrame:
    number = np.arange(count)
    return as_frame(
        dict.fromkeys(IMAGES.names, [None] * count)
        | {
            "image": number.astype(np.int32),
            "path": [f"{FOLDER}/{n % 97:02d}/IMG_{n:07d}.jpg" for n in number],
            "path_bytes": [None] * count,
            "size_bytes": 100_000 + number,
            "mtime_ns": number * 1_000_000_000,
            "is_reference": np.zeros(count, bool),
            "digest": [f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4 for n in number.tolist()],
            "width_px": np.full(count, 640, np.int32),
            "height_px": np.full(count, 480, np.int32),
            "format": ["jpeg"] * count,
            "error": [None] * count,
        },
        IMAGES,
    )


def plan_comparisons(rng: np.random.Generator, images: int, pairs: int) -> pd.DataFrame:
    """Return `pairs` different pairs, most of them near the floor, as in real folders."""
    codes = np.unique(rng.integers(0, images * images, 3 * pairs))
    first, second = np.divmod(codes, images)
    chosen = np.sort(rng.choice(np.flatnonzero(first < second), pairs, replace=False))
    ssim = 0.85 + 0.15 * rng.beta(1, 12, pairs)
    return as_frame(
        {
            "image1": first[chosen].astype(np.int32),
            "image2": second[chosen].astype(np.int32),
            "ssim": ssim,
            "detail_ssim": np.minimum(1, ssim + rng.normal(0, 0.02, pairs)),
            "local_ssim": np.minimum(1, ssim + rng.normal(0, 0.02, pairs)),
            "max_difference": [None] * pairs,
            "verified": ssim >= 0.9,
        },
        COMPARISONS,
    )


def measure(store: Path) -> None:
    runs = list_runs(store)
    middle, last = runs[len(runs) // 2], runs[-1]
    duplicate = audit_run(middle).table.iloc[0]
    questions: dict[str, Callable[[], object]] = {
        "audit (all runs)": lambda: audit_runs(store),
        "audit RUN": lambda: audit_run(middle),
        "audit RUN --why, a duplicate": lambda: explain_file(middle, duplicate["FullPath"]),
        "audit RUN --pair": lambda: explain_pair(middle, duplicate["FullPath"], duplicate["kept_path"]),
        "audit --file, over all runs": lambda: find_history(store, duplicate["FullPath"]),
        "audit RUN --threshold 0.95": lambda: audit_threshold(middle, 0.95),
        "audit RUN --threshold 0.85": lambda: audit_threshold(middle, 0.85),
        "audit --compare": lambda: compare_runs(middle, last),
        "prune --older-than (plan)": lambda: plan_pruning(store, datetime(2025, 7, 1, tzinfo=UTC)),
    }
    size = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    print(f"{len(runs)} runs, {size / 2**20:.0f} MB\n\n| question | seconds |\n|---|---|")
    slowest = {name: max(time_once(ask) for _ in range(3)) for name, ask in questions.items()}
    for name, seconds in slowest.items():
        print(f"| {name} | {seconds:.2f} |")
    print(json.dumps({"runs": len(runs), "limit_seconds": LIMIT_SECONDS, "slowest_seconds": max(slowest.values())}))


def time_once(ask: Callable[[], object]) -> float:
    begin = time.perf_counter()
    ask()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
