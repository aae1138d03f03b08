"""The duplicates of folders, as a dry run finds them: the same stages, in threads of this process."""

import datetime as dt
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from imagetwins import __version__, ssim
from imagetwins.config.folders import allowed_roots, resolve_store
from imagetwins.config.parameters import Parameters, check_locations, check_parameters
from imagetwins.config.roots import check_roots
from imagetwins.errors import ParameterError
from imagetwins.matching.reuse import describe_scores, find_reusable_run
from imagetwins.moving.holding import hold_folders
from imagetwins.scanning.activity import hold_run
from imagetwins.scanning.eviction import release_run
from imagetwins.settings import cache_limit_bytes, count_cores
from imagetwins.stages.decide import decide_duplicates
from imagetwins.stages.list import list_files
from imagetwins.stages.load import Batch, load_images, plan_batches
from imagetwins.stages.lookup import lookup_files
from imagetwins.stages.plan import plan_comparisons
from imagetwins.stages.score import reuse_pairs, score_pairs
from imagetwins.storage import Location
from imagetwins.store.provenance import describe_installation
from imagetwins.store.record import RunKind, RunRecord, RunStatus, Stage, now
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table

Name = str | os.PathLike[str] | Location

RUN_ID = "run_id"
"""In the `attrs` of the answer: the run that `imagetwins audit` knows, where a store was named."""

T = TypeVar("T")
U = TypeVar("U")


def find_duplicates(
    folder: Name | Sequence[Name], threshold: float = 0.9, *, store: Name | None = None, **options: Any
) -> pd.DataFrame:
    """Return what `imagetwins run --dry-run` would decide about each picture of a folder; nothing moves.

    Args:
        folder: a path or a URL; a sequence of several, whose pictures are all compared.
        threshold: two pictures match when their SSIM is this or more.
        store: where thumbnails, scores and decisions are kept, as a dry run that `imagetwins audit` explains; the next call
            then computes only what is new, and what persons said there holds. Default: a temporary one, removed at the end.
        options: the others of `imagetwins run`, as in orientations="all".

    Returns:
        One row a picture, with the columns of the table `decisions` (`schemas.DECISIONS`): a duplicate has the action "would
        move", and in `kept_path` the picture that it is a duplicate of.

    Raises:
        ParameterError: an option is outside its limits, or a folder does not exist.
        FolderBusyError: a run works on one of the folders.
        StoreError: the store cannot be used, or the disk is too small.
    """
    parameters = _check(folder, threshold, store, options)
    if store is None:
        check_roots(parameters.locations, allowed_roots())
        with tempfile.TemporaryDirectory(prefix="imagetwins-") as temporary:
            return _look_through(Run(Path(temporary).resolve(), _new_id()), parameters)
    check_locations(parameters)
    run = Run(resolve_store(parameters.store), _new_id())
    decisions = _look_through(run, parameters)
    decisions.attrs[RUN_ID] = run.run_id
    return decisions


def _check(folder: Name | Sequence[Name], threshold: float, store: Name | None, options: dict[str, Any]) -> Parameters:
    if not options.get("dry_run", True):
        raise ParameterError(
            "find_duplicates moves nothing, so dry_run cannot be False. `imagetwins run` moves duplicates."
        )
    if options.get("dask"):
        raise ParameterError(
            "find_duplicates works in this process, so dask cannot be given. `imagetwins run --dask` uses a cluster."
        )
    folders = folder if isinstance(folder, list | tuple) else [folder]
    if not folders:
        raise ParameterError("no folder was given. Give one, or several.")
    first, *more = map(str, folders)
    names = {"folder": first, "more_folders": more, "store": None if store is None else str(store)}
    return check_parameters(options | names | {"threshold": threshold, "dry_run": True})


def _new_id() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def _look_through(run: Run, parameters: Parameters) -> pd.DataFrame:
    """Do all stages of `run` up to its decisions, which are returned."""
    held = hold_folders(parameters.layout, f"run {run.run_id}", moves=False)
    with held, hold_run(run), _recording(run, parameters) as record:
        _decide(run, parameters, record)
        release_run(run, cache_limit_bytes(), keeps_pixels=parameters.keeps_pixels)
    return read_table(run.decisions, DECISIONS)


@contextmanager
def _recording(run: Run, parameters: Parameters) -> Iterator[RunRecord]:
    """Keep the record of `run` up to its end, however that comes."""
    record = RunRecord(
        run_id=run.run_id,
        kind=RunKind.DEDUPLICATE,
        created=now(),
        version=__version__,
        versions=describe_installation(),
        kernels=ssim.choose_kernels().label,
        parameters=parameters,
        scores_depend_on=describe_scores(parameters),
    )
    run.write_record(record)
    try:
        yield record
        record.status = RunStatus.COMPLETED
    except BaseException as error:
        record.status = RunStatus.FAILED if isinstance(error, Exception) else RunStatus.INTERRUPTED
        record.error = str(error) or repr(error)
        raise
    finally:
        record.finished = now()
        run.write_record(record)


def _decide(run: Run, parameters: Parameters, record: RunRecord) -> None:
    """Do the stages one after the other, as `flows/deduplicate.py` does, and note in `record` what they count."""
    workers, limit = count_cores(), cache_limit_bytes()
    with _stage(Stage.LIST, run, record):
        record.left_out = list_files(run, parameters)
    with _stage(Stage.LOOKUP, run, record):
        record.counts.update(lookup_files(run, parameters, limit, workers))
        reusable = find_reusable_run(run, parameters)
        record.pairs_from = reusable.run.run_id if reusable.run else None
        record.pairs_from_why = str(reusable.why)
    with _stage(Stage.LOAD, run, record):

        def load(batch: Batch) -> dict[str, int]:
            return load_images(run, parameters, batch.start, batch.stop)

        for counts in _map(load, plan_batches(run, workers), workers):
            record.counts.update(counts)
    with _stage(Stage.PLAN, run, record):
        plan = plan_comparisons(run, parameters, reusable)
        record.counts["pairs"] = plan.pairs
    with _stage(Stage.SCORE, run, record):
        record.funnel.update(reuse_pairs(run, parameters, reusable, plan.fingerprint))

        def score(batch: tuple[int, list[ssim.Tile]]) -> dict[str, int]:
            return score_pairs(run, plan.fingerprint, *batch)

        for counts in _map(score, enumerate(plan.batches), workers):
            record.funnel.update(counts)
    with _stage(Stage.DECIDE, run, record):
        decided = decide_duplicates(run, parameters, workers)
        record.funnel["verified"] = decided.pop("verified")
        record.counts.update(decided)


@contextmanager
def _stage(stage: Stage, run: Run, record: RunRecord) -> Iterator[None]:
    """Time `stage`, and write down what is known when it is finished."""
    start = time.perf_counter()
    yield
    record.seconds[stage] = round(time.perf_counter() - start, 3)
    record.finished_stages.append(stage)
    run.write_record(record)


def _map(call: Callable[[T], U], items: Iterable[T], workers: int) -> list[U]:
    """Return `call` of each item, in threads; the first failure, or Ctrl-C, is raised once those that have begun are done."""
    pool = ThreadPoolExecutor(workers)
    try:
        return list(pool.map(call, items))
    finally:
        pool.shutdown(cancel_futures=True)
