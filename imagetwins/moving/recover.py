"""What a killed or cancelled run left behind: settle its moves, and make its tables say what became of each file."""

from pathlib import Path

from imagetwins.moving.journal import check_journal, journal_exists
from imagetwins.moving.moves import read_journal, recover_journal
from imagetwins.scanning.cache import release_run
from imagetwins.storage.location import place_of
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.tables import DECISIONS, path_columns, read_table, write_table


def recover_runs(store: Path, folder: Path, own: str, limit: int) -> list[str]:
    """Settle the runs on `folder` that say they are running although the folder's lock is ours; return their ids.

    `own` is the run that asks: a retry, which goes on where its earlier try was ended. `limit` is that of the caches.
    """
    recovered = []
    for run in list_runs(store):
        record = run.read_record()
        if run.run_id == own or record["parameters"]["folder"] != str(folder):
            continue
        if record["status"] == "running":
            settle_run(run)
            run.update_record(status="interrupted")
            recovered.append(run.run_id)
        if record["status"] == "waiting":
            run.update_record(status="superseded")
        # What an unfinished run left for a retry is the next runs': this one takes its place.
        release_run(run, limit)
    return recovered


def settle_run(run: Run) -> None:
    """Finish or undo the move that was interrupted, and write into the decisions where every file is."""
    if not journal_exists(run.journal):
        return
    check_journal(run.journal, place_of(run.read_record()["parameters"]["folder"]))
    recover_journal(run.journal)
    decisions = read_table(run.decisions, DECISIONS).set_index("image", drop=False)
    waiting = decisions["action"] == "would move"
    decisions.loc[waiting, ["action", "reason"]] = ["not moved", "the run was interrupted before this file"]
    # The last finished transfer of an image says where it is.
    for transfer in read_journal(run.journal):
        if transfer.state != "done":
            continue
        place = path_columns(transfer.target)[0]
        if transfer.direction == "out":
            reason = f"matches {decisions['kept_path'][transfer.image]}, which is kept before it"
            decisions.loc[transfer.image, ["NewPath", "action", "reason"]] = [place, "moved", reason]
        else:
            decisions.loc[transfer.image, ["NewPath", "action", "reason"]] = [place, "not moved", "moved, and restored"]
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    moved = int((decisions["action"] == "moved").sum())
    run.update_record(counts=run.read_record()["counts"] | {"moved": moved})
