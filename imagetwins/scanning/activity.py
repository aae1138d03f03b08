"""Which runs are at work in a store: each holds a lock that the kernel releases with its process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imagetwins.storage.locks import lock_file
from imagetwins.store.runs import Run


@contextmanager
def hold_run(run: Run) -> Iterator[None]:
    """Mark `run` as being at work while the context lasts.

    Raises:
        StoreError: the store is on a file system without locks.
    """
    run.lock.parent.mkdir(parents=True, exist_ok=True)
    with run.lock.open("a+b") as file:
        lock_file(file.fileno(), fcntl.LOCK_EX, file.name)
        yield


@contextmanager
def lock_caches(home: Path) -> Iterator[None]:
    """Let no other process give rows of the caches in `home` away, or remove any, while the context lasts.

    Raises:
        StoreError: the store is on a file system without locks.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("a+b") as file:
        lock_file(file.fileno(), fcntl.LOCK_EX, file.name)
        yield


def iter_other_runs_at_work(run: Run) -> Iterator[Run]:
    """Yield the runs of the store of `run`, but not `run` itself, whose processes live."""
    for lock in sorted(run.home.glob("runs/*/lock")):
        other = Run(run.store, lock.parent.name)
        with suppress(FileNotFoundError), lock.open("rb") as file:
            if other.run_id != run.run_id:
                try:
                    lock_file(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB, file.name)
                except BlockingIOError:
                    yield other
