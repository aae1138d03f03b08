"""The heartbeats of a command's flow run: Prefect's own keep a run waiting at its end, for up to a second.

The thread in which Prefect sends them sleeps for whole seconds, and the end of the flow waits for it. A person at a terminal waits with
it. So a command switches them off, and the run sends the same events itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context

from prefect.context import SettingsContext, get_settings_context
from prefect.events import emit_event

from imagetwins.runtime.flow_context import current_flow_run

HEARTBEAT = "prefect.flow-run.heartbeat"
"""Prefect's name of the event: automations look for it."""

_every_seconds: ContextVar[float | None] = ContextVar("every_seconds", default=None)
"""How often the flow runs of this context send heartbeats themselves; None: Prefect does, or nobody."""


@contextmanager
def without_wait() -> Iterator[None]:
    """Let flows that are called in this block end at once: they, not Prefect, send their heartbeats, just as often."""
    current = get_settings_context()
    flows = current.settings.flows
    token = _every_seconds.set(flows.heartbeat_frequency)
    silent = flows.model_copy(update={"heartbeat_frequency": None})
    try:
        # `temporary_settings` would read the environment and all files anew, which takes 0.02 s.
        with SettingsContext(profile=current.profile, settings=current.settings.model_copy(update={"flows": silent})):
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
