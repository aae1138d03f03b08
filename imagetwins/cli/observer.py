"""A run followed in a terminal: a bar for each stage, sentences above them, and questions answered at the keyboard."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.prompt import Confirm, Prompt
from rich.table import Column
from rich.text import Text

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

BAR_WIDTH = 30

LABELS = {stage.value: stage.label for stage in Stage} | {
    "release": "Tidying up the cache",
    "restore": "Moving files back",
    "sample": "Choosing pictures",
    "plant": "Making copies of them",
}
"""What is said of a stage, also of those that are none of a run."""


@contextmanager
def following(console: Console) -> Iterator["AnnouncingObserver"]:
    """Yield an observer for `console`: with bars and questions in a terminal, with sentences alone elsewhere."""
    if not console.is_terminal:
        yield AnnouncingObserver(console)
        return
    columns = (
        _Mark(finished_text=Text("✓", style="green")),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(max_width=BAR_WIDTH)),
        _Told(count_done),
        _Told(tell_time),
    )
    with _Bars(*columns, console=console, transient=True, speed_estimate_period=MAX_SECONDS) as progress:
        yield TerminalObserver(console, progress)


class _Bars(Progress):
    """Bars that leave room behind them for the "^C" that a terminal writes: in another line, it would move them."""

    def get_renderable(self) -> RenderableType:
        return _Narrow(super().get_renderable())


class _Narrow(NamedTuple):
    bars: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.bars, options.update_width(options.max_width - len("^C")))


class _Mark(SpinnerColumn):
    """Turns until the stage is over: one whose bar is full may still have something to write."""

    def render(self, task: Task) -> Text:
        rendered = self.finished_text if task.fields["over"] else self.spinner.render(task.get_time())
        return rendered if isinstance(rendered, Text) else Text(str(rendered))


class _Told(ProgressColumn):
    """What a function says of a bar."""

    def __init__(self, tell: Callable[[Task], str]) -> None:
        super().__init__(Column(no_wrap=True))
        self._tell = tell

    def render(self, task: Task) -> Text:
        return Text(self._tell(task), style="dim" if task.fields["over"] else "")


def count_done(task: Task) -> str:
    """Return how much of a stage is done: "300/900 pictures", or a share where no unit is told."""
    done, unit = int(task.completed), task.fields["unit"]
    if not unit:
        return "" if task.total is None or task.fields["over"] else f"{task.percentage:.0f} %"
    if task.total is None or task.fields["over"]:
        return pluralize(done, unit)
    return f"{done:,}/{pluralize(int(task.total), unit)}"


def tell_time(task: Task) -> str:
    """Return how long a stage will take; how long it took, where that is not known or it is over."""
    left = None if task.fields["over"] else task.time_remaining
    if left:
        return f"{dt.timedelta(seconds=round(left))} left"
    return str(dt.timedelta(seconds=int(task.elapsed or 0)))


class AnnouncingObserver(Observer):
    """Prints what is announced, where nobody looks at bars or answers questions."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.run: Run | None = None
        """The run that is followed, once it has begun."""

    def run_started(self, run: Run) -> None:
        self.run = run

    def announce(self, text: str) -> None:
        # It may end with a command to copy, which no line break of ours may cut in two.
        self._console.print(escape_markup(text), soft_wrap=True)


class TerminalObserver(AnnouncingObserver):
    """Draws a bar for each stage, and asks the person at the terminal."""

    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._done: dict[str, dict[int, int]] = {}
        # Batches of a stage report from threads of their own.
        self._lock = threading.Lock()

    def stage_started(self, stage: str) -> None:
        with self._lock:
            self._start(stage)

    def _start(self, stage: str) -> None:
        self._progress.start()
        if stage in self._bars:
            return
        # Stages run one after the other: that another begins says that those before it are done.
        for bar in self._bars.values():
            self._end(bar)
        self._done[stage] = {}
        self._bars[stage] = self._progress.add_task(self._describe(stage), total=None, unit="", over=False)

    def _describe(self, stage: str) -> str:
        stages = [known.value for known in Stage]
        # What is no run, as a calibration, has other stages than those.
        number = f"{stages.index(stage) + 1}/{len(stages)} " if stage in stages and self.run else ""
        return number + LABELS.get(stage, stage)

    def _end(self, bar: TaskID) -> None:
        task = self._progress.tasks[bar]
        if not task.fields["over"]:
            total = task.total or task.completed or 1
            unit = task.fields["unit"] if task.completed else ""
            self._progress.update(bar, total=total, completed=total, unit=unit, over=True)
            self._progress.stop_task(bar)

    def progressed(self, stage: str, done: int, total: int | None, unit: str = "", part: int = 0) -> None:
        with self._lock:
            self._start(stage)
            parts = self._done[stage]
            parts[part] = done
            bar = self._bars[stage]
            # Rich leaves a total alone that is None.
            unit = unit or self._progress.tasks[bar].fields["unit"]
            self._progress.update(bar, completed=sum(parts.values()), total=total, unit=unit)

    def approve(self, run: Run, request: ApprovalRequest) -> Answer:
        self._progress.stop()
        begun = time.monotonic()
        try:
            return ask_in_terminal(self._console, run, request)
        finally:
            self.asked_seconds += time.monotonic() - begun


def ask_in_terminal(console: Console, run: Run, request: ApprovalRequest) -> Answer:
    """Show what would move, and ask the person at the terminal."""
    print_run(console, audit_run(run))
    if not Confirm.ask(f"Move {pluralize(request.moves, 'file')}?", console=console, default=False):
        return Answer(approve=False)
    layout, decisions = run.read_record().parameters.layout, read_table(run.decisions, DECISIONS)
    alone: list[str] = []
    more = "Is there one to leave alone? Its path, or Enter for no"
    while name := Prompt.ask(more, console=console, default="", show_default=False):
        if find_left_alone(decisions, Answer(approve=True, leave_alone=[name]), layout)[1]:
            console.print(f"{escape_markup(repr(name))} is none of the files to move.")
        else:
            alone.append(name)
    return Answer(approve=True, leave_alone=alone)
