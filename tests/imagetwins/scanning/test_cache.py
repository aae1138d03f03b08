"""What the cache says of a file is what its rows hold, and what is in use is left alone."""

import errno
import fcntl
import mmap
import os
import resource
import shutil
import threading
import time

import cv2
import numpy as np
import pytest

from imagetwins import ssim
from imagetwins.config.parameters import Parameters
from imagetwins.errors import StoreError
from imagetwins.scanning import cache as caching
from imagetwins.scanning.activity import hold_run, iter_other_runs_at_work, lock_caches
from imagetwins.scanning.cache import Cache, collect_loaded, describe_thumbnails, open_cache, read_index
from imagetwins.scanning.eviction import release_run
from imagetwins.storage.logs import open_local_log
from imagetwins.store.runs import Run
from imagetwins.store.schemas import CACHED, LISTING, LOADED, LOOKUP
from imagetwins.store.tables import read_table, write_table
from tasks.list import list_files
from tests.support.pictures import tiny_png
from tests.support.tables import make_table

SIZE = 16


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "store", "20260102T000000Z-own")


def make_arrays(run, name, count=3):
    """Make the arrays of a cache with `count` thumbnails; return its directory and the digests of the thumbnails."""
    directory = run.home / "cache" / name
    thumbnails = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    ssim.create_workspace(directory, count, SIZE)
    ssim.prepare_images(directory, np.arange(count), thumbnails)
    return directory, [digest.tobytes() for digest in ssim.open_workspace(directory).digests]


def table(schema, *entries):
    return make_table(schema, [{"size_bytes": 1, "mtime_ns": 1, "validator": "1:1"} | entry for entry in entries])


def entries_of(cache):
    return {row.file: (row.digest, row.row, row.validator) for row in cache.index.itertuples()}


def test_an_entry_whose_row_holds_another_thumbnail_is_dropped(run):
    directory, thumbnails = make_arrays(run, "thumbnails-a-1")
    index = table(
        CACHED,
        {"file": b"/p/a", "digest": "a", "row": 0, "thumbnail": thumbnails[0]},
        {"file": b"/p/b", "digest": "b", "row": 1, "thumbnail": thumbnails[2]},
        {"file": b"/p/c", "digest": "c", "row": 3, "thumbnail": thumbnails[0]},
    )

    collected = collect_loaded(run, Cache(directory, SIZE, index))

    assert entries_of(collected) == {b"/p/a": ("a", 0, "1:1")}


def test_what_a_run_loaded_replaces_what_was_known_of_the_name_and_a_content_keeps_its_row(run):
    directory, thumbnails = make_arrays(run, "thumbnails-a-1")
    index = table(
        CACHED,
        {"file": b"/p/a", "digest": "old", "row": 0, "thumbnail": thumbnails[0]},
        {"file": b"/p/b", "digest": "b", "row": 1, "thumbnail": thumbnails[1]},
    )
    loaded = table(
        LOADED,
        {"path": "/p/a", "digest": "new", "row": 2, "thumbnail": thumbnails[2], "validator": "2:2"},
        {"path": "/p/c", "digest": "b", "row": 2, "thumbnail": thumbnails[2], "validator": "3:3", "is_racy": True},
        {"path": "/p/d", "digest": None, "row": -1, "thumbnail": None},
    )
    write_table(loaded, LOADED, run.loaded / "part-0.parquet")
    run.lock.parent.mkdir(parents=True)
    run.lock.write_text(directory.name)

    collected = collect_loaded(run, Cache(directory, SIZE, index))

    expected = {b"/p/a": ("new", 2, "2:2"), b"/p/b": ("b", 1, "1:1"), b"/p/c": ("b", 1, "")}
    assert entries_of(collected) == expected
    assert entries_of(Cache(directory, SIZE, read_index(directory))) == expected
    assert not run.loaded.exists()


@pytest.mark.parametrize(
    ("owner", "name"), [(cv2, "__version__"), (caching, "DECODER_VERSION"), (ssim, "WORKSPACE_VERSION")]
)
def test_thumbnails_of_another_version_are_others(monkeypatch, owner, name):
    before = describe_thumbnails(Parameters(folder="/p"))
    monkeypatch.setattr(owner, name, "another")
    assert describe_thumbnails(Parameters(folder="/p")) != before


@pytest.mark.parametrize("changes", [{"size": 32}, {"resampling": "linear"}, {"decoding": "reduced"}], ids=str)
def test_thumbnails_of_other_settings_are_others(changes):
    assert describe_thumbnails(Parameters(folder="/p", **changes)) != describe_thumbnails(Parameters(folder="/p"))


def test_other_thumbnails_are_in_another_cache(run, monkeypatch):
    parameters = Parameters(folder="/p", size=SIZE)
    with lock_caches(run.home):
        first = open_cache(run, parameters).directory
        assert open_cache(run, parameters).directory == first
        monkeypatch.setattr(caching, "DECODER_VERSION", -1)
        assert open_cache(run, parameters).directory != first


def test_caches_that_nobody_uses_make_room_and_those_in_use_do_not(run):
    own, used, idle = (make_arrays(run, f"thumbnails-{name}-1")[0] for name in ("own", "used", "idle"))
    for age, directory in enumerate((idle, used)):
        ssim.settle_pixels(directory, keep=True, workers=1)
        os.utime(directory, (10**9 - 10**6 * age,) * 2)
    ssim.settle_pixels(own, keep=True, workers=1)
    one = sum(file.stat().st_blocks * 512 for file in own.glob("*.bin"))
    other = Run(run.store, "20260101T000000Z-other")

    def release(limit):
        with hold_run(run):
            run.lock.write_text(own.name)
        release_run(run, limit)
        return {directory.name.split("-")[1] for directory in (own, used, idle) if directory.exists()}

    with hold_run(other):
        other.lock.write_text(used.name)
        assert [found.run_id for found in iter_other_runs_at_work(run)] == [other.run_id]
        assert release(3 * one) == {"own", "used", "idle"}
        assert release(3 * one - 1) == {"own", "used"}
        assert release(one) == {"own", "used"}
    assert release(one) == {"own"}
    assert ssim.count_rows(own, SIZE) == 3


def test_a_cache_is_cut_back_to_what_was_used_last_and_not_while_another_run_uses_it(run):
    directory, thumbnails = make_arrays(run, "thumbnails-own-1")
    used = {b"/p/a": 2, b"/p/b": 1, b"/p/c": 3}
    entries = [
        {"file": file, "digest": file.decode(), "row": row, "thumbnail": thumbnails[row], "used_ns": used_ns}
        for row, (file, used_ns) in enumerate(used.items())
    ]
    Cache(directory, SIZE, table(CACHED, *entries)).write_index()
    other = Run(run.store, "20260101T000000Z-other")

    def release(limit):
        with hold_run(run):
            run.lock.write_text(directory.name)
        release_run(run, limit)
        rows = {row.file: row.row for row in read_index(directory).itertuples()}
        digests = ssim.open_workspace(directory).digests
        assert {file: digests[row].tobytes() for file, row in rows.items()} == {
            entry["file"]: entry["thumbnail"] for entry in entries if entry["file"] in rows
        }
        return rows, ssim.count_rows(directory, SIZE)

    two = 2 * ssim.row_bytes(SIZE)
    write_table(table(LOOKUP, {"path": "/q", "row": 1}), LOOKUP, other.lookup)
    with hold_run(other):
        other.lock.write_text(directory.name)
        assert release(two) == ({b"/p/a": 0, b"/p/b": 1, b"/p/c": 2}, 3)
    assert release(two + ssim.row_bytes(SIZE)) == ({b"/p/a": 0, b"/p/b": 1, b"/p/c": 2}, 3)
    assert release(two) == ({b"/p/a": 0, b"/p/c": 1}, 2)


def test_what_a_run_at_work_has_loaded_is_its_own_until_it_ends(run):
    directory, thumbnails = make_arrays(run, "thumbnails-a-1")
    other = Run(run.store, "20260101T000000Z-other")
    loaded = table(LOADED, {"path": "/p/a", "digest": "a", "row": 0, "thumbnail": thumbnails[0]})
    write_table(loaded, LOADED, other.loaded / "part-0.parquet")
    empty = Cache(directory, SIZE, table(CACHED))

    with hold_run(other):
        other.lock.write_text(directory.name)
        assert entries_of(collect_loaded(run, empty)) == {}
        assert other.loaded.exists()
    assert entries_of(collect_loaded(run, empty)) == {b"/p/a": ("a", 0, "1:1")}


def test_a_damaged_cache_is_removed_but_not_while_a_run_uses_it(run):
    parameters = Parameters(folder="/p", size=SIZE)
    other = Run(run.store, "20260101T000000Z-other")
    with lock_caches(run.home):
        damaged = open_cache(run, parameters).directory
        next(damaged.glob("*.bin")).unlink()
        with hold_run(other):
            other.lock.write_text(damaged.name)
            another = open_cache(run, parameters).directory
            assert another != damaged
            assert damaged.exists()
        shutil.rmtree(another)
        assert open_cache(run, parameters).directory != damaged
    assert not damaged.exists()


def is_held(home):
    with (home / "lock").open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_rows_are_given_away_by_one_at_a_time(run):
    entered = threading.Event()

    def enter():
        with lock_caches(run.home):
            entered.set()

    with lock_caches(run.home):
        assert is_held(run.home)
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(10)
    thread.join()
    assert not is_held(run.home)


def test_a_file_that_changed_within_a_tick_of_fats_clock_before_it_was_listed_is_not_trusted(run, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    started = time.monotonic()
    (folder / "a.png").write_bytes(tiny_png(0))

    list_files.fn(run, Parameters(folder=str(folder)))

    (is_racy,) = read_table(run.listing, LISTING)["is_racy"]
    # FAT's clock ticks every two seconds.
    assert is_racy or time.monotonic() - started > 2


def refusing(code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_store_whose_file_system_has_no_locks_is_refused_with_the_remedy(code, run, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", refusing(code))
    for hold in (hold_run(run), lock_caches(run.home), open_local_log(run.home / "journal")):
        with pytest.raises(StoreError, match=r"cannot be locked.*--store or IMAGETWINS_STORE"), hold:
            pass


def test_a_store_whose_file_system_maps_no_files_is_refused_with_the_remedy(run, monkeypatch):
    directory, _ = make_arrays(run, "thumbnails-a-1")
    monkeypatch.setattr(mmap, "mmap", refusing(errno.ENODEV))
    with pytest.raises(StoreError, match=r"cannot be mapped into memory \(No such device\).*IMAGETWINS_STORE"):
        ssim.open_workspace(directory, write=True)


def test_a_store_whose_file_system_makes_no_large_files_is_refused_with_the_remedy(run):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As FAT does above 4 GB. The signal that goes with a limit of the process is ignored in Python.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot have holes or .* bytes \(File too large\).*IMAGETWINS_STORE"):
            ssim.create_workspace(run.home / "cache/thumbnails-a-1", 1000, SIZE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
