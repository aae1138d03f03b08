"""Moves: what is refused and why, and that no kill and no error at any step loses or doubles a file."""

import errno
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from imagetwins.config.layout import make_layout
from imagetwins.errors import StoreError
from imagetwins.moving.execute import apply_moves, recover_journal
from imagetwins.moving.journal import open_journal, read_journal
from imagetwins.moving.plan import PlannedCompanion, PlannedMove, plan_moves
from imagetwins.moving.recover import recover_run
from imagetwins.moving.restore import restore_moves
from imagetwins.reasons import ReasonCode
from imagetwins.scanning.candidates import list_candidates
from imagetwins.storage import DUPLICATES, MARKER, Route, local_moves, storage_of
from imagetwins.storage.local_moves import stamp_of
from imagetwins.storage.location import to_columns
from imagetwins.storage.reserved import MARKER_TEXT, PART_PREFIX
from imagetwins.store.runs import Run
from imagetwins.store.schemas import COMPANIONS, DECISIONS, IMAGES
from imagetwins.store.tables import as_frame, read_table, write_table
from tasks.move import move_duplicates
from tasks.restore import restore_files
from tests.support.past_runs import image_table, make_record, write_run
from tests.support.syscalls import failing_at, intercepted, killed_at, no_rename

SHM = Path("/dev/shm")  # noqa: S108 - another device than the temporary folder's

SECONDS = {
    "1600": -11_676_096_000,
    "1901": -2_147_483_648,
    "2106": 2**32,
    "2262": 9_223_372_037,
    "2446": 15_032_385_535,
}
"""Seconds since 1970 of years in which a clock of some number of bits begins or ends."""


def planned(folder, image, name, kept="kept.png", duplicates=None, route=None):
    source = folder / name
    status = source.lstat()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    target = (duplicates or folder / DUPLICATES) / name
    known = status.st_size, status.st_mtime_ns, digest
    return PlannedMove(image, source, target, *known, folder / kept, route=route)


def snapshot(*folders):
    """Return digest by path of every file but markers; part files and all."""
    files = (file for folder in folders for file in folder.rglob("*") if not file.is_dir() and file.name != MARKER)
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def contents(*folders):
    return Counter(snapshot(*folders).values())


class Job:
    """A folder with a kept file, three duplicates, what belongs to two of them, and a taken name; and where its duplicates go."""

    COMPANIONS = ("a.xmp", "sub/b.MOV")
    MOVED = {  # noqa: RUF012 - never changed
        "a.png": "a (2).png",
        "a.xmp": "a (2).xmp",
        "sub/b.png": "sub/b.png",
        "sub/b.MOV": "sub/b.MOV",
        "c.png": "c.png",
    }

    def __init__(self, folder, duplicates, journal, route=None):
        self.folder, self.duplicates, self.journal = folder, duplicates, journal
        (folder / "sub").mkdir(parents=True)
        duplicates.mkdir(parents=True, exist_ok=True)
        for name in ("kept.png", *self.MOVED):
            (folder / name).write_bytes(name.encode() * 30)
        (duplicates / "a.png").write_bytes(b"taken")
        self.before = snapshot(folder, duplicates)
        names = [name for name in self.MOVED if name not in self.COMPANIONS]
        self.moves = [planned(folder, i, name, duplicates=duplicates, route=route) for i, name in enumerate(names)]
        self.moves[: len(self.COMPANIONS)] = [
            replace(move, companions=(PlannedCompanion(move.image, folder / name, (move.source,)),))
            for move, name in zip(self.moves, self.COMPANIONS, strict=False)
        ]

    def apply(self):
        return apply_moves(self.moves, self.journal)

    def recover(self):
        return recover_journal(self.journal)

    def restore(self):
        return restore_moves(self.journal)

    def check_all_moved_once(self):
        files = snapshot(self.folder, self.duplicates)
        assert Counter(files.values()) == Counter(self.before.values())
        expected = {self.folder / "kept.png", self.duplicates / "a.png"}
        assert set(files) == expected | {self.duplicates / name for name in self.MOVED.values()}
        out = {t.source: t.target for t in read_journal(self.journal) if (t.state, t.direction) == ("done", "out")}
        assert out == {self.folder / old: self.duplicates / new for old, new in self.MOVED.items()}


class SmallJob(Job):
    """As few steps as show all that there is to one way of moving."""

    COMPANIONS = ()
    MOVED = {"a.png": "a (2).png"}  # noqa: RUF012 - never changed


@pytest.fixture
def memory(tmp_path):
    """A folder in memory, where flushing costs nothing, if there is one."""
    if not SHM.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=SHM) as folder:
        yield Path(folder)


WAYS = ["rename", "link", "copy", "in place", "copy in place"]
"""How a file can be moved: the last two where the file system has neither the rename nor links; to another device, or not."""


@pytest.fixture(params=WAYS)
def new_job(request, tmp_path, memory, monkeypatch):
    """Make fresh jobs, by each way in which a file can be moved."""
    if request.param.startswith("copy") and memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm on another device than the temporary folder")
    if request.param == "link":
        monkeypatch.setattr(local_moves, "_renameat2", None)
    numbers = itertools.count()
    kind = SmallJob if "in place" in request.param else Job

    def new():
        local_moves._copied_in_place.clear()
        name = f"folder{next(numbers)}"
        # What is flushed most, the copies and the journal, lies in memory.
        journal = memory / f"{name}.jsonl"
        if request.param.startswith("copy"):
            # One folder for the duplicates of all, as `into`.
            folder, aside = tmp_path / name, memory / f"{name}-aside"
            return kind(folder, aside / "folder", journal, Route.into(folder, aside))
        return kind(memory / name, memory / name / DUPLICATES, journal)

    with no_rename() if "in place" in request.param else nullcontext():
        yield new


def test_moves_and_restores(new_job):
    job = new_job()

    outcomes = job.apply()
    job.check_all_moved_once()
    restored = job.restore()

    pictures = [name for name in job.MOVED if name not in job.COMPANIONS]
    assert [(outcome.moved, outcome.reason) for outcome in outcomes] == [(True, None)] * len(pictures)
    assert [outcome.new_path for outcome in outcomes] == [job.duplicates / job.MOVED[name] for name in pictures]
    assert [companion.new_path for outcome in outcomes for companion in outcome.companions] == [
        job.duplicates / job.MOVED[name] for name in job.COMPANIONS
    ]
    assert [(outcome.restored, outcome.reason) for outcome in restored] == [(True, None)] * len(job.MOVED)
    assert [outcome.path for outcome in restored] == [
        job.folder / name for name in (*reversed(pictures), *reversed(job.COMPANIONS))
    ]
    assert snapshot(job.folder, job.duplicates) == job.before
    assert not (job.duplicates / "sub").exists()
    assert job.restore() == []


def test_what_was_put_aside_is_marked_until_all_of_it_is_back(tmp_path):
    folder = tmp_path / "album"
    for name in ("kept.png", "a.png", "sub/b.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    before = sorted(tmp_path.rglob("*"))
    for number, name in enumerate(("a.png", "sub/b.png")):
        assert apply_moves([planned(folder, 0, name)], tmp_path / f"../{tmp_path.name}-{number}.jsonl")[0].moved

    assert listed(tmp_path) == ["kept.png"]
    assert "imagetwins restore" in (folder / DUPLICATES / MARKER).read_text()
    restore_moves(tmp_path / f"../{tmp_path.name}-0.jsonl")
    assert listed(tmp_path) == ["a.png", "kept.png"]
    restore_moves(tmp_path / f"../{tmp_path.name}-1.jsonl")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_duplicates_that_nothing_was_moved_to_is_not_marked(job):
    job.moves[0].source.write_bytes(b"edited")
    for file in (job.duplicates / "a.png", job.duplicates):
        (file.unlink if file.is_file() else file.rmdir)()

    for code in (errno.EACCES, errno.ENOSPC):
        with failing_at(1, code, times=10_000), suppress(OSError):
            apply_moves(job.moves, job.journal)
        assert not job.duplicates.exists()
    assert not apply_moves(job.moves[:1], job.journal)[0].moved
    assert not job.duplicates.exists()


def test_a_disk_too_full_for_the_markers_text_takes_its_name(job):
    def refuse(name, call, arguments):
        if name == "write" and Path(f"/proc/self/fd/{arguments[0]}").readlink().name == MARKER:
            raise OSError(errno.ENOSPC, "No space left on device")
        return call(*arguments)

    with intercepted(refuse):
        assert all(outcome.moved for outcome in job.apply())

    assert (job.duplicates / MARKER).read_bytes() == b""


def test_the_marker_is_there_although_the_first_move_failed(job):
    (job.duplicates / "a.png").unlink()
    job.duplicates.rmdir()
    renames = itertools.count()

    def fail_first(name, call, arguments):
        if name == "renameat2" and next(renames) == 0:
            local_moves.ctypes.set_errno(errno.EIO)
            return -1
        return call(*arguments)

    with intercepted(fail_first):
        outcomes = job.apply()

    assert [outcome.moved for outcome in outcomes] == [False, True, True]
    assert (job.duplicates / MARKER).exists()


def listed(folder):
    found = list_candidates(folder, recursive=True, exclude=[], reference=[], skip=[])
    return sorted(file.location.name for file in found)


def test_times_survive_a_move(new_job):
    job = new_job()
    before = {move.source.name: move.source.stat() for move in job.moves}

    outcomes = job.apply()

    for move, outcome in zip(job.moves, outcomes, strict=True):
        after = outcome.new_path.stat()
        assert (after.st_mtime_ns, after.st_mode) == (
            before[move.source.name].st_mtime_ns,
            before[move.source.name].st_mode,
        )


@pytest.mark.parametrize("seconds", SECONDS.values(), ids=SECONDS)
def test_files_of_every_year_are_listed_moved_and_restored(new_job, seconds):
    job = new_job()
    for file in job.folder.rglob("*.png"):
        os.utime(file, ns=(0, seconds * 10**9))
    rows = list_candidates(job.folder, recursive=True, exclude=[], reference=[], skip=[])
    times = {file.location: file.mtime_ns for file in rows}
    pa.array([*times.values(), *(-time for time in times.values())], pa.int64())
    moves = [replace(move, mtime_ns=times[move.source]) for move in job.moves]
    before = {move.source: move.source.stat().st_mtime_ns for move in moves}

    outcomes = apply_moves(moves, job.journal)
    for move in moves:
        assert find_change(move, outcomes[move.image].new_path) is None
    restored = job.restore()

    assert [outcome.reason for outcome in (*outcomes, *restored)] == [None] * (len(moves) + len(job.MOVED))
    assert {move.source: move.source.stat().st_mtime_ns for move in moves} == before
    os.utime(job.moves[0].source, ns=(0, 0))
    assert find_change(moves[0], moves[0].source).code == ReasonCode.MODIFIED


def find_change(move, location):
    return storage_of(location).find_change(replace(move.listed, location=location))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("new_job", "then"),
    [*itertools.product(WAYS[:3], ["apply", "restore"]), ("in place", "apply"), ("copy in place", "restore")],
    indirect=["new_job"],
)
def test_killed_at_every_step_of_moving(new_job, then):
    kills = 0
    while killed_at(kills + 1, (job := new_job()).apply):
        kills += 1
        if then == "apply":
            assert all(outcome.moved for outcome in job.apply())
            job.check_all_moved_once()
        else:
            job.restore()
            assert snapshot(job.folder, job.duplicates) == job.before
    job.check_all_moved_once()
    assert kills > 15


@pytest.mark.slow
@pytest.mark.parametrize("new_job", WAYS[:4], indirect=True)
def test_killed_at_every_step_of_restoring(new_job):
    kills = 0
    while True:
        job = new_job()
        job.apply()
        if not killed_at(kills + 1, job.restore):
            break
        kills += 1
        job.restore()
        assert snapshot(job.folder, job.duplicates) == job.before
    assert snapshot(job.folder, job.duplicates) == job.before
    assert kills > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("new_job", "moments"),
    # In place: from the first half of the copy on.
    [*itertools.product(WAYS[:3], [range(8, 16)]), ("in place", (15, 18, 20))],
    indirect=["new_job"],
    ids=lambda value: value if isinstance(value, str) else f"from {value[0]}",
)
def test_killed_again_while_recovering(new_job, moments):
    for first in moments:
        second = 0
        while True:
            job = new_job()
            assert killed_at(first, job.apply)
            if not killed_at(second + 1, job.recover):
                break
            second += 1
            assert all(outcome.moved for outcome in job.apply())
            job.check_all_moved_once()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("times", [1, 1000], ids=["once", "from then on"])
def test_every_step_may_fail(new_job, code, times):
    moment = 0
    while True:
        moment += 1
        job = new_job()
        with failing_at(moment, code, times=times) as failed:
            try:
                outcomes = job.apply()
            except OSError:
                # Only the journal itself may stop everything, before anything has happened.
                assert set(job.before) <= set(snapshot(job.folder, job.duplicates))
                outcomes = []
        if not failed:
            break
        for move, outcome in zip(job.moves, outcomes, strict=bool(outcomes)):
            assert outcome.moved == (not outcome.reason)
            assert hashlib.sha256(outcome.new_path.read_bytes()).hexdigest() == move.digest
        recover_journal(job.journal)
        assert contents(job.folder, job.duplicates) == Counter(job.before.values())
        assert not any(outcome.reason for outcome in job.apply()), (moment, failed)
        job.check_all_moved_once()
    assert moment > 15


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path / "folder", tmp_path / "folder" / DUPLICATES, tmp_path / "journal.jsonl")


def test_a_move_that_should_not_be_made_is_not(job):
    changed, vanished, orphaned = job.moves
    changed.source.write_bytes(b"edited")
    vanished.source.unlink()
    before = snapshot(job.folder)

    outcomes = apply_moves([changed, vanished, replace(orphaned, kept=job.folder / "gone.png")], job.journal)

    assert [outcome.moved for outcome in outcomes] == [False] * 3
    assert [outcome.new_path for outcome in outcomes] == [move.source for move in job.moves]
    for outcome, words in zip(outcomes, ["changed", "no longer there", "kept for it"], strict=True):
        assert words in str(outcome.reason)
    assert snapshot(job.folder) == before


def test_a_clock_that_went_backwards_is_a_change(job):
    os.utime(job.moves[0].source, ns=(0, job.moves[0].mtime_ns - 10**12))

    assert "changed" in str(job.apply()[0].reason)


def test_a_kept_file_that_this_run_moved_counts_where_it_is_now(job):
    first, second, third = job.moves

    outcomes = apply_moves([first, replace(second, kept=first.source), replace(third, kept=second.source)], job.journal)

    assert [outcome.moved for outcome in outcomes] == [True] * 3


def test_a_link_in_place_of_the_kept_file_does_not_count(job):
    kept = job.moves[0].kept
    kept.unlink()
    kept.symlink_to(job.moves[0].source)

    assert "kept for it" in str(job.apply()[0].reason)


def test_a_name_taken_at_the_last_moment_is_not_replaced(job):
    def take(name, call, arguments):
        if name == "renameat2":
            with suppress(FileExistsError):
                Path(os.fsdecode(arguments[3])).open("x").close()
            taken.append(arguments[3])
            if len(taken) % 2 == 0:
                Path(os.fsdecode(arguments[3])).unlink()
        return call(*arguments)

    taken = []
    with intercepted(take):
        outcomes = apply_moves(job.moves[2:], job.journal)

    assert outcomes[0].new_path == job.duplicates / "c (2).png"
    assert (job.duplicates / "c.png").read_bytes() == b""
    assert len(taken) == 2


@pytest.mark.parametrize(
    "name",
    [
        "n" * 251 + ".png",
        "図" * 83 + ".png",
        "-rf.png",
        "[a] b.png",
        "a'\"\n\x1b[0m.png",
        "<b>x<b>.png",
        ".png",
        "no suffix",
        "a.tar.png",
        "a." + "s" * 253,
    ],
)
def test_names_that_are_taken_many_times(tmp_path, name):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "kept.png").write_bytes(b"kept")
    places = []
    for run in range(3):
        (folder / name).write_bytes(b"%d" % run)
        outcomes = apply_moves([planned(folder, 0, name)], tmp_path / f"{run}.jsonl")
        assert outcomes[0].reason is None
        places.append(outcomes[0].new_path)

    assert [place.read_bytes() for place in places] == [b"0", b"1", b"2"]
    assert places[0].name == name
    assert places[2].suffix == Path(name).suffix or len(Path(name).suffix) > 32
    assert "(3)" in places[2].name
    assert restore_moves(tmp_path / "1.jsonl")[0].restored
    assert (folder / name).read_bytes() == b"1"
    assert not restore_moves(tmp_path / "0.jsonl")[0].restored


def test_names_that_are_not_utf8_survive_the_journal(tmp_path):
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    for name in (b"kept.png", b"a\xfe.png"):
        (folder / os.fsdecode(name)).write_bytes(name)
    move = planned(folder, 0, os.fsdecode(b"a\xfe.png"))

    apply_moves([move], tmp_path / "j")

    assert read_journal(tmp_path / "j")[0].source == move.source
    assert restore_moves(tmp_path / "j")[0].restored
    assert move.source.read_bytes() == b"a\xfe.png"


def test_names_that_differ_in_case_only(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for name in ("kept.png", "a.png", "A.png"):
        (folder / name).write_bytes(name.encode())

    outcomes = apply_moves([planned(folder, 0, "a.png"), planned(folder, 1, "A.png")], tmp_path / "j")

    assert {outcome.new_path.read_bytes() for outcome in outcomes} == {b"a.png", b"A.png"}


def test_a_link_on_the_way_leads_nowhere(job, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.rmtree(job.duplicates)
    job.duplicates.symlink_to(outside)

    outcomes = job.apply()

    assert [outcome.moved for outcome in outcomes] == [False] * 3
    assert "link" in str(outcomes[0].reason)
    assert list(outside.iterdir()) == []


def test_a_link_on_the_way_to_a_file_is_not_followed(job, tmp_path):
    outside, sub = tmp_path / "outside", job.folder / "sub"
    sub.rename(outside)
    sub.symlink_to(outside)

    outcomes = job.apply()

    assert [outcome.moved for outcome in outcomes] == [True, False, True]
    assert "link" in str(outcomes[1].reason)
    assert {file.name for file in outside.iterdir()} == {"b.png", "b.MOV"}


def test_a_link_on_the_way_back_is_not_followed(job, tmp_path):
    job.apply()
    outside, sub = tmp_path / "outside", job.duplicates / "sub"
    sub.rename(outside)
    sub.symlink_to(outside)

    outcomes = {outcome.path.name: outcome for outcome in job.restore()}

    assert [name for name, outcome in outcomes.items() if not outcome.restored] == ["b.png", "b.MOV"]
    assert "link" in str(outcomes["b.png"].reason)
    assert {file.name for file in outside.iterdir()} == {"b.png", "b.MOV"}


def test_a_file_in_the_way_of_a_folder(job):
    (job.duplicates / "sub").write_bytes(b"a file")

    outcomes = job.apply()

    assert [outcome.moved for outcome in outcomes] == [True, False, True]
    assert contents(job.folder) == Counter(job.before.values()) + Counter([hashlib.sha256(b"a file").hexdigest()])


def test_stop_is_heeded_between_two_moves(job):
    told = []

    outcomes = apply_moves(job.moves, job.journal, stop=lambda: len(told) == 1, on_move=told.append)

    assert [outcome.moved for outcome in outcomes] == [True, False, False]
    assert "stopped" in str(outcomes[1].reason)
    assert told == outcomes[:1]
    assert all(outcome.moved for outcome in job.apply())
    job.check_all_moved_once()


def test_what_was_restored_is_not_moved_again_by_the_same_run(job):
    job.apply()
    job.restore()

    outcomes = job.apply()

    assert [outcome.moved for outcome in outcomes] == [False] * 3
    assert snapshot(job.folder) == job.before


def test_restore_overwrites_nothing_and_may_be_repeated(job):
    job.apply()
    (job.folder / "a.png").write_bytes(b"new")
    (job.duplicates / "c.png").unlink()
    (job.duplicates / "c.png").write_bytes(b"another, and longer")
    (job.duplicates / "sub/b.png").unlink()

    outcomes = job.restore()

    reasons = {outcome.path.name: str(outcome.reason) for outcome in outcomes}
    assert [outcome.restored for outcome in outcomes] == [False] * 5
    assert "name" in reasons["a.png"]
    assert "replaced" in reasons["c.png"]
    assert "no longer" in reasons["b.png"]
    for name, picture in (("a.xmp", "a (2).png"), ("b.MOV", "b.png")):
        assert reasons[name].startswith("a picture that it belongs to stays")
        assert picture in reasons[name]
    assert (job.folder / "a.png").read_bytes() == b"new"

    (job.folder / "a.png").unlink()

    assert [outcome.path.name for outcome in job.restore() if outcome.restored] == ["a.png", "a.xmp"]


@pytest.mark.parametrize("new_job", WAYS[:3], indirect=True)
def test_one_picture_goes_back_with_what_belongs_to_it_and_the_others_stay(new_job):
    job = new_job()
    job.apply()

    outcomes = restore_moves(job.journal, images={0})

    assert [(outcome.path.name, outcome.restored) for outcome in outcomes] == [("a.png", True), ("a.xmp", True)]
    assert (job.duplicates / "sub/b.png").exists()
    assert restore_moves(job.journal, images={0}) == []
    assert [outcome.path.name for outcome in job.restore()] == ["c.png", "b.png", "b.MOV"]
    assert snapshot(job.folder, job.duplicates) == job.before


def test_what_was_put_aside_stays_marked_while_one_picture_of_it_is_there(tmp_path):
    for name in ("kept.png", "a.png", "b.png"):
        (tmp_path / "album" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "album" / name).write_bytes(name.encode())
    moves = [planned(tmp_path / "album", number, name) for number, name in enumerate(("a.png", "b.png"))]
    apply_moves(moves, tmp_path / "journal.jsonl")
    marker = tmp_path / "album" / DUPLICATES / MARKER

    restore_moves(tmp_path / "journal.jsonl", images={1})
    assert marker.exists()
    assert listed(tmp_path) == ["b.png", "kept.png"]
    restore_moves(tmp_path / "journal.jsonl", images={0})
    assert not marker.parent.exists()


# -- what belongs to a picture ---------------------------------------------------------------------------------------


def test_what_belongs_to_a_picture_that_stays_stays_too(job):
    job.moves[0].source.write_bytes(b"edited")

    first, second, _ = job.apply()

    assert (first.moved, first.companions) == (False, ())
    assert (job.folder / "a.xmp").exists()
    assert [companion.moved for companion in second.companions] == [True]


def test_a_companion_follows_as_it_is_and_one_that_is_gone_is_a_reason(job):
    (job.folder / "a.xmp").write_bytes(b"edited since, and longer")
    (job.folder / "sub/b.MOV").unlink()

    (edited,), (gone,) = (outcome.companions for outcome in job.apply()[:2])

    assert (edited.moved, edited.new_path.read_bytes()) == (True, b"edited since, and longer")
    assert (gone.moved, str(gone.reason)) == (False, "it is no longer there")
    assert all(outcome.restored for outcome in job.restore())
    assert (job.folder / "a.xmp").read_bytes() == b"edited since, and longer"


def test_a_companion_whose_name_is_taken_loses_nothing_and_is_restored(job):
    (job.duplicates / "a (2).xmp").write_bytes(b"taken")

    (companion,) = job.apply()[0].companions

    assert companion.new_path == job.duplicates / "a (2) (2).xmp"
    (job.folder / "a.xmp").write_bytes(b"new")
    assert {outcome.path.name for outcome in job.restore() if not outcome.restored} == {"a.xmp"}
    assert (job.duplicates / "a (2) (2).xmp").read_bytes() == b"a.xmp" * 30
    (job.folder / "a.xmp").unlink()
    assert [outcome.path.name for outcome in job.restore()] == ["a.xmp"]


def test_what_belongs_to_two_pictures_follows_only_both(job):
    first, _, last = job.moves
    shared = PlannedCompanion(0, job.folder / "a.xmp", (first.source, last.source))
    both = [replace(first, companions=()), replace(last, companions=(shared,))]
    last.source.rename(job.folder / "away.png")

    assert [len(outcome.companions) for outcome in apply_moves(both, job.journal)] == [0, 0]
    assert (job.folder / "a.xmp").exists()

    (job.folder / "away.png").rename(last.source)
    (companion,) = apply_moves(both, job.journal)[1].companions

    assert companion.new_path == job.duplicates / "a (2).xmp"
    first_back = replace(both[1], companions=(replace(shared, pictures=(last.source, job.folder / "kept.png")),))
    assert restore_moves(job.journal)[-1].restored
    assert not apply_moves([first_back], job.journal.with_suffix(".2"))[0].companions[0].moved


def test_a_journal_of_a_version_without_companions_is_read_and_undone(job):
    apply_moves([replace(move, companions=()) for move in job.moves], job.journal)
    header, rest = job.journal.read_bytes().split(b"\n", 1)
    assert b"companion" not in rest
    job.journal.write_bytes(header.replace(b"3", b"1") + b"\n" + rest)

    assert [outcome.restored for outcome in job.restore()] == [True] * 3
    assert snapshot(job.folder, job.duplicates) == job.before


def test_a_person_who_took_the_picture_back_gets_what_belongs_to_it(job):
    job.apply()
    (job.duplicates / "a (2).png").rename(job.folder / "a.png")

    assert all(outcome.restored for outcome in job.restore())
    assert snapshot(job.folder, job.duplicates) == job.before


def interrupted_run(home):
    """A run that has decided to move b.png, to which b.xmp belongs, as a copy of a.png."""
    folder, paths = home / "pictures", [str(home / "pictures" / name) for name in ("a.png", "b.png")]
    folder.mkdir(parents=True)
    images = image_table(paths, sizes=dict.fromkeys(paths, (4, 640, 480)))
    for path, mtime_ns in zip(paths, images["mtime_ns"], strict=True):
        Path(path).write_bytes(b"same")
        os.utime(path, ns=(0, mtime_ns))
    (folder / "b.xmp").write_bytes(b"sidecar")
    run = write_run(
        home / "store", "20260101T000000Z-00000000", images, {(0, 1): (1, 1)}, folder=str(folder), moved=False
    )
    run.journal.unlink()
    row = {
        "image": [1],
        "path": [str(folder / "b.xmp")],
        "size_bytes": [7],
        "mtime_ns": [0],
        "new_path": [str(folder / "b.xmp")],
    }
    write_table(as_frame(row, COMPANIONS), COMPANIONS, run.companions / "part-0.parquet")
    return run, folder


def apply_run(run, folder):
    companions = read_table(run.companions, COMPANIONS)
    apply_moves(plan_moves(make_layout([folder]), read_table(run.images, IMAGES), [(1, 0)], companions), run.journal)


@pytest.mark.slow
def test_after_a_kill_between_a_picture_and_what_belongs_to_it_that_follows(memory):
    seen, moment = set(), 0
    while True:
        moment += 1
        run, folder = interrupted_run(memory / str(moment))
        if not killed_at(moment, lambda run=run, folder=folder: apply_run(run, folder)):
            break
        names = {file.name for file in folder.iterdir() if file.is_file()}
        recover_run(run)
        moved = (folder / DUPLICATES / "b.png").exists()
        seen.add(tuple(sorted(names)))
        assert set(snapshot(folder)) == {
            folder / "a.png", *(folder / (DUPLICATES if moved else "") / name for name in ("b.png", "b.xmp"))
        }  # fmt: skip
        (new_path,) = read_table(run.companions, COMPANIONS)["new_path"]
        assert Path(new_path).exists()
        counts = run.read_record().counts
        assert (counts["moved"], counts["companions"]) == (moved, moved)
        restore_moves(run.journal)
        assert set(snapshot(folder)) == {folder / name for name in ("a.png", "b.png", "b.xmp")}
    assert ("a.png", "b.xmp") in seen


def test_a_raw_file_that_was_an_image_too_has_moved_because_its_picture_did(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [str(folder / name) for name in ("a.jpg", "b.jpg", "b.nef")]
    images = image_table(paths, sizes=dict.fromkeys(paths, (4, 640, 480)))
    for path, mtime_ns in zip(paths, images["mtime_ns"], strict=True):
        Path(path).write_bytes(b"same")
        os.utime(path, ns=(0, mtime_ns))
    scores = {(0, 1): (1, 1), (0, 2): (0.95, 0.1)}
    run = write_run(tmp_path / "store", "20260101T000000Z-0", images, scores, folder=str(folder), moved=False)
    run.journal.unlink()
    row = {"image": [1], "path": paths[2:], "size_bytes": [4], "mtime_ns": [0], "new_path": paths[2:]}
    write_table(as_frame(row, COMPANIONS), COMPANIONS, run.companions / "part-0.parquet")
    assert read_table(run.decisions, DECISIONS)["action"].tolist() == ["kept", "would move", "review"]
    (run.decisions / "decisions.parquet").rename(run.decisions / "part-0.parquet")

    counts = move_duplicates.fn(run, run.read_record().parameters)

    assert counts == {"moved": 1, "not_moved": 0, "companions": 1, "review": -1}
    for _ in range(2):
        decisions = read_table(run.decisions, DECISIONS)
        assert decisions["action"].tolist() == ["kept", "moved", "moved"]
        assert decisions["NewPath"].tolist()[1:] == [str(folder / DUPLICATES / name) for name in ("b.jpg", "b.nef")]
        assert decisions["Duplicate"].tolist() == [False, True, False]
        assert decisions["reason"][2] == "belongs to b.jpg, which moved"
        assert decisions["kept_image"].isna().tolist() == [True, False, True]
        recover_run(run)
        assert (run.read_record().counts["moved"], run.read_record().counts["companions"]) == (1, 1)


@pytest.mark.parametrize("person", ["took it back", "put another in its place", "removed it"])
def test_it_stays_where_a_person_has_changed_something_since(tmp_path, person):
    run, folder = interrupted_run(tmp_path)
    (moved,) = plan_moves(make_layout([folder]), read_table(run.images, IMAGES), [(1, 0)])
    target = apply_moves([moved], run.journal)[0].new_path
    if person == "put another in its place":
        (folder / "b.png").write_bytes(b"another")
    elif person == "removed it":
        target.unlink()
    else:
        target.rename(folder / "b.png")

    recover_run(run)

    assert (folder / "b.xmp").exists()


IMAGES_OF_A_FOLDER = ["a/b.jpg", "a/b.nef", "a/b.png", "kept.jpg", "kept.nef", "z.jpg"]


@pytest.mark.parametrize(
    ("duplicates", "expected"),
    [
        ([(0, 3)], {}),
        ([(0, 3), (2, 3)], {2: ["b.nef", "b.xmp", "b.nef.xmp"]}),
        ([(2, 3), (0, 3)], {0: ["b.nef", "b.xmp", "b.nef.xmp"]}),
        # The raw file moves for its own sake, or it stays because another one moves for its sake.
        ([(0, 3), (1, 4), (2, 3)], {2: ["b.xmp"], 1: ["b.nef.xmp"]}),
        ([(0, 3), (2, 3), (4, 1)], {}),
        ([(1, 4)], {1: ["b.nef.xmp"]}),
    ],
)
def test_what_follows_which_of_several_pictures(duplicates, expected):
    paths = [f"/f/{name}" for name in IMAGES_OF_A_FOLDER]
    of = {"/f/a/b.xmp": (0, 1, 2), "/f/a/b.nef": (0, 2), "/f/a/b.nef.xmp": (1,)}
    rows = [(image, path) for path, images in of.items() for image in images]
    columns = {"image": [image for image, _ in rows], "path": [path for _, path in rows]}
    columns |= {"size_bytes": [1] * len(rows), "mtime_ns": [1] * len(rows), "new_path": columns["path"]}

    moves = plan_moves(make_layout(["/f"]), image_table(paths), duplicates, as_frame(columns, COMPANIONS))

    found = {move.image: [one.source.name for one in move.companions] for move in moves if move.companions}
    assert {image: sorted(names) for image, names in found.items()} == {
        image: sorted(names) for image, names in expected.items()
    }
    assert all(names[0] == "b.nef" for names in found.values() if "b.nef" in names), "before what belongs to it as well"


def test_what_a_person_moved_back_counts_as_restored(job):
    job.apply()
    (job.duplicates / "c.png").rename(job.folder / "c.png")

    outcomes = job.restore()

    assert all(outcome.restored for outcome in outcomes)
    assert snapshot(job.folder) == job.before
    assert job.restore() == []


def test_restore_makes_the_folder_again_that_is_gone(job):
    job.apply()
    (job.folder / "sub").rmdir()

    assert all(outcome.restored for outcome in job.restore())
    assert snapshot(job.folder) == job.before


def test_a_torn_last_line_is_as_if_it_were_not_there(job):
    job.apply()
    whole = job.journal.read_bytes()
    transfers = read_journal(job.journal)
    last = whole.rfind(b"\n", 0, -1) + 1
    for end in range(last, len(whole)):
        job.journal.write_bytes(whole[:end])
        assert read_journal(job.journal)[:-1] == transfers[:-1]
        assert recover_journal(job.journal)[0].state == "done"
        assert read_journal(job.journal) == transfers
    job.restore()
    assert snapshot(job.folder) == job.before


def test_a_disk_that_is_away_decides_nothing(job):
    killed = next(moment for moment in itertools.count(1) if moved_and_killed(job, moment))
    job.folder.rename(job.folder.with_name("unmounted"))
    job.folder.mkdir()

    assert recover_journal(job.journal) == []
    assert [outcome.moved for outcome in job.apply()] == [False] * 3

    job.folder.rmdir()
    job.folder.with_name("unmounted").rename(job.folder)
    assert [transfer.state for transfer in recover_journal(job.journal)] == ["done"], killed
    assert all(outcome.moved for outcome in job.apply())
    job.check_all_moved_once()


def moved_and_killed(job, moment):
    """Kill a run of its own journal at `moment`; whether a file was moved of which the journal does not say so yet."""
    assert killed_at(moment, job.apply)
    return read_journal(job.journal)[-1:] and not read_journal(job.journal)[-1].source.exists()


def test_a_damaged_journal_is_refused_by_its_line(job):
    job.apply()
    lines = job.journal.read_bytes().splitlines(keepends=True)
    job.journal.write_bytes(b"".join([*lines[:2], b"gibberish\n", *lines[2:]]))

    with pytest.raises(StoreError, match="line 3 of"):
        job.restore()

    job.journal.write_bytes(b'{"event": "journal", "version": 99}\n')
    with pytest.raises(StoreError, match="version"):
        job.apply()


@pytest.mark.parametrize("way", ["outside", "folder/../outside"])
def test_a_journal_that_names_files_outside_its_folder_is_refused(tmp_path, way):
    for name in ("folder", "outside"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "outside" / "a.png"
    secret.write_bytes(b"of somebody else")
    run = Run(tmp_path / "store", "20260101T000000Z-00000000")
    run.write_record(make_record(run.run_id, folder=str(tmp_path / "folder")))
    moved = tmp_path / "folder" / "a.png", tmp_path / way / "a.png", stamp_of(os.lstat(secret))
    with open_journal(run.journal) as journal:
        journal.done(journal.begin("out", 0, *moved))
    for undo in (restore_files.fn, recover_run):
        with pytest.raises(StoreError, match="not in the folder of its run"):
            undo(run)
    assert secret.read_bytes() == b"of somebody else"


def test_a_journal_has_one_writer(job):
    with open_journal(job.journal), pytest.raises(StoreError, match="in use"):
        job.apply()


def test_no_journal_nothing_to_restore(tmp_path):
    assert restore_moves(tmp_path / "none.jsonl") == []
    assert recover_journal(tmp_path / "none.jsonl") == []
    assert read_journal(tmp_path / "none.jsonl") == []
    assert list(tmp_path.iterdir()) == []


def test_plan_puts_relative_paths_below_duplicates():
    paths = [Path("/f/a.png"), Path("/f/sub/b.png"), Path(os.fsdecode(b"/f/\xff.png"))]
    columns = dict.fromkeys(IMAGES.names, [None] * 3) | {
        "image": [0, 1, 2],
        "path": [to_columns(path)[0] for path in paths],
        "path_bytes": [to_columns(path)[1] for path in paths],
        "size_bytes": [1, 2, 3],
        "mtime_ns": [4, 5, 6],
        "is_reference": [False] * 3,
        "digest": ["d0", "d1", "d2"],
        "width_px": [1] * 3,
        "height_px": [1] * 3,
        "format": ["PNG"] * 3,
        "error": [None] * 3,
    }

    moves = plan_moves(make_layout(["/f"]), as_frame(columns, IMAGES), [(2, 0), (1, 0)])

    assert moves == [
        PlannedMove(2, paths[2], Path(os.fsdecode(b"/f/Duplicates/\xff.png")), 3, 6, "d2", paths[0]),
        PlannedMove(1, paths[1], Path("/f/Duplicates/sub/b.png"), 2, 5, "d1", paths[0]),
    ]


MOVE_AND_TELL = """
import hashlib, json, sys
from pathlib import Path
from imagetwins.moving.plan import PlannedMove
from imagetwins.moving.execute import apply_moves
from imagetwins.moving.restore import restore_moves
from imagetwins.storage import MARKER
folder, journal, target = map(Path, sys.argv[1:4])
moves = []
for image, source in enumerate(sorted(folder.glob("*.png"))[1:]):
    status = source.stat()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    moves.append(PlannedMove(image, source, target / source.name, status.st_size, status.st_mtime_ns, digest, folder / "0.png"))
told = [(outcome.moved, str(outcome.reason or "")) for outcome in apply_moves(moves, journal)]
files = lambda: [path for path in folder.rglob("*") if path.is_file() and path.name != MARKER]
left = sorted(str(path.relative_to(folder)) for path in files())
undone = [(outcome.restored, str(outcome.reason or "")) for outcome in restore_moves(journal)]
after = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files()}
print(json.dumps([told, left, undone, after]))
"""


def run_in_namespace(tmp_path, mounts, target="Duplicates", journal="journal.jsonl", size=9_000):
    """Move the pictures 1.png ... 5.png of a folder with `mounts` in place that nobody else sees."""
    folder = tmp_path / "folder"
    (folder / "Duplicates").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(bytes([number]) * size)
    before = {path.name: digest for path, digest in snapshot(folder).items()}
    moving = [sys.executable, "-c", MOVE_AND_TELL, str(folder), str(tmp_path / journal), str(folder / target)]
    script = " && ".join([*mounts, 'exec "$@"'])
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *moving]
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs root in a mount namespace")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, left, undone, after = json.loads(done.stdout)
    return before, told, left, undone, after


def test_a_full_disk_loses_nothing_and_leaves_no_piece(tmp_path):
    mounts = ["mount -t tmpfs -o size=28k tmpfs folder/Duplicates"]

    before, told, left, undone, after = run_in_namespace(tmp_path, mounts)

    assert [moved for moved, _ in told] == [True, True, False, False, False]
    assert "No space left" in told[2][1]
    assert left == ["0.png", "3.png", "4.png", "5.png", "Duplicates/1.png", "Duplicates/2.png"]
    assert undone == [[True, ""]] * 2
    assert after == before


def test_a_full_disk_under_the_journal_stops_the_moves(tmp_path):
    mounts = ["mount -t tmpfs -o size=4k tmpfs store"]

    before, told, left, _, after = run_in_namespace(
        tmp_path, mounts, journal="store/journal.jsonl", target="/".join(["Duplicates", *["long " * 50] * 3])
    )

    moved = [outcome[0] for outcome in told]
    assert moved == sorted(moved, reverse=True)
    assert moved[0]
    assert not moved[-1]
    assert "journal cannot be written" in told[-1][1]
    assert len(left) == 6
    assert sorted(after.values()) == sorted(before.values())


def test_a_read_only_target_is_a_reason(tmp_path):
    mounts = ["mount -t tmpfs -o ro tmpfs folder/Duplicates"]

    before, told, _, _, after = run_in_namespace(tmp_path, mounts)

    assert [moved for moved, _ in told] == [False] * 5
    assert "Read-only" in told[0][1]
    assert after == before


def test_a_read_only_source_is_a_reason_and_leaves_no_copy(tmp_path):
    mounts = [
        "mount --bind folder folder",
        "mount -t tmpfs tmpfs folder/Duplicates",
        "mount -o remount,bind,ro folder",
    ]

    before, told, left, _, after = run_in_namespace(tmp_path, mounts)

    assert [moved for moved, _ in told] == [False] * 5
    assert len(left) == 6
    assert after == before


def test_a_mount_of_the_same_disk_is_another_device(tmp_path):
    mounts = ["mkdir elsewhere", "mount --bind elsewhere folder/Duplicates"]

    before, told, left, undone, after = run_in_namespace(tmp_path, mounts)

    assert told == [[True, ""]] * 5
    assert left == ["0.png", *(f"Duplicates/{number}.png" for number in range(1, 6))]
    assert undone == [[True, ""]] * 5
    assert after == before


def test_interrupted_at_every_step(new_job):
    for moment in itertools.count(1):
        job = new_job()
        try:
            with interrupted_at(moment):
                job.apply()
            break
        except KeyboardInterrupt:
            job.restore()
            assert snapshot(job.folder, job.duplicates) == job.before
    job.check_all_moved_once()
    assert moment > 15


def test_what_a_step_relies_on_is_on_the_disk_before_it(new_job):
    """A kill leaves what was written; a power cut only what was flushed."""
    job, flushed, steps = new_job(), {}, Counter()
    sources = {move.source for move in job.moves} | {job.folder / name for name in job.COMPANIONS}

    def check(name, call, arguments):
        paths = [Path(os.fsdecode(one)) for one in arguments if not isinstance(one, int | memoryview)]
        told = {one.source: one for one in announced(flushed.get(job.journal, b""), job.journal)}
        if name in {"renameat2", "link"} and paths[0] in sources:
            assert paths[0] in told
            if job.duplicates.name == DUPLICATES:
                assert flushed[job.duplicates / MARKER] == MARKER_TEXT.encode()
                assert MARKER in flushed[job.duplicates]
        elif name == "create" and paths[0].name == MARKER:
            assert not any(source not in snapshot(job.folder) for source in sources)
            return finish(name, call, arguments)
        elif name == "create" and paths[0] != job.journal:
            assert paths[0] in {one.part for one in told.values()}
        elif name == "renameat2":
            (one,) = (one for one in told.values() if one.part == paths[0])
            assert one.copied
            assert flushed[paths[0]] == paths[0].read_bytes()
        elif name == "unlink":
            check_removal(paths[0], told, flushed)
        else:
            return finish(name, call, arguments)
        steps[name] += 1
        return call(*arguments)

    def finish(name, call, arguments):
        result = call(*arguments)
        if name == "fsync":
            path = Path(f"/proc/self/fd/{arguments[0]}").readlink()
            flushed[path] = {entry.name for entry in path.iterdir()} if path.is_dir() else path.read_bytes()
        return result

    with intercepted(check):
        job.apply()
    job.check_all_moved_once()
    # To another device, the rename that does not do comes first.
    assert steps in (
        Counter(renameat2=5),
        Counter(link=5, unlink=5),
        Counter(renameat2=10, create=5, unlink=5),
        Counter(renameat2=1, link=1, create=1, unlink=1),
        Counter(renameat2=2, create=2, unlink=2),
    )


def check_removal(path, told, flushed):
    """Check that a file is removed only while all of it is on the disk elsewhere."""
    if path.name.startswith(PART_PREFIX):
        (source,) = (one.source for one in told.values() if one.part == path)
        assert source.read_bytes() == path.read_bytes()
        return
    target = told[path].target
    assert target.name in flushed[target.parent]
    if told[path].part == target:
        assert told[path].copied
        assert flushed[target] == path.read_bytes()


def announced(content, journal):
    """Return the transfers of a journal of which only `content` is left."""
    left = journal.with_suffix(".left")
    left.write_bytes(content)
    return read_journal(left)


def test_an_edit_during_a_move_is_not_lost(new_job):
    for moment in itertools.count(1):
        job, calls = new_job(), itertools.count(1)
        source = job.moves[0].source

        def edit(_, call, arguments, source=source, calls=calls, moment=moment):
            result = call(*arguments)
            if next(calls) == moment:
                source.write_bytes(b"edited just now")
            return result

        with intercepted(edit):
            job.apply()
        if next(calls) <= moment:
            break
        files = [file for root in (job.folder, job.duplicates) for file in root.rglob("*") if file.is_file()]
        assert b"edited just now" in {file.read_bytes() for file in files}
    assert moment > 15


@pytest.fixture
def away(tmp_path, memory):
    """A job whose duplicates go to another device."""
    if memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm on another device than the temporary folder")
    return Job(tmp_path / "folder", memory / "away", tmp_path / "journal.jsonl")


def test_an_edit_that_keeps_size_and_time_is_seen_by_its_content_when_it_is_copied(away):
    move = away.moves[0]
    move.source.write_bytes(bytes(move.size_bytes))
    os.utime(move.source, ns=(0, move.mtime_ns))
    before = snapshot(away.folder, away.duplicates)

    outcomes = apply_moves([move], away.journal)

    assert "changed" in str(outcomes[0].reason)
    assert snapshot(away.folder, away.duplicates) == before


def test_a_copy_that_is_not_what_was_written_is_not_relied_on(away):
    def flip(name, call, arguments):
        if name == "write" and Path(f"/proc/self/fd/{arguments[0]}").readlink() != away.journal:
            return call(arguments[0], bytes(byte ^ 1 for byte in arguments[1]))
        return call(*arguments)

    with intercepted(flip):
        outcomes = away.apply()

    assert [outcome.moved for outcome in outcomes] == [False] * 3
    assert "read again" in str(outcomes[0].reason)
    assert snapshot(away.folder, away.duplicates) == away.before


@contextmanager
def interrupted_at(moment):
    calls = itertools.count(1)

    def interrupt(_, call, arguments):
        result = call(*arguments)
        if next(calls) == moment:
            raise KeyboardInterrupt
        return result

    with intercepted(interrupt):
        yield
