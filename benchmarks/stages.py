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
from imagetwins.scanning.cache import hold_run, release_run
from imagetwins.storage.location import parse_location
from imagetwins.store.runs import Run
from tasks.decide import decide_duplicates
from tasks.estimating import estimate
from tasks.list import list_files
from tasks.load import load_images, plan_batches, recall
from tasks.plan import find_past_run, plan_comparisons, reuse_pairs
from tasks.score import score_pairs

CACHE_BYTES = 100 * 10**9
Content = dict[str, Any]
Tell = Callable[[str], None]


def run_stages(
    run: Run, folder: Path, *, workers: int = 2, limit: int = CACHE_BYTES, tell: Tell = lambda _: None, **more: Any
) -> Content:
    """Find the duplicates of `folder`, move nothing, and return what is in `run.json`: counts, funnel, seconds ...

    `tell` is told each stage and each batch before it begins; if it raises, the run ends as if it were killed there.
    """
    parameters = check_parameters({"folder": str(folder), "store": str(run.store), "dry_run": True} | more)
    record: Content = {"run_id": run.run_id, "kind": "deduplicate", "status": "running", "floor": parameters.floor}
    record |= {"parameters": parameters.model_dump(), "seconds": {}, "counts": {}, "funnel": {}}
    record["scores_depend_on"] = describe_scores(parameters)
    stage = _timer(record, run, tell)
    with hold_run(run), ThreadPoolExecutor(workers) as threads:
        recover_runs(run.store, parse_location(parameters.folder), run.run_id, limit)
        run.write_record(record)
        with stage("list"):
            list_files.fn(run, parameters)
        with stage("recall"):
            _add(record["counts"], recall.fn(run, parameters, limit, workers))
            past = find_past_run.fn(run, parameters)
            record |= {"estimate": str(estimate.fn(run, parameters, past, limit, workers)), "pairs_from_why": past.why}
        with stage("load"):
            batches = plan_batches(run, workers)

            def load(batch: tuple[int, int]) -> dict[str, int]:
                tell("a batch of load")
                return load_images.fn(run, parameters, *batch)

            for counts in threads.map(load, batches):
                _add(record["counts"], counts)
        with stage("plan"):
            plan = plan_comparisons.fn(run, parameters, past)
            _add(record["counts"], {"pairs": plan.pairs})
        with stage("score"):
            _add(record["funnel"], reuse_pairs.fn(run, parameters, past, plan))

            def score(batch: tuple[int, Any]) -> dict[str, int]:
                tell("a batch of score")
                return score_pairs.fn(run, plan.fingerprint, *batch)

            for counts in threads.map(score, enumerate(plan.batches)):
                _add(record["funnel"], counts)
        with stage("decide"):
            decided = decide_duplicates.fn(run, parameters, workers)
            record["funnel"]["verified"] = decided.pop("verified")
            _add(record["counts"], decided)
        with stage("release"):
            release_run(run, limit)
    run.write_record(record | {"status": "completed"})
    return record


def _timer(record: Content, run: Run, tell: Tell) -> Callable[[str], Any]:
    @contextmanager
    def stage(name: str) -> Iterator[None]:
        tell(name)
        start = time.perf_counter()
        yield
        record["seconds"][name] = time.perf_counter() - start
        run.write_record(record)

    return stage


def _add(total: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count
