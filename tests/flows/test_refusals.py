"""A run that moved nothing of what it should is no success, whoever asks; one that moved some of it says how many it did not."""

import json
import re
import shutil

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.reporting.advice import count_open
from imagetwins.store.runs import find_run
from imagetwins.store.schemas import IMAGES
from imagetwins.store.tables import read_table
from tests.support.pictures import encode, photo
from tests.support.syscalls import intercepted

pytestmark = pytest.mark.usefixtures("prefect_server")


def invoke(*arguments, code):
    shown = CliRunner().invoke(app, list(map(str, arguments)))
    assert shown.exit_code == code, shown.output
    return shown


@pytest.fixture
def folder(tmp_path):
    """A picture, and two copies of it in folders of their own."""
    home = tmp_path / "pictures"
    for name in ("a.png", "b/1.png", "c/1.png"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(encode(photo(), "PNG"))
    return home


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def block(place):
    """Have something that is no folder lie where duplicates are to go: whoever runs the tests, root too, cannot move them there."""
    place.parent.mkdir(exist_ok=True)
    place.write_text("in the way")


def test_where_nothing_moves_the_command_its_record_and_its_flow_fail(folder, store):
    block(folder / "Duplicates/b")
    block(folder / "Duplicates/c")
    shown = invoke("run", folder, "--store", store, "--size", 16, "--json", "--fail-on-duplicates", code=1)
    answer = json.loads(shown.stdout)
    assert (answer["status"], answer["moved"], answer["not_moved"], answer["duplicates"]) == ("failed", 0, 2, 2)
    assert list(answer["not_moved_why"].values()) == [2]
    assert "None of the 2 pictures that should have moved has" in answer["error"]
    assert f"imagetwins doctor {folder}" in answer["error"]
    assert shown.stderr.splitlines()[-1] == f"Failed: {answer['error']}"

    run = find_run(store, "latest")
    record = run.read_record()
    assert (record.status, record.error, record.counts["not_moved"]) == ("failed", answer["error"], 2)
    assert answer["error"] in run.report.read_text()
    assert count_open(record) == 0
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(record.flow_run_id)
        found = client.read_artifacts(flow_run_filter=FlowRunFilter(id={"any_": [record.flow_run_id]}))
    assert (flow_run.state.type, answer["error"] in flow_run.state.message) == ("FAILED", True)
    summary = next(artifact.data for artifact in found if artifact.key == "imagetwins-summary")
    assert "None of the 2 pictures" in summary
    assert re.search(r"not moved \| 2 \|", summary)

    # All that was compared is there, for whoever acts on it once nothing is in the way.
    invoke("apply", run.run_id, "--threshold", 0.95, "--store", store, "--json", code=1)
    shutil.rmtree(folder / "Duplicates")
    invoke("apply", run.run_id, "--threshold", 0.95, "--store", store, "--json", code=0)
    assert (folder / "Duplicates/b/1.png").exists()


def refuse_sidecars(name, call, arguments):
    if name != "write" and ".xmp" in str(arguments):
        raise PermissionError(13, "Permission denied", "1.xmp")
    return call(*arguments)


def test_where_some_do_not_move_the_last_line_counts_them(folder, store):
    block(folder / "Duplicates/b")
    for name in ("a.xmp", "c/1.xmp"):
        (folder / name).write_text("what was done to it")
    with intercepted(refuse_sidecars):
        shown = invoke("run", folder, "--store", store, "--size", 16, "--json", code=1)
    answer = json.loads(shown.stdout)
    assert (answer["status"], answer["moved"], answer["not_moved"], "error" in answer) == ("completed", 1, 1, False)
    assert (answer["companions"], answer["companions_not_moved"]) == (0, 1)
    said = shown.stderr.splitlines()[-1]
    assert "Not all was done: 1 of 2 pictures that should have moved has not and 1 file that belongs to moved" in said
    assert "Permission denied: 1.xmp (1)" in said
    assert "1 of 2 pictures" in invoke("audit", answer["run_id"], "--store", store, code=0).stdout

    # The next run has one left to move; it takes over what this one compared.
    again = json.loads(invoke("run", folder, "--store", store, "--size", 16, "--json", code=1).stdout)
    assert (again["status"], again["not_moved"]) == ("failed", 1)
    assert find_run(store, again["run_id"]).read_record().pairs_from == answer["run_id"]
    (folder / "Duplicates/b").unlink()
    last = json.loads(invoke("run", folder, "--store", store, "--size", 16, "--json", code=0).stdout)
    assert (last["status"], last["moved"], last["not_moved"]) == ("completed", 1, 0)
    assert find_run(store, last["run_id"]).read_record().pairs_from == again["run_id"]


def test_choices_that_move_nothing_fail_and_are_answered_all_the_same(folder, store, tmp_path):
    look = json.loads(invoke("run", folder, "--dry-run", "--store", store, "--size", 16, "--json", code=0).stdout)
    assert (look["status"], look["not_moved"]) == ("completed", 0)
    paths = list(read_table(find_run(store, look["run_id"]).images, IMAGES)["path"])
    names = [path.removeprefix(f"{folder}/") for path in paths]
    move = {"image": names.index("b/1.png"), "path": "b/1.png", "kept": names.index("a.png"), "kept_path": "a.png"}
    chosen = tmp_path / "choices.json"
    chosen.write_text(json.dumps({"run_id": look["run_id"], "move": [move], "not_duplicates": []}))
    block(folder / "Duplicates/b")
    shown = invoke("apply", look["run_id"], "--choices", chosen, "--store", store, "--json", code=1)
    answer = json.loads(shown.stdout)
    assert (answer["status"], answer["moved"], answer["not_moved"]) == ("failed", 0, 1)
    assert [one["path"] for one in answer["not_done"]] == ["b/1.png"]
    assert "The only picture that should have moved has not" in shown.stderr.splitlines()[-1]
