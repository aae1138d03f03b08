"""What every flow that moves files has around its stages: an id, the folder's lock, and a record of what happened."""

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger

from imagetwins import __version__
from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError
from imagetwins.matching.reuse import Past, describe_scores
from imagetwins.moving.recover import recover_runs, settle_run
from imagetwins.runtime.observer import announcer, listener
from imagetwins.runtime.settings import cache_limit, check_places, resolve_store
from imagetwins.runtime.waiting import settle_waiting
from imagetwins.scanning.cache import hold_run, release_run
from imagetwins.storage.location import place_of
from imagetwins.storage.locks import lock_folder
from imagetwins.store.provenance import describe_installation
from imagetwins.store.runs import Run
from imagetwins.text import amount, command_on

UPDATE_SECONDS = 1.0
"""Pause between two updates of a progress artifact: each is a call to the server."""

T = TypeVar("T")


@dataclass
class Record:
    """What a run has to tell so far; `run.json` at the end of every stage."""

    run: Run
    content: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    funnel: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the stage `name`, and write down what is known when it is done."""
        listener.get()(name, 0, 0)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
        self.write()

    def add(self, *counts: dict[str, int]) -> None:
        """Add `counts` to the run's."""
        _add(self.counts, counts)

    def add_to_funnel(self, counts: list[dict[str, int]]) -> None:
        """Add the pairs that each stage of the join took."""
        _add(self.funnel, counts)

    def note_past(self, past: Past, parameters: Parameters) -> None:
        """Write down which run's pairs are taken over, or why none's, and what a later run must have in common with it."""
        self.content |= {"pairs_from": past.run.run_id if past.run else None, "pairs_from_why": past.why}
        self.content["scores_depend_on"] = describe_scores(parameters)

    def note_source(self, past: Run) -> None:
        """Write down that the pairs are those of `past`, and that none was settled anew."""
        self.content |= {"pairs_from": past.run_id, "pairs_from_why": f"All scores are those of run {past.run_id}."}

    def announce(self, text: str) -> None:
        """Tell whoever looks at the run, in its log and in the terminal."""
        get_run_logger().info(text)
        announcer.get()(text)

    def write(self, **changes: Any) -> None:
        self.content |= {"counts": self.counts, "funnel": self.funnel, "seconds": self.seconds} | changes
        self.run.write_record(self.content)

    def summary(self) -> dict[str, Any]:
        """Return the numbers that the command line prints as JSON."""
        return {
            "run_id": self.run.run_id,
            **{name: self.counts.get(name, 0) for name in ("images", "pairs")},
            "scored": self.funnel.get("scored", 0),
            **{name: self.counts.get(name, 0) for name in ("matches", "duplicates", "moved", "review", "errors")},
            "seconds": self.seconds,
        }


def _add(total: dict[str, int], counts: Any) -> None:
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count


@contextmanager
def open_run(kind: str, parameters: Parameters) -> Iterator[Record]:
    """Lock the folder, settle what a killed run left there, and keep the record of this run up to its end.

    A retry of the same flow run has the same run id, and so finds the stages that were finished before.
    """
    check_places(parameters)
    flow_run = FlowRunContext.get().flow_run
    started = (flow_run.expected_start_time or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    run = Run(resolve_store(parameters.store), f"{started:%Y%m%dT%H%M%SZ}-{flow_run.id.hex[:8]}")
    folder = place_of(parameters.folder)
    record = Record(run, _describe(kind, run, parameters, flow_run, started))
    with lock_folder(folder, f"run {run.run_id}"), hold_run(run):
        _check_resumable(run)
        settle_waiting(run.store)
        recover_runs(run.store, folder, run.run_id, cache_limit())
        record.write()
        try:
            yield record
        except Pause:
            # Suspended until a person answers; the record says so already.
            raise
        except BaseException as error:
            settle_run(run)
            # Ctrl-C and Prefect's Cancel are no errors of the run.
            status = "failed" if isinstance(error, Exception) else "interrupted"
            said = run.update_record(status=status, error=str(error) or repr(error), finished=_now())
            record.announce(_how_to_go_on(said))
            raise
        record.write(status="completed", finished=_now())
        release_run(run, cache_limit())


def _how_to_go_on(record: dict[str, Any]) -> str:
    """Return what a run that ended early has done, how to go on, and how to undo it."""
    ended, moved = record["status"].capitalize(), record["counts"].get("moved", 0)
    if not moved:
        return f"{ended}. Nothing was moved. Start another run to go on."
    undo = command_on(record["run_id"], record["parameters"]["store"], "restore")
    return f"{ended} after {amount(moved, 'move')}. Start another run to go on, or undo them: {undo}"


def _check_resumable(run: Run) -> None:
    """Refuse to go on with a run whose prepared pictures are gone: it was completed, or another took its place.

    Raises:
        StoreError: naming the run and the remedy.
    """
    if run.images.exists() and not run.workspace.exists():
        status = run.read_record()["status"]
        raise StoreError(f"run {run.run_id} cannot go on: it is {status}. Nothing was moved now. Start a new run.")


def _describe(kind: str, run: Run, parameters: Parameters, flow_run: Any, started: dt.datetime) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "kind": kind,
        "status": "running",
        "created": started.isoformat(timespec="seconds"),
        "flow_run_id": str(flow_run.id),
        "flow_run_name": flow_run.name,
        "version": __version__,
        "versions": describe_installation(),
        "parameters": parameters.model_dump(),
        "floor": parameters.floor,
    }


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def await_all(stage: str, futures: Sequence[PrefectFuture[T]]) -> list[T]:
    """Return the results of `futures`, telling the progress of `stage`; the first failure is raised."""
    tell = listener.get()
    tell(stage, 0, len(futures))
    artifact: Any = create_progress_artifact(0.0, key=f"imagetwins-{stage}", description=f"{stage}: batches done")
    begun = shown = time.monotonic()
    for done, future in enumerate(as_completed(list(futures)), 1):
        future.result()
        tell(stage, done, len(futures))
        if done == len(futures) or time.monotonic() - shown > UPDATE_SECONDS:
            shown = time.monotonic()
            left = (shown - begun) / done * (len(futures) - done)
            said = f"{stage}: {done} of {len(futures)} batches done, about {dt.timedelta(seconds=round(left))} left"
            update_progress_artifact(artifact, 100 * done / len(futures), description=said)
    return [future.result() for future in futures]
