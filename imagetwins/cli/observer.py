"""A run followed in a terminal: a bar for each stage, sentences above them, and questions answered at the keyboard."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.prompt import Confirm, Prompt

from imagetwins.cli.markup import escape_markup
from imagetwins.cli.rendering import print_run
from imagetwins.matching.approval import Answer, ApprovalRequest, find_left_alone
from imagetwins.reporting.runs import audit_run
from imagetwins.runtime.observer import Observer
from imagetwins.store.record import Stage
from imagetwins.store.runs import Run
from imagetwins.store.schemas import DECISIONS
from imagetwins.store.tables import read_table
from imagetwins.text import pluralize

MAX_SECONDS = 3600.0
"""The time left is estimated from the speed in the last hour: batches of a large folder take a minute each."""


@contextmanager
def following(console: Console) -> Iterator["AnnouncingObserver"]:
    """Yield an observer for `console`: with bars and questions in a terminal, with sentences alone elsewhere."""
    if not console.is_terminal:
        yield AnnouncingObserver(console)
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=MAX_SECONDS) as progress:
        yield TerminalObserver(console, progress)


class AnnouncingObserver(Observer):
    """Prints what is announced, where nobody looks at bars or answers questions."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.run: Run | None = None
        """The run that is followed, once it has begun."""

    def run_started(self, run: Run) -> None:
        self.run = run

    def announce(self, text: str) -> None:
        self._console.print(escape_markup(text))


class TerminalObserver(AnnouncingObserver):
    """Draws a bar for each stage, and asks the person at the terminal."""

    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self._progress = progress
        self._bars: dict[str, Any] = {}

    def stage_started(self, stage: str) -> None:
        self._progress.start()
        if stage in self._bars:
            return
        # Stages run one after the other: that another begins says that those before it are done.
        for bar in self._bars.values():
            task = self._progress.tasks[bar]
            self._progress.update(bar, total=task.total or 1, completed=task.total or 1)
        stages = [known.value for known in Stage]
        number = f"{stages.index(stage) + 1}/{len(stages)} " if stage in stages else ""
        self._bars[stage] = self._progress.add_task(f"{number}{stage}", total=None)

    def batches_done(self, stage: str, done: int, total: int) -> None:
        self.stage_started(stage)
        if total:
            self._progress.update(self._bars[stage], completed=done, total=total)

    def approve(self, run: Run, request: ApprovalRequest) -> Answer:
        self._progress.stop()
        return ask_in_terminal(self._console, run, request)


def ask_in_terminal(console: Console, run: Run, request: ApprovalRequest) -> Answer:
    """Show what would move, and ask the person at the terminal."""
    print_run(console, audit_run(run))
    if not Confirm.ask(f"Move {pluralize(request.moves, 'file')}?", console=console, default=False):
        return Answer(approve=False)
    folder, decisions = run.read_record().parameters.folder, read_table(run.decisions, DECISIONS)
    alone: list[str] = []
    more = "Is there one to leave alone? Its path, or Enter for no"
    while name := Prompt.ask(more, console=console, default="", show_default=False):
        if find_left_alone(decisions, Answer(approve=True, leave_alone=[name]), folder)[1]:
            console.print(f"{escape_markup(repr(name))} is none of the files to move.")
        else:
            alone.append(name)
    return Answer(approve=True, leave_alone=alone)
