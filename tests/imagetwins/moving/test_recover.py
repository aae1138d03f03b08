"""After a run that was killed its tables say where every file is, and no other run is touched."""

import os

import pytest

from imagetwins.moving.journal import open_journal, read_journal
from imagetwins.moving.recover import recover_runs
from imagetwins.reasons import Reason, ReasonCode
from imagetwins.scanning.activity import hold_run
from imagetwins.storage import storage_of
from imagetwins.storage.local_moves import stamp_of
from imagetwins.store.record import RunStatus
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.past_runs import image_table, write_run

NAMES = ["kept.png", "moved.png", "restored.png", "refused.png", "not begun.png", "linked.png"]


def write_killed(tmp_path, run_id, folder="folder", status=RunStatus.RUNNING, **parameters):
    """Write a run on a folder that ended while it moved: it was to move all but the first file."""
    folder = tmp_path / folder
    (folder / "Duplicates").mkdir(parents=True, exist_ok=True)
    images = image_table([str(folder / name) for name in NAMES])
    scores = {(0, image): (0.95, 0.9) for image in range(1, len(NAMES))}
    run = write_run(tmp_path / "store", run_id, images, scores, folder=str(folder), moved=False, **parameters)
    run.journal.unlink()
    (run.decisions / "decisions.parquet").rename(run.decisions / "part-0.parquet")
    with run.editing_record() as record:
        record.status = status
    return run


def move_some(run, folder):
    """Leave the files and the journal as a kill in the middle leaves them."""
    for name in NAMES:
        (folder / name).write_bytes(name.encode())
    with open_journal(run.journal) as journal:

        def begin(image, direction="out"):
            places = folder / NAMES[image], folder / "Duplicates" / NAMES[image]
            source, target = places if direction == "out" else places[::-1]
            return journal.begin(direction, image, source, target, stamp_of(os.lstat(source)))

        for image, direction in ((1, "out"), (2, "out"), (2, "back")):
            moved = begin(image, direction)
            moved.source.rename(moved.target)
            journal.done(moved)
        journal.void(begin(3), "the disk was full")
        linked = begin(5)
        linked.target.hardlink_to(linked.source)


@pytest.fixture
def killed(tmp_path):
    run = write_killed(tmp_path, "20260101T000000Z-killed")
    move_some(run, tmp_path / "folder")
    return run


def recover(run, own="20260109T000000Z-own"):
    return recover_runs(run.store, run.read_record().parameters.folders, own, 10**9)


def test_the_decisions_say_where_each_file_is_and_why(killed, tmp_path):
    before = read_table(killed.decisions, DECISIONS)

    assert recover(killed) == [killed.run_id]

    after, folder = read_table(killed.decisions, DECISIONS), tmp_path / "folder"
    stopped, restored = Reason(ReasonCode.RUN_STOPPED), Reason(ReasonCode.RESTORED)
    assert after["action"].tolist() == ["kept", "moved", *["not moved"] * 4]
    assert after["reason"].tolist() == [*before["reason"][:2], str(restored), *[str(stopped)] * 3]
    assert after["NewPath"].tolist() == [
        str(folder / ("Duplicates" if name == "moved.png" else "") / name) for name in NAMES
    ]
    assert all(os.path.exists(path) for path in after["NewPath"])  # noqa: PTH110 - as the table has it
    assert [file.name for file in (folder / "Duplicates").iterdir()] == ["moved.png"]
    assert killed.read_record().status is RunStatus.INTERRUPTED
    assert killed.read_record().counts["moved"] == 1


def test_once_recovered_a_run_is_left_alone(killed):
    recover(killed)
    record, tables = killed.read_record(), read_table(killed.decisions, DECISIONS)

    assert recover(killed) == []

    assert killed.read_record() == record
    assert read_table(killed.decisions, DECISIONS).equals(tables)


def test_a_run_that_waited_is_superseded_and_others_are_not_touched(tmp_path):
    waiting = write_killed(tmp_path, "1", status=RunStatus.WAITING)
    own = write_killed(tmp_path, "2")
    elsewhere = write_killed(tmp_path, "3", folder="folder/sub")
    elsewhere_waiting = write_killed(tmp_path, "4", folder="folder/sub", status=RunStatus.WAITING)
    completed = write_killed(tmp_path, "5", status=RunStatus.COMPLETED)

    assert recover(own, own=own.run_id) == []

    statuses = [run.read_record().status.value for run in (waiting, own, elsewhere, elsewhere_waiting, completed)]
    assert statuses == ["superseded", "running", "running", "waiting", "completed"]


def test_what_an_unfinished_run_held_of_the_cache_is_free_and_what_others_hold_is_not(tmp_path):
    killed, elsewhere = write_killed(tmp_path, "1"), write_killed(tmp_path, "2", folder="elsewhere")
    for run in (killed, elsewhere):
        with hold_run(run):
            run.workspace.mkdir(parents=True)

    recover(killed)

    assert not killed.lock.exists()
    assert not killed.workspace.exists()
    assert elsewhere.lock.exists()
    assert elsewhere.workspace.exists()


@pytest.mark.parametrize("asking", ["folder", "other"])
def test_a_run_on_one_of_its_folders_recovers_a_killed_one_unless_another_is_at_work_on_the_rest(tmp_path, asking):
    other = tmp_path / "other"
    other.mkdir()
    killed = write_killed(tmp_path, "1", more_folders=[str(other)])
    move_some(killed, tmp_path / "folder")
    rest = other if asking == "folder" else tmp_path / "folder"

    def recover_on(folder):
        with storage_of(folder).lock(folder, "own run"):
            return recover_runs(killed.store, [str(folder)], "own", 10**9)

    with storage_of(rest).lock(rest, "a run at work"):
        assert recover_on(tmp_path / asking) == []
    assert killed.read_record().status is RunStatus.RUNNING
    assert read_journal(killed.journal)[-1].state == "open"

    assert recover_on(tmp_path / asking) == ["1"]
    assert killed.read_record().status is RunStatus.INTERRUPTED
    assert killed.read_record().counts["moved"] == 1
    assert read_journal(killed.journal)[-1].state != "open"
