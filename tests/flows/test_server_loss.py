"""Prefect's server goes away in the middle of a run: the work is done, the tables are whole, and a sentence says so."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import skimage.data

from imagetwins.moving.journal import read_journal
from imagetwins.store.runs import list_runs
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support.network import Line
from tests.support.service import slow_disk

COPIES = 30
SECONDS = 120


@dataclass
class Lost:
    """A run whose server went away when the first file like `sign` was in its store."""

    home: Path
    slow_files: str
    sign: str
    code: int = -1
    shown: str = ""
    said: str = ""

    @property
    def folder(self):
        return self.home / "copies"

    @property
    def store(self):
        return self.home / "store"

    def make_folder(self):
        """Make copies of one photograph."""
        self.folder.mkdir(parents=True)
        cv2.imwrite(str(self.folder / "00.png"), cv2.resize(skimage.data.astronaut(), (48, 48)))
        for number in range(1, COPIES):
            shutil.copy(self.folder / "00.png", self.folder / f"{number:02}.png")

    def run(self, port):
        line = Line(port)
        command = [
            Path(sys.executable).with_name("imagetwins"),
            "run",
            self.folder,
            "--store",
            self.store,
            "--size",
            "32",
        ]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS"))}
        environment = clean | slow_disk(self.folder, self.slow_files) | {"PREFECT_API_URL": f"{line.url}/api"}
        # Else Prefect tries for a minute, and again, to say at the end that the run has ended.
        quick = {"PREFECT_CLIENT_MAX_RETRIES": "1", "PREFECT_HOME": str(self.home / "prefect")}
        process = subprocess.Popen(
            command, env=environment | quick, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: list(self.store.glob(self.sign)), process)
        line.cut()
        self.shown, self.said = process.communicate(timeout=SECONDS)
        self.code = process.returncode


@pytest.fixture(scope="module")
def lost(service, tmp_path_factory):
    """A run that lost its server in each of three stages: side by side, since each waits for it ten seconds and more."""
    runs = {
        "load": Lost(tmp_path_factory.mktemp("load"), "cache/", "cache/*"),
        "score": Lost(tmp_path_factory.mktemp("score"), "run.json", "comparisons/*/*"),
        "move": Lost(tmp_path_factory.mktemp("move"), "journal.jsonl", "runs/*/journal.jsonl"),
    }
    for one in runs.values():
        one.make_folder()
    with ThreadPoolExecutor(len(runs)) as pool:
        [*pool.map(lambda one: one.run(service.port), runs.values())]
    return runs


def wait_for(what, process):
    deadline = time.monotonic() + SECONDS
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("stage", ["load", "score", "move"])
def test_a_run_goes_on_without_the_server_and_ends_with_a_sentence(lost, stage):
    ended = lost[stage]
    assert ended.code == 1, ended.said
    assert "The run goes on without it" in " ".join(ended.said.split())
    assert "Traceback" not in ended.said + ended.shown
    assert f"{COPIES - 1} moved" in ended.shown
    (run,) = list_runs(ended.store)
    assert "Failed: Prefect's server did not answer to the end" in ended.said
    assert f"`imagetwins audit {run.run_id}`" in " ".join(ended.said.split())
    assert {transfer.state for transfer in read_journal(run.journal)} == {"done"}
    decisions = read_table(run.decisions, DECISIONS)
    assert (decisions["action"] == "moved").sum() == COPIES - 1
    assert len(list((ended.folder / "Duplicates").glob("*.png"))) == COPIES - 1
    assert run.report.exists()


def test_what_was_moved_without_the_server_is_put_back(lost, service):
    ended = lost["move"]
    (run,) = list_runs(ended.store)
    restored = service.imagetwins("restore", run.run_id, "--store", ended.store)
    assert restored.returncode == 0, restored.stderr
    assert len(list(ended.folder.glob("*.png"))) == COPIES
