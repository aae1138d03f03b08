"""The commands: arguments to flows and questions, answers to the terminal. Nothing is decided here.

A command imports what it needs when it is called, and Prefect's server is started before that: help, errors and the first line
of a run come at once.
"""

import datetime as dt
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from imagetwins import __version__, settings
from imagetwins.cli.answers import AnswerConsole, Json, print_json
from imagetwins.cli.connecting import Connection, connecting
from imagetwins.cli.errors import EXIT_CODES, ExitStatus, ending_quickly, exiting_on_errors
from imagetwins.cli.help import GroupedCommand, GroupedCommands
from imagetwins.cli.markup import escape_markup
from imagetwins.cli.memory import ask_remember, choose_remember, memory
from imagetwins.cli.options import Store, takes_parameters
from imagetwins.cli.serve import serve
from imagetwins.cli.server import server
from imagetwins.cli.timing import seconds_since_start
from imagetwins.config.folders import check_local_folder, find_pair, resolve_store
from imagetwins.config.parameters import check_locations, check_parameters, nest_options
from imagetwins.decoding.formats import decoded_formats
from imagetwins.errors import NothingMovedError, ParameterError, ServerLostError
from imagetwins.orientation import Orientations
from imagetwins.runtime.collector import paused_collector
from imagetwins.runtime.places import use_one_blas_thread, use_writable_places
from imagetwins.runtime.server import bypass_proxy_on_loopback, prepare_environment
from imagetwins.storage import Location
from imagetwins.store.runs import LATEST, Run, find_run
from imagetwins.text import pluralize

EXIT_HELP = f"Exit codes: {'; '.join(f'{status.value} {meaning}' for status, meaning in EXIT_CODES.items())}."

app = typer.Typer(
    name="imagetwins",
    cls=GroupedCommands,
    help="Find the duplicate and near-duplicate images of a folder by exact all-pairs SSIM, and move them. Undoable.",
    epilog=f"""\b
To begin with:
  imagetwins demo                        sample pictures: what it does
  imagetwins run ~/Pictures --dry-run    yours: nothing moves yet
  imagetwins run ~/Pictures              move the duplicates aside
  imagetwins restore latest              put them back
`imagetwins COMMAND --help` tells more, and `imagetwins doctor` what is amiss.

{EXIT_HELP}""",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"imagetwins {__version__}\n")
        raise typer.Exit


@app.callback()
def imagetwins(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None:
    """What all commands have in common."""


console = AnswerConsole(highlight=False)
stderr = Console(stderr=True, highlight=False)

EXAMPLES_HELP = """\b
Examples:
  imagetwins run ~/Pictures --dry-run
  imagetwins run ~/Pictures --threshold 0.95 --keep resolution,name
  imagetwins run ~/Downloads --reference ~/Pictures
  imagetwins run ~/Pictures --approval review"""
FORMATS_HELP = f"Formats: {', '.join(decoded_formats())} (cameras' raw files), recognised by content, RAW by name."

STANDARD_OUTPUT = "-"
"""What --csv calls it."""

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log.")]
ChoicesFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help='What a person chose: the file that a run\'s report saves; "-" reads standard input.'
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help='A run\'s id, the beginning of one, or "latest".')]


def _call_flow(connection: Connection, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run a flow as soon as the server answers, with progress bars in a terminal."""
    import httpx

    from imagetwins.cli.observer import following
    from imagetwins.runtime.heartbeats import without_wait
    from imagetwins.runtime.observer import observer

    connection.wait()
    try:
        with following(stderr) as follower, without_wait():
            observer.set(follower)
            return call()
    except NothingMovedError as failure:
        # All else is done, and is to be shown; `_end_unless_done` says this at the end.
        return failure.answer
    except httpx.HTTPError as error:
        if follower.run:
            _show_run(follower.run)
        raise _explain_loss(error, follower.run) from None


def _explain_loss(error: Exception, run: Run | None) -> ServerLostError:
    """Return what to say when Prefect's server did not answer to the end."""
    what = f"Prefect's server did not answer to the end ({str(error).partition(chr(10))[0] or type(error).__name__})"
    if run is None:
        return ServerLostError(f"{what}. Nothing was begun.")
    return ServerLostError(
        f"{what}; its UI does not show all of run {run.run_id}. The run's tables do: `imagetwins audit {run.run_id}`."
    )


@app.command(cls=GroupedCommand, epilog=f"{EXAMPLES_HELP}\n\n{FORMATS_HELP}\n\n{EXIT_HELP}")
@takes_parameters()
def run(
    given: dict[str, Any],
    *,
    fail_on_duplicates: Annotated[
        bool,
        typer.Option(
            "--fail-on-duplicates",
            help="Exit with 3 if there are duplicates, moved or not, or matches for review. With --dry-run, a check for CI.",
        ),
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find the duplicates of one or more folders, and move them aside. To the sub-folder Duplicates of each.

    Two files in place of folders are compared at once, and nothing moves.
    """
    with exiting_on_errors(stderr, json=json):
        if find_pair([given["folder"], *given["more_folders"]]):
            found = _compare(given, json)
        else:
            summary = _run(given, json, verbose)
            _end_unless_done(summary, given["store"])
            found = bool(summary["duplicates"] or summary["review"])
        if fail_on_duplicates and found:
            raise typer.Exit(ExitStatus.DUPLICATES)


def _compare(given: dict[str, Any], json: bool) -> bool:
    """Compare two files; return whether they match, in doubt or without."""
    from dataclasses import asdict

    from imagetwins.cli.comparing import compare_pair, print_scores

    scores = compare_pair(given)
    print_scores(console, scores, given)
    if json:
        print_json(asdict(scores))
    return scores.duplicate is not None


def _run(given: dict[str, Any], json: bool, verbose: bool) -> dict[str, Any]:
    parameters = check_parameters(given)
    check_locations(parameters)
    prepare_environment(verbose=verbose)
    with connecting(stderr, verbose=verbose, is_shared=bool(parameters.dask)) as connection:
        if connection.own:
            from imagetwins.cli.listing import announce_folder

            announce_folder(stderr, parameters)
        with paused_collector():
            from flows.deduplicate import deduplicate
            from imagetwins.cli.listing import announce_compiling

        announce_compiling(stderr)
        summary = _call_flow(connection, lambda: deduplicate(**nest_options(given)))
        _show_summary(summary, given["store"], json)
        return summary


def _show_summary(summary: dict[str, Any], store: str | None, json: bool) -> None:
    from imagetwins.cli import rendering
    from imagetwins.runtime.observer import observer

    total = seconds_since_start()
    run = find_run(resolve_store(store), summary["run_id"])
    _show_run(run, is_timed=True)
    rendering.print_time(console, run.read_record(), total, observer.get().asked_seconds)
    if json:
        print_json(summary | {"total_seconds": total})


def _end_unless_done(answer: dict[str, Any], store: str | None) -> None:
    """End with exit code 1 where not all moved that should have, after a last line that says so.

    Raises:
        typer.Exit: as said.
    """
    if not (answer["not_moved"] or answer["companions_not_moved"] or answer.get("not_done")):
        return
    from imagetwins.moving.refusals import describe_refusals

    if told := describe_refusals(find_run(resolve_store(store), answer["run_id"]).read_record()):
        ended = "Failed" if "error" in answer else "Not all was done"
        stderr.print(f"[red]{ended}:[/] {escape_markup(told)}", soft_wrap=True)
    raise typer.Exit(ExitStatus.FAILED)


def _show_run(run: Run, *, is_timed: bool = False) -> None:
    from imagetwins.cli import rendering
    from imagetwins.reporting.runs import audit_run

    rendering.print_run(console, audit_run(run), is_timed=is_timed)
    console.print(f"Report:  {escape_markup(str(run.report))}")


@app.command()
def restore(
    run_id: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help='A run\'s id, the beginning of one, or "latest": the last that moved something that is not back.',
        ),
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...", help="Only these, by the names they had or have now. Default: all.", show_default=False
        ),
    ] = None,
    *,
    not_duplicates: Annotated[
        bool,
        typer.Option(
            "--not-duplicates", help="They are none: later runs keep them apart from the pictures that were kept."
        ),
    ] = False,
    move_again: Annotated[
        bool, typer.Option("--move-again", help="Remember nothing: the next run may move them again.")
    ] = False,
    store: Store = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Undo a run, or parts of it: move files back to where they came from. Nothing is ever overwritten.

    With each picture goes all that belongs to it. It is remembered that it was put back: later runs ask before they move it again.
    """
    with exiting_on_errors(stderr, json=json):
        from imagetwins.moving.named import find_images
        from imagetwins.moving.undoable import describe_undoable, find_undoable
        from imagetwins.storage.location import name_to_columns

        remember = choose_remember(not_duplicates=not_duplicates, move_again=move_again)
        undone = find_undoable(resolve_store(store), run_id)
        if run_id == LATEST:
            stderr.print(escape_markup(describe_undoable(undone)), soft_wrap=True)
        # As Prefect takes them, and tables hold them: names need not be UTF-8.
        names = [name_to_columns(file)[0] for file in files or ()]
        images = find_images(undone, names) if names else []
        if remember is None and images and not json and sys.stdin.isatty() and sys.stderr.isatty():
            remember = ask_remember(undone, images)
        prepare_environment(verbose=verbose)
        with connecting(stderr, verbose=verbose) as connection:
            with paused_collector():
                from flows.restore import restore as restore_images
                from imagetwins.cli import rendering

            answer = _call_flow(connection, lambda: restore_images(undone.run_id, store, names, remember or "put back"))
            rendering.print_restore(console, answer, store)
        if json:
            print_json(answer)
        if answer["not_restored"]:
            raise typer.Exit(ExitStatus.FAILED)


@app.command()
def audit(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help='A run\'s id, its beginning, or "latest".')
    ] = None,
    *,
    threshold: Annotated[float | None, typer.Option(help="What RUN would have decided at this threshold.")] = None,
    why: Annotated[str | None, typer.Option(metavar="FILE", help="Why this file of RUN moved, or why not.")] = None,
    pair: Annotated[
        tuple[str, str] | None, typer.Option(metavar="FILE FILE", help="The score of two files of RUN.")
    ] = None,
    file: Annotated[str | None, typer.Option(help="What every run decided about this file, across renames.")] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="What changed between two.")
    ] = None,
    store: Store = None,
    json: Json = False,
    parquet: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the table of the answer to OUT.")] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="OUT", help="The same as CSV (UTF-8, with a header); - is standard output.")
    ] = None,
) -> None:
    """Ask about past runs, from their tables alone. About all of them, or one, or one file or pair of it."""
    with exiting_on_errors(stderr, json=json):
        from imagetwins.cli import rendering
        from imagetwins.reporting.answers import to_csv, to_plain, write_answer, write_csv

        if csv == STANDARD_OUTPUT and (json or parquet):
            raise ParameterError(
                "--csv - has standard output to itself. Give --csv a file, or leave --json and --parquet out."
            )
        home = resolve_store(store)
        answer = _ask(home, run_id, threshold=threshold, why=why, pair=pair, file=file, compare=compare)
        if parquet:
            write_answer(rendering.table_of(answer), parquet)
            console.print(f"The table is in {escape_markup(str(parquet))}")
        if csv == STANDARD_OUTPUT:
            sys.stdout.buffer.write(to_csv(rendering.table_of(answer)))
        elif csv:
            write_csv(rendering.table_of(answer), Path(csv))
            console.print(f"The table is in {escape_markup(csv)}")
        if json:
            print_json(to_plain(answer))
        elif not (parquet or csv):
            rendering.print_answer(console, answer)


def _ask(  # noqa: PLR0911 - one question a line
    home: Location,
    run_id: str | None,
    *,
    threshold: float | None,
    why: str | None,
    pair: tuple[str, str] | None,
    file: str | None,
    compare: tuple[str, str] | None,
) -> Any:
    from imagetwins.reporting.files import explain_file, explain_pair, find_history
    from imagetwins.reporting.runs import audit_run, audit_runs, compare_runs
    from imagetwins.reporting.thresholds import audit_threshold
    from imagetwins.runtime.waiting import find_endings

    if file:
        return find_history(home, file)
    if compare:
        return compare_runs(*(find_run(home, name) for name in compare))
    if run_id is None:
        if threshold is not None or why or pair:
            raise ParameterError("--threshold, --why and --pair ask about one run: name it, or say latest.")
        return audit_runs(home, find_endings(home))
    asked = find_run(home, run_id)
    if why:
        return explain_file(asked, why)
    if pair:
        return explain_pair(asked, *pair)
    if threshold is not None:
        return audit_threshold(asked, threshold)
    return audit_run(asked, find_endings(home).get(asked.run_id))


@app.command()
def apply(
    run_id: RunId,
    *,
    threshold: Annotated[
        float | None, typer.Option(help="The threshold to apply, not below the run's audit floor.")
    ] = None,
    choices: ChoicesFile = None,
    dry_run: Annotated[bool, typer.Option(help="Decide and report, but move nothing.")] = False,
    store: Store = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Move what a past run's scores give at another threshold, or what a person chose. Nothing is computed again."""
    with exiting_on_errors(stderr, json=json):
        if (threshold is None) == (choices is None):
            raise ParameterError(
                "apply takes either --threshold or --choices: a number, or the file that a run's report saves."
            )
        past = find_run(resolve_store(store), run_id)
        if threshold is not None:
            _apply_threshold(past, threshold, dry_run, store, json, verbose)
        if choices is not None:
            _apply_choices(past, choices, dry_run, store, json, verbose)


def _apply_threshold(past: Run, threshold: float, dry_run: bool, store: str | None, json: bool, verbose: bool) -> None:
    from imagetwins.reporting.thresholds import check_floor

    check_floor(past, threshold)
    prepare_environment(verbose=verbose)
    with connecting(stderr, verbose=verbose) as connection:
        with paused_collector():
            from flows.apply import apply as apply_run

        call = partial(apply_run, past.run_id, threshold, dry_run, store)
        _show_summary(answer := _call_flow(connection, call), store, json)
    _end_unless_done(answer, store)


def _apply_choices(past: Run, choices: str, dry_run: bool, store: str | None, json: bool, verbose: bool) -> None:
    from imagetwins.cli import rendering

    text = _read_choices(past, choices)
    prepare_environment(verbose=verbose)
    with connecting(stderr, verbose=verbose) as connection:
        with paused_collector():
            from flows.apply_choices import apply_choices

        answer = _call_flow(connection, partial(apply_choices, past.run_id, text, dry_run, store=store))
        _show_summary(answer, store, json=False)
        rendering.print_applied(console, answer, dry_run=dry_run)
        if json:
            print_json(answer)
    _end_unless_done(answer, store)


def _read_choices(past: Run, name: str) -> str:
    """Return the text of the file `name`, or of standard input if that is -, which holds choices about `past`.

    Raises:
        ParameterError: it cannot be read, or the choices do not fit the run.
    """
    from imagetwins.matching.choices import read_choices

    source = "standard input" if name == "-" else name
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ParameterError(
            f"--choices {name!r} cannot be read: {error.strerror}. Name the file that the report's page saved."
        ) from None
    return read_choices(past, text, source).model_dump_json()


@app.command()
def review(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="A run's id, or its beginning. Default: the latest with something to decide."
        ),
    ] = None,
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of 127.0.0.1 that the page is served at; 0 is any free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    store: Store = None,
    verbose: Verbose = False,
) -> None:
    """Look at a run's matches in the browser, choose, and apply. From this terminal, until Ctrl-C; for this machine alone."""
    with exiting_on_errors(stderr):
        from imagetwins.cli.review import review_run

        review_run(
            resolve_store(store),
            run_id,
            _call_flow,
            port=port,
            opens_browser=browser,
            verbose=verbose,
            console=console,
            stderr=stderr,
        )


@app.command()
def report(run_id: RunId, *, store: Store = None, json: Json = False) -> None:
    """Build the HTML report of a run again. From its tables, and the pictures as they are now."""
    with exiting_on_errors(stderr, json=json):
        from imagetwins.reporting.run_page import build_report

        path = build_report(find_run(resolve_store(store), run_id))
        console.print(f"The report: {escape_markup(str(path))}")
        if json:
            print_json({"report": str(path)})


@app.command()
def calibrate(
    folder: Annotated[str, typer.Argument(help="The folder of pictures to calibrate for.", show_default=False)],
    *,
    pictures: Annotated[int, typer.Option(min=2, max=2000, help="How many of its pictures to sample.")] = 120,
    orientations: Annotated[
        Orientations,
        typer.Option(help="As for a run: whether pictures are compared turned and mirrored, too."),
    ] = "same",
    seed: Annotated[int, typer.Option(min=0, help="Decides the sample, and how its pictures are changed.")] = 0,
    exclude: Annotated[
        list[str], typer.Option(help="Patterns, as in a .gitignore, to leave out besides the default ones.")
    ] = [],  # noqa: B006
    store: Store = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Measure which size, threshold and guards fit a folder. On copies of its own pictures; nothing moves."""
    with exiting_on_errors(stderr, json=json):
        check_local_folder("folder", folder)
        prepare_environment(verbose=verbose)
        with connecting(stderr, verbose=verbose) as connection:
            with paused_collector():
                from flows.calibrate import calibrate as calibrate_images

            answer = _call_flow(
                connection, lambda: calibrate_images(folder, pictures, orientations, seed, exclude, store)
            )
            console.print(f"[bold]{escape_markup(answer['reason'])}[/]\n")
            console.print(f"Try it:        [bold]{escape_markup(answer['command'])}[/]", soft_wrap=True)
            console.print(f"The evidence:  {escape_markup(answer['page'])}", soft_wrap=True)
        if json:
            print_json(answer)


@app.command()
def prune(
    older_than: Annotated[int, typer.Option(min=0, metavar="DAYS", help="Prune runs that are older than this.")],
    *,
    dry_run: Annotated[bool, typer.Option(help="Show what would be freed, but remove nothing.")] = False,
    store: Store = None,
    json: Json = False,
) -> None:
    """Remove the scores and reports of old runs. What `restore` needs stays, and so does what was decided."""
    with exiting_on_errors(stderr, json=json):
        from imagetwins.reporting.answers import to_plain
        from imagetwins.store.pruning import plan_pruning, prune_runs

        before = dt.datetime.now(dt.UTC) - dt.timedelta(days=older_than)
        home = resolve_store(store)
        pruned = plan_pruning(home, before) if dry_run else prune_runs(home, before).table
        freed = int(pruned["freed_bytes"].sum())
        console.print(
            f"{pluralize(len(pruned), 'run')}, {freed / 1e6:,.1f} MB {'would be freed' if dry_run else 'freed'}."
        )
        if json:
            print_json({"runs": to_plain(pruned), "freed_bytes": freed})


@app.command()
def demo(*, json: Json = False, verbose: Verbose = False) -> None:
    """Build a folder of sample pictures, and move its duplicates."""
    with exiting_on_errors(stderr, json=json):
        samples = settings.data_directory() / "samples"
        from imagetwins.demo import build_samples

        console.print(f"{build_samples(samples)} sample pictures in {samples}")
        summary = _run({"folder": str(samples), "store": None}, json, verbose)
        _end_unless_done(summary, None)
        if not json:
            console.print("Your own pictures next; nothing moves yet:  [bold]imagetwins run ~/Pictures --dry-run[/]")


@app.command()
def approve(
    run_id: RunId,
    *,
    reject: Annotated[bool, typer.Option("--reject", help="Move nothing.")] = False,
    leave: Annotated[list[str], typer.Option(metavar="FILE", help="Leave this file alone; may be repeated.")] = [],  # noqa: B006 - typer's own
    not_duplicates: Annotated[
        list[str],
        typer.Option(
            "--not-duplicates", metavar="FILE", help="This file is no duplicate of what it matches; may be repeated."
        ),
    ] = [],  # noqa: B006
    choices: ChoicesFile = None,
    comment: Annotated[str, typer.Option(help="Kept with the run.")] = "",
    store: Store = None,
    json: Json = False,
) -> None:
    """Answer a run that waits for approval. Move its duplicates, what --choices says, or, with --reject, none."""
    with exiting_on_errors(stderr, json=json):
        from imagetwins.runtime.waiting import record_endings

        home = resolve_store(store)
        record_endings(home)
        waiting = find_run(home, run_id)
        chosen = "" if choices is None else _read_choices(waiting, choices)
        if chosen and (reject or leave or not_duplicates):
            raise ParameterError(
                "--choices say all of it: give them without --reject, --leave and --not-duplicates, or give those alone."
            )
        prepare_environment(verbose=False)
        with connecting(stderr, verbose=False) as connection:
            with paused_collector():
                from imagetwins.runtime.approval import ApprovalForm, send_answer

            connection.wait()
            form = ApprovalForm(
                approve=not reject, leave_alone=leave, not_duplicates=not_duplicates, comment=comment, choices=chosen
            )
            send_answer(waiting, form)
        console.print(f"Run {waiting.run_id} goes on as soon as a worker takes it up.")
        if json:
            print_json({"run_id": waiting.run_id, "approve": not reject, "leave_alone": leave})


@app.command()
def doctor(
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="A folder of pictures to look at, too.")
    ] = None,
    *,
    store: Store = None,
    json: Json = False,
) -> None:
    """Check this machine, and say what to do. Store, cache, server, formats, settings; exit code 1 if something is a problem."""
    with exiting_on_errors(stderr, json=json):
        from imagetwins.cli.diagnosis import print_findings
        from imagetwins.doctor.examination import examine
        from imagetwins.doctor.findings import is_problem
        from imagetwins.reporting.answers import to_plain

        findings = examine(folder, store)
        if json:
            print_json({"is_problem": is_problem(findings), "findings": to_plain(findings)})
        else:
            print_findings(console, findings)
        if is_problem(findings):
            raise typer.Exit(ExitStatus.FAILED)


app.command()(serve)
app.add_typer(memory)
app.add_typer(server)


def main() -> None:
    """Run the command line."""
    bypass_proxy_on_loopback()
    use_writable_places()
    use_one_blas_thread()
    with ending_quickly():
        app()
