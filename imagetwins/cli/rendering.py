"""How answers look in a terminal."""

import os
import shlex
import shutil
import sys
from pathlib import PurePath
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from imagetwins.cli.markup import escape_markup
from imagetwins.config.formats import ALL
from imagetwins.config.layout import Layout
from imagetwins.matching.orientation import read_orientations
from imagetwins.moving.refusals import describe_refusals
from imagetwins.orientation import AS_IT_IS
from imagetwins.reasons import ReasonCode
from imagetwins.reporting.advice import (
    RULES,
    advise_keep,
    count_open,
    describe_not_read,
    describe_orientations,
    describe_remembered,
    describe_restriction,
    describe_shots,
    describe_small,
)
from imagetwins.reporting.files import FileExplanation, PairExplanation
from imagetwins.reporting.links import MAX_NAMED, describe_dangling
from imagetwins.reporting.runs import RunAudit, RunComparison
from imagetwins.reporting.thresholds import ThresholdAudit
from imagetwins.store.record import RunKind, RunRecord, RunStatus
from imagetwins.store.schemas import Action
from imagetwins.text import ORIENTATIONS, describe_left_out, format_command, format_duration, pluralize

MAX_ROWS = 30
"""Rows of a table in the terminal; --json has them all."""

PATHS = ("FullPath", "NewPath", "path", "new_path", "other_name", "kept_path", "kept_path_was", "path1", "path2")
"""Columns of tables that hold absolute paths."""

TOLD_SECONDS, LEAST_SECONDS = 0.2, 0.05
"""A stage is named that took so long; the others together are, where they took the second."""

NARROW = 100
"""A terminal of fewer columns has room for one score beside two names."""

LEFT_OUT = ("FileName", "image", "kept_image", "digest", "reason_code")
"""Columns that tell a person nothing beside the others, and for which a terminal has no room; --json has them."""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for column in columns:
        number = column in {"SSIM", "detail", "local", "pairs", "seconds"} or column.startswith("#")
        table.add_column(column.removeprefix("#"), justify="right" if number else "left", overflow="fold")
    return table


def _score(value: Any) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.4f}"


def _words(orientation: int) -> str:
    return ORIENTATIONS.get(orientation, "as it is")


def _names(table: pd.DataFrame, layout: Layout) -> dict[str, str]:
    """Return the paths of `table` as they are shown."""
    paths = {*table["FullPath"], *table["NewPath"], *table["kept_path"].dropna()}
    return {path: escape_markup(layout.shorten(path)) for path in paths}


def print_run(console: Console, audit: RunAudit, *, is_timed: bool = False) -> None:
    """Print what a run found, and how to undo it.

    And the seconds of its stages, and what went wrong: unless the run `is_timed`, and the command that ran it says so at its end.
    """
    record, counts, layout = audit.record, audit.record.counts, audit.record.parameters.layout
    _print_decisions(console, "Duplicates", "what became of it", audit.table, layout)
    _print_decisions(console, "For review: these stay where they are", "why", audit.review, layout)
    _print_unreadable(console, audit.unreadable, layout)
    console.print(
        f"[bold]{pluralize(counts['duplicates'], 'duplicate')}[/] among {pluralize(counts['images'], 'picture')}, "
        f"{counts['moved']} moved{_describe_companions(counts['companions'])}, "
        f"{_describe_stayed(counts['not_moved'])}{counts['review']} for review, {counts['errors']} unreadable; "
        f"{_describe_pairs(record)}{'' if is_timed else f', in {format_duration(sum(record.seconds.values()))}'}."
    )
    _print_remarks(console, record, audit.unreadable)
    _print_dangling(console, audit)
    console.print(f"Run [bold]{record.run_id}[/] ({record.status.value}) at threshold {record.parameters.threshold:g}")
    if (said := record.error or describe_refusals(record)) and not is_timed:
        console.print(escape_markup(f"It says: {said}"), soft_wrap=True)
    if counts["moved"] and record.status is not RunStatus.RESTORED:
        for aside in layout.find_used(audit.table.loc[audit.table["action"] == Action.MOVED, "NewPath"]):
            console.print(f"Moved to:  {escape_markup(str(aside))}/", soft_wrap=True)
        console.print(f"Undo:  [bold]{escape_markup(_undo(record))}[/]", soft_wrap=True)
    if count_open(record):
        review = format_command("review", record.run_id, record.parameters.store, _program())
        console.print(f"Look and decide:  [bold]{escape_markup(review)}[/]", soft_wrap=True)
    if not record.parameters.is_careful:
        console.print(RULES[record.parameters.rule])
    if advice := advise_keep(record):
        console.print(advice.text)
        for command in advice.commands:
            typed = command.replace("imagetwins", shlex.quote(_program()), 1)
            console.print(f"  [bold]{escape_markup(typed)}[/]", soft_wrap=True)


def _print_remarks(console: Console, record: RunRecord, unreadable: pd.DataFrame) -> None:
    """Print what is to be known of how pictures were compared, and of those that were not."""
    how_compared = describe_orientations(record), describe_restriction(record), describe_shots(record)
    for told in filter(None, (*how_compared, describe_small(record), describe_not_read(unreadable))):
        console.print(escape_markup(told))
    if remembered := describe_remembered(record):
        memory = format_command("memory", "list", record.parameters.store, _program())
        console.print(f"{remembered} [bold]{escape_markup(memory)}[/] says what.", soft_wrap=True)
    if record.left_out:
        console.print(f"Left out: {escape_markup(describe_left_out(record.left_out))}.")
    if not record.counts["images"]:
        console.print(f"No picture was found in {escape_markup(record.parameters.layout.path)}. {_find_none(record)}")


def _find_none(record: RunRecord) -> str:
    """Return what to try where no picture was found."""
    parameters = record.parameters
    if record.left_out and (parameters.min_bytes or parameters.formats != ALL):
        return "Is it the right folder? Without --min-bytes and --formats more is taken in."
    if record.left_out and record.parameters.default_excludes:
        return "Is it the right folder? --no-default-excludes takes in what is left out."
    return (
        "Is it the right folder?"
        if record.parameters.recursive
        else "Is it the right folder? --recursive looks into sub-folders."
    )


def print_time(console: Console, record: RunRecord, total: float | None, asked: float) -> None:
    """Print where the time went; what was outside the stages too, where it is known that the command took `total` seconds.

    A person who was asked took `asked` seconds of them to answer.
    """
    stages = {stage.value: seconds for stage, seconds in record.seconds.items()}
    told = {name: seconds for name, seconds in stages.items() if seconds >= TOLD_SECONDS}
    told |= {"other stages": sum(stages.values()) - sum(told.values())}
    parts = [f"{name} {format_duration(seconds)}" for name, seconds in told.items() if seconds >= LEAST_SECONDS]
    if asked >= TOLD_SECONDS:
        parts.append(f"waiting for your answer {format_duration(asked)}")
    inside = ", ".join(parts)
    if total is not None:
        outside = max(total - sum(stages.values()) - asked, 0.0)
        listed = f". {inside.capitalize()}" if inside else ""
        inside = f"{format_duration(total)} in all{listed}; start and Prefect {format_duration(outside)}"
    if inside:
        console.print(f"Time: {inside}.")


def _describe_companions(count: int) -> str:
    return f" and {pluralize(count, 'file')} that belong{'s' if count == 1 else ''} to them" if count else ""


def _describe_stayed(count: int) -> str:
    return f"{count:,} not moved, " if count else ""


def _describe_pairs(record: RunRecord) -> str:
    pairs = pluralize(record.counts["pairs"], "pair")
    if record.kind is RunKind.APPLY:
        return f"{pairs} as run {record.pairs_from} scored them"
    return f"{pairs} compared, {record.funnel['scored']:,} of them by scoring"


def _undo(record: RunRecord) -> str:
    """Return the command that undoes a run, as it can be typed here."""
    return format_command("restore", record.run_id, record.parameters.store, _program())


def _program() -> str:
    """Return how this program is called here."""
    return "imagetwins" if shutil.which("imagetwins") else sys.argv[0]


def _print_decisions(console: Console, title: str, last: str, rows: pd.DataFrame, layout: Layout) -> None:
    if rows.empty:
        return
    names = _names(rows, layout)
    # The reason of a review names the score that is too low, and needs the room; in a narrow terminal names do.
    scores = (
        {"SSIM": "ssim"}
        if last == "why" or console.width < NARROW
        else {"SSIM": "ssim", "detail": "detail_ssim", "local": "local_ssim"}
    )
    orientations = read_orientations(rows)
    turned = ["it matches"] if (orientations != AS_IT_IS).any() else []
    table = _table(title, "picture", "kept", *scores, *turned, last)
    for row, orientation in zip(rows.head(MAX_ROWS).itertuples(), orientations.tolist(), strict=False):
        renamed = row.action == Action.MOVED and row.NewPath != layout.plan_name(row.FullPath)
        became = {
            Action.MOVED: f"moved as {names[row.NewPath]}" if renamed else "moved",
            Action.WOULD_MOVE: "would move",
            Action.REVIEW: escape_markup(row.reason),
        }.get(row.action, f"{row.action}: {escape_markup(row.reason)}")
        kept = names[row.kept_path] if isinstance(row.kept_path, str) else "-"
        told = [_score(getattr(row, name)) for name in scores.values()] + [_words(orientation) for _ in turned]
        table.add_row(names[row.FullPath], kept, *told, became)
    console.print(table)
    _print_more(console, len(rows))


def _print_unreadable(console: Console, unreadable: pd.DataFrame, layout: Layout) -> None:
    """Print what could not be read, but for formats that never are, of which there may be thousands."""
    rows = unreadable[unreadable["reason_code"] != ReasonCode.FORMAT_NOT_READ]
    if rows.empty:
        return
    names = _names(rows, layout)
    table = _table("Unreadable: these stay where they are", "file", "why")
    for row in rows.head(MAX_ROWS).itertuples():
        table.add_row(names[row.FullPath], escape_markup(row.reason))
    console.print(table)
    _print_more(console, len(rows))


def _print_dangling(console: Console, audit: RunAudit) -> None:
    """Print which symbolic links dangle since the run, or would, and how one is made to lead to the picture that stays."""
    links, shorten = audit.dangling_links, audit.record.parameters.layout.shorten
    if not links:
        return
    console.print(describe_dangling(links, audit.record))
    for link in links[:MAX_NAMED]:
        told = f"  {shorten(link.link)} -> {shorten(link.target)}"
        console.print(escape_markup(told + (f"; {shorten(link.kept)} stays" if link.kept else "")), soft_wrap=True)
    if len(links) > MAX_NAMED:
        console.print(f"  ... and {len(links) - MAX_NAMED:,} more: the report and --json have all")
    if command := next((link.command for link in links if link.command), None):
        console.print(f"To have one lead to the picture that stays:  [bold]{escape_markup(command)}[/]", soft_wrap=True)


def _print_more(console: Console, count: int) -> None:
    if count > MAX_ROWS:
        console.print(f"... and {count - MAX_ROWS:,} more")
    console.print()


def print_applied(console: Console, answer: dict[str, Any], *, dry_run: bool) -> None:
    """Print what became of a person's choices, beyond what `print_run` says of their run."""
    would = "would be " if dry_run else ""
    console.print(
        f"Your choices: {pluralize(answer['moved'], 'picture')} {would}moved, {answer['put_back']:,} {would}put back; "
        f"{pluralize(answer['remembered'], 'pair')} {would}remembered as no duplicates."
    )
    if answer["not_done"]:
        table = _table("Not done", "picture", "why")
        for refused in answer["not_done"]:
            table.add_row(escape_markup(refused["path"]), escape_markup(refused["reason"]))
        console.print(table)


def print_restore(console: Console, answer: dict[str, Any], store: str | None) -> None:
    """Print what an undo did."""
    if not any(answer[name] for name in ("restored", "companions", "not_restored", "remembered")):
        console.print(
            f"Run {answer['run_id']} has nothing to put back: it moved nothing, or all of it is back. `imagetwins audit` lists the runs, "
            "and how many files each moved.",
            soft_wrap=True,
        )
        return
    console.print(
        f"Back where they came from: [bold]{pluralize(answer['restored'], 'file')}[/] of run {answer['run_id']}"
        f"{_describe_companions(answer['companions'])}."
    )
    if remembered := answer["remembered"]:
        forget_it = escape_markup(
            format_command("memory", "forget", store, _program(), options=("--run", answer["run_id"]))
        )
        apart = answer["remembered_as"] == "not duplicates"
        what = (
            f"{pluralize(remembered, 'pair')}, kept apart by later runs" if apart else pluralize(remembered, "picture")
        )
        rest = "" if apart else ", which later runs do not move again without asking"
        console.print(f"Remembered: {what}{rest}. To forget that:  [bold]{forget_it}[/]", soft_wrap=True)
    elif answer["restored"]:
        console.print("Nothing is remembered: the next run may move them again.")
    if answer["not_restored"]:
        table = _table("Not restored", "file", "why")
        for path, reason in answer["not_restored"].items():
            table.add_row(escape_markup(path), escape_markup(reason))
        console.print(table)


def table_of(answer: Any) -> pd.DataFrame:
    """Return the table of an answer: what --parquet writes."""
    return answer if isinstance(answer, pd.DataFrame) else answer.table


def print_answer(console: Console, answer: Any) -> None:
    """Print the answer to a question about past runs."""
    match answer:
        case RunAudit():
            _print_audit(console, answer)
        case FileExplanation() | PairExplanation():
            console.print(f"[bold]{escape_markup(answer.verdict)}[/]")
            for sentence in answer.remembered:
                console.print(f"Remembered: {escape_markup(sentence)}")
            console.print()
            print_frame(console, answer.table, f"Run {answer.run_id}")
            if isinstance(answer, FileExplanation):
                print_frame(console, answer.thresholds, "At other thresholds")
        case ThresholdAudit():
            was, now = answer.counts_before, answer.counts
            changes = ", ".join(f"{was[name]} -> {now[name]} {name}" for name in now if was[name] or now[name])
            title = f"Run {answer.run_id} at {answer.threshold:g} instead of {answer.threshold_before:g}: {changes}"
            print_frame(console, answer.table, title)
        case RunComparison():
            parameters = {name: f"{old} -> {new}" for name, (old, new) in answer.parameters.items()}
            for name, change in (parameters | answer.counts).items():
                console.print(f"{name}: [bold]{escape_markup(str(change))}[/]")
            print_frame(console, answer.table, f"From {answer.run_before} to {answer.run_after}")
        case _:
            print_frame(console, _shorten(answer), "")


def _print_audit(console: Console, audit: RunAudit) -> None:
    from imagetwins.ssim import stage_labels  # noqa: PLC0415 - the kernels, which no other answer needs

    record, labels = audit.record, stage_labels()
    for title, content in (
        (f"Parameters of run {record.run_id}", record.parameters.model_dump()),
        ("Counts", record.counts),
        ("How the pairs were compared", {labels.get(name, name): count for name, count in record.funnel.items()}),
        ("Seconds", {stage.label: seconds for stage, seconds in record.seconds.items()}),
    ):
        table = _table(title, "what", "#value")
        for name, value in content.items():
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
            table.add_row(name.replace("_", " "), escape_markup(shown))
        console.print(table)
        console.print()
    if record.kernels:
        console.print(f"Compared with the kernels for {escape_markup(record.kernels)}.\n")
    if record.pairs_from_why:
        console.print(f"{escape_markup(record.pairs_from_why)}\n")
    print_run(console, audit)


def _shorten(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a list of runs that fit a terminal; other tables as they are."""
    columns = [
        "run_id",
        "folder",
        "status",
        "threshold",
        "images",
        "duplicates",
        "moved",
        "restored",
        "review",
        "seconds",
    ]
    if not set(columns) <= set(runs.columns):
        return runs
    folders = [
        escape_markup(PurePath(folder).name) + (f" and {more} more" if more else "")
        for folder, more in zip(runs["folder"], runs["more_folders"], strict=True)
    ]
    return runs[columns].assign(folder=folders)


def print_frame(console: Console, frame: pd.DataFrame, title: str) -> None:
    """Print a table as far as a person reads it; its last rows if it is long, since the latest runs come last."""
    if frame.empty:
        console.print(f"{escape_markup(title)}: nothing" if title else "Nothing yet.")
        return
    shown, folder = _condense(frame)
    numbers = set(shown.select_dtypes("number").columns) - {"orientation"}
    heading = ", ".join(part for part in (title, folder and f"in {folder}") if part)
    table = _table(escape_markup(heading), *(f"#{name}" if name in numbers else name for name in shown.columns))
    for row in shown.tail(MAX_ROWS).to_dict("records"):
        table.add_row(*(_cell(str(name), value) for name, value in row.items()))
    console.print(table)
    _print_more(console, len(frame))


def _condense(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return `frame` without columns that say nothing, its paths without the folder that all are in, and that folder."""
    shown = frame[[name for name in frame if name not in LEFT_OUT and frame[name].notna().any()]]
    if "orientation" in shown and not (shown["orientation"].dropna() != AS_IT_IS).any():
        shown = shown.drop(columns="orientation")
    columns = [name for name in PATHS if name in shown]
    paths = [path for name in columns for path in shown[name].dropna()]
    if not paths or not all(map(os.path.isabs, paths)):
        return shown, ""
    folder = os.path.commonpath([PurePath(path).parent for path in paths])
    inside = f"{folder.rstrip('/')}/"
    return shown.assign(**{name: shown[name].str.removeprefix(inside) for name in columns}), folder


def _cell(column: str, value: Any) -> str:
    if "ssim" in column:
        return _score(value)
    if value is None or value is pd.NA or value != value:  # noqa: PLR0124 - NaN is the one that differs from itself
        return "-"
    if column == "orientation":
        return _words(value)
    return f"{value:.4g}" if isinstance(value, float) else escape_markup(str(value))
