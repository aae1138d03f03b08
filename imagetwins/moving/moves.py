"""Move duplicates aside and back: planned purely, journalled ahead, never replacing a file, resumable after a kill."""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from imagetwins.moving.journal import Identity, Journal, Transfer, journal_exists, open_journal, read_journal
from imagetwins.storage.location import is_remote, relative_name
from imagetwins.storage.objects import copy_object, digest_object, find_object, remove_object
from imagetwins.storage.transfer import (
    check_unlinked,
    copy_verified,
    is_taken,
    iter_free_names,
    make_directories,
    part_name,
    remove_directories,
    remove_emptied,
    rename_noreplace,
    sync_directory,
)
from imagetwins.store.tables import path_of

__all__ = [
    "DUPLICATES",
    "MoveOutcome",
    "PlannedMove",
    "RestoreOutcome",
    "apply_moves",
    "plan_moves",
    "read_journal",
    "recover_journal",
    "restore_moves",
]

DUPLICATES = "Duplicates"
"""The folder, directly in the user's folder, that duplicates are moved to; never scanned."""


@dataclass(frozen=True)
class PlannedMove:
    """A duplicate to move, as it was when it was listed, and the kept file that must still be there."""

    image: int
    source: Path
    target: Path
    size_bytes: int
    mtime_ns: int
    digest: str
    kept: Path


@dataclass(frozen=True)
class MoveOutcome:
    """What became of a planned move: where the file is now, and, if it was not moved, why."""

    image: int
    new_path: Path
    moved: bool
    reason: str


@dataclass(frozen=True)
class RestoreOutcome:
    """What became of a restored file: `path` is its original place, `from_path` where it had been moved to."""

    path: Path
    from_path: Path
    restored: bool
    reason: str


class _Refused(Exception):  # noqa: N818 - not an error: the move is not made, and the row says why
    """Why a file is left where it is."""


def plan_moves(folder: Path, images: pd.DataFrame, duplicates: Iterable[tuple[int, int]]) -> list[PlannedMove]:
    """Plan the move of each duplicate to its relative path under `<folder>/Duplicates`; touches nothing.

    `images` has the columns of tables.IMAGES; `duplicates` are pairs of ids (duplicate, the image kept for it), in the
    order to move them.
    """
    rows = images.set_index("image")
    paths = {image: path_of(row.path, row.path_bytes) for image, row in zip(rows.index, rows.itertuples(), strict=True)}
    return [
        PlannedMove(
            image=image,
            source=paths[image],
            target=folder / DUPLICATES / relative_name(paths[image], folder),
            size_bytes=int(rows.loc[image, "size_bytes"]),
            mtime_ns=int(rows.loc[image, "mtime_ns"]),
            digest=str(rows.loc[image, "digest"]),
            kept=paths[kept],
        )
        for image, kept in duplicates
    ]


def apply_moves(
    moves: Sequence[PlannedMove],
    journal: Path,
    *,
    stop: Callable[[], bool] = lambda: False,
    on_move: Callable[[MoveOutcome], None] = lambda _: None,
) -> list[MoveOutcome]:
    """Move the files of `moves` that are still as they were listed; return what became of each.

    Called again with the same journal after a kill, it settles the interrupted move, skips what was done, and goes on.
    `stop` is asked before each move; `on_move` is told each outcome. A file that cannot be moved stays, with a reason.

    Raises:
        StoreError: the journal is in use or damaged.
        OSError: the journal cannot be opened; nothing has been moved.
    """
    outcomes: list[MoveOutcome] = []
    with open_journal(journal) as opened:
        _settle_all(opened)
        state = _State.of(opened)
        for move in moves:
            if stop():
                outcomes.append(MoveOutcome(move.image, move.source, moved=False, reason="stopped before this file"))
            else:
                outcomes.append(_apply_one(opened, state, move))
                on_move(outcomes[-1])
    return outcomes


@dataclass(frozen=True)
class _State:
    """Where the files of a journal are: the last finished transfer of each image, and the images in between."""

    latest: dict[int, Transfer]
    unsettled: set[int]
    places: dict[Path, Path]

    @classmethod
    def of(cls, journal: Journal) -> "_State":
        state = cls({}, {transfer.image for transfer in journal.transfers if transfer.state == "open"}, {})
        for transfer in journal.transfers:
            if transfer.state == "done":
                state.add(transfer)
        return state

    def add(self, transfer: Transfer) -> None:
        self.latest[transfer.image] = transfer
        self.places[transfer.source] = transfer.target

    def check_settled(self, image: int) -> None:
        if image in self.unsettled:
            raise _Refused("an interrupted move of it cannot be settled now: its disk is full, read-only or away")


def _apply_one(journal: Journal, state: _State, move: PlannedMove) -> MoveOutcome:
    before = state.latest.get(move.image)
    if before and before.direction == "out":
        return MoveOutcome(move.image, before.target, moved=True, reason="")
    if before:
        return MoveOutcome(move.image, move.source, moved=False, reason="this run was undone: it was restored before")
    try:
        state.check_settled(move.image)
        # A kept file that was itself moved by this run counts where it is now.
        if not _identity(move.kept) and not _identity(state.places.get(move.kept, move.kept)):
            raise _Refused(f"the file kept for it is no longer there: {move.kept}")  # noqa: TRY301
        moved = _transfer_out(journal, move, _check_source(move))
    except (_Refused, OSError) as problem:
        return MoveOutcome(move.image, move.source, moved=False, reason=_reason(problem))
    state.add(moved)
    return MoveOutcome(move.image, moved.target, moved=True, reason="")


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
    return str(problem)


def _check_source(move: PlannedMove) -> Identity:
    if is_remote(move.source):
        return _check_object(move)
    try:
        check_unlinked(move.source.parent, _base(move.source, move.target))
        status = os.lstat(move.source)
    except FileNotFoundError:
        raise _Refused("it is no longer there") from None
    if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (move.size_bytes, move.mtime_ns):
        raise _Refused("it changed since it was listed")
    return Identity.of(status)


def _check_object(move: PlannedMove) -> Identity:
    identity = _identity(move.source)
    if identity is None:
        raise _Refused("it is no longer there")
    # The time of an object is in whole seconds, and a new one after a move: its content tells more.
    if identity.size_bytes != move.size_bytes or digest_object(move.source, move.size_bytes) != move.digest:
        raise _Refused("it changed since it was listed")
    return identity


def _base(source: Path, target: Path) -> Path:
    """Return the folder both lie in: the user's folder, since the target is the source's path below `Duplicates`."""
    if is_remote(source):
        return source.parent
    return Path(os.path.commonpath([source.parent, target.parent]))


def _transfer_out(journal: Journal, move: PlannedMove, identity: Identity) -> Transfer:
    created = make_directories(move.target.parent, _base(move.source, move.target))
    try:
        for target in iter_free_names(move.target):
            # This spares announcing names that are taken; what decides is that the rename itself replaces nothing.
            if not is_taken(target):
                with suppress(FileExistsError):
                    return _transfer(
                        journal, journal.begin("out", move.image, move.source, target, identity, move.digest)
                    )
    except BaseException:
        remove_directories(created)
        raise
    raise AssertionError("iter_free_names ends by raising")


def _transfer(journal: Journal, transfer: Transfer) -> Transfer:
    """Make the announced `transfer`; on an error the file is where it was.

    Raises:
        FileExistsError: something took the target's name.
        OSError: the file could not be moved.
    """
    try:
        transfer = _copy_object(journal, transfer) if is_remote(transfer.source) else _rename(journal, transfer)
    except (_Refused, OSError) as problem:
        # If even undoing fails the transfer stays open in the journal, and the next run settles it.
        with suppress(OSError):
            if (settled := _settle(journal, journal.transfers[transfer.number], _reason(problem))).state == "done":
                return settled
        raise
    with suppress(OSError):
        # It is done, whether or not the journal's disk has room to say so.
        journal.done(transfer)
    return replace(transfer, state="done")


def _rename(journal: Journal, transfer: Transfer) -> Transfer:
    try:
        rename_noreplace(transfer.source, transfer.target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _copy_across(journal, transfer)
    return transfer


def _copy_object(journal: Journal, transfer: Transfer) -> Transfer:
    """Copy in the bucket, under the final name at once, read the copy, and only then remove the source."""
    copy_object(transfer.source, transfer.target, transfer.identity.etag)
    return _finish_object(journal, transfer)


def _finish_object(journal: Journal, transfer: Transfer) -> Transfer:
    copy = _identity(transfer.target)
    if copy is None or digest_object(transfer.target, copy.size_bytes) != transfer.digest:
        raise OSError(errno.EIO, "the copy, read again, differs from what was copied", str(transfer.target))
    transfer = journal.copied(transfer, copy)
    remove_object(transfer.source, transfer.identity.etag)
    return transfer


def _copy_across(journal: Journal, transfer: Transfer) -> Transfer:
    """Copy to another device, verify, name the copy, and only then remove the source."""
    part = part_name(transfer.target.parent)
    transfer = journal.copying(transfer, part)
    copied_digest = copy_verified(transfer.source, part)
    if _identity(transfer.source) != transfer.identity or transfer.digest not in (None, copied_digest):
        raise _Refused("it changed while it was copied")
    transfer = journal.copied(transfer, Identity.of(os.lstat(part)))
    rename_noreplace(part, transfer.target)
    sync_directory(transfer.target.parent)
    if _identity(transfer.source) != transfer.identity:
        raise _Refused("it changed while it was copied")
    transfer.source.unlink()
    return transfer


def recover_journal(journal: Path) -> list[Transfer]:
    """Settle what a killed process left unfinished, by what is on the disk; return the transfers that were.

    Raises:
        StoreError: the journal is in use or damaged.
    """
    if not journal_exists(journal):
        return []
    with open_journal(journal) as opened:
        return _settle_all(opened)


def _settle_all(journal: Journal) -> list[Transfer]:
    settled = []
    for transfer in [transfer for transfer in journal.transfers if transfer.state == "open"]:
        # What cannot be settled now, on a disk that is full, read-only or away, stays open for the next time.
        with suppress(OSError):
            settled.append(_settle(journal, transfer, "interrupted"))
    return settled


def _settle(journal: Journal, transfer: Transfer, reason: str) -> Transfer:
    """Decide an unfinished transfer: while its file is at the source nothing has happened, and our copy of it goes.

    Nothing is ever removed but an unfinished copy, or a whole one whose original is seen to be there, unchanged. In a bucket
    it is the other way about: no copy is removed, and what was copied whole is finished.

    Raises:
        OSError: the disk does not let us, or is away.
    """
    if not any(is_taken(place) for place in (transfer.source, transfer.target, transfer.part) if place):
        # Removed by a person, or on a disk that is not mounted now: nothing can be said yet.
        raise FileNotFoundError(errno.ENOENT, "neither here nor there", str(transfer.target))
    if is_remote(transfer.source):
        return _settle_object(journal, transfer, reason)
    if transfer.part:
        return _settle_copy(journal, transfer, transfer.part, reason)
    source, target = _identity(transfer.source), _identity(transfer.target)
    if source and source == target:
        # Two names of one file: killed between link and unlink.
        transfer.target.unlink()
    elif target and target.may_be(transfer.identity) and source != transfer.identity:
        return journal.done(transfer)
    return _void(journal, transfer, reason)


def _settle_copy(journal: Journal, transfer: Transfer, part: Path, reason: str) -> Transfer:
    is_source = _identity(transfer.source) == transfer.identity
    is_named = transfer.copied is not None and _identity(transfer.target) == transfer.copied
    is_whole = transfer.copied is not None and _identity(part) == transfer.copied
    if not is_source and (is_named or is_whole):
        # The user took the original away meanwhile: the copy may be the last one.
        if not is_named:
            rename_noreplace(part, transfer.target)
        return journal.done(transfer)
    for ours in [part] * (_identity(part) is not None) + [transfer.target] * is_named:
        ours.unlink()
    return _void(journal, transfer, reason)


def _settle_object(journal: Journal, transfer: Transfer, reason: str) -> Transfer:
    source, target = _identity(transfer.source), _identity(transfer.target)
    if target is None or digest_object(transfer.target, target.size_bytes) != transfer.digest:
        # Nothing was copied, or somebody else has taken the name.
        return _void(journal, transfer, reason)
    if source == transfer.identity:
        return journal.done(_finish_object(journal, transfer))
    # The source was removed, or changed meanwhile: the copy may be the last one.
    return journal.done(journal.copied(transfer, target))


def _void(journal: Journal, transfer: Transfer, reason: str) -> Transfer:
    if transfer.direction == "out":
        remove_emptied(transfer.target.parent, _base(transfer.source, transfer.target))
    return journal.void(transfer, reason)


def _identity(path: Path) -> Identity | None:
    """Return what the regular file, or the object, `path` is; None if there is none."""
    if is_remote(path):
        found = find_object(path)
        return Identity.of_object(found) if found else None
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Identity.of(status) if stat.S_ISREG(status.st_mode) else None


def restore_moves(journal: Path) -> list[RestoreOutcome]:
    """Move back every file that `journal` moved out and that is not back yet, last moved first; may be repeated.

    Nothing is overwritten: a file whose name is taken, or that another file has replaced since, stays, with a reason.
    Sub-folders of `Duplicates` that this empties are removed, and `Duplicates` with them.

    Raises:
        StoreError: the journal is in use or damaged.
    """
    if not journal_exists(journal):
        return []
    with open_journal(journal) as opened:
        _settle_all(opened)
        state = _State.of(opened)
        out = [transfer for transfer in state.latest.values() if transfer.direction == "out"]
        return [_restore_one(opened, state, transfer) for transfer in sorted(out, key=lambda one: -one.number)]


def _restore_one(journal: Journal, state: _State, moved: Transfer) -> RestoreOutcome:
    base = _base(moved.source, moved.target)
    try:
        state.check_settled(moved.image)
        found = _find_moved(moved, base)
        if found is None:
            journal.done(_begin_back(journal, moved, moved.arrived))
        else:
            _transfer_back(journal, moved, base, found)
    except FileExistsError:
        return RestoreOutcome(moved.source, moved.target, restored=False, reason="another file has its name now")
    except (_Refused, OSError) as problem:
        return RestoreOutcome(moved.source, moved.target, restored=False, reason=_reason(problem))
    remove_emptied(moved.target.parent, base)
    return RestoreOutcome(moved.source, moved.target, restored=True, reason="" if found else "it was back already")


def _find_moved(moved: Transfer, base: Path) -> Identity | None:
    """Return what is to be moved back; None if the user has done so already.

    Raises:
        _Refused: it is not where it was moved to, or it is another file.
    """
    with suppress(FileNotFoundError):
        check_unlinked(moved.target.parent, base)
    found, original = _identity(moved.target), _identity(moved.source)
    if found is None and original and _is_moved_one(original, moved):
        return None
    if found is None:
        raise _Refused("it is no longer where it was moved to")
    if not found.is_unchanged(moved.arrived):
        raise _Refused("it is not the file that was moved there: it was replaced or changed since")
    return found


def _is_moved_one(original: Identity, moved: Transfer) -> bool:
    """Whether what is at the source of `moved` again is what was moved away; a copy of an object may have another tag."""
    if original.is_unchanged(moved.arrived):
        return True
    return is_remote(moved.source) and digest_object(moved.source, original.size_bytes) == moved.digest


def _transfer_back(journal: Journal, moved: Transfer, base: Path, found: Identity) -> None:
    if is_taken(moved.source):
        raise FileExistsError
    created = make_directories(moved.source.parent, base)
    try:
        _transfer(journal, _begin_back(journal, moved, found))
    except BaseException:
        remove_directories(created)
        raise


def _begin_back(journal: Journal, moved: Transfer, found: Identity) -> Transfer:
    # What a person edited goes back as it is; but a copy of it, in a bucket, is told by its content.
    digest = moved.digest if is_remote(moved.source) else None
    return journal.begin("back", moved.image, moved.target, moved.source, found, digest)
