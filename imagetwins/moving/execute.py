"""Carry out planned moves: journalled ahead, never replacing a file, resumable after a kill."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from imagetwins.moving.journal import Journal, Transfer, journal_exists, open_journal
from imagetwins.moving.plan import PlannedCompanion, PlannedMove
from imagetwins.reasons import Reason, ReasonCode, RefusedError
from imagetwins.scanning.companions import rename_companion
from imagetwins.storage import FileStamp, Listed, Location, Mover, Route, storage_of


@dataclass(frozen=True)
class CompanionOutcome:
    """What became of the companion `source` of a picture that moved: where it is now, and, if it did not follow, why."""

    source: Location
    new_path: Location
    moved: bool
    reason: Reason | None


@dataclass(frozen=True)
class MoveOutcome:
    """What became of a planned move: where the file is now, and, if it was not moved, why; and of what was to follow it."""

    image: int
    new_path: Location
    moved: bool
    reason: Reason | None
    companions: tuple[CompanionOutcome, ...] = ()


@dataclass
class JournalState:
    """Where the files of a journal are.

    Attributes:
        latest: the last finished transfer of each file, by where it was listed.
        unrecovered: the files, named likewise, with a transfer of which it is not known how it ended.
        marked: the folders that they are moved to and that are known to have their marker.
    """

    latest: dict[Location, Transfer]
    unrecovered: set[Location]
    marked: set[Location | None] = field(default_factory=set)

    @classmethod
    def of(cls, journal: Journal) -> "JournalState":
        state = cls({}, {transfer.origin for transfer in journal.transfers if transfer.state == "open"})
        for transfer in journal.transfers:
            if transfer.state == "done":
                state.add(transfer)
        return state

    def add(self, transfer: Transfer) -> None:
        """Note a finished transfer."""
        self.latest[transfer.origin] = transfer

    def find_moved(self, origin: Location) -> Transfer | None:
        """Return the transfer by which the file that was listed as `origin` is in `Duplicates` now; None if it is not."""
        found = self.latest.get(origin)
        return found if found and found.direction == "out" else None

    def check_movable(self, origin: Location) -> None:
        """Refuse to move a file, listed as `origin`, out once more.

        Raises:
            RefusedError: it was restored, or an interrupted transfer of it could not be recovered.
        """
        if origin in self.latest:
            raise RefusedError(Reason(ReasonCode.RESTORED_BEFORE))
        self.check_recovered(origin)

    def check_recovered(self, origin: Location) -> None:
        """Refuse a file, listed as `origin`, of which it is not known where it is.

        Raises:
            RefusedError: an interrupted transfer of it could not be recovered.
        """
        if origin in self.unrecovered:
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
        moves: in their order.
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
        holding = {transfer.route.aside for transfer in state.latest.values() if transfer.direction == "out"}
        for aside in {move.way.aside for move in moves} - holding:
            unmark(aside)
    return outcomes


def unmark(aside: Location | None) -> None:
    """Take the marker off a folder to which nothing was moved, or from which all went back."""
    if aside is not None:
        mover_of(aside).unmark(aside)


def _refuse(move: PlannedMove, reason: Reason) -> MoveOutcome:
    return MoveOutcome(move.image, move.source, moved=False, reason=reason)


def _apply_one(journal: Journal, state: JournalState, move: PlannedMove) -> MoveOutcome:
    moved = state.find_moved(move.source)
    if moved is None:
        try:
            state.check_movable(move.source)
            _check_kept(state, move.kept)
            moved = _transfer_out(journal, state, move.listed, move.target, move.digest, move.image, move.way)
        except (RefusedError, OSError) as problem:
            return _refuse(move, reason_of(problem))
    companions = tuple(_follow(journal, state, companion) for companion in move.companions)
    return MoveOutcome(move.image, moved.target, moved=True, reason=None, companions=companions)


def _check_kept(state: JournalState, kept: Location) -> None:
    """Refuse a move whose kept file is gone; one that was itself moved by this run counts where it is now."""
    storage, moved = storage_of(kept), state.latest.get(kept)
    if storage.stat(kept) is None and storage.stat(moved.target if moved else kept) is None:
        raise RefusedError(Reason.of(ReasonCode.KEPT_MISSING, kept=kept))


def _follow(journal: Journal, state: JournalState, companion: PlannedCompanion) -> CompanionOutcome:
    """Move a companion after its pictures, as it is now: nothing depends on what it was when it was listed."""
    source = companion.source
    moved = state.find_moved(source)
    if moved is None:
        try:
            state.check_movable(source)
            moved = _transfer_companion(journal, state, companion)
        except (RefusedError, OSError) as problem:
            return CompanionOutcome(source, source, moved=False, reason=reason_of(problem))
    return CompanionOutcome(source, moved.target, moved=True, reason=None)


def _transfer_companion(journal: Journal, state: JournalState, companion: PlannedCompanion) -> Transfer:
    source, first = companion.source, companion.pictures[0]
    storage = storage_of(source)
    for picture in companion.pictures:
        moved = state.find_moved(picture)
        # A person may have taken it back since, or have put another in its place.
        if moved is None or storage.stat(moved.target) is None or storage.stat(picture) is not None:
            raise RefusedError(Reason.of(ReasonCode.PICTURE_STAYS, picture=picture))
    now = state.latest[first].target
    stamp = storage.stat(source)
    if stamp is None:
        raise RefusedError(Reason(ReasonCode.SOURCE_MISSING))
    target = now.with_name(rename_companion(source.name, first.name, now.name))
    digest = storage.digest(source, stamp.size_bytes) if storage.mover.verifies_content else None
    listed = Listed(source, stamp.size_bytes, stamp.mtime_ns, None)
    route = state.latest[first].route
    return _transfer_out(journal, state, listed, target, digest, companion.image, route, is_companion=True)


def _transfer_out(
    journal: Journal,
    state: JournalState,
    listed: Listed,
    target: Location,
    digest: str | None,
    image: int,
    route: Route,
    *,
    is_companion: bool = False,
) -> Transfer:
    source, mover = listed.location, mover_of(listed.location)
    stamp = mover.check_source(listed, route.home)
    with mover.making_directories(target, route.above):
        if route.aside and route.aside not in state.marked:
            # Before the first file is there: at no time may another run take it for one of a user's own.
            mover.mark(route.aside)
        for free in mover.iter_free_names(target):
            # This spares announcing names that are taken; what decides is that the move itself replaces nothing.
            if not mover.is_taken(free):
                with suppress(FileExistsError):
                    announced = journal.begin(
                        "out", image, source, free, stamp, digest, is_companion=is_companion, route=route
                    )
                    moved = make_transfer(journal, announced)
                    state.add(moved)
                    state.marked.add(route.aside)
                    return moved
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
        mover.remove_emptied(transfer.target, transfer.route.above)
        unmark(transfer.route.aside)
    return journal.void(transfer, reason)


def read_stamp(location: Location) -> FileStamp | None:
    """Return what the file at `location` is; None if there is none."""
    return storage_of(location).stat(location)
