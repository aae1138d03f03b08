"""Whether a person is asked, and what the answer does: as a rule on tables, and in runs that wait."""

import io
import json
import time
from contextvars import copy_context
from threading import Timer

import cv2
import pytest
import skimage.data
from prefect import get_client
from prefect.input.run_input import keyset_from_base_key
from prefect.states import Cancelling, Suspended
from rich.console import Console
from typer.testing import CliRunner

from flows.deduplicate import deduplicate
from imagetwins.cli.app import app
from imagetwins.cli.rendering import ask_in_terminal
from imagetwins.config.parameters import Parameters
from imagetwins.matching.approval import Answer, Question, apply_answer, find_left_alone, plan_approval
from imagetwins.matching.decisions import decide
from imagetwins.runtime import approval as flow_approval
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS, IMAGES
from imagetwins.store.tables import write_table
from tests.support.past_runs import comparison_table, image_table

PATHS = ["/pictures/a.jpg", "/pictures/b.jpg", "/pictures/sub/c d.jpg", "/pictures/e.jpg", "/pictures/f.jpg"]
SCORES = {(0, 1): (0.99, 0.98), (0, 2): (0.95, 0.9), (3, 4): (0.97, 0.3)}
"""b and c are copies of a; f resembles e where there is nothing to see."""


def decisions_of(**parameters):
    asked = Parameters(folder="/pictures", **parameters)
    return decide(image_table(PATHS), comparison_table(SCORES), asked), asked


def actions(decisions):
    return dict(zip(decisions["FileName"], decisions["action"], strict=True))


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [
        ({"approval": "never"}, None),
        ({"approval": "always"}, Question(moves=2, doubtful=1)),
        ({"approval": "review"}, Question(moves=2, doubtful=1)),
        ({"approval": "review", "min_detail_ssim": -1.0}, None),
        ({"approval": "review", "min_detail_ssim": -1.0, "max_move_share": 0.2}, Question(moves=3, doubtful=0)),
        ({"approve_above": 1}, Question(moves=2, doubtful=1)),
        ({"approve_above": 2}, None),
        ({"approval": "always", "threshold": 0.999}, None),
    ],
)
def test_who_is_asked_about_what(parameters, asked):
    assert plan_approval(*decisions_of(**parameters)) == asked


def test_an_approval_moves_all_but_the_doubtful_and_what_is_left_alone():
    decisions, _ = decisions_of(approval="always")
    answered = apply_answer(decisions, Answer(True, ["sub/c d.jpg"], "mine"), "/pictures")
    expected = {"a.jpg": "kept", "b.jpg": "would move", "c d.jpg": "not moved", "e.jpg": "kept", "f.jpg": "review"}
    assert actions(answered) == expected
    assert answered["reason"][2] == "left alone by the person asked: mine"


def test_an_approval_moves_what_the_share_held_back():
    decisions, _ = decisions_of(max_move_share=0.1)
    assert actions(decisions)["b.jpg"] == "review"
    assert actions(apply_answer(decisions, Answer(True), "/pictures"))["b.jpg"] == "would move"


def test_without_an_approval_nothing_moves():
    decisions, _ = decisions_of(approval="always")
    answered = apply_answer(decisions, Answer(False, comment="not today"), "/pictures")
    assert "would move" not in set(answered["action"])
    assert answered["reason"][1] == "not approved: not today"


def test_names_to_leave_alone_may_be_copied_from_the_gallery():
    decisions, _ = decisions_of()
    names = ["/pictures/b.jpg", "sub/\u200bc d.jpg", "a.jpg", "nobody.jpg"]
    found = find_left_alone(decisions, Answer(True, names), "/pictures")
    assert found == ([1, 2], ["a.jpg", "nobody.jpg"]), "a stays anyway"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    image = cv2.cvtColor(skimage.data.chelsea(), cv2.COLOR_RGB2BGR)
    for name, quality in (("a.jpg", 95), ("b.jpg", 90), ("c.jpg", 85)):
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return folder


def moved(folder):
    return {path.name for path in (folder / "Duplicates").glob("*")}


def record_of(service, run):
    return json.loads(next(service.store.glob(f"runs/*-{run.hex[:8]}/run.json")).read_text())


@pytest.mark.usefixtures("prefect_server")
def test_a_run_in_the_terminal_asks_there_and_nobody_means_no(pictures, tmp_path):
    asked = {"approval": "always", "store": str(tmp_path / "store")}
    assert deduplicate(str(pictures), **asked)["moved"] == 0
    token = flow_approval.asker.set(lambda _, question: Answer(question.moves == 2, ["c.jpg"]))
    try:
        assert deduplicate(str(pictures), **asked)["moved"] == 1
    finally:
        flow_approval.asker.reset(token)
    assert moved(pictures) == {"b.jpg"}


def test_the_terminal_asks_which_files_to_leave_alone(tmp_path, monkeypatch):
    decisions, asked = decisions_of(approval="always")
    run = Run(tmp_path, "20260101T000000Z-00000000")
    write_table(image_table(PATHS), IMAGES, run.images / "part-0.parquet")
    write_table(decisions, DECISIONS, run.decisions / "part-0.parquet")
    told = {"run_id": run.run_id, "status": "running", "counts": {}, "funnel": {}, "seconds": {}}
    run.write_record(told | {"parameters": asked.model_dump()})
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nnobody.jpg\nsub/c d.jpg\n\n"))
    shown = Console(file=io.StringIO(), width=200)
    answer = ask_in_terminal(shown, run, plan_approval(decisions, asked))
    assert answer == Answer(True, ["sub/c d.jpg"])
    assert "'nobody.jpg' is none of the files to move" in shown.file.getvalue()


@pytest.mark.usefixtures("prefect_server")
def test_a_waiting_run_is_answered_from_the_command_line(service, pictures):
    run = service.start_run(folder=str(pictures), approval="review", max_move_share=0.2)
    service.wait_for_question(run)
    name = record_of(service, run)["run_id"]
    approve = ["approve", name, "--store", str(service.store), "--leave"]
    unknown = CliRunner().invoke(app, [*approve, "nobody.jpg"])
    assert (unknown.exit_code, "nobody.jpg" in unknown.stderr) == (2, True)
    assert CliRunner().invoke(app, [*approve, "b.jpg", "--comment", "fine"]).exit_code == 0
    service.wait_for(run, "Completed")
    assert moved(pictures) == {"c.jpg"}
    assert record_of(service, run)["approval"]["comment"] == "fine"


@pytest.fixture
def deployment():
    with get_client(sync_client=True) as client:
        identity = client.create_deployment(client.create_flow(deduplicate), "asks")
        yield identity
        client.delete_deployment(identity)


@pytest.mark.usefixtures("prefect_server")
def test_an_answer_that_comes_before_its_form_waits_for_it(deployment, tmp_path):
    keys = keyset_from_base_key("approval")
    asks = Suspended(timeout_seconds=60, pause_key="approval-1")
    asks.state_details.run_input_keyset = keys
    with get_client(sync_client=True) as client:
        suspended = client.create_flow_run_from_deployment(deployment, state=asks).id
        told = {"run_id": "20260101T000000Z-00000000", "status": "waiting", "flow_run_id": str(suspended)}
        run = Run(tmp_path, told["run_id"])
        write_table(decisions_of()[0], DECISIONS, run.decisions / "part-0.parquet")
        run.write_record(told | {"parameters": {"folder": "/pictures"}, "counts": {}, "funnel": {}, "seconds": {}})
        late = Timer(1, copy_context().run, [flow_approval.Approval.save, keys, suspended])
        late.start()
        flow_approval.send_answer(run, flow_approval.Approval(approve=True, comment="early"))
        late.join()
        assert client.read_flow_run(suspended).state.name == "Resuming"
        assert flow_approval.Approval.load(keys, suspended).comment == "early"


@pytest.mark.usefixtures("prefect_server")
def test_an_answer_that_names_no_file_is_asked_for_again_and_a_later_run_takes_the_place(service, pictures):
    run = service.start_run(folder=str(pictures), approval="always")
    service.wait_for_question(run)
    with service.client() as client:
        client.resume_flow_run(run, run_input={"approve": True, "leave_alone": ["typo.jpg"]})
        wait_until_asked_again(client, run)
        assert moved(pictures) == set()
        deduplicate(str(pictures), dry_run=True, store=str(service.store))
        assert record_of(service, run)["status"] == "superseded"
        client.resume_flow_run(run, run_input={"approve": True})
    failed = service.wait_for(run, "Failed")
    assert "superseded" in failed.state.message
    assert moved(pictures) == set()


def wait_until_asked_again(client, run, seconds=180):
    deadline = time.monotonic() + seconds
    while [state.name for state in client.read_flow_run_states(run)].count("Suspended") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_when_the_time_is_up_nothing_moves(service, pictures):
    run = service.start_run(folder=str(pictures), approval="always", approval_hours=1 / 3600)
    # A slow test may look only when it is over.
    service.wait_for(run, "Suspended", "Failed")
    failed = service.wait_for(run, "Failed")
    assert "never resumed" in failed.state.message
    assert moved(pictures) == set()
    name, until = (record_of(service, run)[key] for key in ("run_id", "waits_until"))
    assert f"not answered by {until}; nothing was moved" in " ".join(service.imagetwins("audit", name).stdout.split())
    assert record_of(service, run)["status"] == "expired"


def test_a_run_that_is_cancelled_while_it_waits_says_so(service, pictures):
    run = service.start_run(folder=str(pictures), approval="always")
    service.wait_for(run, "Suspended")
    name = record_of(service, run)["run_id"]
    assert service.imagetwins("audit", name).returncode == 0
    assert record_of(service, run)["status"] == "waiting", "so far"
    with service.client() as client:
        client.set_flow_run_state(run, Cancelling())
    service.wait_for(run, "Cancelled")
    late = service.imagetwins("approve", name)
    assert "it is cancelled (cancelled while it waited for approval" in " ".join(late.stderr.split())
    assert record_of(service, run)["status"] == "cancelled"
