"""What a killed or cancelled run left behind: its moves are recovered, and its tables say what became of each file."""

from collections.abc import Collection, Mapping

import pandas as pd
import pyarrow.compute as pc

from imagetwins.config.layout import Layout
from imagetwins.errors import FolderBusyError
from imagetwins.matching.decisions import set_decisions
from imagetwins.moving.execute import apply_moves, recover_journal
from imagetwins.moving.holding import hold_others
from imagetwins.moving.journal import Transfer, check_journal, journal_exists, read_journal
from imagetwins.moving.plan import plan_moves
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.eviction import release_run
from imagetwins.storage import Location, parse_location
from imagetwins.storage.location import to_columns
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import COMPANIONS, DECISIONS, IMAGES, Action
from imagetwins.store.tables import read_table, read_table_if_any, write_table


def recover_runs(store: Location, folders: Collection[str], own: str, limit: int) -> list[str]:
    """Recover the runs on one of `folders` that say they are running although the folders' locks are ours; return their ids.

    A run that had other folders, too, of which one is in use now, is left to a later run.

    Args:
        store: where the runs are.
        folders: as their parameters name them.
        own: the run that asks: a retry, which goes on where its earlier try ended.
        limit: bytes that the caches may take.
    """
    recovered = []
    held = [parse_location(folder) for folder in folders]
    for run in list_runs(store):
        record = run.read_record()
        if run.run_id == own or not record.parameters.shares_folder(folders):
            continue
        if record.status is RunStatus.RUNNING:
            try:
                with hold_others(record.parameters.layout.places, held, f"recovery of run {run.run_id}"):
                    recover_run(run)
            except FolderBusyError:
                continue
            with run.editing_record() as edited:
                edited.status = RunStatus.INTERRUPTED
            recovered.append(run.run_id)
        if record.status is RunStatus.WAITING:
            with run.editing_record() as edited:
                edited.status = RunStatus.SUPERSEDED
        # What an unfinished run kept for a retry is free now: this run takes its place. Most have ended and kept nothing.
        if run.lock.exists() or run.workspace.exists():
            release_run(run, limit, keeps_pixels=record.parameters.keeps_pixels)
    return recovered


def recover_run(run: Run) -> None:
    """Finish or undo the move that was interrupted, and write into the decisions where every file is."""
    if not journal_exists(run.journal):
        return
    parameters = run.read_record().parameters
    check_journal(run.journal, parameters.layout.places)
    recover_journal(run.journal)
    if parameters.sidecars == "move":
        _move_companions(run, parameters.layout)
    # The last finished transfer of a file says where it is.
    last = {transfer.origin: transfer for transfer in read_journal(run.journal) if transfer.state == "done"}
    decisions = read_table(run.decisions, DECISIONS).set_index("image", drop=False)
    _apply_journal(decisions, {one.image: one for one in last.values() if not one.is_companion})
    followed = decisions["reason_code"] == ReasonCode.FOLLOWED
    moved = int(((decisions["action"] == Action.MOVED) & ~followed).sum())
    following = {origin: one.target for origin, one in last.items() if one.is_companion and one.direction == "out"}
    decisions = note_companions(run, decisions, following)
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    with run.editing_record() as record:
        record.counts["moved"] = moved
        record.counts["companions"] = len(following)


def _move_companions(run: Run, layout: Layout) -> None:
    """Move what belongs to pictures that moved: between the two the run may have ended."""
    companions = read_table_if_any(run.companions, COMPANIONS)
    if companions.empty:
        return
    out = [one for one in read_journal(run.journal) if one.state == "done" and one.direction == "out"]
    moved = [one.image for one in out if not one.is_companion]
    decided = read_table(run.decisions, DECISIONS, where=pc.field("image").isin(moved))
    pairs = [(int(image), int(kept)) for image, kept in decided[["image", "kept_image"]].itertuples(index=False)]
    moves = plan_moves(layout, read_table(run.images, IMAGES), pairs, companions)
    apply_moves([move for move in moves if move.companions], run.journal)


def note_companions(
    run: Run,
    decisions: pd.DataFrame,
    moved: Mapping[Location, Location],
    reasons: Mapping[Location, Reason] | None = None,
) -> pd.DataFrame:
    """Write into the table of the companions where those are that moved, and why others did not.

    Returns:
        `decisions`, in which those that are images themselves, as a raw file may be, have moved because their picture did.
    """
    companions = read_table_if_any(run.companions, COMPANIONS)
    if companions.empty:
        return decisions
    new_paths = {to_columns(source)[0]: to_columns(target)[0] for source, target in moved.items()}
    why = {to_columns(source)[0]: str(reason) for source, reason in (reasons or {}).items()}
    companions["new_path"] = companions["path"].map(lambda path: new_paths.get(path, path))
    companions["reason"] = companions["path"].map(why.get).astype(object)
    write_table(companions, COMPANIONS, run.companions / "part-0.parquet")
    pictures = dict(zip(companions["path"][::-1], companions["image"][::-1], strict=True))
    return _note_followed(decisions, new_paths, pictures)


def _note_followed(decisions: pd.DataFrame, new_paths: Mapping[str, str], pictures: Mapping[str, int]) -> pd.DataFrame:
    followed = decisions["FullPath"].isin(list(new_paths))
    if not followed.any():
        return decisions
    changed = decisions.copy()
    paths = changed.loc[followed, "FullPath"]
    names = decisions.set_index("image")["FileName"]
    changed.loc[followed, "NewPath"] = paths.map(new_paths)
    # It is no copy of anything.
    changed.loc[followed, "kept_path"] = None
    changed.loc[followed, "kept_image"] = pd.NA
    reasons = [Reason.of(ReasonCode.FOLLOWED, picture=names[pictures[path]]) for path in paths]
    set_decisions(changed, followed, Action.MOVED, reasons)
    return changed


def _apply_journal(decisions: pd.DataFrame, last: Mapping[int, Transfer]) -> None:
    """Set, in place, what became of each file that was to move. A file that moved keeps the reason why it was to.

    `last` has the last finished transfer of each image.
    """
    waiting = decisions["action"] == Action.WOULD_MOVE
    for image, transfer in last.items():
        decisions.loc[image, "NewPath"] = to_columns(transfer.target)[0]
        if transfer.direction == "out":
            decisions.loc[image, "action"] = Action.MOVED.value
        else:
            set_decisions(decisions, [image], Action.NOT_MOVED, [Reason(ReasonCode.RESTORED)])
    stopped = waiting & ~decisions["image"].isin(list(last))
    set_decisions(decisions, stopped, Action.NOT_MOVED, [Reason(ReasonCode.RUN_STOPPED)] * int(stopped.sum()))
