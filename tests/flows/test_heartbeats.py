"""Heartbeats of a flow run: whether Prefect sends them or we do, the server is told, once a period, that the run lives."""

import time
from contextlib import nullcontext

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from imagetwins.runtime.flow_context import current_flow_run
from imagetwins.runtime.heartbeats import HEARTBEAT, sending_heartbeats, without_wait

pytestmark = pytest.mark.usefixtures("prefect_server")

SECONDS = 60


@flow
def living():
    with sending_heartbeats():
        return current_flow_run().id, PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value()


def wait_for_heartbeats(flow_run):
    chosen = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]), resource=EventResourceFilter(id=[f"prefect.flow-run.{flow_run}"])
    )
    deadline = time.monotonic() + SECONDS
    with get_client(sync_client=True) as client:
        while not (events := client.read_events(chosen, limit=50).events):
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.2)
    return events


@pytest.mark.parametrize(("way", "prefects"), [(without_wait, None), (nullcontext, 30)], ids=["ours", "Prefect's"])
def test_a_run_sends_heartbeats_in_one_of_two_ways(way, prefects):
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}), way():
        flow_run, frequency = living()
    assert frequency == prefects
    assert len(wait_for_heartbeats(flow_run)) == 1


def test_who_switched_heartbeats_off_gets_none():
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), without_wait():
        flow_run, _ = living()
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}), without_wait():
        later, _ = living()
    # Events come in the order in which they were sent.
    assert wait_for_heartbeats(later)
    with get_client(sync_client=True) as client:
        chosen = EventFilter(resource=EventResourceFilter(id=[f"prefect.flow-run.{flow_run}"]))
        assert HEARTBEAT not in {event.event for event in client.read_events(chosen, limit=50).events}
