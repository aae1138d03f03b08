"""Who is told how far a long stage is. Free of Prefect, so that the command line can set it up first."""

from collections.abc import Callable
from contextvars import ContextVar

ASKING = "ask"
"""Told instead of a stage when a person is about to be asked: bars make way."""

Listener = Callable[[str, int, int], None]
"""Is told the stage, how many of its batches are done, and how many there are (0: the stage is one piece)."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Listen to nothing."""


Announcer = Callable[[str], None]
"""Is told one sentence that a person would like to read while a run goes on."""


def announce_to_nobody(text: str) -> None:
    """Keep it to the log."""


announcer: ContextVar[Announcer] = ContextVar("announcer", default=announce_to_nobody)

listener: ContextVar[Listener] = ContextVar("listener", default=ignore_progress)
