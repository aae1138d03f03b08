"""The heartbeats of a command's flow run: Prefect's own keep a run waiting at its end, for up to a second.

The thread in which Prefect sends them sleeps for whole seconds, and the end of the flow waits for it. A person at a terminal waits with
it. So a command switches them off, and the run sends the same events itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

from prefect.events import emit_event
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from imagetwins.runtime.flow_context import current_flow_run

HEARTBEAT = "prefect.flow-run.heartbeat"
"""Prefect's name of the event: automations look for it."""

_every_seconds: ContextVar[float | None] = ContextVar("every_seconds", default=None)
"""How often the flow runs of this context send heartbeats themselves; None: Prefect does, or nobody."""


@contextmanager
def without_wait() -> Iterator[None]:
    """Let flows that are called in this block end at once: they, not Prefect, send their heartbeats, just as often."""
    token = _every_seconds.set(PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value())
    try:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield
    finally:
        _every_seconds.reset(token)


@contextmanager
def sending_heartbeats() -> Iterator[None]:
    """Send the heartbeats of this flow run up to the end of the block, if Prefect does not."""
    every = _every_seconds.get()
    if every is None:
        yield
        return
    flow_run, stop = current_flow_run(), threading.Event()
    resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}", "prefect.resource.name": flow_run.name}

    def send() -> None:
        while True:
            emit_event(HEARTBEAT, resource=resource)
            if stop.wait(every):
                return

    # With the context goes which server is used.
    thread = threading.Thread(target=copy_context().run, args=(send,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
