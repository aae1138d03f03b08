"""The help of commands in groups, the most used first: a list of forty options is read by nobody."""

from collections.abc import Iterable, Mapping
from typing import Any

from typer.core import TyperCommand

from imagetwins.cli.answers import Commands

COMMANDS = {
    "Find and move": ("demo", "run", "restore"),
    "Look and decide": ("review", "approve", "apply", "memory"),
    "Ask about past runs": ("audit", "report"),
    "Set up and tidy": ("doctor", "calibrate", "prune"),
    "With Prefect": ("serve", "server"),
}
"""The commands under their headings."""

OPTIONS = {
    "Most used": ("threshold", "dry_run", "keep", "orientations", "exclude", "reference", "approval"),
    "Which pictures are compared": (
        "recursive",
        "default_excludes",
        "min_side",
        "min_bytes",
        "formats",
        "within",
        "across",
    ),
    "What becomes of duplicates": (
        "rule",
        "grouping",
        "into",
        "sidecars",
        "approve_above",
        "approval_hours",
        "max_move_share",
    ),
    "What is for review, and not moved": (
        "min_detail_ssim",
        "min_local_ssim",
        "max_peak_difference",
        "max_colour_difference",
        "max_aspect_change",
        "burst",
    ),
    "How pictures are compared": ("size", "resampling", "decoding", "audit_floor"),
    "Where runs keep what they make, and where they work": ("store", "cache_pixels", "dask"),
    "What is printed": ("json", "fail_on_duplicates", "verbose", "help"),
}
"""The options of `run` under their headings."""

METAVARS = {
    "exclude": "PATTERN",
    "reference": "FOLDER",
    "store": "FOLDER",
    "into": "FOLDER",
    "keep": "WORDS",
    "dask": "ADDRESS",
    "min_side": "PIXELS",
    "min_bytes": "BYTES",
    "formats": "FORMATS",
}
"""What is shown for the value of an option whose type says little."""

FIRST_SENTENCE = 200
"""So many characters of it are shown: all."""

REST = "More"
"""The heading of what has none."""


def group_rows(
    rows: Mapping[str, tuple[str, str]], headings: Mapping[str, Iterable[str]]
) -> dict[str, list[tuple[str, str]]]:
    """Return `rows` of a list, by name, under the headings that they belong to, in the order of these."""
    named = {name for names in headings.values() for name in names}
    grouped = {heading: [rows[name] for name in names if name in rows] for heading, names in headings.items()}
    grouped[REST] = [row for name, row in rows.items() if name not in named]
    return {heading: listed for heading, listed in grouped.items() if listed}


class GroupedCommand(TyperCommand):
    """A command of many options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options under their headings."""
        arguments, options = [], {}
        for param in self.get_params(ctx):
            param.metavar = METAVARS.get(param.name or "", param.metavar)
            row = param.get_help_record(ctx)
            if row and param.param_type_name == "argument":
                arguments.append((param.metavar or row[0], row[1]))
            elif row:
                options[str(param.name)] = row
        with formatter.section("Arguments"):
            formatter.write_dl(arguments)
        for heading, rows in group_rows(options, OPTIONS).items():
            with formatter.section(heading):
                formatter.write_dl(rows)


class GroupedCommands(Commands):
    """The commands, before the options that they have in common."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under their headings, then the options."""
        shown = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        longest = max(map(len, shown))
        rows = {
            name: (name.ljust(longest), command.get_short_help_str(FIRST_SENTENCE))
            for name, command in shown.items()
            if command and not command.hidden
        }
        for heading, listed in group_rows(rows, COMMANDS).items():
            with formatter.section(heading):
                formatter.write_dl(listed)
        options = [row for param in self.get_params(ctx) if (row := param.get_help_record(ctx))]
        with formatter.section("Options"):
            formatter.write_dl(options)
