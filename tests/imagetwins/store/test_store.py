"""A file of the store is whole or not there; runs are found by their ids."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imagetwins.errors import StoreError
from imagetwins.storage import storage_of
from imagetwins.storage.location import from_columns, to_columns
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run, find_run, list_runs
from imagetwins.store.schemas import LISTING
from imagetwins.store.tables import as_frame, read_table, write_table
from tests.support.past_runs import make_record
from tests.support.syscalls import intercepted

LISTED = {
    "image": [0, 1],
    "path": ["/f/a.png", "/f/b.png"],
    "path_bytes": [None, None],
    "size_bytes": [1, 2],
    "mtime_ns": [3, 2**62],
    "is_reference": [False, True],
    "error": [None, "no image"],
    "validator": ["4:6", "5:7"],
    "is_racy": [False, True],
}


def make_run(store, run_id, **record):
    run = Run(store, run_id)
    run.write_record(make_record(run_id, **record))
    return run


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "table"
    target.write_text("old")

    def write_half():
        with storage_of(target).writing(target) as temporary:
            temporary.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["table"]
    assert target.read_text() == "old"


def test_a_kill_while_writing_leaves_nothing_that_is_read_as_a_table(tmp_path):
    table = tmp_path / "images"
    write_table(as_frame(LISTED, LISTING), LISTING, table / "part-0.parquet")
    program = (
        "import sys, time, pathlib\n"
        "from imagetwins.storage import storage_of\n"
        "with storage_of(pathlib.Path(sys.argv[1])).writing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'PAR1 half')\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(table / "part-1.parquet")], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"half\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert len(list(table.iterdir())) == 2
    assert len(read_table(table, LISTING)) == 2


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path):
    flushed = {}

    def note(name, call, arguments):
        if name == "fsync":
            path = Path(f"/proc/self/fd/{arguments[0]}").readlink()
            flushed[path] = path.read_bytes()
        if name == "replace":
            assert flushed[Path(arguments[0])] == b"whole"
        return call(*arguments)

    with intercepted(note), storage_of(tmp_path / "table").writing(tmp_path / "table") as temporary:
        temporary.write_bytes(b"whole")
    assert flushed


def test_a_table_reads_as_it_was_written_and_nulls_keep_integers(tmp_path):
    frame = as_frame(LISTED, LISTING)
    write_table(frame, LISTING, tmp_path / "run_id=x" / "part.parquet")
    read = read_table(tmp_path / "run_id=x", LISTING)
    assert read.equals(frame)
    assert read["mtime_ns"].tolist() == [3, 2**62]


def test_missing_and_foreign_tables_are_clear_errors(tmp_path):
    with pytest.raises(StoreError, match="no table in"):
        read_table(tmp_path, LISTING)
    (tmp_path / "part.parquet").write_bytes(b"not Parquet")
    with pytest.raises(StoreError, match=r"part\.parquet is not a table that this version reads"):
        read_table(tmp_path, LISTING)


@pytest.mark.parametrize("name", [b"/f/plain.png", "/f/ü 图.png".encode(), b"/f/caf\xe9.png", rb"/f/caf\xe9.png"])
def test_every_file_name_survives_its_columns(name):
    path = Path(os.fsdecode(name))
    text, raw = to_columns(path)
    assert os.fsencode(from_columns(text, raw)) == name
    assert text.encode("utf-8")


def test_a_run_is_found_by_id_by_beginning_and_as_the_latest(tmp_path):
    for run_id in ("20260101T000000Z-aa", "20260102T000000Z-bb", "20260102T000001Z-cc"):
        make_run(tmp_path, run_id)
    assert [run.run_id[-2:] for run in list_runs(tmp_path)] == ["aa", "bb", "cc"]
    assert find_run(tmp_path, "20260102T000000Z-bb").run_id.endswith("bb")
    assert find_run(tmp_path, "20260101").run_id.endswith("aa")
    assert find_run(tmp_path, "latest").run_id.endswith("cc")
    with pytest.raises(StoreError, match="beginning of 2 runs"):
        find_run(tmp_path, "20260102")
    with pytest.raises(StoreError, match="no run 'T000000Z-aa'"):
        find_run(tmp_path, "T000000Z-aa")
    with pytest.raises(StoreError, match=r"no run 'x'.*its latest runs: .*cc"):
        find_run(tmp_path, "x")


def test_the_latest_of_an_empty_store_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="none"):
        find_run(tmp_path, "latest")


def test_updating_a_record_keeps_the_rest(tmp_path):
    run = make_run(tmp_path, "r", status="running", counts={"images": 3})
    with run.editing_record() as record:
        record.status = RunStatus.COMPLETED
    assert run.read_record() == make_record("r", status="completed", counts={"images": 3})
