"""Deployed to a real server, run by a real worker: schedule, parameters, and what happens to the files."""

import datetime as dt
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, LogFilter
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import AwaitingRetry

from deployments.registering import register
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from tests.support import oracle

REPOSITORY = Path(__file__).parents[2]
PLAIN = {"min_detail_ssim": -1.0, "min_local_ssim": -1.0, "max_aspect_change": 1e9}


@pytest.fixture
def pictures(tmp_path):
    """A photograph, two copies of it, one worse than the other, and a photograph of something else."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    original = cv2.cvtColor(skimage.data.chelsea(), cv2.COLOR_RGB2BGR)
    other = cv2.cvtColor(skimage.data.coffee(), cv2.COLOR_RGB2BGR)
    shown = (original, cv2.blur(original, (3, 3)), cv2.blur(original, (5, 5)), other)
    for number, picture in enumerate(shown):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def scores_against_the_first(folder):
    thumbnails = [
        cv2.resize(cv2.imread(str(path)), (200, 200), interpolation=cv2.INTER_AREA) for path in sorted(folder.iterdir())
    ]
    return np.array([oracle.score(thumbnails[0], other) for other in thumbnails])


def test_a_threshold_outside_its_limits_is_refused_before_a_run_exists(service, pictures):
    with pytest.raises(PrefectHTTPStatusError, match=r"1\.5 is greater than the maximum of 1"):
        service.start_run(folder=str(pictures), threshold=1.5)


def test_server_worker_and_runs_reach_each_other_without_the_proxy(service, tmp_path):
    with pytest.raises(AssertionError, match="does not exist"):
        service.wait_for(service.start_run(folder=str(tmp_path / "missing")), "Completed")
    assert service.proxy.asked == []


def test_serve_schedules_its_folders(service):
    with service.client() as client:
        nightly = client.read_deployment_by_name("deduplicate-images/nightly")
    assert [one.parameters for one in nightly.schedules] == [{"folder": str(service.nightly_folder)}]
    assert nightly.parameters == {"options": {"max_move_share": 0.2}}


def test_no_run_copies_the_folder_where_serve_was_started(service, pictures):
    run = service.start_run(folder=str(pictures), dry_run=True)
    service.wait_for(run, "Completed")
    with service.client() as client:
        assert {one.path for one in client.read_deployments()} == {None}
        said = [line.message for line in client.read_logs(LogFilter(flow_run_id={"any_": [run]}))]
    assert said
    assert not [line for line in said if "Downloading" in line]


def test_prefect_deploy_registers_everything_and_the_schedule_makes_runs(service):
    service.prefect("deploy", "--prefect-file", "deployments/prefect.yaml", "--all", IMAGETWINS_FOLDER="/a folder")
    with service.client() as client:
        found = {one.name: one for one in client.read_deployments()}
        assert set(found) == {
            "nightly", "on-demand", "restore", "rethreshold", "apply", "apply-choices", "calibrate",
        }  # fmt: skip
        assert {one.work_pool_name for one in found.values()} == {"imagetwins"}
        nightly = found["nightly"]
        assert (nightly.parameters["folder"], nightly.concurrency_options.collision_strategy) == (
            "/a folder",
            "ENQUEUE",
        )
        waiting = wait_for_scheduled_runs(client, nightly.id)
    now = dt.datetime.now(dt.UTC)
    assert all(run.expected_start_time > now and run.expected_start_time.hour == 3 for run in waiting)


@pytest.mark.usefixtures("prefect_server")
def test_schedules_of_before_there_were_options_are_given_their_form(service):
    schedule = CronSchedule(cron="0 4 * * *", timezone="UTC")
    before = {"folder": "/scans", "threshold": 0.95, "keep": "size"}
    with service.client() as client:
        deployment = client.read_deployment_by_name("deduplicate-images/on-demand").id
        old = DeploymentScheduleCreate(schedule=schedule, active=False, parameters=before)
        (old,) = client.create_deployment_schedules(deployment, [old])
        register(client, [])
        (found,) = client.read_deployment_schedules(deployment)
        client.delete_deployment_schedule(deployment, found.id)
    assert (found.id, found.schedule, found.active) == (old.id, schedule, False)
    assert found.parameters == {"folder": "/scans", "threshold": 0.95, "options": {"keep": "size"}}


def wait_for_scheduled_runs(client, deployment, seconds=120):
    deadline = time.monotonic() + seconds
    chosen = FlowRunFilter(deployment_id={"any_": [deployment]}, state={"type": {"any_": ["SCHEDULED"]}})
    while time.monotonic() < deadline:
        if found := client.read_flow_runs(flow_run_filter=chosen):
            return found
        time.sleep(0.5)
    raise AssertionError("the schedule made no runs")


def test_a_run_uses_its_threshold_and_a_retry_keeps_its_finished_stages(service, pictures, tmp_path):
    scores = scores_against_the_first(pictures)
    assert ((scores > 0.91) & (scores < 0.94)).any(), "a threshold of 0.9 must give another answer"
    store = tmp_path / "store"
    store.mkdir()
    (store / "decisions").write_text("a file where a folder belongs")
    run = service.start_run(folder=str(pictures), threshold=0.95, store=str(store), **PLAIN)
    service.wait_for(run, "Failed")
    finished = {part: part.stat().st_mtime_ns for part in store.glob("comparisons/run_id=*/*.parquet")}
    assert finished
    wait_until(lambda: any(str(store) in text and str(run) in text for text in service.messages), "told of the failure")
    (store / "decisions").unlink()
    with service.client() as client:
        client.set_flow_run_state(run, AwaitingRetry(scheduled_time=dt.datetime.now(dt.UTC)))
    service.wait_for(run, "Completed")
    assert {part: part.stat().st_mtime_ns for part in finished} == finished, "what was scored is not scored again"
    (place,) = store.glob("runs/*/run.json")  # a retry is the same run
    check_run_at(0.95, scores, pictures, Run(store, place.parent.name), run)


def check_run_at(threshold, scores, pictures, run, flow_run):
    expected = {f"{number}.png" for number in np.flatnonzero(scores >= threshold)[1:]}
    assert {path.name for path in (pictures / "Duplicates").glob("[!.]*")} == expected
    assert {path.name for path in pictures.glob("*.png")} == {f"{number}.png" for number in range(4)} - expected
    record = run.read_record()
    assert (record.parameters.threshold, record.status) == (threshold, "completed")
    assert record.flow_run_id == str(flow_run)
    decisions = read_table(run.decisions, DECISIONS)
    assert set(decisions.loc[decisions["Duplicate"], "FileName"]) == expected
    assert [Path(path).exists() for path in decisions["NewPath"]] == [True] * 4


def test_options_of_the_deployment_hold_where_a_run_gives_others_and_a_person_is_told_what_is_for_review(
    service, pictures
):
    run = service.start_run("deduplicate-images/nightly", folder=str(pictures), keep="size")
    service.wait_for(run, "Completed")
    parameters = json.loads(next(service.store.glob(f"runs/*-{str(run)[:8]}/run.json")).read_text())["parameters"]
    assert (parameters["keep"], parameters["max_move_share"]) == ("size", 0.2)
    assert not (pictures / "Duplicates").exists()

    def told():
        return [text for text in service.messages if str(run) in text]

    wait_until(told, "told of what is for review")
    assert "0 moved, 2 for review. To look at them: http://127.0.0.1:" in told()[0]
    assert f"The run: {service.url}/" in told()[0]
    again = service.start_run("deduplicate-images/nightly", folder=str(pictures), keep="size")
    service.wait_for(again, "Completed")
    more = service.start_run("deduplicate-images/nightly", folder=str(pictures), max_move_share=1.0)
    service.wait_for(more, "Completed")
    wait_until(lambda: any(str(more) in text for text in service.messages), "told of what moved")
    assert not [text for text in service.messages if str(again) in text], "nothing is new"


def wait_until(true, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)
