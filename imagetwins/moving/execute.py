"""Carry out planned moves: journalled ahead, never replacing a file, resumable after a kill."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from imagetwins.moving.journal import Journal, Transfer, journal_exists, open_journal
from imagetwins.moving.plan import PlannedMove
from imagetwins.reasons import Reason, ReasonCode, RefusedError
from imagetwins.storage import FileStamp, Location, Mover, storage_of


@dataclass(frozen=True)
class MoveOutcome:
    """What became of a planned move: where the file is now, and, if it was not moved, why."""

    image: int
    new_path: Location
    moved: bool
    reason: Reason | None


@dataclass
class JournalState:
    """Where the files of a journal are.

    Attributes:
        latest: the last finished transfer of each image.
        unrecovered: the images with a transfer of which it is not known how it ended.
        targets: where the file of each source was moved last.
        is_marked: whether the folder that they are moved to is known to have its marker.
    """

    latest: dict[int, Transfer]
    unrecovered: set[int]
    targets: dict[Location, Location]
    is_marked: bool = False

    @classmethod
    def of(cls, journal: Journal) -> "JournalState":
        state = cls({}, {transfer.image for transfer in journal.transfers if transfer.state == "open"}, {})
        for transfer in journal.transfers:
            if transfer.state == "done":
                state.add(transfer)
        return state

    def add(self, transfer: Transfer) -> None:
        """Note a finished transfer."""
        self.latest[transfer.image] = transfer
        self.targets[transfer.source] = transfer.target

    def check_recovered(self, image: int) -> None:
        """Refuse an image of whose file it is not known where it is.

        Raises:
            RefusedError: an interrupted transfer of it could not be recovered.
        """
        if image in self.unrecovered:
            raise RefusedError(Reason(ReasonCode.UNRECOVERED))


def mover_of(location: Location) -> Mover:
    """Return what moves files where `location` is."""
    return storage_of(location).mover


def reason_of(problem: RefusedError | OSError) -> Reason:
    """Return why a file was not moved."""
    return problem.reason if isinstance(problem, RefusedError) else Reason.of_os_error(problem)


def apply_moves(
    moves: Sequence[PlannedMove],
    journal: Location,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_move: Callable[[MoveOutcome], None] = lambda _: None,
) -> list[MoveOutcome]:
    """Move the files of `moves` that are still as they were listed; return what became of each.

    Called again with the same journal after a kill, it recovers the interrupted move, skips what was done, and goes on.
    A file that cannot be moved stays, with a reason.

    Args:
        moves: in their order; all in one storage.
        journal: where each step is written first.
        stop: asked before each move.
        on_move: called with each outcome.

    Raises:
        StoreError: the journal is in use or damaged.
        OSError: the journal cannot be opened; nothing has been moved.
    """
    outcomes: list[MoveOutcome] = []
    with open_journal(journal) as opened:
        recover_all(opened)
        state = JournalState.of(opened)
        for move in moves:
            if stop():
                outcomes.append(_refuse(move, Reason(ReasonCode.RUN_STOPPED)))
            else:
                outcomes.append(_apply_one(opened, state, move))
                on_move(outcomes[-1])
        if moves and not any(outcome.moved for outcome in outcomes):
            mover_of(moves[0].source).unmark(moves[0].target, moves[0].source)
    return outcomes


def _refuse(move: PlannedMove, reason: Reason) -> MoveOutcome:
    return MoveOutcome(move.image, move.source, moved=False, reason=reason)


def _apply_one(journal: Journal, state: JournalState, move: PlannedMove) -> MoveOutcome:
    before = state.latest.get(move.image)
    if before and before.direction == "out":
        return MoveOutcome(move.image, before.target, moved=True, reason=None)
    if before:
        return _refuse(move, Reason(ReasonCode.RESTORED_BEFORE))
    try:
        state.check_recovered(move.image)
        _check_kept(state, move.kept)
        moved = _transfer_out(journal, state, move)
    except (RefusedError, OSError) as problem:
        return _refuse(move, reason_of(problem))
    state.add(moved)
    state.is_marked = True
    return MoveOutcome(move.image, moved.target, moved=True, reason=None)


def _check_kept(state: JournalState, kept: Location) -> None:
    """Refuse a move whose kept file is gone; one that was itself moved by this run counts where it is now."""
    storage = storage_of(kept)
    if storage.stat(kept) is None and storage.stat(state.targets.get(kept, kept)) is None:
        raise RefusedError(Reason.of(ReasonCode.KEPT_MISSING, kept=kept))


def _transfer_out(journal: Journal, state: JournalState, move: PlannedMove) -> Transfer:
    mover = mover_of(move.source)
    stamp = mover.check_source(move.listed, move.target)
    with mover.making_directories(move.target, move.source):
        if not state.is_marked:
            # Before the first file is there: at no time may another run take it for one of a user's own.
            mover.mark(move.target, move.source)
        for target in mover.iter_free_names(move.target):
            # This spares announcing names that are taken; what decides is that the move itself replaces nothing.
            if not mover.is_taken(target):
                with suppress(FileExistsError):
                    announced = journal.begin("out", move.image, move.source, target, stamp, move.digest)
                    return make_transfer(journal, announced)
    raise AssertionError("iter_free_names ends by raising")


def make_transfer(journal: Journal, transfer: Transfer) -> Transfer:
    """Make the announced `transfer`; on an error the file is where it was.

    Raises:
        FileExistsError: something took the target's name.
        RefusedError: the file changed on the way.
        OSError: the file could not be moved.
    """
    try:
        transfer = mover_of(transfer.source).move(transfer, journal)
    except (RefusedError, OSError) as problem:
        # If even undoing fails the transfer stays open in the journal, and the next run recovers it.
        with suppress(OSError):
            recovered = _recover(journal, journal.transfers[transfer.number], str(reason_of(problem)))
            if recovered.state == "done":
                return recovered
        raise
    with suppress(OSError):
        # It is done, whether or not the journal's disk has room to say so.
        journal.done(transfer)
    return replace(transfer, state="done")


def recover_journal(journal: Location) -> list[Transfer]:
    """Finish or undo what a killed process left unfinished, by the files that are there; return the transfers that were.

    Raises:
        StoreError: the journal is in use or damaged.
    """
    if not journal_exists(journal):
        return []
    with open_journal(journal) as opened:
        return recover_all(opened)


def recover_all(journal: Journal) -> list[Transfer]:
    """Finish or undo every unfinished transfer of an open journal, and return them.

    What cannot be recovered now, on a disk that is full, read-only or away, stays open for the next time.
    """
    recovered = []
    for transfer in [transfer for transfer in journal.transfers if transfer.state == "open"]:
        with suppress(OSError):
            recovered.append(_recover(journal, transfer, "interrupted"))
    return recovered


def _recover(journal: Journal, transfer: Transfer, reason: str) -> Transfer:
    """Decide an unfinished transfer by what is there: while its file is at the source nothing has happened.

    Raises:
        OSError: the disk does not let us, or is away.
    """
    mover = mover_of(transfer.source)
    if not any(mover.is_taken(location) for location in (transfer.source, transfer.target, transfer.part) if location):
        # Removed by a person, or on a disk that is not mounted now: nothing can be said yet.
        raise FileNotFoundError(f"neither at {transfer.source} nor at {transfer.target}")
    transfer, has_arrived = mover.recover(transfer, journal)
    if has_arrived:
        return journal.done(transfer)
    if transfer.direction == "out":
        mover.remove_emptied(transfer.target, transfer.source)
        mover.unmark(transfer.target, transfer.source)
    return journal.void(transfer, reason)


def read_stamp(location: Location) -> FileStamp | None:
    """Return what the file at `location` is; None if there is none."""
    return storage_of(location).stat(location)
