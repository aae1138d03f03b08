"""What every flow that moves files has around its stages: an id, the folder's lock, and a record of what happened."""

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.futures import PrefectFutureList, as_completed
from prefect.logging import get_run_logger

from imagetwins import __version__, ssim
from imagetwins.config.folders import find_obstacle, resolve_store
from imagetwins.config.parameters import Parameters, check_locations
from imagetwins.errors import NothingMovedError, StoreError
from imagetwins.matching.reuse import ReusableRun, describe_scores
from imagetwins.moving.holding import hold_folders
from imagetwins.moving.recover import recover_run, recover_runs
from imagetwins.moving.refusals import count_refusals, describe_refusals, moved_nothing
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.reporting.answers import to_plain
from imagetwins.reporting.links import find_dangling
from imagetwins.runtime.flow_context import current_flow_run
from imagetwins.runtime.heartbeats import sending_heartbeats
from imagetwins.runtime.observer import observer
from imagetwins.runtime.publishing import publish
from imagetwins.runtime.waiting import record_endings
from imagetwins.scanning.activity import hold_run
from imagetwins.scanning.eviction import release_run
from imagetwins.settings import cache_limit_bytes, count_cores
from imagetwins.storage import storage_of
from imagetwins.store.provenance import describe_installation
from imagetwins.store.record import RunKind, RunRecord, RunStatus, Stage, now
from imagetwins.store.runs import Run
from imagetwins.text import format_command, pluralize

UPDATE_SECONDS = 1.0
"""Pause between two updates of a progress artifact: each is a call to the server."""

T = TypeVar("T")


class RunContext:
    """A run at work, and what it has to tell so far: `record` is in `run.json` at the end of every stage."""

    def __init__(self, run: Run, record: RunRecord) -> None:
        self.run = run
        self.record = record

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time `stage`, and write down what is known when it is finished."""
        observer.get().stage_started(stage)
        start = time.perf_counter()
        yield
        self.record.seconds[stage] = round(time.perf_counter() - start, 3)
        if not self.record.has_finished(stage):
            self.record.finished_stages.append(stage)
        self.write()

    def count(self, *counts: dict[str, int]) -> None:
        """Add `counts` to the run's."""
        for some in counts:
            self.record.counts.update(some)

    def count_moves(self, counts: dict[str, int]) -> None:
        """Add what the moves came to, and note why files did not move that should have."""
        self.count(counts)
        self.record.not_moved_why = count_refusals(self.run)

    def replace_counts(self, counts: dict[str, int]) -> None:
        """Set the run's counts of what was counted before to `counts`."""
        for name, count in counts.items():
            self.record.counts[name] = count

    def count_pairs(self, counts: Iterable[dict[str, int]]) -> None:
        """Add the pairs that each stage of the join took."""
        for some in counts:
            self.record.funnel.update(some)

    def reuse(self, reusable: ReusableRun, parameters: Parameters) -> None:
        """Note which run's pairs are reused, or why none's, and what a later run must have in common with this one."""
        self.record.pairs_from = reusable.run.run_id if reusable.run else None
        self.record.pairs_from_why = str(reusable.why)
        self.record.scores_depend_on = describe_scores(parameters)

    def take_scores_of(self, past: Run) -> None:
        """Note that all scores are those of `past`, and how it came to them."""
        record = past.read_record()
        self.count_pairs([record.funnel])
        self.record.left_out = record.left_out
        self.record.pairs_from = past.run_id
        self.record.pairs_from_why = str(Reason.of(ReasonCode.SCORES_OF_RUN, run_id=past.run_id))

    def answer(self, **more: Any) -> dict[str, Any]:
        """Return what the flow answers once the run is over: its summary, and `more`.

        Raises:
            NothingMovedError: it moved nothing of what it should have. The answer is in the error.
        """
        answer = self.summary() | more
        if self.record.error:
            raise NothingMovedError(self.record.error, answer)
        return answer

    def conclude(self) -> None:
        """Note that the run went through all its stages, and whether that is a success."""
        has_failed = moved_nothing(self.record)
        self.record.status = RunStatus.FAILED if has_failed else RunStatus.COMPLETED
        self.record.error = describe_refusals(self.record) if has_failed else None
        self.record.finished = now()
        self.write()

    def announce(self, text: str) -> None:
        """Tell the log and whoever follows the run."""
        get_run_logger().info(text)
        observer.get().announce(text)

    def write(self) -> None:
        """Write the record as it is now."""
        self.run.write_record(self.record)

    def summary(self) -> dict[str, Any]:
        """Return what the command line prints as JSON."""
        counts = self.record.counts
        return {
            "run_id": self.run.run_id,
            "status": self.record.status.value,
            **({"error": self.record.error} if self.record.error else {}),
            **{name: counts[name] for name in ("not_moved", "companions_not_moved")},
            "not_moved_why": self.record.not_moved_why,
            **{name: counts[name] for name in ("images", "pairs")},
            "scored": self.record.funnel["scored"],
            **{name: counts[name] for name in ("matches", "duplicates", "turned_duplicates")},
            **{name: counts[name] for name in ("moved", "companions", "review", "errors", "not_read", "too_small")},
            **{name: counts[name] for name in ("remembered", "remembered_review", "other_shots")},
            "left_out": dict(self.record.left_out),
            "dangling_links": to_plain(find_dangling(self.run)),
            "seconds": {stage.value: seconds for stage, seconds in self.record.seconds.items()},
        }


@contextmanager
def open_run(kind: RunKind, parameters: Parameters) -> Iterator[RunContext]:
    """Lock the folders, recover what killed runs left there, and keep the record of this run up to its end.

    A retry of the same flow run has the same run id, and so finds the stages that were finished before.

    Raises:
        ParameterError: a folder or the store is outside the allowed roots, or cannot be used.
        FolderBusyError: another run works on one of the folders.
        StoreError: the run is over, or another took its place.
    """
    check_locations(parameters)
    flow_run = current_flow_run()
    started = (flow_run.expected_start_time or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    run = Run(resolve_store(parameters.store), f"{started:%Y%m%dT%H%M%SZ}-{flow_run.id.hex[:8]}")
    context = RunContext(run, _begin_record(kind, run, parameters, flow_run, started))
    holding = hold_folders(parameters.layout, f"run {run.run_id}", moves=not parameters.dry_run)
    with holding as held, hold_run(run), sending_heartbeats():
        _check_resumable(run)
        observer.get().run_started(run)
        record_endings(run.store)
        recover_runs(run.store, parameters.folders, run.run_id, cache_limit_bytes(), held)
        context.write()
        if parameters.dry_run and (obstacle := find_obstacle(parameters.layout)):
            context.announce(f"Without --dry-run nothing is moved: {'. '.join(obstacle)}")
        if not ssim.KEEPS_KERNELS:
            context.announce(
                "No folder for compiled kernels can be written: they are compiled for this run alone, which takes about 15 s. "
                "NUMBA_CACHE_DIR names one."
            )
        try:
            yield context
        except Pause:
            # Suspended until a person answers; the record says so already.
            raise
        except BaseException as error:
            _end_early(context, error)
            raise
        context.conclude()
        observer.get().stage_started("release")
        release_run(run, cache_limit_bytes(), keeps_pixels=parameters.keeps_pixels)


def _end_early(context: RunContext, error: BaseException) -> None:
    """Recover the moves of a run that an error, Ctrl-C or Prefect's Cancel ended, and say how to go on."""
    recover_run(context.run)
    with context.run.editing_record() as record:
        # Ctrl-C and Prefect's Cancel are no errors of the run.
        record.status = RunStatus.FAILED if isinstance(error, Exception) else RunStatus.INTERRUPTED
        record.error, record.finished = str(error) or repr(error), now()
    context.announce(_explain_ending(record))


def _explain_ending(record: RunRecord) -> str:
    """Return what a run that ended early has done, how to go on, and how to undo it."""
    ended, moved = record.status.value.capitalize(), record.counts["moved"]
    if not moved:
        return f"{ended}. Nothing was moved. Start another run to go on."
    undo = format_command("restore", record.run_id, record.parameters.store)
    return f"{ended} after {pluralize(moved, 'move')}. Start another run to go on, or undo them: {undo}"


def _check_resumable(run: Run) -> None:
    """Refuse to go on with a run whose prepared pictures are gone: it was completed, or another took its place.

    Raises:
        StoreError: naming the run and the remedy.
    """
    if storage_of(run.images).glob(run.images, "*.parquet") and not run.workspace.exists():
        status = run.read_record().status.value
        raise StoreError(f"run {run.run_id} cannot go on: it is {status}. Nothing was moved now. Start a new run.")


def _begin_record(
    kind: RunKind, run: Run, parameters: Parameters, flow_run: FlowRun, started: dt.datetime
) -> RunRecord:
    return RunRecord(
        run_id=run.run_id,
        kind=kind,
        created=started.replace(microsecond=0),
        flow_run_id=str(flow_run.id),
        flow_run_name=flow_run.name,
        version=__version__,
        versions=describe_installation(),
        kernels=ssim.choose_kernels().label,
        parameters=parameters,
    )


def await_all(
    stage: Stage, futures: PrefectFutureList[T], unit: str = "", sizes: Mapping[int, int] | None = None
) -> list[T]:
    """Return the results of `futures`, reporting the progress of `stage`; the first failure is raised.

    Args:
        stage: which one.
        futures: its batches.
        unit: what is counted, see `Observer.progressed`.
        sizes: how much each future has to do, in their order, by the part as which it reports its own progress; by
            default one each.
    """
    follower = observer.get()
    sizes = dict.fromkeys(range(len(futures)), 1) if sizes is None else sizes
    parts = {future.task_run_id: part for future, part in zip(futures, sizes, strict=True)}
    done, total = 0, sum(sizes.values())
    follower.progressed(stage, 0, total, unit)
    artifact: Any = None
    # Others are done all at once: a bar in the UI would cost two calls to the server, and show nothing between 0 and 100 %.
    if len(futures) > count_cores():
        artifact = publish(create_progress_artifact, 0.0, key=f"imagetwins-{stage}", description=stage.label)
    begun = shown = time.monotonic()
    for number, future in enumerate(as_completed(list(futures)), 1):
        future.result()
        part = parts[future.task_run_id]
        done += sizes[part]
        follower.progressed(stage, sizes[part], total, unit, part)
        if artifact and (number == len(futures) or time.monotonic() - shown > UPDATE_SECONDS):
            shown = time.monotonic()
            share = done / total if total else 1.0
            said = f"{stage.label}: {done:,} of {pluralize(total, unit or 'batch')}"
            publish(update_progress_artifact, artifact, 100 * share, description=f"{said}, {_left(begun, share)}")
    return [future.result() for future in futures]


def _left(begun: float, share: float) -> str:
    """Return how long the rest will take, where `share` of all took since `begun`."""
    seconds = (time.monotonic() - begun) * (1 - share) / share if share else 0.0
    return f"about {dt.timedelta(seconds=round(seconds))} left"
