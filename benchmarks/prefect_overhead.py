"""What Prefect costs: the flow's wall time, minus that of the same stages called directly; and its task runs.

Both run on the demo's pictures, with moves left out and with a store of its own for every round, so that every round does
all of the work, against a Prefect server that runs already (PREFECT_API_URL). A first round of each, which compiles and
imports, is not counted.

    prefect server start &
    PREFECT_API_URL=http://127.0.0.1:4200/api python -m benchmarks.prefect_overhead [--rounds 5]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from benchmarks.stages import run_stages
from flows.deduplicate import deduplicate
from imagetwins import ssim
from imagetwins.config.layout import make_layout
from imagetwins.config.parameters import Options
from imagetwins.demo import build_samples
from imagetwins.reporting.gallery import draw_gallery, draw_summary
from imagetwins.reporting.run_page import read_tables, write_report
from imagetwins.scanning.thumbnails import RunThumbnails
from imagetwins.settings import count_cores
from imagetwins.stages.load import batch_length
from imagetwins.store.runs import Run, list_runs

LIMIT_SECONDS = 3.0
SIZES = (200, 2_000, 20_000)
OTHERS = 9
"""Task runs of the stages that are one: list, lookup, find the reusable run, estimate, plan, reuse, decide, move, report."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    if "PREFECT_API_URL" not in os.environ:
        parser.error("set PREFECT_API_URL to a server that runs, http://127.0.0.1:4200/api")
    with tempfile.TemporaryDirectory() as temporary:
        folder, flows, direct = (Path(temporary) / name for name in ("pictures", "flows", "direct"))
        count = build_samples(folder)
        through_flow, directly = measure(
            rounds,
            lambda number: run_flow(folder, flows / str(number)),
            lambda number: run_directly(folder, Run(direct / str(number), "direct"), flows / str(number)),
        )
        tasks = count_task_runs(flows / str(rounds))
    overhead = through_flow - directly
    print(f"{count} pictures, median of {rounds}: flow {through_flow:.2f} s, the same stages {directly:.2f} s")
    print(f"overhead {overhead:.2f} s (limit {LIMIT_SECONDS:.0f} s), task runs {tasks}")
    for size in SIZES:
        loading, scoring = count_batches(size)
        print(
            f"{size:>7,} distinct pictures: {loading} task runs load, {scoring} score, {loading + scoring + OTHERS} in all"
        )


def measure(rounds: int, *calls: Callable[[int], None]) -> list[float]:
    """Return the median seconds of each of `calls`, called in turn, so that a busy machine is busy for all of them."""
    seconds = [[_time(call, number) for call in calls] for number in range(rounds + 1)]
    return [statistics.median(column) for column in zip(*seconds[1:], strict=True)]


def _time(call: Callable[[int], None], number: int) -> float:
    start = time.perf_counter()
    call(number)
    return time.perf_counter() - start


def run_flow(folder: Path, store: Path) -> None:
    deduplicate(str(folder), dry_run=True, options=Options(store=str(store)))


def run_directly(folder: Path, run: Run, flow_store: Path) -> None:
    """Do what the flow does, without Prefect; the record that the report needs is that of the flow run."""
    template = list_runs(flow_store)[-1].read_record()

    def report(stage: str) -> None:
        if stage != "release":
            return
        run.write_record(template.model_copy(update={"run_id": run.run_id}))
        tables = read_tables(run)
        thumbnails = RunThumbnails(run, tables.parameters, tables.images, tables.decisions)
        write_report(run, tables, thumbnails)
        draw_summary(tables.record)
        draw_gallery(tables.decisions, tables.images, thumbnails.load, make_layout([str(folder)]))

    run_stages(run, folder, workers=count_cores(), tell=report)


def count_batches(size: int) -> tuple[int, int]:
    """Return the batches that load and that score `size` pictures; of noise, since batches depend on the number alone."""
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as temporary:
        ssim.create_workspace(Path(temporary), size, 16)
        for start in range(0, size, 1000):
            count = min(1000, size - start)
            noise = rng.integers(0, 256, (count, 16, 16, 3), np.uint8)
            ssim.prepare_images(Path(temporary), np.arange(start, start + count), noise)
        plan = ssim.plan_join(Path(temporary), Path(temporary) / "plan", np.arange(size), threshold=0.9, floor=0.85)
    return -(-size // batch_length(size, count_cores())), len(plan.batches)


def count_task_runs(store: Path) -> int:
    """Return how many task runs the server has of the last flow run."""
    flow_run = list_runs(store)[-1].read_record().flow_run_id
    with get_client(sync_client=True) as client:
        return len(client.read_task_runs(flow_run_filter=FlowRunFilter(id={"any_": [flow_run]})))


if __name__ == "__main__":
    main()
