"""Where each table of a run lies in the store, and how a file gets there whole.

    store/
      runs/<run_id>/run.json, journal.jsonl, report.html
      images/run_id=<run_id>/*.parquet
      comparisons/run_id=<run_id>/*.parquet
      decisions/run_id=<run_id>/*.parquet
      calibrations/<time>/*.parquet, calibration.html
      cache/<run_id>/            listing and plan, while the run works
      cache/thumbnails-*/        thumbnails and what is prepared of them, see cache.py

A store in a bucket has its cache, and the locks, in a folder of this machine: arrays are mapped into memory, and locks are
dropped by the kernel with their holder. The tables are Hive partitions: `SELECT * FROM 'store/comparisons/**/*.parquet'` reads them all.
"""

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagetwins.errors import StoreError
from imagetwins.storage.location import address, filesystem, glob, is_remote, reaching


@contextmanager
def atomic_target(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success flush it to the disk and rename it to `target`.

    On an error the temporary file is removed and `target` is what it was before. What is to go to a bucket is written on
    this machine, and put there whole: an object is the old or the new one, never a part.
    """
    if is_remote(target):
        with tempfile.TemporaryDirectory(prefix="imagetwins-") as directory:
            # Under its own name: writers may go by the suffix.
            written = Path(directory) / target.name
            yield written
            with reaching(target):
                filesystem(target).put_file(written, address(target))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # The leading dot keeps an unfinished file out of `*.parquet`, should the process be killed here.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file of a store to `target`, whole or not at all."""
    with atomic_target(target) as temporary, source.open("rb") as content, temporary.open("wb") as copy:
        shutil.copyfileobj(content, copy, 1 << 20)


def caches_home() -> Path:
    """Return where stores in buckets have their caches on this machine: IMAGETWINS_CACHE, else ~/.cache/imagetwins."""
    return Path(os.environ.get("IMAGETWINS_CACHE") or Path.home() / ".cache" / "imagetwins").absolute()


def local_home(store: Path) -> Path:
    """Return where the cache and the locks of `store` are: the store itself; for one in a bucket, a folder here."""
    if not is_remote(store):
        return store
    return caches_home() / f"{store.name}-{hashlib.sha256(str(store).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Run:
    """One run's places in a store. Nothing is created before it is written to."""

    store: Path
    run_id: str

    @property
    def directory(self) -> Path:
        return self.store / "runs" / self.run_id

    @property
    def home(self) -> Path:
        """Where what must be on a disk of this machine is; the store, unless that is in a bucket."""
        return local_home(self.store)

    @property
    def record_file(self) -> Path:
        return self.directory / "run.json"

    @property
    def journal(self) -> Path:
        return self.directory / "journal.jsonl"

    @property
    def report(self) -> Path:
        return self.directory / "report.html"

    @property
    def images(self) -> Path:
        return self.store / "images" / f"run_id={self.run_id}"

    @property
    def comparisons(self) -> Path:
        return self.store / "comparisons" / f"run_id={self.run_id}"

    @property
    def decisions(self) -> Path:
        return self.store / "decisions" / f"run_id={self.run_id}"

    @property
    def listing(self) -> Path:
        """The files as they were listed, before they are read."""
        return self.workspace / "listing.parquet"

    @property
    def recalled(self) -> Path:
        """The listing, with what the cache knows of each file."""
        return self.workspace / "recalled.parquet"

    @property
    def loaded(self) -> Path:
        """The same with what reading the others told, and where all thumbnails are; a part a batch."""
        return self.workspace / "loaded"

    @property
    def verified(self) -> Path:
        """scikit-image's scores that an earlier run had and this one may need again."""
        return self.workspace / "verified.parquet"

    @property
    def workspace(self) -> Path:
        """Listing and plan: needed while the run works, removed at its end."""
        return self.home / "cache" / self.run_id

    @property
    def lock(self) -> Path:
        """Held while the run works. Not in the cache, which anyone may delete at any time."""
        return self.home / "runs" / self.run_id / "lock"

    @property
    def cache(self) -> Path | None:
        """The cache that holds the run's thumbnails while it works, see cache.py."""
        name = self.lock.read_text(encoding="utf-8") if self.lock.exists() else ""
        return self.home / "cache" / name if name else None

    def read_record(self) -> dict[str, Any]:
        """Return `run.json`.

        Raises:
            StoreError: this store has no such run.
        """
        try:
            record: dict[str, Any] = json.loads(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            known = ", ".join(run.run_id for run in list_runs(self.store)[-3:]) or "none"
            raise StoreError(
                f"no run {self.run_id!r} in the store {self.store}; its latest runs: {known}. "
                "`imagetwins audit` lists them all; another store is named with --store."
            ) from None
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        """Replace `run.json` by `record`."""
        with atomic_target(self.record_file) as temporary:
            temporary.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")

    def update_record(self, **changes: Any) -> dict[str, Any]:
        """Set top-level entries of `run.json`, and return it."""
        record = self.read_record() | changes
        self.write_record(record)
        return record


def list_runs(store: Path) -> list[Run]:
    """Return the runs of `store` that have a `run.json`, oldest first."""
    return [Run(store, found.parent.name) for found in glob(store, "runs/*/run.json")]


def find_run(store: Path, run_id: str) -> Run:
    """Return the run named `run_id`, which may be shortened to an unambiguous beginning, or be `latest`.

    Raises:
        StoreError: no run, or more than one, has that name.
    """
    runs = list_runs(store)
    if run_id == "latest" and runs:
        return runs[-1]
    found = [run for run in runs if run.run_id == run_id] or [run for run in runs if run.run_id.startswith(run_id)]
    if len(found) > 1:
        raise StoreError(f"{run_id!r} is the beginning of {len(found)} runs; give more of it: {found[0].run_id} ...")
    run = found[0] if found else Run(store, run_id)
    run.read_record()
    return run
