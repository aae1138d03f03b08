"""A run that is killed or interrupted while it moves: nothing lost, nothing twice, and the next run says what was done."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from prefect.client.schemas.filters import LogFilter
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from flows.restore import restore
from imagetwins.moving.journal import read_journal
from imagetwins.storage import MARKER
from imagetwins.store.runs import Run, list_runs
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.flows import deduplicate
from tests.support.service import JOURNAL, slow_disk

pytestmark = pytest.mark.usefixtures("prefect_server")

SHM = Path("/dev/shm")  # noqa: S108 - another device than the temporary folder's
COPIES = 400
MOVED_FIRST = 20
STEPS = {"Running", "Completed", "Failed", "Crashed", "Cancelled"}
PROGRAM = """
import signal, sys
from imagetwins.cli.app import main

# A shell's background jobs, and so tests that run as one, hand on that Ctrl-C is to be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "imagetwins"
main()
"""
"""Our command line in the foreground."""


def make_folder(home):
    """Make many copies of one photograph, so that moving them takes a while, and one other photograph."""
    home.mkdir()
    small = cv2.resize(skimage.data.astronaut(), (48, 48))
    cv2.imwrite(str(home / "000.png"), small)
    for number in range(1, COPIES):
        shutil.copy(home / "000.png", home / f"{number:03}.png")
    cv2.imwrite(str(home / "other.png"), np.fliplr(cv2.resize(skimage.data.chelsea(), (48, 48))))
    return home


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "copies")


def digests(*folders):
    return Counter(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    )


def interrupt(folder, store, number, *more, aside=None):
    """Start a run on a slow disk, and send it the signal `number` once it has moved some files; return its end."""
    arguments = ["run", str(folder), *map(str, more), "--store", str(store), "--size", "32"]
    # Any file that exists says that the disk is slow.
    environment = os.environ | slow_disk(folder, JOURNAL) | {"PREFECT_API_URL": PREFECT_API_URL.value()}
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    wait_for_moves(aside or folder / "Duplicates")
    program.send_signal(number)
    output, _ = program.communicate(timeout=180)
    return program.returncode, output.decode()


def wait_for_moves(moved):
    deadline = time.monotonic() + 180
    while not moved.exists() or len(list(moved.glob("[!.]*"))) < MOVED_FIRST:
        assert time.monotonic() < deadline, "the run does not move"
        time.sleep(0.01)


def test_a_killed_run_loses_nothing_and_the_next_finishes_it(folder, tmp_path):
    before, store = digests(folder), tmp_path / "store"
    code, output = interrupt(folder, store, signal.SIGKILL)
    assert code == -signal.SIGKILL, output
    assert digests(folder) == before
    summary = deduplicate(str(folder), size=32, store=str(store))
    assert digests(folder) == before
    killed, finished = list_runs(store)
    assert killed.read_record().status == "interrupted"
    done = killed.read_record().counts["moved"]
    assert MOVED_FIRST <= done < COPIES - 1
    assert summary["moved"] == COPIES - 1 - done
    assert sorted(path.name for path in folder.glob("*.png")) == ["000.png", "other.png"]
    decisions = read_table(killed.decisions, DECISIONS)
    assert all(Path(path).exists() for path in decisions.loc[decisions["action"] == "moved", "NewPath"])
    for run in (finished, killed):
        assert restore(run.run_id, str(store))["not_restored"] == {}
    assert sorted(path.name for path in folder.rglob("*.png")) == sorted(
        [*(f"{number:03}.png" for number in range(COPIES)), "other.png"]
    )
    assert not (folder / "Duplicates").exists()
    assert digests(folder) == before


def test_a_run_killed_on_the_way_to_another_device_is_finished_by_a_run_on_one_of_its_folders(folder, tmp_path):
    other, store = tmp_path / "other", tmp_path / "store"
    other.mkdir()
    for number in range(0, COPIES, 2):
        (folder / f"{number:03}.png").rename(other / f"{number:03}.png")
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as away:
        aside = Path(away) / "aside"
        everywhere = folder, other, Path(away)
        before, listed = digests(*everywhere), sorted(path for path in tmp_path.rglob("*.png"))
        code, output = interrupt(folder, store, signal.SIGKILL, other, "--into", aside, aside=aside / "copies")
        assert code == -signal.SIGKILL, output
        # What was copied is removed where it was once the copy is on the disk: for a moment there are two.
        assert set(digests(*everywhere)) == set(before)

        summary = deduplicate(str(other), size=32, store=str(store), into=str(aside))

        assert digests(*everywhere) == before
        killed, finished = list_runs(store)
        assert killed.read_record().status == "interrupted"
        assert killed.read_record().counts["moved"] >= MOVED_FIRST
        assert finished.read_record().pairs_from == killed.run_id
        assert summary["moved"] == COPIES // 2 - 1
        decisions = read_table(killed.decisions, DECISIONS)
        moved = decisions.loc[decisions["action"] == "moved"]
        assert all(Path(path).exists() for path in moved["NewPath"])
        assert set(moved["NewPath"].map(os.path.dirname)) == {f"{aside}/copies"}
        for run in (finished, killed):
            assert restore(run.run_id, str(store))["not_restored"] == {}
        assert sorted(path for path in tmp_path.rglob("*.png")) == listed
        assert digests(*everywhere) == before
        assert not aside.exists()


def test_cancel_in_the_ui_stops_between_two_moves(service, folder):
    before = digests(folder)
    with service.slow_moves():
        flow_run = service.start_run(folder=str(folder), size=32)
        wait_for_moves(folder / "Duplicates")
        with service.client() as client:
            client.set_flow_run_state(flow_run, Cancelling())
        service.wait_for(flow_run, "Cancelled")
    run = check_interrupted(folder, before, service.store / "runs", str(flow_run).replace("-", "")[:8])
    wait_for_log(service, flow_run, how_to_go_on(run))


def kill(flow_run, seconds=60):
    """Kill the process of a flow run, as the system does that has no memory left."""
    deadline = time.monotonic() + seconds
    sought = f"PREFECT__FLOW_RUN_ID={flow_run}".encode()
    while True:
        for environment in Path("/proc").glob("[0-9]*/environ"):
            # It has ended, or is somebody else's.
            with suppress(OSError):
                if sought in environment.read_bytes().split(b"\0"):
                    os.kill(int(environment.parent.name), signal.SIGKILL)
                    return
        assert time.monotonic() < deadline, "the run has no process"
        time.sleep(0.05)


def states_of(service, flow_run):
    with service.client() as client:
        return [state.name for state in sorted(client.read_flow_run_states(flow_run), key=lambda one: one.timestamp)]


def wait_for_steps(service, flow_run, names, seconds=120):
    """Wait until the run has begun and ended as `names` say; what a server sets in between, once or twice, tells of no process."""
    deadline = time.monotonic() + seconds
    while [name for name in states_of(service, flow_run) if name in STEPS][: len(names)] != names:
        assert time.monotonic() < deadline, (states_of(service, flow_run), service.log())
        time.sleep(0.2)


def test_a_run_whose_process_dies_is_tried_once_more_and_if_it_dies_again_a_person_is_told(service, folder, tmp_path):
    # Side by side, since some ten seconds lie between a death and the next try; in stores of their own.
    before, unlucky = digests(folder), make_folder(tmp_path / "unlucky")
    with service.slow_moves():
        once = service.start_run(folder=str(folder), size=32)
        twice = service.start_run(folder=str(unlucky), size=32, store=str(tmp_path / "store"))
        for flow_run, place in ((once, folder), (twice, unlucky)):
            wait_for_moves(place / "Duplicates")
            kill(flow_run)
        wait_for_steps(service, twice, ["Running", "Crashed", "Running"])
        assert "AwaitingRetry" in states_of(service, twice)
        kill(twice)
    check_finished(service, once, folder, before)
    wait_for_steps(service, twice, ["Running", "Crashed", "Running", "Crashed"])
    assert "Crashed" in wait_until_told(service, twice)
    assert states_of(service, twice)[-1] == "Crashed"


def check_finished(service, flow_run, folder, before):
    """The second try of a run ends what the first began, and a person is told once."""
    wait_for_steps(service, flow_run, ["Running", "Crashed", "Running", "Completed"])
    assert "AwaitingRetry" in states_of(service, flow_run)
    assert digests(folder) == before
    (place,) = (service.store / "runs").glob(f"*{str(flow_run).replace('-', '')[:8]}")
    run = Run(service.store, place.name)
    assert (run.read_record().status, run.read_record().counts["moved"]) == ("completed", COPIES - 1)
    # The move that was interrupted may have been given up, and made again.
    assert Counter(one.state for one in read_journal(run.journal) if one.state != "void") == {"done": COPIES - 1}
    assert sorted(path.name for path in folder.glob("*.png")) == ["000.png", "other.png"]
    assert f"{COPIES - 1} moved" in wait_until_told(service, flow_run)


def wait_until_told(service, flow_run, seconds=60):
    """Wait for the one message about a run, and return it."""
    deadline = time.monotonic() + seconds
    while not (told := [text for text in service.messages if str(flow_run) in text]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (message,) = told
    return message


def how_to_go_on(run):
    moved = run.read_record().counts["moved"]
    return f"Interrupted after {moved} moves. Start another run to go on, or undo them: imagetwins restore {run.run_id}"


def wait_for_log(service, flow_run, text, seconds=60):
    """The log comes in parcels, and the last one after the end."""
    deadline = time.monotonic() + seconds
    chosen = LogFilter(flow_run_id={"any_": [flow_run]})
    with service.client() as client:
        while text not in (said := "\n".join(one.message for one in client.read_logs(chosen))):
            assert time.monotonic() < deadline, said
            time.sleep(0.3)


def test_ctrl_c_stops_between_two_moves_and_says_how_to_go_on(folder, tmp_path):
    before, store = digests(folder), tmp_path / "store"
    code, output = interrupt(folder, store, signal.SIGINT)
    assert code == 1, output
    run = check_interrupted(folder, before, store / "runs", "")
    assert f"{how_to_go_on(run)} --store {store}" in " ".join(output.split())


def check_interrupted(folder, before, runs, suffix):
    """Nothing is lost, no move is half done, and the tables say what became of each file; return the run."""
    assert digests(folder) == before
    (place,) = runs.glob(f"*{suffix}")
    run = Run(runs.parent, place.name)
    assert run.read_record().status == "interrupted"
    transfers = read_journal(run.journal)
    assert len(transfers) < COPIES - 1
    assert {transfer.state for transfer in transfers} == {"done"}
    decisions = read_table(run.decisions, DECISIONS)
    assert (decisions["action"] == "moved").sum() == len(transfers) == run.read_record().counts["moved"]
    assert (decisions["action"] == "not moved").sum() == COPIES - 1 - len(transfers)
    return run
