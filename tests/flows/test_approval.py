"""Runs that ask a person: in the terminal, and in Prefect's UI, where they wait for the answer."""

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
from typer.testing import CliRunner

from imagetwins.cli.app import app
from imagetwins.errors import FolderBusyError
from imagetwins.matching.approval import Answer
from imagetwins.runtime.approval import ApprovalForm, send_answer
from imagetwins.runtime.observer import Observer, observer
from imagetwins.storage import storage_of
from tests.support.flows import deduplicate
from tests.support.past_runs import image_table, make_record, write_run


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    image = cv2.cvtColor(skimage.data.chelsea(), cv2.COLOR_RGB2BGR)
    for name, quality in (("a.jpg", 95), ("b.jpg", 90), ("c.jpg", 85)):
        cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return folder


def moved(folder):
    return {path.name for path in (folder / "Duplicates").glob("[!.]*")}


def record_of(service, run):
    return json.loads(next(service.store.glob(f"runs/*-{run.hex[:8]}/run.json")).read_text())


class Person(Observer):
    """Somebody who approves two moves, but for that of c.jpg."""

    def approve(self, run, request):
        del run
        return Answer(request.moves == 2, ["c.jpg"])


@pytest.mark.usefixtures("prefect_server")
def test_a_run_in_the_terminal_asks_there_and_nobody_means_no(pictures, tmp_path):
    asked = {"approval": "always", "store": str(tmp_path / "store")}
    assert deduplicate(str(pictures), **asked)["moved"] == 0
    token = observer.set(Person())
    try:
        assert deduplicate(str(pictures), **asked)["moved"] == 1
    finally:
        observer.reset(token)
    assert moved(pictures) == {"b.jpg"}


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
        identity = client.create_deployment(client.create_flow_from_name("deduplicate-images"), "asks")
        yield identity
        client.delete_deployment(identity)


@pytest.mark.usefixtures("prefect_server")
def test_an_answer_that_comes_before_its_form_waits_for_it(deployment, tmp_path):
    keys = keyset_from_base_key("approval")
    asks = Suspended(timeout_seconds=60, pause_key="approval-1")
    asks.state_details.run_input_keyset = keys
    with get_client(sync_client=True) as client:
        suspended = client.create_flow_run_from_deployment(deployment, state=asks).id
        images = image_table(["/pictures/a.jpg", "/pictures/b.jpg"])
        run = write_run(tmp_path, "20260101T000000Z-00000000", images, {(0, 1): (0.99, 0.98)}, moved=False)
        run.write_record(make_record(run.run_id, status="waiting", flow_run_id=str(suspended)))
        late = Timer(1, copy_context().run, [ApprovalForm.save, keys, suspended])
        late.start()
        send_answer(run, ApprovalForm(approve=True, comment="early"))
        late.join()
        assert client.read_flow_run(suspended).state.name == "Resuming"
        assert ApprovalForm.load(keys, suspended).comment == "early"


@pytest.mark.usefixtures("prefect_server")
def test_an_answer_that_names_no_file_is_asked_for_again_and_a_later_run_takes_the_place(service, pictures):
    run = service.start_run(folder=str(pictures), approval="always")
    service.wait_for_question(run)
    with service.client() as client:
        client.resume_flow_run(run, run_input={"approve": True, "leave_alone": ["typo.jpg"]})
        wait_until_asked_again(client, run)
        wait_until_free(pictures)
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


def wait_until_free(folder, seconds=60):
    """A run that waits for a person lets go of its folder a moment after Prefect says that it is suspended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with storage_of(folder).lock(folder, "run of a test"):
                return
        except FolderBusyError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_when_the_time_is_up_nothing_moves(service, pictures):
    run = service.start_run(folder=str(pictures), approval="always", approval_hours=1 / 3600)
    # A slow test may look only when it is over.
    service.wait_for(run, "Suspended", "Failed")
    failed = service.wait_for(run, "Failed")
    assert "never resumed" in failed.state.message
    assert moved(pictures) == set()
    name, until = (record_of(service, run)[key] for key in ("run_id", "waits_until"))
    assert f"not answered by {until}; nothing was moved" in " ".join(service.imagetwins("audit", name).stdout.split())
    assert record_of(service, run)["status"] == "waiting", "an audit writes nothing"
    late = service.imagetwins("approve", name)
    assert "it is expired (not answered by" in " ".join(late.stderr.split())
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
