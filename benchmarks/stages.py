"""The stages of the main job one after the other, without Prefect: as the flow calls them, timed."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imagetwins.config.parameters import check_parameters
from imagetwins.matching.reuse import describe_scores
from imagetwins.moving.recover import recover_runs
from imagetwins.scanning.activity import hold_run
from imagetwins.scanning.eviction import release_run
from imagetwins.stages.load import Batch, plan_batches
from imagetwins.storage import Location
from imagetwins.store.record import RunRecord, RunStatus, Stage, now
from imagetwins.store.runs import Run
from tasks.decide import decide_duplicates
from tasks.list import list_files
from tasks.load import load_images
from tasks.lookup import estimate, find_reusable_run, lookup_files
from tasks.plan import plan_comparisons
from tasks.score import reuse_pairs, score_pairs

CACHE_BYTES = 100 * 10**9
Tell = Callable[[str], None]


def run_stages(
    run: Run,
    folder: Location | Path,
    *,
    workers: int = 2,
    limit: int = CACHE_BYTES,
    tell: Tell = lambda _: None,
    **more: Any,
) -> RunRecord:
    """Find the duplicates of `folder`, move nothing, and return what is in `run.json`.

    `tell` is told each stage and each batch before it begins; if it raises, the run ends as if it were killed there.
    """
    parameters = check_parameters({"folder": str(folder), "store": str(run.store), "dry_run": True} | more)
    record = RunRecord(run_id=run.run_id, created=now(), parameters=parameters)
    record.scores_depend_on = describe_scores(parameters)
    stage = _timer(record, run, tell)
    with hold_run(run), ThreadPoolExecutor(workers) as threads:
        recover_runs(run.store, parameters.folders, run.run_id, limit)
        run.write_record(record)
        with stage(Stage.LIST):
            record.left_out = list_files.fn(run, parameters)
        with stage(Stage.LOOKUP):
            record.counts.update(lookup_files.fn(run, parameters, limit, workers))
            reusable = find_reusable_run.fn(run, parameters)
            record.pairs_from_why = str(reusable.why)
            estimate.fn(run, parameters, reusable, limit, workers)
        with stage(Stage.LOAD):

            def load(batch: Batch) -> dict[str, int]:
                tell("a batch of load")
                return load_images.fn(run, parameters, batch.start, batch.stop)

            for counts in threads.map(load, plan_batches(run, workers)):
                record.counts.update(counts)
        with stage(Stage.PLAN):
            plan = plan_comparisons.fn(run, parameters, reusable)
            record.counts["pairs"] = plan.pairs
        with stage(Stage.SCORE):
            record.funnel.update(reuse_pairs.fn(run, parameters, reusable, plan.fingerprint))

            def score(batch: tuple[int, Any]) -> dict[str, int]:
                tell("a batch of score")
                return score_pairs.fn(run, plan.fingerprint, *batch)

            for counts in threads.map(score, enumerate(plan.batches)):
                record.funnel.update(counts)
        with stage(Stage.DECIDE):
            decided = decide_duplicates.fn(run, parameters, workers)
            record.funnel["verified"] = decided.pop("verified")
            record.counts.update(decided)
        tell("release")
        release_run(run, limit, keeps_pixels=parameters.keeps_pixels)
    record.status = RunStatus.COMPLETED
    run.write_record(record)
    return record


def _timer(record: RunRecord, run: Run, tell: Tell) -> Callable[[Stage], Any]:
    @contextmanager
    def timed(stage: Stage) -> Iterator[None]:
        tell(stage)
        start = time.perf_counter()
        yield
        record.seconds[stage] = time.perf_counter() - start
        record.finished_stages.append(stage)
        run.write_record(record)

    return timed
