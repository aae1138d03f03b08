"""Where the mapped tasks of a flow run: in threads of this process, or on an existing Dask cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from prefect.settings import PREFECT_API_URL
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from imagetwins.errors import ClusterError
from imagetwins.reasons import Reason
from imagetwins.runtime.flow_context import current_context
from imagetwins.runtime.server import NEEDS_SHARED_SERVER
from imagetwins.runtime.worker import find_worker_problem, name_worker
from imagetwins.settings import count_cores
from imagetwins.store.runs import Run

ANSWER_SECONDS = 5
"""How long the scheduler, and then its first worker, is waited for."""


@dataclass(frozen=True)
class Cluster:
    """The cluster that a flow sends its mapped tasks to; without a `client`, this process."""

    address: str = ""
    client: Any = None

    def check_workers(self, run: Run) -> None:
        """Refuse workers that would do a part of `run` otherwise than this machine. The run's files must be listed.

        Raises:
            ClusterError: naming each such worker, and what must be changed there.
        """
        if self.client is None:
            return
        answers = self.client.run(find_worker_problem, run, PREFECT_API_URL.value(), on_error="return")
        refused = [_explain(worker, answer) for worker, answer in answers.items() if answer]
        if refused:
            raise ClusterError(f"nothing was begun: {' '.join(refused)}")


def _explain(worker: str, answer: Any) -> str:
    """Return why a worker is refused: what it said, or the exception that it ended with."""
    name = name_worker(worker)
    if isinstance(answer, Reason):
        return str(Reason(answer.code, {**answer.details, "worker": name}))
    if isinstance(answer, ImportError | AttributeError):
        return (
            f"{name} has another version of imagetwins, or none ({answer}). Install the same versions in both places."
        )
    return f"{name} cannot work: {answer!r}"


def local_threads() -> TaskRunner[Any]:
    """Return what runs mapped tasks in threads of this process, one for each core."""
    return ThreadPoolTaskRunner(max_workers=count_cores())


@contextmanager
def open_cluster(address: str | None) -> Iterator[Cluster]:
    """Send what is mapped in this block to the Dask cluster at `address`; without one, leave it to the flow's threads.

    Raises:
        ClusterError: the cluster cannot be used, or was lost.
    """
    if not address:
        yield Cluster()
        return
    if not PREFECT_API_URL.value():
        raise ClusterError(NEEDS_SHARED_SERVER)
    with _connect(address) as runner:
        from distributed.client import FutureCancelledError  # noqa: PLC0415 - _connect has found it
        from distributed.comm.core import CommClosedError  # noqa: PLC0415
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        try:
            with current_context().model_copy(update={"task_runner": runner}):
                yield Cluster(address, runner.client)
        except KilledWorker as error:
            raise ClusterError(f"workers of the Dask cluster at {address} died again and again: {error}") from None
        except (FutureCancelledError, CommClosedError):
            raise ClusterError(f"the Dask scheduler at {address} was lost in the middle of the run.") from None


@contextmanager
def _connect(address: str) -> Iterator[Any]:
    """Yield a task runner whose cluster has at least one worker."""
    try:
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - an extra that few need
    except ImportError as error:
        raise ClusterError(
            f"--dask needs more packages ({error}): pip install prefect-dask, where imagetwins is"
        ) from None
    with DaskTaskRunner(address=address, client_kwargs={"timeout": ANSWER_SECONDS}) as runner:
        try:
            client = runner.client
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers at {address} within {ANSWER_SECONDS} s ({error}). Start one there with "
                "`dask scheduler`, or check the address."
            ) from None
        try:
            client.wait_for_workers(1, timeout=ANSWER_SECONDS)
        except TimeoutError:
            raise ClusterError(
                f"the Dask cluster at {address} has no workers. Start one: `dask worker {address}`."
            ) from None
        yield runner
