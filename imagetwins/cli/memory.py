"""`imagetwins memory`: what was said about pictures before, and forgetting it."""

from typing import Annotated

import typer
from rich.console import Console

from imagetwins.cli.answers import AnswerConsole, Json, print_json
from imagetwins.cli.errors import exiting_on_errors
from imagetwins.cli.markup import escape_markup
from imagetwins.cli.options import Store
from imagetwins.config.folders import check_writable, resolve_store
from imagetwins.config.parameters import Remember
from imagetwins.errors import ParameterError
from imagetwins.storage import parse_location
from imagetwins.store.runs import Run
from imagetwins.text import format_command, name_two, pluralize

console = AnswerConsole(highlight=False)
stderr = Console(stderr=True, highlight=False)

memory = typer.Typer(
    name="memory",
    help="What you said about pictures before, and every later run follows: which are no duplicates, and which were put back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


EMPTY = """Nothing is remembered yet. Later runs follow what you say with one of these:

  imagetwins review RUN                            in the page, n: these two are no duplicates
  imagetwins restore RUN FILE --not-duplicates     put FILE back, and keep it apart from the picture that was kept
  imagetwins restore RUN                           put all back: no run moves these again unless you are asked
  imagetwins memory add FILE FILE                  these two are no duplicates
"""

MAX_TOLD = 10
"""Pictures that a question names."""


@memory.command("list")
def show(
    *,
    file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Only what is about this file, wherever it lies by now.")
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Show what is remembered: a line a pair, with the number by which it can be forgotten.

    A pair is known by the content of its two files, so renaming, moving and copying them changes nothing; editing one does: then
    it is another picture. The paths are where they lay when it was said.
    """
    with exiting_on_errors(stderr, json=json):
        from imagetwins.cli.rendering import print_frame
        from imagetwins.reporting.answers import to_plain
        from imagetwins.reporting.remembered import find_about
        from imagetwins.store.memory import list_entries

        entries = list_entries(resolve_store(store))
        found = find_about(entries, file) if file else entries
        if json:
            print_json(to_plain(found))
        elif entries.empty:
            console.print(escape_markup(EMPTY))
        elif found.empty:
            console.print(escape_markup(f"Nothing is remembered of {file}, neither of its content nor of its path."))
        else:
            shown = found.assign(decided=found["decided"].str[:16].str.replace("T", " "))
            columns = ["id", "verdict", "path1", "path2", "who", "decided", "source", "run_id", "why"]
            print_frame(console, shown[columns].replace({"why": {"": None}}), pluralize(len(found), "pair"))
            console.print(
                "Forget one with [bold]imagetwins memory forget ID[/]; a run decides again then as if it had not been said."
            )


@memory.command()
def add(
    first: Annotated[str, typer.Argument(metavar="FILE", help="A picture.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="FILE", help="One that is no duplicate of it.", show_default=False)],
    *,
    why: Annotated[str, typer.Option(help="Kept with it, and shown wherever it counts.")] = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """Say that two files are no duplicates: no later run moves one because of the other.

    Two files that are the same byte for byte are such a pair, too: then all files with this content stay.
    """
    with exiting_on_errors(stderr, json=json):
        from imagetwins.reporting.answers import to_plain
        from imagetwins.store.memory import number_entries, remember_files

        home = resolve_store(store)
        check_writable(home)
        rows = remember_files(home, parse_location(first), parse_location(second), why)
        rows = rows.assign(id=number_entries(rows))
        if json:
            print_json(to_plain(rows)[0])
        else:
            alike = rows["digest1"].iat[0] == rows["digest2"].iat[0]
            same = " They are the same byte for byte: all files with this content stay from now on." if alike else ""
            forget_it = escape_markup(format_command("memory", "forget", store, options=(str(rows["id"].iat[0]),)))
            console.print(
                f"Remembered: these two are no duplicates.{same} To forget it: [bold]{forget_it}[/]", soft_wrap=True
            )


@memory.command()
def forget(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID|FILE]...", help="Numbers, as `memory list` shows them, or files.", show_default=False
        ),
    ] = None,
    *,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="All that was said about pictures of this run.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is remembered in this store.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Forget what was said: the next run decides about these pictures as if nobody had. No file moves now.

    FILE means all that is remembered of it, whatever it is called by now.
    """
    with exiting_on_errors(stderr, json=json):
        from imagetwins.reporting.answers import to_plain
        from imagetwins.reporting.remembered import find_entries
        from imagetwins.store import memory as table

        named = what or []
        if bool(named or run) == everything:
            raise ParameterError(
                "say what to forget: numbers or files, --run RUN, or --all. `imagetwins memory list` shows all."
            )
        home = resolve_store(store)
        found = table.list_entries(home) if everything else find_entries(home, named, run)
        table.forget(home, set(found["id"]))
        if json:
            print_json(to_plain(found))
        else:
            console.print(
                f"Forgotten: [bold]{pluralize(len(found), 'pair')}[/]. The next run decides about them again."
            )


def choose_remember(*, not_duplicates: bool, move_again: bool) -> Remember | None:
    """Return what two options say is to be remembered of pictures that are put back; None if neither was given.

    Raises:
        ParameterError: both were.
    """
    if not_duplicates and move_again:
        raise ParameterError("--not-duplicates and --move-again contradict each other: give one of them.")
    return "not duplicates" if not_duplicates else "nothing" if move_again else None


def ask_remember(run: Run, images: list[int]) -> Remember:
    """Return what a person in a terminal says about pictures that are to be put back."""
    import pyarrow.compute as pc

    from imagetwins.store.schemas import DECISIONS
    from imagetwins.store.tables import read_table

    decided = read_table(run.decisions, DECISIONS, where=pc.field("image").isin(images))
    for row in decided.head(MAX_TOLD).itertuples():
        moved, kept = name_two(str(row.FullPath), str(row.kept_path))
        stderr.print(escape_markup(f"  {moved} was moved as a duplicate of {kept}"), soft_wrap=True)
    if len(decided) > MAX_TOLD:
        stderr.print(f"  ... and {len(decided) - MAX_TOLD:,} more")
    one = len(decided) == 1
    stderr.print(
        "Yes: later runs keep them apart. No: later runs ask before they move "
        f"{'it' if one else 'them'} again. (--not-duplicates and --move-again answer this beforehand.)"
    )
    said = typer.confirm(f"Are these no duplicates? {'It goes' if one else 'They go'} back either way", err=True)
    return "not duplicates" if said else "put back"
