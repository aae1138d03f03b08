"""The latest run that has something to put back."""

import pytest

from imagetwins.errors import StoreError
from imagetwins.moving.execute import apply_moves
from imagetwins.moving.journal import open_journal, read_journal
from imagetwins.moving.plan import PlannedCompanion, PlannedMove
from imagetwins.moving.restore import restore_run
from imagetwins.moving.undoable import count_away, describe_undoable, find_undoable
from imagetwins.storage import DUPLICATES, storage_of
from imagetwins.store.record import RunKind, RunStatus
from imagetwins.store.runs import Run
from tests.support.past_runs import digest_all, make_record


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


@pytest.fixture
def make(store, folder):
    """Make a run that has moved files of the names given, and a sidecar of the last."""

    def make(number, *names, **record):
        run = Run(store, f"2026010{number}T000000Z-0")
        run.write_record(make_record(run.run_id, folder=str(folder), **{"status": RunStatus.COMPLETED} | record))
        if names:
            assert all(outcome.moved for outcome in apply_moves(plan(folder, names), run.journal))
        return run

    return make


def plan(folder, names):
    moves = []
    for name in (*names, "kept"):
        (folder / name).write_bytes(name.encode())
    (folder / f"{names[-1]}.xmp").touch()
    for image, name in enumerate(names):
        source, target = folder / name, folder / DUPLICATES / name
        status, (digest,) = source.stat(), digest_all([source])
        follows = [PlannedCompanion(image, folder / f"{name}.xmp", (source,))] if name == names[-1] else []
        moves.append(
            PlannedMove(
                image, source, target, status.st_size, status.st_mtime_ns, digest, folder / "kept", tuple(follows)
            )
        )
    return moves


def test_it_is_the_last_that_moved_something_whatever_came_after_it(make, store, folder):
    make(1, "a")
    moved = make(2, "b", "c", kind=RunKind.APPLY)
    make(3)
    make(4, status=RunStatus.FAILED)
    assert find_undoable(store, "latest") == moved
    said = describe_undoable(moved)
    assert (
        f"run {moved.run_id} on {folder}, of 2026-11-20 02:00 UTC, 3 files to put back; 2 later runs moved nothing"
        in said
    )
    assert find_undoable(store, "20260103").run_id.startswith("20260103")


def test_what_is_put_back_in_part_is_still_it_and_what_is_back_is_not(make, store, folder):
    first, second = make(1, "a"), make(2, "b", "c")
    restore_run(second, images=[0])
    assert (find_undoable(store, "latest"), count_away(second)) == (second, 2)
    (folder / "c.xmp").write_bytes(b"its name is taken")
    restore_run(second)
    assert (find_undoable(store, "latest"), count_away(second)) == (second, 1)
    (folder / "c.xmp").unlink()
    restore_run(second)
    assert find_undoable(store, "latest") == first
    restore_run(first)
    with pytest.raises(StoreError, match=r"has moved anything that is not back already.*imagetwins audit"):
        find_undoable(store, "latest")


def test_a_restore_that_was_interrupted_is_not_over(make, store):
    run = make(1, "a")
    away = read_journal(run.journal)[0]
    with open_journal(run.journal) as journal:
        journal.begin("back", 0, away.target, away.source, storage_of(away.target).stat(away.target))
    assert (find_undoable(store, "latest"), count_away(run)) == (run, 2)


@pytest.mark.parametrize("has_left", [True, False])
def test_a_move_that_was_interrupted_counts_if_it_has_begun(make, folder, has_left):
    run = make(1, status=RunStatus.RUNNING)
    source = folder / "a"
    source.touch()
    with open_journal(run.journal) as journal:
        journal.begin("out", 0, source, folder / DUPLICATES / "a", storage_of(source).stat(source))
    if has_left:
        source.unlink()
    assert count_away(run) == has_left


def test_a_damaged_journal_is_named_and_not_passed_over(make, store):
    make(1, "a")
    damaged = make(2, counts={"moved": 7})
    damaged.journal.write_text("no journal\n{}\n")
    assert (find_undoable(store, "latest"), count_away(damaged)) == (damaged, 7)
