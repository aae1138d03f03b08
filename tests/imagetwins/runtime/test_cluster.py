"""What a cluster needs, and what a worker of it needs, is said at once."""

import sys

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from imagetwins.errors import ClusterError
from imagetwins.reasons import ReasonCode
from imagetwins.runtime import cluster
from imagetwins.runtime.cluster import open_cluster
from imagetwins.runtime.worker import find_worker_problem
from imagetwins.store.runs import Run


def test_a_worker_that_does_not_reach_the_server_is_refused(tmp_path):
    problem = find_worker_problem(Run(tmp_path, "20260101T000000Z-00000000"), "http://127.0.0.1:9/api")
    assert problem.code is ReasonCode.SERVER_NOT_REACHED
    assert "does not reach Prefect's server at http://127.0.0.1:9/api" in str(problem)


@pytest.mark.parametrize(
    ("api", "missing", "says"),
    [
        (None, [], "imagetwins serve"),
        ("http://127.0.0.1:9/api", ["prefect_dask.task_runners"], "pip install prefect-dask"),
        ("http://127.0.0.1:9/api", [], "no Dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_what_a_cluster_needs_is_said_at_once(monkeypatch, api, missing, says):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.5)
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with (
        temporary_settings({PREFECT_API_URL: api}),
        pytest.raises(ClusterError, match=says),
        open_cluster("tcp://127.0.0.1:9"),
    ):
        pass
