"""Where everything of a run lies in the store.

    store/
      runs/<run_id>/run.json, journal.jsonl, report.html, choices.json
      images/run_id=<run_id>/*.parquet
      comparisons/run_id=<run_id>/*.parquet
      decisions/run_id=<run_id>/*.parquet
      companions/run_id=<run_id>/*.parquet
      links/run_id=<run_id>/*.parquet
      not_duplicates/*.parquet   what persons decided about pairs, see memory.py
      calibrations/<time>/*.parquet, calibration.html
      cache/<run_id>/            listing and plan, while the run works
      cache/thumbnails-*/        thumbnails and what is prepared of them, see cache.py

A store in a bucket has its cache, and the locks, in a folder of this machine: arrays are mapped into memory, and the kernel
releases locks with their holder. The tables are Hive partitions: `SELECT * FROM 'store/comparisons/**/*.parquet'` reads
them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagetwins.errors import StoreError
from imagetwins.storage import Location, storage_of
from imagetwins.store.record import RunRecord, RunStatus

LATEST = "latest"
"""What may be said in place of the id of a store's last run; to `restore`, of the last that it can undo, see moving/undoable.py."""


@dataclass(frozen=True)
class Run:
    """The files of one run in a store. Nothing is created before it is written to."""

    store: Location
    run_id: str

    @property
    def directory(self) -> Location:
        return self.store / "runs" / self.run_id

    @property
    def home(self) -> Path:
        """The folder for what must be on a disk of this machine; the store, unless that is in a bucket."""
        return storage_of(self.store).local_directory(self.store)

    @property
    def record_file(self) -> Location:
        return self.directory / "run.json"

    @property
    def journal(self) -> Location:
        return self.directory / "journal.jsonl"

    @property
    def report(self) -> Location:
        return self.directory / "report.html"

    @property
    def choices(self) -> Location:
        """What a person has chosen about the run's matches so far, as the desk keeps it; see matching/choices.py."""
        return self.directory / "choices.json"

    @property
    def applied_choices(self) -> Location:
        """The choices that the run was started to apply: those of an earlier run."""
        return self.directory / "applied-choices.json"

    @property
    def images(self) -> Location:
        return self.store / "images" / f"run_id={self.run_id}"

    @property
    def comparisons(self) -> Location:
        return self.store / "comparisons" / f"run_id={self.run_id}"

    @property
    def decisions(self) -> Location:
        return self.store / "decisions" / f"run_id={self.run_id}"

    @property
    def companions(self) -> Location:
        """The files that belong to the images; older versions wrote none."""
        return self.store / "companions" / f"run_id={self.run_id}"

    @property
    def links(self) -> Location:
        """The symbolic links that led to the images; older versions wrote none."""
        return self.store / "links" / f"run_id={self.run_id}"

    @property
    def listing(self) -> Path:
        """The files as they were listed, before they are read."""
        return self.workspace / "listing.parquet"

    @property
    def lookup(self) -> Path:
        """The listing, with what the cache knows of each file."""
        return self.workspace / "lookup.parquet"

    @property
    def loaded(self) -> Path:
        """The same with what decoding the others found, and where all thumbnails are; a part for each batch."""
        return self.workspace / "loaded"

    @property
    def verified(self) -> Path:
        """Scores of scikit-image that an earlier run computed and this one may need again."""
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
        """The cache that holds the run's thumbnails, see scanning/cache.py; None if the run is not at work."""
        name = self.lock.read_text(encoding="utf-8") if self.lock.exists() else ""
        return self.home / "cache" / name if name else None

    def cache_directory(self) -> Path:
        """Return the cache of a run at work.

        Raises:
            StoreError: the run is not at work.
        """
        directory = self.cache
        if directory is None:
            raise StoreError(f"run {self.run_id} has no cache: it is not at work")
        return directory

    def read_record(self) -> RunRecord:
        """Return `run.json`.

        Raises:
            StoreError: this store has no such run, or its record cannot be read.
        """
        try:
            text = storage_of(self.store).read_bytes(self.record_file)
        except FileNotFoundError:
            known = ", ".join(run.run_id for run in list_runs(self.store)[-3:]) or "none"
            raise StoreError(
                f"no run {self.run_id!r} in the store {self.store}; its latest runs: {known}. "
                "`imagetwins audit` lists them all; another store is named with --store."
            ) from None
        try:
            return RunRecord.parse(text)
        except StoreError as error:
            raise StoreError(f"{self.record_file} is {error}") from error

    def write_record(self, record: RunRecord) -> None:
        """Replace `run.json` by `record`."""
        with storage_of(self.store).writing(self.record_file) as temporary:
            temporary.write_text(record.to_json(), encoding="utf-8")

    @contextmanager
    def editing_record(self) -> Iterator[RunRecord]:
        """Yield the record, and write what the context made of it."""
        record = self.read_record()
        yield record
        self.write_record(record)


def list_runs(store: Location) -> list[Run]:
    """Return the runs of `store` that have a `run.json`, oldest first."""
    return [Run(store, found.parent.name) for found in storage_of(store).glob(store, "runs/*/run.json")]


def find_put_aside(store: Location) -> list[Location]:
    """Return the folders that runs of `store` moved files to and that hold some still, as far as their records say.

    Each has a marker, unless an older version moved the files.
    """
    return [
        aside
        for run in list_runs(store)
        if _has_moved(run, record := run.read_record())
        for aside in record.parameters.layout.asides
    ]


def _has_moved(run: Run, record: RunRecord) -> bool:
    if record.status is RunStatus.RUNNING:
        # How many it moved is written down when it ends, or when the next run on its folder recovers it.
        return storage_of(run.store).read_log(run.journal) is not None
    return record.counts["moved"] > 0 and record.status is not RunStatus.RESTORED


def find_run(store: Location, run_id: str) -> Run:
    """Return the run named `run_id`, which may be shortened to an unambiguous beginning, or be `latest`.

    Raises:
        StoreError: no run, or more than one, has that name.
    """
    runs = list_runs(store)
    if run_id == LATEST and runs:
        return runs[-1]
    found = [run for run in runs if run.run_id == run_id] or [run for run in runs if run.run_id.startswith(run_id)]
    if len(found) > 1:
        raise StoreError(f"{run_id!r} is the beginning of {len(found)} runs; give more of it: {found[0].run_id} ...")
    run = found[0] if found else Run(store, run_id)
    run.read_record()
    return run
