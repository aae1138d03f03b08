"""What a run holds while it is at work."""

from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from imagetwins.runtime.cluster import local_threads
from imagetwins.runtime.flow_context import current_flow_run
from imagetwins.runtime.observer import Observer, observer
from imagetwins.runtime.run_context import await_all
from imagetwins.scanning.activity import iter_other_runs_at_work
from imagetwins.settings import count_cores
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from tests.support.flows import deduplicate
from tests.support.pictures import encode, photo

pytestmark = pytest.mark.usefixtures("prefect_server")


class AtWork(Observer):
    """Notes in each stage which runs of a store are seen to be at work by another one."""

    def __init__(self, store):
        self.other, self.seen = Run(store, "another"), {}

    def stage_started(self, stage):
        self.seen[stage] = [run.run_id for run in iter_other_runs_at_work(self.other)]


def test_others_see_a_run_at_work_in_all_its_stages_and_not_after_it(tmp_path):
    folder, store = tmp_path / "folder", tmp_path / "store"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.png").write_bytes(encode(photo(), "PNG"))
    watching = AtWork(store)
    token = observer.set(watching)
    try:
        summary = deduplicate(str(folder), store=str(store), size=16)
    finally:
        observer.reset(token)

    assert {*watching.seen} >= {Stage.LIST, Stage.LOOKUP, Stage.LOAD, Stage.SCORE, Stage.MOVE}
    assert {*map(tuple, watching.seen.values())} == {(summary["run_id"],)}
    assert summary["moved"] == 1
    assert list(iter_other_runs_at_work(Run(Path(store), "another"))) == []


@task
def batch(number):
    return number


@flow(task_runner=local_threads())
def mapped(batches):
    assert await_all(Stage.LOAD, batch.map(range(batches))) == list(range(batches))
    return current_flow_run().id


@pytest.mark.parametrize(("batches", "bars"), [(1, []), (count_cores(), []), (count_cores() + 1, [100.0])])
def test_a_stage_that_is_not_done_all_at_once_has_a_bar_in_the_ui(batches, bars):
    chosen = FlowRunFilter(id={"any_": [mapped(batches)]})
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(flow_run_filter=chosen)
    assert [(artifact.key, artifact.data) for artifact in found] == [("imagetwins-load", done) for done in bars]
