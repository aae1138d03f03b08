"""Observers of a run: called as it progresses, and asked what a person must decide.

Free of Prefect, so that the command line can install its own before Prefect is imported.
"""

import time
from contextvars import ContextVar

from imagetwins.matching.approval import Answer, ApprovalRequest
from imagetwins.progress import Progress
from imagetwins.store.runs import Run


class Observer:
    """Follows a run, and says nothing: the base of those that do."""

    asked_seconds = 0.0
    """How long a person took to answer."""

    def run_started(self, run: Run) -> None:
        """Called when a run has its id and its folder."""

    def stage_started(self, stage: str) -> None:
        """Called when a stage begins, and with it the one before has ended."""

    def progressed(self, stage: str, done: int, total: int | None, unit: str = "", part: int = 0) -> None:
        """Called some times a second, when `done` of what a stage has to do are done.

        Args:
            stage: `store.record.Stage`, or a name of its own.
            done: how many, of `part` alone if the stage does several parts at the same time.
            total: how many there are in all parts; None if that is not known, or what was said before holds.
            unit: what is counted, in the singular: "file", "picture"; "" if that tells a person nothing.
            part: which one, in no order.
        """

    def announce(self, text: str) -> None:
        """Called with a sentence that a person would like to read while a run goes on."""

    def approve(self, run: Run, request: ApprovalRequest) -> Answer:
        """Return what a person answers to `request`; nobody is there to ask, so nothing moves."""
        del run, request
        return Answer(approve=False, comment="nobody was there to ask")


SECONDS_BETWEEN = 0.1
"""Somebody who looks at a bar sees no more of it."""


def progress_of(stage: str, unit: str = "", part: int = 0) -> Progress:
    """Return a function that tells whoever follows the run how far `stage`, or a part of it, is; for one thread."""
    follower, told = observer.get(), -SECONDS_BETWEEN

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total or now - told >= SECONDS_BETWEEN:
            told = now
            follower.progressed(stage, done, total, unit, part)

    return progress


observer: ContextVar[Observer] = ContextVar("observer", default=Observer())  # noqa: B039 - it has no state
"""The observer of the runs that are started in this context."""
