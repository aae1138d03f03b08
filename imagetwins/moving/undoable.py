"""Which run `restore latest` means: not the last at all, which may have been a look, but the last that has something to put back."""

from contextlib import suppress

from imagetwins.errors import StoreError
from imagetwins.moving.journal import Transfer, journal_exists, read_journal
from imagetwins.storage import Location, storage_of
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import LATEST, Run, find_run, list_runs
from imagetwins.text import pluralize


def find_undoable(store: Location, run_id: str) -> Run:
    """Return the run that `run_id` names to whoever wants to undo it: as `find_run` does, but for `latest`.

    Raises:
        StoreError: no run, or more than one, has that name; or no run has moved anything that is not back.
    """
    if run_id != LATEST:
        return find_run(store, run_id)
    for run in reversed(list_runs(store)):
        if run.read_record().status is not RunStatus.RESTORED and count_away(run):
            return run
    raise StoreError(
        f"no run of the store {store} has moved anything that is not back already: nothing was restored. `imagetwins audit` lists "
        "all runs, and what each moved; another store is named with --store."
    )


def describe_undoable(run: Run) -> str:
    """Return which run `latest` was taken to mean, and what it has to put back."""
    record, later = run.read_record(), sum(other.run_id > run.run_id for other in list_runs(run.store))
    passed = f"; {pluralize(later, 'later run')} moved nothing, or nothing that is not back" if later else ""
    return (
        f"The latest that moved something: run {run.run_id} on {record.parameters.layout.path}, of {record.created:%Y-%m-%d %H:%M} "
        f"UTC, {pluralize(count_away(run), 'file')} to put back{passed}."
    )


def count_away(run: Run) -> int:
    """Return how many files are where `run` moved them, as far as its journal says; what belongs to pictures counts, too.

    Of a damaged journal it is what the run's record says: `restore` will say what is wrong with it.
    """
    if not journal_exists(run.journal):
        return 0
    try:
        transfers = read_journal(run.journal)
    except StoreError:
        return run.read_record().counts["moved"]
    # The last that is known of a file says where it is.
    last = {one.origin: one for one in transfers if one.state == "done" or _has_left(one)}
    return sum(one.direction == "out" for one in last.values())


def _has_left(transfer: Transfer) -> bool:
    """Whether a transfer to `Duplicates` that was interrupted has taken the file from where it was."""
    if (transfer.state, transfer.direction) != ("open", "out"):
        return False
    with suppress(OSError):
        return storage_of(transfer.source).stat(transfer.source) is None
    return True
