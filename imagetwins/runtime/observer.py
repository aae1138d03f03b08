"""Observers of a run: called as it progresses, and asked what a person must decide.

Free of Prefect, so that the command line can install its own before Prefect is imported.
"""

from contextvars import ContextVar

from imagetwins.matching.approval import Answer, ApprovalRequest
from imagetwins.store.runs import Run


class Observer:
    """Follows a run, and says nothing: the base of those that do."""

    def run_started(self, run: Run) -> None:
        """Called when a run has its id and its folder."""

    def stage_started(self, stage: str) -> None:
        """Called when a stage begins, and with it the one before has ended."""

    def batches_done(self, stage: str, done: int, total: int) -> None:
        """Called when `done` of the `total` batches of a stage are done."""

    def announce(self, text: str) -> None:
        """Called with a sentence that a person would like to read while a run goes on."""

    def approve(self, run: Run, request: ApprovalRequest) -> Answer:
        """Return what a person answers to `request`; nobody is there to ask, so nothing moves."""
        del run, request
        return Answer(approve=False, comment="nobody was there to ask")


observer: ContextVar[Observer] = ContextVar("observer", default=Observer())  # noqa: B039 - it has no state
"""The observer of the runs that are started in this context."""
