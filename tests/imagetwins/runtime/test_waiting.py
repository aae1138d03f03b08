"""What ended a waiting run is found without writing, and written by who is asked to."""

import datetime as dt
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from imagetwins.reporting.runs import audit_run, audit_runs
from imagetwins.runtime.waiting import find_endings, record_endings
from imagetwins.store.record import RunStatus
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import as_frame, write_table
from tests.support.past_runs import make_record

PAST, FUTURE = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2020, 2999))


@pytest.fixture
def server(monkeypatch):
    """A Prefect server that knows the state that is put into its list; none, and it knows no run."""
    states = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if states else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"state": states[0] if states else None}).encode())

        def log_message(self, *_):
            """Say nothing."""

    started = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=started.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{started.server_port}/api")
    yield states
    started.shutdown()
    started.server_close()


def wait(store, *, until, status=RunStatus.WAITING):
    run = Run(store, "20260101T000000Z-00000000")
    run.write_record(make_record(run.run_id, status=status, waits_until=until, flow_run_id="0"))
    write_table(
        as_frame({name: [] for name in DECISIONS.names}, DECISIONS), DECISIONS, run.decisions / "part-0.parquet"
    )
    return run


@pytest.mark.parametrize(
    ("state", "until", "status", "error"),
    [
        (None, PAST, RunStatus.EXPIRED, "not answered by 2020-01-01T00:00:00+00:00; nothing was moved"),
        ({"type": "FAILED", "message": "never resumed"}, PAST, RunStatus.EXPIRED, "not answered by 2020"),
        ({"type": "FAILED", "message": "broke"}, FUTURE, RunStatus.FAILED, "broke; nothing was moved"),
        (
            {"type": "CANCELLED", "timestamp": "2026-01-01T02:03:04.5Z"},
            FUTURE,
            RunStatus.CANCELLED,
            "cancelled while it waited for approval, at 2026-01-01T02:03:04;",
        ),
    ],
)
def test_what_ended_a_run_is_told_and_not_written_until_it_is_asked_for(tmp_path, server, state, until, status, error):
    server.extend([state] if state else [])
    run = wait(tmp_path, until=until)
    before = run.record_file.read_bytes()

    endings = find_endings(tmp_path)

    assert endings[run.run_id].status is status
    assert error in endings[run.run_id].error
    assert audit_runs(tmp_path, endings)["status"].tolist() == [status.value]
    assert error in audit_run(run, endings[run.run_id]).record.error
    assert run.record_file.read_bytes() == before

    record_endings(tmp_path)

    assert run.read_record().status is status
    assert find_endings(tmp_path) == {}


@pytest.mark.parametrize("state", [None, {"type": "PAUSED"}, {"type": "SCHEDULED"}, {"type": "RUNNING"}])
def test_a_run_that_may_still_be_answered_waits(tmp_path, server, state):
    server.extend([state] if state else [])
    wait(tmp_path, until=FUTURE)
    assert find_endings(tmp_path) == {}


@pytest.mark.usefixtures("server")
def test_a_run_that_does_not_wait_is_not_asked_about(tmp_path):
    wait(tmp_path, until=PAST, status=RunStatus.COMPLETED)
    assert find_endings(tmp_path) == {}


def test_without_a_server_the_time_tells(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    run = wait(tmp_path, until=PAST)
    assert find_endings(tmp_path)[run.run_id].status is RunStatus.EXPIRED
