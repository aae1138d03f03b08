"""Prefect's server goes away in the middle of a run: the work is done, the tables are whole, and a sentence says so."""

import os
import shutil
import subprocess
import sys
import time
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


@pytest.fixture
def folder(tmp_path):
    """Copies of one photograph."""
    home = tmp_path / "copies"
    home.mkdir()
    cv2.imwrite(str(home / "00.png"), cv2.resize(skimage.data.astronaut(), (48, 48)))
    for number in range(1, COPIES):
        shutil.copy(home / "00.png", home / f"{number:02}.png")
    return home


def wait_for(what, process):
    deadline = time.monotonic() + SECONDS
    while not what():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("slow_files", "sign"),
    [("cache/", "cache/*"), ("run.json", "comparisons/*/*"), ("journal.jsonl", "runs/*/journal.jsonl")],
    ids=["load", "score", "move"],
)
def test_a_run_goes_on_without_the_server_and_ends_with_a_sentence(service, folder, tmp_path, slow_files, sign):
    store, line = tmp_path / "store", Line(service.port)
    command = [Path(sys.executable).with_name("imagetwins"), "run", folder, "--store", store, "--size", "32"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IMAGETWINS"))}
    environment = clean | slow_disk(folder, slow_files) | {"PREFECT_API_URL": f"{line.url}/api"}
    # Else Prefect tries for a minute, and again, to say at the end that the run has ended.
    quick = {"PREFECT_CLIENT_MAX_RETRIES": "1", "PREFECT_HOME": str(tmp_path / "prefect")}
    process = subprocess.Popen(
        command, env=environment | quick, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: list(store.glob(sign)), process)
    line.cut()
    shown, said = process.communicate(timeout=SECONDS)

    assert process.returncode == 1, said
    assert "The run goes on without it" in " ".join(said.split())
    assert "Traceback" not in said + shown
    assert f"{COPIES - 1} moved" in shown
    (run,) = list_runs(store)
    assert "Failed: Prefect's server did not answer to the end" in said
    assert f"`imagetwins audit {run.run_id}`" in " ".join(said.split())
    assert {transfer.state for transfer in read_journal(run.journal)} == {"done"}
    decisions = read_table(run.decisions, DECISIONS)
    assert (decisions["action"] == "moved").sum() == COPIES - 1
    assert len(list((folder / "Duplicates").glob("*.png"))) == COPIES - 1
    assert run.report.exists()
    if sign.endswith("journal.jsonl"):
        restored = service.imagetwins("restore", run.run_id, "--store", store)
        assert restored.returncode == 0, restored.stderr
        assert len(list(folder.glob("*.png"))) == COPIES
