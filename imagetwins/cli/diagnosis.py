"""How an examination looks in a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from imagetwins.cli.markup import escape_markup
from imagetwins.doctor.findings import Finding, Level
from imagetwins.text import pluralize

MARKS = {Level.OK: "[green]ok[/]", Level.WARNING: "[yellow]warning[/]", Level.PROBLEM: "[bold red]problem[/]"}


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print a line for each finding, below it what to do about it, and at the end how many are to be looked at."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(MARKS[finding.level], finding.subject, escape_markup(finding.what))
        if finding.remedy:
            table.add_row("", "", f"[bold]{escape_markup(finding.remedy)}[/]")
    console.print(table)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    told = [pluralize(counts[level], str(level)) for level in (Level.PROBLEM, Level.WARNING) if counts[level]]
    console.print(f"\n{' and '.join(told)}." if told else "\nAll is well.")
